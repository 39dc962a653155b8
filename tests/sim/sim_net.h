/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_SIM_NET_H
#define TESTS_SIM_SIM_NET_H

#include "base/rng.h"
#include "transport/pony/protocol/packet.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * A simulated network: hosts in racks, a switch per rack, links between, and an adversary.
 *
 * Shape    host -> its rack's switch -> (the other rack's switch ->) host; each arrow is a port with a
 *          rate, a delay and a finite output queue: drop-tail, ECN marking above a threshold
 * Time     virtual, ns; the events lie in a heap ordered by time, then by the order of their making,
 *          so the same calls and the same seed give the same run, bit for bit
 * Memory   packets are pooled and kept from world to world (sim_net_reset)
 * Threads  one
 */

enum {
    SIM_HOSTS_MAX = 512,
    SIM_RACKS_MAX = 4,
    SIM_TTL = 64,
    SIM_KEPT = 32 /**< packets that the adversary keeps to use again */
};

/** One direction of a link, with the output queue before it. */
struct sim_port {
    double ns_per_byte; /**< 0: infinitely fast */
    uint64_t delay_ns;
    uint64_t queue_max_bytes; /**< drop-tail */
    uint64_t ecn_bytes;       /**< marks CE when more is queued; 0: never */
    double free_at_ns;        /**< when what is queued will have left */
    uint64_t n_bytes, n_pkts, n_dropped, n_marked;
    uint64_t queue_peak_bytes;
};

/** What the adversary does to packets as they leave a host; all zero: nothing. */
struct sim_weather {
    uint32_t loss_ppm, dup_ppm, corrupt_ppm, truncate_ppm;
    uint32_t reorder_ppm; /**< delayed by up to reorder_ns more */
    uint64_t reorder_ns;
    uint64_t jitter_ns;      /**< each packet: up to this much more */
    uint32_t burst_ppm;      /**< a burst begins in which every packet is lost */
    uint32_t burst_max_pkts; /**< its greatest length */
    /** With each packet: one that was seen before is sent again, as it was, or changed and with a
     *  right checksum; now and then back to where it came from. */
    uint32_t replay_ppm, forge_ppm;
};

struct sim_packet {
    struct sim_packet *next_free;
    struct pony_addr from, to;
    uint32_t from_host, to_host;
    uint32_t wire_bytes; /**< what it takes on links */
    uint32_t len, capacity;
    uint64_t arrived_ns; /**< at the host */
    uint8_t hop;         /**< switches passed */
    uint8_t ttl, ecn;
    uint8_t data[];
};

struct sim_event {
    uint64_t at_ns, order;
    struct sim_packet *packet;
};

struct sim_net {
    uint64_t now_ns;
    struct base_rng rng;
    struct sim_weather weather;
    uint32_t n_hosts;
    uint8_t rack[SIM_HOSTS_MAX];
    uint8_t island[SIM_HOSTS_MAX]; /**< partition: nothing passes between islands before heal_ns */
    bool is_one_way;               /**< partition: only packets from a higher island are lost */
    uint64_t heal_ns;
    uint32_t burst_left;
    uint32_t path_mtu; /**< larger packets vanish without a word; 0: there are none */
    struct sim_port up[SIM_HOSTS_MAX], down[SIM_HOSTS_MAX];
    struct sim_port trunk[SIM_RACKS_MAX][SIM_RACKS_MAX];
    struct sim_event *heap;
    uint32_t n_events, heap_max;
    uint64_t n_order;
    uint64_t hash; /**< of all that happened: two runs that agree here agree in everything */
    uint64_t n_sent, n_lost, n_delivered;
    struct sim_packet *free_small, *free_large;
    struct sim_packet *kept[SIM_KEPT]; /**< NULL: none yet */
    uint64_t n_replayed, n_forged;
    bool is_traced;
};

/** An empty network; `net` is zeroed, or was reset or used before. Ports are zeroed. */
void sim_net_reset(struct sim_net *net, uint64_t seed, uint32_t n_hosts);
void sim_net_fini(struct sim_net *net);

/** Gives a port its rate (bits per second, 0: infinite) and the rest. */
void sim_port_set(struct sim_port *port, double bits_per_s, uint64_t delay_ns,
                  uint64_t queue_max_bytes, uint64_t ecn_bytes);
/** Bytes that stand in the queue now. */
uint64_t sim_port_backlog(const struct sim_port *port, uint64_t now_ns);

/** Nothing passes between hosts whose bit differs in `mask`, for `ns`. */
void sim_net_cut(struct sim_net *net, uint32_t mask, uint64_t ns, bool is_one_way);

/** A packet leaves a host for another. `wire_bytes` 0: its length and 60 bytes of headers below. */
void sim_net_send(struct sim_net *net, uint32_t from_host, uint32_t to_host,
                  const struct pony_addr *from, const struct pony_packet_out *out,
                  uint32_t wire_bytes);

/** Time of the next event, UINT64_MAX: none. */
uint64_t sim_net_next_ns(const struct sim_net *net);
/** Carries out the next event. Returns a packet that has arrived at its host (the caller's until
 *  sim_net_give), or NULL when it only came to a switch. */
struct sim_packet *sim_net_step(struct sim_net *net);
void sim_net_give(struct sim_net *net, struct sim_packet *packet);

/** Adds what happened to the run's hash. */
static inline void sim_net_note(struct sim_net *net, uint64_t what)
{
    net->hash = (net->hash ^ what) * UINT64_C(0x9e3779b97f4a7c15);
    net->hash ^= net->hash >> 29;
}

#endif
