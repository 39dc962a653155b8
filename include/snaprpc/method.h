/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPRPC_METHOD_H
#define SNAPRPC_METHOD_H

#include <snaprpc/export.h>
#include <snaprpc/status.h>

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Descriptions of methods and services, as protoc-gen-snaprpc writes them.
 *
 * All are constants: made at compile time, never freed, shared by all threads.
 *
 * Typed functions travel through the untyped core as `snap_any_fn *` and are cast back to their
 * true type by the generated trampoline before they are called: no function is ever called
 * through a pointer of another type.
 */

struct snap_server_call;

typedef void snap_any_fn(void);

/** How a call ended and what carried it; see channel.h for the fields' meaning. */
struct snap_result;

/** Calls `typed` (an application's callback of the method's own type) with its typed response. */
typedef void snap_done_fn(snap_any_fn *typed, void *arg, const struct snap_result *result,
                          ProtobufCMessage *response);

/** Calls `typed` (an application's handler of the method's own type) with its typed request. */
typedef void snap_dispatch_fn(snap_any_fn *typed, struct snap_server_call *call,
                              const ProtobufCMessage *request, void *arg);

enum snap_method_kind {
    SNAP_UNARY = 0,
    SNAP_CLIENT_STREAM = 1, /**< reserved */
    SNAP_SERVER_STREAM = 2, /**< reserved */
    SNAP_BIDI_STREAM = 3    /**< reserved */
};

enum {
    SNAP_METHOD_IDEMPOTENT = 1u << 0 /**< may be run twice: IDEMPOTENT or NO_SIDE_EFFECTS */
};

struct snap_method {
    const char *name; /**< "package.Service/Method", at most SNAP_METHOD_NAME_MAX bytes */
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    snap_done_fn *done;         /**< client's trampoline */
    snap_dispatch_fn *dispatch; /**< server's trampoline */
    uint32_t kind;              /**< enum snap_method_kind */
    uint32_t flags;             /**< SNAP_METHOD_* */
};

enum {
    SNAP_METHOD_NAME_MAX = 1023
};

struct snap_service {
    const char *name;                         /**< "package.Service" */
    const struct snap_method *const *methods; /**< [n_methods] */
    size_t n_methods;
};

#ifdef __cplusplus
}
#endif

#endif
