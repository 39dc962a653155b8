/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/control.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/**
 * Control messages, both ways: what is unpacked has what it says, packs again into the limit, and
 * the same bytes come out of a second round. Fields that nobody knows are left out of the second
 * round: nothing of ours sends them on, and protobuf-c reads a field number 0 in its long form
 * (80 00) which it then packs in the short form (00) that it refuses.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The message that a request carries; NULL: none. */
static ProtobufCMessage *inner_of(Pony__Control__Request *request)
{
    switch (request->what_case) {
    case PONY__CONTROL__REQUEST__WHAT_ATTACH:
        return &request->attach->base;
    case PONY__CONTROL__REQUEST__WHAT_LOOKUP:
        return &request->lookup->base;
    case PONY__CONTROL__REQUEST__WHAT_REMEMBER:
        return &request->remember->base;
    case PONY__CONTROL__REQUEST__WHAT_STATUS:
        return &request->status->base;
    case PONY__CONTROL__REQUEST__WHAT_CAPTURE:
        return &request->capture->base;
    case PONY__CONTROL__REQUEST__WHAT__NOT_SET:
    case _PONY__CONTROL__REQUEST__WHAT__CASE_IS_INT_SIZE:
    default:
        return NULL;
    }
}

/* Packs what is known of `request`; its unknown fields stay with it, for whoever frees it. */
static enum base_err pack_known(Pony__Control__Request *request, uint8_t *bytes, size_t *len)
{
    ProtobufCMessage *inner = inner_of(request);
    if (inner == NULL) {
        abort();
    }
    unsigned outer_unknown = request->base.n_unknown_fields;
    unsigned inner_unknown = inner->n_unknown_fields;
    request->base.n_unknown_fields = 0;
    inner->n_unknown_fields = 0;
    enum base_err err = pony_control_pack_request(request, bytes, len);
    request->base.n_unknown_fields = outer_unknown;
    inner->n_unknown_fields = inner_unknown;
    return err;
}

static void check_request(const uint8_t *data, size_t size)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    static uint8_t again[PONY_CONTROL_MAX_BYTES];
    Pony__Control__Request *request = NULL;
    if (pony_control_unpack_request(data, size, &request) != BASE_OK) {
        if (request != NULL) {
            abort();
        }
        return;
    }
    size_t len = 0;
    size_t again_len = 0;
    Pony__Control__Request *copy = NULL;
    if (pack_known(request, bytes, &len) == BASE_OK) {
        if (pony_control_unpack_request(bytes, len, &copy) != BASE_OK ||
            pack_known(copy, again, &again_len) != BASE_OK || len != again_len ||
            memcmp(bytes, again, len) != 0) {
            abort();
        }
        pony__control__request__free_unpacked(copy, NULL);
    }
    pony__control__request__free_unpacked(request, NULL);
}

static void check_reply(const uint8_t *data, size_t size)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    Pony__Control__Reply *reply = NULL;
    if (pony_control_unpack_reply(data, size, &reply) != BASE_OK) {
        if (reply != NULL) {
            abort();
        }
        return;
    }
    size_t len = 0;
    if (pony_control_pack_reply(reply, bytes, &len) == BASE_OK && len > sizeof(bytes)) {
        abort();
    }
    pony__control__reply__free_unpacked(reply, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_request(data, size);
    check_reply(data, size);
    return 0;
}
