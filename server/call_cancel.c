/* SPDX-License-Identifier: Apache-2.0 */
#include "server/call_internal.h"

#include <snaprpc/status.h>

/**
 * Calls whose answers nobody waits for any more: the client cancelled them, its connection is gone,
 * or the server stops.
 */

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

/* The connection is no longer concerned with the call; the server still is. */
static void set_adrift(struct snap_server_call *call)
{
    snapi_server_unchain_if_chained(call);
    base_list_del(&call->link);
    base_list_add_tail(&call->server->adrift, &call->link);
    call->conn = NULL;
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
        snapi_server_forget(base_list_entry(link, struct snap_server_call, ready));
    }
    while ((link = base_list_take_first(&conn->held)) != NULL) {
        snapi_server_forget(base_list_entry(link, struct snap_server_call, ready));
    }
    if (!base_list_is_empty(&conn->server->ready)) {
        /* It may be the one whose on_writable was awaited. */
        snapi_loop_defer(conn->server->loop, &conn->server->ready_work);
    }
}

/* ---- the server stops ---- */

/* The server has nothing to do with the call any more. False: telling its client has ended the
 * connection. */
static bool orphan(struct snap_server_call *call, const struct snap_status *status)
{
    struct snap_server *server = call->server;
    struct snapi_server_conn *conn = call->conn;
    uint64_t id = call->id;
    uint32_t live = SNAPI_CALL_LIVE;
    bool was_read = snapi_server_is_read(call);
    bool is_new = call->request != NULL;
    set_cancelled(call);
    snapi_server_unchain_if_chained(call);
    call->conn = NULL;
    base_list_del(&call->link);
    if (is_new) {
        base_list_del(&call->ready);
    }
    /* R1: pairs with A1 in call_reply.c: after this the call is the application's alone. */
    if (atomic_compare_exchange_strong_explicit(&call->state, &live, SNAPI_CALL_ORPHANED,
                                                memory_order_acq_rel, memory_order_acquire)) {
        server->n_calls--;
    }
    if (is_new) {
        snapi_arena_give_owned(call->arena); /* the application never saw it */
    }
    return !was_read ||
           snapi_server_send_error(conn, id, is_new ? SNAPI_RESPONSE_NOT_RUN : 0, status);
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
