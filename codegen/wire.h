/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_WIRE_H
#define CODEGEN_WIRE_H

#include "codegen/text.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Wire: protobuf's encoding, field by field, for what protobuf-c's unpacker does not do.
 *
 * Threads  any
 * Source   https://protobuf.dev/programming-guides/encoding
 */

enum {
    GEN_WIRE_VARINT = 0,
    GEN_WIRE_64BIT = 1,
    GEN_WIRE_LEN = 2,
    GEN_WIRE_32BIT = 5,

    GEN_WIRE_DEPTH_MAX = 100, /**< protobuf's own default limit */
};

/** Bytes not read yet; pointers into the caller's buffer. */
struct gen_wire_span {
    const uint8_t *start;
    size_t len;
};

struct gen_wire_field {
    uint32_t number;              /**< 1 or more */
    uint32_t type;                /**< GEN_WIRE_* */
    uint64_t value;               /**< GEN_WIRE_VARINT only, else 0 */
    struct gen_wire_span payload; /**< GEN_WIRE_LEN only, else empty */
    struct gen_wire_span whole;   /**< tag and all */
};

/** Takes the next field off `rest`. False: there is none, or it is malformed (rest->len > 0). */
bool gen_wire_next(struct gen_wire_span *rest, struct gen_wire_field *field);

/** Takes a varint off `rest`. False: cut off, or longer than ten bytes; `rest` is as before. */
bool gen_wire_varint(struct gen_wire_span *rest, uint64_t *value);

/**
 * Tells whether an encoded message is well-formed and nested at most GEN_WIRE_DEPTH_MAX deep.
 * protobuf-c's unpacker recurses without a limit, so nothing is unpacked before this said yes.
 */
bool gen_wire_is_safe(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len);

/** Copies an encoded message without its fields of one number. False: malformed or too large. */
bool gen_wire_drop_field(struct gen_wire_span message, uint32_t number, struct gen_text *out);

/**
 * Copies an encoded CodeGeneratorRequest without the services of its files and without the
 * plugin's parameter; all else stays byte for byte.
 *
 * @return false: malformed; `out` holds a part
 */
bool gen_wire_drop_services(const uint8_t *request, size_t len, struct gen_text *out);

#endif
