/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/wire.h"

#include "google/protobuf/compiler/plugin.pb-c.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

#define SPAN(...) \
    ((struct gen_wire_span){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

static void varint_takes_one_to_ten_bytes(void **state)
{
    (void)state;
    uint64_t value = 0;
    struct gen_wire_span rest = SPAN(0x7f, 0xac, 0x02);
    assert_true(gen_wire_varint(&rest, &value));
    assert_int_equal(value, 127);
    assert_true(gen_wire_varint(&rest, &value));
    assert_int_equal(value, 300);
    assert_int_equal(rest.len, 0);
    rest = SPAN(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    assert_true(gen_wire_varint(&rest, &value));
    assert_true(value == UINT64_MAX);
}

static void varint_refuses_eleven_bytes_and_a_cut(void **state)
{
    (void)state;
    uint64_t value = 0;
    struct gen_wire_span rest =
        SPAN(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00);
    assert_false(gen_wire_varint(&rest, &value));
    assert_int_equal(rest.len, 11);
    rest = SPAN(0x80);
    assert_false(gen_wire_varint(&rest, &value));
    rest.len = 0;
    assert_false(gen_wire_varint(&rest, &value));
}

static void next_takes_fields_of_every_type(void **state)
{
    (void)state;
    struct gen_wire_span rest = SPAN(0x08, 0x96, 0x01,                    /* 1: 150 */
                                     0x11, 1, 2, 3, 4, 5, 6, 7, 8,        /* 2: 64 bits */
                                     0x1a, 0x02, 'h', 'i',                /* 3: "hi" */
                                     0x25, 1, 2, 3, 4,                    /* 4: 32 bits */
                                     0xf8, 0xff, 0xff, 0xff, 0x0f, 0x00); /* max: 0 */
    struct gen_wire_field field;
    assert_true(gen_wire_next(&rest, &field));
    assert_int_equal(field.number, 1);
    assert_int_equal(field.value, 150);
    assert_int_equal(field.whole.len, 3);
    assert_true(gen_wire_next(&rest, &field));
    assert_int_equal(field.whole.len, 9);
    assert_true(gen_wire_next(&rest, &field));
    assert_int_equal(field.payload.len, 2);
    assert_memory_equal(field.payload.start, "hi", 2);
    assert_int_equal(field.whole.len, 4);
    assert_true(gen_wire_next(&rest, &field));
    assert_int_equal(field.whole.len, 5);
    assert_true(gen_wire_next(&rest, &field));
    assert_int_equal(field.number, (1u << 29) - 1);
    assert_int_equal(rest.len, 0);
    assert_false(gen_wire_next(&rest, &field));
}

static void assert_refused(struct gen_wire_span rest)
{
    size_t len = rest.len;
    struct gen_wire_field field;
    assert_false(gen_wire_next(&rest, &field));
    assert_int_equal(rest.len, len);
}

static void next_refuses_what_is_malformed(void **state)
{
    (void)state;
    assert_refused(SPAN(0x00, 0x00));                         /* number 0 */
    assert_refused(SPAN(0x0b));                               /* group */
    assert_refused(SPAN(0x0c));                               /* end of group */
    assert_refused(SPAN(0x0e));                               /* type 6 */
    assert_refused(SPAN(0x0f));                               /* type 7 */
    assert_refused(SPAN(0x08));                               /* no value */
    assert_refused(SPAN(0x09, 1, 2, 3, 4, 5, 6, 7));          /* 7 of 8 bytes */
    assert_refused(SPAN(0x0d, 1, 2, 3));                      /* 3 of 4 bytes */
    assert_refused(SPAN(0x0a, 0x02, 'h'));                    /* 1 of 2 bytes */
    assert_refused(SPAN(0x80, 0x80, 0x80, 0x80, 0x10, 0x00)); /* tag of 33 bits */
    assert_refused(SPAN(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01));
}

/* Encodes `depth` messages within each other, the innermost empty, the outermost a
 * DescriptorProto; returns the length. Lengths stay below 16384. */
static size_t nest(uint8_t *out, size_t depth)
{
    enum {
        NESTED_TYPE = 3
    };

    size_t len = 0;
    for (size_t i = 1; i < depth; i++) {
        size_t header = len < 128 ? 2 : 3;
        memmove(out + header, out, len);
        out[0] = (NESTED_TYPE << 3) | GEN_WIRE_LEN;
        if (header == 2) {
            out[1] = (uint8_t)len;
        } else {
            out[1] = (uint8_t)(len & 0x7f) | 0x80;
            out[2] = (uint8_t)(len >> 7);
        }
        len += header;
    }
    return len;
}

static void nesting_is_safe_up_to_the_limit(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    const ProtobufCMessageDescriptor *type = &google__protobuf__descriptor_proto__descriptor;
    size_t len = nest(bytes, GEN_WIRE_DEPTH_MAX);
    assert_true(gen_wire_is_safe(type, bytes, len));
    len = nest(bytes, GEN_WIRE_DEPTH_MAX + 1);
    assert_false(gen_wire_is_safe(type, bytes, len));
}

static void message_that_ends_early_is_not_safe(void **state)
{
    (void)state;
    uint8_t bytes[256]; /* gcc thinks it could need more than it does */
    const ProtobufCMessageDescriptor *type = &google__protobuf__descriptor_proto__descriptor;
    size_t len = nest(bytes, 5);
    assert_true(gen_wire_is_safe(type, bytes, len));
    for (size_t cut = 1; cut < len; cut++) {
        assert_false(gen_wire_is_safe(type, bytes, len - cut));
    }
    assert_true(gen_wire_is_safe(type, bytes, 0));
}

static void drop_services_keeps_all_else(void **state)
{
    (void)state;
    struct gen_wire_span request = SPAN(0x0a, 0x01, 'a',      /* file_to_generate: "a" */
                                        0x12, 0x01, 'p',      /* parameter: "p" */
                                        0x7a, 0x09,           /* proto_file */
                                        0x0a, 0x01, 'a',      /*   name: "a" */
                                        0x32, 0x00,           /*   service: empty */
                                        0x62, 0x02, 'p', '3', /*   syntax: "p3" */
                                        0x7a, 0x02,           /* proto_file */
                                        0x32, 0x00);          /*   service: empty */
    struct gen_wire_span expected =
        SPAN(0x0a, 0x01, 'a', 0x7a, 0x07, 0x0a, 0x01, 'a', 0x62, 0x02, 'p', '3', 0x7a, 0x00);
    struct gen_text out = {0};
    assert_true(gen_wire_drop_services(request.start, request.len, &out));
    assert_int_equal(out.len, expected.len);
    assert_memory_equal(out.data, expected.start, expected.len);
    gen_text_fini(&out);
}

static void drop_services_refuses_a_malformed_file(void **state)
{
    (void)state;
    struct gen_wire_span request = SPAN(0x7a, 0x02, 0x32, 0x01);
    struct gen_text out = {0};
    assert_false(gen_wire_drop_services(request.start, request.len, &out));
    gen_text_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varint_takes_one_to_ten_bytes),
        cmocka_unit_test(varint_refuses_eleven_bytes_and_a_cut),
        cmocka_unit_test(next_takes_fields_of_every_type),
        cmocka_unit_test(next_refuses_what_is_malformed),
        cmocka_unit_test(nesting_is_safe_up_to_the_limit),
        cmocka_unit_test(message_that_ends_early_is_not_safe),
        cmocka_unit_test(drop_services_keeps_all_else),
        cmocka_unit_test(drop_services_refuses_a_malformed_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
