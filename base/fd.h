/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FD_H
#define BASE_FD_H

/**
 * File descriptors: flags, closing, and messages that carry descriptors over AF_UNIX.
 * Any thread; a descriptor has one owner.
 */
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Descriptors in one message, at most. */
enum {
    BASE_FD_MSG_MAX = 16
};

BASE_MUST_USE enum base_err base_fd_set_nonblock(int fd);
BASE_MUST_USE enum base_err base_fd_set_cloexec(int fd);

/** Closes *fd unless it is negative, and sets it to -1, so that a second call does nothing. Keeps
 * errno. On Linux the descriptor is gone also when close says EINTR; it is not tried again. */
void base_fd_close(int *fd);

/**
 * Sends one message with descriptors over a SOCK_SEQPACKET or SOCK_DGRAM Unix socket. All or nothing;
 * the descriptors stay the caller's. No SIGPIPE.
 *
 * @param len    1 or more: a descriptor cannot travel alone
 * @param n_fds  at most BASE_FD_MSG_MAX
 *
 * Errors  BASE_AGAIN, BASE_E_INVALID, BASE_E_CLOSED (peer gone), BASE_E_LIMIT (message too long), BASE_E_IO
 */
BASE_MUST_USE enum base_err base_fd_send_msg(int sock, const void *data, size_t len, const int *fds,
                                             uint32_t n_fds);

/** Where a message goes. The caller fills the first four, the call the last two. */
struct base_fd_msg {
    void *data;
    size_t capacity; /**< bytes at data */
    int *fds;
    uint32_t max_fds; /**< at most BASE_FD_MSG_MAX */
    size_t len;       /**< bytes received */
    uint32_t n_fds;   /**< descriptors received; close-on-exec; the caller's from now on */
};

/**
 * Receives one message. On every error no descriptor stays open: what came with it is closed.
 *
 * Errors  BASE_AGAIN: none there (non-blocking socket); BASE_E_CLOSED: the peer closed;
 *         BASE_E_MALFORMED: longer than capacity, or more descriptors than max_fds;
 *         BASE_E_LIMIT: this process may open no more descriptors; BASE_E_IO
 */
BASE_MUST_USE enum base_err base_fd_recv_msg(int sock, struct base_fd_msg *msg);

#endif
