/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/frames.h"

/* What a type's frame holds: its size, which flags may be set, whether it has data. */
struct shape {
    uint8_t bytes;
    uint8_t flags;
    bool has_reason;
    bool has_data;
};

static const struct shape shapes[PONY_FRAME_MAX] = {
    [PONY_FRAME_OPEN] = {PONY_OPEN_BYTES, PONY_FRAME_CLASS, false, false},
    [PONY_FRAME_OPEN_OK] = {PONY_OPEN_OK_BYTES, 0, false, false},
    [PONY_FRAME_REFUSE] = {8, 0, true, false},
    [PONY_FRAME_SMALL] = {PONY_SMALL_BYTES, PONY_FRAME_ORDERED, false, true},
    [PONY_FRAME_FRAG] = {PONY_FRAG_BYTES, PONY_FRAME_ORDERED | PONY_FRAME_EAGER, false, true},
    [PONY_FRAME_RTS] = {PONY_RTS_BYTES, PONY_FRAME_ORDERED, false, false},
    [PONY_FRAME_GRANT] = {12, 0, false, false},
    [PONY_FRAME_CREDIT] = {12, 0, false, false},
    [PONY_FRAME_CLOSE] = {12, 0, false, false},
    [PONY_FRAME_CLOSE_OK] = {8, 0, false, false},
    [PONY_FRAME_RESET] = {8, 0, true, false},
    [PONY_FRAME_PAD] = {PONY_PAD_BYTES, 0, false, true},
};

uint32_t pony_frame_bytes(uint8_t type)
{
    return type < PONY_FRAME_MAX ? shapes[type].bytes : 0;
}

uint32_t pony_frame_pad_for(uint32_t bytes)
{
    uint32_t pad = -bytes % PONY_ALIGN_BYTES;
    return pad > 0 && pad < PONY_PAD_BYTES ? pad + (uint32_t)PONY_ALIGN_BYTES : pad;
}

/* The words of `frame` behind its common part; `at` has room for all of them. */
static void get_words(const uint8_t *at, struct pony_frame *frame)
{
    switch ((enum pony_frame_type)frame->type) {
    case PONY_FRAME_OPEN:
        frame->service = base_load_u64(at);
        frame->limit_bytes = base_load_u32(at + 8);
        frame->eager_max_bytes = base_load_u32(at + 12);
        break;
    case PONY_FRAME_OPEN_OK:
        frame->own_conn = base_load_u32(at);
        frame->limit_bytes = base_load_u32(at + 4);
        frame->eager_max_bytes = base_load_u32(at + 8);
        break;
    case PONY_FRAME_SMALL:
        frame->stream = base_load_u32(at);
        frame->seq = base_load_u32(at + 4);
        break;
    case PONY_FRAME_FRAG:
        frame->msg_no = base_load_u32(at);
        frame->total_bytes = base_load_u32(at + 4);
        frame->off = base_load_u32(at + 8);
        frame->stream = base_load_u32(at + 12);
        frame->seq = base_load_u32(at + 16);
        break;
    case PONY_FRAME_RTS:
        frame->msg_no = base_load_u32(at);
        frame->total_bytes = base_load_u32(at + 4);
        frame->stream = base_load_u32(at + 8);
        frame->seq = base_load_u32(at + 12);
        frame->rts_no = base_load_u32(at + 16);
        break;
    case PONY_FRAME_GRANT:
    case PONY_FRAME_CLOSE:
        frame->msg_no = base_load_u32(at);
        break;
    case PONY_FRAME_CREDIT:
        frame->limit_bytes = base_load_u32(at);
        break;
    case PONY_FRAME_REFUSE:
    case PONY_FRAME_CLOSE_OK:
    case PONY_FRAME_RESET:
    case PONY_FRAME_PAD:
    case PONY_FRAME_MAX:
        break;
    }
}

/* A SMALL, of which there are many in a packet, in one look. False: it is something else, or
 * malformed; nothing was read. */
static inline bool get_small(struct base_cursor *from, struct pony_frame *frame)
{
    size_t left = base_cursor_left(from);
    const uint8_t *at = from->data + from->pos;
    if (left < PONY_SMALL_BYTES || at[0] != PONY_FRAME_SMALL ||
        (at[1] & ~PONY_FRAME_ORDERED) != 0) {
        return false;
    }
    const uint32_t data_len = base_load_u16(at + 2);
    if (data_len > left - PONY_SMALL_BYTES) {
        return false;
    }
    *frame = (struct pony_frame){
        .type = PONY_FRAME_SMALL,
        .flags = at[1],
        .conn = base_load_u32(at + 4),
        .stream = base_load_u32(at + 8),
        .seq = base_load_u32(at + 12),
        .data = at + PONY_SMALL_BYTES,
        .data_len = data_len,
    };
    from->pos += PONY_SMALL_BYTES + data_len;
    return true;
}

bool pony_frame_get(struct base_cursor *from, struct pony_frame *frame)
{
    if (get_small(from, frame)) {
        return true;
    }
    const uint8_t *head = base_cursor_get_bytes(from, 8);
    *frame = (struct pony_frame){0};
    if (head == NULL || head[0] >= PONY_FRAME_MAX || shapes[head[0]].bytes == 0) {
        return false;
    }
    const struct shape *shape = &shapes[head[0]];
    const uint8_t *words = base_cursor_get_bytes(from, shape->bytes - 8u);
    if (words == NULL) {
        return false;
    }
    frame->type = head[0];
    frame->conn = base_load_u32(head + 4);
    if (shape->has_reason) {
        frame->reason = head[1];
    } else if ((head[1] & ~shape->flags) != 0) {
        return false;
    } else {
        frame->flags = head[1];
    }
    if (frame->type == PONY_FRAME_OPEN && frame->flags == PONY_FRAME_CLASS) {
        return false; /* the one of four that is no class */
    }
    get_words(words, frame);
    frame->data_len = base_load_u16(head + 2);
    if (!shape->has_data) {
        return frame->data_len == 0;
    }
    frame->data = base_cursor_get_bytes(from, frame->data_len);
    return frame->data != NULL;
}

static void put_words(uint8_t *at, const struct pony_frame *frame)
{
    switch ((enum pony_frame_type)frame->type) {
    case PONY_FRAME_OPEN:
        base_store_u64(at, frame->service);
        base_store_u32(at + 8, frame->limit_bytes);
        base_store_u32(at + 12, frame->eager_max_bytes);
        break;
    case PONY_FRAME_OPEN_OK:
        base_store_u32(at, frame->own_conn);
        base_store_u32(at + 4, frame->limit_bytes);
        base_store_u32(at + 8, frame->eager_max_bytes);
        break;
    case PONY_FRAME_SMALL:
        base_store_u32(at, frame->stream);
        base_store_u32(at + 4, frame->seq);
        break;
    case PONY_FRAME_FRAG:
        base_store_u32(at, frame->msg_no);
        base_store_u32(at + 4, frame->total_bytes);
        base_store_u32(at + 8, frame->off);
        base_store_u32(at + 12, frame->stream);
        base_store_u32(at + 16, frame->seq);
        break;
    case PONY_FRAME_RTS:
        base_store_u32(at, frame->msg_no);
        base_store_u32(at + 4, frame->total_bytes);
        base_store_u32(at + 8, frame->stream);
        base_store_u32(at + 12, frame->seq);
        base_store_u32(at + 16, frame->rts_no);
        break;
    case PONY_FRAME_GRANT:
    case PONY_FRAME_CLOSE:
        base_store_u32(at, frame->msg_no);
        break;
    case PONY_FRAME_CREDIT:
        base_store_u32(at, frame->limit_bytes);
        break;
    case PONY_FRAME_REFUSE:
    case PONY_FRAME_CLOSE_OK:
    case PONY_FRAME_RESET:
    case PONY_FRAME_PAD:
    case PONY_FRAME_MAX:
        break;
    }
}

uint32_t pony_frame_put(uint8_t *to, const struct pony_frame *frame)
{
    const struct shape *shape = &shapes[frame->type];
    to[0] = frame->type;
    to[1] = shape->has_reason ? frame->reason : frame->flags;
    base_store_u16(to + 2, (uint16_t)frame->data_len);
    base_store_u32(to + 4, frame->conn);
    put_words(to + 8, frame);
    return shape->bytes;
}
