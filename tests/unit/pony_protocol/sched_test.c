/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "tests/unit/pony_protocol/pair.h"
#include "transport/pony/protocol/state.h"
#include "transport/pony/protocol/wire.h"

/* PX-78: where in their packets the bytes of messages stand. */

/* What the client's DATA packets were like. */
struct watch {
    const struct pair *pair;
    uint32_t n;             /* of them */
    uint32_t n_odd;         /* whose length is no multiple of PONY_ALIGN_BYTES */
    uint32_t n_pads;        /* PADs in them */
    uint32_t n_payloads;    /* FRAGs of more than a kilobyte */
    uint32_t n_off;         /* of those: begin at no multiple, and do not end their message */
    uint32_t longest, last; /* bytes of packets */
};

static void look_at_frag(struct watch *watch, const struct pony_frame *frame, const uint8_t *packet)
{
    bool is_last = frame->off + frame->data_len == frame->total_bytes;
    bool begins_well = (frame->data - packet) % PONY_ALIGN_BYTES == 0;
    watch->n_payloads++;
    watch->n_off += !is_last && (!begins_well || frame->data_len % PONY_ALIGN_BYTES != 0);
}

static bool look(void *arg, const struct pony_addr *from, const struct pony_addr *to,
                 const uint8_t *packet, uint32_t len)
{
    (void)to;
    struct watch *watch = arg;
    struct pony_wire_hdr hdr;
    const uint8_t *body;
    if (!pony_addr_equal(from, &watch->pair->world.hosts[0].addr) ||
        pony_wire_decode(packet, len, &hdr, &body) != PONY_WIRE_OK || hdr.type != PONY_WIRE_DATA) {
        return true;
    }
    struct base_cursor cursor = base_cursor_make(body, hdr.body_len);
    while (base_cursor_left(&cursor) > 0) {
        struct pony_frame frame;
        assert_true(pony_frame_get(&cursor, &frame));
        watch->n_pads += frame.type == PONY_FRAME_PAD;
        if (frame.type == PONY_FRAME_FRAG && frame.data_len > 1024) {
            look_at_frag(watch, &frame, packet);
        }
    }
    watch->n++;
    watch->n_odd += len % PONY_ALIGN_BYTES != 0;
    watch->longest = base_max_u32(watch->longest, len);
    watch->last = len;
    return true;
}

static struct pair *make_watched(struct watch *watch)
{
    struct pair *pair = make_pair(false, NULL);
    connect_pair(pair);
    world_run(&pair->world, MS);
    *watch = (struct watch){.pair = pair};
    pair->world.on_packet = look;
    pair->world.on_packet_arg = watch;
    return pair;
}

static void send_one(struct pair *pair, uint32_t len)
{
    fill_bytes(pair->client->tx, len, len);
    assert_true(world_send(pair->client, 1, 0, len, len));
    expect_message(pair, len, len);
    world_run(&pair->world, MS);
}

static void payloads_of_large_messages_begin_where_memory_is_aligned(void **state)
{
    (void)state;
    struct watch watch;
    struct pair *pair = make_watched(&watch);
    send_one(pair, 500001);
    assert_true(watch.n_payloads > 40);
    assert_int_equal(watch.n_off, 0);
    assert_int_equal(watch.n_odd, 0);
    free_pair(pair);
}

/* One byte after the other, over everything that the last packet of a message can look like. */
static void every_length_arrives_in_packets_of_aligned_length(void **state)
{
    (void)state;
    struct watch watch;
    struct pair *pair = make_watched(&watch);
    send_one(pair, 100000);
    uint32_t piece = watch.longest - 96;
    assert_int_equal(piece % PONY_ALIGN_BYTES, 0);
    uint32_t whole = 100000 / piece * piece;
    static const uint32_t tails[] = {0, 1024, 4096};
    for (size_t i = 0; i < BASE_ARRAY_LEN(tails); i++) {
        for (uint32_t more = 0; more < 2 * PONY_ALIGN_BYTES; more++) {
            send_one(pair, whole + tails[i] + more - PONY_ALIGN_BYTES);
        }
    }
    assert_int_equal(watch.n_off, 0);
    /* There is no room to pad what nearly fills its packet. */
    assert_true(watch.n_odd <= 2 * PONY_ALIGN_BYTES);
    assert_int_equal(watch.longest, piece + 96);
    free_pair(pair);
}

static void several_large_messages_at_once_are_aligned_too(void **state)
{
    (void)state;
    struct watch watch;
    struct pair *pair = make_watched(&watch);
    for (uint32_t i = 0; i < 3; i++) {
        fill_bytes(pair->client->tx + (size_t)i * 70000, 70000 - i, i);
        assert_true(world_send(pair->client, 1, (uint64_t)i * 70000, 70000 - i, i));
    }
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 10 * MS), 3);
    assert_int_equal(watch.n_off, 0);
    assert_int_equal(watch.n_odd, 0);
    free_pair(pair);
}

static void small_packets_are_as_long_as_what_they_carry(void **state)
{
    (void)state;
    struct watch watch;
    struct pair *pair = make_watched(&watch);
    for (uint32_t len = 1; len < 300; len += 2) {
        uint32_t n = watch.n;
        send_one(pair, len);
        assert_true(watch.n > n);
        assert_int_equal(watch.longest, PONY_WIRE_HDR_BYTES + PONY_SMALL_BYTES + len);
    }
    assert_int_equal(watch.n_pads, 0);
    free_pair(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_of_large_messages_begin_where_memory_is_aligned),
        cmocka_unit_test(every_length_arrives_in_packets_of_aligned_length),
        cmocka_unit_test(several_large_messages_at_once_are_aligned_too),
        cmocka_unit_test(small_packets_are_as_long_as_what_they_carry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
