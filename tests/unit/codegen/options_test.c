/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/options.h"

#include "tests/support/cmocka_all.h"

struct fixture {
    struct gen_arena arena;
    struct gen_problems problems;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gen_problems_fini(&f->problems);
    gen_arena_fini(&f->arena);
    return 0;
}

static struct gen_options parse(void **state, const char *parameter)
{
    struct fixture *f = *state;
    return gen_options_parse(&f->arena, parameter, &f->problems);
}

static size_t n_problems(void **state)
{
    const struct fixture *f = *state;
    return f->problems.n;
}

static void nothing_gives_the_defaults(void **state)
{
    static const char *const nothings[] = {NULL, "", ",", ",,"};
    for (size_t i = 0; i < 4; i++) {
        struct gen_options options = parse(state, nothings[i]);
        assert_false(options.with_messages);
        assert_string_equal(options.protoc_gen_c, "protoc-gen-c");
    }
    assert_int_equal(n_problems(state), 0);
}

static void messages_is_known(void **state)
{
    struct gen_options options = parse(state, "messages");
    assert_true(options.with_messages);
    assert_string_equal(options.protoc_gen_c, "protoc-gen-c");
    assert_int_equal(n_problems(state), 0);
}

static void messages_takes_a_program(void **state)
{
    struct gen_options options = parse(state, ",messages=/a/b=c,");
    assert_true(options.with_messages);
    assert_string_equal(options.protoc_gen_c, "/a/b=c");
    assert_int_equal(n_problems(state), 0);
}

static void program_may_not_be_empty(void **state)
{
    (void)parse(state, "messages=");
    assert_int_equal(n_problems(state), 1);
}

static void each_unknown_word_is_a_problem(void **state)
{
    (void)parse(state, "message,messagess,messages,x=y");
    assert_int_equal(n_problems(state), 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nothing_gives_the_defaults),     CASE(messages_is_known),
        CASE(messages_takes_a_program),       CASE(program_may_not_be_empty),
        CASE(each_unknown_word_is_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
