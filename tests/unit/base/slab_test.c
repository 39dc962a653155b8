/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slab.h"

#include "base/compiler.h"
#include "base/poison.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

static void objects_are_whole_lines_and_lie_behind_each_other(void **state)
{
    (void)state;
    static const size_t bytes[] = {1, 63, 64, 65, 192, 1 << 16};
    for (size_t k = 0; k < BASE_ARRAY_LEN(bytes); k++) {
        struct base_slab slab;
        base_slab_init(&slab, bytes[k]);
        assert_int_equal(slab.object_bytes % BASE_CACHE_LINE, 0);
        assert_in_range(slab.object_bytes, bytes[k], bytes[k] + BASE_CACHE_LINE - 1);
        const uint8_t *first = base_slab_take(&slab);
        const uint8_t *second = base_slab_take(&slab);
        assert_int_equal((uintptr_t)first % BASE_CACHE_LINE, 0);
        if (bytes[k] < 1 << 15) {
            assert_ptr_equal(second, first + slab.object_bytes);
        }
        base_slab_fini(&slab);
    }
}

/* More than a chunk has: each is zeroed, and no two overlap. */
static void many_are_taken_given_and_taken_again(void **state)
{
    (void)state;

    enum {
        N = 3000,
        BYTES = 128
    };

    static uint8_t *objects[N];
    struct base_slab slab;
    base_slab_init(&slab, BYTES);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            objects[i] = base_slab_take(&slab);
            for (int b = 0; b < BYTES; b++) {
                assert_int_equal(objects[i][b], 0);
            }
            memset(objects[i], i % 255 + 1, BYTES);
        }
        assert_int_equal(slab.n_taken, N);
        for (int i = 0; i < N; i++) {
            assert_int_equal(objects[i][0], i % 255 + 1);
            assert_int_equal(objects[i][BYTES - 1], i % 255 + 1);
            base_slab_give(&slab, objects[i]);
        }
        assert_int_equal(slab.n_taken, 0);
    }
    assert_ptr_equal(base_slab_take(&slab), objects[N - 1]); /* last given, first taken */
    base_slab_fini(&slab);
}

/* What it says where nobody checks tells whether somebody does. */
static void the_sanitizer_knows_what_is_free(void **state)
{
    (void)state;
    uint8_t probe[8] = {0};
    base_poison(probe, sizeof(probe));
    bool is_checked = base_is_poisoned(probe);
    base_unpoison(probe, sizeof(probe));
    struct base_slab slab;
    base_slab_init(&slab, 128);
    uint8_t *object = base_slab_take(&slab);
    assert_false(base_is_poisoned(object));
    assert_false(base_is_poisoned(object + 127));
    assert_int_equal(base_is_poisoned(object + 128), is_checked); /* not taken yet */
    base_slab_give(&slab, object);
    assert_int_equal(base_is_poisoned(object), is_checked);
    assert_int_equal(base_is_poisoned(object + 127), is_checked);
    assert_ptr_equal(base_slab_take(&slab), object);
    assert_false(base_is_poisoned(object));
    base_slab_fini(&slab);
}

static void nothing_is_given_and_a_zeroed_one_freed(void **state)
{
    (void)state;
    struct base_slab slab = {0};
    base_slab_fini(&slab);
    base_slab_init(&slab, 64);
    base_slab_give(&slab, NULL);
    assert_int_equal(slab.n_taken, 0);
    base_slab_fini(&slab);
    base_slab_fini(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_whole_lines_and_lie_behind_each_other),
        cmocka_unit_test(many_are_taken_given_and_taken_again),
        cmocka_unit_test(the_sanitizer_knows_what_is_free),
        cmocka_unit_test(nothing_is_given_and_a_zeroed_one_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
