/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_SCRIPTED_PEER_H
#define TESTS_SUPPORT_SCRIPTED_PEER_H

#include "rpc/frame.h"
#include "rpc/loop.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * A server for tests of client/ that answers frames as the test says, over the transports of the
 * test's loop. It takes frames apart, but knows no services.
 *
 * Threads  the one that drives the loop; the fields may be read and set between iterations
 */
enum peer_mode {
    PEER_ECHO,    /**< the request's body comes back */
    PEER_SILENT,  /**< no answer */
    PEER_REFUSE,  /**< NOT_FOUND "no such thing", after having run */
    PEER_NOT_RUN, /**< UNAVAILABLE and not run */
    PEER_GARBAGE  /**< bytes that are no frame */
};

enum {
    PEER_CONNS_MAX = 64
};

struct scripted_peer {
    struct snap_loop *loop;
    struct snapi_listener *tcp;
    struct snapi_listener *pony; /**< NULL: listens over TCP only */
    enum peer_mode mode;
    bool has_pony_address; /**< says so in its HELLO */
    bool is_mute;          /**< says no HELLO: the test does, with peer_say() */
    struct snapi_conn *conns[PEER_CONNS_MAX];
    bool is_pony[PEER_CONNS_MAX];
    uint32_t n_conns;
    uint32_t n_hellos, n_requests, n_cancels;
    uint64_t last_id;
    uint64_t last_timeout_us;
    uint64_t last_max_body; /**< of the HELLO that came last */
    bool was_idempotent;
};

/** Listens at `tcp_address`, and over Pony if `with_pony`. As owner (snapi_loop_exec). */
void peer_listen(struct scripted_peer *peer, const char *tcp_address, bool with_pony);

/** Sends a frame to all clients. As owner. */
void peer_say(struct scripted_peer *peer, const struct snapi_frame *frame);

void peer_stop(struct scripted_peer *peer);

#endif
