/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_REPLY_H
#define PONY_PROTOCOL_REPLY_H

#include "transport/pony/protocol/addr.h"
#include "transport/pony/protocol/wire.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Answers to packets that belong to no flow: REFUSE, and RESET with UNKNOWN (PX-15, PX-16).
 *
 * Shape    a lane for each kind, a ring of 64; a bucket lets 1000 per second through, 64 at once. What
 *          does not fit is dropped: whoever asked will ask again. A flood that asks for one kind does
 *          not keep others from theirs; lanes are emptied in turn.
 * Memory   inside the table
 */
struct pony_reply {
    struct pony_addr to;
    uint8_t type, version, flags, reason;
    uint8_t detail; /**< REFUSE: enum pony_wire_detail */
    uint32_t dst_flow;
    uint64_t token;
    uint8_t cookie[PONY_WIRE_COOKIE_BYTES]; /**< with detail COOKIE */
};

enum {
    PONY_REPLIES_MAX = 64,
    PONY_REPLIES_PER_S = 1000
};

enum pony_reply_kind {
    PONY_REPLY_UNKNOWN, /**< RESET */
    PONY_REPLY_REFUSAL,
    PONY_REPLY_COOKIE, /**< REFUSE with detail COOKIE */
    PONY_REPLY_KINDS
};

struct pony_reply_lane {
    struct pony_reply ring[PONY_REPLIES_MAX];
    uint32_t head, tail; /**< free-running */
    uint32_t n_tokens;   /**< replies allowed now */
    uint64_t refilled_ns;
};

struct pony_replies {
    struct pony_reply_lane lanes[PONY_REPLY_KINDS];
    uint32_t turn; /**< the lane that is looked at first */
};

void pony_replies_init(struct pony_replies *replies, uint64_t now_ns);

/** False: over the limit, dropped. */
bool pony_replies_put(struct pony_replies *replies, const struct pony_reply *reply,
                      uint64_t now_ns);

/** The oldest of the lane whose turn it is, to be sent now; false when there is none. */
bool pony_replies_take(struct pony_replies *replies, struct pony_reply *reply);

#endif
