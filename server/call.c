/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/status.h"
#include "server/call_internal.h"

#include <string.h>

/**
 * From a REQUEST to a call, or to an error in its place.
 */
enum {
    EARLY_CALLS_MAX = 1024,       /* of one connection, before its HELLO */
    EARLY_BYTES_MAX = 1024 * 1024 /* of their requests, encoded */
};

enum base_err snapi_server_calls_init(struct snap_server *server)
{
    base_list_init(&server->adrift);
    base_list_init(&server->ready);
    snapi_work_init(&server->ready_work, snapi_server_run_ready_later);
    return snapi_server_by_id_init(server);
}

/* ---- refusing ---- */

bool snapi_server_send_error(struct snapi_server_conn *conn, uint64_t id, uint8_t flags,
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
    (void)snapi_server_send_error(conn, id, SNAPI_RESPONSE_NOT_RUN, &status);
}

/* ---- admitting ---- */

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

/* PR-20: what overtakes HELLO waits for it, within bounds: who says none could fill the server. */
static bool may_be_early(const struct snapi_server_conn *conn, const struct snapi_frame *frame)
{
    return conn->n_early < EARLY_CALLS_MAX &&
           conn->early_bytes + frame->body_len <= EARLY_BYTES_MAX;
}

static bool may_be_held(const struct snapi_server_conn *conn, const struct snapi_frame *frame)
{
    return conn->held_bytes + SNAPI_HELD_CALL_BYTES + frame->body_len <=
           snapi_server_pending_limit(conn);
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
    if (snapi_server_must_hold(conn) && !may_be_held(conn, frame)) {
        refuse(conn, frame->id, SNAP_RESOURCE_EXHAUSTED,
               "%zu bytes of requests wait for the client to read earlier answers (limit %zu)",
               conn->held_bytes, snapi_server_pending_limit(conn));
        return;
    }
    struct snap_server_call *call = admit(conn, frame, handler, end);
    if (call == NULL) {
        return;
    }
    if (BASE_UNLIKELY(!conn->has_hello)) {
        snapi_server_wait_for_hello(call, frame->body_len);
    } else {
        snapi_server_dispatch_or_wait(call, frame->body_len);
    }
}
