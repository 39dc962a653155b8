/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/rtt.h"

#include "base/clock.h"
#include "base/compiler.h"

#include <string.h>

void pony_rtt_init(struct pony_rtt *rtt, uint64_t rto_min_ns, uint64_t rto_max_ns, uint64_t now_ns)
{
    memset(rtt, 0, sizeof(*rtt));
    rtt->min_ns = UINT64_MAX;
    rtt->last_min_ns = UINT64_MAX;
    rtt->period_start_ns = now_ns;
    rtt->rto_min_ns = rto_min_ns;
    rtt->rto_max_ns = rto_max_ns;
}

/* PX-30 */
void pony_rtt_add(struct pony_rtt *rtt, uint64_t sample_ns, uint64_t now_ns)
{
    sample_ns = base_min_u64(base_max_u64(sample_ns, 1), PONY_RTT_SANE_MAX_NS);
    rtt->latest_ns = sample_ns;
    if (now_ns - rtt->period_start_ns >= (uint64_t)PONY_RTT_MIN_PERIOD_S * BASE_NS_PER_S) {
        rtt->last_min_ns = rtt->min_ns;
        rtt->min_ns = UINT64_MAX;
        rtt->period_start_ns = now_ns;
    }
    rtt->min_ns = base_min_u64(rtt->min_ns, sample_ns);
    if (rtt->srtt_ns == 0) {
        rtt->srtt_ns = sample_ns;
        rtt->rttvar_ns = sample_ns / 2;
        return;
    }
    uint64_t off = sample_ns > rtt->srtt_ns ? sample_ns - rtt->srtt_ns : rtt->srtt_ns - sample_ns;
    rtt->rttvar_ns = (3 * rtt->rttvar_ns + off) / 4;
    rtt->srtt_ns = base_max_u64((7 * rtt->srtt_ns + sample_ns) / 8, 1);
}

uint64_t pony_rtt_min_ns(const struct pony_rtt *rtt)
{
    uint64_t least = base_min_u64(rtt->min_ns, rtt->last_min_ns);
    return least == UINT64_MAX ? 0 : least;
}

/* PX-32 */
uint64_t pony_rtt_rto_ns(const struct pony_rtt *rtt)
{
    uint64_t rto_ns =
        rtt->srtt_ns == 0 ? (uint64_t)PONY_RTT_INITIAL_RTO_NS : rtt->srtt_ns + 4 * rtt->rttvar_ns;
    rto_ns = base_max_u64(rto_ns, rtt->rto_min_ns);
    if (rtt->n_backoff > 1) {
        uint64_t doubled = rto_ns << (rtt->n_backoff - 1);
        rto_ns = doubled >> (rtt->n_backoff - 1) == rto_ns ? doubled : rtt->rto_max_ns;
    }
    return base_min_u64(rto_ns, rtt->rto_max_ns);
}

void pony_rtt_on_timeout(struct pony_rtt *rtt)
{
    if (rtt->n_backoff < 16) {
        rtt->n_backoff++;
    }
}
