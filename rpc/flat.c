/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/flat.h"

#include "base/compiler.h"
#include "base/endian.h"

#include <string.h>

enum {
    TAG_SHIFT = 3,
    WIRE_MASK = 7,
    VARINT_BYTES_MAX = 10,
    HEAD_BYTES_MAX = 5 /* of a tag or a length: what protobuf-c reads */
};

static bool is_flat(const ProtobufCFieldDescriptor *field)
{
    return (field->label == PROTOBUF_C_LABEL_NONE || field->label == PROTOBUF_C_LABEL_OPTIONAL) &&
           field->type < PROTOBUF_C_TYPE_MESSAGE &&
           (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0;
}

/* How the types are encoded, and how wide their members are. */
static const struct coding {
    uint8_t wire_type;
    uint8_t member_bytes; /* 4, 8; 0: a string or bytes */
    bool is_float;        /* -0.0 is zero too */
} codings[] = {
    [PROTOBUF_C_TYPE_INT32] = {PROTOBUF_C_WIRE_TYPE_VARINT, 4, false},
    [PROTOBUF_C_TYPE_SINT32] = {PROTOBUF_C_WIRE_TYPE_VARINT, 4, false},
    [PROTOBUF_C_TYPE_SFIXED32] = {PROTOBUF_C_WIRE_TYPE_32BIT, 4, false},
    [PROTOBUF_C_TYPE_INT64] = {PROTOBUF_C_WIRE_TYPE_VARINT, 8, false},
    [PROTOBUF_C_TYPE_SINT64] = {PROTOBUF_C_WIRE_TYPE_VARINT, 8, false},
    [PROTOBUF_C_TYPE_SFIXED64] = {PROTOBUF_C_WIRE_TYPE_64BIT, 8, false},
    [PROTOBUF_C_TYPE_UINT32] = {PROTOBUF_C_WIRE_TYPE_VARINT, 4, false},
    [PROTOBUF_C_TYPE_FIXED32] = {PROTOBUF_C_WIRE_TYPE_32BIT, 4, false},
    [PROTOBUF_C_TYPE_UINT64] = {PROTOBUF_C_WIRE_TYPE_VARINT, 8, false},
    [PROTOBUF_C_TYPE_FIXED64] = {PROTOBUF_C_WIRE_TYPE_64BIT, 8, false},
    [PROTOBUF_C_TYPE_FLOAT] = {PROTOBUF_C_WIRE_TYPE_32BIT, 4, true},
    [PROTOBUF_C_TYPE_DOUBLE] = {PROTOBUF_C_WIRE_TYPE_64BIT, 8, true},
    [PROTOBUF_C_TYPE_BOOL] = {PROTOBUF_C_WIRE_TYPE_VARINT, 4, false},
    [PROTOBUF_C_TYPE_ENUM] = {PROTOBUF_C_WIRE_TYPE_VARINT, 4, false},
    [PROTOBUF_C_TYPE_STRING] = {PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, 0, false},
    [PROTOBUF_C_TYPE_BYTES] = {PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, 0, false},
};

_Static_assert(BASE_ARRAY_LEN(codings) == PROTOBUF_C_TYPE_MESSAGE, "all but messages");
_Static_assert(sizeof(protobuf_c_boolean) == 4, "a member of 4 bytes");

/* ---- members of the struct: of the type that the descriptor says ---- */

static const void *member_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (const uint8_t *)message + field->offset;
}

/* Any member of 4 or 8 bytes, whatever its type. */
static uint64_t bits_of(const void *member, size_t n_bytes)
{
    uint32_t narrow;
    uint64_t wide;
    if (n_bytes == sizeof(narrow)) {
        memcpy(&narrow, member, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, member, sizeof(wide));
    return wide;
}

static void set_bits(void *member, size_t n_bytes, uint64_t v)
{
    uint32_t narrow = (uint32_t)v;
    if (n_bytes == sizeof(narrow)) {
        memcpy(member, &narrow, sizeof(narrow));
    } else {
        memcpy(member, &v, sizeof(v));
    }
}

/* Of optional ones. */
static bool has_flag(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *flag = (const uint8_t *)message + field->quantifier_offset;
    return *(const protobuf_c_boolean *)flag != 0;
}

/* Whether the field is in the encoded message. Without presence, what is zero is not. */
static bool is_present(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *member = member_of(message, field);
    bool is_optional = field->label == PROTOBUF_C_LABEL_OPTIONAL;
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(const char *const *)member;
        return text != NULL && (is_optional ? text != field->default_value : text[0] != '\0');
    }
    if (is_optional) {
        return has_flag(message, field);
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        return ((const ProtobufCBinaryData *)member)->len != 0;
    }
    const struct coding *coding = &codings[field->type];
    uint64_t v = bits_of(member, coding->member_bytes);
    uint32_t sign_bit = 8u * coding->member_bytes - 1;
    return coding->is_float ? (v & ~(UINT64_C(1) << sign_bit)) != 0 : v != 0;
}

/* What a field of wire type VARINT is on the wire. */
static uint64_t varint_of(const ProtobufCFieldDescriptor *field, const void *member)
{
    switch ((uint32_t)field->type) {
    case PROTOBUF_C_TYPE_SINT32: {
        uint32_t v = *(const uint32_t *)member;
        return v << 1 ^ (0 - (v >> 31));
    }
    case PROTOBUF_C_TYPE_SINT64: {
        uint64_t v = *(const uint64_t *)member;
        return v << 1 ^ (0 - (v >> 63));
    }
    case PROTOBUF_C_TYPE_UINT32:
        return *(const uint32_t *)member;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return *(const uint64_t *)member;
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)member != 0;
    default: /* INT32, ENUM */
        return (uint64_t)(int64_t) * (const int32_t *)member;
    }
}

/* Of a string or bytes. */
static ProtobufCBinaryData bytes_of(const ProtobufCFieldDescriptor *field, const void *member)
{
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        return *(const ProtobufCBinaryData *)member;
    }
    char *text = *(char *const *)member;
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

/* ---- encoding ---- */

static size_t varint_size(uint64_t v)
{
    uint32_t top_bit = 63 - (uint32_t)__builtin_clzll(v | 1);
    return (top_bit * 9 + 73) / 64; /* top_bit / 7 + 1 */
}

static uint8_t *put_varint(uint8_t *out, uint64_t v)
{
    while (v >= 0x80) {
        *out++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *out++ = (uint8_t)v;
    return out;
}

static size_t value_size(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                         uint32_t wire_type)
{
    const void *member = member_of(message, field);
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        return 4;
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        return 8;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED: {
        size_t len = bytes_of(field, member).len;
        return varint_size(len) + len;
    }
    default:
        return varint_size(varint_of(field, member));
    }
}

size_t snapi_flat_size(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    if (message->n_unknown_fields != 0) {
        return SNAPI_NOT_FLAT;
    }
    size_t size = 0;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (!is_flat(field)) {
            return SNAPI_NOT_FLAT;
        }
        if (is_present(message, field)) {
            size += varint_size((uint64_t)field->id << TAG_SHIFT) +
                    value_size(message, field, codings[field->type].wire_type);
        }
    }
    return size;
}

static uint8_t *put_field(uint8_t *out, const ProtobufCMessage *message,
                          const ProtobufCFieldDescriptor *field)
{
    const void *member = member_of(message, field);
    uint32_t wire_type = codings[field->type].wire_type;
    out = put_varint(out, (uint64_t)field->id << TAG_SHIFT | wire_type);
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        base_store_u32(out, (uint32_t)bits_of(member, 4));
        return out + 4;
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        base_store_u64(out, bits_of(member, 8));
        return out + 8;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED: {
        ProtobufCBinaryData bytes = bytes_of(field, member);
        out = put_varint(out, bytes.len);
        if (bytes.len > 0) {
            memcpy(out, bytes.data, bytes.len);
        }
        return out + bytes.len;
    }
    default:
        return put_varint(out, varint_of(field, member));
    }
}

bool snapi_flat_pack(const ProtobufCMessage *message, uint8_t *out)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    if (message->n_unknown_fields != 0) {
        return false;
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (!is_flat(field)) {
            return false;
        }
        if (is_present(message, field)) {
            out = put_field(out, message, field);
        }
    }
    return true;
}

/* ---- decoding ---- */

struct reader {
    const uint8_t *at, *end;
};

/* False: cut off, too long, or more than 64 bits. */
static bool read_varint(struct reader *from, uint32_t bytes_max, uint64_t *value)
{
    *value = 0;
    for (uint32_t i = 0; i < bytes_max && from->at < from->end; i++) {
        uint8_t byte = *from->at++;
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            return i < VARINT_BYTES_MAX - 1 || byte <= 1;
        }
    }
    return false;
}

static void set_varint(const ProtobufCFieldDescriptor *field, void *member, uint64_t v)
{
    switch ((uint32_t)field->type) {
    case PROTOBUF_C_TYPE_SINT32:
        *(uint32_t *)member = (uint32_t)v >> 1 ^ (0 - ((uint32_t)v & 1));
        break;
    case PROTOBUF_C_TYPE_SINT64:
        *(uint64_t *)member = v >> 1 ^ (0 - (v & 1));
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)member = v;
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)member = v != 0;
        break;
    default: /* INT32, UINT32, ENUM */
        *(uint32_t *)member = (uint32_t)v;
        break;
    }
}

static bool set_bytes(struct base_arena *arena, const ProtobufCFieldDescriptor *field, void *member,
                      const uint8_t *data, size_t len)
{
    bool is_text = field->type == PROTOBUF_C_TYPE_STRING;
    uint8_t *own = NULL;
    if (is_text || len > 0) {
        own = base_arena_alloc(arena, len + 1);
        if (own == NULL) {
            return false;
        }
        memcpy(own, data, len);
    }
    if (is_text) {
        own[len] = '\0';
        *(char **)member = (char *)own;
    } else {
        *(ProtobufCBinaryData *)member = (ProtobufCBinaryData){.len = len, .data = own};
    }
    return true;
}

static bool read_value(struct reader *from, struct base_arena *arena,
                       const ProtobufCFieldDescriptor *field, uint32_t wire_type, void *member)
{
    uint64_t v;
    if (wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
        if (!read_varint(from, HEAD_BYTES_MAX, &v) || v > (size_t)(from->end - from->at)) {
            return false;
        }
        const uint8_t *data = from->at;
        from->at += v;
        return set_bytes(arena, field, member, data, v);
    }
    if (wire_type == PROTOBUF_C_WIRE_TYPE_VARINT) {
        if (!read_varint(from, VARINT_BYTES_MAX, &v)) {
            return false;
        }
        set_varint(field, member, v);
        return true;
    }
    size_t n = codings[field->type].member_bytes;
    if (n > (size_t)(from->end - from->at)) {
        return false;
    }
    set_bits(member, n, n == 4 ? base_load_u32(from->at) : base_load_u64(from->at));
    from->at += n;
    return true;
}

/* Fields mostly come in the order of their numbers; `next` is the one that then comes. NULL: there is
 * none of that number. */
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  unsigned next, uint64_t id)
{
    if (next < type->n_fields && type->fields[next].id == id) {
        return &type->fields[next];
    }
    return protobuf_c_message_descriptor_get_field(type, (unsigned)id);
}

bool snapi_flat_may_unpack(const ProtobufCMessageDescriptor *type, size_t len)
{
    if (len > SNAPI_FLAT_BYTES_MAX || type->sizeof_message > SNAPI_FLAT_STRUCT_MAX ||
        type->message_init == NULL) {
        return false;
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (type->fields[i].label == PROTOBUF_C_LABEL_REQUIRED) {
            return false;
        }
    }
    return true;
}

bool snapi_flat_unpack(struct base_arena *arena, const ProtobufCMessageDescriptor *type,
                       const uint8_t *data, size_t len, ProtobufCMessage *message)
{
    struct reader from = {data, data + len};
    unsigned next = 0;
    type->message_init(message);
    while (from.at < from.end) {
        uint64_t tag;
        if (!read_varint(&from, HEAD_BYTES_MAX, &tag) || tag > UINT32_MAX) {
            return false;
        }
        const ProtobufCFieldDescriptor *field = find_field(type, next, tag >> TAG_SHIFT);
        if (field == NULL || !is_flat(field) ||
            codings[field->type].wire_type != (tag & WIRE_MASK)) {
            return false;
        }
        uint8_t *base = (uint8_t *)message;
        if (!read_value(&from, arena, field, tag & WIRE_MASK, base + field->offset)) {
            return false;
        }
        if (field->quantifier_offset != 0) {
            *(protobuf_c_boolean *)(void *)(base + field->quantifier_offset) = 1;
        }
        next = (unsigned)(field - type->fields) + 1;
    }
    return true;
}
