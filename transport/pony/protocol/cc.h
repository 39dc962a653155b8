/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_CC_H
#define PONY_PROTOCOL_CC_H

#include <stddef.h>
#include <stdint.h>

/**
 * Congestion control: how many packets a flow may have in flight, and how far apart.
 *
 * Shape    one const table of functions per algorithm, one file each; state lies in the flow
 * Units    windows in packets (fractions count), time in ns
 * Threads  one engine
 * Source   snap.md 2.7 and 6; docs/protocol.md PX-40..PX-47
 */

enum {
    PONY_CC_STATE_MAX = 192 /**< bytes; 16-aligned */
};

/** PX-40: all that an algorithm knows is here; nothing of it goes on the wire. */
struct pony_cc_config {
    double window_max_pkts; /**< the window never needs to be larger */
    uint32_t mtu_bytes;
    /* What an algorithm has a use for; 0: its own choice. */
    double window_min_pkts;      /**< 1: never paced below a packet per round trip */
    uint64_t target_ns;          /**< swift: of the fabric, before scaling by hops and flows */
    uint64_t endpoint_target_ns; /**< swift: of the two hosts */
};

/** One acknowledgement that brought something new. */
struct pony_cc_ack {
    uint64_t now_ns;
    uint64_t rtt_ns;      /**< of the packet echoed; 0: no sample */
    uint64_t endpoint_ns; /**< the part of rtt_ns spent in the two hosts */
    uint64_t srtt_ns;     /**< 0 before the first sample */
    uint64_t min_rtt_ns;  /**< least lately; 0 before the first sample */
    uint32_t n_acked;     /**< packets newly acknowledged; may be 0 */
    uint32_t n_ce;        /**< packets newly reported with ECN CE */
    uint32_t n_inflight;  /**< before this acknowledgement */
    uint8_t hops;         /**< of the path there; 255: unknown */
};

struct pony_cc_loss {
    uint64_t now_ns;
    uint64_t srtt_ns;
    uint32_t n_lost; /**< packets found lost now */
};

struct pony_cc_ops {
    const char *name;  /**< also the configuration value */
    size_t state_size; /**< bytes, at most PONY_CC_STATE_MAX */

    /** Starts a flow. `state` is zeroed. Cannot fail. */
    void (*init)(void *state, const struct pony_cc_config *config, uint64_t now_ns);
    /** Once per acknowledgement, before the flow sends. */
    void (*on_ack)(void *state, const struct pony_cc_ack *ack);
    /** Packets were found lost from selective acknowledgements. */
    void (*on_loss)(void *state, const struct pony_cc_loss *loss);
    /** A retransmission timeout; n_in_row counts them since the last acknowledgement, from 1. */
    void (*on_timeout)(void *state, const struct pony_cc_loss *loss, uint32_t n_in_row);
    /** Packets that may be in flight. Below 1: one, and pacing_gap_ns() apart. */
    double (*window_pkts)(const void *state);
    /** Time from one packet to the next; 0: no pacing. */
    uint64_t (*pacing_gap_ns)(const void *state, uint64_t srtt_ns);
};

extern const struct pony_cc_ops pony_cc_delay, pony_cc_fixed, pony_cc_swift, pony_cc_timely;
extern const struct pony_cc_ops *const pony_cc_all[]; /**< ends with NULL; the first: the default */

/** By name; NULL gives the default. NULL when there is none of that name. */
const struct pony_cc_ops *pony_cc_find(const char *name);

/** For algorithms that do not pace. */
uint64_t pony_cc_no_pacing(const void *state, uint64_t srtt_ns);

#endif
