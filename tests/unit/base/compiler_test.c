/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"

#include "base/span.h"
#include "tests/support/cmocka_all.h"

static void a_span_fits_up_to_the_last_byte(void **state)
{
    (void)state;
    assert_true(base_span_fits(0, 0, 0));
    assert_true(base_span_fits(0, 10, 10));
    assert_true(base_span_fits(10, 0, 10));
    assert_true(base_span_fits(4, 6, 10));
    assert_false(base_span_fits(4, 7, 10));
    assert_false(base_span_fits(11, 0, 10));
    assert_true(base_span_fits(0, UINT64_MAX, UINT64_MAX));
}

static void a_span_that_wraps_does_not_fit(void **state)
{
    (void)state;
    assert_false(base_span_fits(UINT64_MAX, 1, UINT64_MAX));
    assert_false(base_span_fits(1, UINT64_MAX, UINT64_MAX));
    assert_false(base_span_fits(5, UINT64_MAX - 4, 10));
    assert_false(base_span_fits(UINT64_MAX, UINT64_MAX, 10));
}

static void powers_of_two_are_told(void **state)
{
    (void)state;
    assert_false(base_is_pow2_u32(0));
    assert_true(base_is_pow2_u32(1));
    assert_true(base_is_pow2_u32(1U << 31));
    assert_false(base_is_pow2_u32(UINT32_MAX));
    assert_int_equal(base_ceil_pow2_u32(0), 1);
    assert_int_equal(base_ceil_pow2_u32(1), 1);
    assert_int_equal(base_ceil_pow2_u32(64), 64);
    assert_int_equal(base_ceil_pow2_u32(65), 128);
    assert_int_equal(base_ceil_pow2_u32(1U << 31), 1U << 31);
    assert_int_equal(base_ceil_pow2_u32((1U << 31) + 1), 0);
}

static void rounding_and_saturation_keep_their_bounds(void **state)
{
    (void)state;
    assert_int_equal(base_round_up_u64(0, 64), 0);
    assert_int_equal(base_round_up_u64(64, 64), 64);
    assert_int_equal(base_round_up_u64(65, 64), 128);
    assert_int_equal(base_round_up_u64(UINT64_MAX, 64), 0);
    assert_int_equal(base_div_ceil_u64(0, 7), 0);
    assert_int_equal(base_div_ceil_u64(8, 7), 2);
    assert_true(base_div_ceil_u64(UINT64_MAX, 1) == UINT64_MAX);
    assert_true(base_add_sat_u64(UINT64_MAX, 1) == UINT64_MAX);
    assert_int_equal(base_add_sat_u64(1, 2), 3);
    assert_int_equal(base_sub_sat_u64(1, 2), 0);
    assert_int_equal(base_sub_sat_u64(2, 2), 0);
    assert_true(base_is_aligned(128, 64));
    assert_false(base_is_aligned(129, 64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_fits_up_to_the_last_byte),
        cmocka_unit_test(a_span_that_wraps_does_not_fit),
        cmocka_unit_test(powers_of_two_are_told),
        cmocka_unit_test(rounding_and_saturation_keep_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
