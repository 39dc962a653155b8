/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wheel.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

static struct base_wheel wheel;

/* From here on deadlines before the end of time go to the wheel itself: each queue has a later one. */
static void fill_queues(void)
{
    static struct base_timer far[BASE_WHEEL_QUEUES];
    for (uint32_t i = 0; i < BASE_WHEEL_QUEUES; i++) {
        far[i] = (struct base_timer){0};
        base_wheel_add(&wheel, &far[i], UINT64_MAX - 1 - i);
    }
}

static struct base_timer *take_fired(struct base_list *fired)
{
    struct base_list *node = base_list_first(fired);
    if (node == NULL) {
        return NULL;
    }
    struct base_timer *timer = base_list_entry(node, struct base_timer, link);
    base_wheel_del(&wheel, timer);
    return timer;
}

/* Advances to `now_ns`, as often as it takes, and says how many fired. */
static uint32_t fire_all(uint64_t now_ns)
{
    struct base_list fired;
    base_list_init(&fired);
    uint32_t n = 0;
    for (;;) {
        n += base_wheel_advance(&wheel, now_ns, 16, &fired);
        while (take_fired(&fired) != NULL) {
        }
        if (base_wheel_next_deadline_ns(&wheel) > now_ns) {
            return n;
        }
    }
}

static void an_empty_wheel_has_no_deadline(void **state)
{
    (void)state;
    base_wheel_init(&wheel, 12345, 1000);
    assert_int_equal(base_wheel_next_deadline_ns(&wheel), UINT64_MAX);
    assert_int_equal(fire_all(UINT64_MAX / 2), 0);
}

static void a_timer_never_fires_early(void **state)
{
    (void)state;
    struct base_timer timer = {0};
    base_wheel_init(&wheel, 0, 1024);
    base_wheel_add(&wheel, &timer, 1025);
    assert_true(base_timer_is_armed(&timer));
    assert_int_equal(fire_all(1024), 0);
    assert_int_equal(fire_all(1025), 0);
    assert_int_equal(fire_all(2047), 0);
    assert_int_equal(fire_all(2048), 1);
    assert_false(base_timer_is_armed(&timer));
}

static void granularity_one_is_exact(void **state)
{
    (void)state;
    struct base_timer timer = {0};
    base_wheel_init(&wheel, 0, 1);
    base_wheel_add(&wheel, &timer, 1000003);
    assert_int_equal(fire_all(1000002), 0);
    assert_int_equal(fire_all(1000003), 1);
}

static void a_past_deadline_fires_at_the_next_advance(void **state)
{
    (void)state;
    struct base_timer timer = {0};
    base_wheel_init(&wheel, 5000, 1);
    base_wheel_add(&wheel, &timer, 0);
    assert_true(base_wheel_next_deadline_ns(&wheel) <= 5000);
    assert_int_equal(fire_all(5000), 1);
}

static void time_that_goes_back_is_ignored(void **state)
{
    (void)state;
    struct base_timer timer = {0};
    base_wheel_init(&wheel, 5000, 1);
    base_wheel_add(&wheel, &timer, 6000);
    assert_int_equal(fire_all(5900), 0);
    assert_int_equal(fire_all(10), 0);
    assert_int_equal(fire_all(6000), 1);
}

static void the_farthest_deadlines_are_kept(void **state)
{
    (void)state;
    struct base_timer far = {0};
    struct base_timer farthest = {0};
    base_wheel_init(&wheel, 1, 1);
    base_wheel_add(&wheel, &farthest, UINT64_MAX);
    base_wheel_add(&wheel, &far, UINT64_MAX - 1);
    assert_int_equal(fire_all(UINT64_MAX - 2), 0);
    assert_int_equal(fire_all(UINT64_MAX - 1), 1);
    assert_false(base_timer_is_armed(&far));
    struct base_list fired;
    base_list_init(&fired);
    assert_int_equal(base_wheel_advance(&wheel, UINT64_MAX, 16, &fired), 1);
    assert_ptr_equal(take_fired(&fired), &farthest);
}

static void a_deleted_timer_does_not_fire(void **state)
{
    (void)state;
    struct base_timer timer = {0};
    base_wheel_init(&wheel, 0, 1);
    base_wheel_add(&wheel, &timer, 100);
    base_wheel_del(&wheel, &timer);
    base_wheel_del(&wheel, &timer);
    assert_int_equal(base_wheel_next_deadline_ns(&wheel), UINT64_MAX);
    assert_int_equal(fire_all(1000), 0);
}

static void adding_an_armed_timer_moves_it(void **state)
{
    (void)state;
    struct base_timer timer = {0};
    base_wheel_init(&wheel, 0, 1);
    base_wheel_add(&wheel, &timer, 100);
    base_wheel_add(&wheel, &timer, 300);
    assert_int_equal(wheel.n_timers, 1);
    assert_int_equal(fire_all(299), 0);
    assert_int_equal(fire_all(300), 1);
}

static void a_fired_timer_can_be_taken_back_by_del(void **state)
{
    (void)state;
    struct base_timer a = {0};
    struct base_timer b = {0};
    struct base_list fired;
    base_list_init(&fired);
    base_wheel_init(&wheel, 0, 1);
    base_wheel_add(&wheel, &a, 10);
    base_wheel_add(&wheel, &b, 10);
    assert_int_equal(base_wheel_advance(&wheel, 10, 8, &fired), 2);
    base_wheel_del(&wheel, &a);
    base_wheel_add(&wheel, &b, 20);
    assert_true(base_list_is_empty(&fired));
    assert_int_equal(wheel.n_timers, 1);
    assert_int_equal(fire_all(20), 1);
}

static void no_more_than_max_n_fire_at_once(void **state)
{
    (void)state;
    struct base_timer timers[10] = {0};
    struct base_list fired;
    base_list_init(&fired);
    base_wheel_init(&wheel, 0, 1);
    for (size_t i = 0; i < 10; i++) {
        base_wheel_add(&wheel, &timers[i], 50);
    }
    assert_int_equal(base_wheel_advance(&wheel, 60, 0, &fired), 0);
    assert_int_equal(base_wheel_advance(&wheel, 60, 4, &fired), 4);
    assert_true(base_wheel_next_deadline_ns(&wheel) <= 60);
    assert_int_equal(base_wheel_advance(&wheel, 60, 100, &fired), 6);
    while (take_fired(&fired) != NULL) {
    }
}

static void one_advance_does_bounded_work(void **state)
{
    (void)state;

    enum {
        N = 1000
    };
    static struct base_timer timers[N];
    struct base_list fired;
    base_list_init(&fired);
    base_wheel_init(&wheel, 0, 1);
    fill_queues();
    for (size_t i = 0; i < N; i++) {
        timers[i] = (struct base_timer){0};
        base_wheel_add(&wheel, &timers[i], 4096 + 63); /* all in one slot of level 2 */
    }
    assert_int_equal(base_wheel_advance(&wheel, 5000, 1, &fired), 0);
    assert_true(base_wheel_next_deadline_ns(&wheel) <= 5000);
    /* Half way down the slot, new timers and deletions still find their place. */
    base_wheel_del(&wheel, &timers[N - 1]);
    base_wheel_add(&wheel, &timers[N - 1], 4096 + 10);
    base_wheel_del(&wheel, &timers[0]);
    assert_int_equal(fire_all(5000), N - 1);
    assert_int_equal(wheel.n_timers, BASE_WHEEL_QUEUES);
}

static void one_advance_takes_no_more_from_a_queue_than_it_may(void **state)
{
    (void)state;

    enum {
        N = 100
    };
    static struct base_timer timers[N];
    struct base_list fired;
    base_list_init(&fired);
    base_wheel_init(&wheel, 0, 1);
    for (size_t i = 0; i < N; i++) {
        timers[i] = (struct base_timer){0};
        base_wheel_add(&wheel, &timers[i], 10 + i / 50);
    }
    assert_int_equal(base_wheel_advance(&wheel, 10, N, &fired), 50);
    assert_int_equal(base_wheel_next_deadline_ns(&wheel), 11);
    assert_int_equal(base_wheel_advance(&wheel, 12, 7, &fired), 7);
    assert_true(base_wheel_next_deadline_ns(&wheel) <= 12);
    for (size_t i = 0; i < N; i++) {
        base_wheel_del(&wheel, &timers[i]);
    }
    assert_true(base_list_is_empty(&fired));
    assert_int_equal(base_wheel_next_deadline_ns(&wheel), UINT64_MAX);
}

/* Two timeouts in flight, the long ones and the short ones mixed, and now and then one in between. */
static void mixed_timeouts_fire_in_order(void **state)
{
    (void)state;

    enum {
        N = 300
    };
    static struct base_timer timers[N];
    struct base_list fired;
    base_list_init(&fired);
    base_wheel_init(&wheel, 0, 1);
    for (uint64_t i = 0; i < N; i++) {
        const uint64_t timeouts[] = {10000, 500, i % 7 * 1000};
        timers[i] = (struct base_timer){0};
        base_wheel_add(&wheel, &timers[i], i + timeouts[i % 3]);
    }
    uint64_t last_ns = 0;
    uint32_t n = 0;
    for (uint64_t now_ns = 0; now_ns < 11000; now_ns++) {
        n += base_wheel_advance(&wheel, now_ns, N, &fired);
        for (struct base_timer *timer; (timer = take_fired(&fired)) != NULL;) {
            assert_true(timer->deadline_ns <= now_ns);
            assert_true(timer->deadline_ns >= last_ns || now_ns < N);
            last_ns = timer->deadline_ns;
        }
    }
    assert_int_equal(n, N);
}

static void a_far_deadline_before_them_holds_nobody_up(void **state)
{
    (void)state;
    struct base_timer far[BASE_WHEEL_QUEUES + 1] = {0};
    struct base_timer near = {0};
    base_wheel_init(&wheel, 0, 1);
    for (uint64_t i = 0; i <= BASE_WHEEL_QUEUES; i++) {
        base_wheel_add(&wheel, &far[i], 1000000 - i);
        base_wheel_add(&wheel, &near, 100 + i);
        assert_true(base_wheel_next_deadline_ns(&wheel) <= 100 + i);
        base_wheel_del(&wheel, &near);
    }
    base_wheel_add(&wheel, &near, 100);
    assert_int_equal(fire_all(99), 0);
    assert_int_equal(fire_all(100), 1);
    assert_int_equal(fire_all(1000000), BASE_WHEEL_QUEUES + 1);
}

static void a_held_timer_waits_until_it_is_added(void **state)
{
    (void)state;
    struct base_timer timers[2] = {0};
    struct base_list held;
    base_list_init(&held);
    base_wheel_init(&wheel, 0, 1);
    for (size_t i = 0; i < 2; i++) {
        base_timer_hold(&timers[i], &held);
        assert_false(base_timer_is_armed(&timers[i]));
    }
    assert_int_equal(base_wheel_next_deadline_ns(&wheel), UINT64_MAX);
    base_wheel_del(&wheel, &timers[0]);
    assert_ptr_equal(base_list_first(&held), &timers[1].link);
    base_wheel_add(&wheel, &timers[1], 10);
    assert_true(base_list_is_empty(&held));
    assert_int_equal(wheel.n_timers, 1);
    assert_int_equal(fire_all(10), 1);
}

static void held_timers_count_from_when_they_are_added_in_any_order(void **state)
{
    (void)state;
    static const uint64_t after[] = {20, 20, 10, 30, 30, 5, 4, 3, 2, 40, UINT64_MAX};
    struct base_timer timers[BASE_ARRAY_LEN(after)] = {0};
    struct base_list held;
    base_list_init(&held);
    base_wheel_init(&wheel, 0, 1);
    for (size_t i = 0; i < BASE_ARRAY_LEN(after); i++) {
        base_timer_hold(&timers[i], &held);
        timers[i].deadline_ns = after[i];
    }
    base_wheel_add_held(&wheel, &held, 1000);
    assert_true(base_list_is_empty(&held));
    assert_int_equal(wheel.n_timers, BASE_ARRAY_LEN(after));
    for (uint64_t now_ns = 1001; now_ns <= 1040; now_ns++) {
        uint32_t n_due = 0;
        for (size_t i = 0; i < BASE_ARRAY_LEN(after); i++) {
            n_due += base_add_sat_u64(1000, after[i]) == now_ns;
        }
        assert_int_equal(fire_all(now_ns), n_due);
    }
    assert_int_equal(timers[BASE_ARRAY_LEN(after) - 1].deadline_ns, UINT64_MAX);
    assert_int_equal(wheel.n_timers, 1);
}

static void a_timer_added_behind_the_clock_fires_whatever_the_time(void **state)
{
    (void)state;
    struct base_timer far = {0};
    struct base_timer past = {0};
    base_wheel_init(&wheel, 0, 1);
    base_wheel_add(&wheel, &far, 6000);
    assert_int_equal(fire_all(5000), 0);
    base_wheel_add(&wheel, &past, 3000);
    assert_int_equal(fire_all(10), 1); /* time that goes back is ignored */
    assert_true(base_timer_is_armed(&far));
}

static void time_that_goes_back_half_way_down_a_slot_is_ignored(void **state)
{
    (void)state;

    enum {
        N = 40
    };
    static struct base_timer timers[N];
    struct base_list fired;
    base_list_init(&fired);
    base_wheel_init(&wheel, 0, 1);
    fill_queues();
    for (size_t i = 0; i < N; i++) {
        timers[i] = (struct base_timer){0};
        base_wheel_add(&wheel, &timers[i], 4096);
    }
    assert_int_equal(base_wheel_advance(&wheel, 5000, 1, &fired), 1);
    uint32_t n = 1;
    for (int i = 0; i < 2 * N; i++) {
        n += base_wheel_advance(&wheel, 10, 1, &fired);
    }
    assert_int_equal(n, N);
    while (take_fired(&fired) != NULL) {
    }
}

static uint32_t n_calls;

static void rearm(struct base_timer *timer, uint64_t now_ns)
{
    n_calls++;
    if (n_calls < 5) {
        base_wheel_add(&wheel, timer, now_ns + 100);
    }
}

static void a_callback_may_rearm_its_timer(void **state)
{
    (void)state;
    struct base_timer timer;
    n_calls = 0;
    base_timer_init(&timer, rearm);
    base_wheel_init(&wheel, 0, 1);
    base_wheel_add(&wheel, &timer, 100);
    for (uint64_t now = 0; now <= 1000; now += 10) {
        (void)base_wheel_run(&wheel, now, 8);
    }
    assert_int_equal(n_calls, 5);
    assert_false(base_timer_is_armed(&timer));
}

static void next_deadline_leads_to_the_timer(void **state)
{
    (void)state;
    struct base_timer timer = {0};
    const uint64_t deadline = UINT64_C(7200) * 1000000000;
    base_wheel_init(&wheel, 99, 1);
    fill_queues();
    base_wheel_add(&wheel, &timer, deadline);
    uint64_t now = 0;
    uint32_t n_wakeups = 0;
    while (base_timer_is_armed(&timer)) {
        now = base_wheel_next_deadline_ns(&wheel);
        assert_true(now <= deadline);
        (void)fire_all(now);
        n_wakeups++;
    }
    assert_int_equal(now, deadline);
    assert_true(n_wakeups <= BASE_WHEEL_LEVELS);
}

enum {
    N_PROPERTY = 300
};

struct model {
    struct base_timer timers[N_PROPERTY];
    uint64_t deadlines[N_PROPERTY]; /* UINT64_MAX: not armed */
};

static uint64_t earliest(const struct model *m)
{
    uint64_t min = UINT64_MAX;
    for (size_t i = 0; i < N_PROPERTY; i++) {
        min = m->deadlines[i] < min ? m->deadlines[i] : min;
    }
    return min;
}

static uint64_t granules(uint64_t ns, uint64_t granularity)
{
    return ns / granularity + (ns % granularity != 0);
}

/* Checks what fired against what the model says is due. */
static void check_advance(struct model *m, uint64_t now, uint64_t granularity, uint32_t max_n)
{
    struct base_list fired;
    base_list_init(&fired);
    do {
        (void)base_wheel_advance(&wheel, now, max_n, &fired);
        for (struct base_timer *t; (t = take_fired(&fired)) != NULL;) {
            size_t i = (size_t)(t - m->timers);
            assert_true(m->deadlines[i] != UINT64_MAX);
            assert_true(m->deadlines[i] <= now);
            m->deadlines[i] = UINT64_MAX;
        }
    } while (base_wheel_next_deadline_ns(&wheel) <= now);
    uint64_t min = earliest(m);
    if (min != UINT64_MAX) {
        assert_true(granules(min, granularity) > now / granularity);
        assert_true(base_wheel_next_deadline_ns(&wheel) <=
                    granules(min, granularity) * granularity);
    } else {
        assert_int_equal(base_wheel_next_deadline_ns(&wheel), UINT64_MAX);
    }
}

static void run_property(uint64_t seed)
{
    static struct model m;
    struct base_rng rng;
    base_rng_init(&rng, seed);
    uint64_t granularity = UINT64_C(1) << base_rng_below(&rng, 12);
    uint64_t now = base_rng_u64(&rng) >> base_rng_range(&rng, 1, 60);
    base_wheel_init(&wheel, now, granularity);
    for (size_t i = 0; i < N_PROPERTY; i++) {
        m.timers[i] = (struct base_timer){0};
        m.deadlines[i] = UINT64_MAX;
    }
    for (int step = 0; step < 3000; step++) {
        size_t i = (size_t)base_rng_below(&rng, N_PROPERTY);
        uint64_t reach = UINT64_C(1) << base_rng_below(&rng, 40);
        uint64_t what = base_rng_below(&rng, 10);
        if (what < 6) {
            m.deadlines[i] = now + base_rng_below(&rng, reach);
            base_wheel_add(&wheel, &m.timers[i], m.deadlines[i]);
        } else if (what < 8) {
            m.deadlines[i] = UINT64_MAX;
            base_wheel_del(&wheel, &m.timers[i]);
        } else {
            now += base_rng_below(&rng, reach);
            check_advance(&m, now, granularity, (uint32_t)base_rng_range(&rng, 1, 40));
        }
    }
}

static void it_agrees_with_a_plain_list_of_deadlines(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        run_property(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_wheel_has_no_deadline),
        cmocka_unit_test(a_timer_never_fires_early),
        cmocka_unit_test(granularity_one_is_exact),
        cmocka_unit_test(a_past_deadline_fires_at_the_next_advance),
        cmocka_unit_test(time_that_goes_back_is_ignored),
        cmocka_unit_test(the_farthest_deadlines_are_kept),
        cmocka_unit_test(a_deleted_timer_does_not_fire),
        cmocka_unit_test(adding_an_armed_timer_moves_it),
        cmocka_unit_test(a_fired_timer_can_be_taken_back_by_del),
        cmocka_unit_test(no_more_than_max_n_fire_at_once),
        cmocka_unit_test(one_advance_does_bounded_work),
        cmocka_unit_test(one_advance_takes_no_more_from_a_queue_than_it_may),
        cmocka_unit_test(mixed_timeouts_fire_in_order),
        cmocka_unit_test(a_far_deadline_before_them_holds_nobody_up),
        cmocka_unit_test(a_held_timer_waits_until_it_is_added),
        cmocka_unit_test(held_timers_count_from_when_they_are_added_in_any_order),
        cmocka_unit_test(a_timer_added_behind_the_clock_fires_whatever_the_time),
        cmocka_unit_test(time_that_goes_back_half_way_down_a_slot_is_ignored),
        cmocka_unit_test(a_callback_may_rearm_its_timer),
        cmocka_unit_test(next_deadline_leads_to_the_timer),
        cmocka_unit_test(it_agrees_with_a_plain_list_of_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
