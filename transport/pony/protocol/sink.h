/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_SINK_H
#define PONY_PROTOCOL_SINK_H

#include "transport/pony/protocol/state.h"
#include "transport/pony/protocol/wire.h"

#include <string.h>

/**
 * Sink: where the scheduler's frames go: a packet, or (packet NULL) the local peers.
 *
 * Threads  the engine's
 */
enum {
    PONY_SINK_COPY_MAX = 1024 /**< bytes: copied, so the application has its memory at once */
};

struct pony_sink {
    struct pony_engine *engine;
    struct pony_packet *packet;
    uint32_t room; /**< bytes of an empty packet */
    uint32_t left;
    uint32_t n_frames;
    bool is_full;   /**< a payload is in it, or the next thing does not fit */
    bool has_large; /**< bytes of a granted message are in it */
    bool is_bulk;   /**< something of a message of several packets is */
};

/** Whether so much goes in still; if not, it is full. */
static inline bool pony_sink_fits(struct pony_sink *sink, uint32_t bytes)
{
    if (bytes > sink->left) {
        sink->is_full = true;
        return false;
    }
    return !sink->is_full;
}

/** A frame that fits and, if there is any, data that is copied. */
void pony_sink_emit(struct pony_sink *sink, struct pony_conn *conn, const struct pony_frame *frame);

/** A whole message that is copied into the packet: of these there are most, and they need no more of
 * a frame than what is written of it. */
static inline void pony_sink_emit_small(struct pony_sink *sink, struct pony_tx_msg *msg)
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

/** How much of the `rest` of a message goes into the packet as a FRAG: what is not copied is a
 *  multiple of what payloads are aligned to, but for the last. */
uint32_t pony_sink_piece_bytes(const struct pony_sink *sink, uint32_t rest);

/** The next `n` bytes of a message, as a frame of `type`. */
void pony_sink_emit_piece(struct pony_sink *sink, struct pony_tx_msg *msg,
                          enum pony_frame_type type, uint32_t n);

/** Before the last `bytes` of a packet: so that these end where the kernel's memory is aligned, and
 *  what stands behind them in the same datagram begins there. Not where there is no room. PX-78 */
void pony_sink_emit_pad(struct pony_sink *sink, uint32_t bytes);

#endif
