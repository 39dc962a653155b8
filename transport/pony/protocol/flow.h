/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_FLOW_H
#define PONY_PROTOCOL_FLOW_H

#include "base/error.h"
#include "base/log.h"
#include "transport/pony/abi/shm.h"
#include "transport/pony/protocol/cc.h"
#include "transport/pony/protocol/packet.h"
#include "transport/pony/protocol/seal.h"

#include <stdbool.h>

/**
 * Flow: packets between two engines, each delivered exactly once, in any order, or the flow dies
 * and both sides know. The layer below operations: it does not look into frames.
 *
 * Threads  one engine; no sockets, no clock, no heap after creation
 * Source   snap.md 2.3, 2.6; docs/protocol.md PX-1..PX-59, PX-201..PX-240
 */
struct pony_flow;
struct pony_flow_table; /**< an engine's flows, by peer and by number */

/** What the operation layer is asked and told. All called on the engine's thread. */
struct pony_flow_events {
    /** Appends frames to `packet` (head from head_len on; payload last): at most `room` bytes in
     *  all. False: nothing to send now. Must not keep `packet`. */
    bool (*fill)(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                 uint64_t now_ns);
    /** The frames of a packet that arrived for the first time. False: they break the protocol,
     *  the flow is reset. */
    bool (*deliver)(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                    uint64_t now_ns);
    /** A packet's payload is not needed any more: it was acknowledged, or the packet has copied it
     *  (full_checksum: during the fill() that gave it), or, was_acked false, dropped with its flow.
     *  Exactly once for each packet filled with an owner. */
    void (*released)(void *ctx, struct pony_flow *flow, struct pony_tx_msg *owner, bool was_acked);
    /** Established. */
    void (*up)(void *ctx, struct pony_flow *flow);
    /** Dead; frees itself after this returns. All `released` calls came before. */
    void (*down)(void *ctx, struct pony_flow *flow, enum shm_reason reason);
};

struct pony_flow_config {
    uint64_t instance; /**< this engine's life, random, not 0 */
    uint64_t seed;     /**< of all randomness in here */
    uint32_t max_flows;
    uint32_t max_packets;     /**< retained by all flows together */
    uint32_t mtu_bytes;       /**< largest UDP payload this host sends or takes */
    uint32_t window_max_pkts; /**< per flow, <= 1024 */
    const struct pony_cc_ops *cc;
    struct pony_cc_config cc_config; /**< the table sets the first two of it */
    uint64_t rto_min_ns, rto_max_ns;
    uint64_t keepalive_ns; /**< silence after which a flow with users is probed */
    uint64_t dead_ns;      /**< silence, while something is owed to us, after which it is dead */
    uint64_t hello_timeout_ns; /**< no answer at all: UNREACHABLE */
    uint64_t idle_ns;          /**< flow without users is closed after this */
    bool full_checksum;        /**< CRC over payloads too, not only headers and frames */
    /** Wire versions spoken, 1 <= min <= max; both 0: those of this release. Others are for tests:
     *  all versions have the same layout so far. */
    uint8_t version_min, version_max;
    const struct base_log *log;           /**< NULL: silence */
    const struct pony_security *security; /**< NULL: plain; copied */
    const struct pony_flow_events *events;
    void *ctx;
};

BASE_MUST_USE enum base_err pony_flow_table_create(const struct pony_flow_config *config,
                                                   uint64_t now_ns, struct pony_flow_table **table);
void pony_flow_table_destroy(struct pony_flow_table *table);

/** The first flow (slot 0) to that engine: the one there is, or a new one that begins its handshake. */
BASE_MUST_USE enum base_err pony_flow_get(struct pony_flow_table *table, const struct pony_addr *to,
                                          uint64_t now_ns, struct pony_flow **flow);
/** The same for any slot, < PONY_WIRE_SLOTS: flows of two engines differ by it. PX-90 */
BASE_MUST_USE enum base_err pony_flow_get_slot(struct pony_flow_table *table,
                                               const struct pony_addr *to, uint8_t slot,
                                               uint64_t now_ns, struct pony_flow **flow);
/** Walks the flows to that engine that can be used, or will be: `flow` NULL begins; NULL: the end. */
struct pony_flow *pony_flow_next_to(struct pony_flow_table *table, const struct pony_addr *to,
                                    const struct pony_flow *flow);
uint8_t pony_flow_slot(const struct pony_flow *flow);
/** What status calls it. */
uint32_t pony_flow_number(const struct pony_flow *flow);
uint32_t pony_flow_n_users(const struct pony_flow *flow);
/** Lately its window, which cannot grow any more, was what kept it from sending. */
bool pony_flow_is_limited(const struct pony_flow *flow, uint64_t now_ns);

/**
 * Other cluster keys from now on (seal.h, set_keys): flows that stand on one that is gone end, with
 * SHM_REASON_SECURITY, the others are told of the new ones at once.
 *
 * @param keys  of the table's mode (seal.h, make_keys); stays the caller's, who frees it
 * @return      how many ended
 */
uint32_t pony_flows_set_keys(struct pony_flow_table *table, struct pony_seal_keys *keys);

/** Counts users (connections). A flow without any is closed after idle_ns. */
void pony_flow_add_user(struct pony_flow *flow);
void pony_flow_del_user(struct pony_flow *flow, uint64_t now_ns);

/** The operation layer has something for fill() to take: the flow joins the send round. */
void pony_flow_wants_fill(struct pony_flow *flow);

/** The most urgent class of what waits for fill(): flows take turns within theirs. NORMAL until it
 *  is told. PX-83 */
void pony_flow_set_class(struct pony_flow *flow, uint32_t class);

/** Everything that arrives: checked, counted, dropped, or worked on; events are called. */
void pony_flows_on_packet(struct pony_flow_table *table, const struct pony_packet_in *in,
                          uint64_t now_ns);

/** A hint (ICMP) that nothing listens at `to`: handshakes end at once, others are probed. */
void pony_flows_on_unreachable(struct pony_flow_table *table, const struct pony_addr *to,
                               uint64_t now_ns);

/** A hint of this host's own kernel: a packet of `bytes` to `to` does not leave in one piece. Flows
 *  send smaller ones, and look for what passes. */
void pony_flows_on_too_long(struct pony_flow_table *table, const struct pony_addr *to,
                            uint32_t bytes, uint64_t now_ns);

/**
 * The next packet to send, built just in time: handshakes, retransmissions, new data (fill, within
 * window and pace, flows in turn), acknowledgements that no data carries. False: nothing now.
 * After at most PONY_TX_BATCH_MAX packets the caller must have sent them.
 */
bool pony_flows_next_packet(struct pony_flow_table *table, uint64_t now_ns,
                            struct pony_packet_out *out);

/** Timers. Call when now_ns reaches the deadline (or at every round). */
void pony_flows_on_time(struct pony_flow_table *table, uint64_t now_ns);
uint64_t pony_flows_next_deadline_ns(const struct pony_flow_table *table);

/** Tells all peers (RESET, reason SHUTDOWN or the like) and kills all flows, without events. */
void pony_flows_shutdown(struct pony_flow_table *table, enum shm_reason reason);

/**
 * An application's tx region is about to go: every retained packet whose payload lies in
 * [base, base + bytes) gets it copied behind its frames (head has room: head_len + payload_len
 * <= PONY_HEAD_BYTES), payload NULL and owner NULL; `released` is not called for it. What the peer
 * receives does not change. Afterwards no packet refers to that memory.
 */
void pony_flows_copy_payloads(struct pony_flow_table *table, const uint8_t *base, uint64_t bytes);

/** The operation layer's own data of a flow (list heads of its connections etc.). */
void *pony_flow_user_data(struct pony_flow *flow);
void pony_flow_set_user_data(struct pony_flow *flow, void *data);

const struct pony_addr *pony_flow_peer(const struct pony_flow *flow);
uint64_t pony_flow_peer_instance(const struct pony_flow *flow); /**< 0 until up */
bool pony_flow_is_up(const struct pony_flow *flow);
/** Largest `room` that fill() can get, bytes of frames and payload; known once up. */
uint32_t pony_flow_room_max(const struct pony_flow *flow);

struct pony_flow_info {
    uint32_t flow;
    struct pony_addr peer;
    const char *state;
    uint32_t slot, version, mtu_bytes, inflight_pkts, users;
    uint64_t srtt_ns, rto_ns;
    double cwnd_pkts;
    uint64_t sent_pkts, received_pkts, retransmitted_pkts, timeouts, duplicates, dropped;
    const char *security; /**< "plain", "psk" */
    struct pony_seal_info seal;
};

/** Whether there is any flow, of whatever state. */
bool pony_flows_exist(const struct pony_flow_table *table);

/** Walks the flows: *cursor starts at 0; false at the end. */
bool pony_flows_next_info(const struct pony_flow_table *table, uint32_t *cursor,
                          struct pony_flow_info *info);

/** Names and values of all counters of the table, for status. */
uint32_t pony_flows_counters(const struct pony_flow_table *table, const char *const **names,
                             const uint64_t **values);

#endif
