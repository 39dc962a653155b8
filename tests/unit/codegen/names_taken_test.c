/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/names_taken.h"

#include "tests/support/cmocka_all.h"

struct fixture {
    struct gen_arena arena;
    struct gen_names_taken taken;
    struct gen_problems problems;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    gen_names_taken_init(&f.taken, &f.arena);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gen_names_taken_fini(&f->taken);
    gen_problems_fini(&f->problems);
    gen_arena_fini(&f->arena);
    return 0;
}

static void free_names_are_taken_in_silence(void **state)
{
    struct fixture *f = *state;
    struct gen_owner owner = {.what = "method A"};
    gen_names_claim(&f->taken, "a", owner, &f->problems);
    gen_names_claim(&f->taken, "A", owner, &f->problems);
    gen_names_claim(&f->taken, "a_", owner, &f->problems);
    assert_int_equal(f->problems.n, 0);
}

static void second_owner_is_reported_with_the_first(void **state)
{
    struct fixture *f = *state;
    struct gen_owner first = {.what = "method A", .place = {"a.proto", 3, 1}};
    struct gen_owner second = {.what = "method B", .place = {"a.proto", 9, 5}};
    gen_names_claim(&f->taken, "x", first, &f->problems);
    gen_names_claim(&f->taken, "x", second, &f->problems);
    assert_string_equal(f->problems.text.data,
                        "a.proto:9:5: method B and method A (a.proto:3) are both named \"x\" in C; "
                        "rename one");
}

static void quiet_claims_lose_in_silence_and_win_loudly(void **state)
{
    struct fixture *f = *state;
    struct gen_owner quiet = {.what = "message Q", .place = {.file = "q.proto"}};
    struct gen_owner loud = {.what = "service L", .place = {.file = "l.proto"}};
    gen_names_claim_quietly(&f->taken, "x", quiet);
    gen_names_claim_quietly(&f->taken, "x", loud);
    assert_int_equal(f->problems.n, 0);
    gen_names_claim(&f->taken, "x", loud, &f->problems);
    assert_string_equal(f->problems.text.data,
                        "l.proto: service L and message Q are both named \"x\" in C; rename one");
}

static void collision_with_generic_code_names_the_way_out(void **state)
{
    struct fixture *f = *state;
    struct gen_owner ours = {.what = "service S"};
    struct gen_owner generic = {.what = "protobuf-c's code", .is_generic_service = true};
    gen_names_claim(&f->taken, "x", ours, &f->problems);
    gen_names_claim(&f->taken, "x", generic, &f->problems);
    assert_string_equal(f->problems.text.data,
                        "protobuf-c's code and service S are both named \"x\" in C; rename one, or "
                        "use --snaprpc_opt=messages instead of protoc-c");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(free_names_are_taken_in_silence),
        CASE(second_owner_is_reported_with_the_first),
        CASE(quiet_claims_lose_in_silence_and_win_loudly),
        CASE(collision_with_generic_code_names_the_way_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
