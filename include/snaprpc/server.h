/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPRPC_SERVER_H
#define SNAPRPC_SERVER_H

#include <snaprpc/export.h>
#include <snaprpc/loop.h>
#include <snaprpc/method.h>
#include <snaprpc/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Server: services behind one or more addresses, over every transport this host has.
 *
 * Handlers run on the thread that drives the loop. A handler may reply before it returns, or
 * later, from any thread. Each call is answered once; a call dropped without an answer
 * (snap_server_stop) ends with UNAVAILABLE at the caller.
 */
struct snap_server;

/** One call at the server: valid from its handler's start until it is answered. */
struct snap_server_call;

struct snap_server_options {
    size_t size;        /**< sizeof(struct snap_server_options) */
    uint32_t max_calls; /**< unanswered at once; more are RESOURCE_EXHAUSTED; 0: 65536 */
    uint32_t traffic;   /**< enum snap_traffic: of all answers; DEFAULT: as each client asks */
};

#define SNAP_SERVER_OPTIONS_INIT \
    { \
        sizeof(struct snap_server_options), 0, 0 \
    }

SNAP_API SNAP_MUST_USE struct snap_status snap_server_create(
    struct snap_loop *loop, const struct snap_server_options *options, struct snap_server **server);

/**
 * Adds a service. Generated code calls this from its typed `..__serve()`.
 *
 * @param handlers  [service->n_methods], in the service's order; NULL: UNIMPLEMENTED. Copied.
 *
 * Errors  ALREADY_EXISTS a method of that name is served; FAILED_PRECONDITION after listen
 */
SNAP_API SNAP_MUST_USE struct snap_status snap_server_add(struct snap_server *server,
                                                          const struct snap_service *service,
                                                          snap_any_fn *const *handlers, void *arg);

/**
 * Listens at `address`: "0.0.0.0:7000", "[::]:7000", "127.0.0.1:0" (any free port), "unix:/path".
 * Where this host has a snapd, the server is reachable over Pony too, and says so to clients
 * that come over TCP; when snapd comes later, from then on. A server that listens at loopback
 * addresses and paths only is reachable over Pony only from this host's snapd.
 *
 * Errors  INVALID_ARGUMENT; ALREADY_EXISTS the address is in use; PERMISSION_DENIED
 */
SNAP_API SNAP_MUST_USE struct snap_status snap_server_listen(struct snap_server *server,
                                                             const char *address);

/** The TCP port of the first listener; 0: none. For servers that asked for any free one. */
SNAP_API unsigned snap_server_port(const struct snap_server *server);

/**
 * Stops: no new connections or calls (they are refused as not run); waits up to `grace_ms` for
 * unanswered calls, then ends them with UNAVAILABLE. Drives the loop meanwhile. Then frees the
 * server. A call still held by the application may still be answered: that does nothing but free it.
 */
SNAP_API void snap_server_stop(struct snap_server *server, uint64_t grace_ms);

/** Answers a call; `response` must be of the method's type, and may be freed right after. */
SNAP_API void snap_server_reply(struct snap_server_call *call, const ProtobufCMessage *response);

/** Ends a call with an error. SNAP_OK is turned into SNAP_INTERNAL. */
SNAP_API void snap_server_fail(struct snap_server_call *call, enum snap_code code, const char *fmt,
                               ...) SNAP_PRINTF(3, 4);

/** The caller's time left in microseconds; UINT64_MAX: no deadline; 0: over. */
SNAP_API uint64_t snap_server_call_time_left_us(const struct snap_server_call *call);

/** Whether the caller cancelled or is gone: the answer will not be read. */
SNAP_API int snap_server_call_is_cancelled(const struct snap_server_call *call);

/** The caller's address as its transport names it, e.g. "pony:10.0.0.1:4741" ; until answered. */
SNAP_API const char *snap_server_call_peer(const struct snap_server_call *call);

/** The transport that brought the call. */
SNAP_API enum snap_transport snap_server_call_transport(const struct snap_server_call *call);

#ifdef __cplusplus
}
#endif

#endif
