/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/message.h"
#include "tests/support/cmocka_all.h"

#include <pthread.h>
#include <string.h>

static void an_arena_given_back_is_taken_again(void **state)
{
    (void)state;
    struct snapi_arena_pool *pool = snapi_arena_pool_open();
    struct snapi_arena *a = snapi_arena_take(pool);
    void *piece = base_arena_alloc(&a->mem, 100);
    snapi_arena_give(a);
    struct snapi_arena *b = snapi_arena_take(pool);
    assert_ptr_equal(a, b);
    assert_ptr_equal(base_arena_alloc(&b->mem, 100), piece);
    snapi_arena_give(b);
    snapi_arena_pool_close(pool);
}

static void arenas_that_are_out_are_different(void **state)
{
    (void)state;
    struct snapi_arena_pool *pool = snapi_arena_pool_open();
    struct snapi_arena *a = snapi_arena_take(pool);
    struct snapi_arena *b = snapi_arena_take(pool);
    assert_ptr_not_equal(a, b);
    snapi_arena_give(a);
    snapi_arena_give(b);
    assert_ptr_equal(snapi_arena_take(pool), b);
    assert_ptr_equal(snapi_arena_take(pool), a);
    snapi_arena_give(a);
    snapi_arena_give(b);
    snapi_arena_pool_close(pool);
}

static void more_than_the_pool_holds_come_from_the_heap(void **state)
{
    (void)state;
    static struct snapi_arena *taken[1100];
    struct snapi_arena_pool *pool = snapi_arena_pool_open();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 1100; i++) {
            taken[i] = snapi_arena_take(pool);
            assert_non_null(taken[i]);
            memset(base_arena_alloc(&taken[i]->mem, 64), (int)i, 64);
        }
        for (size_t i = 0; i < 1100; i++) {
            snapi_arena_give(taken[i]);
        }
    }
    snapi_arena_pool_close(pool);
}

static void an_arena_outlives_the_pools_owner(void **state)
{
    (void)state;
    struct snapi_arena_pool *pool = snapi_arena_pool_open();
    struct snapi_arena *a = snapi_arena_take(pool);
    struct snapi_arena *b = snapi_arena_take(pool);
    char *piece = base_arena_alloc(&a->mem, 10);
    snapi_arena_give(b);
    snapi_arena_pool_close(pool);
    strcpy(piece, "alive");
    assert_string_equal(piece, "alive");
    snapi_arena_give(a); /* the leak checker tells whether all went with it */
}

static void what_the_owner_gives_back_it_takes_again(void **state)
{
    (void)state;
    struct snapi_arena_pool *pool = snapi_arena_pool_open();
    struct snapi_arena *a = snapi_arena_take_owned(pool);
    uint32_t *piece = base_arena_alloc(&a->mem, sizeof(*piece));
    *piece = 1;
    snapi_arena_give_owned(a);
    snapi_arena_give_owned(NULL);
    struct snapi_arena *other = snapi_arena_take(pool); /* not the owner's */
    assert_ptr_not_equal(other, a);
    snapi_arena_give_owned(other); /* given by another than who took it */
    assert_ptr_equal(snapi_arena_take_owned(pool), other);
    assert_ptr_equal(snapi_arena_take_owned(pool), a);
    assert_ptr_equal(base_arena_alloc(&a->mem, sizeof(*piece)), piece);
    snapi_arena_give(a);
    snapi_arena_give_owned(other);
    snapi_arena_pool_close(pool); /* the leak checker tells whether all went with it */
}

static void the_owner_keeps_so_many_and_no_more(void **state)
{
    (void)state;

    enum {
        MORE = 300
    };
    struct snapi_arena_pool *pool = snapi_arena_pool_open();
    struct snapi_arena *arenas[MORE];
    for (int i = 0; i < MORE; i++) {
        arenas[i] = snapi_arena_take_owned(pool);
    }
    for (int i = 0; i < MORE; i++) {
        snapi_arena_give_owned(arenas[i]);
    }
    struct snapi_arena *last = snapi_arena_take(pool); /* what was too much is for all */
    assert_ptr_equal(last, arenas[MORE - 1]);
    snapi_arena_give(last);
    snapi_arena_pool_close(pool);
}

static void *churn(void *arg)
{
    struct snapi_arena_pool *pool = arg;
    for (uint32_t i = 0; i < 20000; i++) {
        struct snapi_arena *a = snapi_arena_take(pool);
        struct snapi_arena *b = snapi_arena_take(pool);
        uint32_t *x = base_arena_alloc(&a->mem, sizeof(*x));
        uint32_t *y = base_arena_alloc(&b->mem, sizeof(*y));
        *x = i;
        *y = ~i;
        if (*x != i || *y != ~i || a == b) {
            return pool; /* not NULL: shared */
        }
        snapi_arena_give(a);
        snapi_arena_give(b);
    }
    return NULL;
}

static void threads_never_get_the_same_arena(void **state)
{
    (void)state;
    struct snapi_arena_pool *pool = snapi_arena_pool_open();
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, churn, pool), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *problem = NULL;
        assert_int_equal(pthread_join(thread[i], &problem), 0);
        assert_null(problem);
    }
    snapi_arena_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_given_back_is_taken_again),
        cmocka_unit_test(arenas_that_are_out_are_different),
        cmocka_unit_test(more_than_the_pool_holds_come_from_the_heap),
        cmocka_unit_test(an_arena_outlives_the_pools_owner),
        cmocka_unit_test(what_the_owner_gives_back_it_takes_again),
        cmocka_unit_test(the_owner_keeps_so_many_and_no_more),
        cmocka_unit_test(threads_never_get_the_same_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
