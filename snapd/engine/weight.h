/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_WEIGHT_H
#define SNAPD_ENGINE_WEIGHT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Weight: how an engine that spins keeps a core of its own, at no cost where there is none.
 *
 * Three that spin on two cores sit two and one, and by equal weights the kernel moves them round:
 * each is alone for a while. A heavy engine (nice(2) below 0) that is alone stays alone. But where it
 * shares with who yields to it, weight is in the way: its own yields give the core away only
 * after several tries. So it is heavy once it spins and is alone, and as light as others from
 * soon after it shares until it is alone again. What does not last is tried again later each time.
 *
 * Evidence is the time that the thread waited while it could have run: alone on a core next to
 * none. Its yields say nothing: of a heavy engine's most come back at once, alone or not.
 * Who holds the core long (a computation that never yields) does not give it back later to a
 * heavy engine, and the kernel puts it elsewhere if it can: that is no reason to be light.
 *
 * Shape    a pure function of time and of what the thread waited; looks at windows of time
 * Units    ns
 * Threads  the engine's
 * Source   measured: "Where the engines run" in docs/benchmarks.md
 */
enum {
    SNAPD_WEIGHT_WINDOW_NS = 10000000,
    SNAPD_WEIGHT_YIELDS_MIN = 16,       /**< in a window; with fewer it did not spin */
    SNAPD_WEIGHT_SHARED = 32,           /**< waited this part of the window or more: not alone */
    SNAPD_WEIGHT_QUICK_NS = 300000,     /**< who gives the core back sooner, on average, yields */
    SNAPD_WEIGHT_PATIENCE_NS = 20000000 /**< heavy, though it shares */
};

/** Light for so long at least after heavy times one after the other that did not last. */
#define SNAPD_WEIGHT_LIGHT_MIN_NS UINT64_C(25000000)
#define SNAPD_WEIGHT_LIGHT_TIMES  4
#define SNAPD_WEIGHT_LIGHT_MAX_NS UINT64_C(64000000000)
#define SNAPD_WEIGHT_LASTED_NS    UINT64_C(2000000000)

/** Of a thread since it began. */
struct snapd_waits {
    uint64_t ns; /**< runnable and not running */
    uint64_t n;  /**< times it began to run */
};

struct snapd_weight {
    bool is_heavy;
    uint64_t since_ns;        /**< is_heavy is as it is */
    uint64_t light_ns;        /**< the least length of this light time, or the next */
    uint64_t shared_ns;       /**< heavy, and sharing all the time, since; 0: not sharing */
    uint64_t window_ns;       /**< begin of the window */
    uint32_t n_yields;        /**< in this window */
    struct snapd_waits waits; /**< at the begin of the window */
};

void snapd_weight_init(struct snapd_weight *weight, const struct snapd_waits *waits,
                       uint64_t now_ns);

/** After each yield. True: the window is over, call end_window(). */
static inline bool snapd_weight_yielded(struct snapd_weight *weight, uint64_t now_ns)
{
    weight->n_yields++;
    return now_ns - weight->window_ns >= SNAPD_WEIGHT_WINDOW_NS;
}

/** `waits` of now. True: is_heavy changed. */
bool snapd_weight_end_window(struct snapd_weight *weight, const struct snapd_waits *waits,
                             uint64_t now_ns);

#endif
