/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The books: who opened what, which message was sent and arrived where. Whatever a completion says is
 * held against them.
 */
#include "tests/sim/sim_world.h"
#include "transport/pony/protocol/flow_internal.h"
#include "transport/pony/protocol/state.h"

#include <stdio.h>
#include <string.h>

enum {
    MAGIC = 0x50524d53
};

struct head {
    uint32_t magic, msg;
};

struct sim_end *sim_end_new(struct sim_world *world, struct sim_app *app, uint32_t number)
{
    SIM_CHECK(world->n_ends < SIM_ENDS_MAX && app->n_open < SIM_OPEN_MAX);
    uint32_t idx = world->n_ends++;
    struct sim_end *end = &world->ends[idx];
    *end = (struct sim_end){.app = app->idx, .life = app->life, .number = number};
    end->next_same = app->numbers[number % SIM_NUMBERS];
    app->numbers[number % SIM_NUMBERS] = idx;
    app->open_ends[app->n_open++] = idx;
    return end;
}

struct sim_end *sim_end_find(struct sim_world *world, const struct sim_app *app, uint32_t number)
{
    for (uint32_t i = app->numbers[number % SIM_NUMBERS]; i != 0; i = world->ends[i].next_same) {
        struct sim_end *end = &world->ends[i];
        if (end->number == number && !end->is_closed) {
            return end;
        }
    }
    return NULL;
}

void sim_end_closed(struct sim_world *world, struct sim_app *app, struct sim_end *end)
{
    uint32_t idx = (uint32_t)(end - world->ends);
    end->is_closed = true;
    for (uint32_t i = 0; i < app->n_open; i++) {
        if (app->open_ends[i] == idx) {
            app->open_ends[i] = app->open_ends[--app->n_open];
            break;
        }
    }
}

/* Bytes of a message: its number, then a pattern that follows from it. */
static uint64_t word_at(uint32_t idx, uint32_t i)
{
    return idx * UINT64_C(0x9e3779b97f4a7c15) + i;
}

void sim_msg_write(uint8_t *to, uint32_t idx, uint32_t len)
{
    const struct head head = {.magic = MAGIC, .msg = idx};
    if (len == 0) {
        return;
    }
    memcpy(to, &head, sizeof(head));
    for (uint32_t at = sizeof(head), i = 0; at < len; at += 8, i++) {
        uint64_t word = word_at(idx, i);
        memcpy(to + at, &word, len - at < 8 ? len - at : 8);
    }
}

static bool is_message(const uint8_t *from, uint32_t idx, uint32_t len)
{
    for (uint32_t at = sizeof(struct head), i = 0; at < len; at += 8, i++) {
        uint64_t word = word_at(idx, i);
        if (memcmp(from + at, &word, len - at < 8 ? len - at : 8) != 0) {
            return false;
        }
    }
    return true;
}

static void on_received(struct sim_world *world, const struct sim_app *app, struct sim_end *end,
                        const struct shm_completion *cpl)
{
    uint64_t off = cpl->u.received.off;
    uint32_t len = cpl->u.received.len;
    SIM_CHECK(off % 64 == 0 && off + len <= world->plan.rx_bytes);
    world->n_arrived++;
    if (len == 0) {
        end->n_empty_arrived++;
        SIM_CHECK(end->peer == 0 || end->n_empty_arrived <= world->ends[end->peer].n_empty_sent);
        return;
    }
    struct head head;
    SIM_CHECK(len >= sizeof(head));
    memcpy(&head, app->rx + off, sizeof(head));
    SIM_CHECK(head.magic == MAGIC && head.msg > 0 && head.msg < world->n_msgs);
    struct sim_msg *msg = &world->msgs[head.msg];
    struct sim_end *sender = &world->ends[msg->end];
    uint32_t own = (uint32_t)(end - world->ends);
    SIM_CHECK(msg->len == len);
    SIM_CHECK(!msg->has_arrived);
    SIM_CHECK(!msg->is_unsent);
    SIM_CHECK(end->peer == 0 || end->peer == msg->end);
    SIM_CHECK(sender->peer == 0 || sender->peer == own);
    SIM_CHECK(is_message(app->rx + off, head.msg, len));
    end->peer = msg->end;
    sender->peer = own;
    msg->has_arrived = true;
    sender->n_arrived++;
    if (msg->is_ordered) {
        SIM_CHECK(msg->stream == cpl->u.received.stream);
        SIM_CHECK(head.msg >= end->last_msg[msg->stream]);
        end->last_msg[msg->stream] = head.msg + 1;
    }
}

/* The memory is ours again: written over at once, so that what is still read from it shows. */
static void on_sent_one(struct sim_world *world, struct sim_app *app, uint64_t tag, bool is_unsent)
{
    SIM_CHECK(tag > 0 && tag < world->n_msgs);
    struct sim_msg *msg = &world->msgs[tag];
    struct sim_end *end = &world->ends[msg->end];
    SIM_CHECK(end->app == app->idx && end->life == app->life);
    SIM_CHECK(!msg->is_given_back);
    SIM_CHECK(!end->is_closed || is_unsent);
    SIM_CHECK(!is_unsent || !msg->has_arrived);
    msg->is_given_back = true;
    msg->is_unsent = is_unsent;
    end->n_given_back++;
    memset(app->tx + (size_t)msg->page * SIM_TX_PAGE, 0xee, (size_t)msg->n_pages * SIM_TX_PAGE);
    SIM_CHECK(base_pages_give(&app->tx_pages, msg->page, msg->n_pages) == BASE_OK);
}

static void on_sent(struct sim_world *world, struct sim_app *app, const struct shm_completion *cpl)
{
    bool is_unsent = (cpl->flags & SHM_CPL_UNSENT) != 0;
    SIM_CHECK(cpl->tag > 0 && cpl->tag < world->n_msgs);
    SIM_CHECK(world->ends[world->msgs[cpl->tag].end].number == cpl->conn);
    SIM_CHECK(cpl->n_more <= SHM_SENT_MORE_MAX && (cpl->n_more == 0 || !is_unsent));
    on_sent_one(world, app, cpl->tag, is_unsent);
    for (uint32_t i = 0; i < cpl->n_more; i++) {
        on_sent_one(world, app, cpl->u.sent.tags[i], is_unsent);
    }
}

/* Engines that are not secured alike never speak, and say so; those that are, never say it. */
static void check_security(const struct sim_world *world, const struct sim_app *app,
                           const struct sim_end *end, const struct shm_completion *cpl)
{
    bool is_opener = (end->number & SHM_CONN_ACCEPTED) == 0;
    bool agree = !is_opener || sim_engines_agree(world, app->engine, end->to_engine);
    SIM_CHECK(agree || (cpl->flags & SHM_CPL_NEVER_OPENED) != 0);
    SIM_CHECK(!agree || cpl->reason != SHM_REASON_SECURITY);
    bool is_calm = world->plan.mishap_gap_ns == 0 && world->plan.weather.loss_ppm == 0;
    SIM_CHECK(agree || !is_calm || cpl->reason == SHM_REASON_SECURITY || end->has_closed ||
              end->has_aborted);
}

static void on_closed(struct sim_world *world, struct sim_app *app, struct sim_end *end,
                      const struct shm_completion *cpl)
{
    SIM_CHECK(end != NULL);
    SIM_CHECK((cpl->flags & SHM_CPL_NEVER_OPENED) == 0 || end->n_arrived == 0);
    SIM_CHECK(cpl->reason > SHM_REASON_NONE && cpl->reason < SHM_REASON_MAX);
    bool is_our_fault = cpl->reason == SHM_REASON_PROTOCOL || cpl->reason == SHM_REASON_BAD_COMMAND;
    SIM_CHECK(!is_our_fault);
    bool is_death = cpl->reason == SHM_REASON_PEER_DEAD ||
                    cpl->reason == SHM_REASON_PEER_RESTARTED ||
                    cpl->reason == SHM_REASON_UNREACHABLE;
    /* A handshake may run out of time when the clock jumps. */
    bool may_die = !world->plan.must_live || (world->plan.mishaps[SIM_MISHAP_CLOCK] != 0 &&
                                              (cpl->flags & SHM_CPL_NEVER_OPENED) != 0);
    SIM_CHECK(may_die || !is_death);
    check_security(world, app, end, cpl);
    end->reason = cpl->reason;
    sim_end_closed(world, app, end);
}

static void on_accepted(struct sim_world *world, struct sim_app *app,
                        const struct shm_completion *cpl)
{
    SIM_CHECK(cpl->tag == SIM_LISTENER && (cpl->conn & SHM_CONN_ACCEPTED) != 0);
    struct sim_end *end = sim_end_new(world, app, cpl->conn);
    end->is_open = true;
}

void sim_books_on_completion(struct sim_world *world, struct sim_app *app,
                             const struct shm_completion *cpl)
{
    struct sim_end *end = sim_end_find(world, app, cpl->conn);
    sim_net_note(&world->net, (uint64_t)cpl->kind << 32 ^ cpl->conn);
    if (world->is_traced) {
        (void)printf("%12llu app %u kind %u conn %x tag %llu reason %u flags %u len %u\n",
                     (unsigned long long)world->net.now_ns, app->idx, cpl->kind, cpl->conn,
                     (unsigned long long)cpl->tag, cpl->reason, cpl->flags,
                     cpl->kind == SHM_CPL_RECEIVED ? cpl->u.received.len : 0);
    }
    switch ((enum shm_cpl_kind)cpl->kind) {
    case SHM_CPL_LISTENING:
        break;
    case SHM_CPL_OPENED:
        SIM_CHECK(end != NULL && !end->is_open);
        SIM_CHECK(sim_engines_agree(world, app->engine, end->to_engine));
        end->is_open = true;
        break;
    case SHM_CPL_ACCEPTED:
        SIM_CHECK(end == NULL);
        on_accepted(world, app, cpl);
        break;
    case SHM_CPL_RECEIVED:
        SIM_CHECK(end != NULL && end->is_open);
        on_received(world, app, end, cpl);
        break;
    case SHM_CPL_SENT:
        on_sent(world, app, cpl);
        break;
    case SHM_CPL_CLOSED:
        on_closed(world, app, end, cpl);
        break;
    case SHM_CPL_MAX:
        SIM_CHECK(false);
    }
}

/* Messages of `end` must all arrive: it and its peer live, or it closed in order and was told so
 * without the peer having closed as well. */
static bool must_arrive(const struct sim_world *world, const struct sim_end *end)
{
    if (end->peer == 0 || end->is_gone || end->has_aborted) {
        return false;
    }
    const struct sim_end *peer = &world->ends[end->peer];
    if (peer->has_closed || peer->is_gone) {
        return false;
    }
    bool is_flushed = end->is_closed && end->has_closed && end->reason == SHM_REASON_CLOSED;
    return is_flushed || (!end->is_closed && !peer->is_closed);
}

static bool is_settled(const struct sim_world *world, const struct sim_end *end)
{
    bool is_opening = !end->is_open && !end->is_closed;
    /* Whose first message has not arrived has no known peer; it arrives, or the end is told. */
    bool is_unheard = end->peer == 0 && !end->is_closed && end->n_sent > end->n_empty_sent;
    if (is_opening || is_unheard) {
        return false;
    }
    return !must_arrive(world, end) ||
           (end->n_arrived == end->n_sent - end->n_empty_sent &&
            world->ends[end->peer].n_empty_arrived == end->n_empty_sent);
}

bool sim_books_are_settled(const struct sim_world *world)
{
    for (uint32_t i = 1; i < world->n_ends; i++) {
        if (!is_settled(world, &world->ends[i])) {
            return false;
        }
    }
    return true;
}

void sim_books_check_refusals(struct sim_world *world)
{
    for (uint32_t i = 1; i < world->n_ends; i++) {
        const struct sim_end *end = &world->ends[i];
        if (end->reason == SHM_REASON_SECURITY) {
            const struct pony_flow_table *table = world->engines[end->to_engine].engine->flows;
            SIM_CHECK(table->counters[PONY_FLOW_C_DROP_SECURITY] > 0);
        }
    }
}

bool sim_books_all_closed(const struct sim_world *world)
{
    for (uint32_t i = 1; i < world->n_ends; i++) {
        if (!world->ends[i].is_closed) {
            return false;
        }
    }
    return true;
}

void sim_books_print(const struct sim_world *world)
{
    for (uint32_t i = 1; i < world->n_ends; i++) {
        const struct sim_end *end = &world->ends[i];
        if (end->is_closed && is_settled(world, end)) {
            continue;
        }
        (void)fprintf(stderr,
                      "end %u: app %u number %x peer %u, open %d closed %d (%u) by us %d, sent %u "
                      "(%u empty), given back %u, arrived %u\n",
                      i, end->app, end->number, end->peer, end->is_open, end->is_closed,
                      end->reason, end->has_closed, end->n_sent, end->n_empty_sent,
                      end->n_given_back, end->n_arrived);
    }
}
