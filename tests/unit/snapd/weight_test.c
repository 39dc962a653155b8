/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/weight.h"

#include "tests/support/cmocka_all.h"

enum {
    WINDOW = SNAPD_WEIGHT_WINDOW_NS,
    YIELDS = 1000,
    QUICK_NS = 3000,
    LONG_NS = 2000000
};

/* What one engine meets, window after window. */
struct world {
    struct snapd_weight weight;
    uint64_t now_ns;
    uint64_t switches;
};

static struct world make(void)
{
    struct world w = {.now_ns = 1};
    snapd_weight_init(&w.weight, w.now_ns);
    return w;
}

/* A window in which of `n_yields` so many made others run, each for so long. True: changed. */
static bool window(struct world *w, uint32_t n_yields, uint32_t n_switches, uint64_t away_ns)
{
    bool is_over = false;
    for (uint32_t i = 0; i < n_yields; i++) {
        assert_false(is_over);
        w->now_ns += i + 1 < n_yields ? 1 : WINDOW;
        is_over = snapd_weight_yielded(&w->weight, i < n_switches ? away_ns : 300, w->now_ns);
    }
    w->now_ns += n_yields == 0 ? WINDOW : 0;
    w->switches += n_switches;
    return snapd_weight_end_window(&w->weight, w->switches, w->now_ns);
}

static void sharing(struct world *w, uint64_t for_ns)
{
    for (uint64_t end_ns = w->now_ns + for_ns; w->now_ns < end_ns;) {
        (void)window(w, YIELDS, YIELDS / 2, QUICK_NS);
    }
}

/* How long it stays as light as it is now, while it shares. */
static uint64_t time_until_heavy(struct world *w)
{
    uint64_t before_ns = w->now_ns;
    while (!w->weight.is_heavy) {
        (void)window(w, YIELDS, YIELDS / 2, QUICK_NS);
    }
    return w->now_ns - before_ns;
}

static void it_begins_heavy_and_stays_so_alone(void **state)
{
    (void)state;
    struct world w = make();
    for (int i = 0; i < 1000; i++) {
        assert_true(w.weight.is_heavy);
        assert_false(window(&w, YIELDS, 0, 0));
    }
}

static void it_is_light_where_it_must_share(void **state)
{
    (void)state;
    struct world w = make();
    sharing(&w, SNAPD_WEIGHT_TRY_NS - 2 * (uint64_t)WINDOW);
    assert_true(w.weight.is_heavy);
    sharing(&w, 4 * (uint64_t)WINDOW);
    assert_false(w.weight.is_heavy);
}

static void a_window_alone_begins_the_try_anew(void **state)
{
    (void)state;
    struct world w = make();
    for (int i = 0; i < 10; i++) {
        sharing(&w, SNAPD_WEIGHT_TRY_NS - 2 * (uint64_t)WINDOW);
        assert_false(window(&w, YIELDS, 0, 0));
    }
    assert_true(w.weight.is_heavy);
}

static void it_tries_again_each_time_later(void **state)
{
    (void)state;
    struct world w = make();
    uint64_t expected_ns = SNAPD_WEIGHT_LIGHT_MIN_NS;
    for (int i = 0; i < 6; i++) {
        sharing(&w, SNAPD_WEIGHT_TRY_NS + 2 * (uint64_t)WINDOW);
        assert_false(w.weight.is_heavy);
        uint64_t light_ns = time_until_heavy(&w);
        assert_in_range(light_ns, expected_ns - 4 * (uint64_t)WINDOW,
                        expected_ns + 4 * (uint64_t)WINDOW);
        expected_ns = expected_ns * 4 > SNAPD_WEIGHT_LIGHT_MAX_NS ? SNAPD_WEIGHT_LIGHT_MAX_NS
                                                                  : expected_ns * 4;
    }
}

static void a_try_that_paid_makes_the_next_light_time_short(void **state)
{
    (void)state;
    struct world w = make();
    sharing(&w, SNAPD_WEIGHT_TRY_NS + 2 * (uint64_t)WINDOW);
    (void)time_until_heavy(&w);
    for (uint64_t end_ns = w.now_ns + 5 * SNAPD_WEIGHT_LIGHT_MIN_NS; w.now_ns < end_ns;) {
        assert_false(window(&w, YIELDS, 0, 0));
    }
    sharing(&w, SNAPD_WEIGHT_TRY_NS + 2 * (uint64_t)WINDOW);
    assert_false(w.weight.is_heavy);
    assert_true(time_until_heavy(&w) < 2 * SNAPD_WEIGHT_LIGHT_MIN_NS);
}

static void who_never_yields_is_no_reason_to_be_light(void **state)
{
    (void)state;
    struct world w = make();
    for (int i = 0; i < 100; i++) {
        assert_false(window(&w, YIELDS, YIELDS / 2, LONG_NS));
    }
}

static void one_yield_in_four_is_sharing(void **state)
{
    (void)state;
    struct world w = make();
    for (int i = 0; i < 100; i++) {
        assert_false(window(&w, YIELDS, YIELDS / 4 - 1, QUICK_NS));
    }
    bool has_changed = false;
    for (int i = 0; i < 100 && !has_changed; i++) {
        has_changed = window(&w, YIELDS, YIELDS / 4, QUICK_NS);
    }
    assert_true(has_changed);
}

static void a_window_with_few_yields_says_nothing(void **state)
{
    (void)state;
    struct world w = make();
    for (int i = 0; i < 100; i++) {
        assert_false(
            window(&w, SNAPD_WEIGHT_YIELDS_MIN - 1, SNAPD_WEIGHT_YIELDS_MIN - 1, QUICK_NS));
        assert_false(window(&w, 0, 0, 0));
    }
    sharing(&w, SNAPD_WEIGHT_TRY_NS + 2 * (uint64_t)WINDOW);
    assert_false(w.weight.is_heavy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_heavy_and_stays_so_alone),
        cmocka_unit_test(it_is_light_where_it_must_share),
        cmocka_unit_test(a_window_alone_begins_the_try_anew),
        cmocka_unit_test(it_tries_again_each_time_later),
        cmocka_unit_test(a_try_that_paid_makes_the_next_light_time_short),
        cmocka_unit_test(who_never_yields_is_no_reason_to_be_light),
        cmocka_unit_test(one_yield_in_four_is_sharing),
        cmocka_unit_test(a_window_with_few_yields_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
