/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPRPC_STATUS_H
#define SNAPRPC_STATUS_H

#include <snaprpc/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Status: how a call, or any other public function, ended.
 *
 * Shape    one plain value of 256 bytes; copy it as you like, nothing to free
 * Source   gRPC's 17 codes, https://grpc.io/docs/guides/status-codes
 */
enum snap_code {
    SNAP_OK = 0,
    SNAP_CANCELLED = 1,           /**< the caller cancelled it */
    SNAP_UNKNOWN = 2,             /**< the remote method failed without saying how */
    SNAP_INVALID_ARGUMENT = 3,    /**< wrong whatever the system's state */
    SNAP_DEADLINE_EXCEEDED = 4,   /**< the time given to the call is over */
    SNAP_NOT_FOUND = 5,           /**< the thing asked for does not exist */
    SNAP_ALREADY_EXISTS = 6,      /**< the thing to be made exists */
    SNAP_PERMISSION_DENIED = 7,   /**< the caller is known and may not */
    SNAP_RESOURCE_EXHAUSTED = 8,  /**< a limit was hit; the message names it */
    SNAP_FAILED_PRECONDITION = 9, /**< wrong in the system's present state */
    SNAP_ABORTED = 10,            /**< lost against a concurrent operation */
    SNAP_OUT_OF_RANGE = 11,       /**< past the end */
    SNAP_UNIMPLEMENTED = 12,      /**< no such service or method there */
    SNAP_INTERNAL = 13,           /**< a broken invariant: a bug, ours or the peer's */
    SNAP_UNAVAILABLE = 14,        /**< the peer cannot be reached now; try again later */
    SNAP_DATA_LOSS = 15,          /**< bytes are lost for good */
    SNAP_UNAUTHENTICATED = 16     /**< the caller did not show who it is */
};

/** Where a status was decided. */
enum snap_origin {
    SNAP_ORIGIN_LOCAL = 0,     /**< in this process: bad argument, limit, deadline, cancelled */
    SNAP_ORIGIN_TRANSPORT = 1, /**< between the two: refused, broken, unreachable */
    SNAP_ORIGIN_REMOTE = 2     /**< by the peer: its library or its handler */
};

/** Whether the remote handler was started for a call. */
enum snap_ran {
    SNAP_RAN_NO = 0,    /**< certainly not: repeating the call is safe */
    SNAP_RAN_MAYBE = 1, /**< not known: repeat only what is idempotent */
    SNAP_RAN_YES = 2    /**< certainly */
};

enum {
    SNAP_STATUS_MESSAGE_MAX = 253
};

struct snap_status {
    unsigned char code;                    /**< enum snap_code */
    unsigned char origin;                  /**< enum snap_origin */
    unsigned char ran;                     /**< enum snap_ran; of calls only, else SNAP_RAN_NO */
    char message[SNAP_STATUS_MESSAGE_MAX]; /**< what and the remedy; "" if OK; NUL-ended, UTF-8 */
};

/** Tells whether `status` says OK. */
static inline int snap_ok(const struct snap_status *status)
{
    return status->code == SNAP_OK;
}

/** Name of a code, e.g. "UNAVAILABLE"; "CODE(n)" is never returned: unknown values give "UNKNOWN". */
SNAP_API const char *snap_code_name(enum snap_code code);

/** A status with a printf-formatted message, cut at SNAP_STATUS_MESSAGE_MAX - 1 bytes. */
SNAP_API struct snap_status snap_status_make(enum snap_code code, const char *fmt, ...)
    SNAP_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif

#endif
