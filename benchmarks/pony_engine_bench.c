/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "transport/pony/protocol/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What an engine itself costs: application, engine (and a second engine, its packets handed over
 * in memory) and the other application take turns on one thread. No sockets, no wake-ups, no
 * other cores: nanoseconds of CPU for a message one way, everything included.
 *
 *   pony-engine-bench [messages [connections [engines]]]
 *
 * With a number of connections (1 to 10000) only that: 64 B messages, each on the next connection,
 * over two engines, or within one.
 */

enum {
    SLOTS = 1024,
    TX_BYTES = 64 << 20,
    RX_BYTES = 128 << 20,
    SERVICE = 9,
    PACKETS = 64,
    CONNS_MAX = 10000
};

struct side {
    struct pony_engine *engine;
    struct pony_app *app;
    struct shm_client_end end;
    uint8_t *tx, *rx;
    struct pony_addr addr;
    uint32_t n_opened, n_accepted, conn; /* conn: the last one */
    uint64_t n_sent, n_received, bytes;
};

static struct side sides[2];

static void die(const char *what)
{
    (void)fprintf(stderr, "pony_engine_bench: %s\n", what);
    exit(1);
}

static void *area(size_t bytes)
{
    void *at = aligned_alloc(4096, bytes);
    if (at == NULL) {
        die("out of memory");
    }
    memset(at, 0, bytes);
    return at;
}

static void make_side(unsigned i, struct pony_engine *engine)
{
    struct side *side = &sides[i];
    const size_t bytes = SHM_SLOTS_OFF + (size_t)SLOTS * SHM_SLOT_BYTES;
    void *client = area(bytes);
    void *shared = area(bytes);
    *side = (struct side){.engine = engine, .tx = area(TX_BYTES), .rx = area(RX_BYTES)};
    side->addr.ip[15] = (uint8_t)(i + 1);
    side->addr.udp_port = (uint16_t)(1 + i);
    shm_client_end_init(&side->end, client, shared, SLOTS, SLOTS);
    struct pony_app_config config = {
        .tx_base = side->tx,
        .tx_bytes = TX_BYTES,
        .rx_base = side->rx,
        .rx_bytes = RX_BYTES,
        .max_message_bytes = 64 << 20,
        .max_conns = CONNS_MAX,
        .joins_sent = true,
        .port = i,
    };
    shm_engine_end_init(&config.end, client, shared, SLOTS, SLOTS);
    if (pony_engine_attach(engine, &config, &side->app) != BASE_OK) {
        die("attach");
    }
}

static struct pony_engine *make_engine(unsigned i, uint32_t mtu)
{
    struct pony_engine_config config;
    struct pony_engine *engine = NULL;
    pony_engine_config_init(&config);
    config.instance = 100 + i;
    config.seed = i;
    config.udp_port = (uint16_t)(1 + i);
    config.mtu_bytes = mtu;
    if (pony_engine_create(&config, base_clock_now_ns(), &engine) != BASE_OK) {
        die("engine");
    }
    return engine;
}

static void read_side(struct side *side)
{
    struct shm_completion cpl[64];
    uint32_t n = 0;
    if (shm_client_peek(&side->end, cpl, 64, &n) != BASE_OK) {
        die("peek");
    }
    for (uint32_t i = 0; i < n; i++) {
        switch (cpl[i].kind) {
        case SHM_CPL_OPENED:
            side->n_opened++;
            break;
        case SHM_CPL_ACCEPTED:
            side->n_accepted++;
            side->conn = cpl[i].conn;
            break;
        case SHM_CPL_RECEIVED:
            side->n_received++;
            side->bytes += cpl[i].u.received.len;
            break;
        case SHM_CPL_SENT:
            side->n_sent += 1 + cpl[i].n_more;
            break;
        case SHM_CPL_CLOSED:
            die("a connection closed");
            break;
        default:
            break;
        }
    }
    (void)shm_client_consume(&side->end, n);
}

static void round_of(struct side *side, struct side *other)
{
    static uint8_t bytes[PACKETS][PONY_MTU_MAX];
    struct pony_packet_in in[PACKETS];
    struct pony_packet_out out;
    uint32_t n = 0;
    uint64_t now_ns = base_clock_now_ns();
    (void)pony_engine_poll_apps(side->engine, now_ns, 256);
    pony_engine_on_time(side->engine, now_ns);
    while (n < PACKETS && pony_engine_next_packet(side->engine, now_ns, &out)) {
        memcpy(bytes[n], out.head, out.head_len);
        if (out.payload_len > 0) {
            memcpy(bytes[n] + out.head_len, out.payload, out.payload_len);
        }
        in[n] = (struct pony_packet_in){.from = side->addr,
                                        .data = bytes[n],
                                        .len = out.head_len + out.payload_len,
                                        .rx_ns = now_ns};
        n++;
    }
    (void)pony_engine_publish(side->engine);
    for (uint32_t i = 0; i < n; i++) {
        pony_engine_on_packet(other->engine, &in[i], now_ns);
    }
}

static void round_of_all(void)
{
    round_of(&sides[0], &sides[1]);
    if (sides[0].engine != sides[1].engine) {
        round_of(&sides[1], &sides[0]);
    }
    read_side(&sides[0]);
    read_side(&sides[1]);
}

static void put(struct side *side, const struct shm_command *command)
{
    while (shm_client_put(&side->end, command) != BASE_OK) {
        (void)shm_client_publish(&side->end);
        round_of_all();
    }
}

static void connect_sides(uint32_t n_conns)
{
    struct shm_command command = {.opcode = SHM_OP_LISTEN, .conn = 1};
    command.u.listen.service = SERVICE;
    put(&sides[1], &command);
    (void)shm_client_publish(&sides[1].end);
    round_of_all();
    for (uint32_t i = 0; i < n_conns; i++) {
        command = (struct shm_command){.opcode = SHM_OP_OPEN, .conn = 1 + i};
        command.u.open.to.ip[15] = 2;
        command.u.open.to.udp_port = sides[1].addr.udp_port;
        command.u.open.service = SERVICE;
        if (sides[0].engine == sides[1].engine) {
            command.u.open.instance = 100;
            command.u.open.to.udp_port = 1;
        }
        put(&sides[0], &command);
    }
    (void)shm_client_publish(&sides[0].end);
    while (sides[0].n_opened < n_conns) {
        round_of_all();
    }
}

static void send_one(struct side *side, uint32_t conn, uint32_t len, uint64_t off)
{
    struct shm_command command = {.opcode = SHM_OP_SEND, .conn = conn};
    command.u.send.off = off;
    command.u.send.len = len;
    put(side, &command);
}

/* One way, as many as the queues take. Returns ns per message. */
static double stream(uint64_t n, uint32_t len, uint32_t n_conns, uint64_t in_flight)
{
    uint64_t begin_ns = base_clock_thread_cpu_ns();
    uint64_t first = sides[1].n_received;
    uint64_t first_sent = sides[0].n_sent;
    for (uint64_t i = 0; i < n;) {
        for (int k = 0; k < 32 && i < n && i - (sides[0].n_sent - first_sent) < in_flight;
             k++, i++) {
            uint64_t off = (i * (len + 64)) % (TX_BYTES - len);
            send_one(&sides[0], 1 + (uint32_t)(i % n_conns), len, len > 65536 ? off & ~63ull : 0);
        }
        (void)shm_client_publish(&sides[0].end);
        round_of_all();
    }
    while (sides[1].n_received - first < n) {
        round_of_all();
    }
    return (double)(base_clock_thread_cpu_ns() - begin_ns) / (double)n;
}

static double ping_pong(uint64_t n)
{
    uint64_t begin_ns = base_clock_thread_cpu_ns();
    for (uint64_t i = 0; i < n; i++) {
        for (unsigned s = 0; s < 2; s++) {
            uint64_t before = sides[1 - s].n_received;
            send_one(&sides[s], s == 0 ? 1 : sides[1].conn, 64, 0);
            (void)shm_client_publish(&sides[s].end);
            while (sides[1 - s].n_received == before) {
                round_of_all();
            }
        }
    }
    return (double)(base_clock_thread_cpu_ns() - begin_ns) / (double)n / 2;
}

static void measure(const char *name, bool is_local, uint32_t mtu, uint64_t n)
{
    static const uint32_t lens[] = {64, 1024, 16384, 65536, 1 << 20};
    struct pony_engine *engine = make_engine(0, mtu);
    make_side(0, engine);
    make_side(1, is_local ? engine : make_engine(1, mtu));
    connect_sides(1);
    printf("%-22s ping-pong 64 B: %6.0f ns one way\n", name, ping_pong(n / 20));
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint64_t count = n / (1 + lens[i] / 1024) + 100;
        (void)stream(count / 10, lens[i], 1, 512);
        double ns = stream(count, lens[i], 1, lens[i] > 65536 ? 16 : 512);
        printf("%-22s stream %7u B: %9.1f ns per message, %7.2f Gb/s\n", name, lens[i], ns,
               lens[i] * 8.0 / ns);
    }
    for (unsigned s = 0; s < 2; s++) {
        pony_engine_detach(sides[s].engine, sides[s].app, base_clock_now_ns());
    }
    pony_engine_destroy(sides[0].engine);
    if (!is_local) {
        pony_engine_destroy(sides[1].engine);
    }
}

static void measure_conns(uint32_t n_conns, uint64_t n, bool is_local)
{
    struct pony_engine *engine = make_engine(0, 1452);
    make_side(0, engine);
    make_side(1, is_local ? engine : make_engine(1, 1452));
    connect_sides(n_conns);
    (void)stream(n / 10, 64, n_conns, 512);
    printf("%5u connections        stream      64 B: %9.1f ns per message\n", n_conns,
           stream(n, 64, n_conns, 512));
}

int main(int argc, char **argv)
{
    static const uint32_t conns[] = {1, 10, 100, 1000, CONNS_MAX};
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    if (argc > 2) {
        unsigned long n_conns = strtoul(argv[2], NULL, 10);
        if (n_conns < 1 || n_conns > CONNS_MAX) {
            die("connections: 1 to 10000");
        }
        measure_conns((uint32_t)n_conns, n, argc > 3 && strcmp(argv[3], "1") == 0);
        return 0;
    }
    measure("one engine", true, 1452, n);
    measure("two engines, MTU 1452", false, 1452, n);
    measure("two engines, MTU 9000", false, 8952, n);
    for (size_t i = 0; i < sizeof(conns) / sizeof(conns[0]); i++) {
        measure_conns(conns[i], n, false);
    }
    return 0;
}
