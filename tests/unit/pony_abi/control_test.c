/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/control.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static uint8_t packet[PONY_CONTROL_MAX_BYTES + 1];
static char text[2 * PONY_CONTROL_MAX_BYTES];

static const char *text_of(size_t len)
{
    memset(text, 'x', len);
    text[len] = '\0';
    return text;
}

static size_t pack_lookup(size_t target_len)
{
    Pony__Control__Lookup lookup = PONY__CONTROL__LOOKUP__INIT;
    lookup.target = (char *)text_of(target_len);
    Pony__Control__Request r = PONY__CONTROL__REQUEST__INIT;
    r.id = 7;
    r.what_case = PONY__CONTROL__REQUEST__WHAT_LOOKUP;
    r.lookup = &lookup;
    size_t len;
    assert_int_equal(pony_control_pack_request(&r, packet, &len), BASE_OK);
    return len;
}

static void a_request_survives_packing(void **state)
{
    (void)state;
    Pony__Control__Request *r;
    size_t len = pack_lookup(PONY_CONTROL_STRING_MAX);
    assert_int_equal(pony_control_unpack_request(packet, len, &r), BASE_OK);
    assert_int_equal(r->id, 7);
    assert_int_equal(strlen(r->lookup->target), PONY_CONTROL_STRING_MAX);
    pony__control__request__free_unpacked(r, NULL);
}

static void a_string_past_the_limit_is_refused(void **state)
{
    (void)state;
    Pony__Control__Request *r;
    size_t len = pack_lookup(PONY_CONTROL_STRING_MAX + 1);
    assert_int_equal(pony_control_unpack_request(packet, len, &r), BASE_E_MALFORMED);
    assert_null(r);
}

static void a_message_past_the_limit_is_neither_packed_nor_unpacked(void **state)
{
    (void)state;
    Pony__Control__Error error = PONY__CONTROL__ERROR__INIT;
    Pony__Control__Reply r = PONY__CONTROL__REPLY__INIT;
    r.what_case = PONY__CONTROL__REPLY__WHAT_ERROR;
    r.error = &error;
    size_t len;
    error.message = (char *)text_of(PONY_CONTROL_MAX_BYTES - 8);
    assert_int_equal(pony_control_pack_reply(&r, packet, &len), BASE_OK);
    assert_int_equal(len, PONY_CONTROL_MAX_BYTES);
    error.message = (char *)text_of(PONY_CONTROL_MAX_BYTES - 7);
    assert_int_equal(pony_control_pack_reply(&r, packet, &len), BASE_E_LIMIT);
    Pony__Control__Reply *out;
    assert_int_equal(pony_control_unpack_reply(packet, PONY_CONTROL_MAX_BYTES + 1, &out),
                     BASE_E_LIMIT);
    assert_null(out);
}

static void nothing_and_garbage_are_malformed(void **state)
{
    (void)state;
    Pony__Control__Request *request;
    Pony__Control__Reply *reply;
    static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(pony_control_unpack_request(garbage, 0, &request), BASE_E_MALFORMED);
    assert_int_equal(pony_control_unpack_reply(garbage, 0, &reply), BASE_E_MALFORMED);
    assert_int_equal(pony_control_unpack_request(garbage, sizeof(garbage), &request),
                     BASE_E_MALFORMED);
    assert_int_equal(pony_control_unpack_reply(garbage, sizeof(garbage), &reply), BASE_E_MALFORMED);
    assert_null(request);
    assert_null(reply);
}

static void every_truncation_is_refused_or_a_whole_message(void **state)
{
    (void)state;
    size_t len = pack_lookup(10);
    for (size_t cut = 0; cut < len; cut++) {
        Pony__Control__Request *r;
        enum base_err err = pony_control_unpack_request(packet, cut, &r);
        assert_int_equal(err, BASE_E_MALFORMED);
        assert_null(r);
    }
}

static void errors_travel_by_their_value(void **state)
{
    (void)state;
    for (int e = BASE_E_INVALID; e < BASE_ERR_COUNT; e++) {
        assert_int_equal(pony_control_err_to_wire((enum base_err)e), e);
        assert_int_equal(pony_control_err_from_wire((uint32_t)e), e);
    }
    assert_int_equal(pony_control_err_from_wire(BASE_OK), BASE_E_INTERNAL);
    assert_int_equal(pony_control_err_from_wire(BASE_AGAIN), BASE_E_INTERNAL);
    assert_int_equal(pony_control_err_from_wire(BASE_ERR_COUNT), BASE_E_INTERNAL);
    assert_int_equal(pony_control_err_from_wire(UINT32_MAX), BASE_E_INTERNAL);
    assert_int_equal(pony_control_err_to_wire(BASE_OK), BASE_E_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_survives_packing),
        cmocka_unit_test(a_string_past_the_limit_is_refused),
        cmocka_unit_test(a_message_past_the_limit_is_neither_packed_nor_unpacked),
        cmocka_unit_test(nothing_and_garbage_are_malformed),
        cmocka_unit_test(every_truncation_is_refused_or_a_whole_message),
        cmocka_unit_test(errors_travel_by_their_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
