/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/round.h"

#include "base/compiler.h"

enum {
    SMALL_QUANTUM_BYTES = 8 * 1024,
    LARGE_TURN_BYTES = 1 << 20, /* of a connection, and of one of its messages */
    VISITS_MAX = 256,           /* connections looked at for one packet */
    PIECE_MIN_BYTES = 128,      /* less room than this is left to the next packet */
    LOCAL_PIECE_BYTES = 65536   /* of a large message, in one copy */
};

enum turn {
    TURN_IDLE, /* nothing more to send: leaves the round */
    TURN_OVER, /* its quantum is used: to the end of the round */
    TURN_FULL  /* the packet is full: goes on with the next one */
};

/* ---- small ---- */

static bool emit_ctl(struct pony_sink *sink, struct pony_conn *conn, uint8_t bit,
                     const struct pony_frame *frame)
{
    if (!pony_sink_fits(sink, pony_frame_bytes(frame->type))) {
        return false;
    }
    conn->ctl &= (uint8_t)~bit;
    pony_sink_emit(sink, conn, frame);
    return true;
}

/* Frames of a connection's beginning and end. False: the packet is full. */
static bool send_life(struct pony_sink *sink, struct pony_conn *conn)
{
    struct pony_frame frame = {.conn = conn->peer_number};
    if ((conn->ctl & PONY_CTL_OPEN) != 0) {
        frame.type = PONY_FRAME_OPEN;
        frame.flags = conn->class;
        frame.conn = conn->number;
        frame.service = conn->cold->service;
        frame.limit_bytes = conn->credit.limit;
        frame.eager_max_bytes = pony_credit_eager_max(&conn->credit);
        return emit_ctl(sink, conn, PONY_CTL_OPEN, &frame);
    }
    if ((conn->ctl & PONY_CTL_OPEN_OK) != 0) {
        frame.type = PONY_FRAME_OPEN_OK;
        frame.own_conn = conn->number;
        frame.limit_bytes = conn->credit.limit;
        frame.eager_max_bytes = pony_credit_eager_max(&conn->credit);
        return emit_ctl(sink, conn, PONY_CTL_OPEN_OK, &frame);
    }
    if ((conn->ctl & PONY_CTL_RESET) != 0) {
        frame.type = PONY_FRAME_RESET;
        frame.reason = conn->reason;
        return emit_ctl(sink, conn, PONY_CTL_RESET, &frame);
    }
    if ((conn->ctl & PONY_CTL_CLOSE_OK) != 0) {
        frame.type = PONY_FRAME_CLOSE_OK;
        return emit_ctl(sink, conn, PONY_CTL_CLOSE_OK, &frame);
    }
    return true;
}

/* CREDIT, GRANT and RTS. False: the packet is full. */
static bool send_flow_control(struct pony_sink *sink, struct pony_conn *conn)
{
    struct pony_frame frame = {.conn = conn->peer_number};
    if ((conn->ctl & PONY_CTL_CREDIT) != 0) {
        frame.type = PONY_FRAME_CREDIT;
        frame.limit_bytes = conn->credit.limit;
        if (!emit_ctl(sink, conn, PONY_CTL_CREDIT, &frame)) {
            return false;
        }
    }
    if (!conn->may_ask) {
        return true;
    }
    struct pony_conn_cold *cold = conn->cold;
    while (!base_list_is_empty(&cold->grants)) {
        struct pony_rx_msg *msg =
            base_list_entry(base_list_first(&cold->grants), struct pony_rx_msg, turn);
        frame = (struct pony_frame){
            .type = PONY_FRAME_GRANT, .conn = conn->peer_number, .msg_no = msg->msg_no};
        if (!pony_sink_fits(sink, pony_frame_bytes(PONY_FRAME_GRANT))) {
            return false;
        }
        base_list_del(&msg->turn);
        pony_sink_emit(sink, conn, &frame);
    }
    while (!base_list_is_empty(&cold->rts) && cold->n_asked < PONY_RTS_MAX) {
        struct pony_tx_msg *msg =
            base_list_entry(base_list_first(&cold->rts), struct pony_tx_msg, link);
        if (!pony_sink_fits(sink, PONY_RTS_BYTES)) {
            return false;
        }
        frame = (struct pony_frame){.type = PONY_FRAME_RTS,
                                    .flags = msg->is_ordered ? PONY_FRAME_ORDERED : 0,
                                    .conn = conn->peer_number,
                                    .msg_no = msg->msg_no,
                                    .total_bytes = msg->len,
                                    .stream = msg->stream,
                                    .seq = msg->seq,
                                    .rts_no = cold->next_rts_no++};
        base_list_del(&msg->link);
        base_list_add_tail(&cold->asked, &msg->link);
        msg->state = PONY_TX_ASKED;
        cold->n_asked++;
        sink->is_bulk = true;
        pony_sink_emit(sink, conn, &frame);
    }
    conn->may_ask = !base_list_is_empty(&cold->rts);
    return true;
}

/* One piece of the first eager message. False: the packet is full. */
static bool send_eager_piece(struct pony_sink *sink, struct pony_tx_msg *msg)
{
    uint32_t rest = msg->len - msg->sent_bytes;
    bool is_whole = msg->sent_bytes == 0;
    if (is_whole && (uint64_t)rest + PONY_SMALL_BYTES <= sink->left) {
        if (sink->packet != NULL && rest <= PONY_SINK_COPY_MAX) {
            pony_sink_emit_small(sink, msg);
        } else {
            pony_sink_emit_piece(sink, msg, PONY_FRAME_SMALL, rest);
        }
    } else {
        bool fits_next =
            is_whole && rest <= PONY_SINK_COPY_MAX && rest + PONY_SMALL_BYTES <= sink->room;
        uint32_t least = PONY_FRAG_BYTES + base_min_u32(rest, PIECE_MIN_BYTES);
        if (fits_next || !pony_sink_fits(sink, least)) {
            sink->is_full = true;
            return false;
        }
        pony_sink_emit_piece(sink, msg, PONY_FRAME_FRAG, pony_sink_piece_bytes(sink, rest));
    }
    if (msg->sent_bytes == msg->len) {
        pony_tx_handed_over(msg);
    }
    return true;
}

static enum turn send_eager(struct pony_sink *sink, struct pony_conn *conn)
{
    struct base_list *first;
    while ((first = base_list_first(&conn->eager)) != NULL) {
        struct pony_tx_msg *msg = base_list_entry(first, struct pony_tx_msg, link);
        if (sink->is_full) {
            return TURN_FULL;
        }
        if (conn->small_left <= 0) {
            return TURN_OVER;
        }
        uint32_t charge = 0;
        if (msg->sent_bytes == 0) {
            charge = pony_charge(msg->len);
            if (conn->tx_limit - conn->tx_used < charge) {
                pony_count(sink->engine, PONY_OPS_CREDIT_STALLS, 1);
                return TURN_IDLE; /* CREDIT wakes it */
            }
        }
        uint32_t len = msg->len;
        uint32_t left = sink->left;
        if (!send_eager_piece(sink, msg)) {
            return TURN_FULL;
        }
        conn->tx_used += charge;
        conn->small_left -= (int32_t)(sink->packet != NULL ? left - sink->left : 64 + len);
    }
    return TURN_IDLE;
}

/* A connection's turn in the small round. */
static enum turn small_turn(struct pony_sink *sink, struct pony_conn *conn)
{
    if (!send_life(sink, conn)) {
        return TURN_FULL;
    }
    bool may_talk = conn->state == PONY_CONN_OPEN || conn->state == PONY_CONN_CLOSING;
    if (!may_talk) {
        return TURN_IDLE;
    }
    if (!send_flow_control(sink, conn)) {
        return TURN_FULL;
    }
    enum turn turn = send_eager(sink, conn);
    if (turn == TURN_IDLE && pony_conn_may_send_close(conn)) {
        struct pony_frame frame = {.type = PONY_FRAME_CLOSE,
                                   .conn = conn->peer_number,
                                   .msg_no = (uint32_t)conn->sent_msgs};
        if (!pony_sink_fits(sink, pony_frame_bytes(PONY_FRAME_CLOSE))) {
            return TURN_FULL;
        }
        conn->is_close_sent = true;
        pony_sink_emit(sink, conn, &frame);
    }
    return turn;
}

void pony_round_small(struct pony_round *round, struct pony_sink *sink, int64_t budget)
{
    struct base_list *first;
    for (uint32_t i = 0; i < VISITS_MAX && budget > 0 && !sink->is_full; i++) {
        if ((first = base_list_first(&round->small)) == NULL) {
            return;
        }
        struct pony_conn *conn = base_list_entry(first, struct pony_conn, small_link);
        if (conn->small_left <= 0) {
            conn->small_left = SMALL_QUANTUM_BYTES;
        }
        int32_t before = conn->small_left;
        enum turn turn = small_turn(sink, conn);
        budget -= base_max_u32((uint32_t)(before - conn->small_left), 64);
        if (turn == TURN_FULL) {
            return;
        }
        base_list_del(&conn->small_link);
        if (turn == TURN_OVER) {
            base_list_add_tail(&round->small, &conn->small_link);
        } else {
            pony_conn_settle(conn);
        }
    }
}

/* ---- large ---- */

/* Pieces of the connection's granted messages, one message after the other: what is sent in one go
 * is read, received and given back while it is in the caches. Only a very long message lets the
 * others have a turn before it ends. */
static enum turn large_turn(struct pony_sink *sink, struct pony_conn *conn)
{
    struct pony_conn_cold *cold = conn->cold;
    while (cold->large_left > 0) {
        struct base_list *first = base_list_first(&cold->granted);
        if (first == NULL) {
            return TURN_IDLE;
        }
        if (sink->is_full || sink->left < PONY_FRAG_BYTES + PIECE_MIN_BYTES) {
            sink->is_full = true;
            return TURN_FULL;
        }
        struct pony_tx_msg *msg = base_list_entry(first, struct pony_tx_msg, link);
        uint32_t before = msg->sent_bytes;
        uint32_t rest = msg->len - before;
        uint32_t n = sink->packet != NULL ? pony_sink_piece_bytes(sink, rest)
                                          : base_min_u32(rest, LOCAL_PIECE_BYTES);
        pony_sink_emit_piece(sink, msg, PONY_FRAME_FRAG, n);
        sink->has_large = true;
        cold->large_left -= (int32_t)(n + PONY_FRAG_BYTES);
        if (msg->sent_bytes == msg->len) {
            pony_tx_handed_over(msg);
        } else if (msg->sent_bytes / LARGE_TURN_BYTES != before / LARGE_TURN_BYTES) {
            base_list_del(&msg->link);
            base_list_add_tail(&cold->granted, &msg->link);
        }
    }
    return base_list_is_empty(&cold->granted) ? TURN_IDLE : TURN_OVER;
}

void pony_round_large(struct pony_round *round, struct pony_sink *sink, int64_t budget)
{
    struct base_list *first;
    for (uint32_t i = 0; i < VISITS_MAX && budget > 0 && !sink->is_full; i++) {
        if ((first = base_list_first(&round->large)) == NULL) {
            return;
        }
        struct pony_conn_cold *cold = base_list_entry(first, struct pony_conn_cold, large_link);
        struct pony_conn *conn = cold->conn;
        if (cold->large_left <= 0) {
            cold->large_left = LARGE_TURN_BYTES;
        }
        int32_t before = cold->large_left;
        enum turn turn = large_turn(sink, conn);
        budget -= before - cold->large_left;
        if (turn == TURN_FULL) {
            return;
        }
        base_list_del(&cold->large_link);
        if (turn == TURN_OVER) {
            base_list_add_tail(&round->large, &cold->large_link);
        } else if (pony_conn_may_send_close(conn)) {
            pony_conn_wake_small(conn);
        }
    }
}
