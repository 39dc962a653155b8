/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_TRANSPORT_RIG_H
#define TESTS_SUPPORT_TRANSPORT_RIG_H

#include "rpc/poller_run.h"
#include "tests/support/cmocka_all.h"
#include "transport/transport.h"

#include <stdbool.h>

/**
 * Rig: a client's and a server's transport of one kind in one thread, for tests. Each has a poller
 * of its own, so that either can be left asleep.
 *
 * Shape    rig_wait(cond) drives both until cond holds and fails the test after RIG_TIMEOUT_S.
 *          Messages carry an id and a pattern that is checked on arrival.
 * Memory   struct rig_end records what happened to a connection; it outlives the connection
 */
enum {
    RIG_TIMEOUT_S = 30,
    RIG_ENDS_MAX = 2048,
    RIG_TAGS_MAX = 4096,
    RIG_MAX_MESSAGE_BYTES = 64 << 20
};

/** How one transport is reached; one per row of the conformance suite. */
struct transport_fixture {
    const char *name; /**< of the row: "tcp-inet" */
    const struct snapi_transport_ops *ops;
    /** Starts what the transport needs (a snapd, a folder); non-zero: the row is skipped. */
    int (*setup)(const struct transport_fixture *fixture);
    void (*teardown)(const struct transport_fixture *fixture);
    const char *(*listen_address)(void);
    /** What connect() takes, from what listener_address() says. `out` has 256 bytes. */
    void (*connect_address)(const char *listener_address, char *out);
    const char *(*refused_address)(void); /**< well formed, and nobody is there */
    const char *snapd_socket;
    const char *server_snapd_socket; /**< the server's; NULL: the same */
    bool is_listen_exclusive;        /**< the same address cannot be listened at twice */
    bool obeys_given_time;           /**< its timeouts follow poll()'s now_ns alone */
};

struct rig;
struct rig_end;

/** Called within the event; may do anything to the connection. NULL: nothing. */
typedef void rig_hook(struct rig_end *end);

/** One end of a connection. */
struct rig_end {
    struct rig *rig;
    const struct snapi_transport_ops *ops;
    struct snapi_conn *conn; /**< NULL once it is gone */
    uint32_t n_opened;
    uint32_t n_messages;
    uint32_t n_writable;
    uint32_t n_closed;
    uint32_t n_bad;   /**< messages whose bytes are not as sent */
    uint64_t n_bytes; /**< in messages */
    uint64_t last_id;
    size_t last_len;
    struct snapi_closed why;
    uint32_t n_unsent;
    uint64_t unsent[RIG_TAGS_MAX];
    uint8_t *seen; /**< [ids] how often each id came; NULL: not counted */
    uint64_t n_ids;
    rig_hook *on_open;
    rig_hook *on_message;
    rig_hook *on_writable;
    rig_hook *on_unsent;
    rig_hook *on_closed;
    void *arg; /**< the hooks' */
};

struct rig {
    enum snapi_traffic traffic; /**< of connections made from now on */
    const struct transport_fixture *fixture;
    struct snapi_poller client_poller;
    struct snapi_poller server_poller;
    struct snapi_transport *client;
    struct snapi_transport *server; /**< NULL after rig_kill_server() */
    struct snapi_listener *listener;
    char address[256];             /**< for connect() */
    uint64_t skew_ns;              /**< added to the clock that the transports are told */
    bool is_server_asleep;         /**< neither the server's transport nor its poller is driven */
    bool refuses;                  /**< on_accept says no */
    rig_hook *on_accepted;         /**< for accepted connections, within on_accept */
    rig_hook *on_accepted_message; /**< their on_message */
    uint32_t n_ends;
    struct rig_end *ends[RIG_ENDS_MAX]; /**< accepted ones, in order */
    uint32_t n_made;
    struct rig_end *made[RIG_ENDS_MAX]; /**< connected ones */
};

/** A whole rig with a listener. */
void rig_open(struct rig *rig, const struct transport_fixture *fixture);
void rig_close(struct rig *rig);

/** Destroys the server's transport, as if its process had ended. */
void rig_kill_server(struct rig *rig);

/** A connection that is being made. The rig frees it. */
struct rig_end *rig_connect(struct rig *rig, const char *address);

/** Connects and waits for both ends: accepted[0] is rig->ends[n - 1]. */
struct rig_end *rig_pair(struct rig *rig, struct rig_end **accepted);

/** One turn of the loop; sleeps at most a millisecond when there is nothing to do. */
void rig_turn(struct rig *rig);

/** Sends one message with id and pattern, of 0 or more bytes (the id needs 8). */
enum base_err rig_send(struct rig_end *end, uint64_t id, size_t len);

/** The same; BASE_OK or the test fails. */
void rig_must_send(struct rig_end *end, uint64_t id, size_t len);

void rig_close_conn(struct rig_end *end, enum snapi_close how);

/** Sends messages of `len` bytes with ids from *next on until begin() says BASE_AGAIN. */
void rig_send_until_full(struct rig_end *end, uint64_t *next, size_t len);

bool rig_is_unsent(const struct rig_end *end, uint64_t tag);

/** Counts how often each id below n_ids arrives. */
void rig_count_ids(struct rig_end *end, uint64_t n_ids);

uint64_t rig_deadline(void);
void rig_check_deadline(uint64_t deadline, const char *cond, const char *file, int line);

#define rig_wait(rig, cond) \
    do { \
        uint64_t rig_deadline_ = rig_deadline(); \
        while (!(cond)) { \
            rig_turn(rig); \
            rig_check_deadline(rig_deadline_, #cond, __FILE__, __LINE__); \
        } \
    } while (0)

#endif
