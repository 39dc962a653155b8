/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/pair.h"
#include "transport/pony/protocol/state.h"
#include "transport/pony/protocol/wire.h"

#include <stdlib.h>

/* Classes: who overtakes whom within a flow, counted in packets, and that nobody starves. */

enum {
    PACKETS_MAX = 4096
};

/* What the client's DATA packets carried, in the order in which they left. */
struct watch {
    const struct pair *pair;
    uint32_t conns[PONY_CLASSES]; /* the server's numbers */
    uint8_t classes[PACKETS_MAX]; /* bit per class that has a byte of a message in it */
    uint32_t n;
};

static bool look(void *arg, const struct pony_addr *from, const struct pony_addr *to,
                 const uint8_t *packet, uint32_t len)
{
    (void)to;
    struct watch *watch = arg;
    struct pony_wire_hdr hdr;
    struct pony_frame frame;
    const uint8_t *body;
    if (!pony_addr_equal(from, &watch->pair->world.hosts[0].addr) ||
        pony_wire_decode(packet, len, &hdr, &body) != PONY_WIRE_OK || hdr.type != PONY_WIRE_DATA) {
        return true;
    }
    struct base_cursor cursor = base_cursor_make(body, hdr.body_len);
    uint8_t classes = 0;
    while (base_cursor_left(&cursor) > 0) {
        assert_true(pony_frame_get(&cursor, &frame));
        for (uint32_t i = 0; i < PONY_CLASSES && frame.type != PONY_FRAME_PAD; i++) {
            if ((frame.conn | SHM_CONN_ACCEPTED) == watch->conns[i] && frame.data_len > 0) {
                classes |= (uint8_t)(1u << i);
            }
        }
    }
    assert_true(watch->n < PACKETS_MAX);
    watch->classes[watch->n++] = classes;
    return true;
}

static const enum shm_traffic traffics[PONY_CLASSES] = {
    [PONY_CLASS_NORMAL] = SHM_TRAFFIC_NORMAL,
    [PONY_CLASS_LATENCY] = SHM_TRAFFIC_LATENCY,
    [PONY_CLASS_BULK] = SHM_TRAFFIC_BULK,
};

/* Two engines with a window of 256 packets that never shrinks; connection i + 1 is of class i. */
static struct pair *make_classes(bool is_local, struct watch *watch)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    assert_non_null(pair);
    struct world_app_config app = world_app_config();
    struct shm_completion cpl;
    world_init(&pair->world, 1);
    pair->server_host = is_local ? 0 : 1;
    for (unsigned i = 0; i <= pair->server_host; i++) {
        struct pony_engine_config config = world_config(&pair->world, i);
        config.congestion_control = "fixed";
        config.flows_per_peer = 1;
        world_start(&pair->world, i, &config);
    }
    app.tx_bytes = 4 << 20;
    app.rx_bytes = 8 << 20;
    app.max_message_bytes = 2 << 20;
    pair->client = world_attach(&pair->world, 0, &app);
    pair->server = world_attach(&pair->world, pair->server_host, &app);
    listen_pair(pair);
    *watch = (struct watch){.pair = pair};
    for (uint32_t i = 0; i < PONY_CLASSES; i++) {
        assert_true(world_open_as(pair->client, i + 1, pair->server_host, SERVICE, traffics[i]));
        assert_true(world_expect(pair->client, SHM_CPL_OPENED, SECOND, &cpl));
        assert_true(world_expect(pair->server, SHM_CPL_ACCEPTED, SECOND, &cpl));
        watch->conns[i] = cpl.conn;
    }
    pair->world.on_packet = look;
    pair->world.on_packet_arg = watch;
    return pair;
}

static uint8_t class_at_server(const struct watch *watch, uint32_t class)
{
    return pony_app_find_conn(watch->pair->server->app, watch->conns[class])->class;
}

/* PX-80 */
static void both_ends_of_a_connection_have_the_openers_class(void **state)
{
    (void)state;
    struct watch watch;
    for (int is_local = 0; is_local < 2; is_local++) {
        struct pair *pair = make_classes(is_local, &watch);
        for (uint32_t i = 0; i < PONY_CLASSES; i++) {
            assert_int_equal(pony_app_find_conn(pair->client->app, i + 1)->class, i);
            assert_int_equal(class_at_server(&watch, i), i);
        }
        free_pair(pair);
    }
}

/* PX-80 */
static void a_listener_may_choose_the_class_of_its_answers(void **state)
{
    (void)state;
    struct watch watch;
    struct shm_completion cpl;
    struct pair *pair = make_classes(false, &watch);
    struct shm_command listen = {.opcode = SHM_OP_LISTEN, .conn = LISTENER + 1};
    listen.u.listen.service = SERVICE + 1;
    listen.u.listen.traffic = SHM_TRAFFIC_BULK;
    assert_true(world_put(pair->server, &listen));
    assert_true(world_expect(pair->server, SHM_CPL_LISTENING, SECOND, &cpl));
    assert_true(world_open_as(pair->client, 9, 1, SERVICE + 1, SHM_TRAFFIC_LATENCY));
    assert_true(world_expect(pair->server, SHM_CPL_ACCEPTED, SECOND, &cpl));
    assert_int_equal(pony_app_find_conn(pair->client->app, 9)->class, PONY_CLASS_LATENCY);
    assert_int_equal(pony_app_find_conn(pair->server->app, cpl.conn)->class, PONY_CLASS_BULK);
    free_pair(pair);
}

static void a_command_with_a_class_that_does_not_exist_ends_its_application(void **state)
{
    (void)state;
    struct watch watch;
    for (int i = 0; i < 2; i++) {
        struct pair *pair = make_classes(false, &watch);
        struct shm_command command = {.opcode = i == 0 ? SHM_OP_OPEN : SHM_OP_LISTEN, .conn = 99};
        command.u.open.traffic = i == 0 ? SHM_TRAFFIC_MAX : 0;
        if (i != 0) {
            command.u.listen.traffic = SHM_TRAFFIC_MAX;
        }
        assert_true(world_put(pair->client, &command));
        (void)world_step(&pair->world);
        assert_true(pair->client->is_faulty);
        assert_non_null(strstr(pair->client->fault, "traffic class"));
        free_pair(pair);
    }
}

/* Until so many packets have left; false: they did not. */
static bool run_until_packets(struct watch *watch, struct pair *pair, uint32_t n)
{
    for (int i = 0; i < 100000 && watch->n < n; i++) {
        (void)world_step(&pair->world);
    }
    return watch->n >= n;
}

/* PX-81 */
static void a_small_message_overtakes_a_megabyte_at_the_next_packet(void **state)
{
    (void)state;
    static const uint32_t lower[] = {PONY_CLASS_NORMAL, PONY_CLASS_BULK};
    for (size_t i = 0; i < 2; i++) {
        struct watch watch;
        struct pair *pair = make_classes(false, &watch);
        assert_true(world_send(pair->client, lower[i] + 1, 0, 1 << 20, 1));
        assert_true(run_until_packets(&watch, pair, 100)); /* it is on its way */
        uint32_t before = watch.n;
        assert_true(world_send(pair->client, PONY_CLASS_LATENCY + 1, 0, 64, 2));
        assert_true(run_until_packets(&watch, pair, before + 1));
        /* The rest of that packet is the long message's: nothing is wasted. */
        assert_int_equal(watch.classes[before], 1u << PONY_CLASS_LATENCY | 1u << lower[i]);
        assert_true(run_until_packets(&watch, pair, before + 300));
        free_pair(pair);
    }
}

/* PX-81: a large message of a higher class, too, which needs a GRANT first. */
static void a_large_message_overtakes_larger_ones_of_a_lower_class(void **state)
{
    (void)state;
    struct watch watch;
    struct shm_completion cpl;
    struct pair *pair = make_classes(false, &watch);
    assert_true(world_send(pair->client, PONY_CLASS_BULK + 1, 0, 1 << 20, 1));
    assert_true(run_until_packets(&watch, pair, 50));
    assert_true(world_send(pair->client, PONY_CLASS_NORMAL + 1, 0, 100000, 2));
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    assert_int_equal(cpl.conn, watch.conns[PONY_CLASS_NORMAL]);
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    assert_int_equal(cpl.conn, watch.conns[PONY_CLASS_BULK]);
    free_pair(pair);
}

/* The longest run of packets from `from` on that went without the class, and how many had it. */
static uint32_t longest_run_without(const struct watch *watch, uint32_t class, uint32_t from,
                                    uint32_t to, uint32_t *n_with)
{
    uint32_t run = 0;
    uint32_t longest = 0;
    *n_with = 0;
    for (uint32_t i = from; i < to; i++) {
        bool has_it = (watch->classes[i] & 1u << class) != 0;
        run = has_it ? 0 : run + 1;
        longest = run > longest ? run : longest;
        *n_with += has_it;
    }
    return longest;
}

static void send_in_each_class(struct pair *pair, uint32_t len)
{
    for (uint32_t i = 0; i < PONY_CLASSES; i++) {
        assert_true(world_send(pair->client, i + 1, 0, len, i));
    }
}

/* Of the packets [from, to) each class has its share, 11 : 4 : 1 of 16, give or take `slack`
 * (NORMAL half, BULK a quarter of it), and nobody waits for longer than its patience. */
static void expect_shares(const struct watch *watch, uint32_t from, uint32_t to, uint32_t slack)
{
    static const struct {
        uint32_t class, of_16, patience, slack_part;
    } shares[PONY_CLASSES] = {
        {PONY_CLASS_LATENCY, 11, 2, 1}, {PONY_CLASS_NORMAL, 4, 3, 2}, {PONY_CLASS_BULK, 1, 16, 4}};

    for (uint32_t i = 0; i < PONY_CLASSES; i++) {
        uint32_t n = 0;
        uint32_t longest = longest_run_without(watch, shares[i].class, from, to, &n);
        uint32_t share = (to - from) * shares[i].of_16 / 16;
        uint32_t give_or_take = slack / shares[i].slack_part;
        assert_true(longest <= shares[i].patience);
        assert_in_range(n, share - give_or_take, share + give_or_take);
    }
}

/* PX-82 */
static void no_class_waits_for_longer_than_its_patience(void **state)
{
    (void)state;
    struct watch watch;
    struct pair *pair = make_classes(false, &watch);
    send_in_each_class(pair, 600000);
    assert_true(run_until_packets(&watch, pair, 560));
    /* From where all have their GRANT (the RTS went in packet 0) to where LATENCY has enough. A
     * packet with the end of one piece and the beginning of another counts for both. */
    expect_shares(&watch, 2, 560, 16);
    free_pair(pair);
}

/* PX-82: a class that comes and goes takes no more than one that stays. */
static void a_class_that_comes_and_goes_starves_nobody(void **state)
{
    (void)state;
    struct watch watch;
    struct shm_completion cpl;
    struct pair *pair = make_classes(false, &watch);
    for (int i = 0; i < 3; i++) { /* it never runs out */
        assert_true(world_send(pair->client, PONY_CLASS_BULK + 1, 0, 1500000, 1));
    }
    assert_true(run_until_packets(&watch, pair, 20));
    uint32_t from = watch.n;
    uint32_t n_bulk;
    for (int i = 0; watch.n < from + 2000; i++) {
        /* In turns one of the others has a few packets' worth, never both. */
        uint32_t class = i % 2 == 0 ? PONY_CLASS_LATENCY : PONY_CLASS_NORMAL;
        for (int k = 0; k < 3; k++) {
            (void)world_send(pair->client, class + 1, 0, 1390, 2);
        }
        (void)world_round(&pair->world, 0);
        (void)world_step(&pair->world);
        while (world_next(pair->client, &cpl) || world_next(pair->server, &cpl)) {
        }
        assert_true(i < 100000);
    }
    assert_true(longest_run_without(&watch, PONY_CLASS_BULK, from, watch.n, &n_bulk) <= 16);
    assert_in_range(n_bulk, 2000 / 17, 2999); /* some of it is still waiting */
    assert_false(base_list_is_empty(
        &pony_app_find_conn(pair->client->app, PONY_CLASS_BULK + 1)->cold->granted));
    free_pair(pair);
}

/* PX-81, PX-82 between connections of one engine: no packets, so by rounds. */
static void local_messages_of_all_classes_arrive(void **state)
{
    (void)state;
    struct watch watch;
    struct shm_completion cpl;
    struct pair *pair = make_classes(true, &watch);
    assert_true(world_send(pair->client, PONY_CLASS_BULK + 1, 0, 1 << 20, 1));
    assert_true(world_send(pair->client, PONY_CLASS_NORMAL + 1, 0, 1000, 1));
    assert_true(world_send(pair->client, PONY_CLASS_LATENCY + 1, 0, 1000, 1));
    static const uint32_t order[] = {PONY_CLASS_LATENCY, PONY_CLASS_NORMAL, PONY_CLASS_BULK};
    for (size_t i = 0; i < PONY_CLASSES; i++) {
        assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
        assert_int_equal(cpl.conn, watch.conns[order[i]]);
    }
    assert_false(pony_sched_has_local(pair->world.hosts[0].engine));
    free_pair(pair);
}

/* The receivers of the client's full packets, as bits by host. */
static bool look_where(void *arg, const struct pony_addr *from, const struct pony_addr *to,
                       const uint8_t *packet, uint32_t len)
{
    struct watch *watch = arg;
    (void)packet;
    if (pony_addr_equal(from, &watch->pair->world.hosts[0].addr) && len > 100) {
        assert_true(watch->n < PACKETS_MAX);
        watch->classes[watch->n++] = (uint8_t)(1u << (to->udp_port - 7001));
    }
    return true;
}

/* One engine that sends to three others, on a flow each; a class each. Host i + 1 is of class i. */
static struct pair *make_star(struct watch *watch)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    struct world_app_config app = world_app_config();
    struct shm_completion cpl;
    assert_non_null(pair);
    world_init(&pair->world, 1);
    for (unsigned i = 0; i <= PONY_CLASSES; i++) {
        struct pony_engine_config config = world_config(&pair->world, i);
        config.congestion_control = "fixed";
        config.flows_per_peer = 1;
        world_start(&pair->world, i, &config);
    }
    app.rx_bytes = 8 << 20;
    app.tx_bytes = 1 << 20;
    app.max_message_bytes = 1 << 20;
    pair->client = world_attach(&pair->world, 0, &app);
    for (uint32_t i = 0; i < PONY_CLASSES; i++) {
        struct world_app *server = world_attach(&pair->world, i + 1, &app);
        assert_true(world_listen(server, LISTENER, SERVICE));
        assert_true(world_expect(server, SHM_CPL_LISTENING, SECOND, &cpl));
        assert_true(world_open_as(pair->client, i + 1, i + 1, SERVICE, traffics[i]));
        assert_true(world_expect(pair->client, SHM_CPL_OPENED, SECOND, &cpl));
    }
    *watch = (struct watch){.pair = pair};
    pair->world.on_packet = look_where;
    pair->world.on_packet_arg = watch;
    return pair;
}

/* PX-83 */
static void a_flow_with_urgent_messages_goes_before_others(void **state)
{
    (void)state;
    struct watch watch;
    struct pair *pair = make_star(&watch);
    assert_true(world_send(pair->client, PONY_CLASS_BULK + 1, 0, 1 << 20, 1));
    assert_true(run_until_packets(&watch, pair, 50)); /* in the middle of its turn */
    uint32_t before = watch.n;
    assert_true(world_send(pair->client, PONY_CLASS_LATENCY + 1, 0, 64, 2));
    assert_true(run_until_packets(&watch, pair, before + 1));
    assert_int_equal(watch.classes[before], 1u << PONY_CLASS_LATENCY);
    free_pair(pair);
}

/* PX-83 */
static void no_flow_waits_for_longer_than_its_class_does(void **state)
{
    (void)state;
    struct watch watch;
    struct pair *pair = make_star(&watch);
    send_in_each_class(pair, 800000);
    assert_true(run_until_packets(&watch, pair, 300));
    /* All have their GRANT and no window is full yet: LATENCY's 256 packets are the first to be. */
    expect_shares(&watch, 0, 256, 8);
    free_pair(pair);
}

/* PX-83: when nothing urgent waits on it any more, it is like others. */
static void a_flow_loses_its_urgency_with_its_messages(void **state)
{
    (void)state;
    struct watch watch;
    struct shm_completion cpl;
    struct pair *pair = make_classes(false, &watch);
    assert_true(world_send(pair->client, PONY_CLASS_BULK + 1, 0, 1 << 20, 1));
    assert_true(run_until_packets(&watch, pair, 50));
    const struct pony_link *link = pony_app_find_conn(pair->client->app, 1)->link;
    assert_int_equal(link->class, PONY_CLASS_BULK);
    assert_true(world_send(pair->client, PONY_CLASS_LATENCY + 1, 0, 1390, 2));
    assert_int_equal(pony_engine_poll_apps(pair->world.hosts[0].engine, pair->world.now_ns, 64), 1);
    assert_int_equal(link->class, PONY_CLASS_LATENCY);
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    assert_int_equal(link->class, PONY_CLASS_BULK);
    assert_true(world_send(pair->client, PONY_CLASS_NORMAL + 1, 0, 100, 3));
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, SECOND), 2);
    free_pair(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_of_a_connection_have_the_openers_class),
        cmocka_unit_test(a_listener_may_choose_the_class_of_its_answers),
        cmocka_unit_test(a_command_with_a_class_that_does_not_exist_ends_its_application),
        cmocka_unit_test(a_small_message_overtakes_a_megabyte_at_the_next_packet),
        cmocka_unit_test(a_large_message_overtakes_larger_ones_of_a_lower_class),
        cmocka_unit_test(no_class_waits_for_longer_than_its_patience),
        cmocka_unit_test(a_class_that_comes_and_goes_starves_nobody),
        cmocka_unit_test(a_flow_with_urgent_messages_goes_before_others),
        cmocka_unit_test(no_flow_waits_for_longer_than_its_class_does),
        cmocka_unit_test(a_flow_loses_its_urgency_with_its_messages),
        cmocka_unit_test(local_messages_of_all_classes_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
