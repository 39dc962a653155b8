/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static void every_error_has_its_row(void **state)
{
    (void)state;
    for (int i = 0; i < BASE_ERR_COUNT; i++) {
        enum base_err err = (enum base_err)i;
        assert_non_null(base_err_name(err));
        assert_true(strncmp(base_err_name(err), "BASE_", 5) == 0);
        assert_true(base_err_text(err)[0] != '\0');
        assert_in_range(base_err_grpc_code(err), 0, 16);
        assert_int_equal(base_err_kind(err) == BASE_KIND_OK, err == BASE_OK);
        assert_int_equal(base_err_grpc_code(err) == 0, err == BASE_OK);
    }
}

static void values_are_never_renumbered(void **state)
{
    (void)state;
    assert_int_equal(BASE_OK, 0);
    assert_int_equal(BASE_AGAIN, 1);
    assert_int_equal(BASE_E_MALFORMED, 7);
    assert_int_equal(BASE_E_CLOSED, 13);
    assert_int_equal(BASE_E_INTERNAL, 21);
    assert_string_equal(base_err_name(BASE_E_LIMIT), "BASE_E_LIMIT");
    assert_int_equal(base_err_kind(BASE_E_MALFORMED), BASE_KIND_PEER);
}

static void an_unknown_value_reads_as_internal(void **state)
{
    (void)state;
    int values[] = {BASE_ERR_COUNT, -1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        enum base_err err = (enum base_err)values[i];
        assert_string_equal(base_err_name(err), "BASE_E_INTERNAL");
        assert_int_equal(base_err_kind(err), BASE_KIND_INTERNAL);
        assert_int_equal(base_err_grpc_code(err), 13);
    }
}

static void errno_values_find_their_error(void **state)
{
    (void)state;
    assert_int_equal(base_err_from_errno(0), BASE_OK);
    assert_int_equal(base_err_from_errno(EAGAIN), BASE_AGAIN);
    assert_int_equal(base_err_from_errno(ECONNREFUSED), BASE_E_REFUSED);
    assert_int_equal(base_err_from_errno(EACCES), BASE_E_PERMISSION);
    assert_int_equal(base_err_from_errno(EIO), BASE_E_IO);
    assert_int_equal(base_err_from_errno(-1), BASE_E_IO);
    assert_int_equal(base_err_from_errno(99999), BASE_E_IO);
}

static void the_note_is_replaced_and_cut(void **state)
{
    (void)state;
    base_error_clear_note();
    assert_string_equal(base_error_last_note(), "");
    base_error_note("attach client %d", 7);
    assert_string_equal(base_error_last_note(), "attach client 7");
    base_error_note("%0300d", 1);
    assert_int_equal(strlen(base_error_last_note()), 255);
    base_error_clear_note();
    assert_string_equal(base_error_last_note(), "");
}

static void the_note_keeps_errno_and_knows_its_text(void **state)
{
    (void)state;
    errno = ENOENT;
    base_error_note("open: %m");
    assert_int_equal(errno, ENOENT);
    assert_string_equal(base_error_last_note(), "open: No such file or directory");
}

static void *note_elsewhere(void *arg)
{
    base_error_note("another thread's");
    *(int *)arg = strcmp(base_error_last_note(), "another thread's");
    return NULL;
}

static void the_note_belongs_to_its_thread(void **state)
{
    (void)state;
    pthread_t thread;
    int differs = -1;
    base_error_note("mine");
    assert_int_equal(pthread_create(&thread, NULL, note_elsewhere, &differs), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(differs, 0);
    assert_string_equal(base_error_last_note(), "mine");
}

static enum base_err try_it(enum base_err err, int *reached)
{
    BASE_TRY(err);
    *reached += 1;
    return BASE_OK;
}

static enum base_err ensure_it(int cond)
{
    BASE_ENSURE(cond, BASE_E_RANGE);
    return BASE_OK;
}

static void try_and_ensure_only_return(void **state)
{
    (void)state;
    int reached = 0;
    assert_int_equal(try_it(BASE_E_LIMIT, &reached), BASE_E_LIMIT);
    assert_int_equal(reached, 0);
    assert_int_equal(try_it(BASE_OK, &reached), BASE_OK);
    assert_int_equal(reached, 1);
    assert_int_equal(ensure_it(0), BASE_E_RANGE);
    assert_int_equal(ensure_it(1), BASE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_row),
        cmocka_unit_test(values_are_never_renumbered),
        cmocka_unit_test(an_unknown_value_reads_as_internal),
        cmocka_unit_test(errno_values_find_their_error),
        cmocka_unit_test(the_note_is_replaced_and_cut),
        cmocka_unit_test(the_note_keeps_errno_and_knows_its_text),
        cmocka_unit_test(the_note_belongs_to_its_thread),
        cmocka_unit_test(try_and_ensure_only_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
