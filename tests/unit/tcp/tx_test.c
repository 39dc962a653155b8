/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/tx.h"

#include "base/compiler.h"
#include "base/endian.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/ktcp_feed.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    IDS_MAX = 4096,
    PIPE_BYTES = 1 << 20
};

static alignas(64) uint8_t shared[KTCP_RX_SHARED_BYTES];

/* A sender, and a receiver that gets what a kernel of whims took. */
struct bench {
    struct ktcp_mem mem;
    struct ktcp_packer packer;
    struct ktcp_tx tx;
    struct ktcp_rx rx;
    struct base_rng rng;
    uint8_t *pipe;
    uint32_t n_messages;
    uint64_t last_id;
    uint8_t seen[IDS_MAX];
};

static bool on_preface(void *arg)
{
    (void)arg;
    return true;
}

static bool on_message(void *arg, const uint8_t *data, size_t len)
{
    struct bench *b = arg;
    b->n_messages++;
    if (len >= 8) {
        b->last_id = base_load_u64(data);
        assert_true(b->last_id < IDS_MAX);
        b->seen[b->last_id]++;
        for (size_t i = 8; i < len; i++) {
            assert_int_equal(data[i], (uint8_t)(b->last_id + i));
        }
    }
    return true;
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    b->pipe = malloc(PIPE_BYTES);
    assert_non_null(b->pipe);
    base_rng_init(&b->rng, 99);
    ktcp_mem_init(&b->mem);
    struct ktcp_rx_sink sink = {.on_preface = on_preface, .on_message = on_message, .arg = b};
    ktcp_rx_init(&b->rx, &b->mem, &sink, 64 << 20);
    assert_int_equal(ktcp_tx_init(&b->tx, &b->mem, &b->packer), BASE_OK);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    ktcp_tx_fini(&b->tx);
    ktcp_rx_fini(&b->rx);
    if (b->packer.chunk != NULL) {
        assert_int_equal(b->packer.chunk->refs, 1); /* no frame was forgotten */
        ktcp_chunk_put(&b->mem, b->packer.chunk);
    }
    ktcp_mem_fini(&b->mem);
    free(b->pipe);
    free(b);
    return 0;
}

static enum base_err send_message(struct bench *b, uint64_t id, size_t len)
{
    struct snapi_tx room;
    BASE_TRY(ktcp_tx_begin(&b->tx, len, &room));
    for (size_t i = 0; i < len; i++) {
        room.data[i] = (uint8_t)(id + i);
    }
    if (len >= 8) {
        base_store_u64(room.data, id);
    }
    ktcp_tx_send(&b->tx, &room, id);
    return BASE_OK;
}

static size_t gather_bytes(const struct ktcp_batch *batch, uint8_t *out, size_t max)
{
    size_t at = 0;
    for (int i = 0; i < batch->n_iov && at < max; i++) {
        size_t part = base_min_size(batch->iov[i].iov_len, max - at);
        memcpy(out + at, batch->iov[i].iov_base, part);
        at += part;
    }
    return at;
}

/* The kernel takes up to `most` bytes, which arrive. Returns how many. */
static size_t transfer(struct bench *b, size_t most)
{
    struct ktcp_batch batch;
    ktcp_tx_gather(&b->tx, &batch);
    assert_true(batch.n_iov <= KTCP_TX_IOV);
    assert_true(batch.n_items <= KTCP_TX_ITEMS);
    size_t n = gather_bytes(&batch, b->pipe, base_min_size(most, PIPE_BYTES));
    ktcp_tx_advance(&b->tx, &batch, n);
    size_t n_fed;
    assert_int_equal(ktcp_feed(&b->rx, shared, b->pipe, n, &b->rng, &n_fed), BASE_OK);
    assert_int_equal(n_fed, n);
    return n;
}

static void transfer_all(struct bench *b)
{
    while (!ktcp_tx_is_empty(&b->tx)) {
        assert_true(transfer(b, PIPE_BYTES) > 0);
    }
}

static void the_preface_leaves_first(void **state)
{
    struct bench *b = *state;
    assert_int_equal(send_message(b, 1, 8), BASE_OK);
    struct ktcp_batch batch;
    ktcp_tx_gather(&b->tx, &batch);
    assert_int_equal(gather_bytes(&batch, b->pipe, 100), 8 + 16);
    assert_memory_equal(b->pipe, "SNAPTCP\001\010\000\000\000\003\000\000\000\001", 17);
}

static void small_messages_leave_as_one_iovec(void **state)
{
    struct bench *b = *state;
    transfer_all(b);
    for (uint64_t id = 0; id < 100; id++) {
        assert_int_equal(send_message(b, id, 64), BASE_OK);
    }
    struct ktcp_batch batch;
    ktcp_tx_gather(&b->tx, &batch);
    assert_int_equal(batch.n_iov, 1);
    assert_int_equal(batch.bytes, 100 * 72);
}

/* KT-4 */
static void padding_is_zero(void **state)
{
    struct bench *b = *state;
    transfer_all(b);
    struct snapi_tx room;
    assert_int_equal(ktcp_tx_begin(&b->tx, 64, &room), BASE_OK);
    memset(room.data, 0xff, 64);
    room.len = 1;
    ktcp_tx_send(&b->tx, &room, 1);
    struct ktcp_batch batch;
    ktcp_tx_gather(&b->tx, &batch);
    assert_int_equal(gather_bytes(&batch, b->pipe, 100), 16);
    assert_memory_equal(b->pipe + 8, "\377\000\000\000\000\000\000\000", 8);
}

/* KT-17 */
static void small_ones_leave_between_the_pieces_of_a_long_one(void **state)
{
    struct bench *b = *state;
    transfer_all(b);
    assert_int_equal(send_message(b, 1, 4 << 20), BASE_OK);
    (void)transfer(b, 100000);
    assert_int_equal(send_message(b, 2, 64), BASE_OK);
    (void)transfer(b, 2 * KTCP_PIECE_BYTES);
    assert_int_equal(b->n_messages, 1);
    assert_int_equal(b->last_id, 2);
    transfer_all(b);
    assert_int_equal(b->n_messages, 2);
}

/* KT-18 */
static void long_ones_take_turns(void **state)
{
    struct bench *b = *state;
    transfer_all(b);
    assert_int_equal(send_message(b, 1, 8 << 20), BASE_OK);
    assert_int_equal(send_message(b, 2, 1200000), BASE_OK);
    transfer_all(b);
    assert_int_equal(b->n_messages, 2);
    assert_int_equal(b->last_id, 1); /* the longer one ends last, although it began first */
}

static void more_long_ones_than_streams_wait_their_turn(void **state)
{
    struct bench *b = *state;
    transfer_all(b);
    for (uint64_t id = 0; id < 3 * KTCP_STREAMS; id++) {
        assert_int_equal(send_message(b, id, 70000 + (size_t)id), BASE_OK);
    }
    transfer_all(b);
    assert_int_equal(b->n_messages, 3 * KTCP_STREAMS);
}

/* Whatever the kernel takes at a time: all arrive once; and those named unsent, together with those
 * that arrived, are all. */
static void any_split_by_the_kernel_loses_and_repeats_nothing(void **state)
{
    struct bench *b = *state;
    static const size_t most[] = {1, 7, 8, 9, 100, 5000, 65552, 300000};
    uint64_t id = 0;
    while (id < IDS_MAX) {
        size_t len =
            8 + (size_t)base_rng_below(&b->rng, base_rng_chance(&b->rng, 20000) ? 400000 : 300);
        b->tx.is_blocked = base_rng_chance(&b->rng, 300000);
        enum base_err err = send_message(b, id, len);
        assert_true(err == BASE_OK || err == BASE_AGAIN);
        id += err == BASE_OK;
        if (err == BASE_AGAIN || base_rng_chance(&b->rng, 200000)) {
            (void)transfer(b, err == BASE_AGAIN ? 300000 : most[base_rng_below(&b->rng, 8)]);
        }
    }
    struct ktcp_unsent unsent;
    uint32_t n_unsent = 0;
    while (ktcp_tx_first_unsent(&b->tx, &unsent)) {
        assert_int_equal(b->seen[unsent.tag], 0);
        assert_int_equal(base_load_u64(unsent.data), unsent.tag);
        assert_int_equal(unsent.data[unsent.len - 1],
                         unsent.len == 8 ? 0 : (uint8_t)(unsent.tag + unsent.len - 1));
        b->seen[unsent.tag]++;
        n_unsent++;
        ktcp_tx_drop_unsent(&b->tx);
    }
    assert_int_equal(n_unsent + b->n_messages, IDS_MAX);
    for (id = 0; id < IDS_MAX; id++) {
        assert_int_equal(b->seen[id], 1);
    }
}

/* KT-16 */
static void a_message_without_its_last_byte_is_unsent(void **state)
{
    struct bench *b = *state;
    transfer_all(b);
    struct ktcp_unsent unsent;
    assert_int_equal(send_message(b, 1, 64), BASE_OK);
    assert_int_equal(send_message(b, 2, 64), BASE_OK);
    assert_int_equal(transfer(b, 72 + 71), 72 + 71);
    assert_false(ktcp_tx_is_between_frames(&b->tx));
    assert_true(ktcp_tx_first_unsent(&b->tx, &unsent));
    assert_int_equal(unsent.tag, 2);
    ktcp_tx_drop_unsent(&b->tx);
    assert_false(ktcp_tx_first_unsent(&b->tx, &unsent));
}

static void a_long_message_without_its_last_byte_is_unsent(void **state)
{
    struct bench *b = *state;
    transfer_all(b);
    struct ktcp_unsent unsent;

    enum {
        LEN = 2 * KTCP_PIECE_BYTES,
        WIRE = LEN + 16 + 8
    };

    assert_int_equal(send_message(b, 5, LEN), BASE_OK);
    assert_int_equal(transfer(b, WIRE - 1), WIRE - 1);
    assert_true(ktcp_tx_first_unsent(&b->tx, &unsent));
    assert_int_equal(unsent.tag, 5);
    assert_int_equal(unsent.len, LEN);
    assert_int_equal(b->n_messages, 0);
}

static void each_class_is_held_back_by_itself(void **state)
{
    struct bench *b = *state;
    transfer_all(b);
    struct snapi_tx room;
    assert_int_equal(send_message(b, 1, 64 << 20), BASE_OK); /* always, when nothing is queued */
    assert_int_equal(ktcp_tx_begin(&b->tx, KTCP_MIDDLE_BYTES + 1, &room), BASE_AGAIN);
    size_t n_middle = 0;
    while (send_message(b, 2, KTCP_MIDDLE_BYTES) == BASE_OK) {
        n_middle++;
    }
    assert_int_equal(n_middle, KTCP_MIDDLE_HIGH_BYTES / KTCP_MIDDLE_BYTES + 1);
    size_t n_short = 0;
    while (send_message(b, 3, 1000) == BASE_OK) {
        n_short++;
    }
    assert_in_range(n_short, KTCP_SHORT_HIGH_BYTES / 1100, KTCP_SHORT_HIGH_BYTES / 1000 + 1);
    while (b->tx.queued[KTCP_CLASS_SHORT] > KTCP_SHORT_HIGH_BYTES / 2) {
        assert_false(ktcp_tx_is_writable(&b->tx));
        (void)transfer(b, PIPE_BYTES);
    }
    assert_true(ktcp_tx_take_writable(&b->tx));
    assert_false(ktcp_tx_take_writable(&b->tx));
    while (!ktcp_tx_take_writable(&b->tx)) {
        assert_true(transfer(b, PIPE_BYTES) > 0);
    }
    assert_true(b->tx.queued[KTCP_CLASS_MIDDLE] <= KTCP_MIDDLE_HIGH_BYTES / 2);
    assert_true(b->tx.queued[KTCP_CLASS_LONG] > KTCP_LONG_HIGH_BYTES); /* it was passed */
    transfer_all(b);
    assert_true(ktcp_tx_take_writable(&b->tx));
    for (int i = 0; i < KTCP_CLASSES; i++) {
        assert_int_equal(b->tx.queued[i], 0);
    }
}

static void nothing_is_kept_when_all_has_left(void **state)
{
    struct bench *b = *state;
    b->tx.is_blocked = true;
    for (uint64_t i = 0; i < 10000; i++) {
        assert_int_equal(send_message(b, 1, 16), BASE_OK);
    }
    assert_non_null(b->tx.own.chunk);
    transfer_all(b);
    assert_null(b->tx.own.chunk);
    assert_true(b->tx.capacity <= 1024);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_preface_leaves_first),
        CASE(small_messages_leave_as_one_iovec),
        CASE(padding_is_zero),
        CASE(small_ones_leave_between_the_pieces_of_a_long_one),
        CASE(long_ones_take_turns),
        CASE(more_long_ones_than_streams_wait_their_turn),
        CASE(any_split_by_the_kernel_loses_and_repeats_nothing),
        CASE(a_message_without_its_last_byte_is_unsent),
        CASE(a_long_message_without_its_last_byte_is_unsent),
        CASE(each_class_is_held_back_by_itself),
        CASE(nothing_is_kept_when_all_has_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
