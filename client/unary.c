/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "client/channel.h"
#include "rpc/status.h"

#include <string.h>

/**
 * Unary calls as applications start them: from any thread, waiting or with a callback.
 *
 * A thread that can own the loop begins the call inline: the request is packed straight into
 * transmit memory. Where another thread owns it, a waiting caller leaves its message where it is
 * until the owner packs it; a caller that does not wait packs into an arena first.
 */

static const struct snap_call_options default_options = SNAP_CALL_OPTIONS_INIT;

/** Measures the request, and encodes it into `small` if it is short: there the channel plays no part.
 *  With many channels this one is cold: meanwhile what is needed of it comes from memory. */
static void begin_args(const struct snap_channel *channel, struct snapi_call_args *args,
                       uint8_t small[SNAPI_CALL_SMALL_BYTES])
{
    base_prefetch_lines(channel, SNAPI_CHANNEL_LINES);
    args->body_len = snapi_message_try_pack(args->request, small, SNAPI_CALL_SMALL_BYTES);
    args->body = args->body_len <= SNAPI_CALL_SMALL_BYTES ? small : NULL;
}

/** Checks what is common to all calls and fills `args`. False: `refusal` says what is wrong. */
static inline bool prepare(struct snap_channel *channel, const struct snap_method *method,
                           const struct snap_call_options *options, struct snapi_call_args *args,
                           struct snap_status *refusal)
{
    if (BASE_UNLIKELY(snapi_loop_is_forked(channel->loop))) {
        *refusal = snapi_loop_check(channel->loop);
        return false;
    }
    if (BASE_UNLIKELY(options->size != sizeof(*options))) {
        *refusal = snap_status_make(SNAP_INVALID_ARGUMENT,
                                    "snap_call_options.size is %zu, not %zu: begin with "
                                    "SNAP_CALL_OPTIONS_INIT",
                                    options->size, sizeof(*options));
        return false;
    }
    args->id = atomic_fetch_add_explicit(&channel->next_id, 1, memory_order_relaxed);
    args->method = method;
    args->timeout_us = options->timeout_us != 0 ? options->timeout_us : channel->default_timeout_us;
    args->is_idempotent =
        options->idempotent != 0 || method == NULL || (method->flags & SNAP_METHOD_IDEMPOTENT) != 0;
    args->is_fail_fast = options->fail_fast != 0;
    return true;
}

static struct snap_status not_begun(const struct snap_channel *channel)
{
    if (channel->is_closing) {
        return snapi_status_of(SNAP_CANCELLED, SNAP_ORIGIN_LOCAL, SNAP_RAN_NO,
                               "the channel is being closed");
    }
    return snapi_status_of(SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, SNAP_RAN_NO,
                           "no memory for a call beside %u others", channel->n_calls);
}

/* ---- waiting callers ---- */

struct waiting_call {
    struct snapi_work work;
    struct snap_channel *channel;
    struct snapi_call_args args;
    struct snapi_wait wait;
};

/** As owner. */
static void begin_waiting(struct waiting_call *call)
{
    if (!snapi_call_begin(call->channel, &call->args)) {
        call->wait.result.status = not_begun(call->channel);
        snapi_waiter_done(call->channel->loop, &call->wait.waiter);
    }
}

static void run_begin_waiting(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    begin_waiting(base_container_of(work, struct waiting_call, work));
}

/** Begins the call and waits for its end: call->wait has the result. */
static void begin_and_wait(struct waiting_call *call)
{
    struct snap_loop *loop = call->channel->loop;
    call->args.wait = &call->wait;
    call->wait.response = NULL;
    memset(&call->wait.result.info, 0, sizeof(call->wait.result.info));
    snapi_waiter_init(&call->wait.waiter);
    if (snapi_loop_try_enter(loop)) {
        begin_waiting(call);
    } else {
        call->args.started_ns = base_clock_now_ns();
        snapi_work_init(&call->work, run_begin_waiting);
        snapi_loop_submit(loop, &call->work);
    }
    enum base_err err = snapi_loop_wait(loop, &call->wait.waiter, UINT64_MAX);
    if (err != BASE_OK) {
        call->wait.result.status = snapi_status_from_err(err, SNAP_ORIGIN_LOCAL, "wait");
    }
}

static struct snap_status in_callback(void)
{
    return snap_status_make(SNAP_FAILED_PRECONDITION,
                            "a blocking call from a callback or handler of the same loop would "
                            "wait for itself: start it with a callback instead");
}

struct snap_status snap_channel_call(struct snap_channel *channel, const struct snap_method *method,
                                     const ProtobufCMessage *request,
                                     const struct snap_call_options *options,
                                     ProtobufCMessage **response)
{
    *response = NULL;
    options = options != NULL ? options : &default_options;
    if (snapi_loop_in_callback(channel->loop)) {
        return in_callback();
    }
    struct waiting_call call;
    struct snap_status refusal;
    call.channel = channel;
    call.args = (struct snapi_call_args){.request = request};
    uint8_t small[SNAPI_CALL_SMALL_BYTES];
    begin_args(channel, &call.args, small);
    if (!prepare(channel, method, options, &call.args, &refusal)) {
        return refusal;
    }
    begin_and_wait(&call);
    if (options->info != NULL) {
        *options->info = call.wait.result.info;
    }
    *response = call.wait.response;
    return call.wait.result.status;
}

struct snap_status snap_channel_ping(struct snap_channel *channel,
                                     const struct snap_call_options *options, uint64_t *rtt_ns)
{
    options = options != NULL ? options : &default_options;
    if (snapi_loop_in_callback(channel->loop)) {
        return in_callback();
    }
    struct waiting_call call = {.channel = channel};
    struct snap_status refusal;
    if (!prepare(channel, NULL, options, &call.args, &refusal)) {
        return refusal;
    }
    begin_and_wait(&call);
    if (options->info != NULL) {
        *options->info = call.wait.result.info;
    }
    if (snap_ok(&call.wait.result.status)) {
        *rtt_ns = call.wait.result.info.elapsed_ns;
    }
    return call.wait.result.status;
}

/* ---- callers with a callback ---- */

/** A call on its way to the loop's owner; lies in its own arena. */
struct submitted_call {
    struct snapi_work work;
    struct snap_channel *channel;
    struct snapi_call_args args;
};

static void run_begin_submitted(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    struct submitted_call *call = base_container_of(work, struct submitted_call, work);
    struct snapi_arena *arena = call->args.arena;
    struct snapi_call_args args = call->args;
    struct snap_channel *channel = call->channel;
    if (!snapi_call_begin(channel, &args)) {
        base_logf(snapi_loop_log(loop), BASE_LOG_ERROR, "client",
                  "%s: a call was dropped: the channel closes, or memory is out",
                  args.method->name);
        snapi_arena_give(arena);
    }
}

static bool submit(struct snap_channel *channel, const struct snapi_call_args *args)
{
    struct snapi_arena *arena = snapi_arena_take(snapi_loop_arenas(channel->loop));
    if (arena == NULL) {
        return false;
    }
    size_t len = args->body_len;
    bool is_too_long = len > snapi_loop_max_message(channel->loop); /* ends when it begins */
    struct submitted_call *call = base_arena_alloc(&arena->mem, sizeof(*call));
    uint8_t *body = base_arena_alloc(&arena->mem, is_too_long ? 0 : len);
    if (call == NULL || body == NULL) {
        snapi_arena_give(arena);
        return false;
    }
    if (args->body != NULL) {
        memcpy(body, args->body, len);
    } else if (!is_too_long) {
        snapi_message_pack(args->request, len, body);
    }
    call->args = *args;
    call->args.arena = arena;
    call->args.request = NULL;
    call->args.body = body;
    call->args.started_ns = base_clock_now_ns();
    call->channel = channel;
    snapi_work_init(&call->work, run_begin_submitted);
    snapi_loop_submit(channel->loop, &call->work);
    return true;
}

struct snap_call_id snap_channel_start(struct snap_channel *channel,
                                       const struct snap_method *method,
                                       const ProtobufCMessage *request,
                                       const struct snap_call_options *options, snap_any_fn *typed,
                                       void *arg)
{
    const struct snap_call_id none = {0};
    options = options != NULL ? options : &default_options;
    struct snapi_call_args args = {.request = request, .typed = typed, .arg = arg};
    struct snap_status refusal;
    uint8_t small[SNAPI_CALL_SMALL_BYTES];
    begin_args(channel, &args, small);
    if (!prepare(channel, method, options, &args, &refusal)) {
        base_logf(snapi_loop_log(channel->loop), BASE_LOG_ERROR, "client", "%s: %s", method->name,
                  refusal.message);
        return none;
    }
    bool is_begun = false;
    if (snapi_loop_try_enter(channel->loop)) {
        is_begun = snapi_call_begin(channel, &args);
        snapi_loop_leave(channel->loop);
    } else {
        is_begun = submit(channel, &args);
    }
    return is_begun ? (struct snap_call_id){args.id} : none;
}

/* ---- cancelling ---- */

/** Lies in its own arena, or on the stack of an owner. */
struct cancel {
    struct snapi_work work;
    struct snap_channel *channel;
    struct snapi_arena *arena;
    uint64_t id;
};

static void cancel_now(struct snap_channel *channel, uint64_t id)
{
    struct snapi_call *call = snapi_call_find(channel, id);
    if (call == NULL) {
        return; /* it has ended */
    }
    bool was_sent = call->state == SNAPI_CALL_SENT;
    if (was_sent) {
        snapi_path_send_cancel(call->path, id);
    }
    struct snap_status status = snapi_status_of(
        SNAP_CANCELLED, SNAP_ORIGIN_LOCAL,
        was_sent || call->may_have_run ? SNAP_RAN_MAYBE : SNAP_RAN_NO, "the caller cancelled it");
    channel->is_beginning = true; /* the callback must not run within the application's call */
    snapi_call_give_up(call, &status);
    channel->is_beginning = false;
}

static void run_cancel(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    struct cancel *cancel = base_container_of(work, struct cancel, work);
    cancel_now(cancel->channel, cancel->id);
    snapi_arena_give(cancel->arena);
}

void snap_channel_cancel(struct snap_channel *channel, struct snap_call_id id)
{
    struct snap_loop *loop = channel->loop;
    if (id.v == 0 || snapi_loop_is_forked(loop)) {
        return;
    }
    if (snapi_loop_try_enter(loop)) {
        cancel_now(channel, id.v);
        snapi_loop_leave(loop);
        return;
    }
    struct snapi_arena *arena = snapi_arena_take(snapi_loop_arenas(loop));
    struct cancel *cancel =
        arena == NULL ? NULL : base_arena_alloc(&arena->mem, sizeof(struct cancel));
    if (cancel == NULL) {
        snapi_arena_give(arena);
        base_logf(snapi_loop_log(loop), BASE_LOG_ERROR, "client", "no memory to cancel a call");
        return;
    }
    cancel->channel = channel;
    cancel->arena = arena;
    cancel->id = id.v;
    snapi_work_init(&cancel->work, run_cancel);
    snapi_loop_submit(loop, &cancel->work);
}
