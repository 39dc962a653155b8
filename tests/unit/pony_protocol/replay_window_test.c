/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/replay_window.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

static void a_number_is_taken_once(void **state)
{
    (void)state;
    struct pony_replay_window window = {0};
    for (uint64_t i = 0; i < 10000; i++) {
        assert_true(pony_replay_window_may(&window, i));
        pony_replay_window_take(&window, i);
        assert_false(pony_replay_window_may(&window, i));
    }
}

/* PX-223 */
static void the_edge_of_the_window_is_where_it_says(void **state)
{
    (void)state;
    for (uint64_t top = 5000; top < 5200; top++) {
        struct pony_replay_window window = {0};
        pony_replay_window_take(&window, top);
        assert_true(pony_replay_window_may(&window, top + 1 - PONY_REPLAY_SPAN));
        assert_false(pony_replay_window_may(&window, top - PONY_REPLAY_SPAN));
        pony_replay_window_take(&window, top + 1 - PONY_REPLAY_SPAN);
        assert_false(pony_replay_window_may(&window, top + 1 - PONY_REPLAY_SPAN));
        assert_true(pony_replay_window_may(&window, top - 1));
    }
}

static void the_first_number_may_be_any_but_the_last(void **state)
{
    (void)state;
    struct pony_replay_window window = {0};
    assert_true(pony_replay_window_may(&window, UINT64_MAX - 1));
    assert_false(pony_replay_window_may(&window, UINT64_MAX));
    pony_replay_window_take(&window, UINT64_MAX - 1);
    assert_false(pony_replay_window_may(&window, UINT64_MAX - 1));
    assert_true(pony_replay_window_may(&window, UINT64_MAX - 2));
    assert_false(pony_replay_window_may(&window, 0));
}

/* Against a list of all numbers that were taken. */
static void random_numbers_agree_with_a_list(void **state)
{
    (void)state;
    static bool taken[1 << 16];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pony_replay_window window = {0};
        struct base_rng rng;
        uint64_t next = 0;
        memset(taken, 0, sizeof(taken));
        base_rng_init(&rng, seed);
        for (int i = 0; i < 20000; i++) {
            uint64_t back = base_rng_below(&rng, 2200);
            uint64_t leap = base_rng_chance(&rng, 2000) ? base_rng_below(&rng, 5000) : 2;
            uint64_t number = base_rng_chance(&rng, 300000) ? next + base_rng_below(&rng, leap + 1)
                              : next > back                 ? next - back
                                                            : 0;
            if (number >= sizeof(taken)) {
                break;
            }
            bool may = number >= next || (next - number <= PONY_REPLAY_SPAN && !taken[number]);
            assert_int_equal(pony_replay_window_may(&window, number), may);
            if (may) {
                pony_replay_window_take(&window, number);
                taken[number] = true;
                next = number >= next ? number + 1 : next;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_taken_once),
        cmocka_unit_test(the_edge_of_the_window_is_where_it_says),
        cmocka_unit_test(the_first_number_may_be_any_but_the_last),
        cmocka_unit_test(random_numbers_agree_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
