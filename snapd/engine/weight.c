/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/weight.h"

#include "base/compiler.h"

void snapd_weight_init(struct snapd_weight *weight, uint64_t now_ns)
{
    *weight = (struct snapd_weight){.is_heavy = true,
                                    .since_ns = now_ns,
                                    .light_ns = SNAPD_WEIGHT_LIGHT_MIN_NS,
                                    .window_ns = now_ns};
}

/* Whether the yields of the window went to others who gave the core back at once. */
static bool is_shared(const struct snapd_weight *weight, uint64_t n_switches)
{
    return n_switches * SNAPD_WEIGHT_SHARED >= weight->n_yields &&
           weight->away_ns / n_switches < SNAPD_WEIGHT_QUICK_NS;
}

static void become(struct snapd_weight *weight, bool is_heavy, uint64_t now_ns)
{
    weight->is_heavy = is_heavy;
    weight->since_ns = now_ns;
    weight->shared_ns = 0;
}

/* Heavy, and still not alone? */
static bool has_failed(struct snapd_weight *weight, bool shares, uint64_t now_ns)
{
    if (!shares) {
        weight->shared_ns = 0;
        if (now_ns - weight->since_ns >= weight->light_ns) {
            weight->light_ns = SNAPD_WEIGHT_LIGHT_MIN_NS; /* it was worth it */
        }
        return false;
    }
    if (weight->shared_ns == 0) {
        weight->shared_ns = weight->window_ns;
    }
    return now_ns - weight->shared_ns >= SNAPD_WEIGHT_TRY_NS;
}

bool snapd_weight_end_window(struct snapd_weight *weight, uint64_t switches, uint64_t now_ns)
{
    bool is_known = weight->n_yields >= SNAPD_WEIGHT_YIELDS_MIN;
    bool shares = is_known && is_shared(weight, switches - weight->switches);
    bool was_heavy = weight->is_heavy;
    if (was_heavy && is_known && has_failed(weight, shares, now_ns)) {
        become(weight, false, now_ns);
    } else if (!was_heavy && now_ns - weight->since_ns >= weight->light_ns) {
        weight->light_ns = base_min_u64(weight->light_ns * 4, SNAPD_WEIGHT_LIGHT_MAX_NS);
        become(weight, true, now_ns);
    }
    weight->window_ns = now_ns;
    weight->away_ns = 0;
    weight->n_yields = 0;
    weight->switches = switches;
    return weight->is_heavy != was_heavy;
}
