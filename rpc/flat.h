/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_FLAT_H
#define RPC_FLAT_H

#include "base/arena.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Flat messages: those whose fields are single values, as most requests and answers of small calls
 * are. Coded here in one pass over the fields, byte for byte as protobuf-c does, for a fourth of the
 * instructions. Whatever is not flat, or not what it should be, is left to protobuf-c as a whole:
 * sub-messages, repeated and required fields, oneofs, unknown fields, every error.
 *
 * Hostile  unpack() takes any bytes, and reads each of them once
 * Threads  any
 */
enum {
    SNAPI_FLAT_BYTES_MAX = 16 * 1024, /**< unpacked here: what that may allocate needs no limit */
    SNAPI_FLAT_STRUCT_MAX = 4096
};

/** What snapi_flat_size() says of a message that is not flat. */
#define SNAPI_NOT_FLAT SIZE_MAX

/** Size of the encoded message, or SNAPI_NOT_FLAT. */
size_t snapi_flat_size(const ProtobufCMessage *message);

/** Encodes into `out`. False: not flat; some of `out` may have been written. */
bool snapi_flat_pack(const ProtobufCMessage *message, uint8_t *out);

/** Whether it is worth trying: at most that long, no field required. */
bool snapi_flat_may_unpack(const ProtobufCMessageDescriptor *type, size_t len);

/**
 * Decodes `data` into `message`: type->sizeof_message bytes in `arena`, where strings and bytes go too.
 *
 * False: not flat, malformed, or no memory: protobuf-c decides
 */
bool snapi_flat_unpack(struct base_arena *arena, const ProtobufCMessageDescriptor *type,
                       const uint8_t *data, size_t len, ProtobufCMessage *message);

#endif
