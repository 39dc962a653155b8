/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/endian.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/flow_events.h"
#include "tests/unit/pony_protocol/flow_pair.h"
#include "transport/pony/protocol/wire.h"

#include <string.h>

/* Several flows between two engines: how they come to be, and what a stranger cannot do to them. */

struct side {
    uint32_t n_to_send[PONY_WIRE_SLOTS];
    uint32_t n_delivered[PONY_WIRE_SLOTS], n_ups[PONY_WIRE_SLOTS], n_downs[PONY_WIRE_SLOTS];
    uint32_t n_all_ups, n_all_downs;
    enum shm_reason reason; /* of the last `down` */
};

static struct flow_pair pair;
static struct side sides[2];

static bool on_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                    uint64_t now_ns)
{
    struct side *side = ctx;
    uint8_t slot = pony_flow_slot(flow);
    (void)now_ns;
    assert_true(room > 10);
    if (side->n_to_send[slot] == 0) {
        return false;
    }
    side->n_to_send[slot]--;
    memset(packet->head + packet->head_len, slot, 10);
    packet->head_len = (uint16_t)(packet->head_len + 10);
    return true;
}

static bool on_deliver(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                       uint64_t now_ns)
{
    struct side *side = ctx;
    (void)now_ns;
    assert_int_equal(len, 10);
    assert_int_equal(frames[0], pony_flow_slot(flow)); /* never on another one */
    side->n_delivered[frames[0]]++;
    return true;
}

static void on_up(void *ctx, struct pony_flow *flow)
{
    struct side *side = ctx;
    side->n_ups[pony_flow_slot(flow)]++;
    side->n_all_ups++;
}

static void on_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    struct side *side = ctx;
    side->n_downs[pony_flow_slot(flow)]++;
    side->n_all_downs++;
    side->reason = reason;
}

static const struct pony_flow_events events = {
    .fill = on_fill,
    .deliver = on_deliver,
    .released = flow_ignores_released,
    .up = on_up,
    .down = on_down,
};

static int setup(void **state)
{
    (void)state;
    flow_pair_init(&pair);
    for (uint32_t i = 0; i < 2; i++) {
        sides[i] = (struct side){0};
        pair.ends[i].config.events = &events;
        pair.ends[i].config.ctx = &sides[i];
        pair.ends[i].config.max_flows = 256;
    }
    flow_pair_start(&pair);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flow_pair_stop(&pair);
    return 0;
}

static struct pony_flow *open_slot(uint32_t idx, uint32_t slot)
{
    struct pony_flow *flow = NULL;
    assert_int_equal(pony_flow_get_slot(pair.ends[idx].table, &pair.ends[1 - idx].addr,
                                        (uint8_t)slot, pair.now_ns, &flow),
                     BASE_OK);
    return flow;
}

static void send_on(uint32_t idx, uint32_t slot, uint32_t n)
{
    sides[idx].n_to_send[slot] += n;
    pony_flow_wants_fill(open_slot(idx, slot));
}

/* PX-90 */
static void flows_of_all_slots_live_side_by_side(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < PONY_WIRE_SLOTS; slot++) {
        struct pony_flow *flow = open_slot(0, slot);
        assert_ptr_equal(open_slot(0, slot), flow); /* asking again gives the same */
        flow_pair_run(&pair);
    }
    for (uint32_t slot = 0; slot < PONY_WIRE_SLOTS; slot++) {
        send_on(0, slot, slot + 1);
        send_on(1, slot, 2);
    }
    flow_pair_run(&pair);
    for (uint32_t slot = 0; slot < PONY_WIRE_SLOTS; slot++) {
        assert_int_equal(sides[0].n_ups[slot], 1);
        assert_int_equal(sides[1].n_ups[slot], 1);
        assert_int_equal(sides[1].n_delivered[slot], slot + 1);
        assert_int_equal(sides[0].n_delivered[slot], 2);
    }
    assert_int_equal(flow_pair_n_flows(&pair, 0), PONY_WIRE_SLOTS);
    assert_int_equal(flow_pair_n_flows(&pair, 1), PONY_WIRE_SLOTS);
    assert_int_equal(sides[0].n_all_downs + sides[1].n_all_downs, 0);
}

/* PX-17, PX-90: HELLOs that cross meet those of their own slot, whatever their order. */
static void hellos_that_cross_meet_by_slot(void **state)
{
    (void)state;

    enum {
        N = 5
    };
    static struct flow_bytes hellos[2][N];
    for (uint32_t idx = 0; idx < 2; idx++) {
        for (uint32_t i = 0; i < N; i++) {
            (void)open_slot(idx, idx == 0 ? i : N - 1 - i);
        }
        for (uint32_t i = 0; i < N; i++) {
            assert_true(flow_pair_take(&pair, idx, &hellos[idx][i]));
            assert_int_equal(flow_bytes_type(&hellos[idx][i]), PONY_WIRE_HELLO);
        }
    }
    for (uint32_t i = 0; i < N; i++) {
        flow_pair_give(&pair, 1, &hellos[0][i]);
        flow_pair_give(&pair, 0, &hellos[1][(i + 2) % N]);
    }
    flow_pair_run(&pair);
    for (uint32_t slot = 0; slot < N; slot++) {
        send_on(0, slot, 3);
        send_on(1, slot, 4);
    }
    flow_pair_run(&pair);
    for (uint32_t slot = 0; slot < N; slot++) {
        assert_int_equal(sides[1].n_delivered[slot], 3);
        assert_int_equal(sides[0].n_delivered[slot], 4);
    }
    assert_int_equal(flow_pair_n_flows(&pair, 0), N);
    assert_int_equal(flow_pair_n_flows(&pair, 1), N);
}

static struct flow_bytes take_hello(uint32_t slot)
{
    struct flow_bytes hello;
    (void)open_slot(0, slot);
    assert_true(flow_pair_take(&pair, 0, &hello));
    assert_int_equal(flow_bytes_type(&hello), PONY_WIRE_HELLO);
    return hello;
}

/* Where things stand in HELLO and HELLO_OK. */
enum {
    AT_FLOW = 48 + 4,
    AT_TOKEN = 48 + 8,
    AT_INSTANCE = 48 + 16,
    AT_SLOT = 48 + 31
};

/* PX-90 */
static void a_hello_of_slot_15_is_taken_and_one_of_slot_16_is_not(void **state)
{
    (void)state;
    struct flow_bytes hello = take_hello(15);
    assert_int_equal(hello.data[AT_SLOT], 15);
    hello.data[AT_SLOT] = 16;
    flow_bytes_seal(&hello);
    flow_pair_give(&pair, 1, &hello);
    assert_int_equal(flow_pair_count(&pair, 1, "drop_hello"), 1);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 0);
    hello.data[AT_SLOT] = 15;
    flow_bytes_seal(&hello);
    flow_pair_give(&pair, 1, &hello);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
}

/* PX-90 */
static void an_answer_that_names_another_slot_is_dropped(void **state)
{
    (void)state;
    struct flow_bytes hello = take_hello(3);
    struct flow_bytes ok;
    flow_pair_give(&pair, 1, &hello);
    assert_true(flow_pair_take(&pair, 1, &ok));
    assert_int_equal(flow_bytes_type(&ok), PONY_WIRE_HELLO_OK);
    ok.data[AT_SLOT] = 4;
    flow_bytes_seal(&ok);
    flow_pair_give(&pair, 0, &ok);
    assert_int_equal(flow_pair_count(&pair, 0, "drop_hello"), 1);
    assert_int_equal(sides[0].n_all_ups, 0);
    ok.data[AT_SLOT] = 3;
    flow_bytes_seal(&ok);
    flow_pair_give(&pair, 0, &ok);
    assert_int_equal(sides[0].n_ups[3], 1);
}

static void connect_slots(uint32_t n)
{
    for (uint32_t slot = 0; slot < n; slot++) {
        pony_flow_add_user(open_slot(0, slot));
    }
    flow_pair_run(&pair);
    for (uint32_t slot = 0; slot < n; slot++) {
        pony_flow_add_user(open_slot(1, slot));
    }
    assert_int_equal(sides[0].n_all_ups, n);
    assert_int_equal(sides[1].n_all_ups, n);
}

/* PX-19, PX-94: whoever can send HELLOs with our peer's address ends nothing with them. */
static void hellos_in_a_peers_name_end_none_of_its_flows(void **state)
{
    (void)state;
    connect_slots(3);
    struct flow_bytes hello = take_hello(15);
    for (uint64_t i = 0; i < 2000; i++) {
        hello.data[AT_SLOT] = (uint8_t)(i % PONY_WIRE_SLOTS);
        base_store_u32(hello.data + AT_FLOW, (uint32_t)(i * 7));
        base_store_u64(hello.data + AT_TOKEN, i + 1);
        base_store_u64(hello.data + AT_INSTANCE, i % 3 == 0 ? pair.ends[0].config.instance : 5 + i);
        flow_bytes_seal(&hello);
        flow_pair_give(&pair, 1, &hello);
        struct flow_bytes answer;
        while (flow_pair_take(&pair, 1, &answer)) { /* PROBEs of the real flows, answered */
            if (flow_bytes_type(&answer) != PONY_WIRE_HELLO_OK) {
                flow_pair_give(&pair, 0, &answer);
            }
        }
        while (flow_pair_take(&pair, 0, &answer)) {
            flow_pair_give(&pair, 1, &answer);
        }
        pair.now_ns += BASE_NS_PER_MS;
        pony_flows_on_time(pair.ends[1].table, pair.now_ns);
    }
    /* One half-open flow a slot: each new lie takes the place of the one before. */
    assert_in_range(flow_pair_n_flows(&pair, 1), 3, 3 + PONY_WIRE_SLOTS);
    assert_int_equal(sides[1].n_all_downs, 0);
    flow_pair_wait(&pair, (uint64_t)5 * BASE_NS_PER_S, true);
    assert_int_equal(sides[1].n_downs[0] + sides[1].n_downs[1] + sides[1].n_downs[2], 0);
    send_on(1, 2, 1);
    flow_pair_run(&pair);
    assert_int_equal(sides[0].n_delivered[2], 1);
}

/* A flow that end 1 takes for real: its peer shows the token. False: it was refused. */
static bool forge_flow(struct flow_bytes *hello, uint32_t number)
{
    struct flow_bytes ok;
    uint8_t probe[PONY_WIRE_HDR_BYTES];
    base_store_u32(hello->data + AT_FLOW, number);
    base_store_u64(hello->data + AT_TOKEN, number);
    hello->data[AT_SLOT] = (uint8_t)(number % PONY_WIRE_SLOTS);
    flow_bytes_seal(hello);
    flow_pair_give(&pair, 1, hello);
    while (flow_pair_take(&pair, 1, &ok)) {
        if (flow_bytes_type(&ok) == PONY_WIRE_REFUSE) {
            assert_int_equal(ok.data[48], SHM_REASON_NO_MEMORY);
            return false;
        }
        if (flow_bytes_type(&ok) == PONY_WIRE_HELLO_OK) {
            const struct pony_wire_hdr hdr = {
                .version = 1,
                .type = PONY_WIRE_PROBE,
                .token = base_load_u64(ok.data + AT_TOKEN),
                .dst_flow = base_load_u32(ok.data + AT_FLOW),
                .seq = base_load_u32(hello->data + 20),
                .ack = base_load_u32(ok.data + 20),
                .hops = PONY_WIRE_HOPS_UNKNOWN,
            };
            pony_wire_encode(&hdr, probe);
            memcpy(ok.data, probe, sizeof(probe));
            ok.len = sizeof(probe);
            flow_pair_give(&pair, 1, &ok);
            return true;
        }
    }
    fail_msg("no answer to a HELLO");
    return false;
}

/* PX-94 */
static void one_address_has_at_most_64_flows(void **state)
{
    (void)state;
    struct flow_bytes hello = take_hello(0);
    uint32_t n = 0;
    while (forge_flow(&hello, 1000 + n)) {
        n++;
        assert_int_equal(sides[1].n_all_ups, n);
        assert_true(n <= 64);
    }
    assert_int_equal(n, 64);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 64);
    assert_int_equal(sides[1].n_all_downs, 0);
    /* Another address is not concerned. */
    struct pony_addr other = pair.ends[0].addr;
    other.udp_port++;
    base_store_u32(hello.data + AT_FLOW, 1);
    flow_bytes_seal(&hello);
    flow_pair_give_from(&pair, 1, &hello, &other);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 65);
}

/* PX-19: all flows of the life before end when the first of the new one is up. */
static void a_restarted_peer_takes_all_its_old_flows_along(void **state)
{
    (void)state;
    connect_slots(3);
    flow_pair_restart(&pair, 0);
    (void)open_slot(0, 1);
    flow_pair_run(&pair);
    assert_int_equal(sides[1].n_all_downs, 3);
    assert_int_equal(sides[1].reason, SHM_REASON_PEER_RESTARTED);
    assert_int_equal(sides[1].n_ups[1], 2);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
}

/* PX-92: one packet to a peer that is another one now is enough for all flows. */
static void what_one_flow_finds_out_the_others_ask_at_once(void **state)
{
    (void)state;
    connect_slots(4);
    flow_pair_restart(&pair, 1);
    send_on(0, 2, 1);
    uint64_t before_ns = pair.now_ns;
    flow_pair_run(&pair);
    assert_int_equal(sides[0].n_all_downs, 4);
    assert_int_equal(sides[0].reason, SHM_REASON_PEER_RESTARTED);
    assert_true(pair.now_ns - before_ns < BASE_NS_PER_MS); /* round trips, no timers */
}

/* PX-92: no later than one flow would. */
static void a_dead_peer_is_found_as_soon_on_all_flows_as_on_one(void **state)
{
    (void)state;
    uint64_t took_ns[2];
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t n = i == 0 ? 1 : 8;
        connect_slots(n);
        uint64_t before_ns = pair.now_ns;
        while (sides[0].n_all_downs < n) {
            flow_pair_wait(&pair, (uint64_t)10 * BASE_NS_PER_MS, false);
            assert_true(pair.now_ns - before_ns < (uint64_t)20 * BASE_NS_PER_S);
        }
        assert_int_equal(sides[0].reason, SHM_REASON_PEER_DEAD);
        took_ns[i] = pair.now_ns - before_ns;
        (void)teardown(NULL);
        (void)setup(NULL);
    }
    assert_true(took_ns[1] <= took_ns[0] + (uint64_t)20 * BASE_NS_PER_MS);
}

/* PX-53 */
static void a_hint_that_nobody_is_there_ends_all_handshakes(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < 5; slot++) {
        (void)open_slot(0, slot);
    }
    pony_flows_on_unreachable(pair.ends[0].table, &pair.ends[1].addr, pair.now_ns);
    assert_int_equal(sides[0].n_all_downs, 5);
    assert_int_equal(sides[0].reason, SHM_REASON_UNREACHABLE);
    assert_int_equal(flow_pair_n_flows(&pair, 0), 0);
}

/* PX-91 */
static void each_flow_leaves_from_a_port_of_its_own(void **state)
{
    (void)state;
    struct pony_packet_out out;
    uint32_t hints = 0;
    connect_slots(4);
    for (uint32_t slot = 0; slot < 4; slot++) {
        send_on(0, slot, 1);
        assert_true(pony_flows_next_packet(pair.ends[0].table, pair.now_ns, &out));
        assert_int_equal(out.head[5], PONY_WIRE_DATA);
        hints |= 1u << out.src_port_hint;
    }
    assert_int_equal(hints, 0xf);
}

/* PX-52, PX-93 */
static void a_flow_beside_the_first_is_closed_after_a_quarter_of_the_time(void **state)
{
    (void)state;
    (void)open_slot(0, 0);
    (void)open_slot(0, 1);
    (void)open_slot(0, 4); /* the first of another class */
    flow_pair_run(&pair);
    flow_pair_wait(&pair, (uint64_t)14 * BASE_NS_PER_S, true);
    assert_int_equal(sides[0].n_all_downs, 0);
    flow_pair_wait(&pair, (uint64_t)2 * BASE_NS_PER_S, true);
    assert_int_equal(sides[0].n_downs[1], 1);
    assert_int_equal(sides[0].reason, SHM_REASON_CLOSED);
    assert_int_equal(sides[0].n_all_downs, 1);
    flow_pair_wait(&pair, (uint64_t)50 * BASE_NS_PER_S, true);
    assert_int_equal(sides[0].n_all_downs, 3);
    assert_int_equal(sides[1].n_all_downs, 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(flows_of_all_slots_live_side_by_side),
        CASE(hellos_that_cross_meet_by_slot),
        CASE(a_hello_of_slot_15_is_taken_and_one_of_slot_16_is_not),
        CASE(an_answer_that_names_another_slot_is_dropped),
        CASE(hellos_in_a_peers_name_end_none_of_its_flows),
        CASE(one_address_has_at_most_64_flows),
        CASE(a_restarted_peer_takes_all_its_old_flows_along),
        CASE(what_one_flow_finds_out_the_others_ask_at_once),
        CASE(a_dead_peer_is_found_as_soon_on_all_flows_as_on_one),
        CASE(a_hint_that_nobody_is_there_ends_all_handshakes),
        CASE(each_flow_leaves_from_a_port_of_its_own),
        CASE(a_flow_beside_the_first_is_closed_after_a_quarter_of_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
