/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/wire.h"

/* Field numbers in plugin.proto and descriptor.proto. */
enum {
    REQUEST_PARAMETER = 2,
    REQUEST_PROTO_FILE = 15,
    FILE_SERVICE = 6,
};

bool gen_wire_varint(struct gen_wire_span *rest, uint64_t *value)
{
    uint64_t result = 0;
    for (size_t i = 0; i < rest->len && i < 10; i++) {
        uint8_t byte = rest->start[i];
        result |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            rest->start += i + 1;
            rest->len -= i + 1;
            *value = result;
            return true;
        }
    }
    return false;
}

static bool skip(struct gen_wire_span *rest, uint64_t len)
{
    if (len > rest->len) {
        return false;
    }
    rest->start += len;
    rest->len -= (size_t)len;
    return true;
}

static bool read_value(struct gen_wire_span *rest, struct gen_wire_field *field)
{
    uint64_t len = 0;
    switch (field->type) {
    case GEN_WIRE_VARINT:
        return gen_wire_varint(rest, &field->value);
    case GEN_WIRE_64BIT:
        return skip(rest, 8);
    case GEN_WIRE_LEN:
        if (!gen_wire_varint(rest, &len)) {
            return false;
        }
        field->payload.start = rest->start;
        field->payload.len = (size_t)len;
        return skip(rest, len);
    case GEN_WIRE_32BIT:
        return skip(rest, 4);
    default:
        return false;
    }
}

bool gen_wire_next(struct gen_wire_span *rest, struct gen_wire_field *field)
{
    struct gen_wire_span after = *rest;
    struct gen_wire_field result = {.whole.start = rest->start};
    uint64_t tag = 0;
    if (!gen_wire_varint(&after, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
        return false;
    }
    result.number = (uint32_t)tag >> 3;
    result.type = (uint32_t)tag & 7;
    if (!read_value(&after, &result)) {
        return false;
    }
    result.whole.len = rest->len - after.len;
    *rest = after;
    *field = result;
    return true;
}

static bool is_safe_at(const ProtobufCMessageDescriptor *type, struct gen_wire_span rest,
                       unsigned depth)
{
    if (depth > GEN_WIRE_DEPTH_MAX) {
        return false;
    }
    struct gen_wire_field field;
    while (gen_wire_next(&rest, &field)) {
        const ProtobufCFieldDescriptor *known =
            protobuf_c_message_descriptor_get_field(type, field.number);
        if (known == NULL || known->type != PROTOBUF_C_TYPE_MESSAGE || field.type != GEN_WIRE_LEN) {
            continue;
        }
        if (!is_safe_at(known->descriptor, field.payload, depth + 1)) {
            return false;
        }
    }
    return rest.len == 0;
}

bool gen_wire_is_safe(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len)
{
    return is_safe_at(type, (struct gen_wire_span){bytes, len}, 1);
}

bool gen_wire_drop_field(struct gen_wire_span message, uint32_t number, struct gen_text *out)
{
    struct gen_wire_span rest = message;
    struct gen_wire_field field;
    while (gen_wire_next(&rest, &field)) {
        if (field.number != number) {
            gen_text_put(out, field.whole.start, field.whole.len);
        }
    }
    return rest.len == 0 && !out->is_cut;
}

static void put_varint(struct gen_text *out, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        gen_text_put(out, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

bool gen_wire_drop_services(const uint8_t *request, size_t len, struct gen_text *out)
{
    struct gen_wire_span rest = {request, len};
    struct gen_wire_field field;
    while (gen_wire_next(&rest, &field)) {
        if (field.number == REQUEST_PROTO_FILE && field.type == GEN_WIRE_LEN) {
            struct gen_text file = {0};
            bool is_good = gen_wire_drop_field(field.payload, FILE_SERVICE, &file);
            put_varint(out, (REQUEST_PROTO_FILE << 3) | GEN_WIRE_LEN);
            put_varint(out, file.len);
            gen_text_put(out, file.data, file.len);
            gen_text_fini(&file);
            if (!is_good) {
                return false;
            }
        } else if (field.number != REQUEST_PARAMETER) {
            gen_text_put(out, field.whole.start, field.whole.len);
        }
    }
    return rest.len == 0 && !out->is_cut;
}
