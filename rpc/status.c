/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/status.h"

#include "base/compiler.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct snap_status) == 256, "the API promises 256 bytes");

const struct snap_status snapi_status_ok = {.code = SNAP_OK};

static const char *const code_names[] = {
    [SNAP_OK] = "OK",
    [SNAP_CANCELLED] = "CANCELLED",
    [SNAP_UNKNOWN] = "UNKNOWN",
    [SNAP_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [SNAP_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [SNAP_NOT_FOUND] = "NOT_FOUND",
    [SNAP_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [SNAP_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [SNAP_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [SNAP_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [SNAP_ABORTED] = "ABORTED",
    [SNAP_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [SNAP_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [SNAP_INTERNAL] = "INTERNAL",
    [SNAP_UNAVAILABLE] = "UNAVAILABLE",
    [SNAP_DATA_LOSS] = "DATA_LOSS",
    [SNAP_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *snap_code_name(enum snap_code code)
{
    size_t i = (size_t)code;
    return i < BASE_ARRAY_LEN(code_names) ? code_names[i] : code_names[SNAP_UNKNOWN];
}

/* Takes off a UTF-8 character that was cut at the end; returns the new length. */
static size_t trim_cut_utf8(const char *text, size_t len)
{
    size_t start = len;
    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return len;
    }
    unsigned char lead = (unsigned char)text[start - 1];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return need > len - start + 1 ? start - 1 : len;
}

struct snap_status snapi_status_vmake(enum snap_code code, const char *fmt, va_list args)
{
    struct snap_status status = {.code = (unsigned char)code};
    if ((size_t)code >= BASE_ARRAY_LEN(code_names)) {
        status.code = SNAP_UNKNOWN;
    }
    int n = vsnprintf(status.message, sizeof(status.message), fmt, args);
    if (n >= (int)sizeof(status.message)) {
        size_t len = trim_cut_utf8(status.message, sizeof(status.message) - 1);
        memset(status.message + len, 0, sizeof(status.message) - len);
    }
    return status;
}

struct snap_status snap_status_make(enum snap_code code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct snap_status status = snapi_status_vmake(code, fmt, args);
    va_end(args);
    return status;
}

struct snap_status snapi_status_of(enum snap_code code, enum snap_origin origin, enum snap_ran ran,
                                   const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct snap_status status = snapi_status_vmake(code, fmt, args);
    va_end(args);
    status.origin = (unsigned char)origin;
    status.ran = (unsigned char)ran;
    return status;
}

struct snap_status snapi_status_from_err(enum base_err err, enum snap_origin origin,
                                         const char *what, ...)
{
    if (err == BASE_OK) {
        base_error_clear_note();
        return snapi_status_ok;
    }
    char subject[128];
    va_list args;
    va_start(args, what);
    (void)vsnprintf(subject, sizeof(subject), what, args);
    va_end(args);
    const char *note = base_error_last_note();
    struct snap_status status = snapi_status_of(
        (enum snap_code)base_err_grpc_code(err), origin, SNAP_RAN_NO, "%s%s%s", subject,
        subject[0] != '\0' ? ": " : "", note[0] != '\0' ? note : base_err_text(err));
    base_error_clear_note();
    return status;
}

struct snap_status snapi_status_from_peer(unsigned code, enum snap_ran ran, const char *text,
                                          size_t text_len)
{
    struct snap_status status = {
        .code = (unsigned char)(code < BASE_ARRAY_LEN(code_names) ? code : SNAP_UNKNOWN),
        .origin = SNAP_ORIGIN_REMOTE,
        .ran = (unsigned char)ran,
    };
    size_t len = text_len;
    if (len > sizeof(status.message) - 1) {
        len = trim_cut_utf8(text, sizeof(status.message) - 1);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        status.message[i] = c < 0x20 || c == 0x7f ? ' ' : text[i];
    }
    return status;
}
