/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "rpc/frame.h"
#include "rpc/status.h"

#include <stdlib.h>
#include <string.h>

/* What is accepted lies within the frame, and putting it gives the same frame when parsed again. */
static void check(const uint8_t *data, size_t size, const struct snapi_frame *frame)
{
    base_assert(frame->text_len <= SNAPI_FRAME_TEXT_MAX);
    base_assert(frame->meta_len <= SNAPI_FRAME_META_MAX);
    base_assert(frame->code <= SNAP_UNAUTHENTICATED);
    if (frame->body_len > 0) {
        base_assert(frame->body + frame->body_len == data + size);
    }
    size_t len = snapi_frame_size(frame);
    base_assert(len <= size);
    uint8_t *out = malloc(len);
    uint8_t *body = snapi_frame_put(frame, out);
    base_assert(body + frame->body_len == out + len);
    if (frame->body_len > 0) {
        memcpy(body, frame->body, frame->body_len);
    }
    struct snapi_frame again;
    base_assert(snapi_frame_parse(out, len, &again) == BASE_OK);
    base_assert(again.type == frame->type && again.id == frame->id && again.code == frame->code);
    base_assert(again.text_len == frame->text_len && again.body_len == frame->body_len);
    base_assert(frame->text_len == 0 || memcmp(again.text, frame->text, frame->text_len) == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snapi_frame frame;
    if (snapi_frame_parse(data, size, &frame) != BASE_OK) {
        base_assert(frame.type == 0 && frame.body == NULL);
        return 0;
    }
    check(data, size, &frame);
    struct snap_status status =
        snapi_status_from_peer(frame.code, SNAP_RAN_MAYBE, frame.text, frame.text_len);
    base_assert(strlen(status.message) < SNAP_STATUS_MESSAGE_MAX);
    return 0;
}
