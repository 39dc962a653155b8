/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/control.h"

#include "transport/pony/abi/capture.h"

#include <stdbool.h>
#include <string.h>

static enum base_err pack(const ProtobufCMessage *message, uint8_t *out, size_t *len)
{
    *len = 0;
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > PONY_CONTROL_MAX_BYTES) {
        base_error_note("control message of %zu bytes, at most %d are allowed", size,
                        PONY_CONTROL_MAX_BYTES);
        return BASE_E_LIMIT;
    }
    *len = protobuf_c_message_pack(message, out);
    return BASE_OK;
}

enum base_err pony_control_pack_request(const Pony__Control__Request *request, uint8_t *out,
                                        size_t *len)
{
    return pack(&request->base, out, len);
}

enum base_err pony_control_pack_reply(const Pony__Control__Reply *reply, uint8_t *out, size_t *len)
{
    return pack(&reply->base, out, len);
}

static bool is_short(const char *s)
{
    return s == NULL || strnlen(s, PONY_CONTROL_STRING_MAX + 1) <= PONY_CONTROL_STRING_MAX;
}

static bool is_good_request(const Pony__Control__Request *m)
{
    switch (m->what_case) {
    case PONY__CONTROL__REQUEST__WHAT_ATTACH:
        return is_short(m->attach->program);
    case PONY__CONTROL__REQUEST__WHAT_LOOKUP:
        return is_short(m->lookup->target);
    case PONY__CONTROL__REQUEST__WHAT_REMEMBER:
        return is_short(m->remember->target) && is_short(m->remember->address);
    case PONY__CONTROL__REQUEST__WHAT_STATUS:
    case PONY__CONTROL__REQUEST__WHAT_CAPTURE:
        return true;
    case PONY__CONTROL__REQUEST__WHAT__NOT_SET:
    case _PONY__CONTROL__REQUEST__WHAT__CASE_IS_INT_SIZE:
    default:
        return false;
    }
}

static bool is_good_capturing(const Pony__Control__Capturing *m)
{
    for (size_t i = 0; i < m->n_rings; i++) {
        if (!is_short(m->rings[i]->device) || !is_short(m->rings[i]->address)) {
            return false;
        }
    }
    return m->n_rings <= SHM_CAPTURE_RINGS_MAX;
}

static bool is_good_reply(const Pony__Control__Reply *m)
{
    switch (m->what_case) {
    case PONY__CONTROL__REPLY__WHAT_ERROR:
        return is_short(m->error->message);
    case PONY__CONTROL__REPLY__WHAT_FOUND:
        return is_short(m->found->address);
    case PONY__CONTROL__REPLY__WHAT_ATTACHED:
    case PONY__CONTROL__REPLY__WHAT_DONE:
    case PONY__CONTROL__REPLY__WHAT_STATUS:
        return true;
    case PONY__CONTROL__REPLY__WHAT_CAPTURING:
        return is_good_capturing(m->capturing);
    case PONY__CONTROL__REPLY__WHAT__NOT_SET:
    case _PONY__CONTROL__REPLY__WHAT__CASE_IS_INT_SIZE:
    default:
        return false;
    }
}

enum base_err pony_control_unpack_request(const uint8_t *data, size_t len,
                                          Pony__Control__Request **message)
{
    *message = NULL;
    BASE_ENSURE(len <= PONY_CONTROL_MAX_BYTES, BASE_E_LIMIT);
    Pony__Control__Request *m = pony__control__request__unpack(NULL, len, data);
    BASE_ENSURE(m != NULL, BASE_E_MALFORMED);
    if (!is_good_request(m)) {
        pony__control__request__free_unpacked(m, NULL);
        return BASE_E_MALFORMED;
    }
    *message = m;
    return BASE_OK;
}

enum base_err pony_control_unpack_reply(const uint8_t *data, size_t len,
                                        Pony__Control__Reply **message)
{
    *message = NULL;
    BASE_ENSURE(len <= PONY_CONTROL_MAX_BYTES, BASE_E_LIMIT);
    Pony__Control__Reply *m = pony__control__reply__unpack(NULL, len, data);
    BASE_ENSURE(m != NULL, BASE_E_MALFORMED);
    if (!is_good_reply(m)) {
        pony__control__reply__free_unpacked(m, NULL);
        return BASE_E_MALFORMED;
    }
    *message = m;
    return BASE_OK;
}

uint32_t pony_control_err_to_wire(enum base_err err)
{
    return (uint32_t)pony_control_err_from_wire((uint32_t)err);
}

enum base_err pony_control_err_from_wire(uint32_t code)
{
    if (code <= BASE_AGAIN || code >= BASE_ERR_COUNT) {
        return BASE_E_INTERNAL;
    }
    return (enum base_err)code;
}
