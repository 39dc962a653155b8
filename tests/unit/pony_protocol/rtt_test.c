/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/rtt.h"

#include "base/clock.h"
#include "tests/support/cmocka_all.h"

#define MS ((uint64_t)BASE_NS_PER_MS)

static void without_a_sample_the_timeout_is_the_initial_one(void **state)
{
    (void)state;
    struct pony_rtt rtt;
    pony_rtt_init(&rtt, 2 * MS, 200 * MS, 0);
    assert_true(pony_rtt_rto_ns(&rtt) == PONY_RTT_INITIAL_RTO_NS);
    assert_true(pony_rtt_min_ns(&rtt) == 0);
}

/* PX-32 */
static void the_timeout_has_a_floor_and_a_ceiling(void **state)
{
    (void)state;
    struct pony_rtt rtt;
    pony_rtt_init(&rtt, 2 * MS, 200 * MS, 0);
    pony_rtt_add(&rtt, 50000, 0);
    assert_true(pony_rtt_rto_ns(&rtt) == 2 * MS);
    for (int i = 0; i < 50; i++) {
        pony_rtt_add(&rtt, 1000 * MS, 0);
    }
    assert_true(pony_rtt_rto_ns(&rtt) == 200 * MS);
}

/* PX-30 */
static void the_first_sample_sets_the_average(void **state)
{
    (void)state;
    struct pony_rtt rtt;
    pony_rtt_init(&rtt, 1, 200 * MS, 0);
    pony_rtt_add(&rtt, 8 * MS, 0);
    assert_true(rtt.srtt_ns == 8 * MS);
    assert_true(pony_rtt_rto_ns(&rtt) == 24 * MS);
    pony_rtt_add(&rtt, 16 * MS, 0);
    assert_true(rtt.srtt_ns == 9 * MS);
    assert_true(rtt.rttvar_ns == 5 * MS);
}

/* PX-32 */
static void timeouts_in_a_row_double_from_the_second_on(void **state)
{
    (void)state;
    struct pony_rtt rtt;
    pony_rtt_init(&rtt, 2 * MS, 50 * MS, 0);
    pony_rtt_add(&rtt, 50000, 0);
    static const uint64_t expected_ms[] = {2, 2, 4, 8, 16, 32, 50, 50};
    for (size_t i = 0; i < sizeof(expected_ms) / sizeof(expected_ms[0]); i++) {
        assert_true(pony_rtt_rto_ns(&rtt) == expected_ms[i] * MS);
        pony_rtt_on_timeout(&rtt);
    }
    for (int i = 0; i < 1000; i++) {
        pony_rtt_on_timeout(&rtt);
    }
    assert_true(pony_rtt_rto_ns(&rtt) == 50 * MS);
    pony_rtt_on_progress(&rtt);
    assert_true(pony_rtt_rto_ns(&rtt) == 2 * MS);
}

static void backoff_of_a_huge_timeout_does_not_wrap(void **state)
{
    (void)state;
    struct pony_rtt rtt;
    pony_rtt_init(&rtt, UINT64_C(1) << 62, UINT64_C(1) << 63, 0);
    pony_rtt_on_timeout(&rtt);
    pony_rtt_on_timeout(&rtt);
    pony_rtt_on_timeout(&rtt);
    assert_true(pony_rtt_rto_ns(&rtt) == UINT64_C(1) << 63);
}

static void insane_samples_are_clamped(void **state)
{
    (void)state;
    struct pony_rtt rtt;
    pony_rtt_init(&rtt, 1, UINT64_MAX, 0);
    pony_rtt_add(&rtt, UINT64_MAX, 0);
    assert_true(rtt.srtt_ns == PONY_RTT_SANE_MAX_NS);
    pony_rtt_init(&rtt, 1, UINT64_MAX, 0);
    pony_rtt_add(&rtt, 0, 0);
    assert_true(rtt.srtt_ns == 1);
}

static void the_least_round_trip_is_forgotten_after_two_periods(void **state)
{
    (void)state;
    struct pony_rtt rtt;
    const uint64_t s = BASE_NS_PER_S;
    pony_rtt_init(&rtt, 1, 200 * MS, 0);
    pony_rtt_add(&rtt, 1000, 0);
    pony_rtt_add(&rtt, 5000, 10 * s);
    assert_true(pony_rtt_min_ns(&rtt) == 1000);
    pony_rtt_add(&rtt, 6000, 20 * s - 1);
    assert_true(pony_rtt_min_ns(&rtt) == 1000);
    pony_rtt_add(&rtt, 6000, 20 * s);
    assert_true(pony_rtt_min_ns(&rtt) == 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_sample_the_timeout_is_the_initial_one),
        cmocka_unit_test(the_timeout_has_a_floor_and_a_ceiling),
        cmocka_unit_test(the_first_sample_sets_the_average),
        cmocka_unit_test(timeouts_in_a_row_double_from_the_second_on),
        cmocka_unit_test(backoff_of_a_huge_timeout_does_not_wrap),
        cmocka_unit_test(insane_samples_are_clamped),
        cmocka_unit_test(the_least_round_trip_is_forgotten_after_two_periods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
