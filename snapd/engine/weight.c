/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/weight.h"

#include "base/compiler.h"

void snapd_weight_init(struct snapd_weight *weight, const struct snapd_waits *waits,
                       uint64_t now_ns)
{
    *weight =
        (struct snapd_weight){.since_ns = now_ns,
                              .light_ns = SNAPD_WEIGHT_LIGHT_MIN_NS / SNAPD_WEIGHT_LIGHT_TIMES,
                              .window_ns = now_ns,
                              .waits = *waits};
}

enum found {
    NOTHING, /* it did not spin */
    ALONE,
    SHARED, /* with who yields to it */
    HELD    /* up, by who does not */
};

static enum found look(const struct snapd_weight *weight, const struct snapd_waits *waits,
                       uint64_t now_ns)
{
    uint64_t waited_ns = waits->ns - weight->waits.ns;
    uint64_t n = waits->n - weight->waits.n;
    bool has_waited = waited_ns >= (now_ns - weight->window_ns) / SNAPD_WEIGHT_SHARED;
    if (has_waited && waited_ns >= n * SNAPD_WEIGHT_QUICK_NS) {
        return HELD;
    }
    if (weight->n_yields < SNAPD_WEIGHT_YIELDS_MIN) {
        return NOTHING;
    }
    return has_waited ? SHARED : ALONE;
}

static void become(struct snapd_weight *weight, bool is_heavy, uint64_t now_ns)
{
    weight->is_heavy = is_heavy;
    weight->since_ns = now_ns;
    weight->shared_ns = 0;
}

static void while_heavy(struct snapd_weight *weight, enum found found, uint64_t now_ns)
{
    if (found != SHARED) {
        weight->shared_ns = found == NOTHING ? weight->shared_ns : 0;
        return;
    }
    if (weight->shared_ns == 0) {
        weight->shared_ns = weight->window_ns;
    }
    if (now_ns - weight->shared_ns < SNAPD_WEIGHT_PATIENCE_NS) {
        return;
    }
    bool has_lasted = weight->shared_ns - weight->since_ns >= SNAPD_WEIGHT_LASTED_NS;
    uint64_t longer_ns = weight->light_ns * SNAPD_WEIGHT_LIGHT_TIMES;
    weight->light_ns =
        has_lasted ? SNAPD_WEIGHT_LIGHT_MIN_NS : base_min_u64(longer_ns, SNAPD_WEIGHT_LIGHT_MAX_NS);
    become(weight, false, now_ns);
}

static void while_light(struct snapd_weight *weight, enum found found, uint64_t now_ns)
{
    bool may = now_ns - weight->since_ns >= weight->light_ns;
    if (may && (found == ALONE || found == HELD)) {
        become(weight, true, now_ns);
    }
}

bool snapd_weight_end_window(struct snapd_weight *weight, const struct snapd_waits *waits,
                             uint64_t now_ns)
{
    enum found found = look(weight, waits, now_ns);
    bool was_heavy = weight->is_heavy;
    if (was_heavy) {
        while_heavy(weight, found, now_ns);
    } else {
        while_light(weight, found, now_ns);
    }
    weight->window_ns = now_ns;
    weight->n_yields = 0;
    weight->waits = *waits;
    return weight->is_heavy != was_heavy;
}
