/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/borrow.h"

enum {
    TAG_SHIFT = 3,
    VARINT_BYTES_MAX = 10,
    HEAD_BYTES_MAX = 5 /* of a tag or a length: what protobuf-c reads */
};

struct reader {
    const uint8_t *at, *end;
};

static bool read_varint(struct reader *from, uint32_t bytes_max, uint64_t *value)
{
    *value = 0;
    for (uint32_t i = 0; i < bytes_max && from->at < from->end; i++) {
        uint8_t byte = *from->at++;
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

static bool skip(struct reader *from, uint64_t bytes)
{
    if (bytes > (uint64_t)(from->end - from->at)) {
        return false;
    }
    from->at += bytes;
    return true;
}

/* The value of a field that is not length-prefixed. */
static bool skip_value(struct reader *from, uint32_t wire_type)
{
    uint64_t ignored;
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return read_varint(from, VARINT_BYTES_MAX, &ignored);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        return skip(from, 8);
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        return skip(from, 4);
    default:
        return false;
    }
}

/* Where one field is all of the value: not in a oneof, whose case another field may change, and not
 * required, which protobuf-c insists on seeing. */
static bool may_borrow(const ProtobufCFieldDescriptor *field)
{
    bool is_plain = field != NULL && field->type == PROTOBUF_C_TYPE_BYTES &&
                    (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0;
    return is_plain &&
           (field->label == PROTOBUF_C_LABEL_OPTIONAL || field->label == PROTOBUF_C_LABEL_NONE);
}

bool snapi_borrow_find(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                       struct snapi_borrow *borrow)
{
    struct reader from = {data, data + len};
    uint64_t found_tag = 0;
    borrow->field = NULL;
    for (uint32_t n = 0; from.at < from.end; n++) {
        const uint8_t *begin = from.at;
        uint64_t tag;
        uint64_t bytes;
        if (n == SNAPI_BORROW_FIELDS_MAX || !read_varint(&from, HEAD_BYTES_MAX, &tag) ||
            tag > UINT32_MAX) {
            return false;
        }
        if (borrow->field != NULL && tag >> TAG_SHIFT == found_tag >> TAG_SHIFT) {
            return false; /* twice: the last one counts, and protobuf-c knows which */
        }
        if ((tag & 7) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
            if (!skip_value(&from, (uint32_t)tag & 7)) {
                return false;
            }
            continue;
        }
        if (!read_varint(&from, HEAD_BYTES_MAX, &bytes)) {
            return false;
        }
        const uint8_t *value = from.at;
        if (!skip(&from, bytes)) {
            return false;
        }
        if (bytes < SNAPI_BORROW_MIN_BYTES || borrow->field != NULL) {
            continue;
        }
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> TAG_SHIFT));
        if (may_borrow(field)) {
            found_tag = tag;
            *borrow = (struct snapi_borrow){.field = field,
                                            .data = value,
                                            .len = (size_t)bytes,
                                            .begin = (size_t)(begin - data),
                                            .end = (size_t)(from.at - data)};
        }
    }
    return borrow->field != NULL;
}

void snapi_borrow_set(const struct snapi_borrow *borrow, ProtobufCMessage *message)
{
    ProtobufCBinaryData *bytes = snapi_borrow_field(borrow->field, message);
    /* protobuf-c has no const; who may not write is said in channel.h. */
    bytes->data = (uint8_t *)(uintptr_t)borrow->data;
    bytes->len = borrow->len;
    if (borrow->field->quantifier_offset != 0) {
        uint8_t *has = (uint8_t *)message + borrow->field->quantifier_offset;
        *(protobuf_c_boolean *)(void *)has = 1;
    }
}
