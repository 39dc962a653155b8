/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_CC_WORLD_H
#define TESTS_SIM_CC_WORLD_H

#include "base/hist.h"
#include "tests/sim/sim_net.h"
#include "transport/pony/protocol/cc.h"
#include "transport/pony/protocol/flow.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * A world for congestion control: thousands of flows over a simulated network, the flow layer that
 * snapd runs above and below, nothing on top but senders that always (or at given times) have more.
 *
 * Shape    node i is an engine (a flow table) on host i / nodes_per_host; flows go between nodes
 * Packets  DATA carries 12 bytes and counts as `mtu_bytes` on links: what it is made of does not
 *          matter here, and memory does
 * Sender   just in time: a packet is built only when the host's network card has room
 * Samples  round trips as congestion control gets them, taken between the flow and the algorithm
 */

struct cc_config {
    const struct pony_cc_ops *cc;
    struct pony_cc_config tuning;
    uint32_t n_nodes, nodes_per_host, flows_per_node;
    uint32_t window_max_pkts;
    uint32_t mtu_bytes; /**< of DATA on the wire */
    double host_bps;
    uint64_t delay_ns; /**< of each link */
    uint64_t queue_bytes;
    uint64_t rto_min_ns;
    uint32_t n_racks;
    uint32_t work_ns; /**< what an engine needs for a packet; 0: nothing */
    uint64_t seed;
};

struct cc_node;

struct cc_flow {
    struct cc_node *node;
    struct pony_flow *flow;
    uint32_t peer;      /**< node */
    uint64_t n_backlog; /**< packets to send; UINT64_MAX: always more */
};

struct cc_node {
    struct cc_world *world;
    struct pony_flow_table *table;
    struct pony_addr addr;
    uint32_t idx, host;
    uint64_t wake_ns; /**< when it is to be looked at; UINT64_MAX: not */
    struct cc_flow *flows;
    uint32_t n_flows;
    uint64_t free_ns; /**< engine: busy before */
    struct sim_packet *rx, **rx_tail;
};

struct cc_wake {
    uint64_t at_ns;
    uint32_t node;
};

struct cc_world {
    struct cc_config config;
    struct sim_net net;
    struct cc_node *nodes; /**< [n_nodes] */
    struct cc_wake *wakes; /**< a heap; old ones of a node are passed over */
    uint32_t n_wakes, max_wakes;
    bool is_measuring;
    struct base_hist rtt;
    uint64_t *delivered; /**< [n_nodes] packets by sending node, while measuring */
    uint64_t n_delivered, n_sent, n_dropped_before, n_pkts_before;
};

/** Exits when there is no memory. */
void cc_world_init(struct cc_world *world, const struct cc_config *config);
void cc_world_fini(struct cc_world *world);

/** A flow from one node to another with `n` packets to send, UINT64_MAX: always more. */
struct cc_flow *cc_world_open(struct cc_world *world, uint32_t from, uint32_t to, uint64_t n);
/** More to send. */
void cc_flow_add(struct cc_flow *flow, uint64_t n);
void cc_world_run(struct cc_world *world, uint64_t until_ns);

/** Forgets what was measured so far and measures from here on. */
void cc_world_measure(struct cc_world *world);
/** DATA dropped at switches since, of all that came there; 0..1. */
double cc_world_loss(const struct cc_world *world);
/** Jain's index over what nodes from..to-1 had delivered. */
double cc_world_jain(const struct cc_world *world, uint32_t from, uint32_t to);

#endif
