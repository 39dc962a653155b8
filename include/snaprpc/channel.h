/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPRPC_CHANNEL_H
#define SNAPRPC_CHANNEL_H

#include <snaprpc/export.h>
#include <snaprpc/loop.h>
#include <snaprpc/method.h>
#include <snaprpc/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Channel: a client's handle on one server, over whatever transports reach it.
 *
 * It connects by itself, in the background, again and again. Calls started before a transport is
 * ready wait for one until their deadline (or fail at once: snap_call_options.fail_fast).
 *
 * Threads  any number of threads may make calls on one channel
 */
struct snap_channel;

struct snap_channel_options {
    size_t size;                 /**< sizeof(struct snap_channel_options) */
    uint64_t default_timeout_us; /**< for calls that give none; 0: no deadline */
    uint32_t traffic;            /**< enum snap_traffic: of requests, and of their answers unless
                                      the server wants it otherwise */
    uint32_t reserved;           /**< 0 */
};

#define SNAP_CHANNEL_OPTIONS_INIT \
    { \
        sizeof(struct snap_channel_options), 0, 0, 0 \
    }

/**
 * Opens a channel. Returns at once; names are looked up before returning (this may block).
 *
 * @param target  "host:port", "10.0.0.1:7000", "[::1]:7000", "unix:/path",
 *                or "pony:HOST:UDPPORT/SERVICE" to name a server's Pony address outright
 *
 * Errors  INVALID_ARGUMENT target not of these forms, an option out of range; UNAVAILABLE name not
 *         found
 */
SNAP_API SNAP_MUST_USE struct snap_status snap_channel_open(
    struct snap_loop *loop, const char *target, const struct snap_channel_options *options,
    struct snap_channel **channel);

/**
 * Closes a channel. Calls in flight end with CANCELLED, their callbacks run before this returns
 * (when called from a callback: soon after it). NULL is fine.
 */
SNAP_API void snap_channel_close(struct snap_channel *channel);

/** Why calls go, or do not go, over Pony now. */
enum snap_why {
    SNAP_WHY_NONE = 0,         /**< nothing has been tried yet */
    SNAP_WHY_FORCED = 1,       /**< the application, target or environment chose this transport */
    SNAP_WHY_PONY_UP = 2,      /**< Pony reaches the server */
    SNAP_WHY_NO_SNAPD = 3,     /**< this host has no snapd that lets us in */
    SNAP_WHY_PEER_NO_PONY = 4, /**< the server has no Pony address */
    SNAP_WHY_PONY_CONNECTING = 5, /**< Pony was not ready yet when the call started */
    SNAP_WHY_PONY_FAILED = 6      /**< Pony was tried and broke or was refused; tried again later */
};

SNAP_API const char *snap_why_text(enum snap_why why);

/** What carried a call. */
struct snap_call_info {
    uint32_t transport;  /**< enum snap_transport; AUTO: the call never left this process */
    uint32_t why;        /**< enum snap_why */
    uint32_t attempts;   /**< times it was handed to a transport; > 1 only where that was safe */
    uint64_t elapsed_ns; /**< from start to end, exact to a turn of the loop: it looks at the clock
                              once per turn */
    char peer[64];       /**< address of the server as the transport names it */
};

struct snap_result {
    struct snap_status status;
    struct snap_call_info info;
};

struct snap_call_options {
    size_t size;                 /**< sizeof(struct snap_call_options) */
    uint64_t timeout_us;         /**< from now; 0: the channel's default */
    uint32_t idempotent;         /**< 1: may be run twice, whatever the method says */
    uint32_t fail_fast;          /**< 1: UNAVAILABLE at once when no transport is ready */
    struct snap_call_info *info; /**< out, blocking calls only; NULL: not wanted */
};

#define SNAP_CALL_OPTIONS_INIT \
    { \
        sizeof(struct snap_call_options), 0, 0, 0, NULL \
    }

struct snap_call_id {
    uint64_t v; /**< 0: no call */
};

/**
 * Makes a call and waits for its end.
 *
 * @param options   NULL for the defaults
 * @param response  set only when OK; the caller frees it with snap_message_free()
 *
 * Blocks   until the reply, the deadline, or the channel's end
 * Errors   any code; see struct snap_status. FAILED_PRECONDITION when called from a callback or
 *          handler of the same loop (it would wait for itself)
 */
SNAP_API SNAP_MUST_USE struct snap_status snap_channel_call(struct snap_channel *channel,
                                                            const struct snap_method *method,
                                                            const ProtobufCMessage *request,
                                                            const struct snap_call_options *options,
                                                            ProtobufCMessage **response);

/**
 * Starts a call and returns. `request` may be freed or changed as soon as this returns.
 *
 * The method's trampoline is called once, on the thread that drives the loop, never from within
 * this function; it calls `typed(arg, result, response)`. The response is the library's and is gone
 * when the callback returns, unless it takes it with snap_message_keep(). Until then the bytes of a
 * large field may lie where they arrived: read them, do not write there.
 *
 * Returns the call's number; 0: no call was made and nobody will be called back, because the
 * channel is being closed or memory is out.
 */
SNAP_API struct snap_call_id snap_channel_start(struct snap_channel *channel,
                                                const struct snap_method *method,
                                                const ProtobufCMessage *request,
                                                const struct snap_call_options *options,
                                                snap_any_fn *typed, void *arg);

/** Cancels a call: it ends with CANCELLED, or as it would have if that was already decided. */
SNAP_API void snap_channel_cancel(struct snap_channel *channel, struct snap_call_id id);

/** In a callback: makes the response the caller's, to be freed with snap_message_free(). Large fields
 *  are copied now: pointers into them that were taken before end with the callback. */
SNAP_API void snap_message_keep(ProtobufCMessage *response);

/** Frees a response. Any thread. NULL is fine. */
SNAP_API void snap_message_free(ProtobufCMessage *response);

/**
 * Goes to the server's library and back, past no handler.
 *
 * @param rtt_ns  full round trip, set only when OK
 *
 * Blocks, Errors  as snap_channel_call()
 */
SNAP_API SNAP_MUST_USE struct snap_status snap_channel_ping(struct snap_channel *channel,
                                                            const struct snap_call_options *options,
                                                            uint64_t *rtt_ns);

/** Which transport new calls take now, and why. */
SNAP_API void snap_channel_info(struct snap_channel *channel, struct snap_call_info *info);

/** Waits until the channel can carry calls (over Pony, if `want` is SNAP_TRANSPORT_PONY). */
SNAP_API SNAP_MUST_USE struct snap_status snap_channel_wait(struct snap_channel *channel,
                                                            enum snap_transport want,
                                                            uint64_t timeout_us);

#ifdef __cplusplus
}
#endif

#endif
