/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/copy.h"
#include "base/span.h"
#include "transport/pony/protocol/rxmem.h"
#include "transport/pony/protocol/state.h"

#include <string.h>

/*
 * What arrives. A frame that is malformed resets its flow (PX-60); one that breaks the rules of its
 * connection resets that connection (PX-62); one for a connection that is gone is counted and
 * dropped: the peer has not heard yet (PX-61).
 */

enum {
    AHEAD = 16 /* frames decoded before the first of them is handled */
};

static void violate(struct pony_conn *conn)
{
    pony_count(conn->engine, PONY_OPS_PROTOCOL_ERRORS, 1);
    pony_conn_end(conn, SHM_REASON_PROTOCOL, PONY_TELL_RESET);
}

/* Our own bookkeeping has no room: this connection pays, nobody else (PX-73). */
static void run_out(struct pony_conn *conn)
{
    pony_count(conn->engine, PONY_OPS_NO_MEMORY, 1);
    pony_conn_end(conn, SHM_REASON_NO_MEMORY, PONY_TELL_RESET);
}

/* The last of the peer's messages is there, and it has closed. PX-67 */
static bool finish_close(struct pony_conn *conn)
{
    if (!conn->has_close || (uint32_t)conn->received_msgs != conn->cold->n_peer_msgs) {
        return false;
    }
    pony_conn_end(conn, SHM_REASON_CLOSED, PONY_TELL_CLOSE_OK);
    return true;
}

static struct pony_rx_facts facts_of(const struct pony_rx_msg *msg)
{
    return (struct pony_rx_facts){.off = msg->off,
                                  .len = msg->len,
                                  .stream = msg->stream,
                                  .seq = msg->seq,
                                  .is_ordered = msg->is_ordered};
}

static void hand_over(struct pony_conn *conn, const struct pony_rx_facts *facts)
{
    conn->received_msgs++;
    conn->received_bytes += facts->len;
    pony_count(conn->engine, PONY_OPS_RECEIVED_MSGS, 1);
    pony_count(conn->engine, PONY_OPS_RECEIVED_BYTES, facts->len);
    pony_app_received(conn->app, conn, facts);
}

/* Messages of the lane that waited for the one before them. */
static void hand_over_held(struct pony_conn *conn, uint32_t lane)
{
    struct pony_rx_table *table = &conn->app->rx_msgs;
    struct pony_rx_msg *msg;
    while ((msg = pony_rx_find_held(table, conn, lane, conn->cold->rx_seq[lane])) != NULL) {
        conn->cold->rx_seq[lane]++;
        const struct pony_rx_facts facts = facts_of(msg);
        hand_over(conn, &facts);
        pony_rx_give(table, msg);
    }
}

/* An ordered message that is whole. `msg` is its state, or NULL if it never had one. */
static void on_whole_ordered(struct pony_conn *conn, const struct pony_rx_facts *facts,
                             struct pony_rx_msg *msg)
{
    struct pony_rx_table *table = &conn->app->rx_msgs;
    uint32_t lane = facts->stream % PONY_LANES;
    if (facts->seq == conn->cold->rx_seq[lane]) {
        conn->cold->rx_seq[lane]++;
        hand_over(conn, facts);
        hand_over_held(conn, lane);
        if (msg != NULL) {
            pony_rx_give(table, msg);
        }
        (void)finish_close(conn);
        return;
    }
    bool is_old = (int32_t)(facts->seq - conn->cold->rx_seq[lane]) < 0;
    bool is_bad = is_old || pony_rx_find_held(table, conn, lane, facts->seq) != NULL;
    if (msg == NULL) {
        msg = pony_rx_take(table, conn);
        if (msg == NULL) {
            pony_app_give_memory(conn->app, conn, facts->off, facts->len);
            run_out(conn);
            return;
        }
        msg->off = facts->off;
        msg->len = facts->len;
        msg->stream = facts->stream;
        msg->seq = facts->seq;
        msg->is_ordered = true;
    } else {
        pony_rx_hide(table, msg);
    }
    pony_rx_put_held(table, msg);
    if (is_bad) {
        violate(conn); /* frees the message with the others */
    }
}

/* A message is whole. `msg` is its state, or NULL if it never had one. */
static inline void on_whole(struct pony_conn *conn, const struct pony_rx_facts *facts,
                            struct pony_rx_msg *msg)
{
    if (facts->is_ordered) { /* rx_seq is far behind the hot lines */
        on_whole_ordered(conn, facts, msg);
        return;
    }
    hand_over(conn, facts);
    if (msg != NULL) {
        pony_rx_give(&conn->app->rx_msgs, msg);
    }
    (void)finish_close(conn);
}

/* Memory for an eager message, out of the connection's credit. False: the connection has ended. */
static bool take_eager(struct pony_conn *conn, uint32_t len, uint64_t *off)
{
    struct pony_app *app = conn->app;
    if (len > pony_credit_eager_max(&conn->credit) ||
        !pony_credit_charge(&app->credit, &conn->credit, pony_charge(len))) {
        violate(conn);
        return false;
    }
    if (!pony_rxmem_take_eager(&app->rx, len, off)) {
        pony_credit_consume(&app->credit, &conn->credit, pony_charge(len));
        run_out(conn);
        return false;
    }
    return true;
}

void pony_receive_small(struct pony_conn *conn, const uint8_t *bytes, struct pony_rx_facts *facts)
{
    if (take_eager(conn, facts->len, &facts->off)) {
        base_copy(conn->app->rx.base + facts->off, bytes, facts->len);
        on_whole(conn, facts, NULL);
    }
}

static void on_small(struct pony_conn *conn, const struct pony_frame *frame)
{
    struct pony_rx_facts facts = {
        .len = frame->data_len,
        .stream = frame->stream,
        .seq = frame->seq,
        .is_ordered = (frame->flags & PONY_FRAME_ORDERED) != 0,
    };
    pony_receive_small(conn, frame->data, &facts);
}

/* The state of a message that begins; the connection ends if there is no room for it. */
static struct pony_rx_msg *new_message(struct pony_conn *conn, const struct pony_frame *frame)
{
    struct pony_rx_msg *msg = pony_rx_take(&conn->app->rx_msgs, conn);
    if (msg == NULL) {
        run_out(conn);
        return NULL;
    }
    msg->state = PONY_RX_EARLY;
    msg->msg_no = frame->msg_no;
    msg->len = frame->total_bytes;
    msg->stream = frame->stream;
    msg->seq = frame->seq;
    msg->rts_no = frame->rts_no;
    msg->is_ordered = (frame->flags & PONY_FRAME_ORDERED) != 0;
    return msg;
}

static struct pony_rx_msg *begin_eager(struct pony_conn *conn, const struct pony_frame *frame)
{
    uint64_t off = 0;
    if (!take_eager(conn, frame->total_bytes, &off)) {
        return NULL;
    }
    struct pony_app *app = conn->app;
    struct pony_rx_msg *msg = new_message(conn, frame);
    if (msg == NULL) {
        /* The connection has ended, its credit is closed: only the memory is left to give. */
        pony_app_give_memory(app, NULL, off, frame->total_bytes);
        return NULL;
    }
    msg->off = off;
    pony_rx_put_partial(&app->rx_msgs, msg);
    return msg;
}

/* PX-70, PX-71 */
static void on_frag(struct pony_conn *conn, const struct pony_frame *frame)
{
    bool is_eager = (frame->flags & PONY_FRAME_EAGER) != 0;
    struct pony_rx_msg *msg = pony_rx_find_partial(&conn->app->rx_msgs, conn, frame->msg_no);
    if (msg == NULL && is_eager && frame->total_bytes > 0) {
        msg = begin_eager(conn, frame);
        if (msg == NULL) {
            return;
        }
    }
    if (msg == NULL || msg->is_large == is_eager || msg->len != frame->total_bytes ||
        frame->data_len == 0 || !base_span_fits(frame->off, frame->data_len, msg->len) ||
        frame->data_len > msg->len - msg->received_bytes) {
        violate(conn);
        return;
    }
    if (msg->is_large && msg->received_bytes == 0) {
        pony_rxmem_move_large(&conn->app->rx, msg->len, &msg->off);
    }
    base_copy(conn->app->rx.base + msg->off + frame->off, frame->data, frame->data_len);
    msg->received_bytes += frame->data_len;
    if (msg->received_bytes == msg->len) {
        const struct pony_rx_facts facts = facts_of(msg);
        on_whole(conn, &facts, msg);
    }
}

/* PX-77: whoever does not consume keeps its senders waiting here, and no flow. */
void pony_receive_serve_waiting(struct pony_app *app)
{
    struct base_list *first;
    while ((first = base_list_first(&app->waiting)) != NULL) {
        struct pony_rx_msg *msg = base_list_entry(first, struct pony_rx_msg, turn);
        if (!pony_rxmem_take_large(&app->rx, msg->len, &msg->off)) {
            return; /* first come, first served: a small one must not starve a big one */
        }
        base_list_del(&msg->turn);
        base_list_add_tail(&msg->conn->cold->grants, &msg->turn);
        msg->conn->may_ask = true;
        msg->conn->cold->n_granted++;
        pony_rx_put_partial(&app->rx_msgs, msg);
        pony_conn_wake_small(msg->conn);
    }
}

/* Moves RTS whose turn it is to the application's list. Their order is the order in which the
 * sender's application sent them: else two ordered messages could wait for each other's memory
 * (PX-75). */
static void take_turns(struct pony_conn *conn)
{
    struct pony_conn_cold *cold = conn->cold;
    bool has_moved = true;
    while (has_moved) {
        has_moved = false;
        base_list_foreach (it, &cold->early) {
            struct pony_rx_msg *msg = base_list_entry(it, struct pony_rx_msg, turn);
            if (msg->rts_no == cold->rx_rts_no) {
                cold->rx_rts_no++;
                base_list_del(&msg->turn);
                msg->state = PONY_RX_WAITING;
                base_list_add_tail(&conn->app->waiting, &msg->turn);
                has_moved = true;
                break;
            }
        }
    }
}

static void on_rts(struct pony_conn *conn, const struct pony_frame *frame)
{
    struct pony_app *app = conn->app;
    struct pony_conn_cold *cold = conn->cold;
    bool has_turn_to_come = frame->rts_no - cold->rx_rts_no < PONY_RTS_MAX;
    if (!has_turn_to_come || frame->rts_no - cold->n_granted >= PONY_RTS_MAX ||
        frame->total_bytes == 0) {
        violate(conn);
        return;
    }
    if (frame->total_bytes > app->rx.large_bytes || frame->total_bytes > app->max_message_bytes) {
        run_out(conn);
        return;
    }
    base_list_foreach (it, &cold->early) {
        if (base_list_entry(it, struct pony_rx_msg, turn)->rts_no == frame->rts_no) {
            violate(conn);
            return;
        }
    }
    struct pony_rx_msg *msg = new_message(conn, frame);
    if (msg == NULL) {
        return;
    }
    msg->is_large = true;
    base_list_add_tail(&cold->early, &msg->turn);
    take_turns(conn);
    pony_receive_serve_waiting(app);
    if (msg->state == PONY_RX_WAITING) {
        pony_count(conn->engine, PONY_OPS_MEMORY_WAITS, 1);
    }
}

static void on_grant(struct pony_conn *conn, const struct pony_frame *frame)
{
    base_list_foreach (it, &conn->cold->asked) {
        struct pony_tx_msg *msg = base_list_entry(it, struct pony_tx_msg, link);
        if (msg->msg_no == frame->msg_no) {
            pony_tx_on_grant(msg);
            return;
        }
    }
    violate(conn);
}

void pony_receive_credit(struct pony_conn *conn, uint32_t limit)
{
    /* An older frame may come later: the count only grows. */
    if ((int32_t)(limit - conn->tx_limit) > 0) {
        conn->tx_limit = limit;
        if (!base_list_is_empty(&conn->eager)) {
            pony_conn_wake_small(conn);
        }
    }
}

static void on_credit(struct pony_conn *conn, const struct pony_frame *frame)
{
    pony_receive_credit(conn, frame->limit_bytes);
}

static void on_close(struct pony_conn *conn, const struct pony_frame *frame)
{
    if (conn->has_close) {
        violate(conn);
        return;
    }
    conn->has_close = true;
    conn->cold->n_peer_msgs = frame->msg_no;
    (void)finish_close(conn);
}

static void on_close_ok(struct pony_conn *conn, const struct pony_frame *frame)
{
    (void)frame;
    if (!conn->is_close_sent) {
        violate(conn);
        return;
    }
    pony_conn_end(conn, SHM_REASON_CLOSED, PONY_TELL_NOTHING);
}

/* PX-63 */
static enum shm_reason reason_of(const struct pony_frame *frame)
{
    bool is_known = frame->reason > SHM_REASON_NONE && frame->reason < SHM_REASON_MAX;
    return is_known ? (enum shm_reason)frame->reason : SHM_REASON_PROTOCOL;
}

/* REFUSE and RESET. PX-68 */
static void on_over(struct pony_conn *conn, const struct pony_frame *frame)
{
    pony_conn_is_over(conn, reason_of(frame));
}

static void on_open_ok(struct pony_conn *conn, const struct pony_frame *frame)
{
    if (conn->state == PONY_CONN_ABORTING) {
        pony_conn_on_late_open(conn, frame->own_conn);
        return;
    }
    conn->peer_number = frame->own_conn;
    /* PX-65: the acceptor may not talk before it has heard from us: a CREDIT does it. */
    conn->ctl |= PONY_CTL_CREDIT;
    pony_conn_on_peer_limits(conn, frame->limit_bytes, frame->eager_max_bytes);
    pony_conn_on_open(conn);
}

#define OPENING   (1u << PONY_CONN_OPENING)
#define ACCEPTING (1u << PONY_CONN_ACCEPTING)
#define OPEN      (1u << PONY_CONN_OPEN)
#define CLOSING   (1u << PONY_CONN_CLOSING)
#define ABORTING  (1u << PONY_CONN_ABORTING)
#define TALKING   (ACCEPTING | OPEN | CLOSING)

/* Which frame may come in which state. ENDED: anything, and it is dropped. OPEN is for no
 * connection: mapper.c. */
static const struct {
    void (*handle)(struct pony_conn *conn, const struct pony_frame *frame);
    uint32_t states;
} table[PONY_FRAME_MAX] = {
    [PONY_FRAME_OPEN_OK] = {on_open_ok, OPENING | ABORTING},
    [PONY_FRAME_REFUSE] = {on_over, OPENING | ABORTING},
    [PONY_FRAME_SMALL] = {on_small, TALKING},
    [PONY_FRAME_FRAG] = {on_frag, TALKING},
    [PONY_FRAME_RTS] = {on_rts, TALKING},
    [PONY_FRAME_GRANT] = {on_grant, TALKING},
    [PONY_FRAME_CREDIT] = {on_credit, TALKING},
    [PONY_FRAME_CLOSE] = {on_close, TALKING},
    [PONY_FRAME_CLOSE_OK] = {on_close_ok, TALKING},
    [PONY_FRAME_RESET] = {on_over, OPENING | ABORTING | TALKING},
};

void pony_receive_for_conn(struct pony_conn *conn, const struct pony_frame *frame)
{
    if (conn->state == PONY_CONN_ENDED) {
        pony_count(conn->engine, PONY_OPS_FRAMES_STALE, 1);
        return;
    }
    if ((table[frame->type].states & 1u << conn->state) == 0) {
        violate(conn);
        return;
    }
    if (conn->state == PONY_CONN_ACCEPTING && frame->type != PONY_FRAME_RESET) {
        pony_conn_on_open(conn);
    }
    table[frame->type].handle(conn, frame);
}

/* One decoded frame of a flow's packet. */
static void receive_frame(struct pony_engine *engine, struct pony_link *link,
                          const struct pony_frame *frame)
{
    if (frame->type == PONY_FRAME_PAD) {
        return;
    }
    if (frame->type == PONY_FRAME_OPEN) {
        pony_mapper_on_open(engine, link, NULL, frame);
        return;
    }
    struct pony_conn *conn = pony_conn_find(engine, frame->conn);
    if (conn == NULL || conn->link != link) {
        pony_count(engine, PONY_OPS_FRAMES_STALE, 1);
        return;
    }
    pony_receive_for_conn(conn, frame);
}

/* Decodes up to AHEAD frames before anything is done with them, so that their connections are on
 * their way from memory together. False: behind the `*n` decoded ones comes a malformed one. */
static bool decode_ahead(const struct pony_engine *engine, struct base_cursor *cursor,
                         struct pony_frame frames[AHEAD], uint32_t *n)
{
    *n = 0;
    while (*n < AHEAD && base_cursor_left(cursor) > 0) {
        if (!pony_frame_get(cursor, &frames[*n])) {
            return false;
        }
        if (*n == 0 || frames[*n].conn != frames[*n - 1].conn) {
            pony_conn_prefetch(engine, frames[*n].conn);
        }
        (*n)++;
    }
    return true;
}

bool pony_receive_packet(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                         uint64_t now_ns)
{
    struct pony_engine *engine = ctx;
    struct base_cursor cursor = base_cursor_make(frames, len);
    struct pony_link *link = pony_mapper_link(engine, flow);
    engine->now_ns = now_ns;
    bool is_sound = link != NULL;
    while (is_sound && base_cursor_left(&cursor) > 0) {
        struct pony_frame ahead[AHEAD];
        uint32_t n = 0;
        is_sound = decode_ahead(engine, &cursor, ahead, &n);
        for (uint32_t i = 0; i < n; i++) {
            receive_frame(engine, link, &ahead[i]);
        }
        pony_count(engine, PONY_OPS_FRAMES_RECEIVED, n);
        pony_count(engine, PONY_OPS_FRAMES_MALFORMED, is_sound ? 0 : 1);
    }
    return is_sound;
}
