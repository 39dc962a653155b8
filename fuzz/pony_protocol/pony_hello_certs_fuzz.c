/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake of mode certificates: one of its packets is changed, and its checksum made right again.
 * What must hold: no crash, and nobody comes up with other keys than its peer: after a changed HELLO_OK
 * nobody does, after another changed packet both ends or none.
 *
 * Input: which packet (one byte), then triples of offset (two bytes) and new value.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/endian.h"
#include "base/hash.h"
#include "tests/support/test_certs.h"
#include "tests/support/test_security.h"
#include "transport/pony/protocol/flow.h"

#include <string.h>

enum {
    N_STEPS = 12
};

struct packet {
    uint8_t data[PONY_MTU_MIN];
    uint32_t len;
};

static struct pony_flow_table *tables[2];
static const struct pony_addr addrs[2] = {{.ip = {[15] = 1}, .udp_port = 1},
                                          {.ip = {[15] = 2}, .udp_port = 1}};
static uint32_t n_ups;
static struct base_rng rngs[2];
static struct test_cert ca, certs[2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                    uint64_t now_ns)
{
    (void)ctx;
    (void)flow;
    (void)packet;
    (void)room;
    (void)now_ns;
    return false;
}

static bool on_deliver(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                       uint64_t now_ns)
{
    (void)ctx;
    (void)flow;
    (void)frames;
    (void)len;
    (void)now_ns;
    return true;
}

static void on_released(void *ctx, struct pony_flow *flow, struct pony_tx_msg *owner,
                        bool was_acked)
{
    (void)ctx;
    (void)flow;
    (void)owner;
    (void)was_acked;
}

static void on_up(void *ctx, struct pony_flow *flow)
{
    (void)ctx;
    (void)flow;
    n_ups++;
}

static void on_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    (void)ctx;
    (void)flow;
    (void)reason;
}

static const struct pony_flow_events events = {
    .fill = on_fill,
    .deliver = on_deliver,
    .released = on_released,
    .up = on_up,
    .down = on_down,
};

static void make_certs(void)
{
    static const struct test_cert_spec leaves[2] = {{.kind = "ED25519", .san = "IP:::1"},
                                                    {.kind = "P-256", .san = "IP:::2"}};
    if (ca.cert != NULL) {
        return;
    }
    test_cert_make(&ca, NULL, &(struct test_cert_spec){.kind = "P-256", .is_ca = true});
    test_cert_make(&certs[0], &ca, &leaves[0]);
    test_cert_make(&certs[1], &ca, &leaves[1]);
}

static void start(uint32_t idx)
{
    const struct pony_certs files = {
        .certificate = {"host.crt", certs[idx].cert_pem},
        .private_key = {"host.key", certs[idx].key_pem},
        .ca = {"ca.crt", ca.cert_pem},
        .peers = "address",
    };
    struct pony_security security;
    base_rng_init(&rngs[idx], idx);
    test_security_init(&security, &rngs[idx]);
    security.mode = PONY_SECURITY_CERTS;
    security.certs = &files;
    security.wall_s = test_certs_wall_s;
    struct pony_flow_config config = {
        .instance = idx + 1,
        .seed = idx,
        .max_flows = 4,
        .max_packets = 4,
        .mtu_bytes = PONY_MTU_MIN,
        .window_max_pkts = 4,
        .rto_min_ns = BASE_NS_PER_MS,
        .rto_max_ns = BASE_NS_PER_MS,
        .keepalive_ns = BASE_NS_PER_S,
        .dead_ns = BASE_NS_PER_S,
        .hello_timeout_ns = BASE_NS_PER_S,
        .idle_ns = BASE_NS_PER_S,
        .security = &security,
        .events = &events,
    };
    base_assert(pony_flow_table_create(&config, BASE_NS_PER_S, &tables[idx]) == BASE_OK);
}

static bool take(uint32_t from, struct packet *packet)
{
    struct pony_packet_out out;
    if (!pony_flows_next_packet(tables[from], BASE_NS_PER_S, &out)) {
        return false;
    }
    packet->len = out.head_len;
    memcpy(packet->data, out.head, out.head_len);
    return true;
}

static void give(uint32_t to, const struct packet *packet)
{
    const struct pony_packet_in in = {
        .from = addrs[1 - to], .data = packet->data, .len = packet->len, .rx_ns = BASE_NS_PER_S};
    pony_flows_on_packet(tables[to], &in, BASE_NS_PER_S);
}

static void change(struct packet *packet, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 3 <= size; i += 3) {
        packet->data[base_load_u16(data + i) % packet->len] = data[i + 2];
    }
    uint32_t covered = 44u + 8u * packet->data[7] + base_load_u16(packet->data + 46);
    if (4 + covered <= packet->len) {
        base_store_u32(packet->data, base_crc32c(0, packet->data + 4, covered));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pony_flow *flow = NULL;
    struct packet packet;
    bool is_ok_changed = false;
    /* HELLO, REFUSE with the cookie, HELLO, HELLO_OK. */
    uint32_t which = size > 0 ? data[0] % 4 : 0;
    n_ups = 0;
    make_certs();
    start(0);
    start(1);
    base_assert(pony_flow_get(tables[0], &addrs[1], BASE_NS_PER_S, &flow) == BASE_OK);
    for (uint32_t i = 0; i < N_STEPS; i++) {
        if (!take(i % 2, &packet)) {
            continue;
        }
        if (i == which && size > 1) {
            const struct packet before = packet;
            change(&packet, data + 1, size - 1);
            is_ok_changed = which == 3 && memcmp(before.data, packet.data, packet.len) != 0;
        }
        give(1 - i % 2, &packet);
    }
    base_assert(size > 1 || n_ups == 2);
    base_assert(n_ups == 0 || (n_ups == 2 && !is_ok_changed));
    pony_flow_table_destroy(tables[0]);
    pony_flow_table_destroy(tables[1]);
    return 0;
}
