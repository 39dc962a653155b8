/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the flow layer costs per packet: two tables in one thread, packets handed over by pointer (no
 * copy of payloads, no system call, no device). One packet is filled, sent, received, delivered,
 * acknowledged and released.
 *
 *   pony-flow-bench [packets, default 5000000]
 */
#include "base/clock.h"
#include "tests/support/flow_events.h"
#include "tests/support/test_security.h"
#include "transport/pony/protocol/cc.h"
#include "transport/pony/protocol/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct end {
    struct pony_addr addr;
    struct pony_flow_table *table;
    struct pony_flow *flow;
    uint64_t n_to_send, n_delivered;
    uint32_t frame_bytes, payload_bytes;
};

static struct end ends[2];
static uint8_t payload[65536];
static struct base_rng rng;
static enum pony_cipher cipher; /* of the flows; PONY_CIPHER_NONE: in the open */

static bool on_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                    uint64_t now_ns)
{
    (void)flow;
    (void)room;
    (void)now_ns;
    struct end *end = ctx;
    if (end->n_to_send == 0) {
        return false;
    }
    end->n_to_send--;
    memset(packet->head + packet->head_len, 1, end->frame_bytes);
    packet->head_len = (uint16_t)(packet->head_len + end->frame_bytes);
    packet->payload = end->payload_bytes > 0 ? payload : NULL;
    packet->payload_len = end->payload_bytes;
    packet->owner = (struct pony_tx_msg *)(void *)end;
    return true;
}

static bool on_deliver(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                       uint64_t now_ns)
{
    (void)flow;
    (void)frames;
    (void)len;
    (void)now_ns;
    struct end *end = ctx;
    end->n_delivered++;
    return true;
}

static void on_up(void *ctx, struct pony_flow *flow)
{
    struct end *end = ctx;
    end->flow = flow;
}

static void on_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    (void)ctx;
    (void)flow;
    fprintf(stderr, "flow down, reason %d\n", (int)reason);
    exit(1);
}

static const struct pony_flow_events events = {
    .fill = on_fill,
    .deliver = on_deliver,
    .released = flow_ignores_released,
    .up = on_up,
    .down = on_down,
};

static void start(void)
{
    struct pony_security security;
    base_rng_init(&rng, 1);
    test_security_init(&security, &rng);
    security.ciphers = (uint8_t)(1u << cipher);
    security.cipher_preferred = (uint8_t)cipher;
    for (uint32_t i = 0; i < 2; i++) {
        ends[i] = (struct end){.addr = {.ip = {(uint8_t)(i + 1)}, .udp_port = 1}};
        struct pony_flow_config config = {
            .instance = i + 1,
            .seed = i,
            .max_flows = 16,
            .max_packets = 2048,
            .mtu_bytes = PONY_MTU_MAX,
            .window_max_pkts = 1024,
            .cc = pony_cc_find("delay"),
            .rto_min_ns = (uint64_t)2 * BASE_NS_PER_MS,
            .rto_max_ns = (uint64_t)200 * BASE_NS_PER_MS,
            .keepalive_ns = BASE_NS_PER_S,
            .dead_ns = (uint64_t)5 * BASE_NS_PER_S,
            .hello_timeout_ns = BASE_NS_PER_S,
            .idle_ns = (uint64_t)60 * BASE_NS_PER_S,
            .security = cipher != PONY_CIPHER_NONE ? &security : NULL,
            .events = &events,
            .ctx = &ends[i],
        };
        if (pony_flow_table_create(&config, base_clock_now_ns(), &ends[i].table) != BASE_OK) {
            exit(1);
        }
    }
}

/* A batch from one end to the other. The payload is not moved: its bytes lie behind the head in a
 * buffer that has been there all the time, as a device's ring would. */
static uint32_t move(uint32_t from, uint32_t batch)
{
    static uint8_t buffers[PONY_TX_BATCH_MAX][PONY_HEAD_BYTES];
    static uint32_t lens[PONY_TX_BATCH_MAX];
    struct pony_packet_out out;
    uint64_t now_ns = base_clock_now_ns();
    uint32_t n = 0;
    while (n < batch && pony_flows_next_packet(ends[from].table, now_ns, &out)) {
        memcpy(buffers[n], out.head, out.head_len);
        lens[n++] = out.head_len + out.payload_len;
    }
    now_ns = base_clock_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        struct pony_packet_in in = {
            .from = ends[from].addr, .data = buffers[i], .len = lens[i], .rx_ns = now_ns};
        pony_flows_on_packet(ends[1 - from].table, &in, now_ns);
    }
    pony_flows_on_time(ends[1 - from].table, now_ns);
    return n;
}

static void measure(const char *name, uint32_t frame_bytes, uint32_t payload_bytes, uint64_t n,
                    uint32_t batch)
{
    start();
    if (pony_flow_get(ends[0].table, &ends[1].addr, base_clock_now_ns(), &ends[0].flow) !=
        BASE_OK) {
        exit(1);
    }
    while (ends[1].flow == NULL || !pony_flow_is_up(ends[0].flow)) {
        (void)move(0, 1);
        (void)move(1, 1);
    }
    ends[0].frame_bytes = frame_bytes;
    ends[0].payload_bytes = payload_bytes;
    ends[0].n_to_send = n;
    pony_flow_wants_fill(ends[0].flow);
    uint64_t start_ns = base_clock_thread_cpu_ns();
    while (ends[1].n_delivered < n) {
        (void)move(0, batch);
        (void)move(1, batch);
    }
    uint64_t took_ns = base_clock_thread_cpu_ns() - start_ns;
    printf("%-46s %7.1f ns per packet\n", name, (double)took_ns / (double)n);
    pony_flow_table_destroy(ends[0].table);
    pony_flow_table_destroy(ends[1].table);
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : 5000000;
    measure("64 B of frames, batches of 64", 64, 0, n, 64);
    measure("64 B of frames, one packet at a time", 64, 0, n, 1);
    measure("1404 B, of that 1380 by reference, batches", 24, 1380, n, 64);
    measure("1404 B of frames under the CRC, batches", 1404, 0, n / 4, 64);
    measure("9168 B, of that 9144 by reference, batches", 24, 9144, n, 64);
    for (int i = PONY_CIPHER_NONE; i < PONY_CIPHER_MAX && pony_seal_psk.is_built; i++) {
        cipher = (enum pony_cipher)i;
        printf("%s:\n", i == PONY_CIPHER_NONE ? "in the open" : pony_cipher_name(cipher));
        measure("  64 B of frames, batches of 64", 64, 0, n / 4, 64);
        measure("  1376 B, of that 1352 by reference, batches", 24, 1352, n / 4, 64);
        measure("  9140 B, of that 9116 by reference, batches", 24, 9116, n / 10, 64);
    }
    return 0;
}
