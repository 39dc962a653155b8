/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include "base/compiler.h"
#include "tests/support/cmocka_all.h"

struct thing {
    uint64_t a;
    uint32_t b;
};

static void objects_are_zeroed_and_found_by_index(void **state)
{
    (void)state;
    struct base_pool pool;
    uint32_t idx = 99;
    assert_int_equal(base_pool_init(&pool, sizeof(struct thing), 4, 10), BASE_OK);
    struct thing *t = base_pool_take(&pool, &idx);
    assert_non_null(t);
    assert_int_equal(idx, 0);
    assert_int_equal((uintptr_t)t % 16, 0);
    assert_true(t->a == 0 && t->b == 0);
    t->a = 5;
    assert_ptr_equal(base_pool_at(&pool, 0), t);
    assert_int_equal(base_pool_index(t), 0);
    base_pool_give(&pool, idx);
    assert_null(base_pool_at(&pool, 0));
    t = base_pool_take(&pool, NULL);
    assert_true(t->a == 0);
    base_pool_fini(&pool);
    base_pool_fini(&pool);
}

static void it_grows_to_its_limit_and_addresses_stay(void **state)
{
    (void)state;
    struct base_pool pool;
    struct thing *things[10];
    assert_int_equal(base_pool_init(&pool, sizeof(struct thing), 4, 10), BASE_OK);
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t idx = 0;
        things[i] = base_pool_take(&pool, &idx);
        assert_non_null(things[i]);
        assert_int_equal(idx, i);
        things[i]->b = i;
    }
    assert_null(base_pool_take(&pool, NULL));
    assert_int_equal(pool.n_taken, 10);
    for (uint32_t i = 0; i < 10; i++) {
        assert_ptr_equal(base_pool_at(&pool, i), things[i]);
        assert_int_equal(things[i]->b, i);
    }
    base_pool_give(&pool, 7);
    assert_ptr_equal(base_pool_take(&pool, NULL), things[7]);
    base_pool_fini(&pool);
}

static void any_index_may_be_asked_for(void **state)
{
    (void)state;
    struct base_pool pool;
    assert_int_equal(base_pool_init(&pool, 1, 4, 10), BASE_OK);
    assert_null(base_pool_at(&pool, 0));
    assert_non_null(base_pool_take(&pool, NULL));
    const uint32_t wrong[] = {1, 3, 4, 9, 10, 16, UINT32_MAX, (uint32_t)INT32_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_null(base_pool_at(&pool, wrong[i]));
        assert_null(base_pool_find(&pool, wrong[i], 1));
    }
    base_pool_fini(&pool);
}

static void an_old_generation_is_not_found(void **state)
{
    (void)state;
    struct base_pool pool;
    uint32_t idx = 0;
    assert_int_equal(base_pool_init(&pool, sizeof(struct thing), 8, 8), BASE_OK);
    void *first = base_pool_take(&pool, &idx);
    uint32_t gen = base_pool_gen(first);
    assert_ptr_equal(base_pool_find(&pool, idx, gen), first);
    base_pool_give(&pool, idx);
    assert_null(base_pool_find(&pool, idx, gen));
    assert_null(base_pool_find(&pool, idx, gen + 1));
    void *second = base_pool_take(&pool, &idx);
    assert_ptr_equal(first, second);
    assert_null(base_pool_find(&pool, idx, gen));
    assert_ptr_equal(base_pool_find(&pool, idx, gen + 2), second);
    base_pool_fini(&pool);
}

/* What it says where nobody checks tells whether somebody does. */
static void the_sanitizer_knows_what_is_free(void **state)
{
    (void)state;
    uint8_t probe[8] = {0};
    base_poison(probe, sizeof(probe));
    bool is_checked = base_is_poisoned(probe);
    base_unpoison(probe, sizeof(probe));
    struct base_pool pool;
    assert_int_equal(base_pool_init(&pool, 20, 4, 4), BASE_OK);
    uint8_t *object = base_pool_take(&pool, NULL);
    assert_false(base_is_poisoned(object));
    assert_false(base_is_poisoned(object + 19));
    assert_int_equal(base_is_poisoned(object + 20), is_checked);              /* behind it */
    assert_int_equal(base_is_poisoned(object + pool.slot_bytes), is_checked); /* not taken yet */
    base_pool_put(&pool, object);
    assert_int_equal(base_is_poisoned(object), is_checked);
    assert_int_equal(base_is_poisoned(object + 19), is_checked);
    assert_null(base_pool_at(&pool, 0)); /* may be asked */
    assert_ptr_equal(base_pool_take_unset(&pool, NULL), object);
    assert_false(base_is_poisoned(object));
    base_pool_fini(&pool);
}

static void reserve_makes_room_ahead(void **state)
{
    (void)state;
    struct base_pool pool;
    assert_int_equal(base_pool_init(&pool, 8, 4, 10), BASE_OK);
    assert_int_equal(base_pool_reserve(&pool, 11), BASE_E_LIMIT);
    assert_int_equal(base_pool_reserve(&pool, 9), BASE_OK);
    assert_int_equal(pool.n_chunks, 3);
    uint32_t n = 0;
    while (base_pool_take(&pool, NULL) != NULL) {
        n++;
    }
    assert_int_equal(n, 10);
    assert_int_equal(pool.n_chunks, 3);
    base_pool_fini(&pool);
}

static void bad_shapes_are_refused(void **state)
{
    (void)state;
    struct base_pool pool;
    assert_int_equal(base_pool_init(&pool, 0, 4, 10), BASE_E_INVALID);
    assert_int_equal(base_pool_init(&pool, (1 << 20) + 1, 4, 10), BASE_E_INVALID);
    assert_int_equal(base_pool_init(&pool, 8, 0, 10), BASE_E_INVALID);
    assert_int_equal(base_pool_init(&pool, 8, 4, 0), BASE_E_INVALID);
    assert_int_equal(base_pool_init(&pool, 8, 4, UINT32_MAX), BASE_E_INVALID);
    assert_null(base_pool_take(&pool, NULL));
    base_pool_fini(&pool);
}

static void the_walk_sees_exactly_the_taken_ones(void **state)
{
    (void)state;
    struct base_pool pool;
    assert_int_equal(base_pool_init(&pool, 8, 4, 100), BASE_OK);
    for (uint32_t i = 0; i < 20; i++) {
        assert_non_null(base_pool_take(&pool, NULL));
    }
    for (uint32_t i = 0; i < 20; i += 3) {
        base_pool_give(&pool, i);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; base_pool_next(&pool, &i) != NULL; i++) {
        assert_true(i % 3 != 0);
        n++;
    }
    assert_int_equal(n, pool.n_taken);
    base_pool_fini(&pool);
}

/* Of slots longer than two lines; shorter ones lie as close as they can. */
static void long_slots_begin_a_cache_line(void **state)
{
    (void)state;

    static const struct {
        size_t object_bytes;
        bool begins_line;
    } cases[] = {{112, false}, {113, true}, {1000, true}};

    for (size_t c = 0; c < BASE_ARRAY_LEN(cases); c++) {
        struct base_pool pool;
        assert_int_equal(base_pool_init(&pool, cases[c].object_bytes, 4, 10), BASE_OK);
        size_t expected = cases[c].begins_line ? BASE_CACHE_LINE : 16;
        for (uint32_t i = 0; i < 10; i++) {
            const uint8_t *object = base_pool_take(&pool, NULL);
            assert_int_equal((uintptr_t)(object - BASE_POOL_HEADER_BYTES) % expected, 0);
        }
        assert_int_equal(pool.slot_bytes % expected, 0);
        base_pool_fini(&pool);
    }
}

static void any_slot_may_be_prefetched(void **state)
{
    (void)state;
    struct base_pool pool;
    assert_int_equal(base_pool_init(&pool, 200, 4, 10), BASE_OK);
    base_pool_prefetch(&pool, 0, 4); /* no chunk yet */
    assert_non_null(base_pool_take(&pool, NULL));
    base_pool_prefetch(&pool, 0, 4);
    base_pool_prefetch(&pool, 9, 4);
    base_pool_prefetch(&pool, 10, 4);
    base_pool_prefetch(&pool, UINT32_MAX, 4);
    assert_int_equal(pool.n_taken, 1);
    base_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_zeroed_and_found_by_index),
        cmocka_unit_test(it_grows_to_its_limit_and_addresses_stay),
        cmocka_unit_test(any_index_may_be_asked_for),
        cmocka_unit_test(an_old_generation_is_not_found),
        cmocka_unit_test(the_sanitizer_knows_what_is_free),
        cmocka_unit_test(reserve_makes_room_ahead),
        cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(the_walk_sees_exactly_the_taken_ones),
        cmocka_unit_test(long_slots_begin_a_cache_line),
        cmocka_unit_test(any_slot_may_be_prefetched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
