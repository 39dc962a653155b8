/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/rx.h"

#include "base/compiler.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/ktcp_feed.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    LIMIT = 100000,
    STREAM_MAX = 1 << 20
};

static alignas(64) uint8_t shared[KTCP_RX_SHARED_BYTES];

/* A stream that is being written, and the receiver it is for. */
struct bench {
    struct ktcp_mem mem;
    struct ktcp_rx rx;
    uint8_t *stream;
    size_t len;
    uint32_t n_prefaces;
    uint32_t n_messages;
    size_t last_len;
    uint8_t last_byte;
    uint32_t stops_at; /**< the sink says stop at this message; 0: never */
};

static bool on_preface(void *arg)
{
    struct bench *b = arg;
    b->n_prefaces++;
    return true;
}

static bool on_message(void *arg, const uint8_t *data, size_t len)
{
    struct bench *b = arg;
    assert_int_equal((uintptr_t)data % 8, 0);
    b->n_messages++;
    b->last_len = len;
    b->last_byte = len > 0 ? data[len - 1] : 0;
    return b->n_messages != b->stops_at;
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    b->stream = malloc(STREAM_MAX);
    assert_non_null(b->stream);
    ktcp_mem_init(&b->mem);
    struct ktcp_rx_sink sink = {.on_preface = on_preface, .on_message = on_message, .arg = b};
    ktcp_rx_init(&b->rx, &b->mem, &sink, LIMIT);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    ktcp_rx_fini(&b->rx);
    ktcp_mem_fini(&b->mem);
    free(b->stream);
    free(b);
    return 0;
}

static void put(struct bench *b, const void *bytes, size_t n)
{
    assert_true(b->len + n <= STREAM_MAX);
    memcpy(b->stream + b->len, bytes, n);
    b->len += n;
}

static void put_preface(struct bench *b)
{
    put(b, KTCP_MAGIC "\001", KTCP_PREFACE_BYTES);
}

/* A frame; its body, with padding, is filled with `fill`. */
static void put_frame(struct bench *b, struct ktcp_header header, int fill)
{
    uint8_t head[KTCP_FIRST_HEADER_BYTES];
    put(b, head, ktcp_header_put(head, &header));
    size_t body = ktcp_body_bytes(header.length);
    assert_true(b->len + body <= STREAM_MAX);
    memset(b->stream + b->len, fill, body);
    b->len += body;
}

static void put_whole(struct bench *b, uint32_t length, int fill)
{
    put_frame(b, (struct ktcp_header){.length = length, .flags = KTCP_FIRST | KTCP_LAST}, fill);
}

static enum base_err feed(struct bench *b)
{
    size_t n_fed;
    enum base_err err = ktcp_feed(&b->rx, shared, b->stream, b->len, NULL, &n_fed);
    b->len = 0;
    return err;
}

static void expect_malformed(struct bench *b, const char *why_part)
{
    uint32_t n = b->n_messages;
    assert_int_equal(feed(b), BASE_E_MALFORMED);
    assert_non_null(strstr(b->rx.why, why_part));
    assert_int_equal(b->n_messages, n);
}

static void a_header_has_its_documented_bytes(void **state)
{
    (void)state;
    uint8_t out[KTCP_FIRST_HEADER_BYTES];
    struct ktcp_header whole = {.length = 0x01020304, .flags = KTCP_FIRST | KTCP_LAST};
    assert_int_equal(ktcp_header_put(out, &whole), 8);
    assert_memory_equal(out, "\004\003\002\001\003\000\000\000", 8);
    struct ktcp_header first = {
        .length = 65536, .flags = KTCP_FIRST, .stream = 7, .total = 0x0102030405060708};
    assert_int_equal(ktcp_header_put(out, &first), 16);
    assert_memory_equal(out, "\000\000\001\000\001\007\000\000\010\007\006\005\004\003\002\001",
                        16);
    struct ktcp_header end = {.flags = KTCP_END, .stream = KTCP_REASON_LIMIT};
    assert_int_equal(ktcp_header_put(out, &end), 8);
    assert_memory_equal(out, "\000\000\000\000\004\001\000\000", 8);
}

/* KT-1 */
static void a_preface_comes_first(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    assert_int_equal(feed(b), BASE_OK);
    assert_int_equal(b->n_prefaces, 1);
    put_whole(b, 5, 'a');
    assert_int_equal(feed(b), BASE_OK);
    assert_int_equal(b->n_messages, 1);
    assert_int_equal(b->last_len, 5);
}

/* KT-1 */
static void another_protocol_is_malformed(void **state)
{
    struct bench *b = *state;
    put(b, "GET / HTTP/1.1\r\n\r\n", 18);
    expect_malformed(b, "not the protocol");
    assert_int_equal(b->n_prefaces, 0);
}

/* KT-2 */
static void another_version_is_refused(void **state)
{
    struct bench *b = *state;
    put(b, KTCP_MAGIC "\002", KTCP_PREFACE_BYTES);
    assert_int_equal(feed(b), BASE_E_VERSION);
    assert_int_equal(b->n_prefaces, 0);
}

/* KT-5 */
static void reserved_bits_are_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put(b, "\000\000\000\000\003\000\001\000", 8);
    expect_malformed(b, "reserved");
}

static void unknown_flags_are_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put(b, "\010\000\000\000\013\000\000\000\000\000\000\000\000\000\000\000", 16);
    expect_malformed(b, "reserved");
}

static void an_end_with_a_length_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put(b, "\010\000\000\000\004\000\000\000\000\000\000\000\000\000\000\000", 16);
    expect_malformed(b, "reserved");
}

/* KT-6 */
static void a_piece_of_64_kib_is_the_longest(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_whole(b, KTCP_PIECE_BYTES, 'x');
    assert_int_equal(feed(b), BASE_OK);
    assert_int_equal(b->last_len, KTCP_PIECE_BYTES);
    put_whole(b, KTCP_PIECE_BYTES + 1, 'x');
    expect_malformed(b, "longer than 64 KiB");
}

/* KT-12 */
static void the_limit_is_a_length_that_passes(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 65536, .flags = KTCP_FIRST, .total = LIMIT}, 'x');
    put_frame(b, (struct ktcp_header){.length = LIMIT - 65536, .flags = KTCP_LAST}, 'y');
    assert_int_equal(feed(b), BASE_OK);
    assert_int_equal(b->last_len, LIMIT);
    assert_int_equal(b->last_byte, 'y');
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .total = LIMIT + 1}, 'x');
    assert_int_equal(feed(b), BASE_E_LIMIT);
}

static void a_total_of_all_ones_is_over_the_limit(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .total = UINT64_MAX}, 'x');
    assert_int_equal(feed(b), BASE_E_LIMIT);
}

/* KT-8 */
static void an_empty_piece_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 0, .flags = KTCP_FIRST, .total = 100}, 0);
    expect_malformed(b, "empty");
}

static void an_empty_piece_within_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .total = 100}, 'x');
    put_frame(b, (struct ktcp_header){.length = 0, .flags = 0}, 0);
    expect_malformed(b, "empty");
}

/* KT-9 */
static void an_odd_piece_before_the_last_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 9, .flags = KTCP_FIRST, .total = 100}, 'x');
    expect_malformed(b, "odd length");
}

/* KT-10 */
static void eight_messages_may_be_in_pieces_and_no_ninth(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    for (int i = 0; i < KTCP_STREAMS; i++) {
        put_frame(b,
                  (struct ktcp_header){
                      .length = 8, .flags = KTCP_FIRST, .stream = (uint8_t)i, .total = 16},
                  'x');
    }
    assert_int_equal(feed(b), BASE_OK);
    put_frame(
        b,
        (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .stream = KTCP_STREAMS, .total = 16},
        'x');
    expect_malformed(b, "too many");
}

static void a_message_within_a_message_of_its_stream_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .total = 100}, 'x');
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .total = 100}, 'x');
    expect_malformed(b, "inside another");
}

static void a_piece_of_nothing_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = 0, .stream = 3}, 'x');
    expect_malformed(b, "not begun");
}

static void a_last_piece_of_nothing_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_LAST, .stream = 7}, 'x');
    expect_malformed(b, "not begun");
}

/* KT-11 */
static void a_last_piece_that_is_short_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .total = 100}, 'x');
    put_frame(b, (struct ktcp_header){.length = 91, .flags = KTCP_LAST}, 'x');
    expect_malformed(b, "add up");
}

static void a_last_piece_that_is_long_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .total = 100}, 'x');
    put_frame(b, (struct ktcp_header){.length = 93, .flags = KTCP_LAST}, 'x');
    expect_malformed(b, "add up");
}

static void a_full_message_without_its_last_flag_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST, .total = 16}, 'x');
    put_frame(b, (struct ktcp_header){.length = 8, .flags = 0}, 'x');
    expect_malformed(b, "add up");
}

static void a_first_piece_as_long_as_its_message_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 16, .flags = KTCP_FIRST, .total = 16}, 'x');
    expect_malformed(b, "as long as");
}

/* KT-7 */
static void a_whole_message_on_a_stream_is_malformed(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_frame(b, (struct ktcp_header){.length = 8, .flags = KTCP_FIRST | KTCP_LAST, .stream = 1},
              'x');
    expect_malformed(b, "names a stream");
}

/* KT-14 */
static void an_end_frame_ends_it_with_its_reason(void **state)
{
    struct bench *b = *state;
    put_preface(b);
    put_whole(b, 1, 'a');
    put_frame(b, (struct ktcp_header){.flags = KTCP_END, .stream = KTCP_REASON_REFUSED}, 0);
    put_whole(b, 1, 'b');
    assert_int_equal(feed(b), BASE_OK);
    assert_true(b->rx.has_ended);
    assert_int_equal(b->rx.end_reason, KTCP_REASON_REFUSED);
    assert_int_equal(b->n_messages, 1);
}

static void nothing_is_handed_out_after_stop(void **state)
{
    struct bench *b = *state;
    b->stops_at = 2;
    put_preface(b);
    for (int i = 0; i < 5; i++) {
        put_whole(b, 10, 'a');
    }
    assert_int_equal(feed(b), BASE_OK);
    assert_int_equal(b->n_messages, 2);
}

/* KT-13: what is announced is not taken from memory before it comes. */
static void an_announced_length_costs_little(void **state)
{
    struct bench *b = *state;
    b->rx.max_message_bytes = (size_t)1 << 40;
    put_preface(b);
    for (int i = 0; i < KTCP_STREAMS; i++) {
        put_frame(
            b,
            (struct ktcp_header){
                .length = 8, .flags = KTCP_FIRST, .stream = (uint8_t)i, .total = (uint64_t)1 << 40},
            'x');
    }
    assert_int_equal(feed(b), BASE_OK);
    for (int i = 0; i < KTCP_STREAMS; i++) {
        assert_true(b->rx.slots[i].buf.capacity <= 2 * KTCP_RX_FIRST_BYTES);
    }
}

static void a_buffer_grows_with_what_came_at_most_twofold(void **state)
{
    struct bench *b = *state;
    b->rx.max_message_bytes = (size_t)1 << 40;
    put_preface(b);
    put_frame(
        b, (struct ktcp_header){.length = 65536, .flags = KTCP_FIRST, .total = (uint64_t)1 << 40},
        'x');
    for (uint64_t came = 65536; came < 8 << 20; came += 65536) {
        assert_int_equal(feed(b), BASE_OK);
        assert_true(b->rx.slots[0].buf.capacity <= base_max_u64(2 * came, 2 * KTCP_RX_FIRST_BYTES));
        put_frame(b, (struct ktcp_header){.length = 65536}, 'x');
    }
}

/* Any way to cut the reads gives the same, byte by byte included. */
static void every_cut_of_the_reads_gives_the_same(void **state)
{
    struct bench *b = *state;
    struct base_rng rng;
    base_rng_init(&rng, 7);
    uint8_t *stream = malloc(STREAM_MAX);
    assert_non_null(stream);
    put_preface(b);
    put_whole(b, 0, 0);
    put_frame(b,
              (struct ktcp_header){.length = 4096, .flags = KTCP_FIRST, .stream = 1, .total = 9001},
              'a');
    put_whole(b, 33, 'b');
    put_frame(b, (struct ktcp_header){.length = 4096, .stream = 1}, 'c');
    put_frame(b, (struct ktcp_header){.length = 809, .flags = KTCP_LAST, .stream = 1}, 'd');
    put_whole(b, 5000, 'e');
    size_t len = b->len;
    memcpy(stream, b->stream, len);
    for (int round = 0; round < 300; round++) {
        ktcp_rx_fini(&b->rx);
        struct ktcp_rx_sink sink = {.on_preface = on_preface, .on_message = on_message, .arg = b};
        ktcp_rx_init(&b->rx, &b->mem, &sink, LIMIT);
        b->n_messages = 0;
        size_t n_fed;
        assert_int_equal(ktcp_feed(&b->rx, shared, stream, len, &rng, &n_fed), BASE_OK);
        assert_int_equal(b->n_messages, 4);
        assert_int_equal(b->last_len, 5000);
    }
    free(stream);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_header_has_its_documented_bytes),
        CASE(a_preface_comes_first),
        CASE(another_protocol_is_malformed),
        CASE(another_version_is_refused),
        CASE(reserved_bits_are_malformed),
        CASE(unknown_flags_are_malformed),
        CASE(an_end_with_a_length_is_malformed),
        CASE(a_piece_of_64_kib_is_the_longest),
        CASE(the_limit_is_a_length_that_passes),
        CASE(a_total_of_all_ones_is_over_the_limit),
        CASE(an_empty_piece_is_malformed),
        CASE(an_empty_piece_within_is_malformed),
        CASE(an_odd_piece_before_the_last_is_malformed),
        CASE(eight_messages_may_be_in_pieces_and_no_ninth),
        CASE(a_message_within_a_message_of_its_stream_is_malformed),
        CASE(a_piece_of_nothing_is_malformed),
        CASE(a_last_piece_of_nothing_is_malformed),
        CASE(a_last_piece_that_is_short_is_malformed),
        CASE(a_last_piece_that_is_long_is_malformed),
        CASE(a_full_message_without_its_last_flag_is_malformed),
        CASE(a_first_piece_as_long_as_its_message_is_malformed),
        CASE(a_whole_message_on_a_stream_is_malformed),
        CASE(an_end_frame_ends_it_with_its_reason),
        CASE(nothing_is_handed_out_after_stop),
        CASE(an_announced_length_costs_little),
        CASE(a_buffer_grows_with_what_came_at_most_twofold),
        CASE(every_cut_of_the_reads_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
