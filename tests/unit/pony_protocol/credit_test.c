/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/credit.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"
#include "transport/pony/protocol/rxmem.h"

enum {
    MB = 1 << 20
};

static void the_first_of_few_connections_gets_much(void **state)
{
    (void)state;
    struct pony_credit_pool pool;
    struct pony_credit credit;
    pony_credit_pool_init(&pool, 32 * MB, 100);
    assert_true(pony_credit_open(&pool, &credit, 32 * MB));
    assert_int_equal(credit.floor, PONY_CREDIT_FLOOR_MAX);
    assert_int_equal(pony_credit_eager_max(&credit), PONY_EAGER_MAX_BYTES);
    assert_int_equal(pony_credit_left(&credit), PONY_CREDIT_FLOOR_MAX + PONY_CREDIT_SHARE_MAX);
    pony_credit_close(&pool, &credit);
    assert_int_equal(pool.unused + pool.floors + pool.excess, 0);
}

static void ten_thousand_connections_get_their_floors(void **state)
{
    (void)state;
    static struct pony_credit credits[10000];
    struct pony_credit_pool pool;
    const uint64_t cap = UINT64_C(768) * PONY_RX_PAGE_USABLE; /* of 128 MiB */
    pony_credit_pool_init(&pool, cap, 10000);
    for (int i = 0; i < 10000; i++) {
        assert_true(pony_credit_open(&pool, &credits[i], cap));
        assert_true(pony_credit_left(&credits[i]) >= credits[i].floor);
        assert_true(credits[i].floor >= PONY_CREDIT_FLOOR_MIN);
        assert_true(pool.unused <= cap);
    }
    struct pony_credit more;
    assert_false(pony_credit_open(&pool, &more, cap));
}

static void what_was_not_granted_may_not_be_charged(void **state)
{
    (void)state;
    struct pony_credit_pool pool;
    struct pony_credit credit;
    pony_credit_pool_init(&pool, MB, 4);
    assert_true(pony_credit_open(&pool, &credit, MB));
    uint32_t left = pony_credit_left(&credit);
    assert_false(pony_credit_charge(&pool, &credit, left + 64));
    assert_true(pony_credit_charge(&pool, &credit, left));
    assert_false(pony_credit_charge(&pool, &credit, 64));
    pony_credit_consume(&pool, &credit, left);
    assert_true(pony_credit_grant(&pool, &credit, MB));
    assert_true(pony_credit_left(&credit) >= credit.floor);
}

static void counts_wrap(void **state)
{
    (void)state;
    struct pony_credit_pool pool;
    struct pony_credit credit;
    pony_credit_pool_init(&pool, 4 * MB, 4);
    assert_true(pony_credit_open(&pool, &credit, 4 * MB));
    credit.limit -= credit.used + 100000; /* just below the wrap */
    credit.used -= 100000;
    pool.unused = pony_credit_left(&credit);
    for (int i = 0; i < 1000; i++) {
        assert_true(pony_credit_charge(&pool, &credit, 4096));
        pony_credit_consume(&pool, &credit, 4096);
        (void)pony_credit_grant(&pool, &credit, 4 * MB);
        assert_int_equal(pool.unused, pony_credit_left(&credit));
    }
}

static void who_could_not_be_given_waits_in_turn(void **state)
{
    (void)state;
    struct pony_credit_pool pool;
    struct pony_credit a;
    struct pony_credit b;
    pony_credit_pool_init(&pool, MB, 4);
    assert_true(pony_credit_open(&pool, &a, 0)); /* all pages are pinned at present */
    assert_true(pony_credit_open(&pool, &b, 0));
    assert_int_equal(pony_credit_left(&a), 0);
    assert_int_equal(pool.n_low, 2);
    assert_null(pony_credit_next_waiting(&pool, a.floor / 2 - 1));
    assert_ptr_equal(pony_credit_next_waiting(&pool, a.floor / 2), &a);
    assert_true(pony_credit_grant(&pool, &a, a.floor));
    assert_ptr_equal(pony_credit_next_waiting(&pool, MB), &b);
    pony_credit_close(&pool, &b);
    assert_null(pony_credit_next_waiting(&pool, MB));
}

/* PX-74: nobody can take the floors of others, and who has consumed all can send its largest message. */
static void floors_are_kept_in_any_pattern(void **state)
{
    (void)state;

    enum {
        N = 64
    };

    for (uint64_t seed = 1; seed <= 100; seed++) {
        static struct pony_credit credits[N];
        bool is_open[N] = {false};
        struct pony_credit_pool pool;
        struct base_rng rng;
        const uint64_t cap = (1 + seed % 20) * 8 * PONY_CREDIT_FLOOR_MIN + 200000;
        base_rng_init(&rng, seed);
        pony_credit_pool_init(&pool, cap, N);
        uint64_t in_use = 0;
        for (int i = 0; i < 5000; i++) {
            uint32_t k = (uint32_t)base_rng_below(&rng, N);
            struct pony_credit *credit = &credits[k];
            uint64_t what = base_rng_below(&rng, 100);
            if (!is_open[k]) {
                is_open[k] = pony_credit_open(&pool, credit, cap - in_use);
            } else if (what < 2 && credit->in_use == 0) {
                pony_credit_close(&pool, credit);
                is_open[k] = false;
            } else if (what < 60) {
                uint32_t charge =
                    pony_charge((uint32_t)base_rng_below(&rng, pony_credit_eager_max(credit)));
                in_use += pony_credit_charge(&pool, credit, charge) ? charge : 0;
            } else {
                uint32_t all = credit->in_use;
                pony_credit_consume(&pool, credit, all);
                in_use -= all;
                (void)pony_credit_grant(&pool, credit, cap - in_use);
                assert_true(pony_credit_left(credit) >= credit->floor / 2);
            }
            assert_true(pool.unused + in_use <= cap);
            assert_true(pool.floors + pool.excess <= cap);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_few_connections_gets_much),
        cmocka_unit_test(ten_thousand_connections_get_their_floors),
        cmocka_unit_test(what_was_not_granted_may_not_be_charged),
        cmocka_unit_test(counts_wrap),
        cmocka_unit_test(who_could_not_be_given_waits_in_turn),
        cmocka_unit_test(floors_are_kept_in_any_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
