/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/tx.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct ktcp_long) <= KTCP_LONG_HEAD_BYTES, "a long message's head");

static const uint8_t preface[KTCP_PREFACE_BYTES] = {'S', 'N', 'A', 'P',
                                                    'T', 'C', 'P', KTCP_VERSION};
static const uint8_t end_frame[KTCP_HEADER_BYTES] = {0, 0, 0, 0, KTCP_END, KTCP_REASON_DONE, 0, 0};

enum {
    RING_MIN = 16,
    RING_KEPT = 1024, /* a longer one is cut back when it is empty */
    RESERVED_LONG = 1 /* in snapi_tx.priv[1]; a short one has its frame's bytes there, >= 8 */
};

static const size_t high_bytes[KTCP_CLASSES] = {KTCP_SHORT_HIGH_BYTES, KTCP_MIDDLE_HIGH_BYTES,
                                                KTCP_LONG_HIGH_BYTES};

static enum ktcp_class class_of(size_t len)
{
    return len <= KTCP_SHORT_BYTES    ? KTCP_CLASS_SHORT
           : len <= KTCP_MIDDLE_BYTES ? KTCP_CLASS_MIDDLE
                                      : KTCP_CLASS_LONG;
}

__attribute__((noinline)) static enum base_err ring_grow(struct ktcp_tx *tx)
{
    uint32_t capacity = tx->capacity == 0 ? RING_MIN : 2 * tx->capacity;
    struct ktcp_entry *ring = malloc(capacity * sizeof(*ring));
    BASE_ENSURE(ring != NULL, BASE_E_NOMEM);
    for (uint32_t i = 0; i < tx->n_queued; i++) {
        ring[i] = tx->ring[(tx->head + i) & (tx->capacity - 1)];
    }
    free(tx->ring);
    tx->ring = ring;
    tx->capacity = capacity;
    tx->head = 0;
    return BASE_OK;
}

static inline enum base_err ring_reserve(struct ktcp_tx *tx)
{
    /* Two more than asked for: a preface and an end always fit. */
    return BASE_LIKELY(tx->n_queued + tx->n_reserved + 2 < tx->capacity) ? BASE_OK : ring_grow(tx);
}

/* The entry at place `i` from the front. */
static inline struct ktcp_entry *entry_at(const struct ktcp_tx *tx, uint32_t i)
{
    return &tx->ring[(tx->head + i) & (tx->capacity - 1)];
}

static size_t entry_cost(uint32_t bytes)
{
    return bytes + sizeof(struct ktcp_entry);
}

static inline void ring_push(struct ktcp_tx *tx, const struct ktcp_entry *entry)
{
    base_assert(tx->n_queued < tx->capacity);
    *entry_at(tx, tx->n_queued) = *entry;
    tx->n_queued++;
    tx->queued[KTCP_CLASS_SHORT] += entry_cost(entry->bytes);
}

static void drop_packer(struct ktcp_tx *tx, struct ktcp_packer *packer)
{
    if (packer->chunk != NULL) {
        ktcp_chunk_put(tx->mem, packer->chunk);
        packer->chunk = NULL;
    }
}

static void ring_shrink(struct ktcp_tx *tx)
{
    if (tx->capacity <= RING_KEPT) {
        return;
    }
    struct ktcp_entry *ring = realloc(tx->ring, RING_KEPT * sizeof(*ring));
    if (ring != NULL) {
        tx->ring = ring;
        tx->capacity = RING_KEPT;
        tx->head = 0;
    }
}

static inline void ring_pop(struct ktcp_tx *tx)
{
    struct ktcp_entry *entry = entry_at(tx, 0);
    tx->queued[KTCP_CLASS_SHORT] -= entry_cost(entry->bytes);
    if (entry->is_message) {
        ktcp_chunk_put(tx->mem, ktcp_chunk_of(entry->frame));
    }
    tx->has_greeted = true;
    tx->head++;
    tx->n_queued--;
    tx->front_done = 0;
    if (tx->n_queued == 0 && tx->n_reserved == 0) {
        drop_packer(tx, &tx->own);
        ring_shrink(tx);
    }
}

enum base_err ktcp_tx_init(struct ktcp_tx *tx, struct ktcp_mem *mem, struct ktcp_packer *shared)
{
    *tx = (struct ktcp_tx){.mem = mem, .shared = shared};
    base_list_init(&tx->waiting);
    base_list_init(&tx->reserved);
    BASE_TRY(ring_reserve(tx));
    /* Never written through: the frame of an entry that is no message is only read. */
    ring_push(
        tx, &(struct ktcp_entry){.frame = (uint8_t *)(uintptr_t)preface, .bytes = sizeof(preface)});
    return BASE_OK;
}

static void long_free(struct ktcp_tx *tx, struct ktcp_long *msg)
{
    base_list_del(&msg->link);
    struct ktcp_buf buf = msg->buf;
    ktcp_buf_give(tx->mem, &buf);
}

static void list_free(struct ktcp_tx *tx, struct base_list *list)
{
    while (!base_list_is_empty(list)) {
        long_free(tx, base_list_entry(list->next, struct ktcp_long, link));
    }
}

void ktcp_tx_fini(struct ktcp_tx *tx)
{
    while (tx->n_queued > 0) {
        ring_pop(tx);
    }
    for (int i = 0; i < KTCP_STREAMS; i++) {
        if (tx->active[i] != NULL) {
            long_free(tx, tx->active[i]);
            tx->active[i] = NULL;
        }
    }
    list_free(tx, &tx->waiting);
    list_free(tx, &tx->reserved);
    drop_packer(tx, &tx->own);
    free(tx->ring);
    tx->ring = NULL;
    tx->capacity = 0;
}

static enum base_err begin_short(struct ktcp_tx *tx, size_t len, struct snapi_tx *room)
{
    BASE_TRY(ring_reserve(tx));
    uint32_t bytes = (uint32_t)(KTCP_HEADER_BYTES + ktcp_body_bytes(len));
    struct ktcp_packer *packer = tx->is_blocked ? &tx->own : tx->shared;
    if (packer->chunk != NULL && packer->chunk->refs == 1) {
        packer->chunk->used = KTCP_CHUNK_HEAD_BYTES; /* all its frames are gone: it is warm, too */
    }
    if (packer->chunk != NULL && packer->chunk->used + bytes > KTCP_CHUNK_BYTES) {
        drop_packer(tx, packer);
    }
    if (packer->chunk == NULL) {
        packer->chunk = ktcp_chunk_take(tx->mem);
        BASE_ENSURE(packer->chunk != NULL, BASE_E_NOMEM);
    }
    struct ktcp_chunk *chunk = packer->chunk;
    uint8_t *frame = (uint8_t *)chunk + chunk->used;
    chunk->used += bytes;
    chunk->refs++;
    tx->n_reserved++;
    *room = (struct snapi_tx){
        .data = frame + KTCP_HEADER_BYTES, .len = len, .priv = {(uintptr_t)frame, bytes}};
    return BASE_OK;
}

static enum base_err begin_long(struct ktcp_tx *tx, size_t len, struct snapi_tx *room)
{
    struct ktcp_buf buf;
    size_t bytes = KTCP_LONG_HEAD_BYTES + ktcp_body_bytes(len);
    BASE_ENSURE(bytes > len, BASE_E_LIMIT);
    BASE_TRY(ktcp_buf_take(tx->mem, bytes, bytes, &buf));
    struct ktcp_long *msg = (struct ktcp_long *)(void *)buf.data;
    *msg = (struct ktcp_long){.buf = buf};
    base_list_add_tail(&tx->reserved, &msg->link);
    *room = (struct snapi_tx){.data = buf.data + KTCP_LONG_HEAD_BYTES,
                              .len = len,
                              .priv = {(uintptr_t)msg, RESERVED_LONG}};
    return BASE_OK;
}

enum base_err ktcp_tx_begin(struct ktcp_tx *tx, size_t len, struct snapi_tx *room)
{
    *room = (struct snapi_tx){0};
    enum ktcp_class class = class_of(len);
    if (tx->queued[class] > high_bytes[class]) {
        tx->wants[class] = true;
        return BASE_AGAIN;
    }
    return class == KTCP_CLASS_SHORT ? begin_short(tx, len, room) : begin_long(tx, len, room);
}

/* Gives back what lies behind `end` of the frame, if nothing was packed behind it. */
static void unpack(struct ktcp_chunk *chunk, const uint8_t *frame, uint32_t bytes, uint32_t keep)
{
    uint32_t at = (uint32_t)(frame - (uint8_t *)chunk);
    if (chunk->used == at + bytes) {
        chunk->used = at + keep;
    }
}

/* The zeros behind a payload, in place: seven at most. `data` is 8-aligned. KT-7 */
static inline void zero_padding(uint8_t *data, size_t len)
{
    size_t past = len % 8;
    if (past > 0) {
        uint8_t *last = data + (len - past);
        base_store_u64(last, base_load_u64(last) & ((UINT64_C(1) << (8 * past)) - 1));
    }
}

/* KT-4, KT-17 */
static void send_short(struct ktcp_tx *tx, struct snapi_tx *room, uint64_t tag)
{
    uint8_t *frame = room->data - KTCP_HEADER_BYTES;
    size_t body = ktcp_body_bytes(room->len);
    uint32_t bytes = (uint32_t)(KTCP_HEADER_BYTES + body);
    base_assert(bytes <= room->priv[1]);
    ktcp_header_put_whole(frame, (uint32_t)room->len);
    zero_padding(room->data, room->len);
    unpack(ktcp_chunk_of(frame), frame, (uint32_t)room->priv[1], bytes);
    tx->n_reserved--;
    ring_push(tx,
              &(struct ktcp_entry){.frame = frame, .tag = tag, .bytes = bytes, .is_message = true});
}

/* Gives waiting messages the streams that are free. */
static void start_waiting(struct ktcp_tx *tx)
{
    for (int i = 0; i < KTCP_STREAMS && !base_list_is_empty(&tx->waiting); i++) {
        if (tx->active[i] == NULL) {
            tx->active[i] =
                base_list_entry(base_list_take_first(&tx->waiting), struct ktcp_long, link);
        }
    }
}

static void send_long(struct ktcp_tx *tx, struct snapi_tx *room, uint64_t tag)
{
    struct ktcp_long *msg = (struct ktcp_long *)(void *)(room->data - KTCP_LONG_HEAD_BYTES);
    msg->total = room->len;
    msg->tag = tag;
    zero_padding(room->data, room->len);
    base_list_del(&msg->link);
    base_list_add_tail(&tx->waiting, &msg->link);
    msg->class = (uint8_t)class_of(room->len);
    tx->queued[msg->class] += room->len;
    tx->n_long++;
    start_waiting(tx);
}

void ktcp_tx_send(struct ktcp_tx *tx, struct snapi_tx *room, uint64_t tag)
{
    if (room->priv[1] == RESERVED_LONG) {
        send_long(tx, room, tag);
    } else {
        send_short(tx, room, tag);
    }
    *room = (struct snapi_tx){0};
}

void ktcp_tx_abandon(struct ktcp_tx *tx, struct snapi_tx *room)
{
    if (room->priv[1] == RESERVED_LONG) {
        long_free(tx, (struct ktcp_long *)(void *)(room->data - KTCP_LONG_HEAD_BYTES));
    } else {
        uint8_t *frame = room->data - KTCP_HEADER_BYTES;
        struct ktcp_chunk *chunk = ktcp_chunk_of(frame);
        unpack(chunk, frame, (uint32_t)room->priv[1], 0);
        ktcp_chunk_put(tx->mem, chunk);
        tx->n_reserved--;
    }
    *room = (struct snapi_tx){0};
}

enum base_err ktcp_tx_end(struct ktcp_tx *tx)
{
    BASE_TRY(ring_reserve(tx));
    ring_push(tx, &(struct ktcp_entry){.frame = (uint8_t *)(uintptr_t)end_frame,
                                       .bytes = sizeof(end_frame)});
    return BASE_OK;
}

static bool has_room(const struct ktcp_tx *tx, int class)
{
    return tx->wants[class] && tx->queued[class] <= high_bytes[class] / 2;
}

bool ktcp_tx_is_writable(const struct ktcp_tx *tx)
{
    for (int i = 0; i < KTCP_CLASSES; i++) {
        if (has_room(tx, i)) {
            return true;
        }
    }
    return false;
}

bool ktcp_tx_take_writable(struct ktcp_tx *tx)
{
    bool is_writable = false;
    for (int i = 0; i < KTCP_CLASSES; i++) {
        if (has_room(tx, i)) {
            tx->wants[i] = false;
            is_writable = true;
        }
    }
    return is_writable;
}

static void long_done(struct ktcp_tx *tx, int stream)
{
    struct ktcp_long *msg = tx->active[stream];
    tx->queued[msg->class] -= (size_t)(msg->total - msg->sent);
    tx->n_long--;
    tx->active[stream] = NULL;
    long_free(tx, msg);
    start_waiting(tx);
}

bool ktcp_tx_first_unsent(struct ktcp_tx *tx, struct ktcp_unsent *unsent)
{
    while (tx->n_queued > 0) {
        const struct ktcp_entry *entry = &tx->ring[tx->head & (tx->capacity - 1)];
        if (entry->is_message) {
            *unsent = (struct ktcp_unsent){.tag = entry->tag,
                                           .data = entry->frame + KTCP_HEADER_BYTES,
                                           .len = base_load_u32(entry->frame)};
            return true;
        }
        ring_pop(tx);
    }
    tx->is_cut = false;
    for (int i = 0; i < KTCP_STREAMS; i++) {
        struct ktcp_long *msg = tx->active[i];
        if (msg != NULL) {
            *unsent = (struct ktcp_unsent){.tag = msg->tag,
                                           .data = (uint8_t *)msg + KTCP_LONG_HEAD_BYTES,
                                           .len = (size_t)msg->total};
            return true;
        }
    }
    return false;
}

void ktcp_tx_drop_unsent(struct ktcp_tx *tx)
{
    if (tx->n_queued > 0) {
        ring_pop(tx);
        return;
    }
    for (int i = 0; i < KTCP_STREAMS; i++) {
        if (tx->active[i] != NULL) {
            long_done(tx, i);
            return;
        }
    }
}

/* KT-18: the piece of `msg` that begins at `at`. */
static struct ktcp_header piece_at(const struct ktcp_long *msg, uint8_t stream, uint64_t at)
{
    uint64_t left = msg->total - at;
    uint64_t length = base_min_u64(left, KTCP_PIECE_BYTES);
    uint8_t flags = (uint8_t)((at == 0 ? KTCP_FIRST : 0) | (length == left ? KTCP_LAST : 0));
    bool is_whole = flags == (KTCP_FIRST | KTCP_LAST);
    return (struct ktcp_header){.length = (uint32_t)length,
                                .flags = flags,
                                .stream = is_whole ? 0 : stream,
                                .total = msg->total};
}

static void batch_add(struct ktcp_batch *batch, void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    struct iovec *last = batch->n_iov > 0 ? &batch->iov[batch->n_iov - 1] : NULL;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == data) {
        last->iov_len += len;
    } else {
        batch->iov[batch->n_iov++] = (struct iovec){.iov_base = data, .iov_len = len};
    }
    batch->bytes += len;
}

/* The piece of `stream` at msg->planned, without its first `done` bytes. */
static void gather_piece(struct ktcp_tx *tx, struct ktcp_batch *batch, uint8_t stream, size_t done)
{
    struct ktcp_long *msg = tx->active[stream];
    struct ktcp_header header = piece_at(msg, stream, msg->planned);
    uint8_t *at = batch->headers[batch->n_items];
    size_t head = ktcp_header_put(at, &header);
    size_t body = ktcp_body_bytes(header.length);
    uint8_t *data = (uint8_t *)msg + KTCP_LONG_HEAD_BYTES + msg->planned;
    size_t before = batch->bytes;
    if (done < head) {
        batch_add(batch, at + done, head - done);
        batch_add(batch, data, body);
    } else {
        batch_add(batch, data + (done - head), body - (done - head));
    }
    batch->items[batch->n_items++] =
        (struct ktcp_item){.bytes = (uint32_t)(batch->bytes - before), .stream = (int8_t)stream};
    msg->planned += header.length;
    msg->is_planned = (header.flags & KTCP_LAST) != 0;
}

/* Frames from the ring's place `*next` on, up to about 64 KiB. */
static void gather_frames(struct ktcp_tx *tx, struct ktcp_batch *batch, uint32_t *next)
{
    size_t before = batch->bytes;
    while (*next < tx->n_queued && batch->bytes - before < KTCP_PIECE_BYTES &&
           batch->n_iov < KTCP_TX_IOV - 2) {
        const struct ktcp_entry *entry = entry_at(tx, *next);
        uint32_t done = *next == 0 ? tx->front_done : 0;
        uint8_t *data = entry->frame + done;
        size_t len = entry->bytes - done;
        while (++*next < tx->n_queued && (entry = entry_at(tx, *next))->frame == data + len &&
               batch->bytes + len - before < KTCP_PIECE_BYTES) {
            len += entry->bytes; /* it was packed right behind */
        }
        batch_add(batch, data, len);
    }
    if (batch->bytes > before) {
        batch->items[batch->n_items++] =
            (struct ktcp_item){.bytes = (uint32_t)(batch->bytes - before), .stream = -1};
    }
}

/* The stream whose turn it is; -1: none has a piece left. */
static int next_stream(const struct ktcp_tx *tx, struct ktcp_turn *turn)
{
    for (int i = 0; i < KTCP_STREAMS; i++) {
        const struct ktcp_long *msg = tx->active[turn->stream];
        if (msg != NULL && !msg->is_planned && turn->n_pieces < KTCP_TURN_PIECES) {
            return turn->stream;
        }
        *turn = (struct ktcp_turn){.stream = (uint8_t)((turn->stream + 1) % KTCP_STREAMS)};
    }
    /* Round once: only the one that had its turn just now can be left. */
    const struct ktcp_long *msg = tx->active[turn->stream];
    return msg != NULL && !msg->is_planned ? turn->stream : -1;
}

void ktcp_tx_gather(struct ktcp_tx *tx, struct ktcp_batch *batch)
{
    batch->n_iov = 0;
    batch->n_items = 0;
    batch->bytes = 0;
    for (int i = 0; i < KTCP_STREAMS; i++) {
        if (tx->active[i] != NULL) {
            tx->active[i]->planned = tx->active[i]->sent;
            tx->active[i]->is_planned = false;
        }
    }
    if (tx->is_cut) {
        gather_piece(tx, batch, tx->cut_stream, tx->cut_done);
    }
    uint32_t next = 0;
    struct ktcp_turn turn = tx->turn;
    while (batch->bytes < KTCP_TX_BATCH_BYTES && batch->n_items < KTCP_TX_ITEMS - 1 &&
           batch->n_iov < KTCP_TX_IOV - 4) {
        gather_frames(tx, batch, &next);
        int stream = next_stream(tx, &turn);
        if (stream >= 0) {
            gather_piece(tx, batch, (uint8_t)stream, 0);
            turn.n_pieces++;
        } else if (next == tx->n_queued) {
            break;
        }
    }
}

static void advance_frames(struct ktcp_tx *tx, size_t n)
{
    while (n > 0) {
        const struct ktcp_entry *entry = entry_at(tx, 0);
        size_t left = entry->bytes - tx->front_done;
        if (n < left) {
            tx->front_done += (uint32_t)n;
            return;
        }
        n -= left;
        ring_pop(tx);
    }
}

/* `n` of `item`'s bytes were taken; 1 or more. */
static void advance_piece(struct ktcp_tx *tx, const struct ktcp_item *item, size_t n)
{
    uint8_t stream = (uint8_t)item->stream;
    struct ktcp_long *msg = tx->active[stream];
    if (n < item->bytes) {
        tx->cut_done = (tx->is_cut ? tx->cut_done : 0) + (uint32_t)n;
        tx->cut_stream = stream;
        tx->is_cut = true;
        return;
    }
    struct ktcp_header header = piece_at(msg, stream, msg->sent);
    tx->is_cut = false;
    bool is_same = tx->turn.stream == stream && tx->turn.n_pieces < KTCP_TURN_PIECES;
    uint8_t n_before = is_same ? tx->turn.n_pieces : 0;
    tx->turn = (struct ktcp_turn){.stream = stream, .n_pieces = (uint8_t)(n_before + 1)};
    if ((header.flags & KTCP_LAST) != 0) {
        long_done(tx, stream);
        return;
    }
    msg->sent += header.length;
    tx->queued[msg->class] -= header.length;
}

void ktcp_tx_advance(struct ktcp_tx *tx, const struct ktcp_batch *batch, size_t n)
{
    for (int i = 0; i < batch->n_items && n > 0; i++) {
        const struct ktcp_item *item = &batch->items[i];
        size_t part = base_min_size(n, item->bytes);
        if (item->stream < 0) {
            advance_frames(tx, part);
        } else {
            advance_piece(tx, item, part);
        }
        n -= part;
    }
}
