/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/text.h"

#include "codegen/arena.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

static void empty_text_is_an_empty_string(void **state)
{
    (void)state;
    struct gen_text text = {0};
    assert_string_equal(gen_text_string(&text), "");
    gen_text_put(&text, NULL, 0);
    assert_null(text.data);
    gen_text_fini(&text);
}

static void puts_follow_each_other(void **state)
{
    (void)state;
    struct gen_text text = {0};
    gen_text_puts(&text, "a");
    gen_text_printf(&text, "%d%s", 12, "b");
    gen_text_put(&text, "c\0d", 3);
    assert_int_equal(text.len, 7);
    assert_memory_equal(text.data, "a12bc\0d", 8);
    gen_text_fini(&text);
    assert_null(text.data);
    assert_int_equal(text.len, 0);
}

static void text_grows_past_every_capacity(void **state)
{
    (void)state;
    struct gen_text text = {0};
    for (size_t i = 0; i < 5000; i++) {
        gen_text_printf(&text, "%c", (char)('a' + i % 26));
        assert_int_equal(text.len, i + 1);
        assert_int_equal(text.data[text.len], 0);
    }
    assert_int_equal(text.data[4999], 'a' + 4999 % 26);
    gen_text_fini(&text);
}

static void text_takes_its_bound_and_not_a_byte_more(void **state)
{
    (void)state;
    struct gen_text text = {0};
    static char block[1024 * 1024];
    memset(block, 'x', sizeof(block));
    for (size_t i = 0; i < GEN_TEXT_MAX / sizeof(block) - 1; i++) {
        gen_text_put(&text, block, sizeof(block));
    }
    gen_text_put(&text, block, sizeof(block) - 1);
    gen_text_puts(&text, "y");
    assert_false(text.is_cut);
    assert_int_equal(text.len, GEN_TEXT_MAX);
    gen_text_puts(&text, "z");
    assert_true(text.is_cut);
    assert_int_equal(text.len, GEN_TEXT_MAX);
    gen_text_fini(&text);
}

static void once_cut_nothing_more_is_put(void **state)
{
    (void)state;
    struct gen_text text = {.is_cut = true};
    gen_text_puts(&text, "a");
    gen_text_printf(&text, "%d", 1);
    assert_int_equal(text.len, 0);
    gen_text_fini(&text);
}

static void arena_gives_zeroed_memory_of_any_size(void **state)
{
    (void)state;
    struct gen_arena arena = {0};
    assert_non_null(gen_arena_array(&arena, 0, 8));
    const unsigned char *bytes = gen_arena_array(&arena, 1000, 3);
    for (size_t i = 0; i < 3000; i++) {
        assert_int_equal(bytes[i], 0);
    }
    assert_string_equal(gen_arena_copy(&arena, "abc", 2), "ab");
    assert_string_equal(gen_arena_printf(&arena, "%s-%d", "x", 7), "x-7");
    gen_arena_fini(&arena);
    assert_null(arena.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_text_is_an_empty_string),
        cmocka_unit_test(puts_follow_each_other),
        cmocka_unit_test(text_grows_past_every_capacity),
        cmocka_unit_test(text_takes_its_bound_and_not_a_byte_more),
        cmocka_unit_test(once_cut_nothing_more_is_put),
        cmocka_unit_test(arena_gives_zeroed_memory_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
