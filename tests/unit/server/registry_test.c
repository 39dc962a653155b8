/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry.h"

#include "tests/support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

static void handler(void)
{
}

static void what_was_added_is_found(void **state)
{
    (void)state;
    static char names[1000][32];
    static struct snap_method methods[1000];
    struct snapi_registry r = {0};
    assert_null(snapi_registry_find(&r, "x", 1));
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "a.Service/Method%04d", i);
        methods[i].name = names[i];
        assert_int_equal(snapi_registry_add(&r, &methods[i], handler, &names[i]), BASE_OK);
    }
    for (int i = 0; i < 1000; i++) {
        const struct snapi_handler *h = snapi_registry_find(&r, names[i], strlen(names[i]));
        assert_non_null(h);
        assert_ptr_equal(h->method, &methods[i]);
        assert_ptr_equal(h->arg, &names[i]);
        assert_null(snapi_registry_find(&r, names[i], strlen(names[i]) - 1));
    }
    assert_null(snapi_registry_find(&r, "a.Service/Method1000", 20));
    snapi_registry_fini(&r);
}

static void a_name_is_added_once(void **state)
{
    (void)state;
    struct snapi_registry r = {0};
    const struct snap_method one = {.name = "a/b"};
    const struct snap_method two = {.name = "a/b"};
    assert_int_equal(snapi_registry_add(&r, &one, handler, NULL), BASE_OK);
    assert_int_equal(snapi_registry_add(&r, &two, handler, NULL), BASE_E_EXISTS);
    assert_non_null(strstr(base_error_last_note(), "a/b"));
    snapi_registry_fini(&r);
}

static void a_name_is_1_to_1023_bytes(void **state)
{
    (void)state;
    struct snapi_registry r = {0};
    static char name[SNAP_METHOD_NAME_MAX + 2];
    struct snap_method method = {.name = name};
    assert_int_equal(snapi_registry_add(&r, &method, handler, NULL), BASE_E_INVALID);
    memset(name, 'n', SNAP_METHOD_NAME_MAX + 1);
    assert_int_equal(snapi_registry_add(&r, &method, handler, NULL), BASE_E_INVALID);
    name[SNAP_METHOD_NAME_MAX] = '\0';
    assert_int_equal(snapi_registry_add(&r, &method, handler, NULL), BASE_OK);
    snapi_registry_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found),
        cmocka_unit_test(a_name_is_added_once),
        cmocka_unit_test(a_name_is_1_to_1023_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
