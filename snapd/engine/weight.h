/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_WEIGHT_H
#define SNAPD_ENGINE_WEIGHT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Weight: how an engine that spins gets a core of its own, and what it does where there is none.
 *
 * Three that spin on two cores sit two and one, and by equal weights the kernel neither knows nor
 * cares who is alone. A heavy engine (nice(2) below 0) is not pulled together with others while
 * they have room elsewhere. But where it must share with who yields to it, weight is in the way: its
 * own yields give the core away only after several tries. So it tries to be heavy, and where that
 * does not get it a core of its own within SNAPD_WEIGHT_TRY_NS it is as light as others for some
 * time, each time longer.
 *
 * Shape    a pure function of time and of how many yields made others run; looks at windows of time
 *          in which the engine spun. Who holds the core long (a computation that never yields) is no
 *          reason to be light: against that weight helps
 * Units    ns
 * Threads  the engine's
 * Source   measured: "Where the engines run" in docs/benchmarks.md
 */
enum {
    SNAPD_WEIGHT_WINDOW_NS = 10000000,
    SNAPD_WEIGHT_YIELDS_MIN =
        100,                 /**< in a window; with fewer it did not spin, and nothing is known */
    SNAPD_WEIGHT_SHARED = 4, /**< one yield in so many made others run: the core is shared */
    SNAPD_WEIGHT_QUICK_NS = 50000, /**< who gives the core back sooner yields, too */
    SNAPD_WEIGHT_TRY_NS = 100000000
};

/** Light for so long after the first try that failed, and for four times the last one after others. */
#define SNAPD_WEIGHT_LIGHT_MIN_NS UINT64_C(1000000000)
#define SNAPD_WEIGHT_LIGHT_MAX_NS UINT64_C(64000000000)

struct snapd_weight {
    bool is_heavy;
    uint64_t since_ns;  /**< is_heavy is as it is */
    uint64_t light_ns;  /**< how long the next light time is */
    uint64_t shared_ns; /**< heavy, and sharing all the time, since; 0: not sharing */
    uint64_t window_ns; /**< begin of the window */
    uint64_t away_ns;   /**< in yields, in this window */
    uint32_t n_yields;  /**< in this window */
    uint64_t switches;  /**< the thread's count at the begin of the window */
};

void snapd_weight_init(struct snapd_weight *weight, uint64_t now_ns);

/** After each yield: how long it took. True: the window is over, call end_window(). */
static inline bool snapd_weight_yielded(struct snapd_weight *weight, uint64_t took_ns,
                                        uint64_t now_ns)
{
    weight->n_yields++;
    weight->away_ns += took_ns;
    return now_ns - weight->window_ns >= SNAPD_WEIGHT_WINDOW_NS;
}

/** `switches`: how often others have run in the place of this thread, in all. True: is_heavy
 *  changed. */
bool snapd_weight_end_window(struct snapd_weight *weight, uint64_t switches, uint64_t now_ns);

#endif
