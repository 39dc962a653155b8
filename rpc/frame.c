/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/frame.h"

#include "base/compiler.h"

#include <snaprpc/status.h>

#include <stdbool.h>
#include <string.h>

enum {
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

static inline uint64_t load_eight(const char *text)
{
    uint64_t eight;
    memcpy(&eight, text, sizeof(eight));
    return eight;
}

/* The same, but may be true although there is none: a byte above 0x7e (or what it carries over) looks
 * like one. As each byte is told by its highest bit, many words can be asked together. */
static inline uint64_t may_have_control(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    return (bytes | (bytes + ones) | (bytes - ones * 0x20)) & (ones * 0x80);
}

__attribute__((noinline)) static bool short_text_is_clean(const char *text, size_t len)
{
    uint64_t eight = UINT64_C(0x2020202020202020);
    memcpy(&eight, text, len);
    return !has_control(eight);
}

__attribute__((noinline)) static bool long_text_is_clean(const char *text, size_t len)
{
    for (size_t i = 0; i < len - 8; i += 8) {
        if (has_control(load_eight(text + i))) {
            return false;
        }
    }
    return !has_control(load_eight(text + len - 8));
}

/* PR-4: a method's name and an address are printable; a message may hold any bytes and is cleaned
 * where it becomes a status. */
static bool text_is_clean(const char *text, size_t len)
{
    if (len < 8) {
        return short_text_is_clean(text, len);
    }
    uint64_t suspects = may_have_control(load_eight(text + len - 8));
    for (size_t i = 0; i < len - 8; i += 8) {
        suspects |= may_have_control(load_eight(text + i));
    }
    return suspects == 0 || long_text_is_clean(text, len);
}

/* PR-1 */
static enum base_err malformed(uint8_t type, const char *what)
{
    base_error_note("malformed %s frame: %s", snapi_frame_type_name(type), what);
    return BASE_E_MALFORMED;
}

/* The text of HELLO and GOAWAY: f->text_len bytes at data[at], at <= len. PR-2 */
static enum base_err get_text(const uint8_t *data, size_t len, size_t at, struct snapi_frame *f)
{
    BASE_ENSURE(f->text_len <= SNAPI_FRAME_TEXT_MAX,
                malformed(f->type, "text longer than 1023 bytes"));
    BASE_ENSURE(f->text_len <= len - at, malformed(f->type, "text ends past the frame"));
    f->text = (const char *)data + at;
    BASE_ENSURE(f->type == SNAPI_GOAWAY || text_is_clean(f->text, f->text_len),
                malformed(f->type, "control character in text"));
    return BASE_OK;
}

/* Whether there are only zeros in the `n` < 8 bytes before `end`, behind 8 others at least. */
static inline bool is_zero_before(const uint8_t *end, size_t n)
{
    return n == 0 || base_load_u64(end - 8) >> (64 - 8 * n) == 0;
}

/* What is wrong with the lengths of a frame of `len` bytes. PR-2, PR-3, PR-6 */
static enum base_err bad_lengths(size_t len, const struct snapi_frame *f)
{
    size_t at = SNAPI_FRAME_HEAD_MAX + f->text_len;
    BASE_ENSURE(f->text_len <= SNAPI_FRAME_TEXT_MAX,
                malformed(f->type, "text longer than 1023 bytes"));
    BASE_ENSURE(at <= len, malformed(f->type, "text ends past the frame"));
    BASE_ENSURE(f->meta_len <= SNAPI_FRAME_META_MAX,
                malformed(f->type, "metadata longer than 65536 bytes"));
    BASE_ENSURE(f->meta_len <= len - at, malformed(f->type, "metadata ends past the frame"));
    return malformed(f->type, "padding ends past the frame");
}

/* What REQUEST and RESPONSE have behind their head: text, metadata (skipped), zeros, body. PR-2,
 * PR-3, PR-6 */
static inline enum base_err get_payload(const uint8_t *data, size_t len, struct snapi_frame *f)
{
    size_t meta_off = SNAPI_FRAME_HEAD_MAX + f->text_len;
    size_t end = meta_off + f->meta_len; /* 16 and 32 bits: no overflow */
    size_t body_off = base_round_up_size(end, SNAPI_FRAME_BODY_ALIGN);
    if (BASE_UNLIKELY(f->text_len > SNAPI_FRAME_TEXT_MAX || f->meta_len > SNAPI_FRAME_META_MAX ||
                      body_off > len)) {
        return bad_lengths(len, f);
    }
    BASE_ENSURE(is_zero_before(data + body_off, body_off - end),
                malformed(f->type, "padding is not zero"));
    f->text = (const char *)data + SNAPI_FRAME_HEAD_MAX;
    f->meta = data + meta_off;
    f->body = data + body_off;
    f->body_len = len - body_off;
    return BASE_OK;
}

/* PR-10, PR-11 */
static inline enum base_err parse_request(const uint8_t *data, size_t len,
                                          const struct snapi_known *known, struct snapi_frame *f)
{
    BASE_ENSURE(len >= SNAPI_FRAME_HEAD_MAX, malformed(f->type, "shorter than its head"));
    f->text_len = base_load_u16(data + 2);
    f->meta_len = base_load_u32(data + 4);
    f->id = base_load_u64(data + 8);
    f->timeout_us = base_load_u64(data + 16);
    BASE_ENSURE(f->id != 0, malformed(f->type, "call 0"));
    BASE_ENSURE(f->text_len != 0, malformed(f->type, "no method name"));
    BASE_TRY(get_payload(data, len, f));
    if (f->text_len == known->len && memcmp(f->text, known->text, known->len) == 0) {
        f->text = known->text;
        return BASE_OK;
    }
    BASE_ENSURE(text_is_clean(f->text, f->text_len),
                malformed(f->type, "control character in text"));
    return BASE_OK;
}

static inline enum base_err parse_response(const uint8_t *data, size_t len, struct snapi_frame *f)
{
    BASE_ENSURE(len >= SNAPI_FRAME_HEAD_MAX, malformed(f->type, "shorter than its head"));
    f->code = base_load_u16(data + 2);
    f->meta_len = base_load_u32(data + 4);
    f->id = base_load_u64(data + 8);
    f->text_len = base_load_u16(data + 16);
    BASE_ENSURE(f->id != 0, malformed(f->type, "call 0"));
    if (f->code > CODE_MAX) {
        f->code = SNAP_UNKNOWN; /* PR-13: a code of a later version */
    }
    return get_payload(data, len, f);
}

/* A cursor at what follows type and flags. */
static struct base_cursor behind_flags(const uint8_t *data, size_t len)
{
    struct base_cursor c = base_cursor_make(data, len);
    base_cursor_skip(&c, 2);
    return c;
}

/* CANCEL, PING and PONG. What is reserved, and what stands behind, is for later versions. PR-5 */
static enum base_err parse_id(const uint8_t *data, size_t len, struct snapi_frame *f)
{
    struct base_cursor c = behind_flags(data, len);
    base_cursor_skip(&c, 6);
    f->id = base_cursor_get_u64(&c);
    BASE_ENSURE(base_cursor_is_ok(&c), malformed(f->type, "shorter than its head"));
    BASE_ENSURE(f->id != 0 || f->type != SNAPI_CANCEL, malformed(f->type, "call 0"));
    return BASE_OK;
}

static enum base_err parse_hello(const uint8_t *data, size_t len, struct snapi_frame *f)
{
    struct base_cursor c = behind_flags(data, len);
    f->version_min = base_cursor_get_u16(&c);
    f->version_max = base_cursor_get_u16(&c);
    f->text_len = base_cursor_get_u16(&c);
    BASE_ENSURE(base_cursor_is_ok(&c), malformed(f->type, "shorter than its head"));
    BASE_ENSURE(f->version_min != 0 && f->version_min <= f->version_max,
                malformed(f->type, "range of versions is empty"));
    f->max_body = base_cursor_get_u64(&c);
    BASE_ENSURE(base_cursor_is_ok(&c), malformed(f->type, "shorter than its head"));
    return get_text(data, len, c.pos, f);
}

static enum base_err parse_goaway(const uint8_t *data, size_t len, struct snapi_frame *f)
{
    struct base_cursor c = behind_flags(data, len);
    f->code = base_cursor_get_u16(&c);
    f->text_len = base_cursor_get_u16(&c);
    base_cursor_skip(&c, 2);
    BASE_ENSURE(base_cursor_is_ok(&c), malformed(f->type, "shorter than its head"));
    if (f->code > CODE_MAX) {
        f->code = SNAP_UNKNOWN;
    }
    return get_text(data, len, c.pos, f);
}

/* `frame` is zero but for type and flags. */
static inline enum base_err parse(const uint8_t *data, size_t len, const struct snapi_known *known,
                                  struct snapi_frame *frame)
{
    switch (frame->type) {
    case SNAPI_REQUEST:
        return parse_request(data, len, known, frame);
    case SNAPI_RESPONSE:
        return parse_response(data, len, frame);
    case SNAPI_HELLO:
        return parse_hello(data, len, frame);
    case SNAPI_GOAWAY:
        return parse_goaway(data, len, frame);
    case SNAPI_CANCEL:
    case SNAPI_PING:
    case SNAPI_PONG:
        return parse_id(data, len, frame);
    default:
        base_error_note("malformed frame: %zu bytes of unknown type %u", len, frame->type);
        return BASE_E_MALFORMED;
    }
}

enum base_err snapi_frame_parse_known(const uint8_t *data, size_t len,
                                      const struct snapi_known *known, struct snapi_frame *frame)
{
    *frame = (struct snapi_frame){.type = len > 0 ? data[0] : 0, .flags = len > 1 ? data[1] : 0};
    enum base_err err = parse(data, len, known, frame);
    if (BASE_UNLIKELY(err != BASE_OK)) {
        *frame = (struct snapi_frame){0};
    }
    return err;
}

enum base_err snapi_frame_parse(const uint8_t *data, size_t len, struct snapi_frame *frame)
{
    const struct snapi_known none = {0};
    return snapi_frame_parse_known(data, len, &none, frame);
}

static inline bool has_payload(uint8_t type)
{
    return type == SNAPI_REQUEST || type == SNAPI_RESPONSE;
}

static inline bool has_text(uint8_t type)
{
    return has_payload(type) || type == SNAPI_HELLO || type == SNAPI_GOAWAY;
}

/* Where the body begins, or where a frame without one ends. */
static inline size_t body_offset(const struct snapi_frame *frame)
{
    if (has_payload(frame->type)) {
        return snapi_frame_body_off(frame);
    }
    return (frame->type == SNAPI_GOAWAY ? 8 : 16) + (has_text(frame->type) ? frame->text_len : 0);
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
    if (has_payload(frame->type)) {
        return snapi_frame_put_payload(frame, out);
    }
    size_t size = body_offset(frame);
    struct base_put_cursor c = base_put_cursor_make(out, size);
    put_head(frame, &c);
    if (has_text(frame->type)) {
        base_cursor_put_bytes(&c, frame->text, frame->text_len);
    }
    return out + size;
}
