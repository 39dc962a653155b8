/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static void pieces_are_aligned_and_apart(void **state)
{
    (void)state;
    struct base_arena arena;
    base_arena_init(&arena, 256, SIZE_MAX);
    unsigned char *before = NULL;
    for (size_t size = 0; size < 200; size++) {
        unsigned char *piece = base_arena_alloc(&arena, size);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % 16, 0);
        assert_true(piece != before);
        memset(piece, (int)size, size);
        if (before != NULL && size > 1) {
            assert_int_equal(before[size - 2], size - 1);
        }
        before = piece;
    }
    base_arena_fini(&arena);
}

static void the_limit_holds_to_the_byte(void **state)
{
    (void)state;
    struct base_arena arena;
    base_arena_init(&arena, 64, 160);
    assert_non_null(base_arena_alloc(&arena, 64));
    assert_null(base_arena_alloc(&arena, 97));
    assert_non_null(base_arena_alloc(&arena, 96));
    assert_int_equal(arena.total_bytes, 160);
    assert_null(base_arena_alloc(&arena, 1));
    assert_null(base_arena_alloc(&arena, 0));
    base_arena_fini(&arena);
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    struct base_arena arena;
    base_arena_init(&arena, 64, SIZE_MAX);
    assert_null(base_arena_alloc(&arena, SIZE_MAX));
    assert_null(base_arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(base_arena_alloc(&arena, SIZE_MAX - 16));
    assert_null(base_arena_alloc(&arena, SIZE_MAX / 2));
    assert_non_null(base_arena_alloc(&arena, 8));
    base_arena_fini(&arena);
}

static void reset_keeps_the_first_chunk(void **state)
{
    (void)state;
    struct base_arena arena;
    base_arena_init(&arena, 128, SIZE_MAX);
    void *first = base_arena_alloc(&arena, 100);
    for (int i = 0; i < 10; i++) {
        assert_non_null(base_arena_alloc(&arena, 100));
    }
    assert_int_equal(arena.total_bytes, 11 * 128);
    base_arena_reset(&arena);
    assert_int_equal(arena.total_bytes, 128);
    assert_ptr_equal(base_arena_alloc(&arena, 100), first);
    base_arena_fini(&arena);
    base_arena_fini(&arena);
}

static void reset_lets_a_huge_chunk_go(void **state)
{
    (void)state;
    struct base_arena arena;
    base_arena_init(&arena, 128, SIZE_MAX);
    assert_non_null(base_arena_alloc(&arena, 100000));
    base_arena_reset(&arena);
    assert_int_equal(arena.total_bytes, 0);
    assert_non_null(base_arena_alloc(&arena, 1));
    base_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(the_limit_holds_to_the_byte),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(reset_keeps_the_first_chunk),
        cmocka_unit_test(reset_lets_a_huge_chunk_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
