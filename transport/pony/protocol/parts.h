/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_PARTS_H
#define PONY_PROTOCOL_PARTS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Parts: a numbered packet that has become too large for its path travels in pieces of 1024 bytes,
 * and is put together before anybody sees it.
 *
 * Shape    64 places per table, each for one packet of one flow. Where there is no free one, the one
 *          begun longest ago gives way, the flow's own if it has 16 already: that packet is sent
 *          again some time
 * Checks   every piece but the last has 1024 bytes, all agree on how many there are and how long the
 *          whole is; a piece that contradicts the others begins anew, and so does one that comes
 *          10 s after the first: numbers come round
 * Memory   all at init; pages are touched as they are used
 * Threads  one engine
 * Source   PX-236 in docs/protocol.md
 */
enum {
    PONY_PART_HDR_BYTES = 8, /**< index u8, count u8, whole length u16, zero u32 */
    PONY_PART_BYTES = 1024,
    PONY_PARTS_MAX = 9, /**< 9216 bytes of body */
    PONY_PARTS_PLACES = 64,
    PONY_PARTS_OF_FLOW = 16 /**< places of one flow, at most: others must get some too */
};

/** How long the pieces of a packet are waited for, from the first one on. */
#define PONY_PARTS_WAIT_NS UINT64_C(10000000000)

struct pony_part {
    uint8_t idx, count;
    uint16_t whole_len;
    uint32_t len; /**< of this piece */
    const uint8_t *bytes;
};

struct pony_parts_place {
    uint64_t flow; /**< its token: no other flow ever has the same */
    uint32_t seq;
    uint8_t count; /**< 0: free; the rest means something only if it is not */
    uint16_t whole_len;
    uint32_t got; /**< bit per piece */
    uint64_t begun_ns;
};

struct pony_parts {
    struct pony_parts_place places[PONY_PARTS_PLACES];
    uint8_t *memory; /**< [PONY_PARTS_PLACES][PONY_PARTS_MAX * PONY_PART_BYTES] */
};

BASE_MUST_USE enum base_err pony_parts_init(struct pony_parts *parts);
void pony_parts_fini(struct pony_parts *parts); /**< accepts a zeroed one */

/** Pieces that a body of that length makes. */
static inline uint32_t pony_parts_count(uint32_t whole_len)
{
    return (whole_len + PONY_PART_BYTES - 1) / PONY_PART_BYTES;
}

/** Reads the body of a PART packet; false: it contradicts itself. */
bool pony_part_decode(const uint8_t *body, uint32_t len, struct pony_part *part);
/** Writes what stands before the piece: PONY_PART_HDR_BYTES. */
void pony_part_encode(const struct pony_part *part, uint8_t *at);

/** A piece of packet `seq` of the flow with the token `flow` arrived. Returns the whole body,
 *  part->whole_len bytes, good until the next call, if it was the last one that lacked; else NULL. */
const uint8_t *pony_parts_add(struct pony_parts *parts, uint64_t flow, uint32_t seq,
                              const struct pony_part *part, uint64_t now_ns);

#endif
