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
#include <stdalign.h>

/**
 * Channel's inside: the two paths, and the calls.
 *
 * Threads  owner of the loop, but next_outer_id
 */
#define SNAPI_OUTER_ID (UINT64_C(1) << 63) /**< where the numbers of next_outer_id begin */

enum {
    SNAPI_CHANNEL_LINES = 3,          /**< cache lines that a call over Pony uses */
    SNAPI_CALLS_MAX = 1 << 20,        /**< in flight in one channel */
    SNAPI_WAITING_BYTES_MAX = 1 << 28 /**< of requests that wait for a path or for room */
};

/* With thousands of channels each call finds its channel's memory cold: this is what a call over Pony
 * needs, from a slab of the loop in which all channels lie behind each other; the rest is in `more`.
 * What a call needs to be sent is in the first two lines, what it needs when it ends in the third.
 * `pony` comes first because it is what the transport knows of us: it prefetches from there on. */
struct snap_channel {
    /* Line 0. */
    struct snapi_path pony;

    /* Line 1. */
    struct snap_loop *loop;
    struct base_pool *pool; /**< of struct snapi_call; of all channels of the loop */

    union {                             /**< calls by id; a channel mostly has one in flight */
        struct snapi_call *only_bucket; /**< n_buckets is 1 */
        struct snapi_call **buckets;    /**< [n_buckets] */
    };
    struct snapi_channel_more *more;
    uint64_t next_id;
    uint64_t default_timeout_us;
    uint32_t n_buckets; /**< power of two */
    uint32_t n_calls;
    uint8_t choice;    /**< enum snap_transport: AUTO, or forced */
    uint8_t traffic;   /**< enum snap_traffic */
    bool is_beginning; /**< within a function of the application: callbacks have to wait */
    bool is_closing;
    bool is_peer_without_pony; /**< the server said so */

    /* Line 2. */
    alignas(BASE_CACHE_LINE) char pony_peer[SNAPI_PATH_PEER_MAX];
};

static_assert(sizeof(struct snapi_path) == BASE_CACHE_LINE &&
                  offsetof(struct snap_channel, loop) == BASE_CACHE_LINE &&
                  offsetof(struct snap_channel, pony_peer) == (size_t)2 * BASE_CACHE_LINE &&
                  sizeof(struct snap_channel) == (size_t)SNAPI_CHANNEL_LINES * BASE_CACHE_LINE,
              "as the comments say");

/** What calls over Pony do not need. */
struct snapi_channel_more {
    struct snap_channel *channel;
    struct snapi_path tcp;
    struct snapi_path_more pony_more, tcp_more;
    char tcp_peer[SNAPI_PATH_PEER_MAX];
    _Atomic uint64_t next_outer_id; /**< any thread: of calls that the owner has yet to begin */
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
};

/** [SNAPI_PATH_PEER_MAX] who is at the other end of its connection, for snap_call_info. */
static inline char *snapi_path_peer(const struct snapi_path *path)
{
    struct snap_channel *channel = path->channel;
    return path->kind == SNAP_TRANSPORT_PONY ? channel->pony_peer : channel->more->tcp_peer;
}

/** The path for a new call, or NULL. `why` is set in any case. */
static inline struct snapi_path *snapi_channel_choose(struct snap_channel *channel, uint32_t *why);

/** snapi_channel_choose() where Pony is not ready. */
struct snapi_path *snapi_channel_choose_other(struct snap_channel *channel, uint32_t *why);

static inline struct snapi_path *snapi_channel_choose(struct snap_channel *channel, uint32_t *why)
{
    if (!snapi_path_is_ready(&channel->pony)) {
        return snapi_channel_choose_other(channel, why);
    }
    *why = channel->choice == SNAP_TRANSPORT_PONY ? SNAP_WHY_FORCED : SNAP_WHY_PONY_UP;
    return &channel->pony;
}

/** A path came up, or got room: calls that wait go on. */
void snapi_channel_on_ready(struct snap_channel *channel);

/** A path broke or could not be made: calls that may not wait end. */
void snapi_channel_on_failed(struct snap_channel *channel);

/** Says in the log which transport carries calls now and why, if that changed. */
void snapi_channel_log_choice(struct snap_channel *channel);

/** The last thing that went wrong, for messages: of TCP if it was tried, else of Pony. */
const char *snapi_channel_trouble(const struct snap_channel *channel);

#endif
