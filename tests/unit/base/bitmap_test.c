/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bitmap.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

enum {
    BITS = 200,
    WORDS = 4
};

static void runs_cross_words(void **state)
{
    (void)state;
    uint64_t words[WORDS] = {0};
    base_bitmap_set_run(words, 60, 80);
    for (uint32_t i = 0; i < BITS; i++) {
        assert_int_equal(base_bitmap_test(words, i), i >= 60 && i < 140);
    }
    base_bitmap_clear_run(words, 63, 66);
    for (uint32_t i = 0; i < BITS; i++) {
        assert_int_equal(base_bitmap_test(words, i), (i >= 60 && i < 63) || (i >= 129 && i < 140));
    }
    base_bitmap_clear_run(words, 0, 0);
    base_bitmap_set_run(words, 0, 256);
    assert_true(words[0] == UINT64_MAX && words[3] == UINT64_MAX);
}

static void searches_end_at_the_last_bit(void **state)
{
    (void)state;
    uint64_t words[WORDS] = {0};
    assert_int_equal(base_bitmap_next_set(words, BITS, 0), BITS);
    assert_int_equal(base_bitmap_next_set(words, BITS, BITS), BITS);
    assert_int_equal(base_bitmap_next_set(words, BITS, UINT32_MAX), BITS);
    base_bitmap_set_run(words, BITS, 1); /* just past the end */
    assert_int_equal(base_bitmap_next_set(words, BITS, 0), BITS);
    base_bitmap_set_run(words, BITS - 1, 1);
    assert_int_equal(base_bitmap_next_set(words, BITS, 0), BITS - 1);
    assert_int_equal(base_bitmap_next_set(words, BITS, BITS - 1), BITS - 1);
    base_bitmap_clear_run(words, BITS - 1, 1);
    base_bitmap_set_run(words, 0, BITS);
    assert_int_equal(base_bitmap_next_clear(words, BITS, 0), BITS);
    assert_int_equal(base_bitmap_next_clear(words, 0, 0), 0);
    assert_int_equal(base_bitmap_words(0), 0);
    assert_int_equal(base_bitmap_words(64), 1);
    assert_int_equal(base_bitmap_words(65), 2);
}

static uint32_t find_run_by_hand(const uint64_t *words, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i + n <= BITS; i++) {
        uint32_t len = 0;
        while (len < n && base_bitmap_test(words, i + len)) {
            len++;
        }
        if (len == n) {
            return i;
        }
    }
    return BITS;
}

static void find_run_agrees_with_a_walk(void **state)
{
    (void)state;
    struct base_rng rng;
    base_rng_init(&rng, 7);
    for (int round = 0; round < 3000; round++) {
        /* Of each 64 bits about 32, 48 or 56 are set, so that runs of all lengths come up. */
        uint64_t words[WORDS] = {0};
        uint64_t n_layers = base_rng_range(&rng, 1, 3);
        for (uint64_t layer = 0; layer < n_layers; layer++) {
            for (int w = 0; w < WORDS; w++) {
                words[w] |= base_rng_u64(&rng);
            }
        }
        uint32_t from = (uint32_t)base_rng_below(&rng, BITS + 2);
        uint32_t n = (uint32_t)base_rng_range(&rng, 1, 30);
        assert_int_equal(base_bitmap_find_run(words, BITS, from, n),
                         find_run_by_hand(words, from, n));
    }
}

static void find_run_refuses_more_than_there_is(void **state)
{
    (void)state;
    uint64_t words[WORDS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    assert_int_equal(base_bitmap_find_run(words, BITS, 0, BITS), 0);
    assert_int_equal(base_bitmap_find_run(words, BITS, 0, BITS + 1), BITS);
    assert_int_equal(base_bitmap_find_run(words, BITS, 1, BITS), BITS);
    assert_int_equal(base_bitmap_find_run(words, BITS, 0, UINT32_MAX), BITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_cross_words),
        cmocka_unit_test(searches_end_at_the_last_bit),
        cmocka_unit_test(find_run_agrees_with_a_walk),
        cmocka_unit_test(find_run_refuses_more_than_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
