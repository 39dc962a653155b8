/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/cmocka_all.h"
#include "tests/support/pony_world.h"
#include "transport/pony/protocol/flow.h"
#include "transport/pony/protocol/state.h"
#include "transport/pony/protocol/wire.h"

#include <stdlib.h>
#include <string.h>

/*
 * Several flows and classes in virtual time: that a sick flow harms no other, that shares are fair,
 * that what is urgent is soon there. No number here is measured with a clock: all follow from a seed.
 */

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

enum {
    CONNS_MAX = 8,
    SERVICE = 9
};

struct load {
    uint32_t host; /* where the connection goes, from host 0 */
    enum shm_traffic traffic;
    uint32_t len;     /* of each of its messages */
    uint32_t n_ahead; /* sent and not received yet, at most; 0: only when told */
    uint32_t conn;    /* the receiver's number */
    uint64_t n_sent, n_received, bytes;
    bool is_closed;
    enum shm_reason reason;
};

struct rig {
    struct world world;
    struct world_app *sender, *receivers[WORLD_HOSTS_MAX];
    struct load loads[CONNS_MAX];
    uint32_t n;
    /* Packets of a flow that get lost: by the number in them, at each host. */
    uint32_t sick[2];
    uint32_t sick_ppm;
    struct base_rng rng;
};

static bool lose_sick(void *arg, const struct pony_addr *from, const struct pony_addr *to,
                      const uint8_t *packet, uint32_t len)
{
    struct rig *rig = arg;
    struct pony_wire_hdr hdr;
    const uint8_t *body;
    (void)from;
    if (rig->sick_ppm == 0 || pony_wire_decode(packet, len, &hdr, &body) != PONY_WIRE_OK) {
        return true;
    }
    uint32_t host = to->udp_port - 7000u;
    return host > 1 || hdr.dst_flow != rig->sick[host] ||
           !base_rng_chance(&rig->rng, rig->sick_ppm);
}

static struct rig *make_rig(uint64_t seed, uint32_t n_hosts, const struct pony_engine_config *like)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct world_app_config app = world_app_config();
    struct shm_completion cpl;
    assert_non_null(rig);
    world_init(&rig->world, seed);
    base_rng_init(&rig->rng, seed);
    app.rx_bytes = 16 << 20;
    app.tx_bytes = 1 << 20;
    app.max_message_bytes = 1 << 20;
    for (uint32_t i = 0; i < n_hosts; i++) {
        struct pony_engine_config config = world_config(&rig->world, i);
        config.flows_per_peer = like->flows_per_peer;
        config.conns_per_flow = like->conns_per_flow;
        config.congestion_control = like->congestion_control;
        config.dead_ns = 500 * MS;
        config.keepalive_ns = 100 * MS;
        world_start(&rig->world, i, &config);
        struct world_app *made = world_attach(&rig->world, i, &app);
        *(i == 0 ? &rig->sender : &rig->receivers[i]) = made;
        if (i > 0) {
            assert_true(world_listen(made, 1, SERVICE));
            assert_true(world_expect(made, SHM_CPL_LISTENING, MS, &cpl));
        }
    }
    rig->world.on_packet = lose_sick;
    rig->world.on_packet_arg = rig;
    return rig;
}

static void free_rig(struct rig *rig)
{
    world_fini(&rig->world);
    free(rig);
}

static struct load *add_load(struct rig *rig, const struct load *like)
{
    struct shm_completion cpl;
    struct load *load = &rig->loads[rig->n];
    *load = *like;
    assert_true(world_open_as(rig->sender, rig->n++, load->host, SERVICE, load->traffic));
    assert_true(world_expect(rig->sender, SHM_CPL_OPENED, 1000 * MS, &cpl));
    assert_true(world_expect(rig->receivers[load->host], SHM_CPL_ACCEPTED, 1000 * MS, &cpl));
    load->conn = cpl.conn;
    return load;
}

static void send_more(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->n; i++) {
        struct load *load = &rig->loads[i];
        while (!load->is_closed && load->n_sent - load->n_received < load->n_ahead &&
               world_send(rig->sender, i, 0, load->len, i)) {
            load->n_sent++;
        }
    }
}

static void read_all(struct rig *rig)
{
    struct shm_completion cpl;
    while (world_next(rig->sender, &cpl)) {
        if (cpl.kind == SHM_CPL_CLOSED) {
            rig->loads[cpl.conn].is_closed = true;
            rig->loads[cpl.conn].reason = (enum shm_reason)cpl.reason;
        }
    }
    for (uint32_t host = 1; host < rig->world.n_hosts; host++) {
        while (world_next(rig->receivers[host], &cpl)) {
            for (uint32_t i = 0; cpl.kind == SHM_CPL_RECEIVED && i < rig->n; i++) {
                struct load *load = &rig->loads[i];
                if (load->host == host && load->conn == cpl.conn) {
                    assert_int_equal(cpl.u.received.len, load->len);
                    load->n_received++;
                    load->bytes += load->len;
                }
            }
        }
    }
}

static void run_load(struct rig *rig, uint64_t ns)
{
    uint64_t until_ns = rig->world.now_ns + ns;
    while (rig->world.now_ns < until_ns) {
        send_more(rig);
        (void)world_step(&rig->world);
        read_all(rig);
    }
}

/* Ends the sending and waits for what is on its way. */
static void settle(struct rig *rig)
{
    uint64_t until_ns = rig->world.now_ns + 5000 * MS;
    bool is_settled = false;
    while (!is_settled && rig->world.now_ns < until_ns) {
        (void)world_step(&rig->world);
        read_all(rig);
        is_settled = true;
        for (uint32_t i = 0; i < rig->n; i++) {
            const struct load *load = &rig->loads[i];
            is_settled = is_settled && (load->is_closed || load->n_received == load->n_sent);
        }
    }
    assert_true(is_settled);
}

/* The flow of load `idx`: both engines' numbers, and its retransmissions at the sender. */
static uint64_t look_up_flow(struct rig *rig, uint32_t idx, uint32_t numbers[2])
{
    struct pony_flow_info info;
    uint64_t resent = 0;
    uint32_t slot = pony_flow_slot(pony_app_find_conn(rig->sender->app, idx)->link->flow);
    for (uint32_t host = 0; host < 2; host++) {
        for (uint32_t cursor = 0;
             pony_engine_next_flow(rig->world.hosts[host].engine, &cursor, &info);) {
            if (info.slot == slot) {
                numbers[host] = info.flow;
                resent = host == 0 ? info.retransmitted_pkts : resent;
            }
        }
    }
    return resent;
}

/* Jain's index of the bytes that arrived since the counts were cleared, in 1/1000. */
static uint32_t jain(const struct rig *rig)
{
    double sum = 0;
    double squares = 0;
    for (uint32_t i = 0; i < rig->n; i++) {
        double x = (double)rig->loads[i].bytes;
        sum += x;
        squares += x * x;
    }
    assert_true(squares > 0);
    return (uint32_t)(1000 * sum * sum / (rig->n * squares));
}

static void clear_bytes(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->n; i++) {
        rig->loads[i].bytes = 0;
    }
}

static const struct pony_engine_config spread = {
    .flows_per_peer = 4, .conns_per_flow = 1, .congestion_control = "delay"};
static const struct pony_engine_config shared = {
    .flows_per_peer = 1, .conns_per_flow = 16384, .congestion_control = "fixed"};

/* PX-92 */
static void a_flow_whose_path_dies_harms_no_other(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig *rig = make_rig(seed, 2, &spread);
        for (uint32_t i = 0; i < 4; i++) {
            (void)add_load(rig, &(struct load){.host = 1, .len = 3000 * (i + 1), .n_ahead = 4});
        }
        uint32_t sick = (uint32_t)(seed % 4);
        run_load(rig, 2 * MS);
        (void)look_up_flow(rig, sick, rig->sick);
        rig->sick_ppm = 1000000;
        run_load(rig, MS);
        uint64_t until_ns = rig->world.now_ns + 1000 * MS;
        while (!rig->loads[sick].is_closed && rig->world.now_ns < until_ns) {
            (void)world_step(
                &rig->world); /* nobody sends more: keepalives, and the sick one's dead */
            read_all(rig);
        }
        run_load(rig, MS);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(rig->loads[i].is_closed, i == sick);
        }
        assert_int_equal(rig->loads[sick].reason, SHM_REASON_PEER_DEAD);
        settle(rig); /* the others lost nothing */
        rig->sick_ppm = 0;
        free_rig(rig);
    }
}

/* PX-92: loss on one flow slows that one down and no other. */
static void loss_on_one_flow_is_no_loss_on_others(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig *rig = make_rig(seed, 2, &spread);
        uint32_t numbers[2];
        for (uint32_t i = 0; i < 4; i++) {
            (void)add_load(rig, &(struct load){.host = 1, .len = 20000, .n_ahead = 4});
        }
        uint32_t sick = (uint32_t)(seed % 4);
        (void)look_up_flow(rig, sick, rig->sick);
        rig->sick_ppm = 200000;
        run_load(rig, 4 * MS);
        settle(rig);
        for (uint32_t i = 0; i < 4; i++) {
            assert_false(rig->loads[i].is_closed);
            uint64_t resent = look_up_flow(rig, i, numbers);
            assert_true(i == sick ? resent > 0 : resent == 0);
            assert_true(i == sick || rig->loads[i].bytes > rig->loads[sick].bytes);
        }
        free_rig(rig);
    }
}

/* Connections on a flow: shares in bytes, whatever the sizes of the messages. */
static void connections_on_a_flow_have_equal_shares(void **state)
{
    (void)state;
    /* Of large messages four can have memory at once (PX-75): who sends shorter ones has less to send
     * in its turn. */
    static const uint32_t least[3] = {980, 850, 980};
    static const uint32_t sizes[3][4] = {
        {200000, 200000, 200000, 200000}, {50000, 100000, 200000, 400000}, {700, 700, 700, 700}};
    for (size_t k = 0; k < 3; k++) {
        struct rig *rig = make_rig(k + 1, 2, &shared);
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t n_ahead = k == 2 ? 60 : 4000000 / sizes[k][i];
            (void)add_load(rig, &(struct load){.host = 1, .len = sizes[k][i], .n_ahead = n_ahead});
        }
        run_load(rig, 2 * MS);
        clear_bytes(rig);
        run_load(rig, 4 * MS);
        assert_in_range(jain(rig), least[k], 1000);
        free_rig(rig);
    }
}

/* Flows of an engine: to one peer and to several. The engine's 64 packets a round are what is short. */
static void flows_of_an_engine_have_equal_shares(void **state)
{
    (void)state;
    struct pony_engine_config config = spread;
    config.congestion_control = "fixed";
    for (uint32_t n_hosts = 2; n_hosts <= 4; n_hosts += 2) {
        struct rig *rig = make_rig(n_hosts, n_hosts, &config);
        for (uint32_t i = 0; i < 3; i++) {
            (void)add_load(rig, &(struct load){.host = n_hosts == 2 ? 1 : i + 1,
                                               .len = 100000u << i,
                                               .n_ahead = 40u >> i});
        }
        run_load(rig, 2 * MS);
        clear_bytes(rig);
        run_load(rig, 4 * MS);
        assert_in_range(jain(rig), 980, 1000);
        free_rig(rig);
    }
}

/* How long a message of `load` takes from host 0. */
static uint64_t time_one(struct rig *rig, struct load *load)
{
    uint64_t before_ns = rig->world.now_ns;
    uint64_t want = load->n_received + 1;
    assert_true(world_send(rig->sender, (uint32_t)(load - rig->loads), 0, load->len, 0));
    load->n_sent++;
    while (load->n_received < want) {
        run_load(rig, 1);
        assert_true(rig->world.now_ns - before_ns < 100 * MS);
    }
    return rig->world.now_ns - before_ns;
}

/* PX-81, PX-82, PX-93: a small message of LATENCY beside megabytes, on their flow and on its own. */
static void urgent_messages_are_soon_there_and_others_go_on(void **state)
{
    (void)state;
    uint64_t worst_ns[2] = {0, 0};
    for (uint32_t k = 0; k < 2; k++) {
        struct pony_engine_config config = shared;
        config.flows_per_peer = k == 0 ? 1 : 4;
        struct rig *rig = make_rig(1, 2, &config);
        for (uint32_t i = 0; i < 3; i++) {
            (void)add_load(
                rig, &(struct load){
                         .host = 1, .traffic = SHM_TRAFFIC_BULK, .len = 1 << 20, .n_ahead = 3});
        }
        run_load(rig, 2 * MS);
        clear_bytes(rig);
        uint64_t start_ns = rig->world.now_ns;
        run_load(rig, 4 * MS);
        uint64_t alone = (rig->loads[0].bytes + rig->loads[1].bytes + rig->loads[2].bytes) /
                         (rig->world.now_ns - start_ns);
        struct load *urgent =
            add_load(rig, &(struct load){.host = 1, .traffic = SHM_TRAFFIC_LATENCY, .len = 64});
        clear_bytes(rig);
        start_ns = rig->world.now_ns;
        for (uint32_t i = 0; i < 200; i++) {
            uint64_t took_ns = time_one(rig, urgent);
            worst_ns[k] = took_ns > worst_ns[k] ? took_ns : worst_ns[k];
        }
        uint64_t beside = (rig->loads[0].bytes + rig->loads[1].bytes + rig->loads[2].bytes) /
                          (rig->world.now_ns - start_ns);
        assert_true(beside > alone * 7 / 10); /* bytes per ns */
        free_rig(rig);
    }
    /* A way is 5 us: at once on a flow of its own; else when the window has room again. */
    assert_in_range(worst_ns[1], 5 * US, 10 * US);
    assert_in_range(worst_ns[0], 5 * US, 25 * US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_whose_path_dies_harms_no_other),
        cmocka_unit_test(loss_on_one_flow_is_no_loss_on_others),
        cmocka_unit_test(connections_on_a_flow_have_equal_shares),
        cmocka_unit_test(flows_of_an_engine_have_equal_shares),
        cmocka_unit_test(urgent_messages_are_soon_there_and_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
