/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_ABI_SOCKET_PATH_H
#define PONY_ABI_SOCKET_PATH_H

#include "base/error.h"

/**
 * Where snapd's control socket is, for those who connect and for snapd itself. The first that holds:
 *
 *   1. what the caller names
 *   2. $SNAPD_SOCKET, unless empty (ignored in a set-user-ID program)
 *   3. /run/snaprpc/snapd.sock: when we are root, or (connecting) when it exists
 *   4. $XDG_RUNTIME_DIR/snaprpc/snapd.sock
 *   5. /run/snaprpc/snapd.sock
 *
 * Threads  any; reads the environment
 */
enum {
    PONY_SOCKET_PATH_MAX = 108 /**< with the NUL: what sockaddr_un takes */
};

#define PONY_SOCKET_SYSTEM "/run/snaprpc/snapd.sock"

enum pony_socket_use {
    PONY_SOCKET_CONNECT,
    PONY_SOCKET_LISTEN
};

/**
 * @param name  NULL or "": none named
 * @param out   [PONY_SOCKET_PATH_MAX]; "" unless BASE_OK
 *
 * Errors  BASE_E_LIMIT: longer than a Unix socket's path may be; the note names the path
 */
BASE_MUST_USE enum base_err pony_socket_path(const char *name, enum pony_socket_use use, char *out);

#endif
