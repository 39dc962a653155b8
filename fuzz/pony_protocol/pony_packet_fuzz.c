/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet codec, and a whole pair of flows between which a hostile network changes packets,
 * repairs their checksums, loses, repeats and reorders them. What must hold: no crash, nothing that
 * a sanitizer sees, every deadline moves, nothing delivered twice unless the bytes were forged.
 *
 * Input: bytes that say what happens next (see step()); the first bit says whether flows are secured.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/endian.h"
#include "base/hash.h"
#include "fuzz/support/fuzz_heap.h"
#include "tests/support/test_security.h"
#include "transport/pony/protocol/flow.h"
#include "transport/pony/protocol/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    N_KEPT = 8,
    N_FLOWS = 4
};

/* A flow that was announced. There may be several to one peer: one end may have given up its flow
 * and begun anew before the other end knows. */
struct held {
    struct pony_flow *flow;
    uint32_t n_owned; /* packets out with an owner, which is this */
};

struct end {
    struct pony_addr addr;
    struct pony_flow_table *table;
    struct held held[N_FLOWS];
    struct pony_flow *flow; /* one of them, mostly the youngest; NULL: none */
    uint32_t n_to_fill;
};

struct kept {
    uint8_t data[PONY_MTU_MIN + 64];
    uint32_t len;
    uint32_t to;
};

static struct end ends[2];
static struct kept kept[N_KEPT];
static uint64_t now_ns;
static struct base_rng rngs[2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct held *find_held(struct end *end, const struct pony_flow *flow)
{
    for (uint32_t i = 0; i < N_FLOWS; i++) {
        if (end->held[i].flow == flow) {
            return &end->held[i];
        }
    }
    return NULL;
}

static void hold(struct end *end, struct pony_flow *flow)
{
    struct held *held = find_held(end, flow);
    held = held != NULL ? held : find_held(end, NULL);
    base_assert(held != NULL);
    held->flow = flow;
    end->flow = flow;
}

static bool on_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                    uint64_t now)
{
    (void)now;
    struct end *end = ctx;
    if (end->n_to_fill == 0) {
        return false;
    }
    struct held *held = find_held(end, flow);
    base_assert(held != NULL);
    end->n_to_fill--;
    held->n_owned++;
    memset(packet->head + packet->head_len, 7, 100);
    packet->head_len = (uint16_t)(packet->head_len + 100);
    base_assert(room >= 100);
    packet->owner = (struct pony_tx_msg *)(void *)held;
    return true;
}

static bool on_deliver(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                       uint64_t now)
{
    (void)ctx;
    (void)flow;
    (void)now;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < len; i++) { /* a sanitizer sees bytes that are not there */
        sum += frames[i];
    }
    return len != 13 || sum != 13;
}

static void on_released(void *ctx, struct pony_flow *flow, struct pony_tx_msg *owner,
                        bool was_acked)
{
    (void)was_acked;
    struct held *held = find_held(ctx, flow);
    base_assert(held != NULL && (void *)owner == (void *)held && held->n_owned > 0);
    held->n_owned--;
}

static void on_up(void *ctx, struct pony_flow *flow)
{
    hold(ctx, flow);
}

static void on_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    struct end *end = ctx;
    base_assert(reason > SHM_REASON_NONE && reason < SHM_REASON_MAX);
    struct held *held = find_held(end, flow);
    base_assert(held != NULL && held->n_owned == 0);
    held->flow = NULL;
    if (end->flow == flow) {
        end->flow = NULL;
        for (uint32_t i = 0; i < N_FLOWS && end->flow == NULL; i++) {
            end->flow = end->held[i].flow;
        }
    }
}

static const struct pony_flow_events events = {
    .fill = on_fill,
    .deliver = on_deliver,
    .released = on_released,
    .up = on_up,
    .down = on_down,
};

static void start_end(uint32_t idx, uint64_t instance, bool is_secured)
{
    struct pony_security security;
    base_rng_init(&rngs[idx], instance);
    test_security_init(&security, &rngs[idx]);
    security.key_packets = 5;
    struct pony_flow_config config = {
        .instance = instance,
        .seed = instance,
        .max_flows = N_FLOWS,
        .max_packets = 32,
        .mtu_bytes = PONY_MTU_MIN,
        .window_max_pkts = 16,
        .rto_min_ns = 2 * BASE_NS_PER_MS,
        .rto_max_ns = 50 * BASE_NS_PER_MS,
        .keepalive_ns = 100 * BASE_NS_PER_MS,
        .dead_ns = 500 * BASE_NS_PER_MS,
        .hello_timeout_ns = 500 * BASE_NS_PER_MS,
        .idle_ns = BASE_NS_PER_S,
        .security = is_secured ? &security : NULL,
        .events = &events,
        .ctx = &ends[idx],
    };
    ends[idx] = (struct end){.addr = {.ip = {(uint8_t)(idx + 1)}, .udp_port = 1}};
    base_assert(pony_flow_table_create(&config, now_ns, &ends[idx].table) == BASE_OK);
}

/* As the operation layer does before it opens a connection. */
static void get_flow(uint32_t idx)
{
    struct pony_flow *flow = NULL;
    if (pony_flow_get(ends[idx].table, &ends[1 - idx].addr, now_ns, &flow) == BASE_OK) {
        hold(&ends[idx], flow);
    }
}

static void give(uint32_t to, const uint8_t *bytes, uint32_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    base_assert(copy != NULL);
    memcpy(copy, bytes, len);
    struct pony_packet_in in = {
        .from = ends[1 - to].addr, .data = copy, .len = len, .rx_ns = now_ns, .ttl = 60};
    pony_flows_on_packet(ends[to].table, &in, now_ns);
    free(copy);
}

static bool take(uint32_t from, struct kept *out)
{
    struct pony_packet_out packet;
    if (!pony_flows_next_packet(ends[from].table, now_ns, &packet)) {
        return false;
    }
    out->len = packet.head_len + packet.payload_len;
    out->to = 1 - from;
    base_assert(out->len <= PONY_MTU_MIN && packet.payload_len == 0);
    memcpy(out->data, packet.head, packet.head_len);
    return true;
}

static void seal(struct kept *packet)
{
    if (packet->len < PONY_WIRE_HDR_BYTES) {
        return;
    }
    uint32_t covered = 44u + 8u * packet->data[7] + base_load_u16(packet->data + 46);
    if (4 + covered <= packet->len) {
        base_store_u32(packet->data, base_crc32c(0, packet->data + 4, covered));
    }
}

static void exchange(void)
{
    struct kept packet;
    uint32_t n_quiet = 0;
    for (uint32_t i = 0; i < 400 && n_quiet < 2; i++) {
        n_quiet++;
        if (take(i % 2, &packet)) {
            give(packet.to, packet.data, packet.len);
            n_quiet = 0;
        }
    }
    base_assert(n_quiet == 2); /* two ends that answer each other forever */
}

static void pass(uint64_t ns)
{
    now_ns += ns;
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t n = 0; pony_flows_next_deadline_ns(ends[i].table) <= now_ns; n++) {
            base_assert(n < 1000); /* a timer that is due forever would spin the engine */
            pony_flows_on_time(ends[i].table, now_ns);
        }
    }
}

/* One instruction of 4 bytes: what, and three arguments. */
static void step(const uint8_t *op)
{
    struct kept *slot = &kept[op[1] % N_KEPT];
    uint32_t idx = op[2] & 1;
    switch (op[0] % 12) {
    case 0: /* keep the next packet */
        (void)take(idx, slot);
        break;
    case 1: /* change a byte of a kept one */
        if (slot->len > 0) {
            slot->data[op[2] % base_min_u32(slot->len, 180)] = op[3];
        }
        break;
    case 2:
        seal(slot);
        break;
    case 3:
        give(slot->to, slot->data, slot->len);
        break;
    case 4: /* the other way: a reflected packet */
        give(1 - slot->to, slot->data, slot->len);
        break;
    case 5: /* another length, the field made to agree */
        slot->len = base_load_u16(op + 2) % sizeof(slot->data);
        if (slot->len >= PONY_WIRE_HDR_BYTES) {
            base_store_u16(slot->data + 44, (uint16_t)(slot->len - PONY_WIRE_HDR_BYTES));
        }
        break;
    case 6:
        exchange();
        break;
    case 7:
        pass((uint64_t)op[2] << (op[3] % 24));
        break;
    case 8:
        get_flow(idx);
        break;
    case 9:
        if (ends[idx].flow != NULL) {
            ends[idx].n_to_fill = op[3] % 32;
            pony_flow_wants_fill(ends[idx].flow);
        }
        break;
    case 10:
        pony_flows_on_unreachable(ends[idx].table, &ends[1 - idx].addr, now_ns);
        break;
    default: /* add to a 32-bit field: sequence numbers, acknowledgements, stamps */
        if (slot->len >= PONY_WIRE_HDR_BYTES) {
            uint8_t *field = slot->data + 16 + op[2] % 5 * 4;
            base_store_u32(field, base_load_u32(field) + (uint32_t)(int8_t)op[3]);
            seal(slot);
        }
        break;
    }
}

static void codec(const uint8_t *data, size_t size)
{
    struct pony_wire_hdr hdr;
    const uint8_t *body = NULL;
    uint8_t again[PONY_WIRE_HDR_MAX + 65536];
    memset(&hdr, 0, sizeof(hdr));
    if (size > 65535 || pony_wire_decode(data, (uint32_t)size, &hdr, &body) != PONY_WIRE_OK) {
        return;
    }
    uint32_t hdr_len = pony_wire_hdr_len(hdr.n_sack);
    base_assert(body == data + hdr_len && hdr_len + hdr.body_len == size);
    memcpy(again + hdr_len, body, hdr.body_len);
    pony_wire_encode(&hdr, again);
    base_assert(memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    codec(data, size);
    fuzz_heap_enter();
    memset(kept, 0, sizeof(kept));
    now_ns = BASE_NS_PER_S;
    bool is_secured = size > 0 && data[0] >= 128 && pony_seal_psk.is_built;
    start_end(0, 1, is_secured);
    start_end(1, 2, is_secured);
    get_flow(0);
    for (size_t i = 0; i + 4 <= size && i < 4096; i += 4) {
        step(data + i);
    }
    /* Whatever happened: left alone, what is up must work and what is dead must be gone. */
    for (uint32_t i = 0; i < 4; i++) {
        exchange();
        pass(300 * BASE_NS_PER_MS);
    }
    pony_flow_table_destroy(ends[0].table);
    pony_flow_table_destroy(ends[1].table);
    fuzz_heap_leave();
    base_assert(fuzz_heap_n_live() == 0);
    fuzz_heap_reset();
    return 0;
}
