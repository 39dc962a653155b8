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

/** Runs the handler, now or when earlier long answers have left. May free connections. */
void snapi_server_dispatch_or_wait(struct snap_server_call *call);

/** Runs the handler when the client's HELLO is there. */
void snapi_server_wait_for_hello(struct snap_server_call *call, size_t request_bytes);

/** Ends one whose handler never ran, and whose answer nobody reads. */
void snapi_server_forget(struct snap_server_call *call);

/** The server's ready_work: snapi_server_run_ready(). */
void snapi_server_run_ready_later(struct snap_loop *loop, struct snapi_work *work);

#endif
