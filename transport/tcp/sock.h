/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KTCP_SOCK_H
#define KTCP_SOCK_H

#include "base/error.h"
#include "transport/tcp/addr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/**
 * Sockets: made, listened on, set up. All are non-blocking and close-on-exec. Any thread.
 */
enum {
    KTCP_BACKLOG = 4096, /**< the kernel lowers it to net.core.somaxconn */
    KTCP_KEEPALIVE_IDLE_S = 15,
    KTCP_KEEPALIVE_INTERVAL_S = 5,
    KTCP_KEEPALIVE_COUNT = 3,
    KTCP_USER_TIMEOUT_MS =
        30000, /**< sent and not acknowledged, or no room at the peer, for so long */
    KTCP_NOTSENT_BYTES = 256 << 10 /**< in the kernel and not yet on the way, at most about */
};

/** A bound, listening socket. `path_stat` is the socket file's, when addr is a Unix one.
 *  Errors: BASE_E_IN_USE, BASE_E_PERMISSION, BASE_E_LIMIT, BASE_E_IO; with a note. */
BASE_MUST_USE enum base_err ktcp_sock_listen(const struct ktcp_addr *addr, int *fd,
                                             struct stat *path_stat);

/** Removes the file of a Unix listener, if it is still the one that was made. */
void ktcp_sock_unlink(const struct ktcp_addr *addr, const struct stat *path_stat);

/** A socket to connect to `addr`. Errors: BASE_E_LIMIT, BASE_E_UNREACHABLE, BASE_E_IO; with a note. */
BASE_MUST_USE enum base_err ktcp_sock_open(const struct ktcp_addr *addr, int *fd);

/** No delay, keepalive, timeout: of a connection. What the system refuses is left as it is. */
void ktcp_sock_tune(int fd, bool is_unix);

/** Closes so that the peer gets a reset, and what is in the kernel is dropped. */
void ktcp_sock_reset(int *fd, bool is_unix);

#endif
