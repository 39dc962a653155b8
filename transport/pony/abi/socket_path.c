/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/socket_path.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == PONY_SOCKET_PATH_MAX, "sockaddr_un");

static enum base_err join(const char *dir, const char *rest, char *out)
{
    int n = snprintf(out, PONY_SOCKET_PATH_MAX, "%s%s", dir, rest);
    if (n < 0 || n >= PONY_SOCKET_PATH_MAX) {
        out[0] = '\0';
        base_error_note("socket path %s%s is longer than the %d bytes a Unix socket may have", dir,
                        rest, PONY_SOCKET_PATH_MAX - 1);
        return BASE_E_LIMIT;
    }
    return BASE_OK;
}

static bool is_set(const char *s)
{
    return s != NULL && s[0] != '\0';
}

enum base_err pony_socket_path(const char *name, enum pony_socket_use use, char *out)
{
    out[0] = '\0';
    if (is_set(name)) {
        return join(name, "", out);
    }
    const char *env = secure_getenv("SNAPD_SOCKET");
    if (is_set(env)) {
        return join(env, "", out);
    }
    if (geteuid() == 0 || (use == PONY_SOCKET_CONNECT && access(PONY_SOCKET_SYSTEM, F_OK) == 0)) {
        return join(PONY_SOCKET_SYSTEM, "", out);
    }
    const char *run = secure_getenv("XDG_RUNTIME_DIR");
    if (is_set(run)) {
        return join(run, "/snaprpc/snapd.sock", out);
    }
    return join(PONY_SOCKET_SYSTEM, "", out);
}
