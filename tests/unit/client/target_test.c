/* SPDX-License-Identifier: Apache-2.0 */
#include "client/target.h"

#include "tests/support/cmocka_all.h"

#include <netdb.h>
#include <string.h>

static void numeric_addresses_are_taken_as_they_are(void **state)
{
    (void)state;
    struct snapi_target target;
    assert_int_equal(snapi_target_resolve("10.0.0.1:7000", &target), BASE_OK);
    assert_int_equal(target.n_addrs, 1);
    assert_string_equal(target.addrs[0], "10.0.0.1:7000");
    assert_string_equal(target.pony, "");
    assert_int_equal(snapi_target_resolve("[::1]:1", &target), BASE_OK);
    assert_string_equal(target.addrs[0], "[::1]:1");
    assert_int_equal(snapi_target_resolve("unix:/run/x.sock", &target), BASE_OK);
    assert_string_equal(target.addrs[0], "unix:/run/x.sock");
}

static void names_are_looked_up(void **state)
{
    (void)state;
    struct snapi_target target;
    struct addrinfo *found = NULL;
    if (getaddrinfo("localhost", NULL, NULL, &found) != 0) {
        skip(); /* a machine without /etc/hosts */
    }
    freeaddrinfo(found);
    assert_int_equal(snapi_target_resolve("localhost:65535", &target), BASE_OK);
    assert_true(target.n_addrs >= 1);
    assert_non_null(strstr(target.addrs[0], ":65535"));
    assert_string_equal(target.text, "localhost:65535");
}

static void a_pony_address_is_kept_apart(void **state)
{
    (void)state;
    struct snapi_target target;
    const char *address = "pony:10.0.0.1:4741/00000000000000ff/0000000000000001";
    assert_int_equal(snapi_target_resolve(address, &target), BASE_OK);
    assert_int_equal(target.n_addrs, 0);
    assert_string_equal(target.pony, address);
}

static void what_is_no_target_is_refused_with_the_forms_that_are(void **state)
{
    (void)state;
    const char *const bad[] = {"",          "host",  "host:", ":1",       "h:0",
                               "h:65536",   "h:12x", "h:-1",  "::1:7000", "[::1]",
                               "[::1:7000", "[]:1",  "unix:", "h:+1",     "h:1234567890"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct snapi_target target;
        base_error_clear_note();
        assert_int_equal(snapi_target_resolve(bad[i], &target), BASE_E_INVALID);
        assert_string_not_equal(base_error_last_note(), "");
    }
    char longest[SNAPI_TARGET_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    longest[SNAPI_TARGET_MAX] = '\0';
    struct snapi_target target;
    assert_int_equal(snapi_target_resolve(longest, &target), BASE_E_INVALID);
    assert_int_equal(snapi_target_resolve(NULL, &target), BASE_E_INVALID);
}

static void the_host_of_a_pony_address_is_the_one_the_client_reached(void **state)
{
    (void)state;
    char out[SNAPI_TARGET_MAX];
    assert_int_equal(snapi_target_fill_host("pony:*:4741/ab/cd", "10.0.0.7:7000", out), BASE_OK);
    assert_string_equal(out, "pony:10.0.0.7:4741/ab/cd");
    assert_int_equal(snapi_target_fill_host("pony:*:4741/ab/cd", "[fe80::1]:7000", out), BASE_OK);
    assert_string_equal(out, "pony:[fe80::1]:4741/ab/cd");
    assert_int_equal(snapi_target_fill_host("pony:*:4741/ab/cd", "unix:/a:b", out), BASE_OK);
    assert_string_equal(out, "pony:127.0.0.1:4741/ab/cd");
    assert_int_equal(snapi_target_fill_host("pony:10.1.1.1:1/ab/cd", "10.0.0.7:7000", out),
                     BASE_OK);
    assert_string_equal(out, "pony:10.1.1.1:1/ab/cd");
}

static void an_address_that_is_none_is_not_filled(void **state)
{
    (void)state;
    char out[SNAPI_TARGET_MAX];
    char address[SNAPI_TARGET_MAX * 2] = "pony:*:";
    assert_int_equal(snapi_target_fill_host("tcp:1", "10.0.0.7:7000", out), BASE_E_INVALID);
    memset(address + strlen(address), '1', SNAPI_TARGET_MAX - strlen(address) - 1);
    address[SNAPI_TARGET_MAX - 1] = '\0';
    assert_int_equal(snapi_target_fill_host(address, "10.0.0.7:7000", out), BASE_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numeric_addresses_are_taken_as_they_are),
        cmocka_unit_test(names_are_looked_up),
        cmocka_unit_test(a_pony_address_is_kept_apart),
        cmocka_unit_test(what_is_no_target_is_refused_with_the_forms_that_are),
        cmocka_unit_test(the_host_of_a_pony_address_is_the_one_the_client_reached),
        cmocka_unit_test(an_address_that_is_none_is_not_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
