/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/flat.h"

#include "base/rng.h"
#include "test_messages.pb-c.h"
#include "test_optional.pb-c.h"
#include "test_places.pb-c.h"
#include "tests/support/cmocka_all.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What protobuf-c does is what is right. */
enum {
    ROUNDS = 20000,
    BYTES_MAX = 4096,
    TEXT_MAX = 200
};

static struct base_arena arena;
static struct base_rng rng;

static int setup(void **state)
{
    (void)state;
    base_arena_init(&arena, 8192, SIZE_MAX);
    base_rng_init(&rng, 0x5eed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    base_arena_fini(&arena);
    return 0;
}

/* NULL: left to protobuf-c. */
static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                size_t len)
{
    if (!snapi_flat_may_unpack(type, len)) {
        return NULL;
    }
    ProtobufCMessage *message = base_arena_alloc(&arena, type->sizeof_message);
    assert_non_null(message);
    return snapi_flat_unpack(&arena, type, data, len, message) ? message : NULL;
}

/* All values, or one at an edge. */
static uint64_t some_value(void)
{
    static const uint64_t edges[] = {0, 1, 127, 128, INT32_MAX, 1u << 31, UINT32_MAX, 1ull << 63};
    uint64_t pick = base_rng_below(&rng, 16);
    return pick < 8 ? edges[pick] : base_rng_u64(&rng) >> base_rng_below(&rng, 64);
}

static double some_double(void)
{
    static const double edges[] = {0.0, -0.0, 1.5, -DBL_MAX, DBL_MIN, (double)NAN, INFINITY, -1.0};
    return edges[base_rng_below(&rng, 8)];
}

static char *some_text(char *room)
{
    size_t len = base_rng_below(&rng, 4) == 0 ? 0 : base_rng_below(&rng, TEXT_MAX);
    memset(room, 'x', len);
    room[len] = '\0';
    return room;
}

static ProtobufCBinaryData some_bytes(uint8_t *room)
{
    size_t len = base_rng_below(&rng, 4) == 0 ? 0 : base_rng_below(&rng, TEXT_MAX);
    memset(room, 0xee, len);
    return (ProtobufCBinaryData){.len = len, .data = len > 0 ? room : NULL};
}

struct room {
    char text[TEXT_MAX];
    uint8_t data[TEXT_MAX];
};

static void fill(Snaptest__Values *v, struct room *room)
{
    snaptest__values__init(v);
    v->int32 = (int32_t)some_value();
    v->sint32 = (int32_t)some_value();
    v->sfixed32 = (int32_t)some_value();
    v->int64 = (int64_t)some_value();
    v->sint64 = (int64_t)some_value();
    v->sfixed64 = (int64_t)some_value();
    v->uint32 = (uint32_t)some_value();
    v->fixed32 = (uint32_t)some_value();
    v->uint64 = some_value();
    v->fixed64 = some_value();
    v->float_ = (float)some_double();
    v->double_ = some_double();
    v->bool_ = (protobuf_c_boolean)base_rng_below(&rng, 3);
    v->color = (Snaptest__Color)some_value();
    v->text = base_rng_below(&rng, 4) == 0 ? v->text : some_text(room->text);
    v->data = some_bytes(room->data);
}

static void fill_maybe(Snaptest__Maybe *v, struct room *room)
{
    snaptest__maybe__init(v);
    v->has_int32 = (protobuf_c_boolean)base_rng_below(&rng, 2);
    v->int32 = (int32_t)some_value();
    v->has_sint64 = (protobuf_c_boolean)base_rng_below(&rng, 2);
    v->sint64 = (int64_t)some_value();
    v->has_double_ = (protobuf_c_boolean)base_rng_below(&rng, 2);
    v->double_ = some_double();
    v->has_bool_ = (protobuf_c_boolean)base_rng_below(&rng, 2);
    v->bool_ = (protobuf_c_boolean)base_rng_below(&rng, 3);
    v->text = base_rng_below(&rng, 2) == 0 ? v->text : some_text(room->text);
    v->has_data = (protobuf_c_boolean)base_rng_below(&rng, 2);
    v->data = some_bytes(room->data);
}

/* One or the other. */
static const ProtobufCMessageDescriptor *fill_any(ProtobufCMessage **message)
{
    static Snaptest__Values values;
    static Snaptest__Maybe maybe;
    static struct room room;
    if (base_rng_below(&rng, 2) == 0) {
        fill(&values, &room);
        *message = &values.base;
    } else {
        fill_maybe(&maybe, &room);
        *message = &maybe.base;
    }
    return (*message)->descriptor;
}

static size_t pack_both(const ProtobufCMessage *message, uint8_t *bytes)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    assert_in_range(size, 0, BYTES_MAX);
    assert_int_equal(snapi_flat_size(message), size);
    uint8_t want[BYTES_MAX];
    (void)protobuf_c_message_pack(message, want);
    memset(bytes, 0xaa, BYTES_MAX);
    assert_true(snapi_flat_pack(message, bytes));
    assert_memory_equal(bytes, want, size);
    return size;
}

/* Both decode it, and to the same, or the flat one leaves it. */
static void unpack_both(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                        bool must_be_flat)
{
    ProtobufCMessage *got = unpack(type, data, len);
    ProtobufCMessage *want = protobuf_c_message_unpack(type, NULL, len, data);
    assert_true(got != NULL || !must_be_flat);
    if (got != NULL) {
        assert_non_null(want);
        assert_int_equal(want->n_unknown_fields, 0);
        size_t size = protobuf_c_message_get_packed_size(want);
        assert_int_equal(protobuf_c_message_get_packed_size(got), size);
        uint8_t bytes[2][BYTES_MAX];
        assert_in_range(size, 0, BYTES_MAX);
        (void)protobuf_c_message_pack(want, bytes[0]);
        (void)protobuf_c_message_pack(got, bytes[1]);
        assert_memory_equal(bytes[0], bytes[1], size);
    }
    if (want != NULL) {
        protobuf_c_message_free_unpacked(want, NULL);
    }
    base_arena_reset(&arena);
}

static void values_are_coded_as_protobuf_c_does(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        ProtobufCMessage *message;
        uint8_t bytes[BYTES_MAX];
        const ProtobufCMessageDescriptor *type = fill_any(&message);
        size_t size = pack_both(message, bytes);
        unpack_both(type, bytes, size, true);
    }
}

static void damaged_bytes_are_left_alone_or_decoded_to_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        ProtobufCMessage *message;
        uint8_t bytes[BYTES_MAX];
        const ProtobufCMessageDescriptor *type = fill_any(&message);
        size_t size = pack_both(message, bytes);
        for (uint64_t n = base_rng_below(&rng, 3); size > 0 && n < 3; n++) {
            uint8_t *at = &bytes[base_rng_below(&rng, size)];
            *at = base_rng_below(&rng, 2) == 0 ? (uint8_t)base_rng_u64(&rng)
                                               : (uint8_t)(*at ^ 1u << base_rng_below(&rng, 8));
        }
        if (base_rng_below(&rng, 4) == 0) {
            size = base_rng_below(&rng, size + 1);
        }
        unpack_both(type, bytes, size, false);
    }
}

static void a_cut_value_is_not_read_past_its_end(void **state)
{
    (void)state;
    struct room room;
    Snaptest__Values values;
    uint8_t bytes[BYTES_MAX];
    fill(&values, &room);
    size_t size = pack_both(&values.base, bytes);
    for (size_t len = 0; len <= size; len++) {
        uint8_t *cut = test_malloc(len + 1); /* the sanitizer sees a read behind it */
        memcpy(cut, bytes, len);
        unpack_both(&snaptest__values__descriptor, cut, len, len == size);
        test_free(cut);
    }
}

static void the_last_of_several_counts(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x7a, 1, 'a', 8, 5, 0x7a, 2, 'b', 'c', 8, 6};
    unpack_both(&snaptest__values__descriptor, bytes, sizeof(bytes), true);
}

static void varints_of_ten_bytes_are_read_or_left(void **state)
{
    (void)state;
    uint8_t bytes[] = {8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    unpack_both(&snaptest__values__descriptor, bytes, sizeof(bytes), true);
    bytes[10] = 2; /* a 65th bit: protobuf-c has its own view of it */
    unpack_both(&snaptest__values__descriptor, bytes, sizeof(bytes), false);
    assert_null(unpack(&snaptest__values__descriptor, bytes, sizeof(bytes)));
    bytes[10] = 0x80;
    unpack_both(&snaptest__values__descriptor, bytes, sizeof(bytes), false);
}

static void what_is_not_flat_is_left_to_protobuf_c(void **state)
{
    (void)state;
    Snaptest__Tree tree = SNAPTEST__TREE__INIT;
    Snaptest__Choice choice = SNAPTEST__CHOICE__INIT;
    uint8_t bytes[16];
    assert_int_equal(snapi_flat_size(&tree.base), SNAPI_NOT_FLAT);
    assert_int_equal(snapi_flat_size(&choice.base), SNAPI_NOT_FLAT);
    assert_false(snapi_flat_pack(&tree.base, bytes));
    assert_false(snapi_flat_pack(&choice.base, bytes));
    static const uint8_t child[] = {0x0a, 0};
    static const uint8_t number[] = {0x10, 1};
    assert_null(unpack(&snaptest__tree__descriptor, child, sizeof(child)));
    assert_null(unpack(&snaptest__choice__descriptor, number, sizeof(number)));
}

static void unknown_fields_are_left_to_protobuf_c(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {8, 5, 0x90, 1, 7}; /* 1: 5, 18: 7 */
    assert_null(unpack(&snaptest__values__descriptor, bytes, sizeof(bytes)));
    Snaptest__Values values = SNAPTEST__VALUES__INIT;
    values.base.n_unknown_fields = 1;
    assert_int_equal(snapi_flat_size(&values.base), SNAPI_NOT_FLAT);
    uint8_t out[16];
    assert_false(snapi_flat_pack(&values.base, out));
}

static void long_messages_are_left_to_protobuf_c(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type = &snaptest__values__descriptor;
    assert_true(snapi_flat_may_unpack(type, SNAPI_FLAT_BYTES_MAX));
    assert_false(snapi_flat_may_unpack(type, SNAPI_FLAT_BYTES_MAX + 1));
    ProtobufCMessageDescriptor large = *type;
    large.sizeof_message = SNAPI_FLAT_STRUCT_MAX + 1;
    assert_false(snapi_flat_may_unpack(&large, 1));
}

static void required_fields_are_left_to_protobuf_c(void **state)
{
    (void)state;
    Snaptest__Must must = SNAPTEST__MUST__INIT;
    assert_int_equal(snapi_flat_size(&must.base), SNAPI_NOT_FLAT);
    assert_false(snapi_flat_may_unpack(&snaptest__must__descriptor, 0));
}

static void no_memory_for_a_text_is_no_crash(void **state)
{
    (void)state;
    struct base_arena small;
    base_arena_init(&small, 16, 16);
    static const uint8_t bytes[] = {0x7a, 3, 'a', 'b', 'c', 0x7a, 3, 'a', 'b', 'c'};
    Snaptest__Values values;
    assert_false(snapi_flat_unpack(&small, &snaptest__values__descriptor, bytes, sizeof(bytes),
                                   &values.base));
    base_arena_fini(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_coded_as_protobuf_c_does),
        cmocka_unit_test(damaged_bytes_are_left_alone_or_decoded_to_the_same),
        cmocka_unit_test(a_cut_value_is_not_read_past_its_end),
        cmocka_unit_test(the_last_of_several_counts),
        cmocka_unit_test(varints_of_ten_bytes_are_read_or_left),
        cmocka_unit_test(what_is_not_flat_is_left_to_protobuf_c),
        cmocka_unit_test(unknown_fields_are_left_to_protobuf_c),
        cmocka_unit_test(long_messages_are_left_to_protobuf_c),
        cmocka_unit_test(required_fields_are_left_to_protobuf_c),
        cmocka_unit_test(no_memory_for_a_text_is_no_crash),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
