/* SPDX-License-Identifier: Apache-2.0 */
#include "client/call.h"

#include "base/copy.h"
#include "client/channel.h"
#include "rpc/status.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    RESENDS_MAX = 16 /* attempts of one call; more means that something is broken for good */
};

/* ---- table ---- */

static struct snapi_call **bucket_of(struct snap_channel *channel, uint64_t id)
{
    return snapi_channel_bucket(channel, id & (channel->n_buckets - 1));
}

/** Doubles the table. When there is no memory for it, the chains grow instead. */
__attribute__((noinline)) static void grow_table(struct snap_channel *channel)
{
    uint32_t n = base_max_u32(SNAPI_BUCKETS_MIN, channel->n_buckets * 2);
    struct snapi_call **bigger = calloc(n, sizeof(struct snapi_call *));
    if (bigger == NULL) {
        return;
    }
    for (uint32_t i = 0; i < channel->n_buckets; i++) {
        struct snapi_call *call = *snapi_channel_bucket(channel, i);
        while (call != NULL) {
            struct snapi_call *next = call->next_in_bucket;
            call->next_in_bucket = bigger[call->id & (n - 1)];
            bigger[call->id & (n - 1)] = call;
            call = next;
        }
    }
    if (channel->n_buckets > 1) {
        free((void *)channel->buckets);
    }
    channel->buckets = bigger;
    channel->n_buckets = n;
}

static void table_add(struct snap_channel *channel, struct snapi_call *call)
{
    if (channel->n_calls >= channel->n_buckets) {
        grow_table(channel);
    }
    struct snapi_call **bucket = bucket_of(channel, call->id);
    call->next_in_bucket = *bucket;
    *bucket = call;
    channel->n_calls++;
}

static void table_del(struct snap_channel *channel, struct snapi_call *call)
{
    struct snapi_call **at = bucket_of(channel, call->id);
    while (*at != call) {
        at = &(*at)->next_in_bucket;
    }
    *at = call->next_in_bucket;
    channel->n_calls--;
}

/* ---- end ---- */

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

/** Keeps the result for the next iteration; callbacks never run within the application's call. */
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
    if (call->result == NULL) {
        base_logf(snapi_loop_log(channel->loop), BASE_LOG_ERROR, "client",
                  "out of memory: the callback of %s is lost", call->method->name);
        free_call(call);
        return;
    }
    fill_result(call, status, call->result);
    base_list_add_tail(&channel->more->ended, &call->link);
    snapi_loop_defer(channel->loop, &channel->more->run_ended);
}

void snapi_calls_run_ended(struct snap_channel *channel)
{
    struct base_list now;
    base_list_init(&now);
    base_list_splice_tail(&now, &channel->more->ended);
    struct base_list *it = NULL;
    while ((it = base_list_take_first(&now)) != NULL) {
        struct snapi_call *call = base_list_entry(it, struct snapi_call, link);
        run_callback(call, call->result, NULL);
        free_call(call);
    }
}

static inline void leave_lists(struct snapi_call *call)
{
    if (call->state == SNAPI_CALL_WAITING && base_list_is_linked(&call->link)) {
        call->channel->more->waiting_bytes -= snapi_call_waiting_bytes(call);
    }
    base_list_del(&call->link);
}

void snapi_call_end(struct snapi_call *call, const struct snap_status *status,
                    ProtobufCMessage *response)
{
    struct snap_channel *channel = call->channel;
    leave_lists(call);
    snapi_loop_timer_del(channel->loop, &call->deadline);
    table_del(channel, call);
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

static enum snap_ran ran_of(const struct snapi_call *call)
{
    return call->may_have_run || call->state == SNAPI_CALL_SENT ? SNAP_RAN_MAYBE : SNAP_RAN_NO;
}

void snapi_call_end_unavailable(struct snapi_call *call, const char *what)
{
    struct snap_status status =
        snapi_status_of(SNAP_UNAVAILABLE, SNAP_ORIGIN_TRANSPORT, ran_of(call), "%s: %s",
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

static void on_deadline(struct base_timer *timer, uint64_t now_ns)
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
        status = snapi_status_of(SNAP_DEADLINE_EXCEEDED, SNAP_ORIGIN_LOCAL, ran_of(call),
                                 "%s could not be reached within %" PRIu64 " ms: %s",
                                 channel->more->target.text, ms, snapi_channel_trouble(channel));
    }
    snapi_call_give_up(call, &status);
}

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
            SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, ran_of(call),
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
    leave_lists(call);
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

/* ---- begin, send ---- */

struct snapi_call *snapi_call_new(struct snap_channel *channel)
{
    base_prefetch_lines(channel->pony.conn, SNAPI_CONN_LINES); /* needed last, so asked for first */
    struct snapi_call *call =
        channel->is_closing ? NULL : base_pool_take_unset(channel->pool, NULL);
    if (call == NULL) {
        return NULL;
    }
    base_list_init(&call->link);
    base_timer_init(&call->deadline, on_deadline);
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
    table_add(channel, call);
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
        call->request = NULL; /* the application's; a call that ended is still there, see end */
    }
}

static uint64_t time_left_us(const struct snapi_call *call)
{
    if (call->timeout_ns == 0) {
        return 0;
    }
    uint64_t left_ns = call->timeout_ns; /* all of it, as long as it does not count: in this turn */
    if (base_timer_is_armed(&call->deadline)) {
        uint64_t now_ns = snapi_loop_now(call->channel->loop);
        left_ns = base_sub_sat_u64(call->deadline.deadline_ns, now_ns);
    }
    return base_max_u64(left_ns / 1000, 1); /* 0 would mean none; the timer ends it in a moment */
}

/* PR-25, PR-26 */
__attribute__((noinline)) static void end_too_long(struct snapi_call *call,
                                                   const struct snapi_path *path, size_t len)
{
    const struct snap_status status =
        snapi_status_of(SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, ran_of(call),
                        "the request of %s has %zu bytes; max_message_bytes of %s is %" PRIu64,
                        call->method->name, len, snapi_path_peer(path), path->max_body);
    snapi_call_end(call, &status, NULL);
}

/** No memory for its frame, or whatever else a transport says. */
__attribute__((noinline)) static void end_unsent(struct snapi_call *call, enum base_err err)
{
    struct snap_status status = snapi_status_from_err(err, SNAP_ORIGIN_LOCAL, "request");
    snapi_call_end(call, &status, NULL);
}

static const struct snapi_frame ping = {.type = SNAPI_PING};

__attribute__((noinline)) static void write_ping(uint64_t id, uint8_t *out)
{
    struct snapi_frame frame = ping;
    frame.id = id;
    snapi_frame_put(&frame, out);
}

/** The head of a request. */
static inline struct snapi_frame head_of(const struct snapi_call *call)
{
    return (struct snapi_frame){.type = SNAPI_REQUEST,
                                .flags = call->is_idempotent ? SNAPI_REQUEST_IDEMPOTENT : 0,
                                .id = call->id,
                                .timeout_us = time_left_us(call),
                                .text = call->method->name,
                                .text_len = strlen(call->method->name),
                                .body_len = call->body_len};
}

static inline void write_request(const struct snapi_call *call, const struct snapi_frame *head,
                                 uint8_t *out)
{
    uint8_t *body = snapi_frame_put_payload(head, out);
    if (call->body != NULL) {
        base_copy(body, call->body, call->body_len);
    } else {
        snapi_message_pack(call->request, call->body_len, body);
    }
}

bool snapi_call_send(struct snapi_call *call, struct snapi_path *path)
{
    if (BASE_UNLIKELY(call->body_len > path->max_body)) {
        if (!path->has_hello) {
            return false;
        }
        end_too_long(call, path, call->body_len);
        return true;
    }
    struct snapi_tx tx;
    struct snapi_frame head;
    size_t len;
    bool is_request = BASE_LIKELY(call->method != NULL);
    if (is_request) {
        head = head_of(call);
        len = snapi_frame_body_off(&head) + head.body_len;
    } else {
        len = snapi_frame_size(&ping);
    }
    enum base_err err = path->conn->ops->begin(path->conn, len, &tx);
    if (err == BASE_AGAIN || err == BASE_E_CLOSED) {
        path->is_full = true; /* closed: on_closed follows and takes what is blocked away */
        return false;
    }
    if (err != BASE_OK) {
        end_unsent(call, err);
        return true;
    }
    if (is_request) {
        write_request(call, &head, tx.data);
    } else {
        write_ping(call->id, tx.data);
    }
    leave_lists(call);
    call->state = SNAPI_CALL_SENT;
    call->path = path;
    call->transport = path->kind;
    call->attempts++;
    base_list_add_tail(&path->sent, &call->link);
    path->conn->ops->send(path->conn, &tx, call->id);
    return true;
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
