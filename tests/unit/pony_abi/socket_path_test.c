/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/socket_path.h"

#include "tests/support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state)
{
    (void)state;
    return unsetenv("SNAPD_SOCKET") || unsetenv("XDG_RUNTIME_DIR");
}

static void what_the_caller_names_comes_first(void **state)
{
    (void)state;
    char out[PONY_SOCKET_PATH_MAX];
    setenv("SNAPD_SOCKET", "/from/env", 1);
    assert_int_equal(pony_socket_path("/named", PONY_SOCKET_CONNECT, out), BASE_OK);
    assert_string_equal(out, "/named");
    assert_int_equal(pony_socket_path("", PONY_SOCKET_CONNECT, out), BASE_OK);
    assert_string_equal(out, "/from/env");
    assert_int_equal(pony_socket_path(NULL, PONY_SOCKET_LISTEN, out), BASE_OK);
    assert_string_equal(out, "/from/env");
}

static void an_empty_variable_counts_as_unset(void **state)
{
    (void)state;
    char out[PONY_SOCKET_PATH_MAX];
    setenv("SNAPD_SOCKET", "", 1);
    assert_int_equal(pony_socket_path(NULL, PONY_SOCKET_LISTEN, out), BASE_OK);
    assert_string_equal(out, PONY_SOCKET_SYSTEM);
}

static void a_user_gets_the_runtime_directory_and_root_the_system_one(void **state)
{
    (void)state;
    char out[PONY_SOCKET_PATH_MAX];
    setenv("XDG_RUNTIME_DIR", "/run/user/77", 1);
    assert_int_equal(pony_socket_path(NULL, PONY_SOCKET_LISTEN, out), BASE_OK);
    assert_string_equal(out,
                        geteuid() == 0 ? PONY_SOCKET_SYSTEM : "/run/user/77/snaprpc/snapd.sock");
}

static void a_path_fits_up_to_the_limit_and_is_refused_past_it(void **state)
{
    (void)state;
    char out[PONY_SOCKET_PATH_MAX];
    char name[PONY_SOCKET_PATH_MAX + 1];
    memset(name, 'p', sizeof(name));
    name[PONY_SOCKET_PATH_MAX - 1] = '\0';
    assert_int_equal(pony_socket_path(name, PONY_SOCKET_CONNECT, out), BASE_OK);
    assert_string_equal(out, name);
    name[PONY_SOCKET_PATH_MAX - 1] = 'p';
    name[PONY_SOCKET_PATH_MAX] = '\0';
    assert_int_equal(pony_socket_path(name, PONY_SOCKET_CONNECT, out), BASE_E_LIMIT);
    assert_string_equal(out, "");
    assert_non_null(strstr(base_error_last_note(), "longer than the 107 bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_the_caller_names_comes_first, setup),
        cmocka_unit_test_setup(an_empty_variable_counts_as_unset, setup),
        cmocka_unit_test_setup(a_user_gets_the_runtime_directory_and_root_the_system_one, setup),
        cmocka_unit_test_setup(a_path_fits_up_to_the_limit_and_is_refused_past_it, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
