/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/control.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/**
 * Control messages, both ways: what is unpacked has what it says, packs again into the limit, and
 * the same bytes come out of a second round.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    if (pony_control_pack_request(request, bytes, &len) == BASE_OK) {
        if (pony_control_unpack_request(bytes, len, &copy) != BASE_OK ||
            pony_control_pack_request(copy, again, &again_len) != BASE_OK || len != again_len ||
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
