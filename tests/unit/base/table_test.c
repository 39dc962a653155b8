/* SPDX-License-Identifier: Apache-2.0 */
/* Lets the heap run dry on purpose: uthash takes its memory from here. */
#include <stddef.h>

static void *scarce_malloc(size_t size);
#define uthash_malloc(size) scarce_malloc(size)

#include "base/table.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>

struct user {
    uint32_t id;
    UT_hash_handle hh;
};

static long n_mallocs_left;

static void *scarce_malloc(size_t size)
{
    if (n_mallocs_left == 0) {
        return NULL;
    }
    n_mallocs_left--;
    return malloc(size);
}

static bool add(struct user **table, struct user *user)
{
    HASH_ADD(hh, *table, id, sizeof(user->id), user);
    return base_table_has(user);
}

static const struct user *find(struct user *table, uint32_t id)
{
    struct user *user = NULL;
    HASH_FIND(hh, table, &id, sizeof(id), user);
    return user;
}

static void what_is_added_is_found_in_order_of_insertion(void **state)
{
    (void)state;

    enum {
        N = 1000
    };
    static struct user users[N];
    struct user *table = NULL;
    n_mallocs_left = -1;
    for (uint32_t i = 0; i < N; i++) {
        users[i].id = i * 7919;
        assert_true(add(&table, &users[i]));
    }
    uint32_t n = 0;
    for (struct user *u = table; u != NULL; u = u->hh.next) {
        assert_ptr_equal(u, &users[n]);
        assert_ptr_equal(find(table, u->id), u);
        n++;
    }
    assert_int_equal(n, N);
    assert_null(find(table, 1));
    HASH_CLEAR(hh, table);
}

static void without_memory_nothing_is_added_and_nobody_exits(void **state)
{
    (void)state;
    for (long n = 0; n < 2; n++) {
        struct user user = {.id = 1};
        struct user *table = NULL;
        n_mallocs_left = n;
        assert_false(add(&table, &user));
        assert_null(table);
    }
}

static void a_table_that_cannot_grow_keeps_what_it_has(void **state)
{
    (void)state;

    enum {
        N = 2000
    };
    static struct user users[N];
    struct user *table = NULL;
    n_mallocs_left = 2;
    uint32_t n_in = 0;
    for (uint32_t i = 0; i < N; i++) {
        users[i].id = i;
        bool is_in = add(&table, &users[i]);
        assert_int_equal(is_in, find(table, i) != NULL);
        n_in += is_in;
    }
    assert_true(n_in > 0 && n_in < N);
    assert_int_equal(HASH_COUNT(table), n_in);
    HASH_CLEAR(hh, table);
}

static void the_seed_stays(void **state)
{
    (void)state;
    assert_true(base_hash_seed() != 0);
    assert_true(base_hash_seed() == base_hash_seed());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_found_in_order_of_insertion),
        cmocka_unit_test(without_memory_nothing_is_added_and_nobody_exits),
        cmocka_unit_test(a_table_that_cannot_grow_keeps_what_it_has),
        cmocka_unit_test(the_seed_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
