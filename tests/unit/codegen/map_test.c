/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/map.h"

#include "tests/support/cmocka_all.h"

static void what_was_put_is_found(void **state)
{
    (void)state;
    struct gen_arena arena = {0};
    struct gen_map map = {.arena = &arena};

    enum {
        N = 3000
    };

    static int values[N];
    assert_null(gen_map_get(&map, ""));
    for (int i = 0; i < N; i++) {
        gen_map_put(&map, gen_arena_printf(&arena, "key%d", i), &values[i]);
    }
    for (int i = 0; i < N; i++) {
        assert_ptr_equal(gen_map_get(&map, gen_arena_printf(&arena, "key%d", i)), &values[i]);
    }
    assert_null(gen_map_get(&map, "key"));
    assert_null(gen_map_get(&map, "key3000"));
    gen_map_fini(&map);
    gen_arena_fini(&arena);
}

static void empty_map_can_be_ended(void **state)
{
    (void)state;
    struct gen_map map = {0};
    gen_map_fini(&map);
    assert_null(map.entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found),
        cmocka_unit_test(empty_map_can_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
