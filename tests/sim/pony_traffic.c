/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/pony_traffic.h"

#include "transport/pony/protocol/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAGIC = 0x50524d53,
    TX_PAGE_BYTES = 1024,
    TAG_PAGES_MAX = 0xffff,
    TAG_PAGE_BIT = 16,
    TAG_END_BIT = 32,
    LISTENER = 1000000
};

struct head {
    uint32_t magic, end, idx, stream, len, is_ordered;
};

/* Not base_assert: says what the books show. */
#define CHECK(cond) \
    do { \
        if (!(cond)) { \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            abort(); \
        } \
    } while (0)

static uint64_t service_of(const struct traffic *traffic, uint32_t actor)
{
    return 1000 + actor * UINT64_C(1000) + traffic->actors[actor].life;
}

void traffic_init(struct traffic *traffic, uint64_t seed)
{
    *traffic = (struct traffic){.n_ends = 1};
    world_init(&traffic->world, seed);
    base_rng_init(&traffic->rng, seed ^ 0xabcdef);
    traffic->ends = calloc(TRAFFIC_ENDS_MAX, sizeof(*traffic->ends));
    CHECK(traffic->ends != NULL);
}

void traffic_fini(struct traffic *traffic)
{
    world_fini(&traffic->world);
    for (uint32_t i = 0; i < traffic->n_actors; i++) {
        base_pages_fini(&traffic->actors[i].tx_pages);
    }
    free(traffic->ends);
}

void traffic_attach(struct traffic *traffic, uint32_t actor, unsigned host,
                    const struct world_app_config *config)
{
    struct traffic_actor *at = &traffic->actors[actor];
    base_pages_fini(&at->tx_pages);
    at->app = world_attach(&traffic->world, host, config);
    at->host = host;
    at->life++;
    at->next_number = 1;
    at->read_ppm = at->read_ppm != 0 ? at->read_ppm : 1000000;
    enum base_err err =
        base_pages_init(&at->tx_pages, (uint32_t)(config->tx_bytes / TX_PAGE_BYTES));
    CHECK(err == BASE_OK);
    traffic->n_actors = actor + 1 > traffic->n_actors ? actor + 1 : traffic->n_actors;
    CHECK(world_listen(at->app, LISTENER, service_of(traffic, actor)));
}

void traffic_lose(struct traffic *traffic, uint32_t actor, bool is_detached)
{
    struct traffic_actor *at = &traffic->actors[actor];
    for (uint32_t i = 1; i < traffic->n_ends; i++) {
        struct traffic_end *end = &traffic->ends[i];
        if (end->actor == actor && !end->is_closed) {
            end->is_gone = true;
            end->is_closed = true;
        }
    }
    if (is_detached) {
        world_detach(at->app);
    }
    at->app = NULL;
}

static struct traffic_end *new_end(struct traffic *traffic, uint32_t actor, uint32_t number)
{
    if (traffic->n_ends == TRAFFIC_ENDS_MAX) {
        return NULL;
    }
    struct traffic_end *end = &traffic->ends[traffic->n_ends++];
    end->actor = actor;
    end->number = number;
    return end;
}

uint32_t traffic_open(struct traffic *traffic, uint32_t from, uint32_t to)
{
    struct traffic_actor *at = &traffic->actors[from];
    if (at->app == NULL || traffic->n_ends + 2 > TRAFFIC_ENDS_MAX) {
        return 0;
    }
    uint32_t number = at->next_number;
    if (!world_open(at->app, number, traffic->actors[to].host, service_of(traffic, to))) {
        return 0;
    }
    at->next_number++;
    struct traffic_end *end = new_end(traffic, from, number);
    return (uint32_t)(end - traffic->ends);
}

static uint64_t word_at(uint32_t end, uint32_t idx, uint32_t i)
{
    return ((uint64_t)end << 32 | idx) * 0x9e3779b97f4a7c15u + i;
}

static void write_message(uint8_t *to, const struct head *head)
{
    memcpy(to, head, sizeof(*head));
    uint32_t at = sizeof(*head);
    for (uint32_t i = 0; at < head->len; i++, at += 8) {
        uint64_t word = word_at(head->end, head->idx, i);
        memcpy(to + at, &word, head->len - at < 8 ? head->len - at : 8);
    }
}

static bool is_message(const uint8_t *from, const struct head *head)
{
    uint32_t at = sizeof(*head);
    for (uint32_t i = 0; at < head->len; i++, at += 8) {
        uint64_t word = word_at(head->end, head->idx, i);
        if (memcmp(from + at, &word, head->len - at < 8 ? head->len - at : 8) != 0) {
            return false;
        }
    }
    return true;
}

bool traffic_send(struct traffic *traffic, uint32_t idx, uint32_t len, bool is_ordered)
{
    struct traffic_end *end = &traffic->ends[idx];
    struct traffic_actor *at = &traffic->actors[end->actor];
    if (end->is_closed || end->has_closed || at->app == NULL || end->n_sent == TRAFFIC_MSGS_MAX) {
        return false;
    }
    len = len > 0 && len < TRAFFIC_HEAD_BYTES ? TRAFFIC_HEAD_BYTES : len;
    uint32_t n_pages = len / TX_PAGE_BYTES + 1;
    int64_t page = base_pages_take(&at->tx_pages, n_pages);
    if (page < 0) {
        return false;
    }
    struct head head = {.magic = MAGIC,
                        .end = idx,
                        .idx = end->n_sent,
                        .len = len,
                        .stream = (uint32_t)base_rng_below(&traffic->rng, TRAFFIC_STREAMS),
                        .is_ordered = is_ordered && len > 0};
    uint64_t off = (uint64_t)page * TX_PAGE_BYTES;
    if (len > 0) {
        write_message(at->app->tx + off, &head);
    }
    struct shm_command command = {.opcode = SHM_OP_SEND,
                                  .conn = end->number,
                                  .flags = head.is_ordered ? SHM_SEND_ORDERED : 0,
                                  .tag = (uint64_t)idx << TAG_END_BIT |
                                         (uint64_t)page << TAG_PAGE_BIT | n_pages};
    command.u.send.off = off;
    command.u.send.len = len;
    command.u.send.stream = head.stream;
    if (!world_put(at->app, &command)) {
        CHECK(base_pages_give(&at->tx_pages, (uint32_t)page, n_pages) == BASE_OK);
        return false;
    }
    end->lens[end->n_sent++] = len;
    end->n_empty_sent += len == 0;
    traffic->n_messages++;
    return true;
}

void traffic_close(struct traffic *traffic, uint32_t idx, bool is_abort)
{
    struct traffic_end *end = &traffic->ends[idx];
    struct traffic_actor *at = &traffic->actors[end->actor];
    if (end->is_closed || at->app == NULL || end->has_aborted || (end->has_closed && !is_abort)) {
        return;
    }
    if (world_close(at->app, end->number, is_abort ? SHM_CLOSE_ABORT : 0)) {
        end->has_closed = true;
        end->has_aborted = is_abort;
    }
}

static struct traffic_end *find_end(struct traffic *traffic, uint32_t actor, uint32_t number)
{
    for (uint32_t i = traffic->n_ends - 1; i > 0; i--) {
        struct traffic_end *end = &traffic->ends[i];
        if (end->actor == actor && end->number == number && !end->is_closed) {
            return end;
        }
    }
    return NULL;
}

static void on_received(struct traffic *traffic, struct traffic_actor *at, struct traffic_end *end,
                        const struct shm_completion *cpl)
{
    struct head head;
    CHECK(cpl->u.received.off % 64 == 0);
    CHECK(cpl->u.received.off + cpl->u.received.len <= at->app->rx_bytes);
    traffic->n_arrived++;
    if (cpl->u.received.len == 0) {
        end->n_empty_arrived++;
        return;
    }
    const uint8_t *bytes = at->app->rx + cpl->u.received.off;
    memcpy(&head, bytes, sizeof(head));
    CHECK(head.magic == MAGIC && head.end < traffic->n_ends && head.len == cpl->u.received.len);
    struct traffic_end *sender = &traffic->ends[head.end];
    uint32_t own = (uint32_t)(end - traffic->ends);
    CHECK(end->peer == 0 || end->peer == head.end);
    CHECK(sender->peer == 0 || sender->peer == own);
    end->peer = head.end;
    sender->peer = own;
    CHECK(head.idx < sender->n_sent && sender->lens[head.idx] == head.len);
    CHECK(sender->arrived[head.idx] == 0);
    CHECK(is_message(bytes, &head));
    sender->arrived[head.idx] = 1;
    sender->n_arrived++;
    if (head.is_ordered) {
        CHECK(head.stream == cpl->u.received.stream);
        CHECK(head.idx >= end->last_idx[head.stream]);
        end->last_idx[head.stream] = head.idx + 1;
    }
}

static void on_sent(struct traffic *traffic, struct traffic_actor *at, uint64_t tag)
{
    uint32_t page = (uint32_t)(tag >> TAG_PAGE_BIT) & TAG_PAGES_MAX;
    uint32_t n_pages = (uint32_t)tag & TAG_PAGES_MAX;
    CHECK(tag >> TAG_END_BIT > 0 && tag >> TAG_END_BIT < traffic->n_ends);
    struct traffic_end *end = &traffic->ends[tag >> TAG_END_BIT];
    memset(at->app->tx + (size_t)page * TX_PAGE_BYTES, 0xee, (size_t)n_pages * TX_PAGE_BYTES);
    CHECK(base_pages_give(&at->tx_pages, page, n_pages) == BASE_OK);
    if (!end->is_closed) {
        end->n_sent_cpl++;
    }
}

static void on_closed(struct traffic_end *end, const struct shm_completion *cpl)
{
    CHECK(end != NULL);
    CHECK(end->n_sent_cpl <= end->n_sent);
    CHECK(cpl->reason != SHM_REASON_PROTOCOL && cpl->reason != SHM_REASON_BAD_COMMAND);
    CHECK(cpl->reason != SHM_REASON_NO_MEMORY || (cpl->flags & SHM_CPL_NEVER_OPENED) != 0);
    CHECK((cpl->flags & SHM_CPL_NEVER_OPENED) == 0 || end->n_arrived == 0);
    end->is_closed = true;
    end->reason = cpl->reason;
    end->flags = cpl->flags;
}

static void on_completion(struct traffic *traffic, uint32_t actor, const struct shm_completion *cpl)
{
    struct traffic_actor *at = &traffic->actors[actor];
    struct traffic_end *end = find_end(traffic, actor, cpl->conn);
    switch ((enum shm_cpl_kind)cpl->kind) {
    case SHM_CPL_LISTENING:
        at->n_listening++;
        break;
    case SHM_CPL_OPENED:
        CHECK(end != NULL && !end->is_open);
        end->is_open = true;
        break;
    case SHM_CPL_ACCEPTED:
        CHECK(end == NULL && cpl->tag == LISTENER);
        end = new_end(traffic, actor, cpl->conn);
        if (end == NULL) {
            (void)world_close(at->app, cpl->conn, SHM_CLOSE_ABORT);
            break;
        }
        end->is_open = true;
        break;
    case SHM_CPL_RECEIVED:
        CHECK(end != NULL && end->is_open);
        on_received(traffic, at, end, cpl);
        break;
    case SHM_CPL_SENT:
        CHECK(end != NULL || (cpl->flags & SHM_CPL_UNSENT) != 0);
        CHECK(cpl->n_more <= SHM_SENT_MORE_MAX);
        on_sent(traffic, at, cpl->tag);
        for (uint32_t i = 0; i < cpl->n_more; i++) {
            on_sent(traffic, at, cpl->u.sent.tags[i]);
        }
        break;
    case SHM_CPL_CLOSED:
        on_closed(end, cpl);
        break;
    case SHM_CPL_MAX:
        CHECK(false);
    }
}

uint32_t traffic_read(struct traffic *traffic, uint32_t actor, uint32_t max)
{
    struct traffic_actor *at = &traffic->actors[actor];
    struct shm_completion cpl;
    uint32_t n = 0;
    while (n < max && at->app != NULL && world_peek(at->app, &cpl)) {
        on_completion(traffic, actor, &cpl);
        (void)shm_client_consume(&at->app->end, 1);
        n++;
    }
    return n;
}

/* Messages of `end` must all arrive: it and its peer live, or it closed in order and was told so
 * without the peer having closed as well. */
static bool must_arrive(const struct traffic *traffic, const struct traffic_end *end)
{
    if (end->peer == 0 || end->is_gone || end->has_aborted) {
        return false;
    }
    const struct traffic_end *peer = &traffic->ends[end->peer];
    if (peer->has_closed || peer->is_gone) {
        return false;
    }
    bool is_flushed = end->is_closed && end->has_closed && end->reason == SHM_REASON_CLOSED;
    return is_flushed || (!end->is_closed && !peer->is_closed);
}

bool traffic_is_settled(const struct traffic *traffic)
{
    for (uint32_t i = 1; i < traffic->n_ends; i++) {
        const struct traffic_end *end = &traffic->ends[i];
        bool is_opening = !end->is_open && !end->is_closed;
        if (is_opening ||
            (must_arrive(traffic, end) && end->n_arrived != end->n_sent - end->n_empty_sent)) {
            return false;
        }
    }
    return true;
}

uint32_t traffic_pick(struct traffic *traffic)
{
    uint32_t start = (uint32_t)base_rng_below(&traffic->rng, traffic->n_ends);
    for (uint32_t k = 0; k < traffic->n_ends; k++) {
        uint32_t i = (start + k) % traffic->n_ends;
        if (i != 0 && !traffic->ends[i].is_closed && !traffic->ends[i].has_closed) {
            return i;
        }
    }
    return 0;
}

static bool is_all_closed(const struct traffic *traffic)
{
    for (uint32_t i = 1; i < traffic->n_ends; i++) {
        if (!traffic->ends[i].is_closed) {
            return false;
        }
    }
    return true;
}

static void check_app_is_empty(const struct pony_app *app)
{
    CHECK(app->n_conns == 0);
    CHECK(app->tx_msgs.n_taken == 0);
    CHECK(app->rx_msgs.n_taken == 0);
    CHECK(pony_rxmem_is_empty(&app->rx));
    CHECK(app->credit.unused == 0 && app->credit.floors == 0 && app->credit.excess == 0);
    CHECK(app->credit.n_conns == 0 && app->credit.n_low == 0);
    CHECK(base_list_is_empty(&app->credit.waiting) && base_list_is_empty(&app->waiting));
    CHECK(!pony_app_has_backlog(app));
}

static void read_and_step(struct traffic *traffic)
{
    (void)world_step(&traffic->world);
    for (uint32_t i = 0; i < traffic->n_actors; i++) {
        (void)traffic_read(traffic, i, UINT32_MAX);
    }
}

/* What a stuck world looks like. */
static void say_stuck(const struct traffic *traffic)
{
    for (uint32_t i = 1; i < traffic->n_ends; i++) {
        const struct traffic_end *end = &traffic->ends[i];
        if (end->is_closed && !must_arrive(traffic, end)) {
            continue;
        }
        (void)fprintf(stderr,
                      "end %u: actor %u number %x peer %u open %d closed %d/%u by us %d, sent %u "
                      "(%u empty), given back %u, arrived %u\n",
                      i, end->actor, end->number, end->peer, end->is_open, end->is_closed,
                      end->reason, end->has_closed, end->n_sent, end->n_empty_sent, end->n_sent_cpl,
                      end->n_arrived);
    }
    for (unsigned h = 0; h < traffic->world.n_hosts; h++) {
        const struct pony_engine *engine = traffic->world.hosts[h].engine;
        const struct pony_conn *conn;
        for (uint32_t i = 0; (conn = base_pool_next(&engine->conns, &i)) != NULL; i++) {
            (void)fprintf(stderr,
                          "host %u conn %x (%x) %s ctl %x, tx %u asked %u credit %u, rx left %u "
                          "in use %u, done %u of %u, %s\n",
                          h, conn->number, conn->shm_number, pony_conn_state_name(conn->state),
                          conn->ctl, conn->n_tx, conn->cold->n_asked,
                          conn->tx_limit - conn->tx_used, pony_credit_left(&conn->credit),
                          conn->credit.in_use, (uint32_t)conn->received_msgs,
                          conn->cold->n_peer_msgs, conn->is_local ? "local" : "remote");
        }
    }
}

static void check_not_stuck(const struct traffic *traffic, uint64_t until_ns)
{
    if (traffic->world.now_ns >= until_ns) {
        say_stuck(traffic);
        CHECK(traffic->world.now_ns < until_ns);
    }
}

static bool has_conns(const struct traffic *traffic)
{
    for (unsigned i = 0; i < traffic->world.n_hosts; i++) {
        const struct pony_engine *engine = traffic->world.hosts[i].engine;
        if (engine != NULL && engine->conns.n_taken > 0) {
            return true;
        }
    }
    return false;
}

void traffic_finish(struct traffic *traffic)
{
    struct world *world = &traffic->world;
    uint64_t until_ns = world->now_ns + UINT64_C(60000000000);
    while (!traffic_is_settled(traffic)) {
        read_and_step(traffic);
        check_not_stuck(traffic, until_ns);
    }
    while (!is_all_closed(traffic)) {
        for (uint32_t i = 1; i < traffic->n_ends; i++) {
            /* Openers close, acceptors are closed: else nobody would have to flush. */
            bool is_opener = (traffic->ends[i].number & SHM_CONN_ACCEPTED) == 0;
            if (is_opener || traffic->ends[i].peer == 0) {
                traffic_close(traffic, i, false);
            }
        }
        read_and_step(traffic);
        check_not_stuck(traffic, until_ns);
    }
    CHECK(traffic_is_settled(traffic));
    while (has_conns(traffic)) { /* RESETs on their way to a peer that is perhaps not there */
        read_and_step(traffic);
        check_not_stuck(traffic, until_ns);
    }
    read_and_step(traffic);
    (void)world_step(world); /* takes back what was read last */
    for (uint32_t i = 0; i < traffic->n_actors; i++) {
        if (traffic->actors[i].app != NULL) {
            CHECK(!traffic->actors[i].app->is_faulty);
            check_app_is_empty(traffic->actors[i].app->app);
            CHECK(traffic->actors[i].tx_pages.n_free == traffic->actors[i].tx_pages.n_pages);
        }
    }
}
