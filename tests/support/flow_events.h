/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_FLOW_EVENTS_H
#define TESTS_SUPPORT_FLOW_EVENTS_H

#include "transport/pony/protocol/flow.h"

/** Events of flows (struct pony_flow_events) for who has nothing to send, or nothing to do then. */

static inline bool flow_has_nothing_to_fill(void *ctx, struct pony_flow *flow,
                                            struct pony_packet *packet, uint32_t room,
                                            uint64_t now_ns)
{
    (void)ctx;
    (void)flow;
    (void)packet;
    (void)room;
    (void)now_ns;
    return false;
}

static inline bool flow_takes_what_comes(void *ctx, struct pony_flow *flow, const uint8_t *frames,
                                         uint32_t len, uint64_t now_ns)
{
    (void)ctx;
    (void)flow;
    (void)frames;
    (void)len;
    (void)now_ns;
    return true;
}

static inline void flow_ignores_released(void *ctx, struct pony_flow *flow,
                                         struct pony_tx_msg *owner, bool was_acked)
{
    (void)ctx;
    (void)flow;
    (void)owner;
    (void)was_acked;
}

static inline void flow_ignores_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    (void)ctx;
    (void)flow;
    (void)reason;
}

#endif
