/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KTCP_TCP_H
#define KTCP_TCP_H

#include "base/list.h"
#include "base/log.h"
#include "transport/tcp/addr.h"
#include "transport/tcp/mem.h"
#include "transport/tcp/rx.h"
#include "transport/tcp/tx.h"
#include "transport/transport.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/**
 * Kernel TCP transport: its objects, as its own files see them.
 *
 * Shape    rx.h and tx.h turn bytes into messages and back and know no socket; conn.c drives one
 *          connection, listener.c accepts, tcp.c holds the ops and the timers
 * Threads  the one that drives the loop
 * Memory   a connection that is closed stays until the end of the outermost poll() or on_ready()
 */
extern const struct snapi_transport_ops ktcp_transport_ops;

/* Lists of what waits for a time; all that are in one list wait equally long. */
enum ktcp_timer {
    KTCP_TIMER_CONNECT, /**< the system, and then the peer's preface */
    KTCP_TIMER_GREET,   /**< an accepted connection's preface */
    KTCP_TIMER_LINGER,  /**< the end of a close with FLUSH */
    KTCP_TIMER_RETRY,   /**< a Unix listener's queue was full */
    KTCP_TIMER_ACCEPT,  /**< a listener that pauses */
    KTCP_TIMERS
};

struct ktcp_wait {
    struct base_list link;
    uint64_t deadline_ns; /**< 0: not yet set; the next poll() does */
};

enum ktcp_state {
    KTCP_OPENING, /**< the peer's preface has not come */
    KTCP_OPEN,
    KTCP_FLUSHING, /**< close(FLUSH): queued messages, then an end frame leave */
    KTCP_SHUT,     /**< all left; the peer's end is waited for */
    KTCP_DEAD      /**< no event any more; freed soon */
};

struct ktcp_transport {
    struct snapi_transport base;
    struct snapi_poller *poller;
    const struct base_log *log;
    size_t max_message_bytes;
    uint8_t *shared; /**< receive buffer of all connections */
    struct ktcp_mem mem;
    struct ktcp_packer packer;
    struct base_list conns;
    struct base_list listeners;
    struct base_list due;  /**< connections that poll() looks at: something to send or to tell */
    struct base_list dead; /**< connections to be freed */
    struct base_list dead_listeners;
    struct base_list timers[KTCP_TIMERS];
    uint64_t now_ns; /**< of the last poll() */
    uint32_t depth;  /**< of poll() and on_ready() under way */
    uint32_t n_conns;
    bool has_new_timer;      /**< one whose deadline is not set */
    uint64_t quiet_until_ns; /**< no deadline that is set passes before this */
    int spare_fd;            /**< given up to accept and refuse when descriptors ran out */
    struct base_log_limit accept_log;
    struct base_log_limit peer_log;
};

struct ktcp_listener {
    struct snapi_listener base;
    struct ktcp_transport *transport;
    struct snapi_source source;
    struct base_list link;
    struct ktcp_wait wait; /**< KTCP_TIMER_ACCEPT */
    const struct snapi_listener_events *events;
    void *arg;
    struct ktcp_addr addr;
    struct stat path_stat;
    char address[KTCP_ADDR_TEXT];
};

struct ktcp_conn {
    struct snapi_conn base;
    struct ktcp_transport *transport;
    struct snapi_source source;
    struct base_list link; /**< in conns, or dead */
    struct base_list due_link;
    struct ktcp_wait wait;
    struct ktcp_listener *listener; /**< on_accept is still to be called; else NULL */
    const struct snapi_conn_events *events;
    void *arg;
    enum ktcp_state state;
    int broken; /**< errno of connecting or writing, to be told by poll(); 0: none */
    bool is_unix;
    bool is_connected; /**< by the system */
    bool is_ended;     /**< the end frame is queued or gone */
    struct ktcp_rx rx;
    struct ktcp_tx tx;
    struct ktcp_addr addr;
    char peer[KTCP_ADDR_TEXT];
};

/* ---- tcp.c ---- */

/** Brackets everything that calls back: what died meanwhile is freed at the outermost leave. */
void ktcp_enter(struct ktcp_transport *t);
void ktcp_leave(struct ktcp_transport *t);

/** (Re)starts a wait in the list of `timer`. */
void ktcp_wait_start(struct ktcp_transport *t, struct ktcp_wait *wait, enum ktcp_timer timer);
void ktcp_wait_stop(struct ktcp_wait *wait);

/* ---- conn.c ---- */

/** Makes a connection around `fd` (-1: none yet); it closes it also on error. */
BASE_MUST_USE enum base_err ktcp_conn_create(struct ktcp_transport *t, int fd, bool is_unix,
                                             struct ktcp_conn **conn);

/** poll()'s look at a connection that is due. */
void ktcp_conn_run(struct ktcp_conn *conn);

/** Writes what is queued; calls nothing back. What is to be told leaves it due. */
void ktcp_conn_write(struct ktcp_conn *conn);

void ktcp_conn_on_timeout(struct ktcp_conn *conn, enum ktcp_timer timer);

/* The ops. */
enum base_err ktcp_connect(struct snapi_transport *transport, const char *address,
                           enum snapi_traffic traffic, const struct snapi_conn_events *events,
                           void *arg, struct snapi_conn **conn);
enum base_err ktcp_begin(struct snapi_conn *base, size_t len, struct snapi_tx *tx);
void ktcp_send(struct snapi_conn *base, struct snapi_tx *tx, uint64_t tag);
void ktcp_abandon(struct snapi_conn *base, struct snapi_tx *tx);
void ktcp_close(struct snapi_conn *base, enum snapi_close how);
const char *ktcp_peer(const struct snapi_conn *base);

/* ---- conn_end.c ---- */

/** No event; `fd` is closed; memory goes at the outermost leave. */
void ktcp_conn_kill(struct ktcp_conn *conn, bool is_reset);

/** Frees a killed one. */
void ktcp_conn_free(struct ktcp_conn *conn);

/** Ends it with its last events; on_closed says that. This one and those below: only within poll() or
 *  on_ready(). */
void ktcp_conn_finish(struct ktcp_conn *conn, enum base_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** It could not be made: `e` is an errno. */
void ktcp_conn_finish_unconnected(struct ktcp_conn *conn, int e);

/** After an error of a connection that was there. */
void ktcp_conn_finish_broken(struct ktcp_conn *conn, int e);

void ktcp_conn_finish_at_eof(struct ktcp_conn *conn);
void ktcp_conn_finish_at_end_frame(struct ktcp_conn *conn);

/** What came cannot be taken: conn->rx.why. The peer is told, and the log. */
void ktcp_conn_finish_unreadable(struct ktcp_conn *conn, enum base_err err);

/** Tells the peer why, if that can be done at once: the connection is given up either way. */
void ktcp_conn_say_why(struct ktcp_conn *conn, enum ktcp_reason reason);

/* ---- listener.c ---- */

enum base_err ktcp_listen(struct snapi_transport *transport, const char *address,
                          enum snapi_traffic traffic, const struct snapi_listener_events *events,
                          void *arg, struct snapi_listener **listener);
void ktcp_unlisten(struct snapi_listener *base);
const char *ktcp_listener_address(const struct snapi_listener *base);
void ktcp_listener_on_timeout(struct ktcp_listener *listener);
void ktcp_listener_free(struct ktcp_listener *listener);

#endif
