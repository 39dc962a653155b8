/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ktcp_feed.h"

#include "base/compiler.h"

#include <string.h>

enum {
    SCRIBBLE_BYTES = 64
};

/* Scatters `n` bytes; overwrites the first ones behind them. */
static void scatter(const struct ktcp_rx_plan *plan, const uint8_t *bytes, size_t n)
{
    size_t scribble = SCRIBBLE_BYTES;
    for (int i = 0; i < plan->n_iov; i++) {
        uint8_t *base = plan->iov[i].iov_base;
        size_t part = base_min_size(n, plan->iov[i].iov_len);
        if (part > 0) {
            memcpy(base, bytes, part);
        }
        bytes += part;
        n -= part;
        size_t rest = base_min_size(scribble, plan->iov[i].iov_len - part);
        memset(base + part, 0xa5, rest);
        scribble -= rest;
    }
}

enum base_err ktcp_feed(struct ktcp_rx *rx, uint8_t *shared, const uint8_t *bytes, size_t len,
                        struct base_rng *rng, size_t *n_fed)
{
    *n_fed = 0;
    while (*n_fed < len && !rx->has_ended && !rx->is_stopped) {
        struct ktcp_rx_plan plan;
        ktcp_rx_plan(rx, shared, &plan);
        size_t n = base_min_size(plan.bytes, len - *n_fed);
        if (rng != NULL) {
            /* Mostly short, as cuts matter near headers; sometimes all there is. */
            size_t most = base_rng_chance(rng, 200000) ? n : base_min_size(n, 40);
            n = 1 + (size_t)base_rng_below(rng, most);
        }
        scatter(&plan, bytes + *n_fed, n);
        *n_fed += n;
        BASE_TRY(ktcp_rx_commit(rx, &plan, n));
    }
    return BASE_OK;
}
