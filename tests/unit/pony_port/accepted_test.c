/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/port/accepted.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

enum {
    NUMBERS = 4096,
    FIRST = 0x80000000
};

/* The table only keeps them. */
static struct pony_port_entry *entry_of(uint32_t i)
{
    return (struct pony_port_entry *)(uintptr_t)(64 * (i + 1));
}

static void an_empty_table_finds_nothing(void **state)
{
    (void)state;
    struct pony_port_accepted table = {0};
    assert_null(pony_port_accepted_find(&table, FIRST));
    pony_port_accepted_clear(&table);
    assert_int_equal(pony_port_accepted_put(&table, UINT32_MAX, entry_of(0)), BASE_OK);
    assert_null(pony_port_accepted_find(&table, FIRST));
    assert_ptr_equal(pony_port_accepted_find(&table, UINT32_MAX), entry_of(0));
    pony_port_accepted_clear(&table);
    assert_null(pony_port_accepted_find(&table, UINT32_MAX));
}

static void it_grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct pony_port_accepted table = {0};
    for (uint32_t i = 0; i < NUMBERS; i++) {
        assert_int_equal(pony_port_accepted_put(&table, FIRST + i, entry_of(i)), BASE_OK);
        assert_ptr_equal(pony_port_accepted_find(&table, FIRST), entry_of(0));
        assert_ptr_equal(pony_port_accepted_find(&table, FIRST + i), entry_of(i));
        assert_null(pony_port_accepted_find(&table, FIRST + i + 1));
    }
    assert_true(table.n * 2 <= UINT32_C(1) << table.bits);
    pony_port_accepted_clear(&table);
}

/* Random puts and dels among numbers that all have the same place, against an array. */
static void what_collides_is_found_after_any_deletions(void **state)
{
    (void)state;

    enum {
        N = 24,
        STEPS = 20000
    };
    struct pony_port_accepted table = {0};
    struct base_rng rng;
    uint32_t numbers[N];
    bool is_in[N] = {false};
    uint32_t n = 0;
    /* They end in 0, 1 or 2, or in ones: their places are the first three and, wrapping around the
     * table's end, the last. */
    for (uint32_t i = 0; i < N; i++) {
        numbers[i] = i % 2 == 0 ? (i + 1) << 20 | i % 3 : UINT32_MAX - (i << 20);
    }
    base_rng_init(&rng, 7);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = (uint32_t)base_rng_below(&rng, N);
        if (is_in[i]) {
            pony_port_accepted_del(&table, numbers[i]);
        } else {
            assert_int_equal(pony_port_accepted_put(&table, numbers[i], entry_of(i)), BASE_OK);
        }
        is_in[i] = !is_in[i];
        n += is_in[i] ? 1 : UINT32_MAX;
        assert_int_equal(table.n, n);
        for (uint32_t k = 0; k < N; k++) {
            assert_ptr_equal(pony_port_accepted_find(&table, numbers[k]),
                             is_in[k] ? entry_of(k) : NULL);
        }
    }
    pony_port_accepted_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_finds_nothing),
        cmocka_unit_test(it_grows_and_keeps_what_it_has),
        cmocka_unit_test(what_collides_is_found_after_any_deletions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
