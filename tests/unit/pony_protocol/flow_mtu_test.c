/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows on paths that change, and peers that lie in PART packets and padded PROBEs.
 */
#include "base/clock.h"
#include "base/endian.h"
#include "tests/support/cmocka_all.h"
#include "tests/unit/pony_protocol/flow_pair.h"
#include "transport/pony/protocol/parts.h"
#include "transport/pony/protocol/path_mtu.h"
#include "transport/pony/protocol/seq.h"
#include "transport/pony/protocol/wire.h"

#include <string.h>

static struct flow_pair pair;

enum {
    WHOLE = 2500 /* three pieces */
};

static int setup(void **state)
{
    (void)state;
    flow_pair_init(&pair);
    for (uint32_t i = 0; i < 2; i++) {
        pair.ends[i].config.mtu_bytes = PONY_MTU_MAX;
    }
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flow_pair_stop(&pair);
    return 0;
}

/* A packet of end 0, taken off the wire: what a hostile end 0 changes as it likes. */
static struct flow_bytes take_data(void)
{
    struct flow_bytes bytes;
    pair.ends[0].head_bytes = 100;
    flow_pair_send(&pair, 0, 1);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    assert_int_equal(flow_bytes_type(&bytes), PONY_WIRE_DATA);
    assert_int_equal(bytes.data[7], 0);
    return bytes;
}

/* Piece `idx` of a body of `whole` bytes, all of value `value`, under the number of `data`. */
static struct flow_bytes piece(const struct flow_bytes *data, uint32_t idx, uint32_t whole,
                               uint8_t value)
{
    struct flow_bytes bytes = *data;
    const struct pony_part part = {.idx = (uint8_t)idx,
                                   .count = (uint8_t)pony_parts_count(whole),
                                   .whole_len = (uint16_t)whole};
    uint32_t left = whole - idx * PONY_PART_BYTES;
    uint32_t n = left < PONY_PART_BYTES ? left : PONY_PART_BYTES;
    pony_part_encode(&part, bytes.data + PONY_WIRE_HDR_BYTES);
    memset(bytes.data + PONY_WIRE_HDR_BYTES + PONY_PART_HDR_BYTES, value, n);
    bytes.len = PONY_WIRE_HDR_BYTES + PONY_PART_HDR_BYTES + n;
    bytes.data[5] = PONY_WIRE_PART;
    base_store_u16(bytes.data + 44, (uint16_t)(PONY_PART_HDR_BYTES + n));
    base_store_u16(bytes.data + 46, (uint16_t)(PONY_PART_HDR_BYTES + n));
    flow_bytes_seal(&bytes);
    return bytes;
}

static void give_piece(const struct flow_bytes *data, uint32_t idx, uint32_t whole)
{
    struct flow_bytes bytes = piece(data, idx, whole, 7);
    flow_pair_give(&pair, 1, &bytes);
}

static uint64_t count(uint32_t idx, const char *name)
{
    return flow_pair_count(&pair, idx, name);
}

/* PX-236 */
static void pieces_make_one_packet_and_count_as_one(void **state)
{
    (void)state;
    struct flow_bytes data = take_data();
    give_piece(&data, 2, WHOLE);
    give_piece(&data, 0, WHOLE);
    give_piece(&data, 0, WHOLE);
    assert_int_equal(pair.ends[1].n_delivered, 0);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_acked, 0); /* pieces are not acknowledged by themselves */
    give_piece(&data, 1, WHOLE);
    assert_int_equal(pair.ends[1].n_delivered, 1);
    assert_int_equal(pair.ends[1].last_len, WHOLE);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_acked, 1);
    assert_int_equal(count(1, "rx_data"), 1);
}

static void pieces_of_what_has_arrived_are_duplicates(void **state)
{
    (void)state;
    struct flow_bytes data = take_data();
    give_piece(&data, 0, WHOLE);
    give_piece(&data, 1, WHOLE);
    flow_pair_give(&pair, 1, &data); /* the packet itself comes first */
    assert_int_equal(pair.ends[1].n_delivered, 1);
    for (uint32_t i = 0; i < 3; i++) {
        give_piece(&data, i, WHOLE);
    }
    assert_int_equal(pair.ends[1].n_delivered, 1);
    assert_int_equal(count(1, "rx_duplicates"), 3);
    assert_int_equal(count(1, "rx_parts"), 2);
}

static void pieces_that_lie_are_dropped(void **state)
{
    (void)state;
    struct flow_bytes data = take_data();
    struct flow_bytes bytes = piece(&data, 0, 1000, 7);
    base_store_u16(bytes.data + 46, PONY_PART_HDR_BYTES); /* not all of it covered */
    flow_bytes_seal(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    bytes = piece(&data, 0, 1000, 7);
    bytes.data[PONY_WIRE_HDR_BYTES] = 1; /* beyond the last */
    flow_bytes_seal(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    assert_int_equal(count(1, "drop_length"), 2);
    bytes = piece(&data, 0, 1000, 7);
    base_store_u32(bytes.data + 20, base_load_u32(bytes.data + 20) + PONY_WINDOW_PKTS);
    flow_bytes_seal(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    assert_int_equal(count(1, "drop_window"), 1);
    assert_int_equal(pair.ends[1].n_delivered, 0);
    give_piece(&data, 0, 1000); /* the flow lives */
    assert_int_equal(pair.ends[1].n_delivered, 1);
}

static void overlapping_wholes_are_never_mixed(void **state)
{
    (void)state;
    struct flow_bytes data = take_data();
    struct flow_bytes other = piece(&data, 0, WHOLE - 1, 9);
    give_piece(&data, 0, WHOLE);
    give_piece(&data, 1, WHOLE);
    flow_pair_give(&pair, 1, &other);
    give_piece(&data, 2, WHOLE);
    give_piece(&data, 1, WHOLE);
    assert_int_equal(pair.ends[1].n_delivered, 0);
    give_piece(&data, 0, WHOLE);
    assert_int_equal(pair.ends[1].n_delivered, 1);
    for (uint32_t i = 0; i < WHOLE; i++) {
        assert_int_equal(pair.ends[1].last_body[i], 7);
    }
}

static void pieces_that_break_the_protocol_end_the_flow(void **state)
{
    (void)state;
    struct flow_bytes data = take_data();
    pair.ends[1].is_deliver_refused = true;
    for (uint32_t i = 0; i < 3; i++) {
        give_piece(&data, i, WHOLE);
    }
    assert_int_equal(pair.ends[1].n_downs, 1);
    assert_int_equal(pair.ends[1].reason, SHM_REASON_PROTOCOL);
    give_piece(&data, 0, WHOLE); /* for a flow that is over */
}

/* PX-233: what is small goes on arriving and being acknowledged, so that nothing times out. */
static void small_packets_that_pass_do_not_hide_a_black_hole(void **state)
{
    (void)state;
    pony_flow_add_user(pair.ends[0].flow);
    flow_pair_run(&pair);
    pair.link_mtu = 1500;
    flow_pair_send(&pair, 0, 1); /* full size */
    flow_pair_run(&pair);
    pair.ends[0].head_bytes = 64;
    for (uint32_t i = 0; i < 20; i++) {
        flow_pair_send(&pair, 0, 1);
        flow_pair_wait(&pair, BASE_NS_PER_MS, true);
    }
    assert_int_equal(pair.ends[0].n_acked, 21);
    assert_int_equal(count(0, "timeouts"), 0);
    assert_int_equal(count(0, "mtu_lowered"), 1);
}

/* Packets of end `idx` to the other, at most `n`: a device with little room. */
static void move_some(uint32_t idx, uint32_t n)
{
    struct flow_bytes bytes;
    for (uint32_t i = 0; i < n && flow_pair_take(&pair, idx, &bytes); i++) {
        if (pair.link_mtu == 0 || bytes.len <= pair.link_mtu) {
            flow_pair_give(&pair, 1 - idx, &bytes);
        }
    }
}

/* PX-232 */
static void data_without_end_does_not_keep_a_search_back(void **state)
{
    (void)state;
    flow_pair_stop(&pair);
    flow_pair_init(&pair);
    pair.ends[0].config.mtu_bytes = pair.ends[1].config.mtu_bytes = 4000;
    flow_pair_start(&pair);
    pair.link_mtu = PONY_MTU_MIN;
    flow_pair_open(&pair, 0);
    pony_flow_add_user(pair.ends[0].flow);
    flow_pair_wait(&pair, 500 * BASE_NS_PER_MS, true);
    assert_int_equal(pony_flow_room_max(pair.ends[0].flow), PONY_MTU_MIN - PONY_WIRE_HDR_BYTES);
    pair.link_mtu = 4000;
    for (uint32_t i = 0; i < 2; i++) {
        flow_pair_send(&pair, i, UINT32_MAX);
    }
    uint64_t end_ns = pair.now_ns + PONY_PMTU_RAISE_NS + BASE_NS_PER_S;
    while (pair.now_ns < end_ns) {
        move_some(0, 4);
        move_some(1, 4);
        pair.now_ns += 500 * BASE_NS_PER_US;
        pony_flows_on_time(pair.ends[0].table, pair.now_ns);
        pony_flows_on_time(pair.ends[1].table, pair.now_ns);
    }
    assert_int_equal(pony_flow_room_max(pair.ends[0].flow), 4000 - PONY_WIRE_HDR_BYTES);
}

/* PX-231: what it asks for is less than what it costs to ask. */
static void padded_probes_are_answered_once_a_round(void **state)
{
    (void)state;
    struct flow_bytes probe = take_data();
    uint32_t sizes[] = {4, 1000, PONY_MTU_MAX - PONY_WIRE_HDR_BYTES};
    probe.data[5] = PONY_WIRE_PROBE;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t size = sizes[i % 3];
        memset(probe.data + PONY_WIRE_HDR_BYTES, 0, size);
        base_store_u32(probe.data + PONY_WIRE_HDR_BYTES, i);
        base_store_u16(probe.data + 44, (uint16_t)size);
        base_store_u16(probe.data + 46, 4);
        probe.len = PONY_WIRE_HDR_BYTES + size;
        flow_bytes_seal(&probe);
        flow_pair_give(&pair, 1, &probe);
    }
    struct flow_bytes answer;
    assert_true(flow_pair_take(&pair, 1, &answer));
    assert_int_equal(flow_bytes_type(&answer), PONY_WIRE_ACK);
    assert_int_equal(answer.len, PONY_WIRE_HDR_BYTES + 4);
    assert_int_equal(base_load_u32(answer.data + PONY_WIRE_HDR_BYTES), 299);
    assert_false(flow_pair_take(&pair, 1, &answer));
}

/* PX-14: a host whose own interface is narrow need not wait for its HELLO to be lost twice. */
static void a_handshake_that_does_not_leave_is_narrow_at_once(void **state)
{
    (void)state;
    struct flow_bytes hello;
    flow_pair_stop(&pair);
    flow_pair_init(&pair);
    flow_pair_start(&pair);
    flow_pair_open(&pair, 0);
    const struct pony_addr *peer = &pair.ends[1].addr;
    assert_true(flow_pair_take(&pair, 0, &hello));
    assert_int_equal(hello.len, 1452);
    for (uint32_t i = 0; i < 3; i++) {
        pony_flows_on_too_long(pair.ends[0].table, peer, hello.len, pair.now_ns);
    }
    assert_true(flow_pair_take(&pair, 0, &hello));
    assert_int_equal(hello.len, PONY_MTU_MIN);
    assert_false(flow_pair_take(&pair, 0, &hello));
    pony_flows_on_too_long(pair.ends[0].table, peer, PONY_MTU_MIN, pair.now_ns); /* no help */
    assert_false(flow_pair_take(&pair, 0, &hello));
    flow_pair_wait(&pair, BASE_NS_PER_S, false);
    assert_true(flow_pair_count(&pair, 0, "tx_hellos") < 20);
}

static void an_interface_that_becomes_narrow_costs_no_packet(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    const struct pony_addr *peer = &pair.ends[1].addr;
    pony_flow_add_user(pair.ends[0].flow);
    flow_pair_run(&pair);
    pony_flows_on_too_long(pair.ends[0].table, peer, PONY_MTU_MAX, pair.now_ns);
    assert_int_equal(pony_flow_room_max(pair.ends[0].flow), PONY_MTU_MIN - PONY_WIRE_HDR_BYTES);
    while (flow_pair_take(&pair, 0, &bytes)) { /* probes that do not leave, one after the other */
        if (bytes.len > 1500) {
            pony_flows_on_too_long(pair.ends[0].table, peer, bytes.len, pair.now_ns);
        } else {
            flow_pair_give(&pair, 1, &bytes);
            move_some(1, 4);
        }
    }
    assert_in_range(pony_flow_room_max(pair.ends[0].flow) + PONY_WIRE_HDR_BYTES, 1469, 1500);
    assert_int_equal(count(0, "timeouts"), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(pieces_make_one_packet_and_count_as_one),
        CASE(pieces_of_what_has_arrived_are_duplicates),
        CASE(pieces_that_lie_are_dropped),
        CASE(overlapping_wholes_are_never_mixed),
        CASE(pieces_that_break_the_protocol_end_the_flow),
        CASE(small_packets_that_pass_do_not_hide_a_black_hole),
        CASE(data_without_end_does_not_keep_a_search_back),
        CASE(a_handshake_that_does_not_leave_is_narrow_at_once),
        CASE(an_interface_that_becomes_narrow_costs_no_packet),
        CASE(padded_probes_are_answered_once_a_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
