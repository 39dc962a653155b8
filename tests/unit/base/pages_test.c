/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pages.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <stdbool.h>
#include <string.h>

static void low_pages_are_taken_first_and_again(void **state)
{
    (void)state;
    struct base_pages pages;
    assert_int_equal(base_pages_init(&pages, 200), BASE_OK);
    assert_int_equal(base_pages_take(&pages, 1), 0);
    assert_int_equal(base_pages_take(&pages, 3), 1);
    assert_int_equal(base_pages_take(&pages, 1), 4);
    assert_int_equal(base_pages_give(&pages, 1, 3), BASE_OK);
    assert_int_equal(base_pages_take(&pages, 2), 1);
    assert_int_equal(base_pages_take(&pages, 2), 5);
    assert_int_equal(base_pages_take(&pages, 1), 3);
    base_pages_fini(&pages);
}

static void the_whole_region_can_be_one_run(void **state)
{
    (void)state;
    const uint32_t sizes[] = {1, 63, 64, 65, 127, 128, 1000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct base_pages pages;
        assert_int_equal(base_pages_init(&pages, sizes[i]), BASE_OK);
        assert_int_equal(base_pages_take(&pages, sizes[i] + 1), -1);
        assert_int_equal(base_pages_take(&pages, sizes[i]), 0);
        assert_int_equal(base_pages_take(&pages, 1), -1);
        assert_int_equal(base_pages_give(&pages, 0, sizes[i]), BASE_OK);
        assert_int_equal(pages.n_free, sizes[i]);
        base_pages_fini(&pages);
    }
}

static void impossible_requests_are_refused(void **state)
{
    (void)state;
    struct base_pages pages;
    assert_int_equal(base_pages_init(&pages, 0), BASE_E_INVALID);
    assert_int_equal(base_pages_init(&pages, UINT32_MAX), BASE_E_INVALID);
    base_pages_fini(&pages);
    assert_int_equal(base_pages_init(&pages, 10), BASE_OK);
    assert_int_equal(base_pages_take(&pages, 0), -1);
    assert_int_equal(base_pages_take(&pages, UINT32_MAX), -1);
    base_pages_fini(&pages);
    base_pages_fini(&pages);
}

static void a_wrong_give_changes_nothing(void **state)
{
    (void)state;
    struct base_pages pages;
    assert_int_equal(base_pages_init(&pages, 100), BASE_OK);
    assert_int_equal(base_pages_take(&pages, 10), 0);
    assert_int_equal(base_pages_give(&pages, 0, 0), BASE_E_INVALID);
    assert_int_equal(base_pages_give(&pages, 0, 11), BASE_E_INVALID);
    assert_int_equal(base_pages_give(&pages, 99, 2), BASE_E_INVALID);
    assert_int_equal(base_pages_give(&pages, 100, 1), BASE_E_INVALID);
    assert_int_equal(base_pages_give(&pages, UINT32_MAX, UINT32_MAX), BASE_E_INVALID);
    assert_int_equal(pages.n_free, 90);
    assert_int_equal(base_pages_give(&pages, 0, 10), BASE_OK);
    assert_int_equal(base_pages_give(&pages, 0, 1), BASE_E_INVALID);
    base_pages_fini(&pages);
}

enum {
    N = 500
};

/* First fit, page by page. */
static int64_t reference_take(bool *taken, uint32_t n)
{
    for (uint32_t i = 0; i + n <= N; i++) {
        uint32_t len = 0;
        while (len < n && !taken[i + len]) {
            len++;
        }
        if (len == n) {
            memset(taken + i, 1, n);
            return i;
        }
    }
    return -1;
}

static bool reference_give(bool *taken, uint32_t idx, uint32_t n)
{
    for (uint32_t i = idx; i < idx + n; i++) {
        if (i >= N || !taken[i]) {
            return false;
        }
    }
    memset(taken + idx, 0, n);
    return true;
}

static void it_agrees_with_first_fit_by_hand(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        bool taken[N] = {false};
        struct base_pages pages;
        struct base_rng rng;
        base_rng_init(&rng, seed);
        assert_int_equal(base_pages_init(&pages, N), BASE_OK);
        for (int step = 0; step < 2000; step++) {
            uint32_t n = (uint32_t)base_rng_range(&rng, 1, 1 + base_rng_below(&rng, 80));
            if (base_rng_chance(&rng, 500000)) {
                assert_int_equal(base_pages_take(&pages, n), reference_take(taken, n));
            } else {
                uint32_t idx = (uint32_t)base_rng_below(&rng, N + 5);
                bool is_good = reference_give(taken, idx, n);
                assert_int_equal(base_pages_give(&pages, idx, n) == BASE_OK, is_good);
            }
            uint32_t n_free = 0;
            for (uint32_t i = 0; i < N; i++) {
                n_free += !taken[i];
            }
            assert_int_equal(pages.n_free, n_free);
        }
        base_pages_fini(&pages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(low_pages_are_taken_first_and_again),
        cmocka_unit_test(the_whole_region_can_be_one_run),
        cmocka_unit_test(impossible_requests_are_refused),
        cmocka_unit_test(a_wrong_give_changes_nothing),
        cmocka_unit_test(it_agrees_with_first_fit_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
