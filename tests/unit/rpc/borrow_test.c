/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/borrow.h"

#include "rpc/message.h"
#include "test_messages.pb-c.h"
#include "test_places.pb-c.h"
#include "tests/support/cmocka_all.h"

#include <snaprpc/channel.h>

#include <stdlib.h>
#include <string.h>

enum {
    LARGE = SNAPI_BORROW_MIN_BYTES,
    ROOM = 8 * SNAPI_BORROW_MIN_BYTES,
    TAG_NUMBER = 0x08, /* of snaptest.Ping */
    TAG_PAYLOAD = 0x12,
    TAG_TEXT = 0x1a
};

static struct snapi_arena_pool *pool;
static struct snapi_arena *arena;
static uint8_t *bytes; /* [ROOM] */
static size_t len;

static int setup(void **state)
{
    (void)state;
    pool = snapi_arena_pool_open();
    arena = snapi_arena_take(pool);
    bytes = malloc(ROOM);
    len = 0;
    return arena == NULL || bytes == NULL;
}

static int teardown(void **state)
{
    (void)state;
    snapi_arena_give(arena);
    snapi_arena_pool_close(pool);
    free(bytes);
    return 0;
}

/* A length-prefixed field of n bytes `fill`; returns where they begin. */
static const uint8_t *put_bytes(uint8_t tag, size_t n, uint8_t fill)
{
    bytes[len++] = tag;
    bytes[len++] = (uint8_t)(n & 0x7f) | 0x80;
    bytes[len++] = (uint8_t)(n >> 7 & 0x7f) | 0x80;
    bytes[len++] = (uint8_t)(n >> 14);
    memset(bytes + len, fill, n);
    len += n;
    return bytes + len - n;
}

static void put_number(uint8_t value)
{
    bytes[len++] = TAG_NUMBER;
    bytes[len++] = value;
}

static enum base_err unpack(const ProtobufCMessageDescriptor *type, bool may_borrow,
                            ProtobufCMessage **message)
{
    const struct snapi_unpack in = {type, bytes, len, ROOM, may_borrow};
    return snapi_message_unpack(arena, &in, message);
}

static const Snaptest__Ping *unpack_ping(bool may_borrow)
{
    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__ping__descriptor, may_borrow, &message), BASE_OK);
    return (const Snaptest__Ping *)message;
}

static bool finds(const ProtobufCMessageDescriptor *type)
{
    struct snapi_borrow borrow;
    return snapi_borrow_find(type, bytes, len, &borrow);
}

static void a_large_field_lies_where_it_arrived(void **state)
{
    (void)state;
    put_number(7);
    const uint8_t *at = put_bytes(TAG_PAYLOAD, LARGE, 0x5a);
    put_bytes(TAG_TEXT, 5, 't');
    const Snaptest__Ping *ping = unpack_ping(true);
    assert_ptr_equal(ping->payload.data, at);
    assert_int_equal(ping->payload.len, LARGE);
    assert_int_equal(ping->number, 7);
    assert_string_equal(ping->text, "ttttt");
}

static void it_may_be_the_first_the_last_or_the_only_one(void **state)
{
    (void)state;
    const uint8_t *at = put_bytes(TAG_PAYLOAD, LARGE, 1);
    assert_ptr_equal(unpack_ping(true)->payload.data, at);
    put_number(3);
    const Snaptest__Ping *ping = unpack_ping(true);
    assert_ptr_equal(ping->payload.data, at);
    assert_int_equal(ping->number, 3);
    len = 0;
    put_number(4);
    at = put_bytes(TAG_PAYLOAD, LARGE + 1, 2);
    ping = unpack_ping(true);
    assert_ptr_equal(ping->payload.data, at);
    assert_int_equal(ping->payload.len, LARGE + 1);
    assert_int_equal(ping->number, 4);
}

static void it_is_copied_where_borrowing_is_not_allowed_or_not_worth_it(void **state)
{
    (void)state;
    const uint8_t *at = put_bytes(TAG_PAYLOAD, LARGE, 1);
    const Snaptest__Ping *ping = unpack_ping(false);
    assert_ptr_not_equal(ping->payload.data, at);
    assert_memory_equal(ping->payload.data, at, LARGE);
    len = 0;
    put_bytes(TAG_TEXT, LARGE, 't');
    at = put_bytes(TAG_PAYLOAD, LARGE - 1, 1);
    ping = unpack_ping(true);
    assert_ptr_not_equal(ping->payload.data, at);
    assert_memory_equal(ping->payload.data, at, LARGE - 1);
}

static void a_kept_message_has_its_own_copy(void **state)
{
    (void)state;
    const uint8_t *at = put_bytes(TAG_PAYLOAD, LARGE, 0x11);
    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__ping__descriptor, true, &message), BASE_OK);
    snap_message_keep(message);
    snap_message_keep(message);
    memset(bytes, 0, ROOM);
    const Snaptest__Ping *ping = (const Snaptest__Ping *)message;
    assert_ptr_not_equal(ping->payload.data, at);
    assert_int_equal(ping->payload.len, LARGE);
    assert_int_equal(ping->payload.data[0], 0x11);
    assert_int_equal(ping->payload.data[LARGE - 1], 0x11);
    snap_message_free(message);
    arena = snapi_arena_take(pool);
}

static void of_a_field_that_comes_twice_the_last_one_counts(void **state)
{
    (void)state;
    put_bytes(TAG_PAYLOAD, LARGE, 1);
    put_bytes(TAG_PAYLOAD, 3, 2);
    assert_false(finds(&snaptest__ping__descriptor));
    const Snaptest__Ping *ping = unpack_ping(true);
    assert_int_equal(ping->payload.len, 3);
    assert_int_equal(ping->payload.data[0], 2);
    len = 0;
    put_bytes(TAG_PAYLOAD, 3, 2);
    put_bytes(TAG_PAYLOAD, LARGE, 1);
    ping = unpack_ping(true);
    assert_int_equal(ping->payload.len, LARGE);
    assert_int_equal(ping->payload.data[0], 1);
}

static void an_optional_field_has_its_flag_and_other_kinds_are_copied(void **state)
{
    (void)state;
    static const uint8_t words[] = {0x2d, 1, 2, 3, 4, 0x31, 1, 2, 3, 4, 5, 6, 7, 8};
    memcpy(bytes, words, sizeof(words));
    len = sizeof(words);
    const uint8_t *at = put_bytes(0x0a, LARGE, 1);
    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__places__descriptor, true, &message), BASE_OK);
    const Snaptest__Places *places = (const Snaptest__Places *)message;
    assert_true(places->has_maybe);
    assert_ptr_equal(places->maybe.data, at);
    assert_int_equal(places->word, 0x04030201);
    for (uint8_t tag = 0x12; tag <= 0x22; tag += 8) { /* repeated, and both of the oneof */
        len = 0;
        put_bytes(tag, LARGE, 1);
        assert_false(finds(&snaptest__places__descriptor));
        assert_int_equal(unpack(&snaptest__places__descriptor, true, &message), BASE_OK);
    }
    len = 0;
    put_bytes(0x0a, LARGE, 1);
    assert_false(finds(&snaptest__must__descriptor)); /* required: protobuf-c looks for it */
    assert_int_equal(unpack(&snaptest__must__descriptor, true, &message), BASE_OK);
}

static void what_is_cut_off_malformed_or_unknown_is_not_borrowed(void **state)
{
    (void)state;
    put_bytes(TAG_PAYLOAD, LARGE, 1);
    len--;
    assert_false(finds(&snaptest__ping__descriptor));
    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__ping__descriptor, true, &message), BASE_E_MALFORMED);
    len++;
    bytes[len++] = TAG_NUMBER; /* no value */
    assert_false(finds(&snaptest__ping__descriptor));
    bytes[len - 1] = 0x0b; /* a group */
    assert_false(finds(&snaptest__ping__descriptor));
    memset(bytes, 0xff, 16); /* a tag without end */
    assert_false(finds(&snaptest__ping__descriptor));
    len = 0;
    put_bytes(0x3a, LARGE, 1);
    assert_false(finds(&snaptest__ping__descriptor));
}

static void a_message_of_many_fields_is_not_walked_to_its_end(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < SNAPI_BORROW_FIELDS_MAX; i++) {
        put_number((uint8_t)i);
    }
    put_bytes(TAG_PAYLOAD, LARGE, 1);
    assert_true(finds(&snaptest__ping__descriptor));
    put_number(1);
    assert_false(finds(&snaptest__ping__descriptor));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void a_kept_message_may_be_freed_before_its_callback_returns(void **state)
{
    (void)state;
    bool is_kept = true;
    (void)put_bytes(TAG_PAYLOAD, LARGE, 'k');
    Snaptest__Ping *ping = (Snaptest__Ping *)(uintptr_t)unpack_ping(true);
    snapi_message_watch(&ping->base, &is_kept);
    assert_false(is_kept);
    snap_message_keep(&ping->base);
    snap_message_free(&ping->base);
    assert_true(is_kept);
    arena = snapi_arena_take(pool); /* for the teardown */
}

static void keeping_leaves_alone_what_the_application_put_there(void **state)
{
    (void)state;
    static uint8_t mine[4] = "mine";
    (void)put_bytes(TAG_PAYLOAD, LARGE, 'k');
    Snaptest__Ping *ping = (Snaptest__Ping *)(uintptr_t)unpack_ping(true);
    ping->payload = (ProtobufCBinaryData){.data = mine, .len = 3 * LARGE};
    snap_message_keep(&ping->base);
    assert_ptr_equal(ping->payload.data, mine);
}

/* protobuf-c reads five bytes of a tag or a length. */
static void an_overlong_length_is_refused_either_way(void **state)
{
    (void)state;
    static const uint8_t head[] = {TAG_PAYLOAD, 0x80, 0x80, 0x81, 0x80, 0x80, 0x00};
    memcpy(bytes, head, sizeof(head));
    memset(bytes + sizeof(head), 'x', LARGE);
    len = sizeof(head) + LARGE;
    ProtobufCMessage *message;
    for (int may_borrow = 0; may_borrow < 2; may_borrow++) {
        assert_int_equal(unpack(&snaptest__ping__descriptor, may_borrow, &message),
                         BASE_E_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_field_lies_where_it_arrived),
        TEST(it_may_be_the_first_the_last_or_the_only_one),
        TEST(it_is_copied_where_borrowing_is_not_allowed_or_not_worth_it),
        TEST(a_kept_message_has_its_own_copy),
        TEST(a_kept_message_may_be_freed_before_its_callback_returns),
        TEST(keeping_leaves_alone_what_the_application_put_there),
        TEST(an_overlong_length_is_refused_either_way),
        TEST(of_a_field_that_comes_twice_the_last_one_counts),
        TEST(an_optional_field_has_its_flag_and_other_kinds_are_copied),
        TEST(what_is_cut_off_malformed_or_unknown_is_not_borrowed),
        TEST(a_message_of_many_fields_is_not_walked_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
