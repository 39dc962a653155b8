/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_PATH_H
#define CLIENT_PATH_H

#include "base/list.h"
#include "base/wheel.h"
#include "client/target.h"
#include "transport/transport.h"

#include <snaprpc/channel.h>

struct snapi_call;

/**
 * Path: one transport's connection to the server, made and made again by itself.
 *
 * States   OFF   not used: forced away, or this build has no such transport
 *          IDLE  waits for its retry timer, or (Pony) for an address
 *          CONNECTING, UP
 * Threads  owner of the loop
 */
enum {
    SNAPI_PATH_PEER_MAX = 64
};

enum snapi_path_state {
    SNAPI_PATH_OFF,
    SNAPI_PATH_IDLE,
    SNAPI_PATH_CONNECTING,
    SNAPI_PATH_UP
};

/* One cache line: what a call needs to be sent. With thousands of channels each of them is cold. */
struct snapi_path {
    struct snap_channel *channel;
    struct snapi_conn *conn;  /**< CONNECTING, UP */
    uint64_t max_body;        /**< what may be sent now: what HELLO says the server takes */
    struct base_list sent;    /**< calls in flight here */
    struct base_list blocked; /**< calls chosen for here, waiting for room, or, the first and so the
                                   others, for HELLO */
    uint8_t state;            /**< enum snapi_path_state */
    uint8_t kind;             /**< enum snap_transport */
    bool has_hello;           /**< until then longer requests wait. PR-26 */
    bool is_full;             /**< begin() said AGAIN; on_writable follows */
    bool is_going_away;       /**< the server takes no new calls here */
    bool is_looking_up;       /**< snapd was asked for the address */
    bool has_failed;          /**< since it was up last, or from the start */
    uint8_t addr_idx;         /**< TCP: which of the target's addresses is tried next; wraps */
};

/** The rest of a path, which calls do not need. */
struct snapi_path_more {
    struct snapi_path *path;
    struct snapi_transport *transport;
    uint64_t backoff_ns; /**< next wait after a failure */
    struct base_timer retry;
    char address[SNAPI_TARGET_MAX]; /**< Pony: the server's; "" while not known */
    char error[192];                /**< why it failed last; "" */
};

struct snapi_path_more *snapi_path_more(const struct snapi_path *path);

/** Prepares; starts nothing. */
void snapi_path_init(struct snapi_path *path, struct snap_channel *channel,
                     enum snap_transport kind, struct snapi_transport *transport);

/** Starts connecting, or asks for the address first. */
void snapi_path_start(struct snapi_path *path);

/** Ends it: no event after this. Calls on it must have been taken away. */
void snapi_path_fini(struct snapi_path *path);

/** Pony: the server says where it is ("" for nowhere). Connects if that is news. */
void snapi_path_set_address(struct snapi_path *path, const char *address);

/** Whether new calls may be given to it. */
static inline bool snapi_path_is_ready(const struct snapi_path *path)
{
    return path->state == SNAPI_PATH_UP && !path->is_going_away;
}

/** Room came, or HELLO, or the first that was blocked is gone: sends what is blocked. */
void snapi_path_send_blocked(struct snapi_path *path);

/** Tells the server that nobody waits for this call any more. Best effort. */
void snapi_path_send_cancel(struct snapi_path *path, uint64_t id);

#endif
