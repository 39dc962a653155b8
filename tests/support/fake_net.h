/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_FAKE_NET_H
#define TESTS_SUPPORT_FAKE_NET_H

#include "base/compiler.h"
#include "base/list.h"
#include "tests/support/fake_transport.h"

#include <pthread.h>
#include <stdalign.h>

/**
 * What the files of the fake transports share; nobody else includes this.
 *
 *   fake_transport.c  transports: what is due is delivered, in the order of a real one
 *   fake_conns.c      listeners and connections
 *   fake_net.c        the network that all of a process are in: the test's switches, addresses
 *
 * Threads  each transport is its loop's; what lies between them is under the network's lock
 */
enum {
    FAKE_KINDS = SNAP_TRANSPORT_TCP + 1,
    FAKE_ADDRESS_MAX = 80,
    FAKE_REMEMBER_MAX = 16
};

struct fake_msg {
    struct base_list link;
    uint64_t tag;
    size_t len;
    alignas(8) uint8_t data[];
};

struct fake_transport {
    struct snapi_transport base;
    enum snap_transport kind;
    struct base_list link;      /* of all transports */
    struct base_list conns;     /* struct fake_conn */
    struct base_list listeners; /* struct fake_listener */
    struct base_list lookups;   /* struct fake_lookup */
    struct snapi_poller *poller;
    struct snapi_source wake;
    size_t max_message_bytes;
};

struct fake_listener {
    struct snapi_listener base;
    struct fake_transport *owner;
    struct base_list link;
    const struct snapi_listener_events *events;
    void *arg;
    char address[FAKE_ADDRESS_MAX];
    char told[FAKE_ADDRESS_MAX]; /* what on_address said last */
};

struct fake_conn {
    struct snapi_conn base;
    struct fake_transport *owner;
    struct base_list link;
    struct fake_conn *peer; /* NULL: gone */
    const struct snapi_conn_events *events;
    void *arg;
    struct fake_listener *listener; /* still to be accepted */
    struct base_list inbox;
    struct base_list outbox;
    bool is_opening; /* on_open is due */
    bool is_hanging;
    bool is_closing; /* close(FLUSH) */
    bool wants_room; /* on_writable is due when AGAIN is off */
    bool is_ended;   /* on_closed is due when the inbox is empty */
    bool is_broken;  /* on_closed is due at once */
    enum base_err end_err;
};

struct fake_lookup {
    struct base_list link;
    void (*on_found)(void *arg, const char *address);
    void *arg;
    char target[FAKE_ADDRESS_MAX];
};

struct fake_net {
    pthread_mutex_t lock;
    struct base_list transports;
    size_t max_message[FAKE_KINDS]; /* 0: as configured */
    bool is_again[FAKE_KINDS];
    uint32_t n_again[FAKE_KINDS]; /* begin() that said so */
    bool is_full[FAKE_KINDS];
    bool is_held[FAKE_KINDS];
    bool is_refused[FAKE_KINDS];
    bool is_hung[FAKE_KINDS];
    enum snapi_transport_state state[FAKE_KINDS];
    uint32_t n_listeners;

    struct {
        char target[FAKE_ADDRESS_MAX];
        char address[FAKE_ADDRESS_MAX];
    } remembered[FAKE_REMEMBER_MAX];
};

extern struct fake_net fake_net;

static inline struct fake_transport *fake_of(const struct snapi_transport *transport)
{
    return base_container_of(transport, struct fake_transport, base);
}

static inline struct fake_conn *fake_conn_of(const struct snapi_conn *conn)
{
    return base_container_of(conn, struct fake_conn, base);
}

/* fake_net.c */
void fake_lock(void);
void fake_unlock(void);
void fake_wake(struct fake_transport *t);
void fake_wake_all(enum snap_transport kind);

enum base_err fake_remember(struct snapi_transport *transport, const char *target,
                            const char *address);
enum base_err fake_look_up(struct snapi_transport *transport, const char *target,
                           void (*on_found)(void *arg, const char *address), void *arg);
void fake_look_up_no_more(struct snapi_transport *transport, void *arg);

/* fake_conns.c; locked: the first four */
const char *fake_address_now(const struct fake_listener *listener);
void fake_push_out(struct fake_transport *t);
void fake_free_msgs(struct base_list *box);
void fake_free_conn(struct fake_conn *conn, enum base_err err);

enum base_err fake_listen(struct snapi_transport *transport, const char *address,
                          enum snapi_traffic traffic, const struct snapi_listener_events *events,
                          void *arg, struct snapi_listener **listener);
void fake_unlisten(struct snapi_listener *listener);
const char *fake_listener_address(const struct snapi_listener *listener);
enum base_err fake_connect(struct snapi_transport *transport, const char *address,
                           enum snapi_traffic traffic, const struct snapi_conn_events *events,
                           void *arg, struct snapi_conn **conn);
size_t fake_max_message(const struct snapi_conn *conn);
enum base_err fake_begin(struct snapi_conn *conn, size_t len, struct snapi_tx *tx);
bool fake_has_room(struct snapi_conn *conn);
void fake_send(struct snapi_conn *conn, struct snapi_tx *tx, uint64_t tag);
void fake_abandon(struct snapi_conn *conn, struct snapi_tx *tx);
void fake_close(struct snapi_conn *conn, enum snapi_close how);
const char *fake_peer(const struct snapi_conn *conn);

#endif
