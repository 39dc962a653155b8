/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "client/by_id.h"
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

/** With many channels this one is cold: it comes from memory while the request is packed. */
static inline void prefetch_channel(const struct snap_channel *channel)
{
    base_prefetch_lines(channel, SNAPI_CHANNEL_LINES);
}

/** Whether calls may be made so at all. */
static inline bool may_call(const struct snap_channel *channel,
                            const struct snap_call_options *options)
{
    return BASE_LIKELY(!snapi_loop_is_forked(channel->loop) && options->size == sizeof(*options));
}

/** Why they may not. */
static struct snap_status refusal(const struct snap_channel *channel,
                                  const struct snap_call_options *options)
{
    if (snapi_loop_is_forked(channel->loop)) {
        return snapi_loop_check(channel->loop);
    }
    return snap_status_make(SNAP_INVALID_ARGUMENT,
                            "snap_call_options.size is %zu, not %zu: begin with "
                            "SNAP_CALL_OPTIONS_INIT",
                            options->size, sizeof(*options));
}

/** What the application says about a new call, `method` NULL for a ping. */
static inline void set_options(struct snapi_call *call, const struct snap_method *method,
                               const struct snap_call_options *options)
{
    uint64_t timeout_us =
        options->timeout_us != 0 ? options->timeout_us : call->channel->default_timeout_us;
    call->method = method;
    call->timeout_ns = base_min_u64(timeout_us, UINT64_MAX / 1000) * 1000;
    call->is_idempotent =
        options->idempotent != 0 || method == NULL || (method->flags & SNAP_METHOD_IDEMPOTENT) != 0;
    call->is_fail_fast = options->fail_fast != 0;
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

/** NULL: not_begun(). */
static inline struct snapi_call *new_call(struct snap_channel *channel)
{
    return BASE_LIKELY(!channel->is_closing) ? snapi_call_new(channel) : NULL;
}

/* ---- waiting callers ---- */

/** On the stack of the caller, as all that it points to. */
struct waiting_call {
    struct snapi_work work;
    struct snap_channel *channel;
    const struct snap_method *method; /**< NULL: a ping */
    const struct snap_call_options *options;
    const ProtobufCMessage *request; /**< NULL: a ping */
    const uint8_t *body;             /**< the same encoded, if it is short */
    size_t body_len;
    uint64_t started_ns; /**< 0: when it begins */
    struct snapi_wait wait;
};

/** As owner. */
static void begin_waiting(struct waiting_call *waiting)
{
    struct snapi_call *call = new_call(waiting->channel);
    if (call == NULL) {
        waiting->wait.result.status = not_begun(waiting->channel);
        snapi_waiter_done(waiting->channel->loop, &waiting->wait.waiter);
        return;
    }
    set_options(call, waiting->method, waiting->options);
    call->request = waiting->request;
    call->body = waiting->body;
    call->body_len = waiting->body_len;
    call->started_ns = waiting->started_ns;
    call->wait = &waiting->wait;
    snapi_call_begin(call);
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
    call->started_ns = 0;
    call->wait.response = NULL;
    memset(&call->wait.result.info, 0, sizeof(call->wait.result.info));
    snapi_waiter_init(&call->wait.waiter);
    if (snapi_loop_try_enter(loop)) {
        begin_waiting(call);
    } else {
        call->started_ns = base_clock_now_ns();
        snapi_work_init(&call->work, run_begin_waiting);
        snapi_loop_submit(loop, &call->work);
    }
    enum base_err err = snapi_loop_wait(loop, &call->wait.waiter, UINT64_MAX);
    if (err != BASE_OK) {
        call->wait.result.status = snapi_status_from_err(err, SNAP_ORIGIN_LOCAL, "wait");
    }
    if (call->options->info != NULL) {
        *call->options->info = call->wait.result.info;
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
    if (!may_call(channel, options)) {
        return refusal(channel, options);
    }
    prefetch_channel(channel);
    uint8_t small[SNAPI_CALL_SMALL_BYTES];
    struct waiting_call call;
    call.channel = channel;
    call.method = method;
    call.options = options;
    call.request = request;
    call.body_len = snapi_message_try_pack(request, small, sizeof(small));
    call.body = call.body_len <= sizeof(small) ? small : NULL;
    begin_and_wait(&call);
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
    if (!may_call(channel, options)) {
        return refusal(channel, options);
    }
    struct waiting_call call = {.channel = channel, .options = options};
    begin_and_wait(&call);
    if (snap_ok(&call.wait.result.status)) {
        *rtt_ns = call.wait.result.info.elapsed_ns;
    }
    return call.wait.result.status;
}

/* ---- callers with a callback ---- */

/** A call on its way to the loop's owner; lies in its own arena, as its body does. */
struct submitted_call {
    struct snapi_work work;
    struct snap_channel *channel;
    struct snapi_arena *arena;
    uint64_t id;
    const struct snap_method *method;
    struct snap_call_options options;
    const uint8_t *body;
    size_t body_len;
    uint64_t started_ns;
    snap_any_fn *typed;
    void *arg;
};

/** Ends a call that came while its channel closes: its callback is run as those of calls in flight are. */
static void end_unbegun(struct snapi_call *call)
{
    struct snap_channel *channel = call->channel;
    const struct snap_status status = not_begun(channel);
    call->timeout_ns = 0; /* its deadline never counted */
    snapi_calls_add(channel, call);
    channel->is_beginning = true; /* what was submitted must not call back */
    snapi_call_end(call, &status, NULL);
    channel->is_beginning = false;
}

static void run_begin_submitted(struct snap_loop *loop, struct snapi_work *work)
{
    const struct submitted_call *submitted = base_container_of(work, struct submitted_call, work);
    struct snapi_call *call = snapi_call_new(submitted->channel);
    if (call == NULL) {
        base_logf(snapi_loop_log(loop), BASE_LOG_ERROR, "client",
                  "%s: a call was dropped: memory is out", submitted->method->name);
        snapi_arena_give(submitted->arena);
        return;
    }
    set_options(call, submitted->method, &submitted->options);
    call->id = submitted->id;
    call->arena = submitted->arena;
    call->body = submitted->body;
    call->body_len = submitted->body_len;
    call->started_ns = submitted->started_ns;
    call->typed = submitted->typed;
    call->arg = submitted->arg;
    if (call->channel->is_closing) {
        end_unbegun(call);
    } else {
        snapi_call_begin(call);
    }
}

/** Encodes the request into the arena; NULL: no memory. One over our limit is not: the call ends when
 *  it begins. */
static uint8_t *encode(struct snap_channel *channel, struct snapi_arena *arena,
                       const ProtobufCMessage *request, size_t *len)
{
    uint8_t small[SNAPI_CALL_SMALL_BYTES];
    *len = snapi_message_try_pack(request, small, sizeof(small));
    bool is_too_long = *len > snapi_loop_max_message(channel->loop);
    uint8_t *body = base_arena_alloc(&arena->mem, is_too_long ? 0 : *len);
    if (body == NULL || is_too_long) {
        return body;
    }
    if (*len <= sizeof(small)) {
        memcpy(body, small, *len);
    } else {
        snapi_message_pack(request, *len, body);
    }
    return body;
}

/** For another thread than the owner. The call's number; 0: no memory. */
__attribute__((noinline)) static uint64_t submit(struct snap_channel *channel,
                                                 const struct snap_method *method,
                                                 const ProtobufCMessage *request,
                                                 const struct snap_call_options *options,
                                                 snap_any_fn *typed, void *arg)
{
    struct snapi_arena *arena = snapi_arena_take(snapi_loop_arenas(channel->loop));
    if (arena == NULL) {
        return 0;
    }
    size_t len = 0;
    struct submitted_call *call = base_arena_alloc(&arena->mem, sizeof(*call));
    const uint8_t *body = encode(channel, arena, request, &len);
    if (call == NULL || body == NULL) {
        snapi_arena_give(arena);
        return 0;
    }
    uint64_t id = atomic_fetch_add_explicit(&channel->more->next_outer_id, 1, memory_order_relaxed);
    *call = (struct submitted_call){.channel = channel,
                                    .arena = arena,
                                    .id = id,
                                    .method = method,
                                    .options = *options,
                                    .body = body,
                                    .body_len = len,
                                    .started_ns = base_clock_now_ns(),
                                    .typed = typed,
                                    .arg = arg};
    snapi_work_init(&call->work, run_begin_submitted);
    snapi_loop_submit(channel->loop, &call->work);
    return id;
}

/** As owner. The call's number; 0: no call was made. */
static uint64_t start_now(struct snap_channel *channel, const struct snap_method *method,
                          const ProtobufCMessage *request, const struct snap_call_options *options,
                          snap_any_fn *typed, void *arg)
{
    struct snapi_call *call = new_call(channel);
    if (call == NULL) {
        return 0;
    }
    uint64_t id = call->id;
    set_options(call, method, options);
    call->request = request;
    call->typed = typed;
    call->arg = arg;
    call->body_len = snapi_message_try_pack(request, call->small_body, SNAPI_CALL_SMALL_BYTES);
    call->body = call->body_len <= SNAPI_CALL_SMALL_BYTES ? call->small_body : NULL;
    snapi_call_begin(call);
    return id;
}

__attribute__((noinline)) static void log_refusal(const struct snap_channel *channel,
                                                  const struct snap_method *method,
                                                  const struct snap_call_options *options)
{
    const struct snap_status status = refusal(channel, options);
    base_logf(snapi_loop_log(channel->loop), BASE_LOG_ERROR, "client", "%s: %s", method->name,
              status.message);
}

struct snap_call_id snap_channel_start(struct snap_channel *channel,
                                       const struct snap_method *method,
                                       const ProtobufCMessage *request,
                                       const struct snap_call_options *options, snap_any_fn *typed,
                                       void *arg)
{
    prefetch_channel(channel);
    struct snap_call_id id = {0};
    options = options != NULL ? options : &default_options;
    if (!may_call(channel, options)) {
        log_refusal(channel, method, options);
    } else if (snapi_loop_try_enter(channel->loop)) {
        id.v = start_now(channel, method, request, options, typed, arg);
        snapi_loop_leave(channel->loop);
    } else {
        id.v = submit(channel, method, request, options, typed, arg);
    }
    return id;
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
