/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program of adds, deletions and advances on the timing wheel, beside a list of deadlines. */
#include "base/assert.h"
#include "base/endian.h"
#include "base/wheel.h"

enum {
    N_TIMERS = 32,
    MAX_STEPS = 400
};

struct model {
    struct base_wheel wheel;
    struct base_timer timers[N_TIMERS];
    bool is_armed[N_TIMERS];
    uint64_t now_ns;
    uint64_t granularity_ns;
};

static void check_fired(struct model *m, struct base_list *fired)
{
    for (struct base_list *node; (node = base_list_first(fired)) != NULL;) {
        struct base_timer *timer = base_list_entry(node, struct base_timer, link);
        base_wheel_del(&m->wheel, timer);
        size_t i = (size_t)(timer - m->timers);
        base_assert(m->is_armed[i]);
        base_assert(timer->deadline_ns <= m->now_ns);
        m->is_armed[i] = false;
    }
}

/* After all that is due has fired, nothing that should have is left. */
static void check_left(const struct model *m)
{
    uint64_t next = base_wheel_next_deadline_ns(&m->wheel);
    uint32_t n = 0;
    for (uint32_t i = 0; i < N_TIMERS; i++) {
        if (!m->is_armed[i]) {
            continue;
        }
        n++;
        uint64_t ticks = base_div_ceil_u64(m->timers[i].deadline_ns, m->granularity_ns);
        base_assert(ticks > m->now_ns / m->granularity_ns);
        base_assert(next <= base_round_up_u64(m->timers[i].deadline_ns, m->granularity_ns) ||
                    m->timers[i].deadline_ns > UINT64_MAX - m->granularity_ns);
    }
    base_assert(n == m->wheel.n_timers);
}

static void advance(struct model *m, uint64_t delta_ns, uint32_t max_n)
{
    m->now_ns = base_add_sat_u64(m->now_ns, delta_ns);
    struct base_list fired;
    base_list_init(&fired);
    do {
        (void)base_wheel_advance(&m->wheel, m->now_ns, max_n, &fired);
        check_fired(m, &fired);
    } while (base_wheel_next_deadline_ns(&m->wheel) <= m->now_ns && m->wheel.n_timers > 0);
    check_left(m);
}

static void step(struct model *m, struct base_cursor *c)
{
    uint8_t op = base_cursor_get_u8(c);
    uint32_t i = base_cursor_get_u8(c) % N_TIMERS;
    uint64_t ns = base_cursor_get_u64(c) >> (op >> 2);
    switch (op & 3) {
    case 0:
    case 1:
        base_wheel_add(&m->wheel, &m->timers[i], base_add_sat_u64(m->now_ns, ns));
        m->is_armed[i] = true;
        break;
    case 2:
        base_wheel_del(&m->wheel, &m->timers[i]);
        m->is_armed[i] = false;
        break;
    default:
        /* Stays clear of the end of time, where "due now" and "never" are the same number. */
        advance(m, ns >> 12, i + 1);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model m;
    struct base_cursor c = base_cursor_make(data, size);
    m = (struct model){.granularity_ns = UINT64_C(1) << (base_cursor_get_u8(&c) % 20)};
    m.now_ns = base_cursor_get_u64(&c) >> 12;
    base_wheel_init(&m.wheel, m.now_ns, m.granularity_ns);
    for (uint32_t n = 0; n < MAX_STEPS && base_cursor_left(&c) > 0; n++) {
        step(&m, &c);
    }
    return 0;
}
