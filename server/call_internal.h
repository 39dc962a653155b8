/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CALL_INTERNAL_H
#define SERVER_CALL_INTERNAL_H

#include "server/server_impl.h"

/**
 * What call.c, call_run.c, call_cancel.c and call_reply.c share.
 *
 * Threads  the owner of the loop
 */

/** Takes it out of the chain of its number, where it is in one. */
static inline void snapi_server_unchain_if_chained(struct snap_server_call *call)
{
    if (BASE_UNLIKELY(call->hash_at != NULL)) {
        snapi_server_unchain(call);
    }
}

/** The call ends, but for its arena, which is still to be given back. */
static inline void snapi_server_end_call(struct snap_server_call *call)
{
    snapi_server_unchain_if_chained(call);
    base_list_del(&call->link);
    call->server->n_calls--;
}

/** Whether somebody will read the answer. */
static inline bool snapi_server_is_read(const struct snap_server_call *call)
{
    return call->conn != NULL &&
           atomic_load_explicit(&call->is_cancelled, memory_order_relaxed) == 0;
}

/* ---- call.c ---- */

/** Answers with an error. False: it has aborted the connection, which is freed. */
bool snapi_server_send_error(struct snapi_server_conn *conn, uint64_t id, uint8_t flags,
                             const struct snap_status *status);

/* ---- call_run.c ---- */

enum {
    SNAPI_HOLD_PENDING_BYTES = 1024 * 1024, /**< answers that wait: no handler runs meanwhile */
    SNAPI_HELD_CALL_BYTES = 4096            /**< what a held call costs besides its request */
};

/** Whether calls wait as requests, not as answers: the client asks for more than the wire takes, or does
 *  not read. It has answers pending then, so on_writable follows. PR-32 */
static inline bool snapi_server_must_hold(const struct snapi_server_conn *conn)
{
    return BASE_UNLIKELY(conn->has_pending) &&
           (conn->pending_bytes >= SNAPI_HOLD_PENDING_BYTES || !base_list_is_empty(&conn->held));
}

/** Runs the handler, now or when earlier answers have left. May free connections.
 * @param request_bytes  what the request takes, should it have to wait */
void snapi_server_dispatch_or_wait(struct snap_server_call *call, size_t request_bytes);

/** Runs the handler when the client's HELLO is there. */
void snapi_server_wait_for_hello(struct snap_server_call *call, size_t request_bytes);

/** Ends one whose handler never ran, and whose answer nobody reads. */
void snapi_server_forget(struct snap_server_call *call);

/** The server's ready_work: snapi_server_run_ready(). */
void snapi_server_run_ready_later(struct snap_loop *loop, struct snapi_work *work);

#endif
