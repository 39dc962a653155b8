/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KTCP_FRAME_H
#define KTCP_FRAME_H

#include "base/endian.h"

#include <stddef.h>
#include <stdint.h>

/**
 * Frame: what travels on a TCP or Unix stream.
 *
 * Shape    each way: a preface of 8 bytes, then frames. A frame is a header of 8 bytes (16 in a
 *          message's first piece of several), `length` payload bytes, zeroes up to a multiple of 8
 * Units    bytes, little endian
 * Source   docs/protocol-tcp.md; KT-1..KT-18
 */
enum {
    KTCP_PREFACE_BYTES = 8,
    KTCP_VERSION = 1,
    KTCP_HEADER_BYTES = 8,
    KTCP_FIRST_HEADER_BYTES = 16,
    KTCP_PIECE_BYTES = 65536, /**< payload of one frame, at most; a multiple of 8 */
    KTCP_STREAMS = 8          /**< messages that may be cut in pieces at the same time, each way */
};

/* The first seven bytes of the preface; the eighth is the version. */
#define KTCP_MAGIC "SNAPTCP"

enum ktcp_flag {
    KTCP_FIRST = 1, /**< a message begins here */
    KTCP_LAST = 2,  /**< a message ends here */
    KTCP_END = 4    /**< the sender will send no more; `stream` holds an enum ktcp_reason */
};

/** Why a connection ends, as one side tells the other. Unknown values read as KTCP_REASON_PEER. */
enum ktcp_reason {
    KTCP_REASON_DONE = 0,      /**< in order */
    KTCP_REASON_LIMIT = 1,     /**< a message was longer than the sender of this accepts */
    KTCP_REASON_MALFORMED = 2, /**< what came cannot be read */
    KTCP_REASON_VERSION = 3,   /**< the preface's version is not spoken here */
    KTCP_REASON_REFUSED = 4,   /**< the application did not want the connection */
    KTCP_REASON_PEER = 5
};

struct ktcp_header {
    uint32_t length; /**< payload bytes of this piece */
    uint8_t flags;   /**< enum ktcp_flag */
    uint8_t stream;  /**< names a message in pieces; 0 for whole ones */
    uint64_t total;  /**< payload bytes of the message; only in a first piece of several */
};

/** True for a first piece of several, whose header has 16 bytes. */
static inline int ktcp_header_is_long(uint8_t flags)
{
    return (flags & (KTCP_FIRST | KTCP_LAST)) == KTCP_FIRST;
}

/** Writes the header of a message in one piece: 8 bytes. */
static inline void ktcp_header_put_whole(uint8_t *out, uint32_t length)
{
    base_store_u64(out, length | (uint64_t)(KTCP_FIRST | KTCP_LAST) << 32);
}

/** Payload and padding. */
static inline size_t ktcp_body_bytes(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

/** Writes a header; `out` has room for 16. Returns its size. */
size_t ktcp_header_put(uint8_t *out, const struct ktcp_header *header);

#endif
