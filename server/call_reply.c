/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/status.h"
#include "server/call_internal.h"

#include <stdarg.h>
#include <string.h>

/**
 * What applications do with a call, on any thread: answer it, and ask about it.
 */
enum {
    SMALL_REPLY_BYTES = 128 /* what is no longer is packed without measuring it first */
};

static bool may_send(const struct snap_server_call *call)
{
    return snapi_server_is_read(call) && !call->conn->is_closing;
}

static void answer_as_owner(struct snap_server_call *call, struct snapi_outgoing *out)
{
    struct snap_server *server = call->server;
    struct snapi_server_conn *conn = call->conn;
    bool sends = may_send(call);
    call->handler->reply_bytes = out->frame.body_len;
    snapi_server_end_call(call);
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
    snapi_server_end_call(call);
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
    /* A1: pairs with R1 in call_cancel.c. From LIVE to ANSWERING keeps the server. */
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
    snapi_server_end_call(call);
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
