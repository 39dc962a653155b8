/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/rx.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "base/copy.h"
#include "base/endian.h"

#include <string.h>

_Static_assert(KTCP_PIECE_BYTES % 8 == 0, "pieces keep the alignment");
_Static_assert(KTCP_RX_SHARED_BYTES >= KTCP_RX_TAIL_BYTES + KTCP_PIECE_BYTES +
                                           KTCP_RX_AHEAD * (KTCP_PIECE_BYTES + KTCP_HEADER_BYTES),
               "a wrong guess fits");
_Static_assert((int)KTCP_RX_FIRST_BYTES >= (int)KTCP_PIECE_BYTES, "a first piece fits");

void ktcp_rx_init(struct ktcp_rx *rx, struct ktcp_mem *mem, const struct ktcp_rx_sink *sink,
                  size_t max_message_bytes)
{
    *rx = (struct ktcp_rx){.mem = mem,
                           .sink = *sink,
                           .max_message_bytes = max_message_bytes,
                           .n_guess = KTCP_RX_AHEAD};
}

void ktcp_rx_fini(struct ktcp_rx *rx)
{
    for (int i = 0; i <= KTCP_STREAMS; i++) {
        ktcp_buf_give(rx->mem, &rx->slots[i].buf);
    }
}

static enum base_err malformed(struct ktcp_rx *rx, const char *why)
{
    rx->why = why;
    return BASE_E_MALFORMED;
}

static void plan_add(struct ktcp_rx_plan *plan, void *data, size_t len)
{
    plan->iov[plan->n_iov++] = (struct iovec){.iov_base = data, .iov_len = len};
    plan->bytes += len;
}

/* Header and body of the pieces that follow the one coming in, as far as there is room. */
static void plan_ahead(struct ktcp_rx *rx, struct ktcp_rx_plan *plan)
{
    struct ktcp_rx_slot *slot = &rx->slots[rx->piece_slot];
    uint64_t at = slot->received + rx->piece_left;
    while (plan->n_ahead < rx->n_guess && at < slot->total) {
        uint64_t length = base_min_u64(KTCP_PIECE_BYTES, slot->total - at);
        size_t body = ktcp_body_bytes((size_t)length);
        if (at + body > slot->buf.capacity) {
            return;
        }
        struct ktcp_header header = {.length = (uint32_t)length,
                                     .flags = at + length == slot->total ? KTCP_LAST : 0,
                                     .stream = rx->piece_slot};
        (void)ktcp_header_put(plan->expected[plan->n_ahead], &header);
        plan_add(plan, plan->headers[plan->n_ahead], KTCP_HEADER_BYTES);
        plan_add(plan, slot->buf.data + at, body);
        plan->n_ahead++;
        at += length;
    }
}

void ktcp_rx_plan(struct ktcp_rx *rx, uint8_t *shared, struct ktcp_rx_plan *plan)
{
    plan->n_iov = 0;
    plan->n_ahead = 0;
    plan->bytes = 0;
    plan->shared = shared;
    if (rx->piece_left == 0) {
        memcpy(shared, rx->held, rx->n_held);
        plan_add(plan, shared + rx->n_held, KTCP_RX_READ_BYTES - rx->n_held);
        return;
    }
    struct ktcp_rx_slot *slot = &rx->slots[rx->piece_slot];
    plan_add(plan, slot->buf.data + slot->received, rx->piece_left);
    if (!rx->is_last) {
        plan_ahead(rx, plan);
    }
    plan_add(plan, shared, KTCP_RX_TAIL_BYTES);
}

static void hand_out(struct ktcp_rx *rx, const uint8_t *data, size_t len)
{
    if (!rx->is_stopped && !rx->sink.on_message(rx->sink.arg, data, len)) {
        rx->is_stopped = true;
    }
}

/* Counts `n` bytes that lie at their place in the piece's slot. */
static void piece_came(struct ktcp_rx *rx, size_t n)
{
    struct ktcp_rx_slot *slot = &rx->slots[rx->piece_slot];
    slot->received += n;
    rx->piece_left -= (uint32_t)n;
    if (rx->piece_left > 0 || !rx->is_last) {
        return;
    }
    /* The slot is free before the message is handed out; its buffer only afterwards. */
    struct ktcp_buf buf = slot->buf;
    slot->buf = (struct ktcp_buf){0};
    hand_out(rx, buf.data, (size_t)slot->total);
    ktcp_buf_give(rx->mem, &buf);
}

/* KT-13: room for the next `body` bytes of a message; doubles, so that moving costs little. */
static enum base_err make_room(struct ktcp_rx *rx, struct ktcp_rx_slot *slot, size_t body)
{
    size_t need = (size_t)slot->received + body;
    if (need <= slot->buf.capacity) {
        return BASE_OK;
    }
    size_t whole = ktcp_body_bytes((size_t)slot->total);
    enum base_err err = ktcp_buf_grow(
        rx->mem, &slot->buf, base_min_size(whole, base_max_size(need, 2 * slot->buf.capacity)));
    if (err != BASE_OK) {
        rx->why = "no memory for a message";
    }
    return err;
}

/* KT-5, KT-6, KT-7, KT-8, KT-9, KT-10, KT-12: what a header may say, whatever has come before. */
static enum base_err check_header(struct ktcp_rx *rx, const struct ktcp_header *h, uint16_t zero)
{
    bool is_first = (h->flags & KTCP_FIRST) != 0;
    bool is_last = (h->flags & KTCP_LAST) != 0;
    if (zero != 0 || h->flags > (KTCP_FIRST | KTCP_LAST)) {
        return malformed(rx, "reserved bits in a header are set");
    }
    if (h->length > KTCP_PIECE_BYTES) {
        return malformed(rx, "a piece is longer than 64 KiB");
    }
    if (is_first && is_last) {
        if (h->stream != 0) {
            return malformed(rx, "a whole message names a stream");
        }
        if (h->length > rx->max_message_bytes) {
            rx->why = "a message is longer than max_message_bytes";
            return BASE_E_LIMIT;
        }
        return BASE_OK;
    }
    if (h->length == 0) {
        return malformed(rx, "a piece of a message is empty");
    }
    if (h->stream >= KTCP_STREAMS) {
        return malformed(rx, "too many messages in pieces at once");
    }
    if (!is_last && h->length % 8 != 0) {
        return malformed(rx, "a piece that is not the last has an odd length");
    }
    return BASE_OK;
}

static enum base_err begin_pieces(struct ktcp_rx *rx, const struct ktcp_header *h)
{
    struct ktcp_rx_slot *slot = &rx->slots[h->stream];
    if (slot->buf.data != NULL) {
        return malformed(rx, "a message begins inside another one");
    }
    if (h->total > rx->max_message_bytes) {
        rx->why = "a message is longer than max_message_bytes";
        return BASE_E_LIMIT;
    }
    if (h->total <= h->length) {
        return malformed(rx, "a first piece is as long as its message");
    }
    size_t whole = ktcp_body_bytes((size_t)h->total);
    slot->total = h->total;
    slot->received = 0;
    enum base_err err =
        ktcp_buf_take(rx->mem, whole, base_min_size(whole, KTCP_RX_FIRST_BYTES), &slot->buf);
    if (err != BASE_OK) {
        rx->why = "no memory for a message";
    }
    return err;
}

/* KT-11: a piece's header was read: finds its slot and makes it the piece that is coming in. */
static enum base_err begin_piece(struct ktcp_rx *rx, const struct ktcp_header *h)
{
    struct ktcp_rx_slot *slot = &rx->slots[h->stream];
    bool is_last = (h->flags & KTCP_LAST) != 0;
    if ((h->flags & KTCP_FIRST) != 0) {
        BASE_TRY(begin_pieces(rx, h));
    } else if (slot->buf.data == NULL) {
        return malformed(rx, "a piece of a message that was not begun");
    }
    uint64_t left = slot->total - slot->received;
    if (is_last ? h->length != left : h->length >= left) {
        return malformed(rx, "the pieces of a message do not add up to its length");
    }
    size_t body = ktcp_body_bytes(h->length);
    BASE_TRY(make_room(rx, slot, body));
    rx->piece_slot = h->stream;
    rx->piece_left = (uint32_t)body;
    rx->is_last = is_last;
    return BASE_OK;
}

/* A whole message of which `n` bytes are here: the rest will be read to its own buffer. */
static enum base_err begin_cut_message(struct ktcp_rx *rx, const struct ktcp_header *h)
{
    struct ktcp_rx_slot *slot = &rx->slots[KTCP_STREAMS];
    size_t body = ktcp_body_bytes(h->length);
    enum base_err err = ktcp_buf_take(rx->mem, body, body, &slot->buf);
    if (err != BASE_OK) {
        rx->why = "no memory for a message";
        return err;
    }
    slot->total = h->length;
    slot->received = 0;
    rx->piece_slot = KTCP_STREAMS;
    rx->piece_left = (uint32_t)body;
    rx->is_last = true;
    return BASE_OK;
}

/* KT-1, KT-2 */
static enum base_err read_preface(struct ktcp_rx *rx, const uint8_t *at)
{
    if (memcmp(at, KTCP_MAGIC, KTCP_PREFACE_BYTES - 1) != 0) {
        return malformed(rx, "this is not the protocol of snaprpc");
    }
    if (at[KTCP_PREFACE_BYTES - 1] != KTCP_VERSION) {
        rx->why = "the versions spoken differ";
        return BASE_E_VERSION;
    }
    rx->has_preface = true;
    rx->is_stopped = !rx->sink.on_preface(rx->sink.arg);
    return BASE_OK;
}

/* One frame at `at` with `avail` bytes behind. `used` 0: its header is not all there. */
static enum base_err read_frame(struct ktcp_rx *rx, const uint8_t *at, size_t avail, size_t *used)
{
    *used = 0;
    struct ktcp_header h = {
        .length = base_load_u32(at), .flags = at[4], .stream = at[5], .total = 0};
    if (h.flags == KTCP_END && h.length == 0 && base_load_u16(at + 6) == 0) {
        rx->has_ended = true;
        rx->end_reason = h.stream;
        *used = KTCP_HEADER_BYTES;
        return BASE_OK;
    }
    BASE_TRY(check_header(rx, &h, base_load_u16(at + 6)));
    size_t head = KTCP_HEADER_BYTES;
    if (h.flags == (KTCP_FIRST | KTCP_LAST)) {
        size_t frame = head + ktcp_body_bytes(h.length);
        if (avail >= frame) {
            hand_out(rx, at + head, h.length);
            *used = frame;
            return BASE_OK;
        }
        BASE_TRY(begin_cut_message(rx, &h));
    } else {
        if (ktcp_header_is_long(h.flags)) {
            head = KTCP_FIRST_HEADER_BYTES;
            if (avail < head) {
                return BASE_OK;
            }
            h.total = base_load_u64(at + 8);
        }
        BASE_TRY(begin_piece(rx, &h));
    }
    struct ktcp_rx_slot *slot = &rx->slots[rx->piece_slot];
    size_t n = base_min_size(avail - head, rx->piece_left);
    base_copy(slot->buf.data + slot->received, at + head, n);
    *used = head + n;
    if (n > 0) {
        piece_came(rx, n);
    }
    return BASE_OK;
}

static enum base_err read_frames(struct ktcp_rx *rx, const uint8_t *data, size_t len)
{
    size_t pos = 0;
    rx->n_held = 0;
    while (!rx->is_stopped && !rx->has_ended && len - pos >= KTCP_HEADER_BYTES) {
        size_t used = KTCP_PREFACE_BYTES;
        if (!rx->has_preface) {
            BASE_TRY(read_preface(rx, data + pos));
        } else {
            BASE_TRY(read_frame(rx, data + pos, len - pos, &used));
        }
        if (used == 0) {
            break;
        }
        pos += used;
    }
    if (!rx->is_stopped && !rx->has_ended && pos < len) {
        base_assert(len - pos < KTCP_FIRST_HEADER_BYTES);
        rx->n_held = (uint8_t)(len - pos);
        memcpy(rx->held, data + pos, rx->n_held);
    }
    return BASE_OK;
}

/* The guess failed at piece `k`: puts the `n` bytes from its header on in line, and reads them. */
static enum base_err read_in_line(struct ktcp_rx *rx, struct ktcp_rx_plan *plan, uint32_t k,
                                  size_t n)
{
    size_t ahead = 0;
    int first = (int)(1 + 2 * k);
    for (int i = first; i < plan->n_iov - 1; i++) {
        ahead += plan->iov[i].iov_len;
    }
    if (n > ahead) {
        memmove(plan->shared + ahead, plan->shared, n - ahead);
    }
    size_t pos = 0;
    for (int i = first; i < plan->n_iov - 1 && pos < n; i++) {
        size_t part = base_min_size(plan->iov[i].iov_len, n - pos);
        memcpy(plan->shared + pos, plan->iov[i].iov_base, part);
        pos += part;
    }
    return read_frames(rx, plan->shared, n);
}

enum base_err ktcp_rx_commit(struct ktcp_rx *rx, struct ktcp_rx_plan *plan, size_t n)
{
    if (rx->piece_left == 0) {
        return read_frames(rx, plan->shared, rx->n_held + n);
    }
    size_t part = base_min_size(n, rx->piece_left);
    piece_came(rx, part);
    n -= part;
    for (uint32_t k = 0; k < plan->n_ahead && n > 0 && !rx->is_stopped; k++) {
        if (n < KTCP_HEADER_BYTES) {
            memcpy(rx->held, plan->headers[k], n);
            rx->n_held = (uint8_t)n;
            return BASE_OK;
        }
        if (memcmp(plan->headers[k], plan->expected[k], KTCP_HEADER_BYTES) != 0) {
            rx->n_guess = (uint8_t)base_max_u32(1, rx->n_guess / 2u);
            return read_in_line(rx, plan, k, n);
        }
        rx->n_guess = (uint8_t)base_min_u32(KTCP_RX_AHEAD, rx->n_guess + 1u);
        n -= KTCP_HEADER_BYTES;
        rx->piece_left = (uint32_t)plan->iov[2 + 2 * k].iov_len;
        rx->is_last = (plan->expected[k][4] & KTCP_LAST) != 0;
        part = base_min_size(n, rx->piece_left);
        if (part > 0) {
            piece_came(rx, part);
        }
        n -= part;
    }
    return n > 0 && !rx->is_stopped ? read_frames(rx, plan->shared, n) : BASE_OK;
}
