/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_REGISTRY_H
#define SERVER_REGISTRY_H

#include "base/error.h"
#include "rpc/frame.h"

#include <snaprpc/method.h>

#include <stddef.h>
#include <stdint.h>

/**
 * Registry: full method name to handler.
 *
 * Shape    open addressing, at most half full; XXH3 of the name, the whole name compared
 * Memory   grows while methods are added, never afterwards; names and methods are the
 *          application's constants
 * Threads  one owner
 */
struct snapi_handler {
    const struct snap_method *method;
    snap_any_fn *typed; /**< NULL: known, but not implemented */
    void *arg;
    struct snapi_known name; /**< the method's */
    uint64_t hash;
    size_t reply_bytes; /**< of its last reply; the server's */
};

struct snapi_registry {
    struct snapi_handler *slots; /**< [n_slots]; method NULL: free */
    uint32_t n_slots;            /**< power of two, or 0 */
    uint32_t n_methods;
};

/** Accepts a zeroed registry. */
void snapi_registry_fini(struct snapi_registry *registry);

/**
 * Adds one method.
 *
 * Errors  BASE_E_EXISTS; BASE_E_INVALID: name empty or too long; BASE_E_NOMEM. The note names it.
 */
BASE_MUST_USE enum base_err snapi_registry_add(struct snapi_registry *registry,
                                               const struct snap_method *method, snap_any_fn *typed,
                                               void *arg);

/** The handler of that name, or NULL. Valid until the next add. */
struct snapi_handler *snapi_registry_find(const struct snapi_registry *registry, const char *name,
                                          size_t name_len);

#endif
