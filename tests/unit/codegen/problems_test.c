/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/problems.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static void place_is_told_as_far_as_known(void **state)
{
    (void)state;
    struct gen_problems problems = {0};
    gen_problem(&problems, (struct gen_place){"a.proto", 3, 7}, "one %d", 1);
    gen_problem(&problems, (struct gen_place){"a.proto", 0, 0}, "two");
    gen_problem(&problems, (struct gen_place){0}, "three");
    assert_int_equal(problems.n, 3);
    assert_string_equal(problems.text.data, "a.proto:3:7: one 1\na.proto: two\nthree");
    gen_problems_fini(&problems);
}

static size_t count_lines(const char *text)
{
    size_t n = 1;
    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

static void problems_past_the_limit_are_counted_only(void **state)
{
    (void)state;
    struct gen_problems problems = {0};
    for (int i = 0; i < GEN_PROBLEMS_MAX; i++) {
        gen_problem(&problems, (struct gen_place){0}, "%d", i);
    }
    assert_int_equal(count_lines(problems.text.data), GEN_PROBLEMS_MAX);
    for (int i = 0; i < 3; i++) {
        gen_problem(&problems, (struct gen_place){0}, "more");
    }
    assert_int_equal(count_lines(problems.text.data), GEN_PROBLEMS_MAX + 1);
    assert_int_equal(problems.n, GEN_PROBLEMS_MAX + 3);
    gen_problems_fini(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(place_is_told_as_far_as_known),
        cmocka_unit_test(problems_past_the_limit_are_counted_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
