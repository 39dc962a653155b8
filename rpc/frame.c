/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/frame.h"

#include "base/compiler.h"
#include "base/endian.h"

#include <snaprpc/status.h>

#include <stdbool.h>
#include <string.h>

enum {
    BODY_ALIGN = 8,
    CODE_MAX = SNAP_UNAUTHENTICATED
};

static const char *const type_names[] = {
    [SNAPI_REQUEST] = "REQUEST", [SNAPI_RESPONSE] = "RESPONSE", [SNAPI_CANCEL] = "CANCEL",
    [SNAPI_HELLO] = "HELLO",     [SNAPI_GOAWAY] = "GOAWAY",     [SNAPI_PING] = "PING",
    [SNAPI_PONG] = "PONG",
};

const char *snapi_frame_type_name(uint8_t type)
{
    if (type >= BASE_ARRAY_LEN(type_names) || type_names[type] == NULL) {
        return "?";
    }
    return type_names[type];
}

/* Whether one of eight bytes is below 0x20, or is 0x7f. The borrow of a lower byte may make a byte
 * of exactly 0x20 look smaller, but only where that lower byte is a control character itself. */
static bool has_control(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = ones * 0x80;
    uint64_t below = (bytes - ones * 0x20) & ~bytes & highs;
    uint64_t del = bytes ^ ones * 0x7f;
    return (below | ((del - ones) & ~del & highs)) != 0;
}

/* PR-4: a method's name and an address are printable; a message may hold any bytes and is cleaned
 * where it becomes a status. */
static bool text_is_clean(const char *text, size_t len)
{
    size_t i = 0;
    for (; len - i >= 8; i += 8) {
        uint64_t eight;
        memcpy(&eight, text + i, sizeof(eight));
        if (has_control(eight)) {
            return false;
        }
    }
    for (; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* PR-1 */
static enum base_err malformed(uint8_t type, const char *what)
{
    base_error_note("malformed %s frame: %s", snapi_frame_type_name(type), what);
    return BASE_E_MALFORMED;
}

/* PR-2 */
static enum base_err get_text(struct base_cursor *c, size_t len, struct snapi_frame *f)
{
    if (len > SNAPI_FRAME_TEXT_MAX) {
        return malformed(f->type, "text longer than 1023 bytes");
    }
    const uint8_t *at = base_cursor_get_bytes(c, len);
    if (at == NULL) {
        return malformed(f->type, "text ends past the frame");
    }
    bool is_message = f->type == SNAPI_RESPONSE || f->type == SNAPI_GOAWAY;
    if (!is_message && !text_is_clean((const char *)at, len)) {
        return malformed(f->type, "control character in text");
    }
    f->text = (const char *)at;
    f->text_len = len;
    return BASE_OK;
}

/* What REQUEST and RESPONSE have behind their text: metadata (skipped), zeros, body. PR-2, PR-3,
 * PR-6 */
static enum base_err get_payload(struct base_cursor *c, size_t meta_len, struct snapi_frame *f)
{
    if (meta_len > SNAPI_FRAME_META_MAX) {
        return malformed(f->type, "metadata longer than 65536 bytes");
    }
    f->meta = base_cursor_get_bytes(c, meta_len);
    if (f->meta == NULL) {
        return malformed(f->type, "metadata ends past the frame");
    }
    f->meta_len = meta_len;
    size_t pad = base_round_up_size(c->pos, BODY_ALIGN) - c->pos;
    const uint8_t *zeros = base_cursor_get_bytes(c, pad);
    if (zeros == NULL) {
        return malformed(f->type, "padding ends past the frame");
    }
    for (size_t i = 0; i < pad; i++) {
        if (zeros[i] != 0) {
            return malformed(f->type, "padding is not zero");
        }
    }
    f->body_len = base_cursor_left(c);
    f->body = base_cursor_get_bytes(c, f->body_len);
    return BASE_OK;
}

/* PR-10, PR-11 */
static enum base_err parse_request(struct base_cursor *c, struct snapi_frame *f)
{
    uint16_t text_len = base_cursor_get_u16(c);
    uint32_t meta_len = base_cursor_get_u32(c);
    f->id = base_cursor_get_u64(c);
    f->timeout_us = base_cursor_get_u64(c);
    BASE_ENSURE(base_cursor_is_ok(c), malformed(f->type, "shorter than its head"));
    BASE_ENSURE(f->id != 0, malformed(f->type, "call 0"));
    BASE_ENSURE(text_len != 0, malformed(f->type, "no method name"));
    BASE_TRY(get_text(c, text_len, f));
    return get_payload(c, meta_len, f);
}

static enum base_err parse_response(struct base_cursor *c, struct snapi_frame *f)
{
    f->code = base_cursor_get_u16(c);
    uint32_t meta_len = base_cursor_get_u32(c);
    f->id = base_cursor_get_u64(c);
    uint16_t text_len = base_cursor_get_u16(c);
    base_cursor_skip(c, 6);
    BASE_ENSURE(base_cursor_is_ok(c), malformed(f->type, "shorter than its head"));
    BASE_ENSURE(f->id != 0, malformed(f->type, "call 0"));
    if (f->code > CODE_MAX) {
        f->code = SNAP_UNKNOWN; /* PR-13: a code of a later version */
    }
    BASE_TRY(get_text(c, text_len, f));
    return get_payload(c, meta_len, f);
}

/* CANCEL, PING and PONG. What is reserved, and what stands behind, is for later versions. PR-5 */
static enum base_err parse_id(struct base_cursor *c, struct snapi_frame *f)
{
    base_cursor_skip(c, 6);
    f->id = base_cursor_get_u64(c);
    BASE_ENSURE(base_cursor_is_ok(c), malformed(f->type, "shorter than its head"));
    BASE_ENSURE(f->id != 0 || f->type != SNAPI_CANCEL, malformed(f->type, "call 0"));
    return BASE_OK;
}

static enum base_err parse_hello(struct base_cursor *c, struct snapi_frame *f)
{
    f->version_min = base_cursor_get_u16(c);
    f->version_max = base_cursor_get_u16(c);
    uint16_t text_len = base_cursor_get_u16(c);
    BASE_ENSURE(base_cursor_is_ok(c), malformed(f->type, "shorter than its head"));
    BASE_ENSURE(f->version_min != 0 && f->version_min <= f->version_max,
                malformed(f->type, "range of versions is empty"));
    f->max_body = base_cursor_get_u64(c);
    BASE_ENSURE(base_cursor_is_ok(c), malformed(f->type, "shorter than its head"));
    return get_text(c, text_len, f);
}

static enum base_err parse_goaway(struct base_cursor *c, struct snapi_frame *f)
{
    f->code = base_cursor_get_u16(c);
    uint16_t text_len = base_cursor_get_u16(c);
    base_cursor_skip(c, 2);
    BASE_ENSURE(base_cursor_is_ok(c), malformed(f->type, "shorter than its head"));
    if (f->code > CODE_MAX) {
        f->code = SNAP_UNKNOWN;
    }
    return get_text(c, text_len, f);
}

typedef enum base_err parse_fn(struct base_cursor *c, struct snapi_frame *f);

static parse_fn *const parsers[] = {
    [SNAPI_REQUEST] = parse_request, [SNAPI_RESPONSE] = parse_response, [SNAPI_CANCEL] = parse_id,
    [SNAPI_HELLO] = parse_hello,     [SNAPI_GOAWAY] = parse_goaway,     [SNAPI_PING] = parse_id,
    [SNAPI_PONG] = parse_id,
};

enum base_err snapi_frame_parse(const uint8_t *data, size_t len, struct snapi_frame *frame)
{
    memset(frame, 0, sizeof(*frame));
    struct base_cursor c = base_cursor_make(data, len);
    struct snapi_frame f = {.type = base_cursor_get_u8(&c), .flags = base_cursor_get_u8(&c)};
    if (f.type >= BASE_ARRAY_LEN(parsers) || parsers[f.type] == NULL) {
        base_error_note("malformed frame: %zu bytes of unknown type %u", len, f.type);
        return BASE_E_MALFORMED;
    }
    BASE_TRY(parsers[f.type](&c, &f));
    *frame = f;
    return BASE_OK;
}

static bool has_payload(uint8_t type)
{
    return type == SNAPI_REQUEST || type == SNAPI_RESPONSE;
}

static bool has_text(uint8_t type)
{
    return has_payload(type) || type == SNAPI_HELLO || type == SNAPI_GOAWAY;
}

static size_t head_size(uint8_t type)
{
    if (has_payload(type)) {
        return SNAPI_FRAME_HEAD_MAX;
    }
    return type == SNAPI_GOAWAY ? 8 : 16;
}

/* Where the body begins, or where a frame without one ends. */
static size_t body_offset(const struct snapi_frame *frame)
{
    size_t size = head_size(frame->type) + (has_text(frame->type) ? frame->text_len : 0);
    if (has_payload(frame->type)) {
        size = base_round_up_size(size + frame->meta_len, BODY_ALIGN);
    }
    return size;
}

size_t snapi_frame_size(const struct snapi_frame *frame)
{
    return body_offset(frame) + (has_payload(frame->type) ? frame->body_len : 0);
}

static void put_head(const struct snapi_frame *f, struct base_put_cursor *c)
{
    base_cursor_put_u8(c, f->type);
    base_cursor_put_u8(c, f->flags);
    switch (f->type) {
    case SNAPI_REQUEST:
        base_cursor_put_u16(c, (uint16_t)f->text_len);
        base_cursor_put_u32(c, (uint32_t)f->meta_len);
        base_cursor_put_u64(c, f->id);
        base_cursor_put_u64(c, f->timeout_us);
        break;
    case SNAPI_RESPONSE:
        base_cursor_put_u16(c, f->code);
        base_cursor_put_u32(c, (uint32_t)f->meta_len);
        base_cursor_put_u64(c, f->id);
        base_cursor_put_u16(c, (uint16_t)f->text_len);
        base_cursor_put_bytes(c, "\0\0\0\0\0", 6);
        break;
    case SNAPI_HELLO:
        base_cursor_put_u16(c, f->version_min);
        base_cursor_put_u16(c, f->version_max);
        base_cursor_put_u16(c, (uint16_t)f->text_len);
        base_cursor_put_u64(c, f->max_body);
        break;
    case SNAPI_GOAWAY:
        base_cursor_put_u16(c, f->code);
        base_cursor_put_u16(c, (uint16_t)f->text_len);
        base_cursor_put_u16(c, 0);
        break;
    default:
        base_cursor_put_bytes(c, "\0\0\0\0\0", 6);
        base_cursor_put_u64(c, f->id);
        break;
    }
}

uint8_t *snapi_frame_put(const struct snapi_frame *frame, uint8_t *out)
{
    size_t body_off = body_offset(frame);
    struct base_put_cursor c = base_put_cursor_make(out, body_off);
    put_head(frame, &c);
    if (has_text(frame->type)) {
        base_cursor_put_bytes(&c, frame->text, frame->text_len);
    }
    if (has_payload(frame->type)) {
        base_cursor_put_bytes(&c, frame->meta, frame->meta_len);
    }
    size_t pad = base_put_cursor_left(&c);
    if (pad > 0) {
        memset(out + body_off - pad, 0, pad);
    }
    return out + body_off;
}
