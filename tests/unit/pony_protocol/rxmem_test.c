/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/rxmem.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

enum {
    PAGE = PONY_RX_PAGE_BYTES
};

static struct pony_rxmem make(uint32_t n_pages)
{
    struct pony_rxmem mem;
    assert_int_equal(pony_rxmem_init(&mem, NULL, (uint64_t)n_pages * PAGE), BASE_OK);
    return mem;
}

static void a_region_below_the_least_size_is_refused(void **state)
{
    (void)state;
    struct pony_rxmem mem;
    assert_int_equal(pony_rxmem_init(&mem, NULL, PONY_RX_BYTES_MIN - 1), BASE_E_INVALID);
    assert_int_equal(pony_rxmem_init(&mem, NULL, PONY_RX_BYTES_MIN), BASE_OK);
    assert_true(pony_rxmem_is_empty(&mem));
    pony_rxmem_fini(&mem);
}

static void charges_are_rounded_and_never_tiny(void **state)
{
    (void)state;
    assert_int_equal(pony_charge(0), PONY_CHARGE_MIN);
    assert_int_equal(pony_charge(128), 128);
    assert_int_equal(pony_charge(129), 192);
    assert_int_equal(pony_charge(PONY_EAGER_MAX_BYTES), PONY_EAGER_MAX_BYTES);
}

static void messages_lie_behind_each_other_aligned(void **state)
{
    (void)state;
    struct pony_rxmem mem = make(16);
    uint64_t a = 1;
    uint64_t b = 1;
    uint64_t c = 1;
    assert_true(pony_rxmem_take_eager(&mem, 1, &a));
    assert_true(pony_rxmem_take_eager(&mem, 65, &b));
    assert_true(pony_rxmem_take_eager(&mem, 0, &c));
    assert_int_equal(a, 0);
    assert_int_equal(b, 64);
    assert_int_equal(c, 192);
    pony_rxmem_fini(&mem);
}

static void a_light_load_stays_in_one_page(void **state)
{
    (void)state;
    struct pony_rxmem mem = make(16);
    for (int i = 0; i < 10000; i++) {
        uint64_t off = 1;
        assert_true(pony_rxmem_take_eager(&mem, 1000, &off));
        assert_int_equal(off, 0);
        assert_true(pony_rxmem_give_eager(&mem, off, 1000));
    }
    assert_true(pony_rxmem_is_empty(&mem));
    pony_rxmem_fini(&mem);
}

static void large_messages_take_runs_of_the_upper_part(void **state)
{
    (void)state;
    struct pony_rxmem mem = make(16); /* 6 eager, 10 large */
    uint64_t a = 0;
    uint64_t b = 0;
    assert_int_equal(mem.large_bytes, 10 * PAGE);
    assert_false(pony_rxmem_take_large(&mem, 10 * PAGE + 1, &a));
    assert_true(pony_rxmem_take_large(&mem, 10 * PAGE, &a));
    assert_int_equal(a, 6 * PAGE);
    assert_false(pony_rxmem_take_large(&mem, 1, &b));
    pony_rxmem_give_large(&mem, a, 10 * PAGE);
    assert_true(pony_rxmem_take_large(&mem, 1, &a));
    assert_true(pony_rxmem_take_large(&mem, PAGE + 1, &b));
    assert_int_equal(b, 7 * PAGE);
    pony_rxmem_give_large(&mem, a, 1);
    pony_rxmem_give_large(&mem, b, PAGE + 1);
    assert_true(pony_rxmem_is_empty(&mem));
    pony_rxmem_fini(&mem);
}

/* PX-72: whatever is taken and given back in whatever order, what was promised can be taken. */
static void potential_is_kept_in_any_pattern(void **state)
{
    (void)state;

    enum {
        N = 4096
    };

    static struct {
        uint64_t off;
        uint32_t len;
    } live[N];

    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct base_rng rng;
        struct pony_rxmem mem = make(32);
        uint64_t promised = 0; /* credit out */
        uint32_t n = 0;
        base_rng_init(&rng, seed);
        for (int i = 0; i < 20000; i++) {
            uint64_t potential = pony_rxmem_potential(&mem);
            assert_true(promised <= potential);
            if (base_rng_chance(&rng, 300000)) {
                promised += base_rng_below(&rng, potential - promised + 1);
            }
            uint32_t len = (uint32_t)base_rng_below(
                &rng, base_rng_chance(&rng, 500000) ? 300 : PONY_EAGER_MAX_BYTES + 1);
            if (n < N && pony_charge(len) <= promised) {
                promised -= pony_charge(len);
                assert_true(pony_rxmem_take_eager(&mem, len, &live[n].off));
                live[n++].len = len;
            }
            if (n > 0 && base_rng_chance(&rng, seed % 2 != 0 ? 500000 : 900000)) {
                uint32_t k = (uint32_t)base_rng_below(&rng, n);
                (void)pony_rxmem_give_eager(&mem, live[k].off, live[k].len);
                live[k] = live[--n];
            }
        }
        while (n > 0) {
            n--;
            (void)pony_rxmem_give_eager(&mem, live[n].off, live[n].len);
        }
        assert_true(pony_rxmem_is_empty(&mem));
        assert_int_equal(pony_rxmem_potential(&mem),
                         (uint64_t)mem.eager.n_pages * PONY_RX_PAGE_USABLE);
        pony_rxmem_fini(&mem);
    }
}

static void what_moves_goes_to_the_lowest_free_place(void **state)
{
    (void)state;
    struct pony_rxmem mem = make(16); /* ten of them for large messages */
    uint64_t a, b, c;
    assert_true(pony_rxmem_take_large(&mem, 3 * PAGE, &a));
    assert_true(pony_rxmem_take_large(&mem, 2 * PAGE, &b));
    assert_true(pony_rxmem_take_large(&mem, 4 * PAGE, &c));
    uint64_t before = c;
    pony_rxmem_move_large(&mem, 4 * PAGE, &c); /* nowhere else */
    assert_int_equal(c, before);
    pony_rxmem_give_large(&mem, a, 3 * PAGE);
    pony_rxmem_move_large(&mem, 4 * PAGE, &c); /* too long for that hole */
    assert_int_equal(c, before);
    pony_rxmem_move_large(&mem, 2 * PAGE, &b);
    assert_int_equal(b, a);
    pony_rxmem_move_large(&mem, 4 * PAGE, &c); /* over its own place, too */
    assert_int_equal(c, a + 2 * PAGE);
    pony_rxmem_give_large(&mem, b, 2 * PAGE);
    pony_rxmem_give_large(&mem, c, 4 * PAGE);
    assert_true(pony_rxmem_is_empty(&mem));
    pony_rxmem_fini(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_below_the_least_size_is_refused),
        cmocka_unit_test(charges_are_rounded_and_never_tiny),
        cmocka_unit_test(messages_lie_behind_each_other_aligned),
        cmocka_unit_test(a_light_load_stays_in_one_page),
        cmocka_unit_test(large_messages_take_runs_of_the_upper_part),
        cmocka_unit_test(what_moves_goes_to_the_lowest_free_place),
        cmocka_unit_test(potential_is_kept_in_any_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
