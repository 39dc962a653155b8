/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/cc_world.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/endian.h"
#include "tests/support/flow_events.h"

#include <stdlib.h>
#include <string.h>

enum {
    FRAME_BYTES = 12,
    CONTROL_BYTES = 110, /* an ACK with what lies below it */
    ROOM_BYTES = 32 * 1024,
    RX_BATCH = 16
};

/* The algorithm under test, with an ear at the round trips it hears of. One world at a time. */
static struct cc_world *listener;
static const struct pony_cc_ops *inner;
static struct pony_cc_ops listening;

static void on_ack(void *state, const struct pony_cc_ack *ack)
{
    if (listener->is_measuring && ack->rtt_ns != 0 && ack->n_acked > 0) {
        base_hist_record(&listener->rtt, ack->rtt_ns);
    }
    inner->on_ack(state, ack);
}

/* Who is to be looked at, and when. */

static void wake(struct cc_world *world, struct cc_node *node, uint64_t at_ns)
{
    if (at_ns >= node->wake_ns) {
        return;
    }
    node->wake_ns = at_ns;
    if (world->n_wakes == world->max_wakes) {
        world->max_wakes = world->max_wakes * 2 + 1024;
        world->wakes = realloc(world->wakes, world->max_wakes * sizeof(*world->wakes));
        base_assert(world->wakes != NULL);
    }
    struct cc_wake item = {.at_ns = at_ns, .node = node->idx};
    uint32_t i = world->n_wakes++;
    while (i > 0 && at_ns < world->wakes[(i - 1) / 2].at_ns) {
        world->wakes[i] = world->wakes[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    world->wakes[i] = item;
}

static struct cc_wake pop(struct cc_world *world)
{
    struct cc_wake first = world->wakes[0];
    struct cc_wake last = world->wakes[--world->n_wakes];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= world->n_wakes) {
            break;
        }
        if (child + 1 < world->n_wakes &&
            world->wakes[child + 1].at_ns < world->wakes[child].at_ns) {
            child++;
        }
        if (world->wakes[child].at_ns >= last.at_ns) {
            break;
        }
        world->wakes[i] = world->wakes[child];
        i = child;
    }
    world->wakes[i] = last;
    return first;
}

/* The layer above the flows. */

static bool on_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                    uint64_t now_ns)
{
    struct cc_node *node = ctx;
    struct cc_flow *at = pony_flow_user_data(flow);
    (void)now_ns;
    if (at == NULL || at->n_backlog == 0 || room < FRAME_BYTES) {
        return false;
    }
    if (at->n_backlog != UINT64_MAX) {
        at->n_backlog--;
    }
    uint8_t *frame = packet->head + packet->head_len;
    memset(frame, 0, FRAME_BYTES);
    base_store_u32(frame, node->idx);
    packet->head_len = (uint16_t)(packet->head_len + FRAME_BYTES);
    return true;
}

static bool on_deliver(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                       uint64_t now_ns)
{
    struct cc_node *node = ctx;
    (void)flow;
    (void)now_ns;
    base_assert(len == FRAME_BYTES);
    node->world->delivered[base_load_u32(frames)]++;
    node->world->n_delivered++;
    return true;
}

static void on_up(void *ctx, struct pony_flow *flow)
{
    (void)ctx;
    pony_flow_wants_fill(flow);
}

static void on_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    struct cc_node *node = ctx;
    struct cc_flow *at = pony_flow_user_data(flow);
    (void)reason;
    if (at != NULL) { /* given up in a handshake that got nowhere: again */
        at->flow = NULL;
        wake(node->world, node, node->world->net.now_ns + 1);
    }
}

static const struct pony_flow_events events = {
    .fill = on_fill,
    .deliver = on_deliver,
    .released = flow_ignores_released,
    .up = on_up,
    .down = on_down,
};

static void start_node(struct cc_world *world, uint32_t idx)
{
    const struct cc_config *config = &world->config;
    struct cc_node *node = &world->nodes[idx];
    node->world = world;
    node->idx = idx;
    node->host = idx / config->nodes_per_host;
    node->wake_ns = UINT64_MAX;
    node->rx_tail = &node->rx;
    node->addr = (struct pony_addr){.udp_port = (uint16_t)(1000 + idx)};
    memcpy(node->addr.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0", 14);
    node->addr.ip[14] = (uint8_t)(node->host >> 8);
    node->addr.ip[15] = (uint8_t)node->host;
    node->flows = calloc(config->flows_per_node + 1, sizeof(*node->flows));
    base_assert(node->flows != NULL);
    bool is_server = idx == 0;
    const struct pony_flow_config flows = {
        .instance = idx + 1,
        .seed = config->seed + idx,
        .max_flows = (is_server ? config->n_nodes : config->flows_per_node) * 2 + 16,
        .max_packets = config->flows_per_node * config->window_max_pkts + 64,
        .mtu_bytes = PONY_MTU_MIN,
        .window_max_pkts = config->window_max_pkts,
        .cc = &listening,
        .cc_config = config->tuning,
        .rto_min_ns = config->rto_min_ns,
        .rto_max_ns = UINT64_C(500) * BASE_NS_PER_MS,
        .keepalive_ns = UINT64_C(100) * BASE_NS_PER_S,
        .dead_ns = UINT64_C(100) * BASE_NS_PER_S,
        .hello_timeout_ns = UINT64_C(100) * BASE_NS_PER_S,
        .idle_ns = UINT64_C(1000) * BASE_NS_PER_S,
        .events = &events,
        .ctx = node,
    };
    enum base_err err = pony_flow_table_create(&flows, world->net.now_ns, &node->table);
    base_assert(err == BASE_OK);
}

void cc_world_init(struct cc_world *world, const struct cc_config *config)
{
    memset(world, 0, sizeof(*world));
    world->config = *config;
    listener = world;
    inner = config->cc;
    listening = *config->cc;
    listening.on_ack = on_ack;
    uint32_t n_hosts = (config->n_nodes + config->nodes_per_host - 1) / config->nodes_per_host;
    sim_net_reset(&world->net, config->seed, n_hosts);
    for (uint32_t i = 0; i < n_hosts; i++) {
        world->net.rack[i] = (uint8_t)(i % config->n_racks);
        sim_port_set(&world->net.up[i], config->host_bps, config->delay_ns, 0, 0);
        sim_port_set(&world->net.down[i], config->host_bps, config->delay_ns, config->queue_bytes,
                     0);
    }
    for (uint32_t i = 0; i < config->n_racks; i++) {
        for (uint32_t k = 0; k < config->n_racks; k++) { /* the fabric does not block */
            sim_port_set(&world->net.trunk[i][k], config->host_bps * n_hosts, config->delay_ns, 0,
                         0);
        }
    }
    world->nodes = calloc(config->n_nodes, sizeof(*world->nodes));
    world->delivered = calloc(config->n_nodes, sizeof(*world->delivered));
    base_assert(world->nodes != NULL && world->delivered != NULL);
    for (uint32_t i = 0; i < config->n_nodes; i++) {
        start_node(world, i);
    }
    base_hist_init(&world->rtt);
}

void cc_world_fini(struct cc_world *world)
{
    for (uint32_t i = 0; i < world->config.n_nodes; i++) {
        struct cc_node *node = &world->nodes[i];
        while (node->rx != NULL) {
            struct sim_packet *packet = node->rx;
            node->rx = packet->next_free;
            sim_net_give(&world->net, packet);
        }
        pony_flow_table_destroy(node->table);
        free(node->flows);
    }
    sim_net_fini(&world->net);
    free(world->nodes);
    free(world->wakes);
    free(world->delivered);
}

static void connect_flow(struct cc_world *world, struct cc_flow *at)
{
    struct cc_node *node = at->node;
    enum base_err err =
        pony_flow_get(node->table, &world->nodes[at->peer].addr, world->net.now_ns, &at->flow);
    base_assert(err == BASE_OK);
    pony_flow_add_user(at->flow);
    pony_flow_set_user_data(at->flow, at);
    pony_flow_wants_fill(at->flow);
}

struct cc_flow *cc_world_open(struct cc_world *world, uint32_t from, uint32_t to, uint64_t n)
{
    struct cc_node *node = &world->nodes[from];
    base_assert(node->n_flows < world->config.flows_per_node);
    struct cc_flow *at = &node->flows[node->n_flows++];
    *at = (struct cc_flow){.node = node, .peer = to, .n_backlog = n};
    connect_flow(world, at);
    wake(world, node, world->net.now_ns);
    return at;
}

void cc_flow_add(struct cc_flow *flow, uint64_t n)
{
    flow->n_backlog += n;
    if (flow->flow != NULL) {
        pony_flow_wants_fill(flow->flow);
    }
    wake(flow->node->world, flow->node, flow->node->world->net.now_ns);
}

static void receive(struct cc_world *world, struct cc_node *node)
{
    for (uint32_t i = 0; i < RX_BATCH && node->rx != NULL; i++) {
        struct sim_packet *packet = node->rx;
        node->rx = packet->next_free;
        if (node->rx == NULL) {
            node->rx_tail = &node->rx;
        }
        const struct pony_packet_in in = {.from = packet->from,
                                          .data = packet->data,
                                          .len = packet->len,
                                          .rx_ns = packet->arrived_ns,
                                          .ttl = packet->ttl,
                                          .ecn = packet->ecn};
        pony_flows_on_packet(node->table, &in, world->net.now_ns);
        node->free_ns += world->config.work_ns;
        sim_net_give(&world->net, packet);
    }
}

static struct cc_node *node_at(struct cc_world *world, const struct pony_addr *addr)
{
    return &world->nodes[addr->udp_port - 1000u];
}

/* Sends while the network card has room. False: it has none, and more may be waiting. */
static bool transmit(struct cc_world *world, struct cc_node *node)
{
    const struct sim_port *up = &world->net.up[node->host];
    struct pony_packet_out out;
    for (;;) {
        if (sim_port_backlog(up, world->net.now_ns) >= ROOM_BYTES) {
            return false;
        }
        if (!pony_flows_next_packet(node->table, world->net.now_ns, &out)) {
            return true;
        }
        bool is_data = out.head[5] == 4; /* the type */
        world->n_sent += is_data;
        node->free_ns += world->config.work_ns;
        sim_net_send(&world->net, node->host, node_at(world, &out.to)->host, &node->addr, &out,
                     is_data ? world->config.mtu_bytes : (uint32_t)CONTROL_BYTES);
    }
}

static void poll(struct cc_world *world, struct cc_node *node)
{
    uint64_t now_ns = world->net.now_ns;
    node->free_ns = base_max_u64(node->free_ns, now_ns);
    for (uint32_t i = 0; i < node->n_flows; i++) {
        if (node->flows[i].flow == NULL) {
            connect_flow(world, &node->flows[i]);
        }
    }
    receive(world, node);
    pony_flows_on_time(node->table, now_ns);
    bool is_done = transmit(world, node);
    uint64_t next_ns = pony_flows_next_deadline_ns(node->table);
    if (node->rx != NULL) {
        next_ns = now_ns;
    }
    if (!is_done) { /* the others on this host want room too: in turn */
        next_ns = base_min_u64(next_ns, now_ns + 2000);
    }
    if (next_ns != UINT64_MAX) {
        wake(world, node, base_max_u64(base_max_u64(next_ns, now_ns + 1), node->free_ns));
    }
}

static void take(struct cc_world *world, struct sim_packet *packet)
{
    struct cc_node *node = node_at(world, &packet->to);
    packet->next_free = NULL;
    *node->rx_tail = packet;
    node->rx_tail = &packet->next_free;
    wake(world, node, base_max_u64(world->net.now_ns, node->free_ns));
}

void cc_world_run(struct cc_world *world, uint64_t until_ns)
{
    for (;;) {
        uint64_t net_ns = sim_net_next_ns(&world->net);
        uint64_t wake_ns = world->n_wakes > 0 ? world->wakes[0].at_ns : UINT64_MAX;
        if (base_min_u64(net_ns, wake_ns) > until_ns) {
            break;
        }
        if (wake_ns > net_ns) {
            struct sim_packet *packet = sim_net_step(&world->net);
            if (packet != NULL) {
                take(world, packet);
            }
            continue;
        }
        struct cc_wake item = pop(world);
        struct cc_node *node = &world->nodes[item.node];
        if (node->wake_ns == item.at_ns) {
            node->wake_ns = UINT64_MAX;
            world->net.now_ns = base_max_u64(item.at_ns, world->net.now_ns);
            poll(world, node);
        }
    }
    world->net.now_ns = base_max_u64(until_ns, world->net.now_ns);
}

static void count_ports(const struct cc_world *world, uint64_t *n_dropped, uint64_t *n_pkts)
{
    *n_dropped = 0;
    *n_pkts = 0;
    for (uint32_t i = 0; i < world->net.n_hosts; i++) {
        *n_dropped += world->net.down[i].n_dropped;
        *n_pkts += world->net.down[i].n_pkts;
    }
}

void cc_world_measure(struct cc_world *world)
{
    world->is_measuring = true;
    base_hist_init(&world->rtt);
    memset(world->delivered, 0, world->config.n_nodes * sizeof(*world->delivered));
    world->n_delivered = 0;
    world->n_sent = 0;
    count_ports(world, &world->n_dropped_before, &world->n_pkts_before);
}

double cc_world_loss(const struct cc_world *world)
{
    uint64_t n_dropped;
    uint64_t n_pkts;
    count_ports(world, &n_dropped, &n_pkts);
    (void)n_pkts;
    return world->n_sent > 0 ? (double)(n_dropped - world->n_dropped_before) / (double)world->n_sent
                             : 0;
}

double cc_world_jain(const struct cc_world *world, uint32_t from, uint32_t to)
{
    double sum = 0;
    double squares = 0;
    for (uint32_t i = from; i < to; i++) {
        double x = (double)world->delivered[i];
        sum += x;
        squares += x * x;
    }
    return squares > 0 ? sum * sum / (squares * (to - from)) : 0;
}
