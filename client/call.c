/* SPDX-License-Identifier: Apache-2.0 */
#include "client/call.h"

#include "client/by_id.h"
#include "client/call_internal.h"
#include "rpc/status.h"

#include <string.h>

/**
 * From the start of a call to a path that takes it: at once, or after it has waited.
 */
enum {
    RESENDS_MAX = 16 /* attempts of one call; more means that something is broken for good */
};

/* ---- waiting ---- */

/** Memory of the call for its request. NULL: there is none. */
static uint8_t *body_room(struct snapi_call *call)
{
    if (call->body_len <= SNAPI_CALL_SMALL_BYTES) {
        return call->small_body;
    }
    if (call->arena == NULL) {
        call->arena = snapi_arena_take_owned(snapi_loop_arenas(call->channel->loop));
    }
    return call->arena == NULL ? NULL : base_arena_alloc(&call->arena->mem, call->body_len);
}

/** Encodes a long request into memory of the call. False: the call was ended. */
static bool keep_body(struct snapi_call *call)
{
    if (call->body != NULL || call->request == NULL) {
        return true;
    }
    uint8_t *body = body_room(call);
    if (body == NULL) {
        struct snap_status status =
            snapi_status_of(SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, SNAP_RAN_NO,
                            "no memory for a request of %zu bytes", call->body_len);
        snapi_call_end(call, &status, NULL);
        return false;
    }
    snapi_message_pack(call->request, call->body_len, body);
    call->body = body;
    return true;
}

/** Puts a call behind the others in `list`, with what it needs to be sent later. */
static void let_wait(struct snapi_call *call, struct base_list *list)
{
    struct snap_channel *channel = call->channel;
    bool is_callers = call->wait != NULL && call->request != NULL;
    if (!is_callers && !keep_body(call)) {
        return;
    }
    if (channel->more->waiting_bytes + snapi_call_waiting_bytes(call) > SNAPI_WAITING_BYTES_MAX) {
        struct snap_status status = snapi_status_of(
            SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, snapi_call_ran(call),
            "%zu bytes of requests wait for %s already (limit %d)", channel->more->waiting_bytes,
            channel->more->target.text, (int)SNAPI_WAITING_BYTES_MAX);
        snapi_call_end(call, &status, NULL);
        return;
    }
    call->state = SNAPI_CALL_WAITING;
    channel->more->waiting_bytes += snapi_call_waiting_bytes(call);
    base_list_add_tail(list, &call->link);
}

static inline void dispatch(struct snapi_call *call)
{
    struct snap_channel *channel = call->channel;
    struct snapi_path *path = snapi_channel_choose(channel, &call->why);
    if (path == NULL) {
        if (call->is_fail_fast && (channel->more->tcp.has_failed || channel->pony.has_failed)) {
            snapi_call_end_unavailable(call, snapi_channel_trouble(channel));
        } else {
            let_wait(call, &channel->more->waiting);
        }
        return;
    }
    if (path->is_full || !base_list_is_empty(&path->blocked) || !snapi_call_send(call, path)) {
        let_wait(call, &path->blocked);
    }
}

void snapi_call_dispatch(struct snapi_call *call)
{
    dispatch(call);
}

void snapi_call_requeue(struct snapi_call *call, const uint8_t *data, size_t len)
{
    struct snap_channel *channel = call->channel;
    snapi_call_leave_lists(call);
    call->state = SNAPI_CALL_WAITING;
    if (call->attempts >= RESENDS_MAX) {
        snapi_call_end_unavailable(call, "gave up after too many attempts");
        return;
    }
    struct snapi_frame frame;
    if (call->body == NULL && call->request == NULL && call->method != NULL) {
        if (data == NULL || snapi_frame_parse(data, len, &frame) != BASE_OK) {
            snapi_call_end_unavailable(call, "the request was not kept");
            return;
        }
        call->body_len = frame.body_len;
        uint8_t *body = body_room(call);
        if (body == NULL) {
            snapi_call_end_unavailable(call, "no memory to keep the request");
            return;
        }
        memcpy(body, frame.body, frame.body_len);
        call->body = body;
    }
    let_wait(call, &channel->more->waiting);
}

/* ---- begin ---- */

struct snapi_call *snapi_call_new(struct snap_channel *channel)
{
    base_prefetch_lines(channel->pony.conn, SNAPI_CONN_LINES); /* needed last, so asked for first */
    struct snapi_call *call = base_pool_take_unset(channel->pool, NULL);
    if (call == NULL) {
        return NULL;
    }
    base_list_init(&call->link);
    base_timer_init(&call->deadline, snapi_call_on_deadline);
    call->id = channel->next_id++;
    call->channel = channel;
    call->path = NULL;
    call->arena = NULL;
    call->request = NULL;
    call->started_ns = 0;
    call->state = SNAPI_CALL_WAITING;
    call->may_have_run = false;
    call->attempts = 0;
    call->transport = SNAP_TRANSPORT_AUTO;
    call->why = SNAP_WHY_NONE;
    call->typed = NULL;
    call->arg = NULL;
    call->wait = NULL;
    call->result = NULL;
    return call;
}

__attribute__((noinline)) static void end_over_limit(struct snapi_call *call)
{
    const struct snap_status status =
        snapi_status_of(SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, SNAP_RAN_NO,
                        "%d calls are in flight on this channel (its limit)", (int)SNAPI_CALLS_MAX);
    snapi_call_end(call, &status, NULL);
}

/* PR-25 */
__attribute__((noinline)) static void end_over_own_limit(struct snapi_call *call)
{
    const struct snap_status status = snapi_status_of(
        SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, SNAP_RAN_NO,
        "the request of %s has %zu bytes; max_message_bytes is %zu", call->method->name,
        call->body_len, snapi_loop_max_message(call->channel->loop));
    snapi_call_end(call, &status, NULL);
}

/* From now on, or from when the caller handed it over to us. */
static void start_clock(struct snapi_call *call)
{
    struct snap_loop *loop = call->channel->loop;
    bool is_now = call->started_ns == 0;
    if (is_now) {
        call->started_ns = snapi_loop_now(loop);
    }
    if (call->timeout_ns == 0) {
        return;
    }
    if (is_now) {
        snapi_loop_timer_start(loop, &call->deadline, call->timeout_ns);
    } else {
        snapi_loop_timer_add(loop, &call->deadline,
                             base_add_sat_u64(call->started_ns, call->timeout_ns));
    }
}

void snapi_call_begin(struct snapi_call *call)
{
    struct snap_channel *channel = call->channel;
    bool is_async = call->wait == NULL;
    snapi_calls_add(channel, call);
    start_clock(call);
    channel->is_beginning = true;
    if (channel->n_calls > SNAPI_CALLS_MAX) {
        end_over_limit(call);
    } else if (call->body_len > snapi_loop_max_message(channel->loop)) {
        end_over_own_limit(call);
    } else if (call->body != NULL || !is_async || !call->is_idempotent || keep_body(call)) {
        dispatch(call);
    }
    channel->is_beginning = false;
    if (is_async) {
        call->request = NULL; /* the application's; a call that ended is still there */
    }
}
