/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "base/list.h"
#include "base/wheel.h"
#include "rpc/frame.h"
#include "rpc/loop.h"
#include "rpc/message.h"

#include <snaprpc/channel.h>

struct snapi_path;

/**
 * Call: one RPC at the client, from start to end.
 *
 * Life     new -> waiting (for a path, or for room on one) <-> sent -> ended. Ended once.
 * Request  as encoded bytes (`body`, in `arena`, or in `small_body` where it is short) or as the caller's
 *          own message, which lives as long as the call does when the caller waits for it. A long one
 *          is not kept once sent where it is not needed again: a transport gives the bytes of unsent
 *          messages back.
 * Memory   from a pool that all channels of a loop share: with thousands of them, a call object that
 *          another channel just gave back is in the cache
 * Threads  owner of the loop
 */
enum snapi_call_state {
    SNAPI_CALL_WAITING,
    SNAPI_CALL_SENT,
    SNAPI_CALL_ENDED
};

enum {
    SNAPI_CALL_SMALL_BYTES = 128 /**< a request that is no longer is encoded into the call itself */
};

struct snapi_call {
    uint64_t id; /**< on the wire too; unique in its channel */
    struct snapi_call *next_in_bucket;
    struct base_list link; /**< of channel->waiting, path->blocked, path->sent or ended */
    struct base_timer deadline;
    struct snap_channel *channel;
    const struct snap_method *method; /**< NULL: a ping */
    struct snapi_path *path;          /**< that has it, or had it last; NULL: none yet */
    struct snapi_arena *arena;        /**< holds body and result; NULL: none */
    const uint8_t *body;              /**< the encoded request; NULL: encode `request` */
    size_t body_len;                  /**< of the request, encoded already or not */
    const ProtobufCMessage *request;  /**< the caller's; NULL: only body */
    uint64_t started_ns;              /**< 0 until it is begun: now */
    uint64_t timeout_ns;              /**< 0: none */
    uint8_t state;                    /**< enum snapi_call_state */
    bool is_idempotent;
    bool is_fail_fast;
    bool may_have_run; /**< an earlier attempt was lost on its way: only if idempotent */
    uint32_t attempts;
    uint32_t transport; /**< of the last attempt, enum snap_transport */
    uint32_t why;       /**< enum snap_why, when it was sent last */
    snap_any_fn *typed; /**< callback; NULL: the caller waits */
    void *arg;
    struct snapi_wait *wait;    /**< of the caller that waits */
    struct snap_result *result; /**< of a deferred callback, in arena; NULL: no memory */
    uint8_t small_body[SNAPI_CALL_SMALL_BYTES];
};

/** What a call counts for in channel->waiting_bytes while it waits: its own copy of the request. */
static inline size_t snapi_call_waiting_bytes(const struct snapi_call *call)
{
    return call->body != NULL ? call->body_len : 0;
}

/** A caller that waits: on its stack. */
struct snapi_wait {
    struct snapi_waiter waiter;
    struct snap_result result;
    ProtobufCMessage *response;
};

/** A call to be filled in and begun: method, body, body_len, timeout_ns and the first two flags must be
 *  set, the rest where it is wanted. NULL: memory is out. */
struct snapi_call *snapi_call_new(struct snap_channel *channel);

/** Hands a new call to a path, or lets it wait for one. Never calls back. `request` without a body has to
 *  stay until this returns, or, where the caller waits, until the call ends. */
void snapi_call_begin(struct snapi_call *call);

/** Ends a call: callback at once within an iteration, else in the next one; the waiter is told.
 *  The call is gone after it. `response` goes with it. */
void snapi_call_end(struct snapi_call *call, const struct snap_status *status,
                    ProtobufCMessage *response);

/** Ends a call because its time is up or its caller does not want it any more. Where it waited for
 *  the server's HELLO, what waited behind it is sent. */
void snapi_call_give_up(struct snapi_call *call, const struct snap_status *status);

/** Ends a call in the transport's name: UNAVAILABLE with what is known about having run. */
void snapi_call_end_unavailable(struct snapi_call *call, const char *what);

/** Hands a call that is in no list to a path, if one is ready, else lets it wait for one, or ends
 *  it if it may not wait. */
void snapi_call_dispatch(struct snapi_call *call);

/** Puts a call whose path broke back to those that wait for a path. `data` as in on_unsent; NULL:
 *  what was kept is sent again. */
void snapi_call_requeue(struct snapi_call *call, const uint8_t *data, size_t len);

/** The server's answer. */
void snapi_call_on_response(struct snapi_call *call, const struct snapi_frame *frame);

/** Sends the call over `path`. False: the call is unchanged; there is no room now (path->is_full),
 *  or it has to wait for the server's HELLO (PR-26). */
bool snapi_call_send(struct snapi_call *call, struct snapi_path *path);

/** Runs the callbacks of calls that ended outside of an iteration. */
void snapi_calls_run_ended(struct snap_channel *channel);

#endif
