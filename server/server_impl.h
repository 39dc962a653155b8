/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_SERVER_IMPL_H
#define SERVER_SERVER_IMPL_H

#include "base/slab.h"
#include "rpc/frame.h"
#include "rpc/loop.h"
#include "rpc/message.h"
#include "server/registry.h"

#include <snaprpc/server.h>

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

/**
 * Inside of the server; shared by its own files only.
 *
 * Threads  the owner of the loop, but for what is atomic and what says otherwise
 */
enum {
    SNAPI_SERVER_LISTENERS_MAX = 32, /**< one of them for Pony */
    SNAPI_PEER_MAX = 64,
    SNAPI_SERVER_CONN_LINES = 2, /**< cache lines of a connection that calls use */
    SNAPI_HELLO_TIMEOUT_S = 10,  /**< for the client's first frame */
    SNAPI_FLUSH_TIMEOUT_S = 2    /**< for a connection to take what is queued when it is closed */
};

/** A server stops in steps; each ends by itself or by its timer. */
enum snapi_server_phase {
    SNAPI_SERVER_OPEN,
    SNAPI_SERVER_DRAINING, /**< no new calls; unanswered ones have `grace` */
    SNAPI_SERVER_FLUSHING  /**< no calls; connections are flushed and closed; then it is freed */
};

struct snapi_server_listener {
    struct snap_server *server;
    struct snapi_listener *listener;
    enum snap_transport kind;
};

struct snap_server {
    struct snap_loop *loop;
    struct snapi_member member;
    struct snapi_registry registry;
    uint32_t max_calls;
    uint32_t traffic; /**< enum snap_traffic */
    enum snapi_server_phase phase;
    struct base_timer stop_timer;
    struct snapi_work step_work;
    _Atomic uint32_t port;            /**< any thread reads it */
    struct snapi_waiter *stop_waiter; /**< snap_server_stop(); NULL: nobody waits */
    struct snapi_server_listener listeners[SNAPI_SERVER_LISTENERS_MAX];
    uint32_t n_listeners;
    bool is_pony_local; /**< every address so far is a loopback one or a path */
    char pony_address[SNAPI_FRAME_TEXT_MAX + 1]; /**< what HELLO says; "" none */
    struct base_slab conns_slab;                 /**< struct snapi_server_conn */
    struct base_list conns;
    struct base_list adrift; /**< unanswered calls whose connections are gone */
    struct base_list ready;  /**< calls whose handlers wait until earlier long answers have left */
    struct snapi_work ready_work;
    uint32_t n_calls;                 /**< unanswered */
    struct snap_server_call **by_id;  /**< [n_buckets], chained by hash_next; not all are in it */
    uint32_t n_buckets;               /**< power of two */
    uint64_t hash_seed;               /**< strangers choose the ids */
    struct base_log_limit complaints; /**< about peers */
};

/** A connection from a client. With thousands of them each call finds its memory cold: what calls
 *  use is in the first lines, which the transport prefetches, and all of them lie side by side. */
struct snapi_server_conn {
    /* Line 0. */
    struct snap_server *server;
    struct snapi_conn *conn;
    struct snapi_handler *last_handler; /**< of the last request that has one; NULL: none yet */
    size_t max_reply;       /**< bytes: the least of what we, the client and the transport take */
    uint64_t last_id;       /**< highest number of a call so far */
    struct base_list calls; /**< unanswered */
    uint8_t kind;           /**< enum snap_transport */
    bool has_hello;         /**< the client's first frame came */
    bool is_accepting;      /**< within on_accept */
    bool is_doomed;         /**< was to be aborted then */
    bool is_closing;        /**< close(FLUSH) was called; what comes is ignored */
    bool is_indexed;        /**< `calls` are in the server's by_id */
    bool has_pending;       /**< something waits for room */

    /* Line 1. */
    alignas(BASE_CACHE_LINE) char peer[SNAPI_PEER_MAX];

    /* Other things. */
    struct base_list pending; /**< struct pending in conn.c: sent when there is room */
    size_t pending_bytes;     /**< of what is there */
    struct base_list early;   /**< calls that overtook HELLO: they run when it is there */
    uint32_t n_early;
    size_t early_bytes;    /**< of their requests, encoded */
    struct base_list held; /**< calls that run when the client has read earlier answers */
    size_t held_bytes;     /**< what they cost */
    struct base_list link;
    struct base_timer timer; /**< HELLO, then FLUSH */
};

static_assert(offsetof(struct snapi_server_conn, peer) == BASE_CACHE_LINE &&
                  offsetof(struct snapi_server_conn, pending) ==
                      (size_t)SNAPI_SERVER_CONN_LINES * BASE_CACHE_LINE,
              "a call needs no other lines");

/**
 * Whose a call is. LIVE: it waits for its answer. ANSWERING: the application answers; the server
 * stays until that has arrived. ORPHANED: the server is gone or has ended it; the application's
 * answer frees it and touches nothing else.
 */
enum snapi_call_state {
    SNAPI_CALL_LIVE,
    SNAPI_CALL_ANSWERING,
    SNAPI_CALL_ORPHANED
};

/** Lies in its own arena, with its request and perhaps its packed reply. */
struct snap_server_call {
    struct snapi_arena *arena;
    struct snap_server *server;     /**< not to be touched when ORPHANED */
    const struct snap_loop *loop;   /**< the server's; for snapi_loop_is_here() */
    struct snapi_server_conn *conn; /**< NULL: gone */
    const struct snap_method *method;
    struct snapi_handler *handler;
    ProtobufCMessage *request; /**< NULL: the handler has it */
    struct base_list link;     /**< of its connection, or in server->adrift */
    struct base_list ready; /**< while there is a request: in server->ready, conn->early or held */
    struct snap_server_call *hash_next;
    struct snap_server_call **hash_at; /**< what points to it in its chain; NULL: it is in none */
    uint64_t id;
    uint64_t deadline_ns; /**< UINT64_MAX: none */
    size_t max_reply;     /**< the connection's */
    size_t held_bytes;    /**< its part of conn->held_bytes; unset where it was never held */
    enum snap_transport transport;
    _Atomic uint32_t state;        /**< enum snapi_call_state */
    _Atomic uint32_t is_cancelled; /**< nobody will read the answer */

    /* Of an answer from another thread; unset before. */
    struct snapi_work work; /**< brings `reply` to the owner */

    struct {
        uint8_t *data; /**< a frame, in the arena; NULL: out of memory */
        size_t len;
    } reply;

    char peer[SNAPI_PEER_MAX];
};

/* ---- conn.c ---- */

extern const struct snapi_listener_events snapi_server_listener_events;

/** What goes into a frame's body: a message, or bytes, or nothing. */
struct snapi_outgoing {
    struct snapi_frame frame;        /**< body_len is set; body only for bytes */
    const ProtobufCMessage *message; /**< packed into the body; or NULL */
    struct snapi_arena *arena;       /**< is given back, now or when it has been sent; or NULL */
};

/** Writes the frame, body and all, to `to`: snapi_frame_size() bytes. */
void snapi_server_fill(uint8_t *to, const struct snapi_outgoing *out);

/** Sends, or keeps until there is room. False: it has aborted the connection, which is freed. */
bool snapi_server_send(struct snapi_server_conn *conn, const struct snapi_outgoing *out);

/** The same for an OK answer of `len` bytes, which lie at `body` and are no part of the arena. */
bool snapi_server_send_ok(struct snapi_server_conn *conn, uint64_t id, const uint8_t *body,
                          size_t len, struct snapi_arena *arena);

/** A whole frame that was packed elsewhere, in `arena`. */
void snapi_server_send_packed(struct snapi_server_conn *conn, const uint8_t *data, size_t len,
                              struct snapi_arena *arena);

/** HELLO with the present Pony address to all TCP connections. */
void snapi_server_say_hello(struct snap_server *server);

/** GOAWAY to all. */
void snapi_server_say_goaway(struct snap_server *server, const char *why);

/** Flushes and closes; it is gone after a while. */
void snapi_server_conn_close(struct snapi_server_conn *conn);

/** Drops everything now; the connection is freed. `why` NULL: nothing is logged. */
void snapi_server_conn_abort(struct snapi_server_conn *conn, const char *why);

/** Bytes of answers, and of requests, that may wait for the client to read. */
size_t snapi_server_pending_limit(const struct snapi_server_conn *conn);

/* ---- by_id.c ---- */

/** Errors: BASE_E_NOMEM. server.c frees the table. */
BASE_MUST_USE enum base_err snapi_server_by_id_init(struct snap_server *server);

/** Where the call of that number is linked in its chain, or the NULL at the end, where one of that number
 * belongs; until the next find. All calls of the connection are in chains from now on. */
struct snap_server_call **snapi_server_find_call(struct snapi_server_conn *conn, uint64_t id);

/** Links a call at the end of its chain. */
void snapi_server_chain(struct snap_server_call **end, struct snap_server_call *call);

/** Of a call that is in a chain. */
void snapi_server_unchain(struct snap_server_call *call);

/* ---- call.c ---- */

/** Errors: BASE_E_NOMEM. */
BASE_MUST_USE enum base_err snapi_server_calls_init(struct snap_server *server);

/** A REQUEST came. May free the connection. */
void snapi_server_on_request(struct snapi_server_conn *conn, const struct snapi_frame *frame);

/* ---- call_run.c ---- */

/** The client's first HELLO is there: runs what overtook it. May free connections. */
void snapi_server_run_early(struct snapi_server_conn *conn);

/** Runs handlers that waited, as long as there is room for what they answer. May free connections. */
void snapi_server_run_ready(struct snap_server *server);

/** Runs what was held until the client has read earlier answers. May free connections. */
void snapi_server_run_held(struct snapi_server_conn *conn);

/* ---- call_cancel.c ---- */

void snapi_server_on_cancel(struct snapi_server_conn *conn, uint64_t id);

/** The connection goes: its calls stay until they are answered, but nobody will read it. */
void snapi_server_cancel_all(struct snapi_server_conn *conn);

/** Ends all LIVE calls with UNAVAILABLE; those being answered come in soon. */
void snapi_server_orphan_calls(struct snap_server *server);

/* ---- server.c ---- */

/** After a call or connection has ended: a stopping server goes a step further, later. */
void snapi_server_step(struct snap_server *server);

void snapi_server_complain(struct snap_server *server, const char *peer, const char *why);

#endif
