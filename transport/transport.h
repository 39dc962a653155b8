/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include "base/error.h"
#include "base/log.h"
#include "rpc/poller.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Transport: carries whole messages between two processes, reliably, over connections.
 *
 * A message is 0 to max_message_bytes bytes. Messages of a connection arrive once each, unchanged,
 * in any order (small ones may overtake large ones), or the connection breaks and both ends are told.
 *
 * Threads    everything here runs on the one thread that drives the loop
 * Callbacks  snapi_conn_events and snapi_listener_events are called only from within poll() and
 *            from a source's on_ready(), never from within the op that a caller is in; a callback
 *            may call any op, close() of its own connection included
 * Time       comes in as now_ns (CLOCK_MONOTONIC)
 * Blocking   no op ever blocks
 */

struct snapi_transport;
struct snapi_conn;
struct snapi_listener;

struct snapi_transport_config {
    struct snapi_poller *poller;
    const struct base_log *log;
    size_t max_message_bytes;
    const char *snapd_socket; /**< where the local snapd listens; NULL: its default. Pony only */
};

/** Room for one message in transmit memory: filled by the caller, then sent or abandoned. */
struct snapi_tx {
    uint8_t *data;    /**< contiguous, len bytes, write only; 8-aligned */
    size_t len;       /**< may be lowered before send */
    uint64_t priv[2]; /**< the transport's */
};

/** Why and how a connection ended. */
struct snapi_closed {
    enum base_err err; /**< CLOSED: in order by either side; RESET, TIMEOUT, REFUSED, ... */
    char message[160]; /**< names the peer, the cause, the remedy */
};

/** Whose messages go first where several wait. The numbers are those of enum snap_traffic and of
 *  enum shm_traffic. A wish: a transport without classes takes it and does nothing. */
enum snapi_traffic {
    SNAPI_TRAFFIC_DEFAULT = 0, /**< connect: NORMAL; listen: as each peer asks */
    SNAPI_TRAFFIC_NORMAL = 1,
    SNAPI_TRAFFIC_LATENCY = 2, /**< before all others */
    SNAPI_TRAFFIC_BULK = 3,    /**< after all others */
    SNAPI_TRAFFIC_MAX = 4
};

struct snapi_conn_events {
    /** connect() succeeded; sends are possible (they were possible, queued, before). Once. */
    void (*on_open)(void *arg, struct snapi_conn *conn);
    /** A whole message. `data` is 8-aligned and only valid until this returns. */
    void (*on_message)(void *arg, struct snapi_conn *conn, const uint8_t *data, size_t len);
    /** Room again after begin() said BASE_AGAIN. */
    void (*on_writable)(void *arg, struct snapi_conn *conn);
    /** Comes before on_closed, once per message sent with `tag` that certainly did not reach the
     *  peer whole (so it cannot have acted on it). Messages not named here: not known. `data` is
     *  the message as it was sent, valid until this returns, so that it can be sent elsewhere
     *  without anybody having kept a copy. */
    void (*on_unsent)(void *arg, struct snapi_conn *conn, uint64_t tag, const uint8_t *data,
                      size_t len);
    /** The last event of a connection, also of one that never opened; after it the conn is gone.
     *  Not called for a connection that we closed with ABORT. */
    void (*on_closed)(void *arg, struct snapi_conn *conn, const struct snapi_closed *why);
    /** Cache lines from `arg` on that on_message uses: a transport may prefetch them. 0: none. */
    uint32_t arg_lines;
};

struct snapi_listener_events {
    /** A peer connected. Sets the connection's events and arg; false refuses it (it is closed). */
    bool (*on_accept)(void *arg, struct snapi_conn *conn, const struct snapi_conn_events **events,
                      void **conn_arg);
    /** The address peers can use to get here changed (snapd came, or came back); "" means none. */
    void (*on_address)(void *arg, struct snapi_listener *listener, const char *address);
};

enum {
    SNAPI_CONN_LINES = 2 /**< cache lines of a connection that messages use, from its begin on */
};

enum snapi_close {
    SNAPI_CLOSE_FLUSH, /**< send what is queued, then close; on_closed comes when done */
    SNAPI_CLOSE_ABORT  /**< drop everything now; no further event, the conn is gone on return */
};

enum snapi_transport_state {
    SNAPI_TRANSPORT_UP,     /**< connect may succeed */
    SNAPI_TRANSPORT_TRYING, /**< attaching; will be up or down soon */
    SNAPI_TRANSPORT_DOWN    /**< no snapd that lets us in; tried again by itself */
};

struct snapi_transport_ops {
    const char *name; /**< "tcp", "pony" */

    /** Makes a transport. Cannot fail for want of a peer or snapd: that is state(). */
    enum base_err (*create)(const struct snapi_transport_config *config,
                            struct snapi_transport **transport);
    /** Frees it and all its connections and listeners, without events. */
    void (*destroy)(struct snapi_transport *transport);

    /** Reaps, flushes batches, fires timers; at most `budget` messages. Returns how much was done. */
    uint32_t (*poll)(struct snapi_transport *transport, uint64_t now_ns, uint32_t budget);
    /** Gives the network (or snapd) what send() queued since the last poll(). Calls nothing back:
     *  what it finds broken the next poll() tells, and next_deadline_ns() is 0 until then. For a
     *  thread that puts in work of its own while the loop's driver sleeps; leaves arm() standing. */
    void (*flush)(struct snapi_transport *transport);
    /** Before the loop sleeps: asks to be woken through a source. False: work came meanwhile. */
    bool (*arm)(struct snapi_transport *transport);
    /** The loop is about to yield its processor, since it has nothing to do (or has it back). */
    void (*set_waiting)(struct snapi_transport *transport, bool is_waiting);
    /** When poll() must run again at the latest; UINT64_MAX: no timer. */
    uint64_t (*next_deadline_ns)(const struct snapi_transport *transport);
    enum snapi_transport_state (*state)(const struct snapi_transport *transport,
                                        const char **reason);

    /** Listens at `address`. For tcp "host:port" or "unix:/path"; for pony "" (any) or "local"
     *  (applications of this host only). In use:
     *  BASE_E_IN_USE; form: BASE_E_INVALID; more in base_error_last_note(). `traffic` is the class
     *  of what is sent to peers. */
    enum base_err (*listen)(struct snapi_transport *transport, const char *address,
                            enum snapi_traffic traffic, const struct snapi_listener_events *events,
                            void *arg, struct snapi_listener **listener);
    void (*unlisten)(struct snapi_listener *listener);
    /** Where peers reach this listener, in the form that connect() of their transport takes
     *  ("10.0.0.1:7000", "pony:*:4741/…": '*' stands for the host itself); "" for not now. */
    const char *(*listener_address)(const struct snapi_listener *listener);

    /** Starts connecting. Numeric addresses only (names are looked up by the channel).
     *  BASE_OK: on_open or on_closed follows. `traffic` is the class of both directions. */
    enum base_err (*connect)(struct snapi_transport *transport, const char *address,
                             enum snapi_traffic traffic, const struct snapi_conn_events *events,
                             void *arg, struct snapi_conn **conn);

    /** The longest message that this connection carries either way: max_message_bytes, or what
     *  snapd allows where that is less. From on_open or on_accept on. */
    size_t (*max_message)(const struct snapi_conn *conn);
    /** Takes room for a message of `len` bytes. BASE_AGAIN: none now, on_writable follows;
     *  BASE_E_LIMIT: longer than max_message(); BASE_E_CLOSED: the connection is ending. */
    enum base_err (*begin)(struct snapi_conn *conn, size_t len, struct snapi_tx *tx);
    /** Whether a long message begun now would leave soon. False: enough of them wait already, and
     *  on_writable follows; what is packed later is sent while it is still in the caches. Advice:
     *  begin() may succeed all the same. */
    bool (*has_room)(struct snapi_conn *conn);
    /** Sends what begin() gave. Cannot fail; what happens to it is told by events. The message may
     *  leave only at the next poll(), so that several leave together. */
    void (*send)(struct snapi_conn *conn, struct snapi_tx *tx, uint64_t tag);
    void (*abandon)(struct snapi_conn *conn, struct snapi_tx *tx);

    void (*close)(struct snapi_conn *conn, enum snapi_close how);
    /** The peer as the transport names it, e.g. "10.0.0.1:41234", "pony:10.0.0.1:4741". */
    const char *(*peer)(const struct snapi_conn *conn);

    /** What snapd remembers: target (as the channel was given it) -> Pony address. Others: no-op,
     *  BASE_E_UNSUPPORTED. lookup: "" and BASE_AGAIN while asking; `on_found` is called later. */
    enum base_err (*remember)(struct snapi_transport *transport, const char *target,
                              const char *address);
    enum base_err (*lookup)(struct snapi_transport *transport, const char *target,
                            void (*on_found)(void *arg, const char *address), void *arg);
    /** Forgets a lookup whose `arg` goes away. */
    void (*lookup_cancel)(struct snapi_transport *transport, void *arg);
};

/** Every object of a transport begins with its ops, so that callers need only these. */
struct snapi_transport {
    const struct snapi_transport_ops *ops;
};

struct snapi_conn {
    const struct snapi_transport_ops *ops;
};

struct snapi_listener {
    const struct snapi_transport_ops *ops;
};

/** All transports of this build, in the order of preference; ends with NULL. */
extern const struct snapi_transport_ops *const snapi_transport_all[];

#endif
