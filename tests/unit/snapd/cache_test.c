/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/pony/cache.h"

#include "snapd/pony/users.h"
#include "tests/support/cmocka_all.h"

#include <stdio.h>

enum {
    MAX = 4,
    TTL = 1000
};

static struct snapd_cache cache;

static int make(void **state)
{
    (void)state;
    snapd_cache_init(&cache, MAX, TTL);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    snapd_cache_fini(&cache);
    return 0;
}

static void put(const char *target, const char *address, uint64_t now_ns)
{
    assert_int_equal(snapd_cache_put(&cache, target, address, now_ns), BASE_OK);
}

static void what_was_put_is_found(void **state)
{
    (void)state;
    put("a", "1", 0);
    put("b", "2", 0);
    assert_string_equal(snapd_cache_get(&cache, "a", 0), "1");
    assert_string_equal(snapd_cache_get(&cache, "b", 0), "2");
    assert_null(snapd_cache_get(&cache, "c", 0));
    assert_null(snapd_cache_get(&cache, "", 0));
}

static void a_later_put_replaces(void **state)
{
    (void)state;
    put("a", "1", 0);
    put("a", "22", 0);
    assert_string_equal(snapd_cache_get(&cache, "a", 0), "22");
    assert_int_equal(cache.n, 1);
}

static void an_entry_lives_as_long_as_it_may(void **state)
{
    (void)state;
    put("a", "1", 5);
    assert_non_null(snapd_cache_get(&cache, "a", 5 + TTL - 1));
    assert_null(snapd_cache_get(&cache, "a", 5 + TTL));
    assert_int_equal(cache.n, 0);
}

static void a_put_renews(void **state)
{
    (void)state;
    put("a", "1", 0);
    put("b", "2", 1);
    put("a", "1", TTL - 1);
    assert_null(snapd_cache_get(&cache, "b", TTL + 1));
    assert_non_null(snapd_cache_get(&cache, "a", TTL + 1));
}

static void the_oldest_goes_when_it_is_full(void **state)
{
    (void)state;
    char target[8];
    for (int i = 0; i <= MAX; i++) {
        (void)snprintf(target, sizeof(target), "t%d", i);
        put(target, "x", (uint64_t)i);
        assert_true(cache.n <= MAX);
    }
    assert_null(snapd_cache_get(&cache, "t0", MAX));
    for (int i = 1; i <= MAX; i++) {
        (void)snprintf(target, sizeof(target), "t%d", i);
        assert_non_null(snapd_cache_get(&cache, target, MAX));
    }
}

static void replacing_in_a_full_cache_costs_no_other(void **state)
{
    (void)state;
    put("a", "1", 0);
    put("b", "1", 0);
    put("c", "1", 0);
    put("d", "1", 0);
    put("c", "2", 0);
    assert_int_equal(cache.n, MAX);
    assert_non_null(snapd_cache_get(&cache, "a", 0));
}

static void forgetting_twice_is_harmless(void **state)
{
    (void)state;
    put("a", "1", 0);
    snapd_cache_forget(&cache, "a");
    snapd_cache_forget(&cache, "a");
    assert_null(snapd_cache_get(&cache, "a", 0));
}

static void users_who_hold_nothing_are_forgotten(void **state)
{
    (void)state;
    struct snapd_users users;
    snapd_users_init(&users, MAX, TTL);
    struct snapd_user *one = snapd_users_get(&users, 1);
    struct snapd_user *two = snapd_users_get(&users, 2);
    assert_ptr_equal(snapd_users_get(&users, 1), one);
    assert_ptr_not_equal(one, two);
    one->n_ports = 1;
    assert_int_equal(snapd_cache_put(&two->cache, "a", "1", 0), BASE_OK);
    snapd_users_expire(&users, 0);
    assert_int_equal(users.n, 2);
    snapd_users_expire(&users, TTL);
    assert_int_equal(users.n, 1);
    one->n_ports = 0;
    snapd_users_expire(&users, TTL);
    assert_int_equal(users.n, 0);
    snapd_users_fini(&users);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, drop)
        T(what_was_put_is_found),
        T(a_later_put_replaces),
        T(an_entry_lives_as_long_as_it_may),
        T(a_put_renews),
        T(the_oldest_goes_when_it_is_full),
        T(replacing_in_a_full_cache_costs_no_other),
        T(forgetting_twice_is_harmless),
        T(users_who_hold_nothing_are_forgotten),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
