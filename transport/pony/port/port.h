/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PORT_PORT_H
#define PONY_PORT_PORT_H

#include "base/lines.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/slab.h"
#include "transport/pony/abi/address.h"
#include "transport/pony/abi/socket_path.h"
#include "transport/pony/port/accepted.h"
#include "transport/pony/port/map.h"
#include "transport/pony/port/tx.h"
#include "transport/transport.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Application side of Pony Express: one port at the local snapd, its connections and listeners.
 *
 * Shape    link.c attaches and speaks over the control socket; conn.c and listener.c are the ops;
 *          commands.c posts; reap.c takes completions and calls back; loss.c ends an attachment
 * Trust    snapd may lie or die at any moment: whatever it writes is checked; a lie makes the port
 *          detach and attach anew, as a death does. Private records, not shared memory, say what
 *          is outstanding.
 * Threads  the one that drives the loop
 * Memory   a connection that is gone is freed at the end of poll(); no heap per message once the
 *          pool of records has grown
 */
extern const struct snapi_transport_ops pony_transport_ops; /**< in snapi_transport_all, too */

enum {
    PONY_PORT_BATCH = 32,            /**< completions peeked at once */
    PONY_PORT_MESSAGES_MAX = 4096,   /**< messages begun or being sent: no more than an engine
                                          takes from one port, or its queue would stand still */
    PONY_PORT_CONN_BYTES = 16 << 20, /**< of them per connection, small and large ones each */
    PONY_PORT_SMALL_BYTES = 16 << 10,
    PONY_PORT_AHEAD_BYTES = 2 << 20, /**< of large messages, that may be under way while has_room():
                                          less than this, and than 1/8 of the region */
    PONY_PORT_AHEAD_MESSAGES = 2,    /**< so many may, however long they are */
    PONY_PORT_STALL_NS = 10000000,   /**< under way for so long without any progress: no longer
                                          counted, so that who does not read holds nobody up */
    PONY_PORT_TELL_MAX = 64,         /**< connections told in one poll() that they are writable,
                                          and were not */
    PONY_PORT_NUMBERS_MAX = 1 << 20, /**< connections and listeners with numbers of ours */
    PONY_PORT_REQUESTS_MAX = 256,    /**< control requests under way */
    PONY_PORT_REASON_MAX = 256,
    PONY_PORT_PEER_MAX = 64,
    PONY_PORT_CONN_HOT_LINES = SNAPI_CONN_LINES
};

/** The control socket. */
enum pony_port_link {
    PONY_LINK_OFF,    /**< nobody there: tried again at retry_ns */
    PONY_LINK_ASKING, /**< Attach is sent, no reply yet */
    PONY_LINK_UP
};

/** Commands that wait for room in the queue. In this order. */
enum {
    PONY_WANT_OPEN = 1u << 0, /**< of a connection; of a listener: LISTEN */
    PONY_WANT_SEND = 1u << 1, /**< what is in `queued` */
    PONY_WANT_CLOSE = 1u << 2,
    PONY_WANT_ABORT = 1u << 3
};

/** What has a number at snapd. First in a connection and in a listener. */
struct pony_port_entry {
    uint32_t number; /**< 0: none */
    bool is_listener;
    uint8_t wants;           /**< PONY_WANT_* */
    struct base_list wanted; /**< in port->wanting */
    struct base_list link;   /**< of port->conns, port->listeners, or a list of the dying */
};

/* The table of what each state means for each completion is in README.md. */
enum pony_port_conn_state {
    PONY_CONN_WAITING, /**< its OPEN is not in the queue yet, perhaps there is no snapd yet */
    PONY_CONN_OPENING, /**< OPEN was posted */
    PONY_CONN_OPEN,
    PONY_CONN_ENDED, /**< CLOSED came (or nothing can come): only unsent messages are awaited */
    PONY_CONN_GONE   /**< on_closed was called, or nobody wants it: freed soon */
};

/* With thousands of connections each message finds its connection's memory cold: what every message
 * uses lies in the first lines, and all of them side by side. */
struct pony_port_conn {
    /* Line 0. */
    struct snapi_conn base;
    struct pony_port *port;
    const struct snapi_conn_events *events;
    void *arg;
    uint8_t state;             /**< enum pony_port_conn_state */
    bool is_silent;            /**< aborted by us: no events */
    bool is_closing;           /**< close() was called: nothing may be begun */
    uint8_t reason;            /**< enum shm_reason, with ENDED */
    uint8_t traffic;           /**< enum shm_traffic */
    uint32_t tx_bytes[2];      /**< of its messages, small [0] and large [1] ones */
    struct base_list messages; /**< struct pony_port_message, but for the queued ones */

    /* Line 1. */
    struct pony_port_entry entry;
    struct base_list queued; /**< those that wait for room in the command queue, in order */
    uint32_t n_messages;

    /* Other things. */
    enum base_err error; /**< with ENDED, when not snapd ended it: else BASE_OK */
    struct pony_address to;
    struct base_list blocked; /**< in port->blocked or port->telling: wants on_writable */
    struct base_list ended;   /**< in port->ended or port->gone */
    char peer[PONY_PORT_PEER_MAX];
};

static_assert(offsetof(struct pony_port_conn, entry) == BASE_CACHE_LINE &&
                  offsetof(struct pony_port_conn, error) <=
                      (size_t)PONY_PORT_CONN_HOT_LINES * BASE_CACHE_LINE,
              "a message needs no other lines");

struct pony_port_listener {
    struct snapi_listener base;
    struct pony_port_entry entry;
    struct pony_port *port;
    const struct snapi_listener_events *events;
    void *arg;
    bool is_local;   /**< for applications of this host only */
    bool is_silent;  /**< unlisten() was called */
    uint8_t traffic; /**< enum shm_traffic */
    char address[PONY_ADDRESS_MAX];
};

enum pony_port_message_state {
    PONY_MESSAGE_BEGUN,
    PONY_MESSAGE_QUEUED,
    PONY_MESSAGE_POSTED,
    PONY_MESSAGE_HELD,  /**< snapd gave the memory back, but the connection is not open yet: CLOSED
                            may still say that it never left */
    PONY_MESSAGE_UNSENT /**< certainly never left; its sender is to be told */
};

/** One message from begin() to SENT: private, so that nobody can change it under us. */
struct pony_port_message {
    struct base_list link; /**< of its connection */
    struct pony_port_conn *conn;
    struct pony_port_span span;
    uint64_t tag;        /**< the caller's */
    uint32_t len;        /**< as it is sent */
    uint32_t span_bytes; /**< as it was begun */
    uint32_t command;    /**< count of the command that posted it */
    uint32_t epoch;      /**< of port->ahead, when it was begun */
    uint8_t state;       /**< enum pony_port_message_state */
};

/** A request over the control socket. */
struct pony_port_request {
    struct base_list link; /**< of port->requests */
    uint64_t id;
    bool is_sent;
    bool is_remember;
    void (*on_found)(void *arg, const char *address); /**< NULL: nobody asks any more */
    void *arg;
    char *target;
    char *address; /**< of a remember */
};

struct pony_port {
    struct snapi_transport base;
    struct snapi_poller *poller;
    const struct base_log *log;
    size_t max_message_bytes; /**< ours, or snapd's where that is less */
    size_t config_max_message_bytes;
    char *socket_name; /**< as configured, or NULL */
    char path[PONY_SOCKET_PATH_MAX];
    uint64_t now_ns; /**< of the last poll() */
    struct base_rng rng;

    /* Link. */
    enum pony_port_link link;
    bool has_control_event; /**< the socket has something to read, or room to write */
    bool is_lost;           /**< the attachment is over; loss.c ends it in the next poll() */
    bool is_liar;           /**< ... because snapd lied: its completions are not read */
    char reason[PONY_PORT_REASON_MAX]; /**< why not up */
    struct snapi_source control;       /**< fd -1: none */
    uint64_t ask_deadline_ns, retry_ns;
    uint64_t backoff_ns;
    uint64_t attach_id, next_id;
    struct base_list requests; /**< struct pony_port_request */
    uint32_t n_requests;

    /* Attachment. */
    struct pony_port_map map;
    struct snapi_source notification;
    bool is_armed;    /**< snapd was told that we sleep */
    bool is_deaf;     /**< ... and that SENT alone need not wake us */
    uint32_t n_ended; /**< connections that ended and may wait for messages to come back */
    bool must_ring;   /**< the doorbell is to be rung */
    struct pony_port_tx tx;
    struct base_pool messages; /**< struct pony_port_message */
    uint64_t tx_bytes;         /**< of them all */
    uint32_t n_said_again;     /**< begin() that said AGAIN, in all */
    bool is_paced;             /**< has_room() said no since blocked ones were told */

    struct {
        uint64_t bytes;    /**< of large messages begun in this epoch */
        uint32_t n;        /**< how many those are */
        uint32_t epoch;    /**< a stall begins the next one */
        uint64_t moved_ns; /**< the last time that one of them was done, or the first begun */
    } ahead;

    bool has_news; /**< since blocked ones were told: memory came back, or the port came up */
    struct shm_completion completions[PONY_PORT_BATCH];

    /* What lives at it. */
    struct base_slab conns_slab;        /**< struct pony_port_conn */
    struct base_pool numbers;           /**< struct pony_port_entry *; number = index + 1 */
    struct pony_port_accepted accepted; /**< those that the engine numbered */
    struct base_list conns, listeners, wanting, ended, gone, gone_listeners;
    struct base_list blocked; /**< connections that want on_writable */
    struct base_list telling; /**< those of them whose turn it is since there was news */
};

/* ---- link.c ---- */

/** Looks for snapd now. */
void pony_port_link_start(struct pony_port *port);
/** Closes the socket, says why, tries again later. Not for an attachment: that is lose(). */
void pony_port_link_stop(struct pony_port *port, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/** Reads replies, sends requests, sees the deadline. */
void pony_port_link_poll(struct pony_port *port);
uint64_t pony_port_link_deadline_ns(const struct pony_port *port);

/* ---- requests.c ---- */

void pony_port_requests_send(struct pony_port *port);
/** A reply that is not to Attach. False: it answers nothing that was asked. */
bool pony_port_requests_reply(struct pony_port *port, const Pony__Control__Reply *reply);
/** Answers all lookups with "" and forgets everything. `calls`: within poll(). */
void pony_port_requests_drop(struct pony_port *port, bool calls);
enum base_err pony_port_remember(struct snapi_transport *transport, const char *target,
                                 const char *address);
enum base_err pony_port_lookup(struct snapi_transport *transport, const char *target,
                               void (*on_found)(void *arg, const char *address), void *arg);
void pony_port_lookup_cancel(struct snapi_transport *transport, void *arg);

/* ---- loss.c ---- */

/** The attachment is over: everything of it ends in the next poll(). */
void pony_port_lose(struct pony_port *port, bool is_liar, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** Ends what was lost: unsent, closed, no address. Within poll(). */
void pony_port_end_attachment(struct pony_port *port);
/** Frees what an attachment has, without events. */
void pony_port_drop_attachment(struct pony_port *port);

/* ---- commands.c ---- */

/** Posts it, now or when there is room. */
void pony_port_want(struct pony_port *port, struct pony_port_entry *entry, uint8_t want);
/** Sends a message of `conn->messages`, now or when there is room. */
void pony_port_post_message(struct pony_port_message *message);
/** Posts what waits, as far as there is room. */
void pony_port_post_wanted(struct pony_port *port);
/** Publishes, and rings if snapd sleeps. */
void pony_port_publish(struct pony_port *port);

/** Gives it a number of ours. Errors  BASE_E_LIMIT, BASE_E_NOMEM */
BASE_MUST_USE enum base_err pony_port_number_take(struct pony_port *port,
                                                  struct pony_port_entry *entry);
/** Takes its number away, whoever chose it. */
void pony_port_number_give(struct pony_port *port, struct pony_port_entry *entry);

/** NULL: nothing has that number. */
static inline struct pony_port_entry *pony_port_find(struct pony_port *port, uint32_t number)
{
    if ((number & SHM_CONN_ACCEPTED) != 0) {
        return pony_port_accepted_find(&port->accepted, number);
    }
    struct pony_port_entry **slot = base_pool_at(&port->numbers, number - 1); /* of 0: beyond all */
    return slot != NULL ? *slot : NULL;
}

/* ---- conn.c ---- */

/** NULL: out of memory. `to` NULL: accepted. */
struct pony_port_conn *pony_port_conn_create(struct pony_port *port, const struct pony_address *to);
/** The attachment is there: opens those that wait. */
void pony_port_conns_open(struct pony_port *port);
/** No attachment will come soon: ends those that wait. */
void pony_port_conns_give_up(struct pony_port *port);
/** Its last event, unless it must wait for messages to come back. Within poll(). */
void pony_port_conn_settle(struct pony_port_conn *conn);
/** Ends it; the event follows by pony_port_conn_settle() from the next poll(). */
void pony_port_conn_end(struct pony_port_conn *conn, enum shm_reason reason, enum base_err error);
/** Nobody hears of it any more; it is freed at the end of poll(). */
void pony_port_conn_gone(struct pony_port_conn *conn);
void pony_port_conn_free(struct pony_port_conn *conn);
/** What is queued can no longer be sent: it is certainly unsent. */
void pony_port_conn_unqueue(struct pony_port_conn *conn);
/** Forgets a message; its memory is free. */
void pony_port_message_drop(struct pony_port_message *message);
/** Tells the sender of those that never left, drops others that are not at snapd. True: some are
 * still there. Within poll(). */
bool pony_port_conn_tell_unsent(struct pony_port_conn *conn);
/** It ended, and a message of it came back or there is something to tell: settle it soon. */
void pony_port_conn_unsettle(struct pony_port_conn *conn);

enum base_err pony_port_connect(struct snapi_transport *transport, const char *address,
                                enum snapi_traffic traffic, const struct snapi_conn_events *events,
                                void *arg, struct snapi_conn **conn);
enum base_err pony_port_begin(struct snapi_conn *base, size_t len, struct snapi_tx *tx);
size_t pony_port_max_message(const struct snapi_conn *base);
bool pony_port_has_room(struct snapi_conn *base);
void pony_port_send(struct snapi_conn *base, struct snapi_tx *tx, uint64_t tag);
void pony_port_abandon(struct snapi_conn *base, struct snapi_tx *tx);
void pony_port_close(struct snapi_conn *base, enum snapi_close how);
const char *pony_port_peer(const struct snapi_conn *base);

/* ---- listener.c ---- */

enum base_err pony_port_listen(struct snapi_transport *transport, const char *address,
                               enum snapi_traffic traffic,
                               const struct snapi_listener_events *events, void *arg,
                               struct snapi_listener **listener);
void pony_port_unlisten(struct snapi_listener *base);
const char *pony_port_listener_address(const struct snapi_listener *base);
/** The attachment is there: all listen at it. */
void pony_port_listeners_listen(struct pony_port *port);
/** The attachment is gone: none has an address. Within poll(). */
void pony_port_listeners_down(struct pony_port *port);
/** Its address changed. Within poll(). */
void pony_port_listener_set_address(struct pony_port_listener *listener, const char *address);

/* ---- reap.c ---- */

/** Takes at most `budget` completions and calls back. Returns how many. */
uint32_t pony_port_reap(struct pony_port *port, uint32_t budget);

#endif
