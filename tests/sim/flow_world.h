/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_FLOW_WORLD_H
#define TESTS_SIM_FLOW_WORLD_H

#include "base/rng.h"
#include "transport/pony/protocol/flow.h"

#include <stdbool.h>

/**
 * Two flow tables, a hostile network between them, virtual time.
 *
 * Shape    each node has packets numbered 0..n_packets-1 to send to the other; a ledger knows of
 *          each whether it was filled, acknowledged, dropped, and how often it was delivered
 * Holds    after each step: delivered at most once; acknowledged only if delivered; bytes right
 * Replay   everything follows from the seed
 */
struct world_config {
    uint64_t seed;
    uint32_t n_packets;                                  /**< per direction */
    uint32_t loss_ppm, dup_ppm, reorder_ppm, damage_ppm; /**< of each packet, either way */
    uint64_t delay_ns, jitter_ns, reorder_ns;
    uint32_t link_mtu; /**< larger packets vanish; 0: no limit */
    uint32_t mtu[2];
    uint32_t window, max_packets;
    bool full_checksum; /**< `released` says nothing about delivery; not with restarts */
    bool is_simultaneous;
    bool is_one_way; /**< node 1 has nothing to send */
    uint32_t n_partitions, n_restarts, n_mtu_changes;
    uint64_t partition_ns;
    const struct pony_cc_ops *cc;
    bool is_secured;
    uint8_t ciphers[2];   /**< of each node, if secured */
    uint64_t key_packets; /**< likewise: a key lasts so long */
};

enum world_fate {
    WORLD_UNSENT,
    WORLD_FILLED,
    WORLD_ACKED,
    WORLD_DROPPED
};

struct world;

struct world_node {
    struct world *world;
    uint32_t idx;
    struct pony_addr addr;
    struct pony_flow_table *table;
    struct pony_flow *flow; /**< the one to the other node; NULL: none */
    bool is_up;
    uint64_t reopen_ns; /**< when to ask for a flow again; UINT64_MAX: not */
    uint64_t poll_ns;   /**< the device had no room: go on then; UINT64_MAX: not */
    uint32_t next_id;
    uint32_t n_acked, n_dropped; /**< by `released` */
    uint32_t n_received;         /**< of the other's packets */
    uint8_t *fates;              /**< [n_packets] enum world_fate */
    uint8_t *n_delivered;        /**< [n_packets] of the other's packets, here */
    uint32_t n_ups, n_downs;
    enum shm_reason last_reason;
};

struct world_packet;

struct world {
    struct world_config config;
    struct base_rng rng;
    uint64_t now_ns;
    struct world_node nodes[2];
    struct world_packet *heap; /**< in flight, by arrival */
    uint32_t n_heap, heap_size;
    uint64_t n_flights;
    uint64_t partition_start_ns, partition_end_ns;
    uint64_t n_instances;
    const char *fault; /**< what went wrong; NULL: nothing */
};

void world_init(struct world *world, const struct world_config *config);
void world_fini(struct world *world);

/** Node `idx` asks for a flow to the other. */
void world_open(struct world *world, uint32_t idx);
/** Its engine is another one from now on. The ledger stays. */
void world_restart(struct world *world, uint32_t idx);
/** Nothing gets through for `ns` from now on. */
void world_partition(struct world *world, uint64_t ns);
/** Next event. False: nothing will ever happen again. */
bool world_step(struct world *world);
/** All that both had to send is acknowledged or dropped with its flow; full_checksum: received. */
bool world_is_done(const struct world *world);
/** Steps until `end_ns`, a fault, or done (if `until_done`). */
void world_run(struct world *world, uint64_t end_ns, bool until_done);

uint64_t world_counter(const struct world *world, uint32_t idx, const char *name);

#endif
