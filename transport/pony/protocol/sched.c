/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "transport/pony/protocol/rxmem.h"
#include "transport/pony/protocol/state.h"
#include "transport/pony/protocol/wire.h"

#include <string.h>

/*
 * What is sent next. Connections of a link stand in the round of their class; for each packet the
 * class whose turn it is goes first (class.h), and what room it leaves goes to the others (PX-81).
 *
 * Within a class: deficit round robin over its connections, twice. The small round (frames, eager
 * messages) comes before the large one (granted messages), so that a small message overtakes
 * large ones, also those of other connections; but where a large one waits, at most SMALL_RUN_MAX
 * packets in a row go without it. A local connection runs through the same code: its frames go
 * straight to the peer's handler. Only a short message that nothing local waits before never comes
 * here: pony_conn_send_at_once().
 */

enum {
    SMALL_QUANTUM_BYTES = 8 * 1024,
    LARGE_TURN_BYTES = 1 << 20, /* of a connection, and of one of its messages */
    SMALL_RUN_MAX = 7,
    VISITS_MAX = 256,         /* connections looked at for one packet */
    PASSES_MAX = 256,         /* of VISITS_MAX each: as many connections as an engine has */
    COPY_MAX_BYTES = 1024,    /* copied into the packet: the application has its memory at once */
    PIECE_MIN_BYTES = 128,    /* less room than this is left to the next packet */
    PAD_MIN_BYTES = 1024,     /* of a packet that carries no large message, to be padded */
    LOCAL_PIECE_BYTES = 65536 /* of a large message, in one copy */
};

/* Where frames go: a packet, or (packet NULL) the local peers. */
struct sink {
    struct pony_engine *engine;
    struct pony_packet *packet;
    uint32_t room; /* bytes of an empty packet */
    uint32_t left;
    uint32_t n_frames;
    bool is_full;   /* a payload is in it, or the next thing does not fit */
    bool has_large; /* bytes of a granted message are in it */
    bool is_bulk;   /* something of a message of several packets is */
};

enum turn {
    TURN_IDLE, /* nothing more to send: leaves the round */
    TURN_OVER, /* its quantum is used: to the end of the round */
    TURN_FULL  /* the packet is full: goes on with the next one */
};

static bool fits(struct sink *sink, uint32_t bytes)
{
    if (bytes > sink->left) {
        sink->is_full = true;
        return false;
    }
    return !sink->is_full;
}

/* A frame and, if there is any, data that is copied. */
static void emit(struct sink *sink, struct pony_conn *conn, const struct pony_frame *frame)
{
    sink->n_frames++;
    if (sink->packet == NULL) {
        if (frame->type == PONY_FRAME_OPEN) {
            pony_mapper_on_open(sink->engine, NULL, conn, frame);
        } else if (conn->peer != NULL) {
            pony_count(sink->engine, PONY_OPS_LOCAL_BYTES, frame->data_len);
            pony_receive_for_conn(conn->peer, frame);
        }
        return;
    }
    struct pony_packet *packet = sink->packet;
    uint8_t *at = packet->head + packet->head_len;
    uint32_t bytes = pony_frame_put(at, frame);
    if (frame->data != NULL) {
        memcpy(at + bytes, frame->data, frame->data_len);
        bytes += frame->data_len;
    }
    packet->head_len = (uint16_t)(packet->head_len + bytes);
    sink->left -= bytes;
}

/* Before the last `bytes` of a packet: so that these end where the kernel's memory is aligned, and what
 * stands behind them in the same datagram begins there. Not where there is no room. PX-78 */
static void emit_pad(struct sink *sink, uint32_t bytes)
{
    static const uint8_t zeros[PONY_ALIGN_BYTES + PONY_PAD_BYTES];
    uint32_t head_len = (uint32_t)PONY_WIRE_HDR_BYTES + sink->packet->head_len - PONY_HEAD_ROOM;
    uint32_t pad = pony_frame_pad_for(head_len + bytes);
    if (pad > 0 && bytes + pad <= sink->left) {
        const struct pony_frame frame = {
            .type = PONY_FRAME_PAD, .data = zeros, .data_len = pad - (uint32_t)PONY_PAD_BYTES};
        emit(sink, NULL, &frame);
    }
}

/* How much of the `rest` of a message goes into the packet as a FRAG: what is not copied is a multiple
 * of what payloads are aligned to, but for the last. */
static uint32_t piece_bytes(const struct sink *sink, uint32_t rest)
{
    uint32_t room = sink->left - PONY_FRAG_BYTES;
    if (rest <= room && rest <= COPY_MAX_BYTES) {
        return rest;
    }
    uint32_t head_len = (uint32_t)PONY_WIRE_HDR_BYTES + sink->packet->head_len - PONY_HEAD_ROOM;
    room -= pony_frame_pad_for(head_len + PONY_FRAG_BYTES);
    return base_min_u32(rest, room - room % PONY_ALIGN_BYTES);
}

/* A frame whose data stays where it is, in the application's memory, until acknowledged. */
static void emit_payload(struct sink *sink, struct pony_frame *frame, struct pony_tx_msg *msg)
{
    const uint8_t *payload = frame->data;
    emit_pad(sink, pony_frame_bytes(frame->type) + frame->data_len);
    frame->data = NULL;
    emit(sink, msg->conn, frame);
    sink->packet->payload = payload;
    sink->packet->payload_len = frame->data_len;
    sink->packet->owner = msg;
    sink->left -= frame->data_len;
    sink->is_full = true;
    msg->n_packets++;
}

/* The next `n` bytes of a message, as a frame of `type`. */
static void emit_piece(struct sink *sink, struct pony_tx_msg *msg, enum pony_frame_type type,
                       uint32_t n)
{
    struct pony_conn *conn = msg->conn;
    struct pony_frame frame = {
        .type = (uint8_t)type,
        .flags = msg->is_ordered ? PONY_FRAME_ORDERED : 0,
        .conn = conn->peer_number,
        .msg_no = msg->msg_no,
        .total_bytes = msg->len,
        .off = msg->sent_bytes,
        .stream = msg->stream,
        .seq = msg->seq,
        .data = msg->bytes + msg->sent_bytes,
        .data_len = n,
    };
    if (type == PONY_FRAME_FRAG && msg->state == PONY_TX_EAGER) {
        frame.flags |= PONY_FRAME_EAGER;
    }
    sink->is_bulk |= type == PONY_FRAME_FRAG;
    msg->sent_bytes += n;
    if (sink->packet == NULL || n <= COPY_MAX_BYTES) {
        emit(sink, conn, &frame);
    } else {
        emit_payload(sink, &frame, msg);
    }
}

/* A whole message that is copied into the packet: of these there are most, and they need no more of
 * a frame than what is written of it. */
static void emit_small_copy(struct sink *sink, struct pony_tx_msg *msg)
{
    struct pony_packet *packet = sink->packet;
    uint8_t *at = packet->head + packet->head_len;
    uint32_t bytes = PONY_SMALL_BYTES + msg->len;
    const struct pony_frame_small small = {.is_ordered = msg->is_ordered,
                                           .data_len = (uint16_t)msg->len,
                                           .conn = msg->conn->peer_number,
                                           .stream = msg->stream,
                                           .seq = msg->seq};
    pony_frame_put_small(at, &small);
    memcpy(at + PONY_SMALL_BYTES, msg->bytes, msg->len);
    msg->sent_bytes = msg->len;
    packet->head_len = (uint16_t)(packet->head_len + bytes);
    sink->left -= bytes;
    sink->n_frames++;
}

static bool emit_ctl(struct sink *sink, struct pony_conn *conn, uint8_t bit,
                     const struct pony_frame *frame)
{
    if (!fits(sink, pony_frame_bytes(frame->type))) {
        return false;
    }
    conn->ctl &= (uint8_t)~bit;
    emit(sink, conn, frame);
    return true;
}

/* Frames of a connection's beginning and end. False: the packet is full. */
static bool send_life(struct sink *sink, struct pony_conn *conn)
{
    struct pony_frame frame = {.conn = conn->peer_number};
    if ((conn->ctl & PONY_CTL_OPEN) != 0) {
        frame.type = PONY_FRAME_OPEN;
        frame.flags = conn->class;
        frame.conn = conn->number;
        frame.service = conn->service;
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
static bool send_flow_control(struct sink *sink, struct pony_conn *conn)
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
    while (!base_list_is_empty(&conn->grants)) {
        struct pony_rx_msg *msg =
            base_list_entry(base_list_first(&conn->grants), struct pony_rx_msg, turn);
        frame = (struct pony_frame){
            .type = PONY_FRAME_GRANT, .conn = conn->peer_number, .msg_no = msg->msg_no};
        if (!fits(sink, pony_frame_bytes(PONY_FRAME_GRANT))) {
            return false;
        }
        base_list_del(&msg->turn);
        emit(sink, conn, &frame);
    }
    while (!base_list_is_empty(&conn->rts) && conn->n_asked < PONY_RTS_MAX) {
        struct pony_tx_msg *msg =
            base_list_entry(base_list_first(&conn->rts), struct pony_tx_msg, link);
        if (!fits(sink, PONY_RTS_BYTES)) {
            return false;
        }
        frame = (struct pony_frame){.type = PONY_FRAME_RTS,
                                    .flags = msg->is_ordered ? PONY_FRAME_ORDERED : 0,
                                    .conn = conn->peer_number,
                                    .msg_no = msg->msg_no,
                                    .total_bytes = msg->len,
                                    .stream = msg->stream,
                                    .seq = msg->seq,
                                    .rts_no = conn->next_rts_no++};
        base_list_del(&msg->link);
        base_list_add_tail(&conn->asked, &msg->link);
        msg->state = PONY_TX_ASKED;
        conn->n_asked++;
        sink->is_bulk = true;
        emit(sink, conn, &frame);
    }
    conn->may_ask = !base_list_is_empty(&conn->rts);
    return true;
}

/* One piece of the first eager message. False: the packet is full. */
static bool send_eager_piece(struct sink *sink, struct pony_tx_msg *msg)
{
    uint32_t rest = msg->len - msg->sent_bytes;
    bool is_whole = msg->sent_bytes == 0;
    if (is_whole && (uint64_t)rest + PONY_SMALL_BYTES <= sink->left) {
        if (sink->packet != NULL && rest <= COPY_MAX_BYTES) {
            emit_small_copy(sink, msg);
        } else {
            emit_piece(sink, msg, PONY_FRAME_SMALL, rest);
        }
    } else {
        bool fits_next =
            is_whole && rest <= COPY_MAX_BYTES && rest + PONY_SMALL_BYTES <= sink->room;
        uint32_t least = PONY_FRAG_BYTES + base_min_u32(rest, PIECE_MIN_BYTES);
        if (fits_next || !fits(sink, least)) {
            sink->is_full = true;
            return false;
        }
        emit_piece(sink, msg, PONY_FRAME_FRAG, piece_bytes(sink, rest));
    }
    if (msg->sent_bytes == msg->len) {
        pony_tx_handed_over(msg);
    }
    return true;
}

static enum turn send_eager(struct sink *sink, struct pony_conn *conn)
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
static enum turn small_turn(struct sink *sink, struct pony_conn *conn)
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
        if (!fits(sink, pony_frame_bytes(PONY_FRAME_CLOSE))) {
            return TURN_FULL;
        }
        conn->is_close_sent = true;
        emit(sink, conn, &frame);
    }
    return turn;
}

static void small_round(struct pony_round *round, struct sink *sink, int64_t budget)
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

/* Pieces of the connection's granted messages, one message after the other: what is sent in one go
 * is read, received and given back while it is in the caches. Only a very long message lets the
 * others have a turn before it ends. */
static enum turn large_turn(struct sink *sink, struct pony_conn *conn)
{
    while (conn->large_left > 0) {
        struct base_list *first = base_list_first(&conn->granted);
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
        uint32_t n =
            sink->packet != NULL ? piece_bytes(sink, rest) : base_min_u32(rest, LOCAL_PIECE_BYTES);
        emit_piece(sink, msg, PONY_FRAME_FRAG, n);
        sink->has_large = true;
        conn->large_left -= (int32_t)(n + PONY_FRAG_BYTES);
        if (msg->sent_bytes == msg->len) {
            pony_tx_handed_over(msg);
        } else if (msg->sent_bytes / LARGE_TURN_BYTES != before / LARGE_TURN_BYTES) {
            base_list_del(&msg->link);
            base_list_add_tail(&conn->granted, &msg->link);
        }
    }
    return base_list_is_empty(&conn->granted) ? TURN_IDLE : TURN_OVER;
}

static void large_round(struct pony_round *round, struct sink *sink, int64_t budget)
{
    struct base_list *first;
    for (uint32_t i = 0; i < VISITS_MAX && budget > 0 && !sink->is_full; i++) {
        if ((first = base_list_first(&round->large)) == NULL) {
            return;
        }
        struct pony_conn *conn = base_list_entry(first, struct pony_conn, large_link);
        if (conn->large_left <= 0) {
            conn->large_left = LARGE_TURN_BYTES;
        }
        int32_t before = conn->large_left;
        enum turn turn = large_turn(sink, conn);
        budget -= before - conn->large_left;
        if (turn == TURN_FULL) {
            return;
        }
        base_list_del(&conn->large_link);
        if (turn == TURN_OVER) {
            base_list_add_tail(&round->large, &conn->large_link);
        } else if (pony_conn_may_send_close(conn)) {
            pony_conn_wake_small(conn);
        }
    }
}

static void send_refusals(struct pony_link *link, struct sink *sink)
{
    struct base_list *first;
    while ((first = base_list_first(&link->refusals)) != NULL && fits(sink, 8)) {
        struct pony_refusal *refusal = base_list_entry(first, struct pony_refusal, link);
        struct pony_frame frame = {
            .type = PONY_FRAME_REFUSE, .conn = refusal->conn, .reason = refusal->reason};
        base_list_del(&refusal->link);
        base_pool_give(&sink->engine->refusals, base_pool_index(refusal));
        struct pony_conn *opener = pony_conn_find(sink->engine, frame.conn);
        if (sink->packet != NULL) {
            emit(sink, NULL, &frame);
        } else if (opener != NULL) {
            sink->n_frames++;
            pony_receive_for_conn(opener, &frame);
        }
    }
}

static void clear_if_idle(struct pony_link *link, uint32_t class)
{
    const struct pony_round *round = &link->rounds[class];
    if (base_list_is_empty(&round->small) && base_list_is_empty(&round->large)) {
        link->busy &= ~(1u << class);
    }
}

/* One class's part of a packet. */
static void serve(struct pony_link *link, struct sink *sink, uint32_t class)
{
    struct pony_round *round = &link->rounds[class];
    bool large_waits = !base_list_is_empty(&round->large);
    sink->has_large = false;
    if (large_waits && round->small_run >= SMALL_RUN_MAX) {
        large_round(round, sink, INT64_MAX);
    }
    small_round(round, sink, INT64_MAX);
    large_round(round, sink, INT64_MAX);
    round->small_run = large_waits && !sink->has_large ? round->small_run + 1 : 0;
    clear_if_idle(link, class);
}

/* Several classes wait. */
static void serve_classes(struct pony_link *link, struct sink *sink)
{
    uint32_t busy = link->busy;
    uint32_t served = 0;
    for (uint32_t left = busy; left != 0 && !sink->is_full;) {
        uint32_t class = pony_class_next(&link->waits, left);
        uint32_t n_frames = sink->n_frames;
        serve(link, sink, class);
        served |= sink->n_frames != n_frames ? 1u << class : 0;
        left &= ~(1u << class);
    }
    pony_class_note(&link->waits, busy, served);
}

bool pony_sched_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                     uint64_t now_ns)
{
    struct pony_engine *engine = ctx;
    struct pony_link *link = pony_flow_user_data(flow);
    engine->now_ns = now_ns;
    if (link == NULL) {
        return false;
    }
    struct sink sink = {.engine = engine, .packet = packet, .room = room, .left = room};
    send_refusals(link, &sink);
    /* Again when all that were visited had nothing that may go: they left the round, and nobody
     * else would ask for those behind them. */
    for (uint32_t i = 0; i < PASSES_MAX && link->busy != 0; i++) {
        uint32_t busy = link->busy;
        if ((busy & (busy - 1)) != 0) {
            serve_classes(link, &sink);
        } else {
            serve(link, &sink, (uint32_t)__builtin_ctz(busy));
        }
        if (sink.n_frames > 0 || sink.is_full) {
            break;
        }
    }
    if (link->busy != 0 && link->busy != 1u << link->class) {
        pony_link_reclass(link);
    }
    if (sink.n_frames > 0 && packet->payload == NULL &&
        (sink.is_bulk || room - sink.left >= PAD_MIN_BYTES)) {
        emit_pad(&sink, 0);
    }
    pony_count(engine, PONY_OPS_FRAMES_SENT, sink.n_frames);
    return sink.n_frames > 0;
}

uint32_t pony_sched_run_local(struct pony_engine *engine, uint32_t bytes)
{
    struct sink sink = {.engine = engine, .room = UINT32_MAX, .left = UINT32_MAX};
    send_refusals(&engine->local, &sink);
    for (uint32_t i = 0; i < PONY_CLASSES && engine->local.busy != 0; i++) {
        uint32_t class = pony_class_by_urgency(i);
        small_round(&engine->local.rounds[class], &sink, bytes);
        large_round(&engine->local.rounds[class], &sink, bytes);
        clear_if_idle(&engine->local, class);
    }
    return sink.n_frames;
}
