/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_FRAMES_H
#define PONY_PROTOCOL_FRAMES_H

#include "base/endian.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Frames: what the operation layers of two engines tell each other inside a flow's packets.
 *
 * Shape    little-endian; eight bytes common to all (type, flags or reason, data length, connection
 *          number of the receiver), then 32-bit words by type, then data (SMALL, FRAG and PAD only).
 *          Frames follow each other up to the end of the packet; what aligns them is a frame, PAD.
 * Trust    decoding checks type, reserved bits and that everything lies inside the packet; what
 *          the values mean is for receive.c
 * Source   docs/protocol.md, "Frames"; PX-60
 */

enum pony_frame_type {
    PONY_FRAME_OPEN = 1,      /**< conn: the opener's number */
    PONY_FRAME_OPEN_OK = 2,   /**< conn: the opener's; own_conn: the acceptor's */
    PONY_FRAME_REFUSE = 3,    /**< conn: the opener's; reason */
    PONY_FRAME_SMALL = 4,     /**< a whole eager message */
    PONY_FRAME_FRAG = 5,      /**< a piece of a message */
    PONY_FRAME_RTS = 6,       /**< a large message asks for memory */
    PONY_FRAME_GRANT = 7,     /**< it has memory */
    PONY_FRAME_CREDIT = 8,    /**< how far eager messages may go, cumulative */
    PONY_FRAME_CLOSE = 9,     /**< no more messages; how many there were */
    PONY_FRAME_CLOSE_OK = 10, /**< all of them arrived, the connection is gone here */
    PONY_FRAME_RESET = 11,    /**< the connection is gone here; reason */
    PONY_FRAME_PAD = 12,      /**< nothing; conn: 0. PX-78 */
    PONY_FRAME_MAX = 13
};

enum {
    PONY_FRAME_ORDERED = 1u << 0, /**< SMALL, FRAG, RTS: seq counts the stream's lane */
    PONY_FRAME_EAGER = 1u << 1,   /**< FRAG: spends credit; else it was granted */
    PONY_FRAME_CLASS = 3,         /**< OPEN: these bits are its enum pony_class, 0 to 2 */

    PONY_OPEN_BYTES = 24,
    PONY_OPEN_OK_BYTES = 20,
    PONY_SMALL_BYTES = 16,
    PONY_FRAG_BYTES = 28,
    PONY_RTS_BYTES = 28,
    PONY_PAD_BYTES = 8,        /**< and zeros */
    PONY_FRAME_BYTES_MAX = 28, /**< of any frame without its data */

    PONY_ALIGN_BYTES =
        32 /**< packets with large messages end at a multiple of it, and pieces are some, so that
                payloads begin at one. PX-78 */
};

/** A decoded frame. Fields that its type does not have are 0. */
struct pony_frame {
    uint8_t type;   /**< enum pony_frame_type */
    uint8_t flags;  /**< PONY_FRAME_ORDERED, _EAGER; OPEN: its class */
    uint8_t reason; /**< enum shm_reason, not checked */
    uint32_t conn;
    uint32_t own_conn;
    uint32_t msg_no; /**< CLOSE: how many messages there were */
    uint32_t total_bytes;
    uint32_t off;
    uint32_t stream;
    uint32_t seq;
    uint32_t rts_no;
    uint32_t limit_bytes; /**< OPEN, OPEN_OK, CREDIT: cumulative credit */
    uint32_t eager_max_bytes;
    uint64_t service;
    const uint8_t *data; /**< in the packet */
    uint32_t data_len;
};

/** Bytes of a frame of `type` without data; 0: there is no such type. */
uint32_t pony_frame_bytes(uint8_t type);

/** Length of the PAD, data included, that lets a packet of `bytes` end at a multiple of
 *  PONY_ALIGN_BYTES: 0 or PONY_PAD_BYTES and more. */
uint32_t pony_frame_pad_for(uint32_t bytes);

/** Reads the next frame. False: malformed. Not to be called at the end of the packet. */
bool pony_frame_get(struct base_cursor *from, struct pony_frame *frame);

/** Writes a frame without its data, whose length goes in; returns bytes written. The caller has
 *  seen that PONY_FRAME_BYTES_MAX, or what pony_frame_bytes() says, fits. */
uint32_t pony_frame_put(uint8_t *to, const struct pony_frame *frame);

/** What a SMALL says, without its data. */
struct pony_frame_small {
    bool is_ordered;
    uint16_t data_len;
    uint32_t conn, stream, seq;
};

/** pony_frame_put() of a SMALL: PONY_SMALL_BYTES. */
static inline void pony_frame_put_small(uint8_t *to, const struct pony_frame_small *small)
{
    to[0] = PONY_FRAME_SMALL;
    to[1] = small->is_ordered ? PONY_FRAME_ORDERED : 0;
    base_store_u16(to + 2, small->data_len);
    base_store_u32(to + 4, small->conn);
    base_store_u32(to + 8, small->stream);
    base_store_u32(to + 12, small->seq);
}

#endif
