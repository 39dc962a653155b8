/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_STATUS_H
#define RPC_STATUS_H

#include "base/error.h"

#include <snaprpc/status.h>

#include <stdarg.h>
#include <stddef.h>

/**
 * The only place where errors inside (enum base_err), statuses of the API and the one-byte codes
 * of frames are turned into each other.
 */

/** "what: note" with the code that the table gives; the note is this thread's last one, or the
 * error's text when there is none. OK for BASE_OK. Clears the note. */
struct snap_status snapi_status_from_err(enum base_err err, enum snap_origin origin,
                                         const char *what, ...)
    __attribute__((format(printf, 3, 4)));

/** A status with an origin and the answer to "did it run". */
struct snap_status snapi_status_of(enum snap_code code, enum snap_origin origin, enum snap_ran ran,
                                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/** What a peer answered. `text` is copied, cut, and cleaned of control characters and cut UTF-8. */
struct snap_status snapi_status_from_peer(unsigned code, enum snap_ran ran, const char *text,
                                          size_t text_len);

struct snap_status snapi_status_vmake(enum snap_code code, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

extern const struct snap_status snapi_status_ok;

#endif
