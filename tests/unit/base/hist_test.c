/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hist.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>

static struct base_hist hist;

static void an_empty_histogram_answers_zero(void **state)
{
    (void)state;
    base_hist_init(&hist);
    assert_int_equal(base_hist_percentile(&hist, 99), 0);
    assert_int_equal(base_hist_min(&hist), 0);
    assert_int_equal(base_hist_max(&hist), 0);
    assert_true(base_hist_mean(&hist) == 0.0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    base_hist_init(&hist);
    for (uint64_t v = 1; v <= 30; v++) {
        base_hist_record(&hist, v);
    }
    assert_int_equal(base_hist_percentile(&hist, 50), 15);
    assert_int_equal(base_hist_percentile(&hist, 100), 30);
    assert_int_equal(base_hist_percentile(&hist, 0), 1);
    assert_int_equal(base_hist_percentile(&hist, -5), 1);
    assert_int_equal(base_hist_percentile(&hist, 500), 30);
    assert_true(base_hist_mean(&hist) == 15.5);
}

static void the_extremes_are_recorded(void **state)
{
    (void)state;
    base_hist_init(&hist);
    base_hist_record(&hist, 0);
    base_hist_record(&hist, UINT64_MAX);
    base_hist_record_n(&hist, UINT64_MAX, 3);
    base_hist_record_n(&hist, 7, 0);
    assert_int_equal(hist.count, 5);
    assert_int_equal(base_hist_min(&hist), 0);
    assert_true(base_hist_max(&hist) == UINT64_MAX);
    assert_true(hist.sum == UINT64_MAX);
    assert_int_equal(base_hist_percentile(&hist, 20), 0);
    assert_true(base_hist_percentile(&hist, 21) == UINT64_MAX);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_keep_their_error_bound(void **state)
{
    (void)state;

    enum {
        N = 1000
    };

    static uint64_t values[N];
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct base_rng rng;
        base_rng_init(&rng, seed);
        base_hist_init(&hist);
        for (size_t i = 0; i < N; i++) {
            values[i] = base_rng_u64(&rng) >> base_rng_below(&rng, 64);
            base_hist_record(&hist, values[i]);
        }
        qsort(values, N, sizeof(values[0]), compare);
        for (uint32_t rank = 1; rank <= N; rank++) {
            uint64_t exact = values[rank - 1];
            /* Half a rank below, so that rounding does not decide which rank is meant. */
            uint64_t got = base_hist_percentile(&hist, ((double)rank - 0.5) / N * 100);
            assert_true(got >= exact);
            assert_true(got - exact <= exact / 32);
        }
        assert_true(base_hist_max(&hist) == values[N - 1]);
        assert_true(base_hist_min(&hist) == values[0]);
    }
}

static void merging_equals_recording_into_one(void **state)
{
    (void)state;
    static struct base_hist a;
    static struct base_hist b;
    struct base_rng rng;
    base_rng_init(&rng, 3);
    base_hist_init(&a);
    base_hist_init(&b);
    base_hist_init(&hist);
    base_hist_merge(&a, &b);
    assert_int_equal(a.count, 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t v = base_rng_u64(&rng) >> 40;
        base_hist_record(i % 3 == 0 ? &a : &b, v);
        base_hist_record(&hist, v);
    }
    base_hist_merge(&a, &b);
    assert_memory_equal(&a, &hist, sizeof(hist));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_histogram_answers_zero),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(the_extremes_are_recorded),
        cmocka_unit_test(percentiles_keep_their_error_bound),
        cmocka_unit_test(merging_equals_recording_into_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
