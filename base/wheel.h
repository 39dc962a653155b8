/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

/**
 * Timers: a few queues in order of their deadlines, and a hierarchical timing wheel.
 *
 * Shape    a deadline that is not before the last one of a queue goes to that queue's end and stays
 *          there: that is all where timeouts are of a few lengths, as those of calls are. The others
 *          go to the wheel: 11 levels of 64 slots over 64-bit ticks; a level is chosen by the highest
 *          digit (base 64) in which deadline and present differ. A timer moves down at most once per
 *          level.
 * Holds    a timer never fires before its deadline; once advance() is called with a time that is
 *          at or past the deadline rounded up to the granularity, it fires (as far as max_n goes)
 * Units    ns since the start of the caller's clock; the granularity is a power of two of ns
 * Cost     add, del: O(1). advance: one comparison when nothing can be due, else bounded by max_n.
 *          next_deadline_ns: one look per queue and level.
 * Memory   the timers are the caller's; a wheel is about 11 KB; never allocates
 * Threads  one owner
 * Source   Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP'87)
 */
#include "base/assert.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct base_timer;
typedef void base_timer_fn(struct base_timer *timer, uint64_t now_ns);

/** Zero it, or base_timer_init, before its first use. */
struct base_timer {
    struct base_list link;
    uint64_t deadline_ns;
    base_timer_fn *fn; /**< for base_wheel_run; NULL where base_wheel_advance is used */
    uint16_t place;    /**< the wheel's: enum base_timer_place, or that of a slot */
};

/** Where a timer is. */
enum base_timer_place {
    BASE_TIMER_IDLE,
    BASE_TIMER_DUE,    /**< on the due list */
    BASE_TIMER_OUT,    /**< handed out, or held: in a list of the caller's */
    BASE_TIMER_QUEUED, /**< in one of the queues */
    BASE_TIMER_SLOT    /**< in a slot: + level * 64 + slot */
};

enum {
    BASE_WHEEL_LEVELS = 11,
    BASE_WHEEL_SLOTS = 64,
    BASE_WHEEL_QUEUES = 4
};

struct base_wheel {
    uint64_t tick;       /**< all slots before this tick are empty */
    uint64_t quiet_tick; /**< before this tick nothing is due and no slot begins that has timers */
    uint32_t shift;      /**< log2 of the granularity */
    uint32_t n_timers;
    struct base_list queues[BASE_WHEEL_QUEUES]; /**< each in order of deadline_ns */
    struct base_list due;                       /**< reached, not yet handed out */
    uint64_t used[BASE_WHEEL_LEVELS];           /**< bit per slot that has timers */
    struct base_list slots[BASE_WHEEL_LEVELS][BASE_WHEEL_SLOTS];
};

/** `granularity_ns` is rounded up to a power of two; 1 is allowed. */
void base_wheel_init(struct base_wheel *wheel, uint64_t now_ns, uint64_t granularity_ns);

static inline void base_timer_init(struct base_timer *timer, base_timer_fn *fn)
{
    base_list_init(&timer->link);
    timer->deadline_ns = 0;
    timer->fn = fn;
    timer->place = BASE_TIMER_IDLE;
}

/**
 * Hangs an idle timer into a list of the caller's, who adds it later. Until then its deadline_ns is the
 * caller's too, and base_wheel_del takes it out.
 */
static inline void base_timer_hold(struct base_timer *timer, struct base_list *list)
{
    base_assert(timer->place == BASE_TIMER_IDLE);
    timer->place = BASE_TIMER_OUT;
    base_list_add_tail(list, &timer->link);
}

/** Still to fire: false also for one that is held, or that base_wheel_advance has handed out. */
static inline bool base_timer_is_armed(const struct base_timer *timer)
{
    return timer->place != BASE_TIMER_IDLE && timer->place != BASE_TIMER_OUT;
}

/** Arms; an armed timer is moved. A deadline in the past fires at the next advance. */
void base_wheel_add(struct base_wheel *wheel, struct base_timer *timer, uint64_t deadline_ns);

/** Adds all timers of a list made with base_timer_hold(), each `deadline_ns` after `now_ns`; the list is
 *  empty afterwards. */
void base_wheel_add_held(struct base_wheel *wheel, struct base_list *held, uint64_t now_ns);

/** Disarms; does nothing to an idle timer. */
static inline void base_wheel_del(struct base_wheel *wheel, struct base_timer *timer);

/** base_wheel_del() of a timer that hangs in a slot: unlinks it. */
void base_wheel_unhang(struct base_wheel *wheel, struct base_timer *timer);

static inline void base_wheel_del(struct base_wheel *wheel, struct base_timer *timer)
{
    if (timer->place == BASE_TIMER_IDLE) {
        return;
    }
    if (timer->place < BASE_TIMER_SLOT) {
        base_list_del(&timer->link);
    } else {
        base_wheel_unhang(wheel, timer);
    }
    wheel->n_timers -= timer->place != BASE_TIMER_OUT;
    timer->place = BASE_TIMER_IDLE;
}

/**
 * Moves the clock to `now_ns` (a smaller one than before is taken as the one before) and appends the
 * timers that are due to `fired`, at most `max_n`, earliest tick first.
 *
 * @param fired  the caller's list of base_timer.link; unlink each with base_list_take_first before
 *               it is added again or freed. A timer counts as idle from here on.
 * @return       how many. The call also ends when it has moved 4 * max_n timers between slots, so
 *               there may be more however small the number is; next_deadline_ns says so.
 */
uint32_t base_wheel_advance(struct base_wheel *wheel, uint64_t now_ns, uint32_t max_n,
                            struct base_list *fired);

/** As advance, but calls each timer's fn, which may add and delete any timer, itself too. */
uint32_t base_wheel_run(struct base_wheel *wheel, uint64_t now_ns, uint32_t max_n);

/**
 * When to call advance next: UINT64_MAX when there is no timer, a time not after the present when
 * some are due. Never later than the earliest deadline rounded up to the granularity; may be
 * earlier for a far timer (by design: once for each level it moves down).
 */
uint64_t base_wheel_next_deadline_ns(const struct base_wheel *wheel);

#endif
