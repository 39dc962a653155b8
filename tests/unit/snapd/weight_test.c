/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/weight.h"

#include "tests/support/cmocka_all.h"

enum {
    WINDOW = SNAPD_WEIGHT_WINDOW_NS,
    YIELDS = 1000,
    PART = WINDOW / SNAPD_WEIGHT_SHARED, /* the least that counts as waiting */
    PATIENCE = SNAPD_WEIGHT_PATIENCE_NS / WINDOW
};

/* What one engine meets, window after window. */
struct world {
    struct snapd_weight weight;
    uint64_t now_ns;
    struct snapd_waits waits;
};

static struct world make_new(void)
{
    struct world w = {.now_ns = 1, .waits = {.ns = 12345, .n = 67}};
    snapd_weight_init(&w.weight, &w.waits, w.now_ns);
    return w;
}

/* A window with so many yields, in which it waited so long, so many times. True: changed. */
static bool window(struct world *w, uint32_t n_yields, uint64_t waited_ns, uint64_t n_waits)
{
    uint64_t end_ns = w->now_ns + WINDOW;
    for (uint32_t i = 0; i + 1 < n_yields; i++) {
        assert_false(snapd_weight_yielded(&w->weight, end_ns - 1));
    }
    if (n_yields > 0) {
        assert_true(snapd_weight_yielded(&w->weight, end_ns));
    }
    w->now_ns = end_ns;
    w->waits.ns += waited_ns;
    w->waits.n += n_waits;
    return snapd_weight_end_window(&w->weight, &w->waits, end_ns);
}

static bool alone(struct world *w)
{
    return window(w, YIELDS, PART - 1, 1);
}

/* Heavy. */
static struct world make(void)
{
    struct world w = make_new();
    assert_true(alone(&w));
    assert_true(w.weight.is_heavy);
    return w;
}

static bool shared(struct world *w)
{
    return window(w, YIELDS, WINDOW / 4, YIELDS);
}

/* By a computation, which gives the core back after some ms. */
static bool held(struct world *w)
{
    return window(w, 1, WINDOW / 10 * 9, 3);
}

static void lighten(struct world *w)
{
    for (int i = 0; w->weight.is_heavy; i++) {
        assert_true(i < PATIENCE);
        (void)shared(w);
    }
}

/* How long it stays light, though it is alone again at once. */
static uint64_t light_time(struct world *w)
{
    uint64_t before_ns = w->now_ns;
    while (!w->weight.is_heavy) {
        (void)alone(w);
    }
    return w->now_ns - before_ns;
}

/* In whole windows. */
static uint64_t rounded_up(uint64_t ns)
{
    return (ns + WINDOW - 1) / WINDOW * WINDOW;
}

static void it_is_heavy_once_it_is_alone_and_stays_so(void **state)
{
    (void)state;
    struct world w = make_new();
    assert_false(w.weight.is_heavy);
    assert_true(alone(&w));
    for (int i = 0; i < 1000; i++) {
        assert_true(w.weight.is_heavy);
        assert_false(alone(&w));
    }
}

static void it_begins_light_and_stays_so_where_it_shares_or_sleeps(void **state)
{
    (void)state;
    struct world w = make_new();
    for (int i = 0; i < 1000; i++) {
        assert_false(i % 2 == 0 ? shared(&w) : window(&w, SNAPD_WEIGHT_YIELDS_MIN - 1, 0, 0));
        assert_false(w.weight.is_heavy);
    }
}

static void it_is_light_when_its_patience_ends(void **state)
{
    (void)state;
    struct world w = make();
    for (int i = 0; i + 1 < PATIENCE; i++) {
        assert_false(shared(&w));
    }
    assert_true(shared(&w));
    assert_false(w.weight.is_heavy);
}

static void a_window_alone_begins_patience_anew(void **state)
{
    (void)state;
    struct world w = make();
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k + 1 < PATIENCE; k++) {
            assert_false(shared(&w));
        }
        assert_false(i % 2 == 0 ? alone(&w) : held(&w));
    }
    assert_true(w.weight.is_heavy);
}

static void it_stays_light_while_it_shares(void **state)
{
    (void)state;
    struct world w = make();
    lighten(&w);
    for (uint64_t end_ns = w.now_ns + 2 * SNAPD_WEIGHT_LIGHT_MAX_NS; w.now_ns < end_ns;) {
        assert_false(shared(&w));
    }
}

static void it_is_heavy_again_when_it_is_alone(void **state)
{
    (void)state;
    struct world w = make();
    lighten(&w);
    for (uint64_t end_ns = w.now_ns + SNAPD_WEIGHT_LIGHT_MIN_NS; w.now_ns < end_ns;) {
        assert_false(shared(&w));
    }
    assert_true(alone(&w));
    assert_true(w.weight.is_heavy);
}

static void what_does_not_last_is_tried_later_each_time(void **state)
{
    (void)state;
    struct world w = make();
    uint64_t expected_ns = SNAPD_WEIGHT_LIGHT_MIN_NS;
    for (int i = 0; i < 9; i++) {
        lighten(&w);
        assert_int_equal(light_time(&w), rounded_up(expected_ns));
        expected_ns *= SNAPD_WEIGHT_LIGHT_TIMES;
        expected_ns =
            expected_ns > SNAPD_WEIGHT_LIGHT_MAX_NS ? SNAPD_WEIGHT_LIGHT_MAX_NS : expected_ns;
    }
    assert_int_equal(expected_ns, SNAPD_WEIGHT_LIGHT_MAX_NS);
}

/* After two light times: how long the third is, when it was heavy and alone for `alone_ns` before. */
static uint64_t third_light_time(uint64_t alone_ns)
{
    struct world w = make();
    lighten(&w);
    (void)light_time(&w);
    lighten(&w);
    (void)light_time(&w);
    for (uint64_t end_ns = w.now_ns + alone_ns; w.now_ns < end_ns;) {
        assert_false(alone(&w));
    }
    lighten(&w);
    return light_time(&w);
}

static void what_lasted_is_tried_again_soon(void **state)
{
    (void)state;
    uint64_t times = SNAPD_WEIGHT_LIGHT_TIMES;
    assert_int_equal(third_light_time(SNAPD_WEIGHT_LASTED_NS),
                     rounded_up(SNAPD_WEIGHT_LIGHT_MIN_NS));
    assert_int_equal(third_light_time(SNAPD_WEIGHT_LASTED_NS - WINDOW),
                     rounded_up(SNAPD_WEIGHT_LIGHT_MIN_NS * times * times));
}

static void who_never_yields_is_no_reason_to_be_light(void **state)
{
    (void)state;
    struct world w = make();
    for (int i = 0; i < 100; i++) {
        assert_false(held(&w));
    }
    lighten(&w);
    uint64_t before_ns = w.now_ns;
    while (!w.weight.is_heavy) {
        (void)held(&w);
    }
    assert_int_equal(w.now_ns - before_ns, rounded_up(SNAPD_WEIGHT_LIGHT_MIN_NS));
}

/* Whether windows like this make it light. */
static bool lightens(uint32_t n_yields, uint64_t waited_ns, uint64_t n_waits)
{
    struct world w = make();
    for (int i = 0; i < 100 && w.weight.is_heavy; i++) {
        (void)window(&w, n_yields, waited_ns, n_waits);
    }
    return !w.weight.is_heavy;
}

static void to_share_is_to_wait_for_a_part_of_the_time(void **state)
{
    (void)state;
    assert_false(lightens(YIELDS, 0, 0));
    assert_false(lightens(YIELDS, PART - 1, 100));
    assert_true(lightens(YIELDS, PART, 100));
    assert_true(lightens(YIELDS, WINDOW, YIELDS));
}

static void yields_that_come_back_at_once_say_nothing(void **state)
{
    (void)state;
    assert_true(lightens(1000 * YIELDS, PART, 2));
    assert_false(lightens(YIELDS, PART - 1, YIELDS));
}

static void who_yields_gives_the_core_back_soon(void **state)
{
    (void)state;
    uint64_t n = 16;
    assert_true(lightens(YIELDS, n * SNAPD_WEIGHT_QUICK_NS - 1, n));
    assert_false(lightens(YIELDS, n * SNAPD_WEIGHT_QUICK_NS, n));
    assert_false(lightens(YIELDS, PART, 1));
    assert_false(lightens(YIELDS, WINDOW, 0)); /* a wait that goes on */
}

static void a_window_with_few_yields_says_nothing(void **state)
{
    (void)state;
    assert_false(lightens(SNAPD_WEIGHT_YIELDS_MIN - 1, WINDOW / 2, YIELDS));
    assert_false(lightens(0, WINDOW / 2, YIELDS));
    assert_true(lightens(SNAPD_WEIGHT_YIELDS_MIN, WINDOW / 2, YIELDS));
    struct world w = make();
    lighten(&w);
    for (int i = 0; i < 100; i++) {
        assert_false(window(&w, SNAPD_WEIGHT_YIELDS_MIN - 1, 0, 0));
    }
    assert_true(window(&w, SNAPD_WEIGHT_YIELDS_MIN, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_heavy_once_it_is_alone_and_stays_so),
        cmocka_unit_test(it_begins_light_and_stays_so_where_it_shares_or_sleeps),
        cmocka_unit_test(it_is_light_when_its_patience_ends),
        cmocka_unit_test(a_window_alone_begins_patience_anew),
        cmocka_unit_test(it_stays_light_while_it_shares),
        cmocka_unit_test(it_is_heavy_again_when_it_is_alone),
        cmocka_unit_test(what_does_not_last_is_tried_later_each_time),
        cmocka_unit_test(what_lasted_is_tried_again_soon),
        cmocka_unit_test(who_never_yields_is_no_reason_to_be_light),
        cmocka_unit_test(to_share_is_to_wait_for_a_part_of_the_time),
        cmocka_unit_test(yields_that_come_back_at_once_say_nothing),
        cmocka_unit_test(who_yields_gives_the_core_back_soon),
        cmocka_unit_test(a_window_with_few_yields_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
