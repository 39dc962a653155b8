/* SPDX-License-Identifier: Apache-2.0 */
#include "client/by_id.h"
#include "client/call_internal.h"
#include "rpc/status.h"

#include <inttypes.h>
#include <string.h>

/**
 * How a call ends: by the server's answer, its deadline, or what went wrong; and who is told.
 */

/** When it began: when its deadline began to count, where that was later (snapi_loop_timer_start()). */
static inline uint64_t began_ns(const struct snapi_call *call)
{
    return base_max_u64(call->started_ns, call->deadline.deadline_ns - call->timeout_ns);
}

static void fill_result(const struct snapi_call *call, const struct snap_status *status,
                        struct snap_result *result)
{
    result->status.code = status->code;
    result->status.origin = status->origin;
    result->status.ran = status->ran;
    if (status->message[0] == '\0') {
        result->status.message[0] = '\0';
    } else {
        memcpy(result->status.message, status->message, strlen(status->message) + 1);
    }
    result->info.transport = call->transport;
    result->info.why = call->why;
    result->info.attempts = call->attempts;
    result->info.elapsed_ns = base_sub_sat_u64(snapi_loop_now(call->channel->loop), began_ns(call));
    if (call->path != NULL) {
        memcpy(result->info.peer, snapi_path_peer(call->path), SNAPI_PATH_PEER_MAX);
    } else {
        result->info.peer[0] = '\0';
    }
}

static inline void free_call(struct snapi_call *call)
{
    if (call->arena != NULL) {
        snapi_arena_give_owned(call->arena);
    }
    base_pool_put(call->channel->pool, call);
}

static void run_callback(const struct snapi_call *call, const struct snap_result *result,
                         ProtobufCMessage *response)
{
    bool is_kept = false;
    if (response != NULL) {
        snapi_message_watch(response, &is_kept);
    }
    if (call->typed != NULL) {
        call->method->done(call->typed, call->arg, result, response);
    }
    if (response != NULL && !is_kept) {
        snapi_arena_give_owned(snapi_message_arena(response));
    }
}

/** Whether the end of a call runs its callback at once. */
static bool may_run_callback(const struct snapi_call *call)
{
    const struct snap_channel *channel = call->channel;
    return call->wait == NULL && !channel->is_beginning && snapi_loop_is_iterating(channel->loop);
}

/** Keeps the call, and its result where there is memory for that, for the next iteration; callbacks never
 *  run within the application's call. */
__attribute__((noinline)) static void defer_callback(struct snapi_call *call,
                                                     const struct snap_status *status)
{
    struct snap_channel *channel = call->channel;
    if (call->arena == NULL) {
        call->arena = snapi_arena_take_owned(snapi_loop_arenas(channel->loop));
    }
    call->result = call->arena == NULL
                       ? NULL
                       : base_arena_alloc(&call->arena->mem, sizeof(struct snap_result));
    if (call->result != NULL) {
        fill_result(call, status, call->result);
    }
    base_list_add_tail(&channel->more->ended, &call->link);
    snapi_loop_defer(channel->loop, &channel->more->run_ended);
}

static void run_callback_without_memory(const struct snapi_call *call)
{
    const struct snap_status status =
        snapi_status_of(SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL,
                        call->attempts > 0 ? SNAP_RAN_MAYBE : SNAP_RAN_NO,
                        "out of memory for how %s ended", call->method->name);
    struct snap_result result;
    fill_result(call, &status, &result);
    run_callback(call, &result, NULL);
}

void snapi_calls_run_ended(struct snap_channel *channel)
{
    struct base_list now;
    base_list_init(&now);
    base_list_splice_tail(&now, &channel->more->ended);
    struct base_list *it = NULL;
    while ((it = base_list_take_first(&now)) != NULL) {
        struct snapi_call *call = base_list_entry(it, struct snapi_call, link);
        if (call->result != NULL) {
            run_callback(call, call->result, NULL);
        } else {
            run_callback_without_memory(call);
        }
        free_call(call);
    }
}

void snapi_call_end(struct snapi_call *call, const struct snap_status *status,
                    ProtobufCMessage *response)
{
    struct snap_channel *channel = call->channel;
    snapi_call_leave_lists(call);
    snapi_loop_timer_del(channel->loop, &call->deadline);
    snapi_calls_del(channel, call);
    call->state = SNAPI_CALL_ENDED;
    if (call->wait != NULL) {
        fill_result(call, status, &call->wait->result);
        call->wait->response = response;
        snapi_waiter_done(channel->loop, &call->wait->waiter);
        free_call(call);
    } else if (!may_run_callback(call)) {
        defer_callback(call, status);
    } else {
        struct snap_result result;
        fill_result(call, status, &result);
        run_callback(call, &result, response);
        free_call(call);
    }
}

void snapi_call_end_unavailable(struct snapi_call *call, const char *what)
{
    struct snap_status status =
        snapi_status_of(SNAP_UNAVAILABLE, SNAP_ORIGIN_TRANSPORT, snapi_call_ran(call), "%s: %s",
                        call->channel->more->target.text, what);
    snapi_call_end(call, &status, NULL);
}

void snapi_call_give_up(struct snapi_call *call, const struct snap_status *status)
{
    struct snap_channel *channel = call->channel;
    bool was_waiting = call->state == SNAPI_CALL_WAITING;
    snapi_call_end(call, status, NULL);
    if (was_waiting) {
        snapi_path_send_blocked(&channel->pony);
        snapi_path_send_blocked(&channel->more->tcp);
    }
}

void snapi_call_on_deadline(struct base_timer *timer, uint64_t now_ns)
{
    struct snapi_call *call = base_container_of(timer, struct snapi_call, deadline);
    const struct snap_channel *channel = call->channel;
    uint64_t ms = base_sub_sat_u64(now_ns, began_ns(call)) / 1000000;
    struct snap_status status;
    if (call->state == SNAPI_CALL_SENT) {
        status = snapi_status_of(SNAP_DEADLINE_EXCEEDED, SNAP_ORIGIN_LOCAL, SNAP_RAN_MAYBE,
                                 "no reply from %s within %" PRIu64 " ms",
                                 snapi_path_peer(call->path), ms);
        snapi_path_send_cancel(call->path, call->id);
    } else {
        status = snapi_status_of(SNAP_DEADLINE_EXCEEDED, SNAP_ORIGIN_LOCAL, snapi_call_ran(call),
                                 "%s could not be reached within %" PRIu64 " ms: %s",
                                 channel->more->target.text, ms, snapi_channel_trouble(channel));
    }
    snapi_call_give_up(call, &status);
}

/* ---- answer ---- */

/** NULL: it could not be decoded, and `status` says why. */
static ProtobufCMessage *decode_response(struct snapi_call *call, const struct snapi_frame *frame,
                                         struct snap_status *status)
{
    struct snap_loop *loop = call->channel->loop;
    struct snapi_arena *arena = snapi_arena_take_owned(snapi_loop_arenas(loop));
    if (arena == NULL) {
        *status = snapi_status_of(SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, SNAP_RAN_YES,
                                  "no memory for a reply of %zu bytes", frame->body_len);
        return NULL;
    }
    const struct snapi_unpack in = {.type = call->method->response,
                                    .data = frame->body,
                                    .len = frame->body_len,
                                    .max_message_bytes = snapi_loop_max_message(loop),
                                    .may_borrow = may_run_callback(call)};
    ProtobufCMessage *response = NULL;
    enum base_err err = snapi_message_unpack(arena, &in, &response);
    if (response == NULL) {
        snapi_arena_give_owned(arena);
        *status = snapi_status_from_err(err, SNAP_ORIGIN_LOCAL, "reply to %s from %s",
                                        call->method->name, snapi_path_peer(call->path));
        status->ran = SNAP_RAN_YES;
    }
    return response;
}

/** The status of an answer other than OK. */
static struct snap_status status_of_answer(const struct snapi_call *call,
                                           const struct snapi_frame *frame, bool was_run)
{
    enum snap_ran ran = was_run ? SNAP_RAN_YES : call->may_have_run ? SNAP_RAN_MAYBE : SNAP_RAN_NO;
    return snapi_status_from_peer(frame->code, ran, frame->text, frame->text_len);
}

void snapi_call_on_response(struct snapi_call *call, const struct snapi_frame *frame)
{
    bool was_run = (frame->flags & SNAPI_RESPONSE_NOT_RUN) == 0;
    if (frame->code == SNAP_UNAVAILABLE && !was_run) {
        /* The server stops; another path, or the server that comes after it, may do. */
        struct snap_channel *channel = call->channel;
        snapi_call_requeue(call, NULL, 0);
        snapi_channel_on_ready(channel);
        return;
    }
    ProtobufCMessage *response = NULL;
    struct snap_status trouble; /* 256 bytes: written only where there is some */
    const struct snap_status *status = &snapi_status_ok;
    if (frame->type == SNAPI_PONG) {
        /* nothing to decode */
    } else if (frame->code == SNAP_OK) {
        response = decode_response(call, frame, &trouble);
        status = response != NULL ? status : &trouble;
    } else {
        trouble = status_of_answer(call, frame, was_run);
        status = &trouble;
    }
    snapi_call_end(call, status, response);
}
