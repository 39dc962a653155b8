/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static void the_same_seed_gives_the_same_numbers(void **state)
{
    (void)state;
    struct base_rng a;
    struct base_rng b;
    struct base_rng c;
    base_rng_init(&a, 42);
    base_rng_init(&b, 42);
    base_rng_init(&c, 43);
    int n_equal = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t v = base_rng_u64(&a);
        assert_true(v == base_rng_u64(&b));
        n_equal += v == base_rng_u64(&c);
    }
    assert_int_equal(n_equal, 0);
}

/* State {1, 2, 3, 4}; from the reference implementation (also used by other languages' tests). */
static void it_is_xoshiro256_starstar(void **state)
{
    (void)state;
    struct base_rng rng = {{1, 2, 3, 4}};
    const uint64_t want[] = {11520,
                             0,
                             1509978240,
                             UINT64_C(1215971899390074240),
                             UINT64_C(1216172134540287360),
                             UINT64_C(607988272756665600),
                             UINT64_C(16172922978634559625),
                             UINT64_C(8476171486693032832)};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_true(base_rng_u64(&rng) == want[i]);
    }
}

static void below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    struct base_rng rng;
    base_rng_init(&rng, 0);
    uint32_t counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        counts[base_rng_below(&rng, 7)]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9500, 10500);
    }
    assert_int_equal(base_rng_below(&rng, 1), 0);
    for (int i = 0; i < 100; i++) {
        assert_true(base_rng_below(&rng, UINT64_MAX) < UINT64_MAX);
    }
}

static void range_includes_both_ends(void **state)
{
    (void)state;
    struct base_rng rng;
    base_rng_init(&rng, 5);
    bool has_lo = false;
    bool has_hi = false;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = base_rng_range(&rng, 10, 13);
        assert_in_range(v, 10, 13);
        has_lo = has_lo || v == 10;
        has_hi = has_hi || v == 13;
    }
    assert_true(has_lo && has_hi);
    assert_int_equal(base_rng_range(&rng, 9, 9), 9);
    (void)base_rng_range(&rng, 0, UINT64_MAX);
}

static void chances_come_true_as_often_as_they_should(void **state)
{
    (void)state;
    struct base_rng rng;
    base_rng_init(&rng, 9);
    int n = 0;
    for (int i = 0; i < 100000; i++) {
        n += base_rng_chance(&rng, 250000);
        assert_false(base_rng_chance(&rng, 0));
        assert_true(base_rng_chance(&rng, 1000000));
        double d = base_rng_double(&rng);
        assert_true(d >= 0.0 && d < 1.0);
    }
    assert_in_range(n, 24000, 26000);
}

static void random_bytes_fill_all_and_differ(void **state)
{
    (void)state;
    static unsigned char a[1000];
    static unsigned char b[1000];
    assert_int_equal(base_random_bytes(a, sizeof(a)), BASE_OK);
    assert_int_equal(base_random_bytes(b, sizeof(b)), BASE_OK);
    assert_true(memcmp(a, b, sizeof(a)) != 0);
    assert_true(memcmp(a + 984, b + 984, 16) != 0);
    assert_int_equal(base_random_bytes(a, 0), BASE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(it_is_xoshiro256_starstar),
        cmocka_unit_test(below_stays_below_and_reaches_all),
        cmocka_unit_test(range_includes_both_ends),
        cmocka_unit_test(chances_come_true_as_often_as_they_should),
        cmocka_unit_test(random_bytes_fill_all_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
