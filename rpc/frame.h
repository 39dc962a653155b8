/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_FRAME_H
#define RPC_FRAME_H

#include "base/compiler.h"
#include "base/endian.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * Frames: what two RPC halves say to each other, one frame per transport message.
 *
 * Shape    a fixed head, then text, metadata, zeros up to a multiple of 8, then the body up to the
 *          message's end. All integers little endian.
 * Hostile  parse() accepts any bytes; what it returns points into them and is within them
 * Source   docs/protocol-rpc.md, PR-1..
 */
enum snapi_frame_type {
    SNAPI_REQUEST = 1,
    SNAPI_RESPONSE = 2,
    SNAPI_CANCEL = 3,
    SNAPI_HELLO = 4,
    SNAPI_GOAWAY = 5,
    SNAPI_PING = 6,
    SNAPI_PONG = 7
};

enum {
    SNAPI_REQUEST_IDEMPOTENT = 1u << 0, /**< may be run twice */
    SNAPI_RESPONSE_NOT_RUN = 1u << 0    /**< the handler was certainly not started */
};

enum {
    SNAPI_RPC_VERSION_MIN = 1, /**< what this build speaks */
    SNAPI_RPC_VERSION_MAX = 1,
    SNAPI_FRAME_TEXT_MAX = 1023, /**< method name, message, address */
    SNAPI_FRAME_META_MAX = 65536,
    SNAPI_FRAME_HEAD_MAX = 24, /**< longest fixed head: of REQUEST and RESPONSE */
    SNAPI_FRAME_BODY_ALIGN = 8
};

/** The most bytes that a frame adds to its body. */
enum {
    SNAPI_FRAME_OVERHEAD_MAX =
        SNAPI_FRAME_HEAD_MAX + SNAPI_FRAME_TEXT_MAX + SNAPI_FRAME_META_MAX + 8
};

/**
 * The longest body that a client sends before it knows the server's limit (PR-26). Every server's
 * transport takes so much, whatever its limit is: no metadata are sent, and their room is enough.
 */
enum {
    SNAPI_BODY_BEFORE_HELLO = SNAPI_FRAME_META_MAX
};

/** Fields that a type does not have are 0 after parse() and ignored by put(). */
struct snapi_frame {
    uint8_t type;         /**< enum snapi_frame_type */
    uint8_t flags;        /**< SNAPI_REQUEST_*, SNAPI_RESPONSE_* */
    uint16_t code;        /**< RESPONSE, GOAWAY: enum snap_code, <= 16 after parse() */
    uint16_t version_min; /**< HELLO */
    uint16_t version_max; /**< HELLO; >= version_min after parse() */
    uint64_t max_body;    /**< HELLO: longest body that its sender takes; 0: not said */
    uint64_t id;          /**< REQUEST, RESPONSE, CANCEL: call, not 0; PING, PONG: token */
    uint64_t timeout_us;  /**< REQUEST: time the caller has left; 0: no deadline */
    const char *text;     /**< REQUEST: method; RESPONSE, GOAWAY: message; HELLO: Pony address.
                           *   Not NUL-ended. Method and address hold no control characters after parse(),
                           *   a message may: snapi_status_from_peer() cleans it */
    size_t text_len;      /**< REQUEST: 1..1023, else 0..1023 */
    const uint8_t *meta;  /**< reserved; skipped */
    size_t meta_len;
    const uint8_t *body; /**< REQUEST, RESPONSE; 8-aligned within the frame */
    size_t body_len;
};

/**
 * Reads one frame.
 *
 * @param data   may be NULL if len is 0
 * @param frame  zeroed unless BASE_OK; points into data
 *
 * Errors  BASE_E_MALFORMED; base_error_last_note() says what and where
 */
BASE_MUST_USE enum base_err snapi_frame_parse(const uint8_t *data, size_t len,
                                              struct snapi_frame *frame);

/** A method's name that was found well formed before. */
struct snapi_known {
    const char *text;
    size_t len; /**< 0: there is none */
};

/** The same, for who is mostly asked for one method: the name of a REQUEST is not looked through again
 * where it is `known`, and `frame->text` is `known->text` then. */
BASE_MUST_USE enum base_err snapi_frame_parse_known(const uint8_t *data, size_t len,
                                                    const struct snapi_known *known,
                                                    struct snapi_frame *frame);

/** Encoded size of all of `frame`, body_len included (body may be NULL). text_len, meta_len within
 * their limits. */
size_t snapi_frame_size(const struct snapi_frame *frame);

/** Writes everything but the body to `out` (snapi_frame_size() bytes) and returns where the body
 * goes: body_len bytes, 8-aligned if `out` is. */
uint8_t *snapi_frame_put(const struct snapi_frame *frame, uint8_t *out);

/** REQUEST and RESPONSE: where the body begins. */
static inline size_t snapi_frame_body_off(const struct snapi_frame *frame)
{
    return base_round_up_size(SNAPI_FRAME_HEAD_MAX + frame->text_len + frame->meta_len,
                              SNAPI_FRAME_BODY_ALIGN);
}

/** snapi_frame_put() of a REQUEST or RESPONSE: head, text, metadata and zeros before the body. */
static inline uint8_t *snapi_frame_put_payload(const struct snapi_frame *frame, uint8_t *out)
{
    uint8_t *body = out + snapi_frame_body_off(frame);
    base_store_u64(body - SNAPI_FRAME_BODY_ALIGN, 0); /* what is no padding is written over */
    out[0] = frame->type;
    out[1] = frame->flags;
    base_store_u32(out + 4, (uint32_t)frame->meta_len);
    base_store_u64(out + 8, frame->id);
    if (frame->type == SNAPI_REQUEST) {
        base_store_u16(out + 2, (uint16_t)frame->text_len);
        base_store_u64(out + 16, frame->timeout_us);
    } else {
        base_store_u16(out + 2, frame->code);
        base_store_u64(out + 16, (uint16_t)frame->text_len); /* and six reserved bytes */
    }
    uint8_t *text = out + SNAPI_FRAME_HEAD_MAX;
    if (frame->text_len > 0) {
        memcpy(text, frame->text, frame->text_len);
    }
    if (frame->meta_len > 0) {
        memcpy(text + frame->text_len, frame->meta, frame->meta_len);
    }
    return body;
}

/** Writes the head of the answer that nearly every call has, a RESPONSE that is OK and has no text, as
 * snapi_frame_put() does, and returns where its body goes: SNAPI_FRAME_HEAD_MAX bytes on. */
static inline uint8_t *snapi_frame_put_ok(uint8_t *out, uint64_t id)
{
    base_store_u64(out, SNAPI_RESPONSE);
    base_store_u64(out + 8, id);
    base_store_u64(out + 16, 0);
    return out + SNAPI_FRAME_HEAD_MAX;
}

/** "REQUEST"; "?" for an unknown one. */
const char *snapi_frame_type_name(uint8_t type);

#endif
