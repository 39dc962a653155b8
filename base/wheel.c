/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wheel.h"

#include "base/assert.h"
#include "base/compiler.h"

enum {
    SLOT_BITS = 6
};

void base_wheel_init(struct base_wheel *wheel, uint64_t now_ns, uint64_t granularity_ns)
{
    base_assert(granularity_ns >= 1 && granularity_ns <= UINT32_C(1) << 31);
    *wheel = (struct base_wheel){0};
    wheel->shift = (uint32_t)__builtin_ctz(base_ceil_pow2_u32((uint32_t)granularity_ns));
    wheel->tick = now_ns >> wheel->shift;
    base_list_init(&wheel->due);
    for (uint32_t i = 0; i < BASE_WHEEL_QUEUES; i++) {
        base_list_init(&wheel->queues[i]);
    }
    for (uint32_t level = 0; level < BASE_WHEEL_LEVELS; level++) {
        for (uint32_t slot = 0; slot < BASE_WHEEL_SLOTS; slot++) {
            base_list_init(&wheel->slots[level][slot]);
        }
    }
}

/* The first tick at which the deadline has passed: rounding up is what keeps a timer from firing
 * early. */
static uint64_t tick_of(const struct base_wheel *wheel, uint64_t deadline_ns)
{
    uint64_t below = (UINT64_C(1) << wheel->shift) - 1;
    return (deadline_ns >> wheel->shift) + ((deadline_ns & below) != 0);
}

/* Appends an unlinked timer to a queue that ends before it; false when there is none. */
static inline bool enqueue(struct base_wheel *wheel, struct base_timer *timer)
{
    for (uint32_t i = 0; i < BASE_WHEEL_QUEUES; i++) {
        struct base_list *queue = &wheel->queues[i];
        bool is_first = base_list_is_empty(queue);
        if (is_first || base_list_entry(queue->prev, struct base_timer, link)->deadline_ns <=
                            timer->deadline_ns) {
            timer->place = BASE_TIMER_QUEUED;
            base_list_add_tail(queue, &timer->link);
            if (is_first) {
                wheel->quiet_tick =
                    base_min_u64(wheel->quiet_tick, tick_of(wheel, timer->deadline_ns));
            }
            return true;
        }
    }
    return false;
}

/* Hangs an unlinked timer into the slot, or the due list, where it belongs as seen from wheel->tick. */
static void place(struct base_wheel *wheel, struct base_timer *timer)
{
    uint64_t tick = tick_of(wheel, timer->deadline_ns);
    if (tick <= wheel->tick) {
        timer->place = BASE_TIMER_DUE;
        base_list_add_tail(&wheel->due, &timer->link);
        wheel->quiet_tick = 0;
        return;
    }
    uint32_t level = (63 - (uint32_t)__builtin_clzll(tick ^ wheel->tick)) / SLOT_BITS;
    uint32_t slot = (uint32_t)(tick >> (level * SLOT_BITS)) % BASE_WHEEL_SLOTS;
    timer->place = (uint16_t)(BASE_TIMER_SLOT + level * BASE_WHEEL_SLOTS + slot);
    base_list_add_tail(&wheel->slots[level][slot], &timer->link);
    wheel->used[level] |= UINT64_C(1) << slot;
    uint64_t start = tick >> (level * SLOT_BITS) << (level * SLOT_BITS);
    wheel->quiet_tick = base_min_u64(wheel->quiet_tick, start);
}

void base_wheel_unhang(struct base_wheel *wheel, struct base_timer *timer)
{
    uint32_t level = (uint32_t)(timer->place - BASE_TIMER_SLOT) / BASE_WHEEL_SLOTS;
    uint32_t slot = (uint32_t)(timer->place - BASE_TIMER_SLOT) % BASE_WHEEL_SLOTS;
    base_list_del(&timer->link);
    if (base_list_is_empty(&wheel->slots[level][slot])) {
        wheel->used[level] &= ~(UINT64_C(1) << slot);
    }
}

/* An unlinked one, whose deadline is set. */
static inline void add_unlinked(struct base_wheel *wheel, struct base_timer *timer)
{
    wheel->n_timers++;
    if (!enqueue(wheel, timer)) {
        place(wheel, timer);
    }
}

void base_wheel_add(struct base_wheel *wheel, struct base_timer *timer, uint64_t deadline_ns)
{
    base_wheel_del(wheel, timer);
    timer->deadline_ns = deadline_ns;
    add_unlinked(wheel, timer);
}

void base_wheel_add_held(struct base_wheel *wheel, struct base_list *held, uint64_t now_ns)
{
    const struct base_timer *before = NULL; /* the one added before, where it ends a queue */
    base_list_foreach_safe (it, held) {
        struct base_timer *timer = base_list_entry(it, struct base_timer, link);
        timer->deadline_ns = base_add_sat_u64(now_ns, timer->deadline_ns);
        if (before != NULL && before->deadline_ns <= timer->deadline_ns) {
            wheel->n_timers++;
            timer->place = BASE_TIMER_QUEUED;
            base_list_insert_before(before->link.next, &timer->link);
        } else {
            add_unlinked(wheel, timer);
        }
        before = timer->place == BASE_TIMER_QUEUED ? timer : NULL;
    }
    base_list_init(held);
}

/* First tick of the next slot that has timers, and that slot's level; false when the wheel is empty.
 * Two slots never begin at the same tick: the start of a higher one has 0 in the digits below, and
 * in those a slot with timers is past the present. */
static bool next_slot(const struct base_wheel *wheel, uint64_t *start, uint32_t *level)
{
    bool is_found = false;
    for (uint32_t i = 0; i < BASE_WHEEL_LEVELS; i++) {
        if (wheel->used[i] == 0) {
            continue;
        }
        /* Slots of a level never lie behind the present one, so the lowest is the next. */
        uint32_t shift = i * SLOT_BITS;
        uint64_t slot = (uint64_t)__builtin_ctzll(wheel->used[i]);
        uint64_t above =
            shift + SLOT_BITS >= 64 ? 0 : wheel->tick >> (shift + SLOT_BITS) << SLOT_BITS;
        uint64_t tick = (above | slot) << shift;
        if (!is_found || tick < *start) {
            *start = tick;
            *level = i;
            is_found = true;
        }
    }
    return is_found;
}

/* The earliest timer of the queues; NULL when they are empty. */
static struct base_timer *first_queued(const struct base_wheel *wheel)
{
    struct base_timer *earliest = NULL;
    for (uint32_t i = 0; i < BASE_WHEEL_QUEUES; i++) {
        struct base_list *first = base_list_first(&wheel->queues[i]);
        struct base_timer *timer =
            first == NULL ? NULL : base_list_entry(first, struct base_timer, link);
        if (timer != NULL && (earliest == NULL || timer->deadline_ns < earliest->deadline_ns)) {
            earliest = timer;
        }
    }
    return earliest;
}

/* What a wheel has to look at next: a queue's first timer, or the first one of a slot. */
struct next {
    uint64_t tick; /* when; UINT64_MAX when there is none */
    struct base_timer *timer;
};

static struct next find_next(const struct base_wheel *wheel)
{
    struct next next = {.tick = UINT64_MAX, .timer = first_queued(wheel)};
    if (next.timer != NULL) {
        next.tick = tick_of(wheel, next.timer->deadline_ns);
    }
    uint64_t start = 0;
    uint32_t level = 0;
    if (next_slot(wheel, &start, &level) && (next.timer == NULL || start < next.tick)) {
        uint32_t slot = (uint32_t)(start >> (level * SLOT_BITS)) % BASE_WHEEL_SLOTS;
        struct base_list *first = base_list_first(&wheel->slots[level][slot]);
        next.tick = start;
        next.timer = base_list_entry(first, struct base_timer, link);
    }
    return next;
}

/* Moves the clock to what comes next, at or before `tick`, and that timer down or to the due list. One
 * timer per call keeps the work bounded. False when nothing comes until then. */
static bool step(struct base_wheel *wheel, uint64_t tick)
{
    tick = base_max_u64(wheel->tick, tick);
    struct next next = find_next(wheel);
    if (next.timer == NULL || next.tick > tick) {
        wheel->tick = tick;
        wheel->quiet_tick = next.tick;
        return false;
    }
    wheel->tick = base_max_u64(wheel->tick, next.tick);
    base_wheel_del(wheel, next.timer);
    wheel->n_timers++;
    place(wheel, next.timer);
    return true;
}

/* Next timer that is due, idle and unlinked from here on; NULL when there is none or *work, the
 * number of timers that may still be moved, is used up. */
static struct base_timer *take_due(struct base_wheel *wheel, uint64_t tick, uint32_t *work)
{
    while (base_list_is_empty(&wheel->due)) {
        if (*work == 0 || !step(wheel, tick)) {
            return NULL;
        }
        *work -= 1;
    }
    struct base_list *first = base_list_first(&wheel->due);
    struct base_timer *timer = base_list_entry(first, struct base_timer, link);
    base_wheel_del(wheel, timer);
    return timer;
}

/* As nearly always: one comparison tells that nothing is due, and the clock moves on. */
static bool is_quiet(struct base_wheel *wheel, uint64_t now_ns)
{
    uint64_t tick = base_max_u64(wheel->tick, now_ns >> wheel->shift);
    if (tick >= wheel->quiet_tick) {
        return false;
    }
    wheel->tick = tick;
    return true;
}

/* Every timer moves at most once per level before it fires; on average far less. */
static uint32_t work_for(uint32_t max_n)
{
    return max_n > UINT32_MAX / 4 ? UINT32_MAX : max_n * 4;
}

uint32_t base_wheel_advance(struct base_wheel *wheel, uint64_t now_ns, uint32_t max_n,
                            struct base_list *fired)
{
    if (is_quiet(wheel, now_ns)) {
        return 0;
    }
    uint32_t work = work_for(max_n);
    uint32_t n = 0;
    while (n < max_n) {
        struct base_timer *timer = take_due(wheel, now_ns >> wheel->shift, &work);
        if (timer == NULL) {
            break;
        }
        timer->place = BASE_TIMER_OUT;
        base_list_add_tail(fired, &timer->link);
        n++;
    }
    return n;
}

uint32_t base_wheel_run(struct base_wheel *wheel, uint64_t now_ns, uint32_t max_n)
{
    if (is_quiet(wheel, now_ns)) {
        return 0;
    }
    uint32_t work = work_for(max_n);
    uint32_t n = 0;
    while (n < max_n) {
        struct base_timer *timer = take_due(wheel, now_ns >> wheel->shift, &work);
        if (timer == NULL) {
            break;
        }
        n++;
        timer->fn(timer, now_ns);
    }
    return n;
}

uint64_t base_wheel_next_deadline_ns(const struct base_wheel *wheel)
{
    if (!base_list_is_empty(&wheel->due)) {
        return wheel->tick << wheel->shift;
    }
    struct next next = find_next(wheel);
    if (next.timer == NULL || next.tick > UINT64_MAX >> wheel->shift) {
        return UINT64_MAX;
    }
    return next.tick << wheel->shift;
}
