/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/idle.h"

#include "tests/support/cmocka_all.h"

enum {
    SPIN = 100000,
    N_ROUNDS = 50
};

static struct snapd_idle make(enum snapd_idle_policy policy)
{
    struct snapd_idle idle;
    snapd_idle_init(&idle, policy, SPIN, 0);
    return idle;
}

/* Rounds without work, each as long as one burns at most, up to `until_ns`. True: sleep, as it was
 * said after the last and after no other. */
static bool idle_until(struct snapd_idle *idle, uint64_t now_ns, uint64_t until_ns)
{
    while (until_ns - now_ns > SNAPD_IDLE_STEP_NS) {
        now_ns += SNAPD_IDLE_STEP_NS;
        assert_false(snapd_idle_after_round(idle, false, now_ns));
    }
    return snapd_idle_after_round(idle, false, until_ns);
}

/* Work every `pause` ns after looking all the time, N_ROUNDS times; the time after the last. */
static uint64_t work_every(struct snapd_idle *idle, uint64_t now_ns, uint64_t pause_ns)
{
    for (int i = 0; i < N_ROUNDS; i++) {
        uint64_t end_ns = now_ns + pause_ns;
        for (; end_ns - now_ns > SNAPD_IDLE_STEP_NS; now_ns += SNAPD_IDLE_STEP_NS) {
            if (snapd_idle_after_round(idle, false, now_ns)) {
                now_ns = end_ns;
                snapd_idle_slept(idle, now_ns);
                break;
            }
        }
        now_ns = end_ns;
        assert_false(snapd_idle_after_round(idle, true, now_ns));
    }
    return now_ns;
}

static void spin_never_sleeps(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_SPIN);
    assert_false(snapd_idle_after_round(&idle, false, UINT64_MAX));
}

static void sleep_sleeps_at_once(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_SLEEP);
    assert_false(snapd_idle_after_round(&idle, true, 10));
    assert_true(snapd_idle_after_round(&idle, false, 10));
}

static void adaptive_begins_with_sleep_after_the_grace(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_ADAPTIVE);
    assert_false(idle_until(&idle, 0, SNAPD_IDLE_GRACE_NS - 1));
    assert_true(snapd_idle_after_round(&idle, false, SNAPD_IDLE_GRACE_NS));
}

static void adaptive_stays_up_while_work_comes_often(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_ADAPTIVE);
    uint64_t now_ns = work_every(&idle, 0, SPIN / 10);
    assert_false(idle_until(&idle, now_ns, now_ns + SPIN - 1));
    assert_true(snapd_idle_after_round(&idle, false, now_ns + SPIN));
}

static void adaptive_sleeps_early_when_work_comes_rarely(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_ADAPTIVE);
    uint64_t now_ns = work_every(&idle, 0, SPIN / 10);
    now_ns = work_every(&idle, now_ns, (uint64_t)SPIN * 1000);
    assert_false(idle_until(&idle, now_ns, now_ns + SNAPD_IDLE_GRACE_NS - 1));
    assert_true(snapd_idle_after_round(&idle, false, now_ns + SNAPD_IDLE_GRACE_NS));
}

static void one_long_pause_does_not_outweigh_what_comes_after(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_ADAPTIVE);
    uint64_t now_ns = work_every(&idle, 0, SPIN / 10);
    now_ns += UINT64_C(3600) * 1000000000;
    snapd_idle_slept(&idle, now_ns);
    assert_false(snapd_idle_after_round(&idle, true, now_ns));
    now_ns = work_every(&idle, now_ns, SPIN / 10);
    assert_false(idle_until(&idle, now_ns, now_ns + SPIN - 1));
}

static void while_others_run_on_the_core_patience_lasts(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_ADAPTIVE);
    uint64_t now_ns = work_every(&idle, 0, SPIN / 10);
    uint64_t n_looks = SPIN / SNAPD_IDLE_STEP_NS;
    for (uint64_t i = 1; i < n_looks; i++) {
        assert_false(snapd_idle_after_round(&idle, false, now_ns + i * SNAPD_IDLE_STEP_NS * 10));
    }
    assert_true(snapd_idle_after_round(&idle, false, now_ns + SPIN * 10));
}

static void patience_has_an_end_however_long_others_run(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_ADAPTIVE);
    uint64_t now_ns = work_every(&idle, 0, SPIN / 10);
    uint64_t wall_ns = (uint64_t)SPIN * SNAPD_IDLE_WALL;
    assert_false(snapd_idle_after_round(&idle, false, now_ns + wall_ns - 1));
    assert_true(snapd_idle_after_round(&idle, false, now_ns + wall_ns));
}

static void no_spin_time_means_sleep_at_once(void **state)
{
    (void)state;
    struct snapd_idle idle;
    snapd_idle_init(&idle, SNAPD_IDLE_ADAPTIVE, 0, 5);
    assert_true(snapd_idle_after_round(&idle, false, 5));
}

static void a_clock_that_stands_still_or_goes_back_is_no_pause(void **state)
{
    (void)state;
    struct snapd_idle idle = make(SNAPD_IDLE_ADAPTIVE);
    assert_false(snapd_idle_after_round(&idle, true, 1000));
    assert_false(snapd_idle_after_round(&idle, false, 1000));
    assert_false(snapd_idle_after_round(&idle, false, 999));
}

static void what_was_brought_is_handed_over_where_no_more_is_likely(void **state)
{
    (void)state;
    assert_true(snapd_idle_hands_over(1, 0, 0));
    assert_true(snapd_idle_hands_over(SNAPD_IDLE_LITTLE, SNAPD_IDLE_LITTLE, 0));
    assert_false(snapd_idle_hands_over(SNAPD_IDLE_LITTLE + 1, 0, 0));
    assert_false(snapd_idle_hands_over(1, SNAPD_IDLE_LITTLE + 1, 0));
    assert_false(snapd_idle_hands_over(1, 0, 1));
    assert_false(snapd_idle_hands_over(0, 1, 0));
    assert_false(snapd_idle_hands_over(UINT32_MAX, UINT32_MAX, 0));
}

static void the_core_is_kept_from_the_first_vain_yield_on(void **state)
{
    (void)state;
    const uint64_t t = SPIN;
    struct snapd_idle idle = make(SNAPD_IDLE_SPIN);
    assert_false(snapd_idle_may_keep(&idle, t)); /* never yielded */
    idle.yielded_ns = t;
    assert_true(snapd_idle_may_keep(&idle, t));
    assert_false(snapd_idle_after_round(&idle, false, t + 1));
    assert_true(snapd_idle_may_keep(&idle, t + 1));
    assert_false(snapd_idle_after_round(&idle, true, t + 2)); /* work */
    assert_false(snapd_idle_may_keep(&idle, t + 3));
    idle.yielded_ns = t + 4;
    assert_true(snapd_idle_may_keep(&idle, t + 5));
}

static void the_core_is_kept_for_a_bounded_time(void **state)
{
    (void)state;
    const uint64_t t = SPIN;
    struct snapd_idle idle = make(SNAPD_IDLE_SPIN);
    idle.yielded_ns = t;
    assert_true(snapd_idle_may_keep(&idle, t + SNAPD_IDLE_KEEP_NS - 1));
    assert_false(snapd_idle_may_keep(&idle, t + SNAPD_IDLE_KEEP_NS));
    assert_false(snapd_idle_may_keep(&idle, UINT64_MAX));
    idle.yielded_ns = t + SNAPD_IDLE_KEEP_NS;
    assert_true(snapd_idle_may_keep(&idle, t + SNAPD_IDLE_KEEP_NS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spin_never_sleeps),
        cmocka_unit_test(sleep_sleeps_at_once),
        cmocka_unit_test(adaptive_begins_with_sleep_after_the_grace),
        cmocka_unit_test(adaptive_stays_up_while_work_comes_often),
        cmocka_unit_test(adaptive_sleeps_early_when_work_comes_rarely),
        cmocka_unit_test(one_long_pause_does_not_outweigh_what_comes_after),
        cmocka_unit_test(while_others_run_on_the_core_patience_lasts),
        cmocka_unit_test(patience_has_an_end_however_long_others_run),
        cmocka_unit_test(no_spin_time_means_sleep_at_once),
        cmocka_unit_test(a_clock_that_stands_still_or_goes_back_is_no_pause),
        cmocka_unit_test(what_was_brought_is_handed_over_where_no_more_is_likely),
        cmocka_unit_test(the_core_is_kept_from_the_first_vain_yield_on),
        cmocka_unit_test(the_core_is_kept_for_a_bounded_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
