/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/conn.h"

#include "base/assert.h"
#include "base/lines.h"
#include "transport/pony/protocol/state.h"

static const char *const state_names[PONY_CONN_N_STATES] = {
    [PONY_CONN_OPENING] = "opening",   [PONY_CONN_ACCEPTING] = "accepting",
    [PONY_CONN_OPEN] = "open",         [PONY_CONN_CLOSING] = "closing",
    [PONY_CONN_ABORTING] = "aborting", [PONY_CONN_ENDED] = "ended",
};

const char *pony_conn_state_name(uint8_t state)
{
    return state < PONY_CONN_N_STATES ? state_names[state] : "?";
}

/* The only writer of state. */
static void set_state(struct pony_conn *conn, enum pony_conn_state state)
{
    conn->state = (uint8_t)state;
}

/* Both parts of a connection, or NULL. */
static struct pony_conn *take_conn(struct pony_engine *engine)
{
    struct pony_conn *conn = base_pool_take(&engine->conns, NULL);
    if (conn == NULL) {
        return NULL;
    }
    conn->cold = base_pool_take(&engine->cold_conns, NULL);
    if (conn->cold == NULL) {
        base_pool_put(&engine->conns, conn);
        return NULL;
    }
    conn->cold->conn = conn;
    return conn;
}

static void give_conn(struct pony_engine *engine, struct pony_conn *conn)
{
    base_pool_put(&engine->cold_conns, conn->cold);
    base_pool_put(&engine->conns, conn);
}

struct pony_conn *pony_conn_create(struct pony_engine *engine, struct pony_app *app)
{
    if (app->n_conns == app->max_conns) {
        return NULL;
    }
    struct pony_conn *conn = take_conn(engine);
    if (conn == NULL) {
        return NULL;
    }
    if (!pony_credit_open(&app->credit, &conn->credit, pony_rxmem_potential(&app->rx))) {
        give_conn(engine, conn);
        return NULL;
    }
    conn->engine = engine;
    conn->app = app;
    conn->number = base_pool_gen(conn) >> 1 << engine->conn_bits | base_pool_index(conn);
    struct pony_conn_cold *cold = conn->cold;
    struct base_list *lists[] = {&conn->eager,      &conn->small_link, &cold->blocked,
                                 &cold->rts,        &cold->asked,      &cold->granted,
                                 &cold->rx_msgs,    &cold->early,      &cold->grants,
                                 &cold->large_link, &cold->app_link,   &cold->link_link};
    for (size_t i = 0; i < BASE_ARRAY_LEN(lists); i++) {
        base_list_init(lists[i]);
    }
    conn->tx_eager_max = UINT32_MAX;
    set_state(conn, PONY_CONN_OPENING);
    return conn;
}

struct pony_conn *pony_conn_find(const struct pony_engine *engine, uint32_t number)
{
    uint32_t idx = number & ((UINT32_C(1) << engine->conn_bits) - 1);
    struct pony_conn *conn = base_pool_at(&engine->conns, idx);
    return conn != NULL && conn->number == number ? conn : NULL;
}

void pony_conn_prefetch(const struct pony_engine *engine, uint32_t number)
{
    uint32_t idx = number & ((UINT32_C(1) << engine->conn_bits) - 1);
    base_pool_prefetch(&engine->conns, idx, PONY_CONN_HOT_LINES);
}

static struct pony_link *link_of(struct pony_conn *conn)
{
    return conn->is_local ? &conn->engine->local : conn->link;
}

static void on_busy(struct pony_link *link, uint32_t class)
{
    link->busy |= 1u << class;
    if (link->flow == NULL) {
        return;
    }
    if (class != link->class) {
        pony_link_reclass(link);
    }
    pony_flow_wants_fill(link->flow);
}

void pony_conn_wake_small(struct pony_conn *conn)
{
    struct pony_link *link = link_of(conn);
    if (link == NULL || base_list_is_linked(&conn->small_link)) {
        return;
    }
    base_list_add_tail(&link->rounds[conn->class].small, &conn->small_link);
    on_busy(link, conn->class);
}

void pony_conn_wake_large(struct pony_conn *conn)
{
    struct pony_link *link = link_of(conn);
    if (link == NULL || base_list_is_linked(&conn->cold->large_link)) {
        return;
    }
    base_list_add_tail(&link->rounds[conn->class].large, &conn->cold->large_link);
    on_busy(link, conn->class);
}

static void complete(const struct pony_conn *conn, enum shm_cpl_kind kind, uint8_t flags,
                     uint64_t tag)
{
    struct shm_completion completion = {
        .kind = (uint8_t)kind, .flags = flags, .conn = conn->shm_number, .tag = tag};
    if (kind == SHM_CPL_CLOSED) {
        completion.reason = conn->reason;
    }
    if (kind == SHM_CPL_OPENED && conn->link != NULL) {
        completion.u.peer.addr = pony_addr_to_shm(pony_flow_peer(conn->link->flow));
    }
    pony_app_complete(conn->app, &completion);
}

/* Nothing of it is in the round any more but the frames in ctl. */
static void leave_round(struct pony_conn *conn)
{
    base_list_del(&conn->cold->large_link);
    if (conn->ctl == 0) {
        base_list_del(&conn->small_link);
    } else {
        pony_conn_wake_small(conn);
    }
}

static uint8_t last_frames(struct pony_conn *conn, enum pony_tell tell)
{
    bool has_way = conn->is_local ? conn->peer != NULL : conn->link != NULL;
    if (!has_way || tell == PONY_TELL_NOTHING) {
        return 0;
    }
    /* A RESET of an acceptor replaces, or overtakes, its OPEN_OK: the end for an opener as well. */
    return tell == PONY_TELL_RESET ? PONY_CTL_RESET : PONY_CTL_CLOSE_OK;
}

void pony_conn_set_accepting(struct pony_conn *conn)
{
    set_state(conn, PONY_CONN_ACCEPTING);
    conn->ctl |= PONY_CTL_OPEN_OK;
    pony_count(conn->engine, PONY_OPS_ACCEPTED, 1);
    pony_conn_wake_small(conn);
}

/*
 * An ordered eager message behind a large one of its lane stays here until that one has its GRANT:
 * the peer could not hand it over, and it would occupy memory there for as long as the large one
 * waits for memory. So whatever was sent eagerly is handed over by progress of the network alone,
 * and memory cannot wait for itself in a circle (PX-76).
 */
static void enqueue(struct pony_conn *conn, struct pony_tx_msg *msg)
{
    struct pony_conn_cold *cold = conn->cold;
    uint16_t *waits = &cold->lane_waits[msg->stream % PONY_LANES];
    if (msg->len > conn->tx_eager_max) {
        msg->state = PONY_TX_RTS;
        *waits = (uint16_t)(*waits + msg->is_ordered);
        base_list_add_tail(&cold->rts, &msg->link);
        conn->may_ask = true;
    } else if (msg->is_ordered && *waits > 0) {
        msg->state = PONY_TX_BLOCKED;
        *waits = (uint16_t)(*waits + 1);
        base_list_add_tail(&cold->blocked, &msg->link);
    } else {
        msg->state = PONY_TX_EAGER;
        base_list_add_tail(&conn->eager, &msg->link);
    }
}

/* Narrows `*limit` to the first message in `queue` that is ordered in `lane`. */
static void find_first(const struct base_list *queue, uint32_t lane, uint32_t *limit)
{
    base_list_foreach (it, queue) {
        const struct pony_tx_msg *msg = base_list_entry(it, struct pony_tx_msg, link);
        if (msg->is_ordered && msg->stream % PONY_LANES == lane &&
            (int32_t)(msg->msg_no - *limit) < 0) {
            *limit = msg->msg_no;
        }
    }
}

/* Blocked messages of a lane that are before its first large one without GRANT. */
static void unblock(struct pony_conn *conn, uint32_t lane)
{
    struct pony_conn_cold *cold = conn->cold;
    uint32_t limit = (uint32_t)conn->sent_msgs;
    find_first(&cold->asked, lane, &limit);
    find_first(&cold->rts, lane, &limit);
    base_list_foreach_safe (it, &cold->blocked) {
        struct pony_tx_msg *msg = base_list_entry(it, struct pony_tx_msg, link);
        if (msg->stream % PONY_LANES == lane && (int32_t)(msg->msg_no - limit) < 0) {
            base_list_del(&msg->link);
            msg->state = PONY_TX_EAGER;
            base_list_add_tail(&conn->eager, &msg->link);
            cold->lane_waits[lane]--;
        }
    }
}

void pony_tx_on_grant(struct pony_tx_msg *msg)
{
    struct pony_conn *conn = msg->conn;
    struct pony_conn_cold *cold = conn->cold;
    uint32_t lane = msg->stream % PONY_LANES;
    base_list_del(&msg->link);
    base_list_add_tail(&cold->granted, &msg->link);
    msg->state = PONY_TX_GRANTED;
    cold->n_asked--;
    pony_conn_wake_large(conn);
    if (msg->is_ordered) {
        cold->lane_waits[lane]--;
        if (!base_list_is_empty(&cold->blocked)) {
            unblock(conn, lane);
        }
    }
    if (!base_list_is_empty(&cold->rts) || !base_list_is_empty(&conn->eager)) {
        pony_conn_wake_small(conn);
    }
}

void pony_conn_on_peer_limits(struct pony_conn *conn, uint32_t limit, uint32_t eager_max)
{
    conn->tx_limit = limit;
    conn->tx_eager_max = eager_max;
    struct base_list sorted;
    struct base_list *it;
    base_list_init(&sorted);
    while ((it = base_list_take_first(&conn->eager)) != NULL) {
        struct pony_tx_msg *msg = base_list_entry(it, struct pony_tx_msg, link);
        base_list_add_tail(&sorted, &msg->link);
    }
    while ((it = base_list_take_first(&sorted)) != NULL) {
        enqueue(conn, base_list_entry(it, struct pony_tx_msg, link));
    }
}

void pony_conn_on_late_open(struct pony_conn *conn, uint32_t peer_number)
{
    base_assert(conn->state == PONY_CONN_ABORTING);
    conn->peer_number = peer_number;
    set_state(conn, PONY_CONN_ENDED);
    conn->ctl = last_frames(conn, PONY_TELL_RESET);
    leave_round(conn);
    pony_conn_settle(conn);
}

void pony_conn_on_open(struct pony_conn *conn)
{
    bool was_opening = conn->state == PONY_CONN_OPENING;
    set_state(conn, conn->is_flushing ? PONY_CONN_CLOSING : PONY_CONN_OPEN);
    conn->was_open = true;
    if (was_opening) {
        pony_count(conn->engine, PONY_OPS_OPENED, 1);
        complete(conn, SHM_CPL_OPENED, 0, 0);
    }
    pony_conn_wake_small(conn);
}

bool pony_conn_may_send_close(const struct pony_conn *conn)
{
    const struct pony_conn_cold *cold = conn->cold;
    return conn->state == PONY_CONN_CLOSING && !conn->is_close_sent &&
           base_list_is_empty(&conn->eager) && base_list_is_empty(&cold->blocked) &&
           base_list_is_empty(&cold->rts) && base_list_is_empty(&cold->asked) &&
           base_list_is_empty(&cold->granted);
}

void pony_conn_close(struct pony_conn *conn)
{
    conn->is_flushing = true;
    if (conn->state == PONY_CONN_OPEN) {
        set_state(conn, PONY_CONN_CLOSING);
        pony_conn_wake_small(conn);
    }
}

void pony_conn_send(struct pony_conn *conn, struct pony_tx_msg *msg)
{
    msg->conn = conn;
    msg->msg_no = (uint32_t)conn->sent_msgs++;
    /* PX-69 */
    msg->seq = msg->is_ordered ? conn->cold->tx_seq[msg->stream % PONY_LANES]++ : msg->msg_no;
    conn->n_tx++;
    conn->sent_bytes += msg->len;
    if (conn->peer != NULL) {
        /* It is handed over when the commands of all applications are done: until then the other
         * end is on its way from memory. */
        base_prefetch_lines(conn->peer, PONY_CONN_HOT_LINES);
    }
    enqueue(conn, msg);
    if (conn->state == PONY_CONN_OPEN) {
        pony_conn_wake_small(conn);
    }
}

/* Both ends are here, and know each other. */
static bool is_open_locally(const struct pony_conn *conn)
{
    const struct pony_conn *peer = conn->peer;
    return peer != NULL && conn->state == PONY_CONN_OPEN &&
           (peer->state == PONY_CONN_OPEN || peer->state == PONY_CONN_CLOSING);
}

void pony_conn_grant_credit(struct pony_conn *conn)
{
    if (is_open_locally(conn)) {
        pony_receive_credit(conn->peer, conn->credit.limit);
    } else {
        conn->ctl |= PONY_CTL_CREDIT;
        pony_conn_wake_small(conn);
    }
}

/* Nothing is before it: no local connection stands in a round, none of its own messages waits. */
static bool may_go_at_once(const struct pony_conn *conn, uint32_t len, bool is_ordered)
{
    return is_open_locally(conn) && conn->engine->local.busy == 0 && len <= PONY_AT_ONCE_BYTES &&
           len <= conn->tx_eager_max && !is_ordered && base_list_is_empty(&conn->eager) &&
           conn->tx_limit - conn->tx_used >= pony_charge(len);
}

bool pony_conn_send_at_once(struct pony_conn *conn, const struct shm_command *command,
                            const uint8_t *bytes)
{
    uint32_t len = command->u.send.len;
    if (!may_go_at_once(conn, len, (command->flags & SHM_SEND_ORDERED) != 0)) {
        return false;
    }
    struct pony_app *app = conn->app;
    struct pony_rx_facts facts = {
        .len = len,
        .stream = command->u.send.stream,
        .seq = (uint32_t)conn->sent_msgs++, /* PX-69 */
    };
    conn->tx_used += pony_charge(len);
    conn->sent_bytes += len;
    app->info.sent_msgs++;
    app->info.sent_bytes += len;
    pony_count(conn->engine, PONY_OPS_SENT_MSGS, 1);
    pony_count(conn->engine, PONY_OPS_SENT_BYTES, len);
    pony_count(conn->engine, PONY_OPS_LOCAL_BYTES, len);
    pony_receive_small(conn->peer, bytes, &facts);
    pony_app_sent(app, command->conn, command->tag);
    return true;
}

static void finish_tx(struct pony_tx_msg *msg)
{
    struct pony_conn *conn = msg->conn;
    struct pony_app *app = conn->app;
    if (msg->sent_bytes == 0 && msg->state == PONY_TX_FLYING) {
        complete(conn, SHM_CPL_SENT, SHM_CPL_UNSENT, msg->tag);
    } else {
        app->info.sent_msgs++;
        app->info.sent_bytes += msg->len;
        pony_app_sent(app, conn->shm_number, msg->tag);
    }
    base_pool_put(&app->tx_msgs, msg);
    conn->n_tx--;
}

void pony_tx_handed_over(struct pony_tx_msg *msg)
{
    base_list_del(&msg->link);
    pony_count(msg->conn->engine, PONY_OPS_SENT_MSGS, 1);
    pony_count(msg->conn->engine, PONY_OPS_SENT_BYTES, msg->len);
    if (msg->n_packets == 0) {
        finish_tx(msg);
    } else {
        msg->state = PONY_TX_FLYING;
    }
}

void pony_tx_released(struct pony_tx_msg *msg)
{
    base_assert(msg->n_packets > 0);
    msg->n_packets--;
    if (msg->n_packets == 0 && msg->state == PONY_TX_FLYING) {
        struct pony_conn *conn = msg->conn;
        finish_tx(msg);
        pony_conn_settle(conn);
    }
}

/* Gives up messages that are not in packets, or not wholly. */
static void drop_queue(struct base_list *queue)
{
    struct base_list *it;
    while ((it = base_list_take_first(queue)) != NULL) {
        struct pony_tx_msg *msg = base_list_entry(it, struct pony_tx_msg, link);
        msg->state = PONY_TX_FLYING;
        if (msg->n_packets == 0) {
            finish_tx(msg);
        }
    }
}

static void drop_received(struct pony_conn *conn)
{
    struct pony_app *app = conn->app;
    struct base_list *it;
    while ((it = base_list_first(&conn->cold->rx_msgs)) != NULL) {
        struct pony_rx_msg *msg = base_list_entry(it, struct pony_rx_msg, link);
        if (msg->state == PONY_RX_PARTIAL || msg->state == PONY_RX_HELD) {
            pony_app_give_memory(app, conn, msg->off, msg->len);
        }
        pony_rx_give(&app->rx_msgs, msg);
    }
}

void pony_conn_end(struct pony_conn *conn, enum shm_reason reason, enum pony_tell tell)
{
    if (conn->state == PONY_CONN_ENDED || conn->state == PONY_CONN_ABORTING) {
        return;
    }
    struct pony_conn_cold *cold = conn->cold;
    bool is_opening = conn->state == PONY_CONN_OPENING;
    bool was_sent = is_opening && (conn->ctl & PONY_CTL_OPEN) == 0 && tell != PONY_TELL_NOTHING &&
                    (conn->link != NULL || conn->is_local);
    conn->reason = (uint8_t)reason;
    conn->ctl = is_opening ? 0 : last_frames(conn, tell);
    set_state(conn, was_sent ? PONY_CONN_ABORTING : PONY_CONN_ENDED);
    if (tell == PONY_TELL_RESET) {
        pony_count(conn->engine, PONY_OPS_RESET, 1);
    }
    drop_queue(&conn->eager);
    drop_queue(&cold->blocked);
    drop_queue(&cold->rts);
    drop_queue(&cold->asked);
    drop_queue(&cold->granted);
    cold->n_asked = 0;
    leave_round(conn);
    drop_received(conn);
    pony_credit_close(&conn->app->credit, &conn->credit);
    pony_app_on_memory(conn->app);
    pony_conn_settle(conn);
}

static void free_conn(struct pony_conn *conn)
{
    struct pony_engine *engine = conn->engine;
    if (conn->peer != NULL) {
        conn->peer->peer = NULL;
    }
    base_list_del(&conn->small_link);
    base_list_del(&conn->cold->large_link);
    base_list_del(&conn->cold->link_link);
    if (conn->link != NULL) {
        pony_flow_del_user(conn->link->flow, engine->now_ns);
    }
    give_conn(engine, conn);
}

void pony_conn_settle(struct pony_conn *conn)
{
    if ((conn->state != PONY_CONN_ENDED && conn->state != PONY_CONN_ABORTING) || conn->n_tx > 0) {
        return;
    }
    if (conn->app != NULL && !conn->is_told) {
        conn->is_told = true;
        pony_count(conn->engine, PONY_OPS_CLOSED, 1);
        /* PX-66 */
        complete(conn, SHM_CPL_CLOSED, conn->was_open ? 0 : SHM_CPL_NEVER_OPENED, 0);
        pony_app_del_conn(conn->app, conn);
        conn->app = NULL;
    }
    if (conn->state == PONY_CONN_ENDED && conn->ctl == 0) {
        free_conn(conn);
    }
}

void pony_conn_is_over(struct pony_conn *conn, enum shm_reason reason)
{
    if (conn->state == PONY_CONN_ABORTING) {
        set_state(conn, PONY_CONN_ENDED);
    }
    if (conn->state == PONY_CONN_ENDED) {
        conn->ctl = 0;
        pony_conn_settle(conn);
    } else {
        pony_conn_end(conn, reason, PONY_TELL_NOTHING);
    }
}

void pony_conn_on_link_down(struct pony_conn *conn, enum shm_reason reason)
{
    base_list_del(&conn->cold->link_link);
    base_list_del(&conn->small_link);
    base_list_del(&conn->cold->large_link);
    conn->link = NULL;
    conn->ctl = 0;
    pony_conn_is_over(conn, reason);
}

void pony_conn_forget_app(struct pony_conn *conn)
{
    if (conn->state != PONY_CONN_ENDED && conn->state != PONY_CONN_ABORTING) {
        conn->is_told = true;
        pony_app_del_conn(conn->app, conn);
        /* pony_conn_end() settles, and frees what has nothing more to say: not before n_tx is 0. */
        conn->n_tx++;
        pony_conn_end(conn, SHM_REASON_APP_GONE, PONY_TELL_RESET);
    } else if (conn->app != NULL) {
        pony_app_del_conn(conn->app, conn);
    }
    conn->app = NULL;
    conn->n_tx = 0;
    pony_conn_settle(conn);
}
