/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/idle.h"

#include "base/compiler.h"

void snapd_idle_init(struct snapd_idle *idle, enum snapd_idle_policy policy, uint64_t spin_ns,
                     uint64_t now_ns)
{
    *idle = (struct snapd_idle){.policy = policy,
                                .spin_ns = spin_ns,
                                .idle_since_ns = now_ns,
                                .last_ns = now_ns,
                                .pause_ns = spin_ns * 2};
}

/* One long pause counts as at most four spins, so that a few quick exchanges bring spinning back. */
static void note_pause(struct snapd_idle *idle, uint64_t pause_ns)
{
    pause_ns = base_min_u64(pause_ns, idle->spin_ns * 4);
    idle->pause_ns += pause_ns >> SNAPD_IDLE_EWMA_SHIFT;
    idle->pause_ns -= idle->pause_ns >> SNAPD_IDLE_EWMA_SHIFT;
}

void snapd_idle_slept(struct snapd_idle *idle, uint64_t now_ns)
{
    idle->burnt_ns = base_add_sat_u64(idle->burnt_ns, base_sub_sat_u64(now_ns, idle->last_ns));
    idle->last_ns = now_ns;
}

bool snapd_idle_after_round(struct snapd_idle *idle, bool had_work, uint64_t now_ns)
{
    uint64_t step_ns = base_sub_sat_u64(now_ns, idle->last_ns);
    idle->burnt_ns += base_min_u64(step_ns, SNAPD_IDLE_STEP_NS);
    idle->last_ns = now_ns;
    if (had_work) {
        note_pause(idle, idle->burnt_ns);
        idle->idle_since_ns = now_ns;
        idle->burnt_ns = 0;
        return false;
    }
    switch (idle->policy) {
    case SNAPD_IDLE_SPIN:
        return false;
    case SNAPD_IDLE_SLEEP:
        return true;
    case SNAPD_IDLE_ADAPTIVE:
        break;
    }
    uint64_t patience_ns = idle->pause_ns < idle->spin_ns
                               ? idle->spin_ns
                               : base_min_u64(SNAPD_IDLE_GRACE_NS, idle->spin_ns);
    uint64_t wall_ns = base_sub_sat_u64(now_ns, idle->idle_since_ns);
    return idle->burnt_ns >= patience_ns || wall_ns >= patience_ns * SNAPD_IDLE_WALL;
}
