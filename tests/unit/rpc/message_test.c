/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/message.h"

#include "base/compiler.h"
#include "test_messages.pb-c.h"
#include "tests/support/cmocka_all.h"

#include <snaprpc/channel.h>

#include <stdlib.h>
#include <string.h>

enum {
    MIB = 1024 * 1024
};

static struct snapi_arena_pool *pool;
static struct snapi_arena *arena;

static int setup(void **state)
{
    (void)state;
    pool = snapi_arena_pool_open();
    arena = snapi_arena_take(pool);
    return arena == NULL;
}

static int teardown(void **state)
{
    (void)state;
    snapi_arena_give(arena);
    snapi_arena_pool_close(pool);
    return 0;
}

static enum base_err unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
                            ProtobufCMessage **message)
{
    const struct snapi_unpack in = {
        .type = type, .data = data, .len = len, .max_message_bytes = 64 * (size_t)MIB};
    return snapi_message_unpack(arena, &in, message);
}

static void a_message_comes_back_as_it_was_packed(void **state)
{
    (void)state;
    Snaptest__Ping ping = SNAPTEST__PING__INIT;
    ping.number = -5;
    ping.text = (char *)"hello";
    ping.payload.data = (uint8_t *)"\0\1\2";
    ping.payload.len = 3;
    uint8_t bytes[64];
    size_t size = snapi_message_size(&ping.base);
    assert_in_range(size, 1, sizeof(bytes));
    snapi_message_pack(&ping.base, size, bytes);

    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__ping__descriptor, bytes, size, &message), BASE_OK);
    const Snaptest__Ping *got = (const Snaptest__Ping *)message;
    assert_int_equal(got->number, -5);
    assert_string_equal(got->text, "hello");
    assert_memory_equal(got->payload.data, "\0\1\2", 3);
    assert_int_equal((uintptr_t)message % 16, 0);
}

static Snaptest__Ping ping_with(uint8_t *payload, size_t len)
{
    Snaptest__Ping ping = SNAPTEST__PING__INIT;
    ping.number = -5;
    ping.text = (char *)"hello";
    ping.payload.data = payload;
    ping.payload.len = len;
    return ping;
}

/* Long ones are packed piece by piece. */
static void packing_is_the_same_whatever_the_length(void **state)
{
    (void)state;
    static uint8_t payload[70000], bytes[80000], expected[80000];
    for (size_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)(i * 7 + i / 256);
    }
    static const size_t lengths[] = {0, 2000, 4072, 4080, 4096, 65536, sizeof(payload)};
    for (size_t i = 0; i < BASE_ARRAY_LEN(lengths); i++) {
        const Snaptest__Ping ping = ping_with(payload, lengths[i]);
        size_t size = snapi_message_size(&ping.base);
        assert_int_equal(protobuf_c_message_pack(&ping.base, expected), size);
        memset(bytes, 0xa5, sizeof(bytes));
        snapi_message_pack(&ping.base, size, bytes);
        assert_memory_equal(bytes, expected, size);
        assert_int_equal(bytes[size], 0xa5);
    }
}

/* Nested ones too: protobuf-c measures those by itself. */
static void an_attempt_to_pack_measures_and_packs_what_fits(void **state)
{
    (void)state;
    static uint8_t payload[1000], bytes[2000], expected[2000];
    memset(payload, 0x5b, sizeof(payload));
    static const size_t lengths[] = {0, 1, 2, 3, 4, 15, 127, 128, sizeof(payload)};
    for (size_t i = 0; i < BASE_ARRAY_LEN(lengths); i++) {
        const Snaptest__Ping ping = ping_with(payload, lengths[i]);
        size_t size = protobuf_c_message_pack(&ping.base, expected);
        const size_t rooms[] = {size, size + 1, sizeof(bytes), size - 1, 1, 0};
        for (size_t j = 0; j < BASE_ARRAY_LEN(rooms); j++) {
            memset(bytes, 0xa5, sizeof(bytes));
            assert_int_equal(snapi_message_try_pack(&ping.base, bytes, rooms[j]), size);
            assert_int_equal(bytes[base_min_size(size, rooms[j])], 0xa5);
            if (rooms[j] >= size) {
                assert_memory_equal(bytes, expected, size);
            }
        }
    }
    Snaptest__Tree leaf = SNAPTEST__TREE__INIT;
    Snaptest__Tree *leaves[] = {&leaf, &leaf, &leaf};
    Snaptest__Tree tree = SNAPTEST__TREE__INIT;
    tree.n_child = BASE_ARRAY_LEN(leaves);
    tree.child = leaves;
    size_t size = protobuf_c_message_pack(&tree.base, expected);
    assert_int_equal(snapi_message_try_pack(&tree.base, bytes, sizeof(bytes)), size);
    assert_memory_equal(bytes, expected, size);
}

static void packing_keeps_to_the_size_it_was_told(void **state)
{
    (void)state;
    static uint8_t payload[70000], bytes[80000];
    Snaptest__Ping ping = SNAPTEST__PING__INIT;
    ping.payload.data = payload;
    ping.payload.len = 60000;
    size_t size = snapi_message_size(&ping.base);
    ping.payload.len = sizeof(payload); /* another thread's mistake */
    memset(bytes, 0xa5, sizeof(bytes));
    snapi_message_pack(&ping.base, size, bytes);
    assert_int_equal(bytes[size], 0xa5);
}

static void an_empty_message_takes_no_bytes(void **state)
{
    (void)state;
    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__empty__descriptor, "", 0, &message), BASE_OK);
    assert_int_equal(snapi_message_size(message), 0);
}

static void a_response_is_freed_by_itself_after_its_loop(void **state)
{
    (void)state;
    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__ping__descriptor, "\x08\x07", 2, &message), BASE_OK);
    assert_ptr_equal(snapi_message_arena(message), arena);
    bool is_kept = true;
    snapi_message_watch(message, &is_kept);
    assert_false(is_kept);
    snap_message_keep(message);
    assert_true(is_kept);
    snapi_arena_pool_close(pool);
    assert_int_equal(((Snaptest__Ping *)message)->number, 7);
    snap_message_free(message);
    assert_int_equal(setup(state), 0);
}

static void no_response_is_fine_to_free(void **state)
{
    (void)state;
    snap_message_free(NULL);
    snap_message_keep(NULL);
}

static void what_is_not_of_the_type_is_malformed(void **state)
{
    (void)state;
    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__ping__descriptor, "\x12\x05xx", 4, &message),
                     BASE_E_MALFORMED);
    assert_null(message);
    assert_non_null(strstr(base_error_last_note(), "snaptest.Ping"));
}

static void a_message_past_the_limit_is_refused(void **state)
{
    (void)state;
    ProtobufCMessage *message;
    struct snapi_unpack in = {.type = &snaptest__ping__descriptor,
                              .data = (const uint8_t *)"\x08\x07",
                              .len = 2,
                              .max_message_bytes = 2};
    assert_int_equal(snapi_message_unpack(arena, &in, &message), BASE_OK);
    in.max_message_bytes = 1;
    assert_int_equal(snapi_message_unpack(arena, &in, &message), BASE_E_LIMIT);
    assert_non_null(strstr(base_error_last_note(), "max_message_bytes"));
}

/* `depth` trees, each within the other; returns the bytes. */
static size_t nest(uint8_t *end, size_t depth)
{
    size_t len = 0;
    for (size_t i = 1; i < depth; i++) {
        uint8_t head[12];
        size_t n = 0;
        head[n++] = 0x0a;
        for (size_t v = len; n == 1 || v > 0; v >>= 7) {
            head[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        }
        len += n;
        memcpy(end - len, head, n);
    }
    return len;
}

static void deep_nesting_is_a_limit_and_not_a_crash(void **state)
{
    (void)state;
    uint8_t *room = malloc(8 * MIB);
    ProtobufCMessage *message;
    size_t len = nest(room + 8 * MIB, 50);
    assert_int_equal(unpack(&snaptest__tree__descriptor, room + 8 * MIB - len, len, &message),
                     BASE_OK);
    len = nest(room + 8 * MIB, 1000000);
    assert_int_equal(unpack(&snaptest__tree__descriptor, room + 8 * MIB - len, len, &message),
                     BASE_E_LIMIT);
    assert_non_null(strstr(base_error_last_note(), "nested"));
    free(room);
}

static void bytes_that_blow_up_in_memory_are_a_limit(void **state)
{
    (void)state;
    /* Two bytes each, an object each. */
    size_t len = 16 * MIB;
    uint8_t *bytes = malloc(len);
    for (size_t i = 0; i < len; i += 2) {
        bytes[i] = 0x0a;
        bytes[i + 1] = 0;
    }
    ProtobufCMessage *message;
    assert_int_equal(unpack(&snaptest__tree__descriptor, bytes, len, &message), BASE_E_LIMIT);
    assert_int_equal(unpack(&snaptest__tree__descriptor, bytes, 20000, &message), BASE_OK);
    assert_int_equal(((Snaptest__Tree *)message)->n_child, 10000);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_comes_back_as_it_was_packed, setup, teardown),
        cmocka_unit_test(packing_is_the_same_whatever_the_length),
        cmocka_unit_test(an_attempt_to_pack_measures_and_packs_what_fits),
        cmocka_unit_test(packing_keeps_to_the_size_it_was_told),
        cmocka_unit_test_setup_teardown(an_empty_message_takes_no_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_response_is_freed_by_itself_after_its_loop, setup,
                                        teardown),
        cmocka_unit_test(no_response_is_fine_to_free),
        cmocka_unit_test_setup_teardown(what_is_not_of_the_type_is_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_past_the_limit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_nesting_is_a_limit_and_not_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_blow_up_in_memory_are_a_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
