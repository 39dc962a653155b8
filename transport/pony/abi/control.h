/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_ABI_CONTROL_H
#define PONY_ABI_CONTROL_H

#include "base/error.h"
#include "transport/pony/abi/control.pb-c.h"

#include <stddef.h>
#include <stdint.h>

/**
 * Control messages, packed and unpacked: one message per packet of a SOCK_SEQPACKET Unix socket.
 *
 * Bounds   a message is 1..PONY_CONTROL_MAX_BYTES bytes; strings at most PONY_CONTROL_STRING_MAX;
 *          what arrives is checked against both before anyone sees it
 * Memory   an unpacked message is heap memory, at most some multiples of the packet's size; the
 *          caller frees it with pony__control__{request,reply}__free_unpacked(message, NULL)
 * Threads  any; nothing here is shared, nothing blocks
 */
enum {
    PONY_CONTROL_MAX_BYTES = 65536,
    PONY_CONTROL_STRING_MAX = 1024 /**< program, target, address, error message: bytes */
};

/**
 * Packs into `out` of PONY_CONTROL_MAX_BYTES.
 * Errors  BASE_E_LIMIT: longer than that
 */
BASE_MUST_USE enum base_err pony_control_pack_request(const Pony__Control__Request *request,
                                                      uint8_t *out, size_t *len);
BASE_MUST_USE enum base_err pony_control_pack_reply(const Pony__Control__Reply *reply, uint8_t *out,
                                                    size_t *len);

/**
 * Unpacks a packet. *message is NULL on failure.
 *
 * Errors  BASE_E_MALFORMED: not such a message, or `what` is not set (an unknown request of a newer
 *         peer looks like this), or a string is too long; BASE_E_LIMIT: packet too long
 */
BASE_MUST_USE enum base_err pony_control_unpack_request(const uint8_t *data, size_t len,
                                                        Pony__Control__Request **message);
BASE_MUST_USE enum base_err pony_control_unpack_reply(const uint8_t *data, size_t len,
                                                      Pony__Control__Reply **message);

/** enum base_err as Error.code: the value itself, which is never reused (base/error.h). BASE_OK and
 * BASE_AGAIN are no errors and become BASE_E_INTERNAL, as do numbers that this build does not know. */
uint32_t pony_control_err_to_wire(enum base_err err);
enum base_err pony_control_err_from_wire(uint32_t code);

#endif
