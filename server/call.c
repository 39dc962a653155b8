/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/status.h"
#include "server/server_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/**
 * Calls: from a REQUEST to the handler, and from the answer, given on any thread, to a RESPONSE.
 */
enum {
    LONG_REPLY_BYTES = 1024 * 1024, /* a method that answers so much is paced */
    SMALL_REPLY_BYTES = 128,        /* what is no longer is packed without measuring it first */
    EARLY_CALLS_MAX = 1024,         /* of one connection, before its HELLO */
    EARLY_BYTES_MAX = 1024 * 1024   /* of their requests, encoded */
};

static void run_ready_later(struct snap_loop *loop, struct snapi_work *work);

enum base_err snapi_server_calls_init(struct snap_server *server)
{
    base_list_init(&server->adrift);
    base_list_init(&server->ready);
    snapi_work_init(&server->ready_work, run_ready_later);
    return snapi_server_by_id_init(server);
}

static inline void unchain_if_chained(struct snap_server_call *call)
{
    if (BASE_UNLIKELY(call->hash_at != NULL)) {
        snapi_server_unchain(call);
    }
}

/* Whether no call in flight has the number. *end: where in its chain the call belongs, NULL: in none.
 * PR-10 */
static bool is_new_number(struct snapi_server_conn *conn, uint64_t id,
                          struct snap_server_call ***end)
{
    if (BASE_UNLIKELY(conn->is_indexed) && base_list_is_empty(&conn->calls)) {
        conn->is_indexed = false;
    }
    *end = NULL;
    if (BASE_UNLIKELY(conn->is_indexed || id <= conn->last_id)) {
        *end = snapi_server_find_call(conn, id);
    }
    conn->last_id = base_max_u64(conn->last_id, id);
    return *end == NULL || **end == NULL;
}

/* The connection is no longer concerned with the call; the server still is. */
static void set_adrift(struct snap_server_call *call)
{
    unchain_if_chained(call);
    base_list_del(&call->link);
    base_list_add_tail(&call->server->adrift, &call->link);
    call->conn = NULL;
}

/* As owner: the call ends. */
static inline void end_call(struct snap_server_call *call)
{
    unchain_if_chained(call);
    base_list_del(&call->link);
    call->server->n_calls--;
}

/* ---- refusing ---- */

/* False: the connection is gone. */
static bool send_error(struct snapi_server_conn *conn, uint64_t id, uint8_t flags,
                       const struct snap_status *status)
{
    const struct snapi_outgoing out = {
        .frame = {.type = SNAPI_RESPONSE,
                  .flags = flags,
                  .code = status->code,
                  .id = id,
                  .text = status->message,
                  .text_len = strlen(status->message)},
    };
    return snapi_server_send(conn, &out);
}

/* PR-14: none of these has reached a handler. */
__attribute__((format(printf, 4, 5))) static void refuse(struct snapi_server_conn *conn,
                                                         uint64_t id, enum snap_code code,
                                                         const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct snap_status status = snapi_status_vmake(code, fmt, args);
    va_end(args);
    (void)send_error(conn, id, SNAPI_RESPONSE_NOT_RUN, &status);
}

/* ---- request ---- */

/* PR-11. All of it is set here, but for request, method, handler, what says where it is linked, and what
 * only an answer from another thread needs. */
static struct snap_server_call *make_call(struct snapi_server_conn *conn,
                                          const struct snapi_frame *frame)
{
    struct snap_server *server = conn->server;
    struct snapi_arena *arena = snapi_arena_take_owned(snapi_loop_arenas(server->loop));
    if (arena == NULL) {
        return NULL;
    }
    struct snap_server_call *call = base_arena_alloc(&arena->mem, sizeof(*call));
    if (call == NULL) {
        snapi_arena_give_owned(arena);
        return NULL;
    }
    call->arena = arena;
    call->server = server;
    call->loop = server->loop;
    call->conn = conn;
    call->id = frame->id;
    call->transport = conn->kind;
    call->max_reply = conn->max_reply;
    call->deadline_ns = UINT64_MAX;
    if (frame->timeout_us != 0 && frame->timeout_us < UINT64_MAX / BASE_NS_PER_US) {
        call->deadline_ns =
            base_add_sat_u64(snapi_loop_now(server->loop), frame->timeout_us * BASE_NS_PER_US);
    }
    atomic_init(&call->state, SNAPI_CALL_LIVE);
    atomic_init(&call->is_cancelled, 0);
    memcpy(call->peer, conn->peer, sizeof(call->peer));
    return call;
}

/* Decodes and links it, at `end` of its chain where it belongs to one; NULL when the call has been refused. */
static struct snap_server_call *admit(struct snapi_server_conn *conn,
                                      const struct snapi_frame *frame,
                                      struct snapi_handler *handler, struct snap_server_call **end)
{
    struct snap_server *server = conn->server;
    struct snap_server_call *call = make_call(conn, frame);
    if (call == NULL) {
        refuse(conn, frame->id, SNAP_RESOURCE_EXHAUSTED, "server is out of memory");
        return NULL;
    }
    const struct snapi_unpack in = {
        .type = handler->method->request,
        .data = frame->body,
        .len = frame->body_len,
        .max_message_bytes = snapi_loop_max_message(server->loop),
    };
    enum base_err err = snapi_message_unpack(call->arena, &in, &call->request);
    if (err != BASE_OK) {
        snapi_arena_give_owned(call->arena);
        refuse(conn, frame->id,
               err == BASE_E_MALFORMED ? SNAP_INVALID_ARGUMENT : SNAP_RESOURCE_EXHAUSTED,
               "request of %s: %s", handler->method->name, base_error_last_note());
        return NULL;
    }
    call->method = handler->method;
    call->handler = handler;
    call->hash_at = NULL;
    if (BASE_UNLIKELY(end != NULL)) {
        snapi_server_chain(end, call);
    }
    base_list_add_tail(&conn->calls, &call->link);
    server->n_calls++;
    return call;
}

static void dispatch(struct snap_server_call *call)
{
    ProtobufCMessage *request = call->request;
    const struct snapi_handler *handler = call->handler;
    call->request = NULL;
    handler->method->dispatch(handler->typed, call, request, handler->arg);
}

/* A handler whose answers are long runs when earlier ones have left, not at once: they would only
 * wait, packed, and be out of the caches when their turn comes. Those with short answers never
 * wait. */
static bool must_wait(const struct snap_server_call *call)
{
    const struct snap_server *server = call->server;
    if (call->handler->reply_bytes < LONG_REPLY_BYTES) {
        return false;
    }
    struct base_list *first = base_list_first(&server->ready);
    if (first != NULL) {
        return base_list_entry(first, struct snap_server_call, ready)->transport == call->transport;
    }
    return !call->conn->conn->ops->has_room(call->conn->conn);
}

static bool is_read(const struct snap_server_call *call)
{
    return call->conn != NULL &&
           atomic_load_explicit(&call->is_cancelled, memory_order_relaxed) == 0;
}

/* One whose handler never ran, and whose answer nobody reads. */
static void forget(struct snap_server_call *call)
{
    struct snap_server *server = call->server;
    end_call(call);
    snapi_arena_give_owned(call->arena);
    snapi_server_step(server);
}

void snapi_server_run_ready(struct snap_server *server)
{
    struct base_list *first;
    while ((first = base_list_first(&server->ready)) != NULL) {
        struct snap_server_call *call = base_list_entry(first, struct snap_server_call, ready);
        if (is_read(call) && !call->conn->conn->ops->has_room(call->conn->conn)) {
            return;
        }
        base_list_del(first);
        if (is_read(call)) {
            dispatch(call);
        } else {
            forget(call);
        }
    }
}

static void run_ready_later(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    snapi_server_run_ready(base_container_of(work, struct snap_server, ready_work));
}

static void dispatch_or_wait(struct snap_server_call *call)
{
    if (must_wait(call)) {
        base_list_add_tail(&call->server->ready, &call->ready);
    } else {
        dispatch(call);
    }
}

/* PR-20: what overtakes HELLO waits for it, within bounds: who says none could fill the server. */
static bool may_be_early(const struct snapi_server_conn *conn, const struct snapi_frame *frame)
{
    return conn->n_early < EARLY_CALLS_MAX &&
           conn->early_bytes + frame->body_len <= EARLY_BYTES_MAX;
}

static void wait_for_hello(struct snap_server_call *call, size_t request_bytes)
{
    struct snapi_server_conn *conn = call->conn;
    conn->n_early++;
    conn->early_bytes += request_bytes;
    base_list_add_tail(&conn->early, &call->ready);
}

/* PR-25: what they may answer is known only now. A handler may end the connection, and with it what is
 * still to run. */
void snapi_server_run_early(struct snapi_server_conn *conn)
{
    const size_t max_reply = conn->max_reply;
    struct base_list early;
    struct base_list *first;
    base_list_init(&early);
    base_list_splice_tail(&early, &conn->early);
    while ((first = base_list_take_first(&early)) != NULL) {
        struct snap_server_call *call = base_list_entry(first, struct snap_server_call, ready);
        call->max_reply = max_reply;
        if (is_read(call)) {
            dispatch_or_wait(call);
        } else {
            forget(call);
        }
    }
}

/* A connection mostly asks for what it asked for last. NULL: nobody serves it. */
static struct snapi_handler *find_handler(struct snapi_server_conn *conn,
                                          const struct snapi_frame *frame)
{
    struct snapi_handler *handler = conn->last_handler;
    if (handler == NULL || handler->name.text != frame->text) {
        handler = snapi_registry_find(&conn->server->registry, frame->text, frame->text_len);
        if (handler == NULL) {
            return NULL;
        }
        conn->last_handler = handler;
    }
    return handler->typed == NULL ? NULL : handler;
}

void snapi_server_on_request(struct snapi_server_conn *conn, const struct snapi_frame *frame)
{
    struct snap_server *server = conn->server;
    struct snap_server_call **end;
    if (!is_new_number(conn, frame->id, &end)) {
        snapi_server_conn_abort(conn, "it used the number of a call in flight again");
        return;
    }
    if (server->phase != SNAPI_SERVER_OPEN) {
        refuse(conn, frame->id, SNAP_UNAVAILABLE, "server is stopping");
        return;
    }
    struct snapi_handler *handler = find_handler(conn, frame);
    if (handler == NULL) {
        refuse(conn, frame->id, SNAP_UNIMPLEMENTED, "method %.*s is not served here",
               (int)frame->text_len, frame->text);
        return;
    }
    if (server->n_calls >= server->max_calls) {
        refuse(conn, frame->id, SNAP_RESOURCE_EXHAUSTED,
               "server has %u unanswered calls, its max_calls", server->n_calls);
        return;
    }
    if (BASE_UNLIKELY(!conn->has_hello) && !may_be_early(conn, frame)) {
        refuse(conn, frame->id, SNAP_UNAVAILABLE,
               "more than %d calls or %d bytes of requests before HELLO", EARLY_CALLS_MAX,
               EARLY_BYTES_MAX);
        return;
    }
    struct snap_server_call *call = admit(conn, frame, handler, end);
    if (call == NULL) {
        return;
    }
    if (BASE_UNLIKELY(!conn->has_hello)) {
        wait_for_hello(call, frame->body_len);
    } else {
        dispatch_or_wait(call);
    }
}

static void set_cancelled(struct snap_server_call *call)
{
    atomic_store_explicit(&call->is_cancelled, 1, memory_order_relaxed);
}

/* PR-15 */
void snapi_server_on_cancel(struct snapi_server_conn *conn, uint64_t id)
{
    struct snap_server_call *call = *snapi_server_find_call(conn, id);
    if (call != NULL) {
        set_cancelled(call);
    }
}

/* PR-16 */
void snapi_server_cancel_all(struct snapi_server_conn *conn)
{
    struct base_list *link;
    while ((link = base_list_first(&conn->calls)) != NULL) {
        struct snap_server_call *call = base_list_entry(link, struct snap_server_call, link);
        set_cancelled(call);
        set_adrift(call);
    }
    /* Nobody holds these up, and they hold up nobody. */
    while ((link = base_list_take_first(&conn->early)) != NULL) {
        forget(base_list_entry(link, struct snap_server_call, ready));
    }
    if (!base_list_is_empty(&conn->server->ready)) {
        /* It may be the one whose on_writable was awaited. */
        snapi_loop_defer(conn->server->loop, &conn->server->ready_work);
    }
}

/* The server has nothing to do with the call any more. False: telling its client has ended the
 * connection. */
static bool orphan(struct snap_server_call *call, const struct snap_status *status)
{
    struct snap_server *server = call->server;
    struct snapi_server_conn *conn = call->conn;
    uint64_t id = call->id;
    uint32_t live = SNAPI_CALL_LIVE;
    bool was_read = is_read(call);
    bool is_new = call->request != NULL;
    set_cancelled(call);
    unchain_if_chained(call);
    call->conn = NULL;
    base_list_del(&call->link);
    if (is_new) {
        base_list_del(&call->ready);
    }
    /* R1: pairs with A1 in answer(): after this the call is the application's alone. */
    if (atomic_compare_exchange_strong_explicit(&call->state, &live, SNAPI_CALL_ORPHANED,
                                                memory_order_acq_rel, memory_order_acquire)) {
        server->n_calls--;
    }
    if (is_new) {
        snapi_arena_give_owned(call->arena); /* the application never saw it */
    }
    return !was_read || send_error(conn, id, is_new ? SNAPI_RESPONSE_NOT_RUN : 0, status);
}

static void orphan_all(struct base_list *calls, const struct snap_status *status)
{
    struct base_list *link;
    while ((link = base_list_first(calls)) != NULL) {
        if (!orphan(base_list_entry(link, struct snap_server_call, link), status)) {
            return; /* the others are adrift */
        }
    }
}

void snapi_server_orphan_calls(struct snap_server *server)
{
    const struct snap_status status = snap_status_make(SNAP_UNAVAILABLE, "server stopped");
    base_list_foreach_safe (it, &server->conns) {
        orphan_all(&base_list_entry(it, struct snapi_server_conn, link)->calls, &status);
    }
    orphan_all(&server->adrift, &status);
}

/* ---- answer ---- */

static bool may_send(const struct snap_server_call *call)
{
    return is_read(call) && !call->conn->is_closing;
}

static void answer_as_owner(struct snap_server_call *call, struct snapi_outgoing *out)
{
    struct snap_server *server = call->server;
    struct snapi_server_conn *conn = call->conn;
    bool sends = may_send(call);
    call->handler->reply_bytes = out->frame.body_len;
    end_call(call);
    if (sends) {
        out->arena = call->arena;
        (void)snapi_server_send(conn, out);
    } else {
        snapi_arena_give_owned(call->arena);
    }
    snapi_server_step(server);
}

static void answer_submitted(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    struct snap_server_call *call = base_container_of(work, struct snap_server_call, work);
    struct snap_server *server = call->server;
    struct snapi_server_conn *conn = call->conn;
    const uint8_t *data = call->reply.data;
    bool sends = may_send(call) && data != NULL;
    call->handler->reply_bytes = call->reply.len;
    end_call(call);
    if (sends) {
        snapi_server_send_packed(conn, data, call->reply.len, call->arena);
    } else {
        snapi_arena_give_owned(call->arena);
    }
    snapi_server_step(server);
}

/* Packs on the thread that answers, into the call's own arena. */
static void pack_reply(struct snap_server_call *call, const struct snapi_outgoing *out)
{
    call->reply.data = NULL;
    call->reply.len = 0;
    if (atomic_load_explicit(&call->is_cancelled, memory_order_relaxed) != 0) {
        return;
    }
    call->reply.len = snapi_frame_size(&out->frame);
    call->reply.data = base_arena_alloc(&call->arena->mem, call->reply.len);
    if (call->reply.data == NULL) {
        return;
    }
    snapi_server_fill(call->reply.data, out);
}

/* PR-12: whatever the handler does, one of them gets through. */
static void answer(struct snap_server_call *call, struct snapi_outgoing *out)
{
    uint32_t live = SNAPI_CALL_LIVE;
    /* A1: pairs with R1 in snapi_server_orphan_calls(). From LIVE to ANSWERING keeps the server. */
    if (!atomic_compare_exchange_strong_explicit(&call->state, &live, SNAPI_CALL_ANSWERING,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        snapi_arena_give(call->arena);
        return;
    }
    struct snap_loop *loop = call->server->loop;
    if (snapi_loop_is_forked(loop)) {
        return;
    }
    out->frame.type = SNAPI_RESPONSE;
    out->frame.id = call->id;
    if (snapi_loop_try_enter(loop)) {
        answer_as_owner(call, out);
        snapi_loop_leave(loop);
        return;
    }
    pack_reply(call, out);
    snapi_work_init(&call->work, answer_submitted);
    snapi_loop_submit(loop, &call->work);
}

static void answer_status(struct snap_server_call *call, const struct snap_status *status)
{
    struct snapi_outgoing out = {
        .frame = {.code = status->code == SNAP_OK ? (uint16_t)SNAP_INTERNAL : status->code,
                  .text = status->message,
                  .text_len = strlen(status->message)},
    };
    answer(call, &out);
}

void snap_server_fail(struct snap_server_call *call, enum snap_code code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct snap_status status = snapi_status_vmake(code, fmt, args);
    va_end(args);
    answer_status(call, &status);
}

/* Whether the answer comes from a callback of the server's own loop: then nobody else can own that, so
 * a plain look at the state does, and the server is there when the call is LIVE. */
static bool is_answered_here(const struct snap_server_call *call)
{
    return snapi_loop_is_here(call->loop) &&
           atomic_load_explicit(&call->state, memory_order_relaxed) == SNAPI_CALL_LIVE;
}

/* answer(), answer_as_owner() where a handler answers at once, shortly: with none of what they ask. */
static void reply_here(struct snap_server_call *call, const uint8_t *body, size_t len)
{
    struct snap_server *server = call->server;
    struct snapi_server_conn *conn = call->conn;
    bool sends = may_send(call);
    atomic_store_explicit(&call->state, SNAPI_CALL_ANSWERING, memory_order_relaxed);
    call->handler->reply_bytes = len;
    end_call(call);
    if (BASE_LIKELY(sends)) {
        (void)snapi_server_send_ok(conn, call->id, body, len, call->arena);
    } else {
        snapi_arena_give_owned(call->arena);
    }
    snapi_server_step(server);
}

void snap_server_reply(struct snap_server_call *call, const ProtobufCMessage *response)
{
    const struct snap_method *method = call->method;
    if (response == NULL || response->descriptor != method->response) {
        snap_server_fail(call, SNAP_INTERNAL, "handler of %s answered with %s, not %s",
                         method->name, response == NULL ? "NULL" : response->descriptor->name,
                         method->response->name);
        return;
    }
    uint8_t small[SMALL_REPLY_BYTES];
    size_t len = snapi_message_try_pack(response, small, sizeof(small));
    if (BASE_LIKELY(len <= sizeof(small) && len <= call->max_reply && is_answered_here(call))) {
        reply_here(call, small, len);
        return;
    }
    struct snapi_outgoing out = {.message = len <= sizeof(small) ? NULL : response,
                                 .frame.body = small,
                                 .frame.body_len = len};
    if (out.frame.body_len > call->max_reply) {
        snap_server_fail(
            call, SNAP_RESOURCE_EXHAUSTED,
            "response of %zu bytes is longer than max_message_bytes %zu, the least of the server's, "
            "the client's and what the transport carries",
            out.frame.body_len, call->max_reply);
        return;
    }
    answer(call, &out);
}

/* ---- what a handler may ask: nothing here touches the server, which may be gone ---- */

uint64_t snap_server_call_time_left_us(const struct snap_server_call *call)
{
    if (call->deadline_ns == UINT64_MAX) {
        return UINT64_MAX;
    }
    return base_sub_sat_u64(call->deadline_ns, base_clock_now_ns()) / BASE_NS_PER_US;
}

int snap_server_call_is_cancelled(const struct snap_server_call *call)
{
    return atomic_load_explicit(&call->is_cancelled, memory_order_relaxed) != 0;
}

const char *snap_server_call_peer(const struct snap_server_call *call)
{
    return call->peer;
}

enum snap_transport snap_server_call_transport(const struct snap_server_call *call)
{
    return call->transport;
}
