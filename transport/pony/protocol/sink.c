/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/sink.h"

#include "base/compiler.h"

void pony_sink_emit(struct pony_sink *sink, struct pony_conn *conn, const struct pony_frame *frame)
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

/* What stands in the packet so far, as the wire will have it. */
static uint32_t head_bytes(const struct pony_sink *sink)
{
    return (uint32_t)PONY_WIRE_HDR_BYTES + sink->packet->head_len - PONY_HEAD_ROOM;
}

void pony_sink_emit_pad(struct pony_sink *sink, uint32_t bytes)
{
    static const uint8_t zeros[PONY_ALIGN_BYTES + PONY_PAD_BYTES];
    uint32_t pad = pony_frame_pad_for(head_bytes(sink) + bytes);
    if (pad > 0 && bytes + pad <= sink->left) {
        const struct pony_frame frame = {
            .type = PONY_FRAME_PAD, .data = zeros, .data_len = pad - (uint32_t)PONY_PAD_BYTES};
        pony_sink_emit(sink, NULL, &frame);
    }
}

uint32_t pony_sink_piece_bytes(const struct pony_sink *sink, uint32_t rest)
{
    uint32_t room = sink->left - PONY_FRAG_BYTES;
    if (rest <= room && rest <= PONY_SINK_COPY_MAX) {
        return rest;
    }
    room -= pony_frame_pad_for(head_bytes(sink) + PONY_FRAG_BYTES);
    return base_min_u32(rest, room - room % PONY_ALIGN_BYTES);
}

/* A frame whose data stays where it is, in the application's memory, until acknowledged. */
static void emit_payload(struct pony_sink *sink, struct pony_frame *frame, struct pony_tx_msg *msg)
{
    const uint8_t *payload = frame->data;
    pony_sink_emit_pad(sink, pony_frame_bytes(frame->type) + frame->data_len);
    frame->data = NULL;
    pony_sink_emit(sink, msg->conn, frame);
    sink->packet->payload = payload;
    sink->packet->payload_len = frame->data_len;
    sink->packet->owner = msg;
    sink->left -= frame->data_len;
    sink->is_full = true;
    msg->n_packets++;
}

void pony_sink_emit_piece(struct pony_sink *sink, struct pony_tx_msg *msg,
                          enum pony_frame_type type, uint32_t n)
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
    if (sink->packet == NULL || n <= PONY_SINK_COPY_MAX) {
        pony_sink_emit(sink, conn, &frame);
    } else {
        emit_payload(sink, &frame, msg);
    }
}
