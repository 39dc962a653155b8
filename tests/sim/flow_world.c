/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/flow_world.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/endian.h"
#include "tests/support/test_security.h"

#include <stdlib.h>
#include <string.h>

struct world_packet {
    uint64_t at_ns, order;
    uint32_t to;
    uint32_t len;
    uint64_t sent_ns;
    uint8_t *data;
};

enum {
    FRAME_BYTES = 16, /* id u32, length u32, check u64 */
    MEMORY_BYTES = 16384
};

static uint8_t app_memory[MEMORY_BYTES]; /* payloads come from here */

static void fail(struct world *world, const char *what)
{
    if (world->fault == NULL) {
        world->fault = what;
    }
}

/* The network's queue: a binary heap. */

static bool is_earlier(const struct world_packet *a, const struct world_packet *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void swap(struct world_packet *a, struct world_packet *b)
{
    struct world_packet t = *a;
    *a = *b;
    *b = t;
}

static void heap_push(struct world *world, struct world_packet packet)
{
    if (world->n_heap == world->heap_size) {
        world->heap_size = world->heap_size * 2 + 64;
        world->heap = realloc(world->heap, world->heap_size * sizeof(packet));
    }
    packet.order = world->n_flights++;
    uint32_t i = world->n_heap++;
    world->heap[i] = packet;
    while (i > 0 && is_earlier(&world->heap[i], &world->heap[(i - 1) / 2])) {
        swap(&world->heap[i], &world->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static struct world_packet heap_pop(struct world *world)
{
    struct world_packet first = world->heap[0];
    world->heap[0] = world->heap[--world->n_heap];
    uint32_t i = 0;
    for (;;) {
        uint32_t least = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < world->n_heap; child++) {
            if (is_earlier(&world->heap[child], &world->heap[least])) {
                least = child;
            }
        }
        if (least == i) {
            return first;
        }
        swap(&world->heap[i], &world->heap[least]);
        i = least;
    }
}

/* The applications. */

static uint64_t check_of(uint32_t from, uint32_t id, uint32_t len)
{
    return ((uint64_t)id << 32 | len) * UINT64_C(0x9e3779b97f4a7c15) + from;
}

static bool on_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                    uint64_t now_ns)
{
    (void)flow;
    (void)now_ns;
    struct world_node *node = ctx;
    struct world *world = node->world;
    bool is_silent = node->idx == 1 && world->config.is_one_way;
    if (node->next_id == world->config.n_packets || is_silent) {
        return false;
    }
    uint32_t id = node->next_id++;
    uint32_t most = room - FRAME_BYTES;
    uint32_t len = base_rng_chance(&world->rng, 500000)
                       ? most
                       : (uint32_t)base_rng_below(&world->rng, most + 1);
    uint32_t at = (uint32_t)base_rng_below(&world->rng, MEMORY_BYTES - 9216);
    uint8_t *frame = packet->head + packet->head_len;
    base_store_u32(frame, id);
    base_store_u32(frame + 4, len << 14 | at);
    base_store_u64(frame + 8, check_of(node->idx, id, len));
    packet->head_len = (uint16_t)(packet->head_len + FRAME_BYTES);
    packet->payload = len > 0 ? app_memory + at : NULL;
    packet->payload_len = len;
    packet->owner = (struct pony_tx_msg *)(uintptr_t)(id + 1);
    node->fates[id] = WORLD_FILLED;
    return true;
}

static bool on_deliver(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                       uint64_t now_ns)
{
    (void)now_ns;
    struct world_node *node = ctx;
    struct world *world = node->world;
    if (flow != node->flow) {
        fail(world, "delivered on another flow than the one that is up");
    }
    if (len < FRAME_BYTES) {
        fail(world, "short frames");
        return false;
    }
    uint32_t id = base_load_u32(frames);
    uint32_t size = base_load_u32(frames + 4) >> 14;
    uint32_t at = base_load_u32(frames + 4) & 0x3fff;
    if (id >= world->config.n_packets || size != len - FRAME_BYTES ||
        base_load_u64(frames + 8) != check_of(1 - node->idx, id, size)) {
        fail(world, "wrong frames");
        return false;
    }
    if (memcmp(frames + FRAME_BYTES, app_memory + at, size) != 0) {
        fail(world, "wrong payload");
    }
    node->n_received++;
    if (++node->n_delivered[id] > 1) {
        fail(world, "delivered twice");
    }
    return true;
}

static void on_released(void *ctx, struct pony_flow *flow, struct pony_tx_msg *owner,
                        bool was_acked)
{
    (void)flow;
    struct world_node *node = ctx;
    uint32_t id = (uint32_t)(uintptr_t)owner - 1;
    if (node->fates[id] != WORLD_FILLED) {
        fail(node->world, "released twice");
    }
    if (was_acked && !node->world->config.full_checksum &&
        node->world->nodes[1 - node->idx].n_delivered[id] != 1) {
        fail(node->world, "acknowledged, but not delivered");
    }
    node->fates[id] = was_acked ? WORLD_ACKED : WORLD_DROPPED;
    node->n_acked += was_acked;
    node->n_dropped += !was_acked;
}

static void on_up(void *ctx, struct pony_flow *flow)
{
    struct world_node *node = ctx;
    if (node->flow != NULL && node->flow != flow) {
        fail(node->world, "two flows to one peer");
    }
    if (node->flow == NULL) {
        node->flow = flow;
        pony_flow_add_user(flow);
    }
    node->is_up = true;
    node->n_ups++;
    pony_flow_wants_fill(flow);
}

static void on_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    struct world_node *node = ctx;
    if (flow != node->flow) {
        fail(node->world, "a flow went down that was not known");
    }
    node->flow = NULL;
    node->is_up = false;
    node->n_downs++;
    node->last_reason = reason;
    node->reopen_ns = node->world->now_ns + BASE_NS_PER_MS;
}

static const struct pony_flow_events events = {
    .fill = on_fill,
    .deliver = on_deliver,
    .released = on_released,
    .up = on_up,
    .down = on_down,
};

/* Nodes. */

static void create_table(struct world *world, uint32_t idx)
{
    struct pony_security security;
    test_security_init(&security, &world->rng);
    security.mode = world->config.is_secured ? PONY_SECURITY_PSK : PONY_SECURITY_PLAIN;
    security.key_packets = base_max_u64(world->config.key_packets, 1);
    security.ciphers = world->config.ciphers[idx];
    if ((security.ciphers >> security.cipher_preferred & 1) == 0) {
        security.cipher_preferred = PONY_CIPHER_CHACHA20_POLY1305;
    }
    struct pony_flow_config config = {
        .instance = ++world->n_instances,
        .seed = base_rng_u64(&world->rng),
        .max_flows = 8,
        .max_packets = world->config.max_packets,
        .mtu_bytes = world->config.mtu[idx],
        .window_max_pkts = world->config.window,
        .cc = world->config.cc,
        .rto_min_ns = 2 * BASE_NS_PER_MS,
        .rto_max_ns = 200 * BASE_NS_PER_MS,
        .keepalive_ns = BASE_NS_PER_S,
        .dead_ns = (uint64_t)20 * BASE_NS_PER_S,
        .hello_timeout_ns = (uint64_t)30 * BASE_NS_PER_S,
        .idle_ns = (uint64_t)30 * BASE_NS_PER_S,
        .full_checksum = world->config.full_checksum,
        .security = &security,
        .events = &events,
        .ctx = &world->nodes[idx],
    };
    if (pony_flow_table_create(&config, world->now_ns, &world->nodes[idx].table) != BASE_OK) {
        abort();
    }
}

void world_init(struct world *world, const struct world_config *config)
{
    memset(world, 0, sizeof(*world));
    world->config = *config;
    world->now_ns = BASE_NS_PER_S;
    base_rng_init(&world->rng, config->seed);
    for (uint32_t i = 0; i < MEMORY_BYTES; i++) {
        app_memory[i] = (uint8_t)(i * 7 + i / 251);
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct world_node *node = &world->nodes[i];
        node->world = world;
        node->idx = i;
        node->addr.ip[15] = (uint8_t)(i + 1);
        node->addr.udp_port = 4000;
        node->reopen_ns = UINT64_MAX;
        node->poll_ns = UINT64_MAX;
        node->fates = calloc(config->n_packets, 1);
        node->n_delivered = calloc(config->n_packets, 1);
        create_table(world, i);
    }
}

void world_fini(struct world *world)
{
    for (uint32_t i = 0; i < 2; i++) {
        pony_flow_table_destroy(world->nodes[i].table);
        free(world->nodes[i].fates);
        free(world->nodes[i].n_delivered);
    }
    for (uint32_t i = 0; i < world->n_heap; i++) {
        free(world->heap[i].data);
    }
    free(world->heap);
}

void world_open(struct world *world, uint32_t idx)
{
    struct world_node *node = &world->nodes[idx];
    if (node->flow != NULL) {
        return;
    }
    if (pony_flow_get(node->table, &world->nodes[1 - idx].addr, world->now_ns, &node->flow) !=
        BASE_OK) {
        fail(world, "no flow to be had");
        return;
    }
    pony_flow_add_user(node->flow);
    pony_flow_wants_fill(node->flow);
    node->poll_ns = world->now_ns;
}

void world_restart(struct world *world, uint32_t idx)
{
    struct world_node *node = &world->nodes[idx];
    pony_flow_table_destroy(node->table);
    for (uint32_t id = 0; id < node->next_id; id++) {
        if (node->fates[id] == WORLD_FILLED) {
            node->fates[id] = WORLD_DROPPED;
            node->n_dropped++;
        }
    }
    node->flow = NULL;
    node->is_up = false;
    node->poll_ns = UINT64_MAX;
    node->reopen_ns = world->now_ns + base_rng_below(&world->rng, 20 * BASE_NS_PER_MS);
    create_table(world, idx);
}

void world_partition(struct world *world, uint64_t ns)
{
    world->partition_start_ns = world->now_ns;
    world->partition_end_ns = world->now_ns + ns;
}

static void damage(struct world *world, struct world_packet *packet)
{
    switch (base_rng_below(&world->rng, 3)) {
    case 0: /* cut */
        packet->len = (uint32_t)base_rng_below(&world->rng, packet->len);
        break;
    case 1: { /* lengthened: the copy has room for it */
        packet->len += 1 + (uint32_t)base_rng_below(&world->rng, 8);
        break;
    }
    default: { /* bits of the header: always under the checksum */
        uint32_t n = 1 + (uint32_t)base_rng_below(&world->rng, 4);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = (uint32_t)base_rng_below(&world->rng, 48);
            packet->data[at] ^= (uint8_t)(1 + base_rng_below(&world->rng, 255));
        }
    }
    }
}

static void transmit(struct world *world, uint32_t from, const struct pony_packet_out *out)
{
    const struct world_config *config = &world->config;
    uint32_t len = out->head_len + out->payload_len;
    bool is_cut =
        world->now_ns >= world->partition_start_ns && world->now_ns < world->partition_end_ns;
    if (len > config->mtu[from] || !pony_addr_equal(&out->to, &world->nodes[1 - from].addr)) {
        fail(world, "a packet too large, or to nobody");
        return;
    }
    if (is_cut || (config->link_mtu != 0 && len > config->link_mtu)) {
        return;
    }
    uint32_t n = base_rng_chance(&world->rng, config->dup_ppm) ? 2 : 1;
    for (uint32_t i = 0; i < n; i++) {
        if (base_rng_chance(&world->rng, config->loss_ppm)) {
            continue;
        }
        struct world_packet packet = {
            .to = 1 - from,
            .len = len,
            .sent_ns = world->now_ns,
            .at_ns = world->now_ns + config->delay_ns +
                     (config->jitter_ns > 0 ? base_rng_below(&world->rng, config->jitter_ns) : 0),
            .data = calloc(1, len + 8),
        };
        memcpy(packet.data, out->head, out->head_len);
        if (out->payload_len > 0) {
            memcpy(packet.data + out->head_len, out->payload, out->payload_len);
        }
        if (base_rng_chance(&world->rng, config->reorder_ppm)) {
            packet.at_ns += base_rng_below(&world->rng, config->reorder_ns + 1);
        }
        if (base_rng_chance(&world->rng, config->damage_ppm)) {
            damage(world, &packet);
        }
        heap_push(world, packet);
    }
}

/* A round of a node's engine: timers, then packets out as far as the device has room. */
static void run_node(struct world *world, struct world_node *node)
{
    struct pony_packet_out out[PONY_TX_BATCH_MAX];
    uint32_t room = 1 + (uint32_t)base_rng_below(&world->rng, PONY_TX_BATCH_MAX);
    uint32_t n = 0;
    if (world->now_ns >= node->reopen_ns) {
        node->reopen_ns = UINT64_MAX;
        world_open(world, node->idx);
    }
    pony_flows_on_time(node->table, world->now_ns);
    while (n < room && pony_flows_next_packet(node->table, world->now_ns, &out[n])) {
        n++;
    }
    /* Sent only now: what was built before must still be there. */
    for (uint32_t i = 0; i < n; i++) {
        transmit(world, node->idx, &out[i]);
    }
    node->poll_ns = n == room ? world->now_ns + 2 * BASE_NS_PER_US : UINT64_MAX;
}

static uint64_t node_next_ns(const struct world_node *node)
{
    uint64_t next_ns = pony_flows_next_deadline_ns(node->table);
    next_ns = base_min_u64(next_ns, node->poll_ns);
    return base_min_u64(next_ns, node->reopen_ns);
}

bool world_step(struct world *world)
{
    uint64_t next_ns = world->n_heap > 0 ? world->heap[0].at_ns : UINT64_MAX;
    for (uint32_t i = 0; i < 2; i++) {
        next_ns = base_min_u64(next_ns, node_next_ns(&world->nodes[i]));
    }
    if (next_ns == UINT64_MAX) {
        return false;
    }
    world->now_ns = base_max_u64(world->now_ns, next_ns);
    bool has_run[2] = {false, false};
    for (uint32_t n = 0; n < 16 && world->n_heap > 0 && world->heap[0].at_ns <= world->now_ns;
         n++) {
        struct world_packet packet = heap_pop(world);
        struct world_node *node = &world->nodes[packet.to];
        struct pony_packet_in in = {
            .from = world->nodes[1 - packet.to].addr,
            .data = packet.data,
            .len = packet.len,
            .rx_ns = packet.at_ns,
            .ttl = 62,
        };
        pony_flows_on_packet(node->table, &in, world->now_ns);
        free(packet.data);
        has_run[packet.to] = true;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (has_run[i] || node_next_ns(&world->nodes[i]) <= world->now_ns) {
            run_node(world, &world->nodes[i]);
        }
    }
    return true;
}

bool world_is_done(const struct world *world)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct world_node *node = &world->nodes[i];
        bool is_silent = i == 1 && world->config.is_one_way;
        uint32_t n_ended = world->config.full_checksum ? world->nodes[1 - i].n_received
                                                       : node->n_acked + node->n_dropped;
        if (!is_silent && n_ended < world->config.n_packets) {
            return false;
        }
    }
    return true;
}

void world_run(struct world *world, uint64_t end_ns, bool until_done)
{
    while (world->fault == NULL && world->now_ns < end_ns &&
           !(until_done && world_is_done(world))) {
        if (!world_step(world)) {
            return;
        }
    }
}

uint64_t world_counter(const struct world *world, uint32_t idx, const char *name)
{
    const char *const *names;
    const uint64_t *values;
    uint32_t n = pony_flows_counters(world->nodes[idx].table, &names, &values);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return values[i];
        }
    }
    abort();
}
