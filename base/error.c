/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include "base/assert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct err_row {
    const char *name;
    const char *text;
    enum base_err_kind kind;
    int grpc_code;
};

static const struct err_row table[BASE_ERR_COUNT] = {
#define X(name, value, kind, grpc, text) [value] = {#name, text, BASE_KIND_##kind, grpc},
    BASE_ERR_TABLE(X)
#undef X
};

enum {
    NOTE_MAX = 256
};

static _Thread_local char note[NOTE_MAX];

static const struct err_row *row_of(enum base_err err)
{
    unsigned idx = (unsigned)err;
    return &table[idx < BASE_ERR_COUNT ? idx : (unsigned)BASE_E_INTERNAL];
}

const char *base_err_name(enum base_err err)
{
    return row_of(err)->name;
}

const char *base_err_text(enum base_err err)
{
    return row_of(err)->text;
}

enum base_err_kind base_err_kind(enum base_err err)
{
    return row_of(err)->kind;
}

int base_err_grpc_code(enum base_err err)
{
    return row_of(err)->grpc_code;
}

static const struct {
    int e;
    enum base_err err;
} from_errno[] = {
    {0, BASE_OK},
    {EAGAIN, BASE_AGAIN},
    {EINPROGRESS, BASE_AGAIN},
    {EALREADY, BASE_AGAIN},
    {EINTR, BASE_AGAIN},
    {EINVAL, BASE_E_INVALID},
    {EDOM, BASE_E_RANGE},
    {ERANGE, BASE_E_RANGE},
    {EOVERFLOW, BASE_E_RANGE},
    {ENOMEM, BASE_E_NOMEM},
    {ENOBUFS, BASE_E_NOMEM},
    {EMFILE, BASE_E_LIMIT},
    {ENFILE, BASE_E_LIMIT},
    {EMSGSIZE, BASE_E_LIMIT},
    {ENOSPC, BASE_E_LIMIT},
    {EDQUOT, BASE_E_LIMIT},
    {EPROTO, BASE_E_PEER},
    {EBADMSG, BASE_E_MALFORMED},
    {ECONNREFUSED, BASE_E_REFUSED},
    {EHOSTUNREACH, BASE_E_UNREACHABLE},
    {ENETUNREACH, BASE_E_UNREACHABLE},
    {EHOSTDOWN, BASE_E_UNREACHABLE},
    {ENETDOWN, BASE_E_UNREACHABLE},
    {ECONNRESET, BASE_E_RESET},
    {ECONNABORTED, BASE_E_RESET},
    {EPIPE, BASE_E_RESET},
    {ETIMEDOUT, BASE_E_TIMEOUT},
    {ENOTCONN, BASE_E_CLOSED},
    {ESHUTDOWN, BASE_E_CLOSED},
    {EADDRINUSE, BASE_E_IN_USE},
    {EBUSY, BASE_E_IN_USE},
    {ENOENT, BASE_E_NOT_FOUND},
    {EADDRNOTAVAIL, BASE_E_NOT_FOUND},
    {EEXIST, BASE_E_EXISTS},
    {EPERM, BASE_E_PERMISSION},
    {EACCES, BASE_E_PERMISSION},
    {ECANCELED, BASE_E_CANCELLED},
    {ENOSYS, BASE_E_UNSUPPORTED},
    {EOPNOTSUPP, BASE_E_UNSUPPORTED},
    {EAFNOSUPPORT, BASE_E_UNSUPPORTED},
    {EPROTONOSUPPORT, BASE_E_UNSUPPORTED},
};

enum base_err base_err_from_errno(int e)
{
    for (size_t i = 0; i < sizeof(from_errno) / sizeof(from_errno[0]); i++) {
        if (from_errno[i].e == e) {
            return from_errno[i].err;
        }
    }
    return BASE_E_IO;
}

void base_error_note(const char *fmt, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(note, sizeof(note), fmt, args);
    va_end(args);
    errno = saved;
}

const char *base_error_last_note(void)
{
    return note;
}

void base_error_clear_note(void)
{
    note[0] = '\0';
}

void base_assert_fail(const char *expr, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
    abort();
}
