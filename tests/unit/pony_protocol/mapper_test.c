/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/pair.h"
#include "transport/pony/protocol/flow.h"
#include "transport/pony/protocol/state.h"
#include "transport/pony/protocol/wire.h"

#include <stdlib.h>

/* Which flow a connection gets, and what becomes of it. PX-93 */

static struct pair *make_limits(uint32_t flows_per_peer, uint32_t conns_per_flow)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    struct world_app_config app = world_app_config();
    assert_non_null(pair);
    world_init(&pair->world, 1);
    pair->server_host = 1;
    for (unsigned i = 0; i < 2; i++) {
        struct pony_engine_config config = world_config(&pair->world, i);
        config.flows_per_peer = flows_per_peer;
        config.conns_per_flow = conns_per_flow;
        config.congestion_control = "fixed";
        world_start(&pair->world, i, &config);
    }
    app.rx_bytes = 4 << 20;
    app.tx_bytes = 1 << 20;
    app.max_message_bytes = 1 << 20;
    pair->client = world_attach(&pair->world, 0, &app);
    pair->server = world_attach(&pair->world, 1, &app);
    listen_pair(pair);
    return pair;
}

/* Opens connection `number`; returns the server's number. */
static uint32_t open_as(struct pair *pair, uint32_t number, enum shm_traffic traffic)
{
    struct shm_completion cpl;
    assert_true(world_open_as(pair->client, number, 1, SERVICE, traffic));
    assert_true(world_expect(pair->client, SHM_CPL_OPENED, SECOND, &cpl));
    assert_true(world_expect(pair->server, SHM_CPL_ACCEPTED, SECOND, &cpl));
    return cpl.conn;
}

static void close_conn(struct pair *pair, uint32_t number)
{
    struct shm_completion cpl;
    assert_true(world_close(pair->client, number, 0));
    assert_true(world_expect(pair->client, SHM_CPL_CLOSED, SECOND, &cpl));
    assert_true(world_expect(pair->server, SHM_CPL_CLOSED, SECOND, &cpl));
}

/* Users by slot, as the client's engine counts them; -1: no such flow. Returns how many flows. */
static uint32_t users_by_slot(const struct pair *pair, unsigned host,
                              int32_t users[PONY_WIRE_SLOTS])
{
    struct pony_flow_info info;
    uint32_t cursor = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < PONY_WIRE_SLOTS; i++) {
        users[i] = -1;
    }
    while (pony_engine_next_flow(pair->world.hosts[host].engine, &cursor, &info)) {
        assert_true(info.slot < PONY_WIRE_SLOTS && users[info.slot] == -1);
        users[info.slot] = (int32_t)info.users;
        n++;
    }
    return n;
}

/* PX-93 */
static void each_class_has_a_flow_of_its_own(void **state)
{
    (void)state;
    int32_t users[PONY_WIRE_SLOTS];
    struct pair *pair = make_limits(4, 16384);
    for (uint32_t i = 0; i < 12; i++) {
        (void)open_as(pair, i, (enum shm_traffic)(i % SHM_TRAFFIC_MAX));
    }
    for (unsigned host = 0; host < 2; host++) {
        assert_int_equal(users_by_slot(pair, host, users), 3);
        assert_int_equal(users[4 * PONY_CLASS_NORMAL], 6);
        assert_int_equal(users[4 * PONY_CLASS_LATENCY], 3);
        assert_int_equal(users[4 * PONY_CLASS_BULK], 3);
    }
    free_pair(pair);
}

/* PX-93 */
static void classes_share_where_there_may_be_one_flow(void **state)
{
    (void)state;
    int32_t users[PONY_WIRE_SLOTS];
    struct pair *pair = make_limits(1, 1);
    (void)open_as(pair, 1, SHM_TRAFFIC_BULK);
    (void)open_as(pair, 2, SHM_TRAFFIC_LATENCY);
    (void)open_as(pair, 3, SHM_TRAFFIC_NORMAL);
    assert_int_equal(users_by_slot(pair, 0, users), 1);
    assert_int_equal(users[0], 3);
    free_pair(pair);
}

/* PX-93: at the bound, one more, at the limit of flows, one more. */
static void a_full_flow_gets_a_sibling_until_there_are_enough(void **state)
{
    (void)state;
    static const int32_t want[][3] = {{1, -1, -1}, {2, -1, -1}, {2, 1, -1}, {2, 2, -1}, {2, 2, 1},
                                      {2, 2, 2},   {3, 2, 2},   {3, 3, 2},  {3, 3, 3}};
    int32_t users[PONY_WIRE_SLOTS];
    struct pair *pair = make_limits(3, 2);
    for (uint32_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        (void)open_as(pair, i, SHM_TRAFFIC_DEFAULT);
        (void)users_by_slot(pair, 0, users);
        for (uint32_t k = 0; k < 3; k++) {
            assert_int_equal(users[k], want[i][k]);
        }
    }
    /* Another class finds no flow left for it: it shares. */
    (void)open_as(pair, 99, SHM_TRAFFIC_LATENCY);
    assert_int_equal(users_by_slot(pair, 0, users), 3);
    assert_int_equal(users[0] + users[1] + users[2], 10);
    free_pair(pair);
}

/* PX-93: four flows for each class are the most, whatever the configuration says. */
static void a_class_has_four_flows_at_most(void **state)
{
    (void)state;
    int32_t users[PONY_WIRE_SLOTS];
    struct pair *pair = make_limits(16, 1);
    for (uint32_t i = 0; i < 24; i++) {
        (void)open_as(pair, i, (enum shm_traffic)(SHM_TRAFFIC_NORMAL + i % 3));
    }
    assert_int_equal(users_by_slot(pair, 0, users), 12);
    for (uint32_t i = 0; i < 12; i++) {
        assert_int_equal(users[i], 2);
    }
    free_pair(pair);
}

/* PX-93: connections of both ends, on the flows of both. */
static void a_flow_that_the_peer_opened_is_used_too(void **state)
{
    (void)state;
    int32_t users[PONY_WIRE_SLOTS];
    struct shm_completion cpl;
    struct pair *pair = make_limits(4, 2);
    (void)open_as(pair, 1, SHM_TRAFFIC_DEFAULT);
    assert_true(world_listen(pair->client, 2, SERVICE + 1));
    assert_true(world_expect(pair->client, SHM_CPL_LISTENING, SECOND, &cpl));
    for (uint32_t i = 10; i < 12; i++) {
        assert_true(world_open(pair->server, i, 0, SERVICE + 1));
        assert_true(world_expect(pair->server, SHM_CPL_OPENED, SECOND, &cpl));
        assert_true(world_expect(pair->client, SHM_CPL_ACCEPTED, SECOND, &cpl));
    }
    for (unsigned host = 0; host < 2; host++) {
        assert_int_equal(users_by_slot(pair, host, users), 2);
        assert_int_equal(users[0], 2);
        assert_int_equal(users[1], 1);
    }
    free_pair(pair);
}

/* PX-93, PX-52 */
static void extra_flows_run_empty_and_are_closed(void **state)
{
    (void)state;
    int32_t users[PONY_WIRE_SLOTS];
    struct pair *pair = make_limits(3, 2);
    for (uint32_t i = 0; i < 6; i++) {
        (void)open_as(pair, i, SHM_TRAFFIC_DEFAULT);
    }
    for (uint32_t i = 2; i < 6; i++) { /* all of the second and third */
        close_conn(pair, i);
    }
    close_conn(pair, 0);
    (void)open_as(pair, 6, SHM_TRAFFIC_DEFAULT); /* the empty ones are not needed */
    assert_int_equal(users_by_slot(pair, 0, users), 3);
    assert_int_equal(users[0], 2);
    assert_int_equal(users[1] + users[2], 0);
    world_run(&pair->world, 16 * SECOND);
    assert_int_equal(users_by_slot(pair, 0, users), 1);
    assert_int_equal(users_by_slot(pair, 1, users), 1);
    assert_int_equal(users[0], 2);
    /* And come again when they are. */
    (void)open_as(pair, 7, SHM_TRAFFIC_DEFAULT);
    assert_int_equal(users_by_slot(pair, 0, users), 2);
    free_pair(pair);
}

/* PX-93 */
static void a_flow_whose_window_is_full_gets_a_sibling(void **state)
{
    (void)state;
    int32_t users[PONY_WIRE_SLOTS];
    struct shm_completion cpl;
    struct pair *pair = make_limits(4, 16384);
    (void)open_as(pair, 1, SHM_TRAFFIC_DEFAULT);
    (void)open_as(pair, 2, SHM_TRAFFIC_DEFAULT);
    assert_int_equal(users_by_slot(pair, 0, users), 1);
    assert_true(world_send(pair->client, 1, 0, 1 << 20, 1)); /* 256 packets, and more wait */
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    (void)open_as(pair, 3, SHM_TRAFFIC_DEFAULT);
    assert_int_equal(users_by_slot(pair, 0, users), 2);
    assert_int_equal(users[0], 2);
    assert_int_equal(users[1], 1);
    world_run(&pair->world, SECOND + SECOND / 10); /* it has been idle since: full no more */
    (void)open_as(pair, 4, SHM_TRAFFIC_DEFAULT);
    assert_int_equal(users_by_slot(pair, 0, users), 2);
    assert_int_equal(users[0], 3);
    free_pair(pair);
}

/* The last packet from the server to the client on some flow: shows the client's token. */
struct catch
{
    const struct pair *pair;
    uint32_t flow; /* the client's number of it */
    struct pony_wire_hdr hdr;
    bool has_it;
};

static bool look(void *arg, const struct pony_addr *from, const struct pony_addr *to,
                 const uint8_t *packet, uint32_t len)
{
    struct catch *catch = arg;
    struct pony_wire_hdr hdr;
    const uint8_t *body;
    (void)to;
    if (pony_addr_equal(from, &catch->pair->world.hosts[1].addr) &&
        pony_wire_decode(packet, len, &hdr, &body) == PONY_WIRE_OK && hdr.dst_flow == catch->flow) {
        catch->hdr = hdr;
        catch->has_it = true;
    }
    return true;
}

/* PX-92: a lost flow takes its connections along, and no others. */
static void a_flow_that_ends_takes_only_its_connections(void **state)
{
    (void)state;
    struct shm_completion cpl;
    struct pony_flow_info info;
    uint32_t cursor = 0;
    struct pair *pair = make_limits(3, 1);
    uint32_t conns[3];
    struct catch catch = {.pair = pair};
    for (uint32_t i = 0; i < 3; i++) {
        conns[i] = open_as(pair, i, SHM_TRAFFIC_DEFAULT);
    }
    while (pony_engine_next_flow(pair->world.hosts[0].engine, &cursor, &info)) {
        catch.flow = info.slot == 1 ? info.flow : catch.flow;
    }
    pair->world.on_packet = look;
    pair->world.on_packet_arg = &catch;
    assert_true(world_send(pair->client, 1, 0, 100, 1));
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    world_run(&pair->world, MS);
    assert_true(catch.has_it);
    /* A RESET on that flow, as its peer would send it. */
    uint8_t packet[PONY_WIRE_HDR_BYTES + PONY_WIRE_END_BYTES] = {0};
    struct pony_wire_hdr hdr = {.version = 1,
                                .type = PONY_WIRE_RESET,
                                .token = catch.hdr.token,
                                .dst_flow = catch.hdr.dst_flow,
                                .hops = PONY_WIRE_HOPS_UNKNOWN,
                                .body_len = PONY_WIRE_END_BYTES,
                                .covered_len = PONY_WIRE_END_BYTES};
    const struct pony_wire_end end = {.reason = SHM_REASON_PEER_DEAD,
                                      .version_min = 1,
                                      .version_max = 1,
                                      .instance = pair->world.hosts[1].config.instance};
    pony_wire_encode_end(&end, packet + PONY_WIRE_HDR_BYTES);
    pony_wire_encode(&hdr, packet);
    const struct pony_packet_in in = {.from = pair->world.hosts[1].addr,
                                      .data = packet,
                                      .len = sizeof(packet),
                                      .rx_ns = pair->world.now_ns};
    pony_engine_on_packet(pair->world.hosts[0].engine, &in, pair->world.now_ns);
    assert_true(world_expect(pair->client, SHM_CPL_CLOSED, SECOND, &cpl));
    assert_int_equal(cpl.conn, 1);
    assert_int_equal(count_completions(pair->client, SHM_CPL_CLOSED, 8 * SECOND), 0);
    for (uint32_t i = 0; i < 3; i += 2) {
        assert_true(world_send(pair->client, i, 0, 100, 1));
        assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
        assert_int_equal(cpl.conn, conns[i]);
    }
    free_pair(pair);
}

/* PX-92: and a peer that comes again is found on all flows, whoever asks first. */
static void a_restarted_peer_ends_the_connections_of_all_flows(void **state)
{
    (void)state;
    struct shm_completion cpl;
    struct world_app_config app = world_app_config();
    struct pair *pair = make_limits(4, 1);
    for (uint32_t i = 0; i < 4; i++) {
        (void)open_as(pair, i, SHM_TRAFFIC_DEFAULT);
    }
    world_kill(&pair->world, 1);
    struct pony_engine_config config = world_config(&pair->world, 1);
    world_start(&pair->world, 1, &config);
    pair->server = world_attach(&pair->world, 1, &app);
    listen_pair(pair);
    assert_true(world_send(pair->client, 2, 0, 100, 1));
    uint64_t before_ns = pair->world.now_ns;
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(world_expect(pair->client, SHM_CPL_CLOSED, SECOND, &cpl));
        assert_int_equal(cpl.reason, SHM_REASON_PEER_RESTARTED);
    }
    assert_true(pair->world.now_ns - before_ns < MS);
    (void)open_as(pair, 9, SHM_TRAFFIC_DEFAULT);
    free_pair(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_class_has_a_flow_of_its_own),
        cmocka_unit_test(classes_share_where_there_may_be_one_flow),
        cmocka_unit_test(a_full_flow_gets_a_sibling_until_there_are_enough),
        cmocka_unit_test(a_class_has_four_flows_at_most),
        cmocka_unit_test(a_flow_that_the_peer_opened_is_used_too),
        cmocka_unit_test(extra_flows_run_empty_and_are_closed),
        cmocka_unit_test(a_flow_whose_window_is_full_gets_a_sibling),
        cmocka_unit_test(a_flow_that_ends_takes_only_its_connections),
        cmocka_unit_test(a_restarted_peer_ends_the_connections_of_all_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
