/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/status.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static void every_code_has_its_grpc_name(void **state)
{
    (void)state;
    assert_string_equal(snap_code_name(SNAP_OK), "OK");
    assert_string_equal(snap_code_name(SNAP_UNAVAILABLE), "UNAVAILABLE");
    assert_string_equal(snap_code_name(SNAP_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(snap_code_name((enum snap_code)17), "UNKNOWN");
    assert_string_equal(snap_code_name((enum snap_code) - 1), "UNKNOWN");
}

static void a_long_message_is_cut_and_ended(void **state)
{
    (void)state;
    char text[400];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct snap_status status = snap_status_make(SNAP_INTERNAL, "%s", text);
    assert_int_equal(strlen(status.message), SNAP_STATUS_MESSAGE_MAX - 1);
}

static void a_cut_does_not_split_a_character(void **state)
{
    (void)state;
    char text[400];
    memset(text, 'x', 251);
    memcpy(text + 251, "\xe2\x82\xac", 4); /* 252 bytes would end within it */
    struct snap_status status = snap_status_make(SNAP_INTERNAL, "%s", text);
    assert_int_equal(strlen(status.message), 251);
    memcpy(text + 249, "\xe2\x82\xac", 4); /* ends right at 252 */
    status = snap_status_make(SNAP_INTERNAL, "%s", text);
    assert_int_equal(strlen(status.message), 252);
}

static void a_code_that_does_not_exist_becomes_unknown(void **state)
{
    (void)state;
    assert_int_equal(snap_status_make((enum snap_code)99, "x").code, SNAP_UNKNOWN);
    assert_int_equal(snapi_status_from_peer(17, SNAP_RAN_YES, "", 0).code, SNAP_UNKNOWN);
}

static void an_error_carries_its_note_once(void **state)
{
    (void)state;
    base_error_note("port 7 is taken");
    struct snap_status status =
        snapi_status_from_err(BASE_E_EXISTS, SNAP_ORIGIN_LOCAL, "listen %s", "here");
    assert_int_equal(status.code, SNAP_ALREADY_EXISTS);
    assert_string_equal(status.message, "listen here: port 7 is taken");
    status = snapi_status_from_err(BASE_E_EXISTS, SNAP_ORIGIN_LOCAL, "listen");
    assert_string_equal(status.message, "listen: exists already");
    status = snapi_status_from_err(BASE_OK, SNAP_ORIGIN_LOCAL, "listen");
    assert_true(snap_ok(&status));
}

static void a_peers_message_is_cleaned(void **state)
{
    (void)state;
    struct snap_status status =
        snapi_status_from_peer(SNAP_NOT_FOUND, SNAP_RAN_YES, "a\nb\0c\x1b[31m", 10);
    assert_string_equal(status.message, "a b c [31m");
    assert_int_equal(status.origin, SNAP_ORIGIN_REMOTE);
    assert_int_equal(status.ran, SNAP_RAN_YES);
}

static void a_peers_message_of_any_length_fits(void **state)
{
    (void)state;
    char text[300];
    memset(text, 0x80, sizeof(text)); /* nothing but continuation bytes */
    for (size_t len = 0; len <= sizeof(text); len++) {
        struct snap_status status = snapi_status_from_peer(2, SNAP_RAN_YES, text, len);
        assert_in_range(strlen(status.message), len < 249 ? len : 249, 252);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_grpc_name),
        cmocka_unit_test(a_long_message_is_cut_and_ended),
        cmocka_unit_test(a_cut_does_not_split_a_character),
        cmocka_unit_test(a_code_that_does_not_exist_becomes_unknown),
        cmocka_unit_test(an_error_carries_its_note_once),
        cmocka_unit_test(a_peers_message_is_cleaned),
        cmocka_unit_test(a_peers_message_of_any_length_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
