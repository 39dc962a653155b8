/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/app.h"

#include "base/assert.h"
#include "transport/pony/protocol/state.h"

#include <stdlib.h>

enum {
    NO_CONN = -1
};

/* Messages that can be neither handed over nor dropped: all that credit and pages allow, and the
 * large ones that wait. */
static uint32_t rx_msgs_max(const struct pony_app *app)
{
    uint64_t eager = app->credit.cap / PONY_CHARGE_MIN;
    return (uint32_t)(eager + app->rx.large.n_pages + (uint64_t)app->max_conns * PONY_RTS_MAX);
}

static enum base_err make_tables(struct pony_app *app)
{
    BASE_TRY(pony_rxmem_init(&app->rx, app->config.rx_base, app->config.rx_bytes));
    pony_credit_pool_init(&app->credit, pony_rxmem_potential(&app->rx), app->max_conns);
    uint32_t n_rx = rx_msgs_max(app);
    BASE_TRY(pony_rx_table_init(&app->rx_msgs, n_rx));
    BASE_TRY(base_pool_init(&app->tx_msgs, sizeof(struct pony_tx_msg), PONY_APP_TX_MAX,
                            PONY_APP_TX_MAX));
    BASE_TRY(base_pool_reserve(&app->tx_msgs, PONY_APP_TX_MAX));
    uint64_t n_backlog = (uint64_t)n_rx + PONY_APP_TX_MAX + 4ull * app->max_conns +
                         2ull * app->end.cpl_slots + 2ull * PONY_APP_LISTENERS_MAX;
    uint32_t n_slots = base_ceil_pow2_u32((uint32_t)base_min_u64(n_backlog, UINT32_C(1) << 30));
    uint32_t n_numbers = base_max_u32(64, base_ceil_pow2_u32(app->max_conns));
    app->backlog_mask = n_slots - 1;
    app->numbers_mask = n_numbers - 1;
    app->backlog = calloc(n_slots, sizeof(*app->backlog));
    app->recs = calloc(app->end.cpl_slots, sizeof(*app->recs));
    app->numbers = malloc(n_numbers * sizeof(*app->numbers));
    BASE_ENSURE(app->backlog != NULL && app->recs != NULL && app->numbers != NULL, BASE_E_NOMEM);
    for (uint32_t i = 0; i < n_numbers; i++) {
        app->numbers[i] = (uint32_t)NO_CONN;
    }
    return BASE_OK;
}

enum base_err pony_app_init(struct pony_app *app, struct pony_engine *engine,
                            const struct pony_app_config *config)
{
    *app = (struct pony_app){
        .end = config->end,
        .engine = engine,
        .tx_base = config->tx_base,
        .tx_bytes = config->tx_bytes,
        .max_message_bytes = config->max_message_bytes,
        .max_conns = base_min_u32(config->max_conns, engine->config.max_conns),
        .config = *config,
        .info = {.port = config->port, .pid = config->pid, .uid = config->uid},
    };
    base_list_init(&app->waiting);
    base_list_init(&app->conns);
    base_list_init(&app->listeners);
    base_list_init(&app->link);
    base_list_init(&app->dirty);
    enum base_err err = app->max_conns > 0 ? make_tables(app) : BASE_E_INVALID;
    if (err != BASE_OK) {
        pony_app_fini(app);
    }
    return err;
}

void pony_app_fini(struct pony_app *app)
{
    pony_rxmem_fini(&app->rx);
    pony_rx_table_fini(&app->rx_msgs);
    base_pool_fini(&app->tx_msgs);
    free(app->backlog);
    free(app->recs);
    free(app->numbers);
    app->backlog = NULL;
    app->recs = NULL;
    app->numbers = NULL;
}

static void mark_dirty(struct pony_app *app)
{
    if (!app->is_dirty) {
        app->is_dirty = true;
        base_list_add_tail(&app->engine->dirty, &app->dirty);
    }
}

static bool has_room(const struct pony_app *app)
{
    return app->n_put - app->n_consumed < app->end.cpl_slots;
}

/* That a message was sent is no news; a queue that fills up is, whatever it is full of. */
static bool is_news(const struct pony_app *app, const struct shm_completion *completion)
{
    bool is_unsent = (completion->flags & SHM_CPL_UNSENT) != 0;
    return completion->kind != SHM_CPL_SENT || is_unsent ||
           app->n_put + 1 - app->n_consumed >= app->end.cpl_slots / 2;
}

/* Where a completion that names `rec` is to be written; there is room. */
static inline struct shm_completion *next_slot(struct pony_app *app, struct pony_cq_rec rec,
                                               bool is_news)
{
    app->recs[app->end.cpl_tail & (app->end.cpl_slots - 1)] = rec;
    app->n_put++;
    app->has_news |= is_news;
    app->info.completions++;
    mark_dirty(app);
    return shm_engine_next(&app->end);
}

static void put(struct pony_app *app, const struct shm_completion *completion,
                const struct pony_cq_rec *rec)
{
    *next_slot(app, *rec, is_news(app, completion)) = *completion;
}

static const struct pony_cq_rec nothing = {.off = PONY_NO_MEMORY};

/* Until there is room in the queue. */
static void keep_back(struct pony_app *app, const struct shm_completion *completion,
                      const struct pony_cq_rec *rec)
{
    /* Bounded by what may be outstanding; see make_tables(). */
    base_assert(app->backlog_tail - app->backlog_head <= app->backlog_mask);
    struct pony_backlog_item *item = &app->backlog[app->backlog_tail & app->backlog_mask];
    *item = (struct pony_backlog_item){.completion = *completion, .rec = *rec};
    app->backlog_tail++;
    pony_count(app->engine, PONY_OPS_BACKLOGGED, 1);
}

static bool may_put(const struct pony_app *app)
{
    return !pony_app_has_backlog(app) && has_room(app);
}

/* Into the queue, or behind what waits for it. */
static void hand_over(struct pony_app *app, const struct shm_completion *completion,
                      const struct pony_cq_rec *rec)
{
    pony_count(app->engine, PONY_OPS_COMPLETIONS, 1);
    if (may_put(app)) {
        put(app, completion, rec);
    } else {
        keep_back(app, completion, rec);
    }
}

void pony_app_put_sent(struct pony_app *app)
{
    if (app->n_sent == 0) {
        return;
    }
    app->sent.n_more = (uint8_t)(app->n_sent - 1);
    hand_over(app, &app->sent, &nothing);
    app->sent = (struct shm_completion){0};
    app->n_sent = 0;
}

void pony_app_sent(struct pony_app *app, uint32_t shm_number, uint64_t tag)
{
    if (app->is_dead) {
        return;
    }
    if (app->n_sent == 0) {
        app->sent.kind = SHM_CPL_SENT;
        app->sent.conn = shm_number;
        app->sent.tag = tag;
        mark_dirty(app);
    } else {
        app->sent.u.sent.tags[app->n_sent - 1] = tag;
    }
    app->n_sent++;
    if (app->n_sent > SHM_SENT_MORE_MAX || !app->config.joins_sent) {
        pony_app_put_sent(app);
    }
}

void pony_app_complete(struct pony_app *app, const struct shm_completion *completion)
{
    if (!app->is_dead) {
        pony_app_put_sent(app);
        hand_over(app, completion, &nothing);
    }
}

static inline void write_received(struct shm_completion *to, uint32_t shm_number,
                                  const struct pony_rx_facts *facts)
{
    *to = (struct shm_completion){
        .kind = SHM_CPL_RECEIVED,
        .conn = shm_number,
        .u.received = {
            .off = facts->off, .len = facts->len, .stream = facts->stream, .seq = facts->seq}};
}

static struct pony_cq_rec rec_of(const struct pony_conn *conn, const struct pony_rx_facts *facts)
{
    return (struct pony_cq_rec){.off = facts->off, .len = facts->len, .conn = conn->number};
}

/* A function of its own: the way that all messages take needs no memory of its own. */
static __attribute__((noinline)) void keep_back_received(struct pony_app *app,
                                                         const struct pony_conn *conn,
                                                         const struct pony_rx_facts *facts)
{
    const struct pony_cq_rec rec = rec_of(conn, facts);
    struct shm_completion completion;
    write_received(&completion, conn->shm_number, facts);
    keep_back(app, &completion, &rec);
}

void pony_app_received(struct pony_app *app, const struct pony_conn *conn,
                       const struct pony_rx_facts *facts)
{
    if (app->is_dead) {
        return;
    }
    app->info.received_msgs++;
    app->info.received_bytes += facts->len;
    pony_count(app->engine, PONY_OPS_COMPLETIONS, 1);
    if (may_put(app)) {
        /* As one is written for each message, it is written where it belongs. */
        const uint32_t shm_number = conn->shm_number;
        write_received(next_slot(app, rec_of(conn, facts), true), shm_number, facts);
    } else {
        keep_back_received(app, conn, facts);
    }
}

void pony_app_top_up(struct pony_app *app, struct pony_conn *conn)
{
    if (pony_credit_grant(&app->credit, &conn->credit, pony_rxmem_potential(&app->rx))) {
        pony_conn_grant_credit(conn);
    }
}

void pony_app_on_memory(struct pony_app *app)
{
    struct pony_credit *credit;
    while ((credit = pony_credit_next_waiting(&app->credit, pony_rxmem_potential(&app->rx))) !=
           NULL) {
        uint32_t before = credit->limit;
        pony_app_top_up(app, base_list_entry(credit, struct pony_conn, credit));
        if (credit->limit == before) {
            base_list_del(&credit->wait); /* wants nothing now: asks again when it consumes */
        }
    }
    if (!base_list_is_empty(&app->waiting)) {
        pony_receive_serve_waiting(app);
    }
}

void pony_app_give_memory(struct pony_app *app, struct pony_conn *conn, uint64_t off, uint32_t len)
{
    if (off >= app->rx.large_off) {
        pony_rxmem_give_large(&app->rx, off, len);
        return;
    }
    (void)pony_rxmem_give_eager(&app->rx, off, len);
    if (conn != NULL) {
        pony_credit_consume(&app->credit, &conn->credit, pony_charge(len));
    }
}

/* `charge` bytes of what the connection received are consumed. */
static void take_back_credit(struct pony_app *app, uint32_t number, uint32_t charge)
{
    struct pony_conn *conn = pony_conn_find(app->engine, number);
    if (conn == NULL || conn->app != app || conn->state == PONY_CONN_ENDED ||
        conn->state == PONY_CONN_ABORTING) {
        return;
    }
    pony_credit_consume(&app->credit, &conn->credit, charge);
    pony_app_top_up(app, conn);
}

/* Takes back what the next consumed completions, at most `n`, named; up to the first one of another
 * connection, so that credit is counted once for many messages. Returns how many completions. */
static uint32_t take_back_run(struct pony_app *app, uint32_t n)
{
    const struct pony_cq_rec *last = NULL;
    uint32_t charge = 0;
    uint32_t i = 0;
    for (; i < n; i++) {
        const struct pony_cq_rec *rec =
            &app->recs[(app->n_consumed + i) & (app->end.cpl_slots - 1)];
        if (rec->off == PONY_NO_MEMORY) {
            continue;
        }
        if (last != NULL && rec->conn != last->conn) {
            break;
        }
        last = rec;
        if (rec->off >= app->rx.large_off) {
            pony_rxmem_give_large(&app->rx, rec->off, rec->len);
        } else {
            (void)pony_rxmem_give_eager(&app->rx, rec->off, rec->len);
            charge += pony_charge(rec->len);
        }
    }
    if (last != NULL) {
        take_back_credit(app, last->conn, charge);
    }
    return i;
}

enum base_err pony_app_reap(struct pony_app *app)
{
    uint32_t head = 0;
    BASE_TRY(shm_engine_consumed(&app->end, &head));
    uint32_t n = base_min_u32(head - app->n_consumed, PONY_APP_CONSUME_MAX);
    for (uint32_t done = 0, n_run; done < n; done += n_run) {
        n_run = take_back_run(app, n - done);
        app->n_consumed += n_run;
    }
    if (n > 0) {
        pony_app_on_memory(app);
    }
    while (pony_app_has_backlog(app) && has_room(app)) {
        struct pony_backlog_item *item = &app->backlog[app->backlog_head & app->backlog_mask];
        put(app, &item->completion, &item->rec);
        app->backlog_head++;
    }
    if (!pony_app_has_backlog(app)) {
        app->backlog_head = 0; /* only as much of the table is touched as was ever needed */
        app->backlog_tail = 0;
    }
    return BASE_OK;
}

static bool is_ours(uint32_t shm_number)
{
    return (shm_number & SHM_CONN_ACCEPTED) != 0;
}

/* The pool index in a number that we chose: it needs no table. */
static uint32_t index_of_ours(const struct pony_app *app, uint32_t shm_number)
{
    return shm_number & ((UINT32_C(1) << app->engine->conn_bits) - 1);
}

/* Applications number their connections from 1 on, so numbers that follow each other share a line of
 * the table and no chain. Others make chains, at whose length the whole engine waits: it is bounded. */
static uint32_t *chain(const struct pony_app *app, uint32_t shm_number)
{
    return &app->numbers[shm_number & app->numbers_mask];
}

struct pony_conn *pony_app_find_conn(const struct pony_app *app, uint32_t shm_number)
{
    const struct base_pool *conns = &app->engine->conns;
    if (is_ours(shm_number)) {
        struct pony_conn *conn = base_pool_at(conns, index_of_ours(app, shm_number));
        bool is_it = conn != NULL && conn->app == app && conn->shm_number == shm_number;
        return is_it ? conn : NULL;
    }
    struct pony_conn *conn = base_pool_at(conns, *chain(app, shm_number));
    while (conn != NULL && conn->shm_number != shm_number) {
        conn = base_pool_at(conns, conn->cold->hash_next);
    }
    return conn;
}

bool pony_app_has_many_alike(const struct pony_app *app, uint32_t shm_number)
{
    const struct base_pool *conns = &app->engine->conns;
    const struct pony_conn *conn = base_pool_at(conns, *chain(app, shm_number));
    uint32_t n = 0;
    for (; conn != NULL; conn = base_pool_at(conns, conn->cold->hash_next)) {
        n++;
    }
    return n >= PONY_APP_ALIKE_MAX;
}

void pony_app_prefetch_conn(const struct pony_app *app, uint32_t shm_number)
{
    uint32_t idx = is_ours(shm_number) ? index_of_ours(app, shm_number) : *chain(app, shm_number);
    base_pool_prefetch(&app->engine->conns, idx, PONY_CONN_HOT_LINES);
}

void pony_app_add_conn(struct pony_app *app, struct pony_conn *conn)
{
    if (!is_ours(conn->shm_number)) {
        uint32_t *at = chain(app, conn->shm_number);
        conn->cold->hash_next = *at;
        *at = base_pool_index(conn);
    }
    base_list_add_tail(&app->conns, &conn->cold->app_link);
    app->n_conns++;
    app->info.conns++;
}

/* Takes it out of its chain. */
static void unchain(struct pony_app *app, const struct pony_conn *conn)
{
    uint32_t idx = base_pool_index(conn);
    uint32_t *at = chain(app, conn->shm_number);
    while (*at != idx) {
        struct pony_conn *other = base_pool_at(&app->engine->conns, *at);
        base_assert(other != NULL);
        at = &other->cold->hash_next;
    }
    *at = conn->cold->hash_next;
}

void pony_app_del_conn(struct pony_app *app, struct pony_conn *conn)
{
    if (!is_ours(conn->shm_number)) {
        unchain(app, conn);
    }
    base_list_del(&conn->cold->app_link);
    app->n_conns--;
    app->info.conns--;
}

void pony_app_fault(struct pony_app *app, enum shm_reason reason, const char *what)
{
    if (app->is_dead) {
        return;
    }
    app->is_dead = true;
    pony_count(app->engine, PONY_OPS_APP_FAULTS, 1);
    base_list_foreach_safe (it, &app->listeners) {
        pony_service_del(base_list_entry(it, struct pony_listener, app_link));
    }
    /* Its memory may still be read by packets in flight: detach ends that. */
    base_list_foreach_safe (it, &app->conns) {
        struct pony_conn *conn = base_list_entry(it, struct pony_conn_cold, app_link)->conn;
        pony_conn_end(conn, SHM_REASON_APP_GONE, PONY_TELL_RESET);
    }
    if (app->config.on_fault != NULL) {
        app->config.on_fault(app->config.ctx, app, reason, what);
    }
}

void pony_app_shut_down(struct pony_app *app)
{
    struct pony_tx_msg *msg;
    for (uint32_t i = 0; (msg = base_pool_next(&app->tx_msgs, &i)) != NULL; i++) {
        if (msg->n_packets > 0) {
            msg->n_packets = 1; /* the packets have their bytes, and have forgotten it */
            pony_tx_released(msg);
        }
    }
    base_list_foreach_safe (it, &app->conns) {
        struct pony_conn *conn = base_list_entry(it, struct pony_conn_cold, app_link)->conn;
        pony_conn_end(conn, SHM_REASON_SHUTDOWN, PONY_TELL_NOTHING);
    }
    base_list_foreach_safe (it, &app->listeners) {
        struct pony_listener *listener = base_list_entry(it, struct pony_listener, app_link);
        const struct shm_completion completion = {.kind = SHM_CPL_CLOSED,
                                                  .flags = SHM_CPL_LISTENER,
                                                  .reason = SHM_REASON_SHUTDOWN,
                                                  .conn = listener->shm_number};
        pony_app_complete(app, &completion);
        pony_service_del(listener);
    }
}
