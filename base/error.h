/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/**
 * Errors inside the library: one enum, one table, two flow macros and a per-thread note.
 *
 * Shape    BASE_ERR_TABLE is the only place that names an error; the enum, the texts, the kinds
 *          and the gRPC codes come from it. A value is never reused or renumbered.
 * Kinds    what a caller branches on. PEER means another process or host broke the rules: the
 *          answer is to drop that packet, flow or client, never to assert.
 * Threads  everything here may be called from any thread; the note belongs to the calling thread
 */

#define BASE_MUST_USE __attribute__((warn_unused_result))

enum base_err_kind {
    BASE_KIND_OK,
    BASE_KIND_AGAIN,     /**< nothing wrong: full, empty or not yet; never logged */
    BASE_KIND_USAGE,     /**< the caller asked for something it may not or cannot have */
    BASE_KIND_RESOURCE,  /**< a limit or memory ran out here */
    BASE_KIND_PEER,      /**< the other side broke the rules or is gone */
    BASE_KIND_IO,        /**< the system refused */
    BASE_KIND_CANCELLED, /**< given up on purpose, or for time */
    BASE_KIND_INTERNAL   /**< our own fault */
};

/* X(name, value, kind, gRPC code, text) */
#define BASE_ERR_TABLE(X) \
    X(BASE_OK, 0, OK, 0, "ok") \
    X(BASE_AGAIN, 1, AGAIN, 14, "not now, try again") \
    X(BASE_E_INVALID, 2, USAGE, 3, "invalid argument") \
    X(BASE_E_RANGE, 3, USAGE, 11, "out of range") \
    X(BASE_E_NOMEM, 4, RESOURCE, 8, "out of memory") \
    X(BASE_E_LIMIT, 5, RESOURCE, 8, "limit reached") \
    X(BASE_E_PEER, 6, PEER, 13, "the peer broke the protocol") \
    X(BASE_E_MALFORMED, 7, PEER, 13, "malformed data") \
    X(BASE_E_VERSION, 8, PEER, 9, "no version in common") \
    X(BASE_E_REFUSED, 9, PEER, 14, "refused by the peer") \
    X(BASE_E_UNREACHABLE, 10, IO, 14, "peer unreachable") \
    X(BASE_E_RESET, 11, PEER, 14, "connection reset") \
    X(BASE_E_TIMEOUT, 12, CANCELLED, 4, "timed out") \
    X(BASE_E_CLOSED, 13, CANCELLED, 14, "closed") \
    X(BASE_E_IN_USE, 14, USAGE, 9, "in use") \
    X(BASE_E_NOT_FOUND, 15, USAGE, 5, "not found") \
    X(BASE_E_EXISTS, 16, USAGE, 6, "exists already") \
    X(BASE_E_PERMISSION, 17, USAGE, 7, "permission denied") \
    X(BASE_E_IO, 18, IO, 14, "input/output error") \
    X(BASE_E_CANCELLED, 19, CANCELLED, 1, "cancelled") \
    X(BASE_E_UNSUPPORTED, 20, USAGE, 12, "not supported") \
    X(BASE_E_INTERNAL, 21, INTERNAL, 13, "internal error")

enum base_err {
#define X(name, value, kind, grpc, text) name = value,
    BASE_ERR_TABLE(X)
#undef X
};

/* Number of errors; also one past the largest value. */
enum {
    BASE_ERR_COUNT = BASE_E_INTERNAL + 1
};

/* These four accept any value: an unknown one is answered as BASE_E_INTERNAL. */
const char *base_err_name(enum base_err err); /**< "BASE_E_LIMIT"; static storage */
const char *base_err_text(enum base_err err); /**< "limit reached"; static storage */
enum base_err_kind base_err_kind(enum base_err err);
int base_err_grpc_code(enum base_err err); /**< 0..16 */

/** The error that stands for errno value `e`; BASE_OK for 0, BASE_E_IO for one without its own. */
enum base_err base_err_from_errno(int e);

/**
 * Sets this thread's note: which thing failed and why, for the status shown to the user. Replaces
 * the one before; cut at 255 bytes. `%m` works. For control paths, not for hot ones.
 */
void base_error_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** This thread's note, "" when there is none. Valid until the next note or clear. */
const char *base_error_last_note(void);
void base_error_clear_note(void);

/** Returns the error of `expr` from the calling function, if it is one. */
#define BASE_TRY(expr) \
    do { \
        enum base_err base_try_err_ = (expr); \
        if (base_try_err_ != BASE_OK) { \
            return base_try_err_; \
        } \
    } while (0)

/** Returns `err` from the calling function unless `cond` holds. */
#define BASE_ENSURE(cond, err) \
    do { \
        if (!(cond)) { \
            return (err); \
        } \
    } while (0)

#endif
