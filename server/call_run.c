/* SPDX-License-Identifier: Apache-2.0 */
#include "server/call_internal.h"

/**
 * When the handler of a call runs: at once, or when there is room for what it answers, or when the client
 * has read earlier answers, or when HELLO has said how long they may be.
 */
enum {
    LONG_REPLY_BYTES = 1024 * 1024 /* a method that answers so much is paced */
};

static void dispatch(struct snap_server_call *call)
{
    ProtobufCMessage *request = call->request;
    const struct snapi_handler *handler = call->handler;
    call->request = NULL;
    handler->method->dispatch(handler->typed, call, request, handler->arg);
}

void snapi_server_forget(struct snap_server_call *call)
{
    struct snap_server *server = call->server;
    snapi_server_end_call(call);
    snapi_arena_give_owned(call->arena);
    snapi_server_step(server);
}

/* ---- waiting for room ---- */

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

static void dispatch_or_pace(struct snap_server_call *call)
{
    if (must_wait(call)) {
        base_list_add_tail(&call->server->ready, &call->ready);
    } else {
        dispatch(call);
    }
}

/* Else a client that asks for much at once, but reads as fast as it can, would be taken for one that
 * does not read. */
static void hold(struct snap_server_call *call, size_t request_bytes)
{
    call->held_bytes = SNAPI_HELD_CALL_BYTES + request_bytes;
    call->conn->held_bytes += call->held_bytes;
    base_list_add_tail(&call->conn->held, &call->ready);
}

void snapi_server_dispatch_or_wait(struct snap_server_call *call, size_t request_bytes)
{
    if (snapi_server_must_hold(call->conn)) {
        hold(call, request_bytes);
    } else {
        dispatch_or_pace(call);
    }
}

/* A handler may end the connection; then all that are left have none. */
void snapi_server_run_held(struct snapi_server_conn *conn)
{
    struct base_list held;
    struct base_list *first;
    base_list_init(&held);
    base_list_splice_tail(&held, &conn->held);
    while ((first = base_list_take_first(&held)) != NULL) {
        struct snap_server_call *call = base_list_entry(first, struct snap_server_call, ready);
        if (call->conn != NULL && conn->pending_bytes >= SNAPI_HOLD_PENDING_BYTES) {
            base_list_add_tail(&conn->held, first);
            base_list_splice_tail(&conn->held, &held);
            return;
        }
        if (call->conn != NULL) {
            conn->held_bytes -= call->held_bytes;
        }
        if (snapi_server_is_read(call)) {
            dispatch_or_pace(call);
        } else {
            snapi_server_forget(call);
        }
    }
}

void snapi_server_run_ready(struct snap_server *server)
{
    struct base_list *first;
    while ((first = base_list_first(&server->ready)) != NULL) {
        struct snap_server_call *call = base_list_entry(first, struct snap_server_call, ready);
        if (snapi_server_is_read(call) && !call->conn->conn->ops->has_room(call->conn->conn)) {
            return;
        }
        base_list_del(first);
        if (!snapi_server_is_read(call)) {
            snapi_server_forget(call);
        } else if (snapi_server_must_hold(call->conn)) {
            hold(call, 0);
        } else {
            dispatch(call);
        }
    }
}

void snapi_server_run_ready_later(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    snapi_server_run_ready(base_container_of(work, struct snap_server, ready_work));
}

/* ---- waiting for HELLO ---- */

void snapi_server_wait_for_hello(struct snap_server_call *call, size_t request_bytes)
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
        if (snapi_server_is_read(call)) {
            snapi_server_dispatch_or_wait(call, 0);
        } else {
            snapi_server_forget(call);
        }
    }
}
