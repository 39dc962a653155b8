/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_RTT_H
#define PONY_PROTOCOL_RTT_H

#include <stdint.h>

/**
 * Round trip time of a flow and the retransmission timeout that follows from it (PX-30..PX-33).
 *
 * Shape    srtt and rttvar as exponential averages (1/8, 1/4); rto = srtt + 4 rttvar within
 *          [min, max], doubled for each timeout in a row but the first (the floor is far above
 *          most round trips already); the least RTT of the last 10 to 20 s
 * Units    ns
 * Source   RFC 6298; Swift section 3.6 (end-to-end RTT, the peer's queueing included)
 */
struct pony_rtt {
    uint64_t srtt_ns; /**< 0: no sample yet */
    uint64_t rttvar_ns;
    uint64_t latest_ns;
    uint64_t min_ns;      /**< of this period; UINT64_MAX: none */
    uint64_t last_min_ns; /**< of the period before */
    uint64_t period_start_ns;
    uint64_t rto_min_ns, rto_max_ns;
    uint32_t n_backoff; /**< timeouts in a row */
};

enum {
    PONY_RTT_INITIAL_RTO_NS = 20000000, /**< before any sample */
    PONY_RTT_SANE_MAX_NS = 0x7fffffff,  /**< a longer sample (2 s) counts as this */
    PONY_RTT_MIN_PERIOD_S = 10
};

void pony_rtt_init(struct pony_rtt *rtt, uint64_t rto_min_ns, uint64_t rto_max_ns, uint64_t now_ns);

void pony_rtt_add(struct pony_rtt *rtt, uint64_t sample_ns, uint64_t now_ns);

/** Least RTT lately; 0 without a sample. */
uint64_t pony_rtt_min_ns(const struct pony_rtt *rtt);

/** Timeout now, backoff included. */
uint64_t pony_rtt_rto_ns(const struct pony_rtt *rtt);

/** A timeout happened: the next one comes later. */
void pony_rtt_on_timeout(struct pony_rtt *rtt);

/** Something new was acknowledged. */
static inline void pony_rtt_on_progress(struct pony_rtt *rtt)
{
    rtt->n_backoff = 0;
}

#endif
