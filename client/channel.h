/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_CHANNEL_H
#define CLIENT_CHANNEL_H

#include "base/lines.h"
#include "base/pool.h"
#include "base/rng.h"
#include "client/call.h"
#include "client/path.h"
#include "client/target.h"

#include <assert.h>

/**
 * Channel's inside: the two paths, and the calls.
 *
 * Threads  owner of the loop, but next_id
 */
enum {
    SNAPI_BUCKETS_MIN = 8,
    SNAPI_CALLS_MAX = 1 << 20,        /**< in flight in one channel */
    SNAPI_WAITING_BYTES_MAX = 1 << 28 /**< of requests that wait for a path or for room */
};

/* With thousands of channels each call finds its channel's memory cold: what calls over Pony use lies
 * in the first lines. `pony` comes first, because it is what the transport knows of us: it prefetches
 * from there on, see SNAPI_CONN_ARG_LINES. */
struct snap_channel {
    struct snapi_path pony;

    /* Line 3. */
    struct snap_loop *loop;
    struct base_pool *pool;      /**< of struct snapi_call; of all channels of the loop */
    struct snapi_call **buckets; /**< [n_buckets] by id; first_buckets as long as they suffice */
    uint32_t n_buckets;          /**< power of two */
    uint32_t n_calls;
    _Atomic uint64_t next_id; /**< any thread */
    uint64_t default_timeout_us;
    enum snap_transport choice; /**< AUTO, or forced */
    uint32_t traffic;           /**< enum snap_traffic */
    bool is_beginning;          /**< within a function of the application: callbacks have to wait */
    bool is_closing;
    bool is_peer_without_pony; /**< the server said so */

    /* Line 4. */
    struct snapi_call *first_buckets[SNAPI_BUCKETS_MIN];

    /* Other things. */
    struct snapi_path tcp;
    size_t waiting_bytes;
    struct base_list waiting;     /**< calls without a path, oldest first */
    struct base_list ended;       /**< calls whose callback is still to be run */
    struct base_list ready_waits; /**< of snap_channel_wait() */
    struct snapi_work run_ended;
    struct snapi_work close;
    struct snapi_waiter *closer; /**< waits in snap_channel_close(); NULL: free by ourselves */
    struct snapi_member member;
    struct base_rng rng;  /**< jitter */
    uint32_t logged_kind; /**< the transport last named in the log */
    struct snapi_target target;
    struct snapi_path_texts pony_texts, tcp_texts;
};

static_assert(offsetof(struct snap_channel, loop) == sizeof(struct snapi_path) &&
                  sizeof(struct snapi_path) % BASE_CACHE_LINE == 0 &&
                  offsetof(struct snap_channel, tcp) <=
                      (size_t)SNAPI_CONN_ARG_LINES * BASE_CACHE_LINE,
              "a call needs no other lines");

/** The path for a new call, or NULL. `why` is set in any case. */
struct snapi_path *snapi_channel_choose(struct snap_channel *channel, uint32_t *why);

/** A path came up, or got room: calls that wait go on. */
void snapi_channel_on_ready(struct snap_channel *channel);

/** A path broke or could not be made: calls that may not wait end. */
void snapi_channel_on_failed(struct snap_channel *channel);

/** Says in the log which transport carries calls now and why, if that changed. */
void snapi_channel_log_choice(struct snap_channel *channel);

/** The last thing that went wrong, for messages: of TCP if it was tried, else of Pony. */
const char *snapi_channel_trouble(const struct snap_channel *channel);

#endif
