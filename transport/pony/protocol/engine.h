/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_ENGINE_H
#define PONY_PROTOCOL_ENGINE_H

#include "base/error.h"
#include "base/log.h"
#include "transport/pony/abi/ring.h"
#include "transport/pony/protocol/packet.h"
#include "transport/pony/protocol/seal.h"

#include <stdbool.h>

/**
 * Engine: one Pony Express engine as a pure state machine. Applications' queues on one side,
 * packets on the other. snapd, the simulator and the fuzzers all drive this same code.
 *
 * Threads  one; no sockets, no clock, no lock, no heap after creation but in attach/detach
 * Order    a round: pony_engine_on_packet()* and pony_engine_poll_apps(), whichever first;
 *          pony_engine_on_time() and pony_engine_next_packet()* after each or after both;
 *          pony_engine_publish()
 * Source   snap.md 2.3 to 2.8; docs/protocol.md
 */
struct pony_engine;
struct pony_app; /**< an attached application's port, as its engine sees it */

struct pony_engine_config {
    uint64_t instance; /**< this snapd's life: random, not 0; all its engines share it */
    uint64_t seed;
    uint16_t udp_port;  /**< where peers reach this engine */
    uint32_t mtu_bytes; /**< UDP payload */
    uint32_t max_apps, max_flows, max_conns, max_packets;
    uint32_t window_max_pkts; /**< per flow, <= 1024 */
    uint32_t flows_per_peer;  /**< of all classes together, >= 1; 1: classes share a flow */
    uint32_t conns_per_flow;  /**< more get another flow, as far as there may be one */
    uint64_t rto_min_ns, rto_max_ns, keepalive_ns, dead_ns, hello_timeout_ns, idle_ns;
    bool full_checksum;
    uint8_t version_min, version_max;     /**< wire versions; 0: this release's (flow.h) */
    const char *congestion_control;       /**< name in pony_cc_all; NULL: the default */
    const struct pony_security *security; /**< NULL: plain; copied */
    const struct base_log *log;
};

/** Sensible defaults; the caller then sets instance, seed, udp_port and what its file says. */
void pony_engine_config_init(struct pony_engine_config *config);

BASE_MUST_USE enum base_err pony_engine_create(const struct pony_engine_config *config,
                                               uint64_t now_ns, struct pony_engine **engine);
void pony_engine_destroy(struct pony_engine *engine);

struct pony_app_config {
    struct shm_engine_end end; /**< initialised; copied */
    const uint8_t *tx_base;    /**< the application's tx region, read-only here */
    uint64_t tx_bytes;
    uint8_t *rx_base; /**< the application's rx region */
    uint64_t rx_bytes;
    uint64_t max_message_bytes;
    uint32_t max_conns;
    bool joins_sent; /**< one SENT may name several messages */
    uint64_t port;   /**< number and identity, for status and ACLs */
    uint32_t pid, uid;
    /** Called when the application broke the ABI: it is dead to the engine; snapd tears it down.
     *  Must not call back into the engine. */
    void (*on_fault)(void *ctx, struct pony_app *app, enum shm_reason reason, const char *what);
    /** Called from pony_engine_publish() when the application asked to be woken. */
    void (*on_wake)(void *ctx, struct pony_app *app);
    void *ctx;
};

/** Attaches an application. Allocates. Errors  BASE_E_LIMIT names which in the error note. */
BASE_MUST_USE enum base_err pony_engine_attach(struct pony_engine *engine,
                                               const struct pony_app_config *config,
                                               struct pony_app **app);

/** Detaches: its connections are reset (APP_GONE at the peers), its listeners close, memory is
 *  forgotten: nothing in flight refers to it after this returns. */
void pony_engine_detach(struct pony_engine *engine, struct pony_app *app, uint64_t now_ns);

void pony_engine_on_packet(struct pony_engine *engine, const struct pony_packet_in *in,
                           uint64_t now_ns);
void pony_engine_on_unreachable(struct pony_engine *engine, const struct pony_addr *to,
                                uint64_t now_ns);
void pony_engine_on_too_long(struct pony_engine *engine, const struct pony_addr *to, uint32_t bytes,
                             uint64_t now_ns);

/** Other keys from now on (pony_flows_set_keys). Returns how many flows ended. */
uint32_t pony_engine_set_keys(struct pony_engine *engine, struct pony_seal_keys *keys);

/** Takes commands from all applications in turn, at most `budget` in all. Returns how many. */
uint32_t pony_engine_poll_apps(struct pony_engine *engine, uint64_t now_ns, uint32_t budget);

void pony_engine_on_time(struct pony_engine *engine, uint64_t now_ns);
uint64_t pony_engine_next_deadline_ns(const struct pony_engine *engine);

bool pony_engine_next_packet(struct pony_engine *engine, uint64_t now_ns,
                             struct pony_packet_out *out);

/** Publishes completions of this round to applications, wakes those that sleep. True: one of them
 *  got what it may wait for (SENT is no such thing). */
bool pony_engine_publish(struct pony_engine *engine);

/** Whether no application needs `processor` (1 + its number) but to hear news, and one of them yields
 *  it to us until then. By what they say: to be believed for a short time only. */
bool pony_engine_is_waited_for(const struct pony_engine *engine, uint32_t processor);

/** Before sleeping: sets is_asleep for all applications. True: do not sleep, there is work. */
bool pony_engine_set_asleep(struct pony_engine *engine, bool is_asleep);

/** Ends everything in order: peers are told SHUTDOWN. Then destroy. Packets to send remain in
 *  next_packet(). */
void pony_engine_shutdown(struct pony_engine *engine, uint64_t now_ns);

/* Status: walked by snapd on the engine's thread (through the mailbox), copied out in pieces. */

struct pony_app_info {
    uint64_t port;
    uint32_t pid, uid, conns, listeners;
    uint64_t rx_bytes_used, commands, completions, sent_msgs, sent_bytes, received_msgs,
        received_bytes;
};

struct pony_conn_info {
    uint64_t port;
    uint32_t conn;
    const char *state;
    const char *traffic;   /**< its class: "normal", "latency", "bulk" */
    uint32_t flow;         /**< number of its flow, 0: none */
    struct pony_addr peer; /**< all zero: same snapd */
    uint64_t sent_msgs, sent_bytes, received_msgs, received_bytes;
};
struct pony_flow_info;

bool pony_engine_next_app(const struct pony_engine *engine, uint32_t *cursor,
                          struct pony_app_info *info);
bool pony_engine_next_conn(const struct pony_engine *engine, uint32_t *cursor,
                           struct pony_conn_info *info);
/** Whether there is any flow, of whatever state: without one only strangers send packets. */
bool pony_engine_has_flows(const struct pony_engine *engine);
bool pony_engine_next_flow(const struct pony_engine *engine, uint32_t *cursor,
                           struct pony_flow_info *info);
/** Counter `idx`: its name and value; NULL past the last. */
const char *pony_engine_counter(const struct pony_engine *engine, uint32_t idx, uint64_t *value);

#endif
