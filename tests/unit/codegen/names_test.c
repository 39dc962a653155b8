/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/names.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static int setup(void **state)
{
    static struct gen_arena arena;
    arena = (struct gen_arena){0};
    *state = &arena;
    return 0;
}

static int teardown(void **state)
{
    gen_arena_fini(*state);
    return 0;
}

static void lower_splits_words_before_capitals(void **state)
{
    struct gen_arena *arena = *state;
    assert_string_equal(gen_name_lower(arena, "GetReply"), "get_reply");
    assert_string_equal(gen_name_lower(arena, "get"), "get");
    assert_string_equal(gen_name_lower(arena, "foo2Bar"), "foo2_bar");
    assert_string_equal(gen_name_lower(arena, ""), "");
}

static void lower_takes_a_run_of_capitals_for_one_word(void **state)
{
    struct gen_arena *arena = *state;
    assert_string_equal(gen_name_lower(arena, "GetURL"), "get_url");
    assert_string_equal(gen_name_lower(arena, "HTTPRequest"), "httprequest");
    assert_string_equal(gen_name_lower(arena, "GetURL2X"), "get_url2_x");
    assert_string_equal(gen_name_lower(arena, "ABC"), "abc");
}

static void lower_keeps_underscores_and_adds_its_own(void **state)
{
    struct gen_arena *arena = *state;
    assert_string_equal(gen_name_lower(arena, "x_Y"), "x__y");
    assert_string_equal(gen_name_lower(arena, "_y"), "_y");
    assert_string_equal(gen_name_lower(arena, "_Y"), "__y");
    assert_string_equal(gen_name_lower(arena, "A__B"), "a___b");
}

static void camel_drops_underscores(void **state)
{
    struct gen_arena *arena = *state;
    assert_string_equal(gen_name_camel(arena, "get_reply"), "GetReply");
    assert_string_equal(gen_name_camel(arena, "GetReply"), "GetReply");
    assert_string_equal(gen_name_camel(arena, "_a__b_"), "AB");
    assert_string_equal(gen_name_camel(arena, "v1_beta"), "V1Beta");
    assert_string_equal(gen_name_camel(arena, "a_1b"), "A1b");
    assert_string_equal(gen_name_camel(arena, "_"), "");
}

static void case_is_ascii_whatever_the_bytes(void **state)
{
    struct gen_arena *arena = *state;
    assert_string_equal(gen_name_lower(arena, "\xc4\x80Z"), "\xc4\x80_z");
    assert_string_equal(gen_name_camel(arena, "\xe4"), "\xe4");
}

static void full_names_join_their_parts_with_two_underscores(void **state)
{
    struct gen_arena *arena = *state;
    struct gen_full_name full = {"files.v1.GetReply", "files.v1", NULL};
    assert_string_equal(gen_full_name_lower(arena, full), "files__v1__get_reply");
    assert_string_equal(gen_full_name_upper(arena, full), "FILES__V1__GET_REPLY");
    assert_string_equal(gen_full_name_camel(arena, full), "Files__V1__GetReply");
}

static void full_name_without_package_is_one_part(void **state)
{
    struct gen_full_name full = {"GetReply", "", NULL};
    assert_string_equal(gen_full_name_lower(*state, full), "get_reply");
}

static void c_package_replaces_the_package(void **state)
{
    struct gen_arena *arena = *state;
    struct gen_full_name full = {"very.long.Ask.Inner", "very.long", "my_C"};
    assert_string_equal(gen_full_name_camel(arena, full), "MyC__Ask__Inner");
    assert_string_equal(gen_full_name_lower(arena, full), "my__c__ask__inner");
}

static void c_package_is_put_before_a_name_without_package(void **state)
{
    struct gen_full_name full = {"Ask", "", "my"};
    assert_string_equal(gen_full_name_lower(*state, full), "my__ask");
}

static void empty_c_package_removes_the_package(void **state)
{
    struct gen_full_name full = {"very.long.Ask", "very.long", ""};
    assert_string_equal(gen_full_name_lower(*state, full), "ask");
}

static void c_package_survives_a_package_longer_than_the_name(void **state)
{
    struct gen_full_name full = {"a", "much.longer.than.it", "c"};
    assert_string_equal(gen_full_name_lower(*state, full), "c");
}

static void long_names_are_not_cut(void **state)
{
    char name[5001];
    memset(name, 'A', 5000);
    for (size_t i = 1; i < 5000; i += 2) {
        name[i] = 'b';
    }
    name[5000] = '\0';
    assert_int_equal(strlen(gen_name_lower(*state, name)), 5000 + 2499);
    struct gen_full_name full = {name, "", NULL};
    assert_int_equal(strlen(gen_full_name_lower(*state, full)), 5000 + 2499);
}

static void file_base_drops_the_suffix_only(void **state)
{
    struct gen_arena *arena = *state;
    assert_string_equal(gen_name_file_base(arena, "a/b.proto"), "a/b");
    assert_string_equal(gen_name_file_base(arena, "b.protodevel"), "b");
    assert_string_equal(gen_name_file_base(arena, "b.proto.txt"), "b.proto.txt");
    assert_string_equal(gen_name_file_base(arena, ".proto"), "");
    assert_string_equal(gen_name_file_base(arena, "b"), "b");
}

static void guards_differ_where_files_differ(void **state)
{
    struct gen_arena *arena = *state;
    assert_string_equal(gen_name_guard(arena, "a/b.proto"), "a_2fb_2eproto");
    assert_string_equal(gen_name_guard(arena, "a_2fb.proto"), "a_5f2fb_2eproto");
    assert_string_equal(gen_name_guard(arena, "\xc3"), "_c3");
}

static void members_that_are_reserved_get_an_underscore(void **state)
{
    struct gen_arena *arena = *state;
    assert_string_equal(gen_name_member(arena, "get"), "get");
    assert_string_equal(gen_name_member(arena, "delete"), "delete_");
    assert_string_equal(gen_name_member(arena, "Delete"), "Delete");
}

/* C11 6.4.1 in lower case, C++20 [lex.key] and [lex.digraph], macros of libc and of GNU modes. */
static const char reserved_words[] =
    "alignas alignof and and_eq asm assert auto bitand bitor bool break case catch char char16_t "
    "char32_t char8_t class co_await co_return co_yield compl complex concept const const_cast "
    "consteval constexpr constinit continue decltype default delete do double dynamic_cast else "
    "enum errno explicit export extern false float for friend goto i386 if imaginary inline int "
    "linux long mutable namespace new noexcept noreturn not not_eq nullptr operator or or_eq "
    "private protected public register reinterpret_cast requires restrict return short signed "
    "sizeof static static_assert static_cast stderr stdin stdout struct switch template this "
    "thread_local throw true try typedef typeid typename typeof union unix unsigned using virtual "
    "void volatile wchar_t while xor xor_eq";

static void every_reserved_word_is_found(void **state)
{
    (void)state;
    char words[sizeof(reserved_words)];
    memcpy(words, reserved_words, sizeof(words));
    unsigned n = 0;
    char *rest = NULL;
    for (char *w = strtok_r(words, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
        if (!gen_name_is_reserved(w)) {
            fail_msg("%s is not found", w);
        }
        n++;
    }
    assert_int_equal(n, 105);
}

static void words_beside_reserved_ones_are_free(void **state)
{
    (void)state;
    assert_false(gen_name_is_reserved(""));
    assert_false(gen_name_is_reserved("a"));
    assert_false(gen_name_is_reserved("delet"));
    assert_false(gen_name_is_reserved("delete_"));
    assert_false(gen_name_is_reserved("zzz"));
}

static void c_keywords_are_those_that_c_refuses(void **state)
{
    (void)state;
    assert_true(gen_name_is_c_keyword("register"));
    assert_true(gen_name_is_c_keyword("int"));
    assert_false(gen_name_is_c_keyword("class"));
    assert_false(gen_name_is_c_keyword("get"));
}

static void identifiers_are_letters_digits_underscores(void **state)
{
    (void)state;
    assert_true(gen_name_is_identifier("a"));
    assert_true(gen_name_is_identifier("_Z9"));
    assert_false(gen_name_is_identifier(""));
    assert_false(gen_name_is_identifier("9a"));
    assert_false(gen_name_is_identifier("a.b"));
    assert_false(gen_name_is_identifier("a-b"));
    assert_false(gen_name_is_identifier("\xc3\xa4"));
    assert_false(gen_name_is_identifier("a b"));
}

static void dotted_names_have_no_empty_part(void **state)
{
    (void)state;
    assert_true(gen_name_is_dotted("a"));
    assert_true(gen_name_is_dotted("a.b9.c"));
    assert_false(gen_name_is_dotted(""));
    assert_false(gen_name_is_dotted("."));
    assert_false(gen_name_is_dotted(".a"));
    assert_false(gen_name_is_dotted("a."));
    assert_false(gen_name_is_dotted("a..b"));
    assert_false(gen_name_is_dotted("a.9"));
    assert_false(gen_name_is_dotted("a/b"));
}

static void file_names_may_not_end_an_include(void **state)
{
    (void)state;
    assert_true(gen_name_is_file("a b/\xc3\xa4-c.proto"));
    assert_false(gen_name_is_file(""));
    assert_false(gen_name_is_file("a\"b"));
    assert_false(gen_name_is_file("a\\b"));
    assert_false(gen_name_is_file("a\nb"));
    assert_false(gen_name_is_file("a\x7f"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(lower_splits_words_before_capitals),
        CASE(lower_takes_a_run_of_capitals_for_one_word),
        CASE(lower_keeps_underscores_and_adds_its_own),
        CASE(camel_drops_underscores),
        CASE(case_is_ascii_whatever_the_bytes),
        CASE(full_names_join_their_parts_with_two_underscores),
        CASE(full_name_without_package_is_one_part),
        CASE(c_package_replaces_the_package),
        CASE(c_package_is_put_before_a_name_without_package),
        CASE(empty_c_package_removes_the_package),
        CASE(c_package_survives_a_package_longer_than_the_name),
        CASE(long_names_are_not_cut),
        CASE(file_base_drops_the_suffix_only),
        CASE(guards_differ_where_files_differ),
        CASE(members_that_are_reserved_get_an_underscore),
        CASE(every_reserved_word_is_found),
        CASE(words_beside_reserved_ones_are_free),
        CASE(c_keywords_are_those_that_c_refuses),
        CASE(identifiers_are_letters_digits_underscores),
        CASE(dotted_names_have_no_empty_part),
        CASE(file_names_may_not_end_an_include),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
