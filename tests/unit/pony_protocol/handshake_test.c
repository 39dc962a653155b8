/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/endian.h"
#include "tests/support/cmocka_all.h"
#include "tests/unit/pony_protocol/flow_pair.h"
#include "transport/pony/protocol/wire.h"

#include <string.h>

static struct flow_pair pair;

static int setup(void **state)
{
    (void)state;
    flow_pair_init(&pair);
    flow_pair_start(&pair);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flow_pair_stop(&pair);
    return 0;
}

static void one_hello_brings_both_ends_up(void **state)
{
    (void)state;
    flow_pair_open(&pair, 0);
    assert_false(pony_flow_is_up(pair.ends[0].flow));
    assert_int_equal(pony_flow_peer_instance(pair.ends[0].flow), 0);
    flow_pair_run(&pair);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pair.ends[i].n_ups, 1);
        assert_true(pony_flow_is_up(pair.ends[i].flow));
        assert_int_equal(pony_flow_peer_instance(pair.ends[i].flow),
                         pair.ends[1 - i].config.instance);
        assert_true(pony_addr_equal(pony_flow_peer(pair.ends[i].flow), &pair.ends[1 - i].addr));
        assert_int_equal(pony_flow_room_max(pair.ends[i].flow), 1452 - 48);
    }
}

static void asking_again_gives_the_same_flow(void **state)
{
    (void)state;
    flow_pair_connect(&pair);
    struct pony_flow *first = pair.ends[0].flow;
    flow_pair_open(&pair, 0);
    assert_ptr_equal(pair.ends[0].flow, first);
    first = pair.ends[1].flow;
    flow_pair_open(&pair, 1);
    assert_ptr_equal(pair.ends[1].flow, first);
}

/* PX-14 */
static void hellos_prove_the_path_and_shrink_after_two(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1452, 1452, 1200, 1452, 1200, 1452};
    flow_pair_open(&pair, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct flow_bytes bytes;
        assert_true(flow_pair_take(&pair, 0, &bytes));
        assert_int_equal(flow_bytes_type(&bytes), PONY_WIRE_HELLO);
        assert_int_equal(bytes.len, sizes[i]);
        assert_false(flow_pair_take(&pair, 0, &bytes));
        pair.now_ns += 201 * BASE_NS_PER_MS;
        pony_flows_on_time(pair.ends[0].table, pair.now_ns);
    }
}

static void the_smaller_mtu_is_agreed_on(void **state)
{
    (void)state;
    flow_pair_stop(&pair);
    pair.ends[0].config.mtu_bytes = PONY_MTU_MAX;
    pair.ends[1].config.mtu_bytes = 1300;
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    assert_int_equal(pony_flow_room_max(pair.ends[0].flow), 1300 - 48);
    assert_int_equal(pony_flow_room_max(pair.ends[1].flow), 1300 - 48);
}

static void a_path_of_1200_bytes_is_found(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    flow_pair_open(&pair, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(flow_pair_take(&pair, 0, &bytes));
        if (bytes.len <= 1200) {
            flow_pair_give(&pair, 1, &bytes);
        }
        pair.now_ns += 100 * BASE_NS_PER_MS;
        pony_flows_on_time(pair.ends[0].table, pair.now_ns);
    }
    assert_true(flow_pair_take(&pair, 1, &bytes));
    assert_int_equal(bytes.len, 1200);
    flow_pair_give(&pair, 0, &bytes);
    flow_pair_run(&pair);
    assert_int_equal(pony_flow_room_max(pair.ends[0].flow), 1200 - 48);
    assert_int_equal(pony_flow_room_max(pair.ends[1].flow), 1200 - 48);
}

/* PX-17 */
static void both_opening_at_once_end_in_one_flow(void **state)
{
    (void)state;
    flow_pair_connect_crossed(&pair);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pair.ends[i].n_ups, 1);
        assert_int_equal(pair.ends[i].n_downs, 0);
    }
    flow_pair_expect_data(&pair);
}

static void opening_while_half_open_joins_the_two(void **state)
{
    (void)state;
    struct flow_bytes hello;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    flow_pair_give(&pair, 1, &hello);
    flow_pair_open(&pair, 1);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_ups, 1);
    assert_int_equal(pair.ends[1].n_ups, 1);
    assert_int_equal(flow_pair_n_flows(&pair, 0), 1);
}

/* PX-18 */
static void a_lost_last_step_is_repeated(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    flow_pair_give(&pair, 1, &bytes);
    assert_true(flow_pair_take(&pair, 1, &bytes));
    flow_pair_give(&pair, 0, &bytes);
    assert_int_equal(pair.ends[0].n_ups, 1);
    assert_true(flow_pair_lose(&pair, 0) > 0);
    assert_int_equal(pair.ends[1].n_ups, 0);
    flow_pair_wait(&pair, 100 * BASE_NS_PER_MS, true);
    assert_int_equal(pair.ends[1].n_ups, 1);
}

/* PX-12 */
static void no_common_version_is_refused_on_both_sides(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    bytes.data[48] = PONY_WIRE_VERSION_MAX + 1;
    bytes.data[49] = 255;
    flow_bytes_seal(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    assert_int_equal(flow_pair_count(&pair, 1, "drop_refused"), 1);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 0);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_downs, 1);
    assert_int_equal(pair.ends[0].reason, SHM_REASON_VERSION);
    assert_int_equal(flow_pair_n_flows(&pair, 0), 0);
}

static void a_newer_peer_that_still_speaks_ours_is_welcome(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    bytes.data[49] = 255; /* version_max */
    flow_bytes_seal(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_ups, 1);
    assert_int_equal(pair.ends[1].n_ups, 1);
}

/* PX-56 */
static void a_flow_has_one_version(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    flow_pair_stop(&pair);
    for (int i = 0; i < 2; i++) {
        pair.ends[i].config.version_min = 1;
        pair.ends[i].config.version_max = 2;
    }
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    flow_pair_send(&pair, 0, 1);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    assert_int_equal(flow_bytes_type(&bytes), PONY_WIRE_DATA);
    assert_int_equal(bytes.data[4], 2);
    bytes.data[4] = 1;
    flow_bytes_seal(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    assert_int_equal(flow_pair_count(&pair, 1, "drop_version"), 1);
    assert_int_equal(pair.ends[1].n_delivered, 0);
    bytes.data[4] = 2;
    flow_bytes_seal(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    assert_int_equal(pair.ends[1].n_delivered, 1);
}

static void silence_is_unreachable(void **state)
{
    (void)state;
    flow_pair_open(&pair, 0);
    flow_pair_wait(&pair, pair.ends[0].config.hello_timeout_ns - BASE_NS_PER_MS, false);
    assert_int_equal(pair.ends[0].n_downs, 0);
    flow_pair_wait(&pair, 2 * BASE_NS_PER_MS, false);
    assert_int_equal(pair.ends[0].n_downs, 1);
    assert_int_equal(pair.ends[0].reason, SHM_REASON_UNREACHABLE);
}

/* PX-53 */
static void a_hint_ends_a_handshake_at_once(void **state)
{
    (void)state;
    flow_pair_open(&pair, 0);
    pony_flows_on_unreachable(pair.ends[0].table, &pair.ends[0].addr, pair.now_ns);
    assert_int_equal(pair.ends[0].n_downs, 0); /* somebody else's address */
    pony_flows_on_unreachable(pair.ends[0].table, &pair.ends[1].addr, pair.now_ns);
    assert_int_equal(pair.ends[0].n_downs, 1);
    assert_int_equal(pair.ends[0].reason, SHM_REASON_UNREACHABLE);
}

/* PX-15 */
static void a_full_table_says_so(void **state)
{
    (void)state;
    flow_pair_stop(&pair);
    pair.ends[1].config.max_flows = 1;
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    /* Another host, which is end 0's next life at another address. */
    flow_pair_restart(&pair, 0);
    struct pony_addr other = pair.ends[0].addr;
    struct flow_bytes bytes;
    other.ip[0] = 9;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    flow_pair_give_from(&pair, 1, &bytes, &other);
    while (flow_pair_take(&pair, 1, &bytes)) {
        flow_pair_give(&pair, 0, &bytes);
    }
    assert_int_equal(pair.ends[0].reason, SHM_REASON_NO_MEMORY);
    struct pony_flow *flow;
    assert_int_equal(pony_flow_get(pair.ends[1].table, &other, pair.now_ns, &flow), BASE_E_LIMIT);
    assert_null(flow);
}

/* PX-19 */
static void a_flood_of_hellos_leaves_flows_alone(void **state)
{
    (void)state;
    struct flow_bytes hello;
    flow_pair_connect(&pair);
    flow_pair_restart(&pair, 0);
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    for (uint32_t i = 0; i < 10000; i++) {
        struct pony_addr from = {.udp_port = 1};
        base_store_u32(from.ip, i);
        flow_pair_give_from(&pair, 1, &hello, &from);
        if (i % 32 == 0) {
            (void)flow_pair_lose(&pair, 1);
        }
    }
    assert_true(flow_pair_n_flows(&pair, 1) <= 1 + 16 / 4);
    assert_int_equal(pair.ends[1].n_downs, 0);
    assert_int_equal(pair.ends[1].n_ups, 1);
    assert_true(flow_pair_count(&pair, 1, "half_open_evicted") > 9000);
    flow_pair_wait(&pair, pair.ends[1].config.hello_timeout_ns + BASE_NS_PER_MS, false);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
}

/* PX-19 */
static void a_forged_hello_does_not_end_a_flow(void **state)
{
    (void)state;
    struct flow_bytes hello;
    struct flow_pair liar;
    flow_pair_connect(&pair);
    flow_pair_init(&liar);
    liar.ends[0].config.instance = 666;
    flow_pair_start(&liar);
    flow_pair_open(&liar, 0);
    assert_true(flow_pair_take(&liar, 0, &hello));
    flow_pair_stop(&liar);
    flow_pair_give(&pair, 1, &hello); /* as if from end 0 */
    flow_pair_wait(&pair, pair.ends[1].config.hello_timeout_ns * 2, true);
    assert_int_equal(pair.ends[1].n_downs, 0);
    assert_int_equal(pair.ends[0].n_downs, 0);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
    flow_pair_send(&pair, 1, 5);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_delivered, 5);
}

/* PX-19: the same peer, which found us at another of our addresses. */
static void flows_of_one_life_live_side_by_side(void **state)
{
    (void)state;
    struct flow_pair second;
    struct flow_bytes bytes;
    flow_pair_connect(&pair);
    flow_pair_init(&second);
    second.ends[0].config.instance = pair.ends[0].config.instance;
    second.ends[0].config.seed = 77; /* other numbers and tokens */
    flow_pair_start(&second);
    flow_pair_open(&second, 0);
    for (int i = 0; i < 8; i++) {
        while (flow_pair_take(&second, 0, &bytes)) {
            /* The two stand for one table, which would know both flows. */
            if (flow_bytes_type(&bytes) != PONY_WIRE_RESET) {
                flow_pair_give(&pair, 1, &bytes);
            }
        }
        while (flow_pair_take(&pair, 1, &bytes)) {
            flow_pair_give(&second, 0, &bytes);
            flow_pair_give(&pair, 0, &bytes);
        }
        (void)flow_pair_lose(&pair, 0);
    }
    assert_int_equal(second.ends[0].n_ups, 1);
    assert_int_equal(pair.ends[1].n_ups, 2);
    assert_int_equal(pair.ends[1].n_downs, 0);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 2);
    flow_pair_stop(&second);
    flow_pair_send(&pair, 0, 3);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[1].n_delivered, 3);
}

/* PX-16 */
static void a_restarted_peer_is_noticed_by_the_first_packet(void **state)
{
    (void)state;
    flow_pair_connect(&pair);
    flow_pair_restart(&pair, 1);
    flow_pair_send(&pair, 0, 1);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_downs, 1);
    assert_int_equal(pair.ends[0].reason, SHM_REASON_PEER_RESTARTED);
    assert_int_equal(pair.ends[0].n_dropped, 1);
    assert_int_equal(pair.ends[1].n_delivered, 0);
}

/* PX-19 */
static void a_restarted_peer_that_calls_replaces_its_old_flow(void **state)
{
    (void)state;
    flow_pair_connect(&pair);
    flow_pair_restart(&pair, 0);
    flow_pair_open(&pair, 0);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[1].n_downs, 1);
    assert_int_equal(pair.ends[1].reason, SHM_REASON_PEER_RESTARTED);
    assert_int_equal(pair.ends[1].n_ups, 2);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
    flow_pair_send(&pair, 1, 3);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_delivered, 3);
}

/* PX-16 */
static void resets_without_the_right_token_are_dropped(void **state)
{
    (void)state;
    struct flow_bytes data;
    struct flow_bytes reset;
    flow_pair_connect(&pair);
    struct flow_pair other;
    flow_pair_send(&pair, 0, 1);
    assert_true(flow_pair_take(&pair, 0, &data));
    flow_pair_init(&other);
    flow_pair_start(&other);
    flow_pair_give(&other, 1, &data); /* knows nothing: answers RESET, unknown */
    assert_true(flow_pair_take(&other, 1, &reset));
    flow_pair_stop(&other);
    assert_int_equal(flow_bytes_type(&reset), PONY_WIRE_RESET);
    reset.data[8] ^= 1; /* token */
    flow_bytes_seal(&reset);
    flow_pair_give(&pair, 0, &reset);
    assert_int_equal(pair.ends[0].n_downs, 0);
    assert_int_equal(flow_pair_count(&pair, 0, "drop_reset"), 1);
    reset.data[6] = 0; /* not "unknown": must show end 0's own number and token */
    flow_bytes_seal(&reset);
    flow_pair_give(&pair, 0, &reset);
    assert_int_equal(pair.ends[0].n_downs, 0);
    reset.data[6] = PONY_WIRE_FLAG_UNKNOWN;
    reset.data[8] ^= 1;
    flow_bytes_seal(&reset);
    flow_pair_give(&pair, 0, &reset);
    assert_int_equal(pair.ends[0].n_downs, 1);
}

/* PX-10, PX-14 */
static void a_hello_must_have_the_size_it_names(void **state)
{
    (void)state;
    struct flow_bytes hello;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    base_store_u16(hello.data + 50, 9000);
    flow_bytes_seal(&hello);
    flow_pair_give(&pair, 1, &hello);
    base_store_u16(hello.data + 50, 1199);
    base_store_u16(hello.data + 44, 1199 - 48);
    hello.len = 1199;
    flow_bytes_seal(&hello);
    flow_pair_give(&pair, 1, &hello);
    assert_int_equal(flow_pair_count(&pair, 1, "drop_hello"), 2);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 0);
}

/* PX-6, PX-14 */
static void a_repeated_hello_after_data_does_not_skip_data(void **state)
{
    (void)state;
    struct flow_bytes hellos[2];
    struct flow_bytes bytes;
    /* End 0 comes up and sends data, which is lost; end 1 still repeats its HELLO. */
    flow_pair_open(&pair, 0);
    flow_pair_open(&pair, 1);
    assert_true(flow_pair_take(&pair, 0, &hellos[0]));
    assert_true(flow_pair_take(&pair, 1, &hellos[1]));
    flow_pair_give(&pair, 0, &hellos[1]);
    flow_pair_give(&pair, 1, &hellos[0]);
    assert_true(flow_pair_take(&pair, 1, &bytes)); /* HELLO_OK of end 1 */
    assert_int_equal(flow_bytes_type(&bytes), PONY_WIRE_HELLO_OK);
    flow_pair_give(&pair, 0, &bytes);
    flow_pair_send(&pair, 0, 3);
    assert_true(flow_pair_lose(&pair, 0) >= 4); /* HELLO_OK and the data */
    flow_pair_give(&pair, 0, &hellos[1]);
    flow_pair_wait(&pair, 500 * BASE_NS_PER_MS, true);
    assert_int_equal(pair.ends[1].n_delivered, 3);
    assert_int_equal(pair.ends[0].n_acked, 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A HELLO of end 1 that it knows nothing of, with what a stranger off the path has changed in it. */
static void give_forged_hello(uint32_t ts_ahead)
{
    struct flow_bytes hello;
    flow_pair_open(&pair, 1);
    assert_true(flow_pair_take(&pair, 1, &hello));
    flow_pair_restart(&pair, 1);
    base_store_u32(hello.data + 28, base_load_u32(hello.data + 28) + ts_ahead);
    base_store_u64(hello.data + PONY_WIRE_HDR_BYTES + 8, 0x1234567);
    base_store_u64(hello.data + PONY_WIRE_HDR_BYTES + 16, 0x777);
    flow_bytes_seal(&hello);
    flow_pair_give(&pair, 0, &hello);
    assert_int_equal(flow_pair_n_flows(&pair, 0), 1);
}

/* PX-16: the peer does not know the flow of a forged HELLO; ours comes up all the same. */
static void a_forged_hello_does_not_keep_a_flow_from_opening(void **state)
{
    (void)state;
    give_forged_hello(0);
    flow_pair_open(&pair, 0);
    flow_pair_wait(&pair, BASE_NS_PER_S, true);
    assert_int_equal(pair.ends[0].n_ups, 1);
    assert_int_equal(pair.ends[0].n_downs, 0);
}

/* PX-31 */
static void a_forged_hello_does_not_stop_the_echo(void **state)
{
    (void)state;
    give_forged_hello(0x40000000);
    flow_pair_open(&pair, 0);
    flow_pair_wait(&pair, BASE_NS_PER_S, true);
    for (uint32_t i = 0; i < 5; i++) {
        flow_pair_send(&pair, 1, 50);
        flow_pair_run(&pair);
    }
    struct pony_flow_info info;
    uint32_t cursor = 0;
    assert_true(pony_flows_next_info(pair.ends[1].table, &cursor, &info));
    assert_true(info.srtt_ns > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_hello_brings_both_ends_up),
        CASE(asking_again_gives_the_same_flow),
        CASE(hellos_prove_the_path_and_shrink_after_two),
        CASE(the_smaller_mtu_is_agreed_on),
        CASE(a_path_of_1200_bytes_is_found),
        CASE(both_opening_at_once_end_in_one_flow),
        CASE(opening_while_half_open_joins_the_two),
        CASE(a_lost_last_step_is_repeated),
        CASE(a_forged_hello_does_not_keep_a_flow_from_opening),
        CASE(a_forged_hello_does_not_stop_the_echo),
        CASE(no_common_version_is_refused_on_both_sides),
        CASE(a_newer_peer_that_still_speaks_ours_is_welcome),
        CASE(a_flow_has_one_version),
        CASE(silence_is_unreachable),
        CASE(a_hint_ends_a_handshake_at_once),
        CASE(a_full_table_says_so),
        CASE(a_flood_of_hellos_leaves_flows_alone),
        CASE(a_forged_hello_does_not_end_a_flow),
        CASE(flows_of_one_life_live_side_by_side),
        CASE(a_restarted_peer_is_noticed_by_the_first_packet),
        CASE(a_restarted_peer_that_calls_replaces_its_old_flow),
        CASE(resets_without_the_right_token_are_dropped),
        CASE(a_hello_must_have_the_size_it_names),
        CASE(a_repeated_hello_after_data_does_not_skip_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
