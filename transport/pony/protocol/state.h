/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_STATE_H
#define PONY_PROTOCOL_STATE_H

#include "base/pool.h"
#include "transport/pony/protocol/app.h"
#include "transport/pony/protocol/flow.h"
#include "transport/pony/protocol/frames.h"

/**
 * An engine's state, for the files of the operation layer only.
 */

/** X(name, text): counters of the operation layer. */
#define PONY_OPS_COUNTERS(X) \
    X(COMMANDS, "commands") \
    X(STALE_COMMANDS, "stale_commands") \
    X(COMPLETIONS, "completions") \
    X(BACKLOGGED, "completions_backlogged") \
    X(FRAMES_SENT, "frames_sent") \
    X(FRAMES_RECEIVED, "frames_received") \
    X(FRAMES_STALE, "frames_stale") \
    X(FRAMES_MALFORMED, "frames_malformed") \
    X(PROTOCOL_ERRORS, "protocol_errors") \
    X(OPENED, "conns_opened") \
    X(ACCEPTED, "conns_accepted") \
    X(REFUSED, "conns_refused") \
    X(RESET, "conns_reset") \
    X(CLOSED, "conns_closed") \
    X(LOCAL_BYTES, "local_bytes") \
    X(SENT_MSGS, "messages_sent") \
    X(SENT_BYTES, "message_bytes_sent") \
    X(RECEIVED_MSGS, "messages_received") \
    X(RECEIVED_BYTES, "message_bytes_received") \
    X(CREDIT_STALLS, "credit_stalls") \
    X(MEMORY_WAITS, "memory_waits") \
    X(NO_MEMORY, "conns_out_of_memory") \
    X(APP_FAULTS, "app_faults")

enum pony_ops_counter {
#define X(name, text) PONY_OPS_##name,
    PONY_OPS_COUNTERS(X)
#undef X
    PONY_OPS_N
};

enum {
    PONY_SERVICE_BUCKETS = 1024,
    PONY_LISTENERS_MAX = 65536
};

struct pony_listener {
    struct base_list link;     /**< in its bucket */
    struct base_list app_link; /**< app->listeners */
    struct pony_app *app;
    uint64_t service;
    uint32_t shm_number;
    bool is_local; /**< SHM_LISTEN_LOCAL */
    bool has_class;
    uint8_t class; /**< has_class: of connections from here to openers, whatever those ask for */
};

/** A REFUSE to be sent: no connection exists that could carry it. */
struct pony_refusal {
    struct base_list link;
    uint32_t conn;
    uint8_t reason;
};

/** Connections of one class that have something to send, in turn. */
struct pony_round {
    struct base_list small; /**< with frames or eager messages */
    struct base_list large; /**< with granted messages */
    uint32_t small_run; /**< packets in a row without a large message's byte, though one waited */
};

/** The operation layer's side of a flow: its connections, and who of them has something to send. */
struct pony_link {
    struct pony_flow *flow; /**< NULL: the engine's own link, of local connections */
    uint32_t busy;          /**< bit per class: its round may have somebody; cleared late */
    uint32_t class;         /**< the most urgent one that waits, as the flow was told */
    struct base_list conns;
    struct base_list refusals;
    struct pony_round rounds[PONY_CLASSES];
    struct pony_class_waits waits;
};

struct pony_engine {
    struct pony_engine_config config;
    struct pony_flow_table *flows;
    struct base_pool conns;      /**< struct pony_conn */
    struct base_pool cold_conns; /**< struct pony_conn_cold, one for each */
    struct base_pool links;      /**< struct pony_link */
    struct base_pool refusals;
    struct base_pool listeners;
    struct base_list services[PONY_SERVICE_BUCKETS];
    uint64_t service_key[2];
    uint64_t n_services;
    uint32_t conn_bits; /**< of the pool index in a connection's number */
    uint32_t n_apps;
    struct base_list apps; /**< rotated: the first has its turn next */
    struct base_list dirty;
    struct pony_link local; /**< local connections */
    uint64_t now_ns;
    bool is_shut_down;
    uint64_t counters[PONY_OPS_N];
};

static inline void pony_count(struct pony_engine *engine, enum pony_ops_counter counter, uint64_t n)
{
    engine->counters[counter] += n;
}

/* service.c */
void pony_services_init(struct pony_engine *engine);
struct pony_listener *pony_service_find(const struct pony_engine *engine, uint64_t service);
/** Listens; `service` 0: a new unguessable one. Errors  BASE_E_IN_USE, BASE_E_LIMIT. */
BASE_MUST_USE enum base_err pony_service_add(struct pony_app *app, uint32_t shm_number,
                                             uint64_t service, struct pony_listener **listener);
void pony_service_del(struct pony_listener *listener);
struct pony_listener *pony_service_by_number(const struct pony_app *app, uint32_t shm_number);
/** A secret made of the engine's seed; `what` tells its uses apart. */
uint64_t pony_engine_secret(const struct pony_engine *engine, uint64_t what);

/* sched.c: what is sent next. */
bool pony_sched_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                     uint64_t now_ns);
/** Moves frames and bytes of local connections, at most about `bytes`. Returns frames moved. */
uint32_t pony_sched_run_local(struct pony_engine *engine, uint32_t bytes);

static inline bool pony_sched_has_local(const struct pony_engine *engine)
{
    const struct pony_link *local = &engine->local;
    return local->busy != 0 || !base_list_is_empty(&local->refusals);
}

/* receive.c: what arrives. */
/** One decoded frame for `conn`, which may be gone when this returns. */
void pony_receive_for_conn(struct pony_conn *conn, const struct pony_frame *frame);
/** A whole message for a connection that may get one; `facts` but for its place. Likewise. */
void pony_receive_small(struct pony_conn *conn, const uint8_t *bytes, struct pony_rx_facts *facts);
/** The peer takes charges up to `limit` in all. */
void pony_receive_credit(struct pony_conn *conn, uint32_t limit);
bool pony_receive_packet(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                         uint64_t now_ns);
/** Large messages whose turn it is get memory as far as there is some. */
void pony_receive_serve_waiting(struct pony_app *app);

/* mapper.c: connections on flows. */
void pony_mapper_released(void *ctx, struct pony_flow *flow, struct pony_tx_msg *owner,
                          bool was_acked);
void pony_mapper_up(void *ctx, struct pony_flow *flow);
void pony_mapper_down(void *ctx, struct pony_flow *flow, enum shm_reason reason);
/** The link of a flow, made if it has none. NULL: a limit. */
struct pony_link *pony_mapper_link(struct pony_engine *engine, struct pony_flow *flow);
void pony_link_init(struct pony_link *link, struct pony_flow *flow);
/** Tells the flow which class waits on it, where that is not the one it knows. PX-83 */
void pony_link_reclass(struct pony_link *link);
/** Connects an opening connection: to a flow, or to an application of this engine. */
void pony_mapper_open(struct pony_conn *conn, const struct shm_addr *to, uint64_t now_ns);
/** An OPEN arrived. `link` NULL: from `opener`, which is local. */
void pony_mapper_on_open(struct pony_engine *engine, struct pony_link *link,
                         struct pony_conn *opener, const struct pony_frame *frame);
void pony_link_refuse(struct pony_engine *engine, struct pony_link *link, uint32_t conn,
                      enum shm_reason reason);

#endif
