/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_IDLE_H
#define SNAPD_ENGINE_IDLE_H

#include "snapd/config.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Idle policy: after a round without work, go round again or sleep?
 *
 * Shape    a pure function of time and of how long past pauses lasted. Adaptive: while the typical
 *          pause is shorter than spin_ns, waiting for the next work costs less than a wake-up of an
 *          idle core, so the engine stays up for spin_ns; else it sleeps after SNAPD_IDLE_GRACE_NS.
 *          What counts is the time that the engine itself burns: between two rounds without work
 *          it yields, and while others run on its core waiting is free (a switch there and back
 *          costs 6 us, going to sleep and being woken 15 us). So each round counts for at most
 *          SNAPD_IDLE_STEP_NS, and SNAPD_IDLE_WALL times spin_ns bounds the whole.
 * Units    ns
 * Source   reference figures: a wake-up of an idle core 200 us, of a busy one 10 us
 */
enum {
    SNAPD_IDLE_GRACE_NS = 5000, /**< up after the last work also where sleep pays */
    SNAPD_IDLE_STEP_NS = 2000,  /**< what one round without work burns at most */
    SNAPD_IDLE_WALL = 20,       /**< of spin_ns: no longer awake without work than this */
    SNAPD_IDLE_EWMA_SHIFT = 3,  /**< weight of the newest pause: 1/8 */
    SNAPD_IDLE_KEEP_NS = 35000, /**< the core is kept so long; much longer, and who shares it
                                     looks alone (SNAPD_WEIGHT_SHARED) */
    SNAPD_IDLE_LITTLE = 2       /**< packets of a round, or commands: no more are likely to wait */
};

struct snapd_idle {
    enum snapd_idle_policy policy;
    uint64_t spin_ns;
    uint64_t idle_since_ns; /**< end of the last round with work; 0: none yet */
    uint64_t last_ns;       /**< end of the last round */
    uint64_t burnt_ns;      /**< of our own time since idle_since_ns */
    uint64_t pause_ns;      /**< typical pause, an average that forgets */
    uint64_t yielded_ns;    /**< got the core back after the last yield; 0: none yet */
};

void snapd_idle_init(struct snapd_idle *idle, enum snapd_idle_policy policy, uint64_t spin_ns,
                     uint64_t now_ns);

/**
 * After a round that brought applications what they may wait for: `n_in` packets and `n_commands`
 * came in, `n_out` packets left. True: yield at once, since they may need this core; a look at the
 * device would most likely be in vain, and they would wait for it. While much comes in it is not
 * in vain, and the more is handed over at once the fewer switches it takes. Without packets a
 * round costs next to nothing: there is nothing to save.
 */
static inline bool snapd_idle_hands_over(uint32_t n_in, uint32_t n_commands, uint32_t n_out)
{
    return n_in > 0 && n_out == 0 && n_in <= SNAPD_IDLE_LITTLE && n_commands <= SNAPD_IDLE_LITTLE;
}

/**
 * After a round without work, where the applications on this core say that they wait for news: may
 * the engine keep the core instead of yielding to them? Not before it yielded once since the last
 * work: what they say may be older than what that brought them, and while packets follow each
 * other closely a yield lets some gather. Then for SNAPD_IDLE_KEEP_NS: who lies, and who is
 * not asked, runs that much later. All of that time is burnt by the engine.
 */
static inline bool snapd_idle_may_keep(const struct snapd_idle *idle, uint64_t now_ns)
{
    return idle->yielded_ns > idle->idle_since_ns && now_ns - idle->yielded_ns < SNAPD_IDLE_KEEP_NS;
}

/** After a sleep: all of it counts as a pause. */
void snapd_idle_slept(struct snapd_idle *idle, uint64_t now_ns);

/** After each round. True: sleep. */
bool snapd_idle_after_round(struct snapd_idle *idle, bool had_work, uint64_t now_ns);

#endif
