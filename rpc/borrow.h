/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_BORROW_H
#define RPC_BORROW_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Borrow: finds the one large bytes field that an encoded message consists of, so that it can be
 * used where it arrived instead of being copied.
 *
 * Shape    a walk over the outermost fields, at most SNAPI_BORROW_FIELDS_MAX of them; what is
 *          malformed, or needs more than that, is left to protobuf-c as a whole
 * Threads  any
 */
enum {
    SNAPI_BORROW_MIN_BYTES = 16 * 1024, /**< a smaller copy costs less than not making it */
    SNAPI_BORROW_FIELDS_MAX = 32
};

struct snapi_borrow {
    const ProtobufCFieldDescriptor *field;
    const uint8_t *data; /**< the field's bytes, in the encoded message */
    size_t len;
    size_t begin, end; /**< of the field with its tag and length, in the encoded message */
};

/** False: nothing to borrow. */
bool snapi_borrow_find(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                       struct snapi_borrow *borrow);

/** The field of a decoded message of that type. */
static inline ProtobufCBinaryData *snapi_borrow_field(const ProtobufCFieldDescriptor *field,
                                                      ProtobufCMessage *message)
{
    return (ProtobufCBinaryData *)(void *)((uint8_t *)message + field->offset);
}

/** Sets the field of a message that was decoded without it. */
void snapi_borrow_set(const struct snapi_borrow *borrow, ProtobufCMessage *message);

#endif
