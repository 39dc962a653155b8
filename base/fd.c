/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for the most descriptors that the kernel puts into one message (SCM_MAX_FD is 253): with less,
 * a sender could make the kernel cut the list, and the difference would be harder to tell. */
enum {
    KERNEL_MAX_FDS = 253
};

enum base_err base_fd_set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return base_err_from_errno(errno);
    }
    return BASE_OK;
}

enum base_err base_fd_set_cloexec(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) {
        return base_err_from_errno(errno);
    }
    return BASE_OK;
}

void base_fd_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        (void)close(*fd);
        errno = saved;
    }
    *fd = -1;
}

enum base_err base_fd_send_msg(int sock, const void *data, size_t len, const int *fds,
                               uint32_t n_fds)
{
    BASE_ENSURE(len > 0 && n_fds <= BASE_FD_MSG_MAX, BASE_E_INVALID);
    /* sendmsg does not write through iov_base; the type only lacks the const. */
    struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * BASE_FD_MSG_MAX)] = {0};
    if (n_fds > 0) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
    }
    ssize_t n;
    do {
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EPIPE || errno == ECONNRESET || errno == ECONNREFUSED
                   ? BASE_E_CLOSED
                   : base_err_from_errno(errno);
    }
    return (size_t)n == len ? BASE_OK : BASE_E_IO;
}

/* Moves the descriptors of a received message to `out`, and closes those that find no room.
 * Returns false when there were any of those. */
static bool collect_fds(struct msghdr *msg, struct base_fd_msg *out)
{
    bool is_complete = true;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
            if (out->n_fds < out->max_fds) {
                out->fds[out->n_fds++] = fd;
            } else {
                base_fd_close(&fd);
                is_complete = false;
            }
        }
    }
    return is_complete;
}

static void close_fds(struct base_fd_msg *msg)
{
    for (uint32_t i = 0; i < msg->n_fds; i++) {
        base_fd_close(&msg->fds[i]);
    }
    msg->n_fds = 0;
}

enum base_err base_fd_recv_msg(int sock, struct base_fd_msg *out)
{
    out->len = 0;
    out->n_fds = 0;
    BASE_ENSURE(out->capacity > 0 && out->max_fds <= BASE_FD_MSG_MAX, BASE_E_INVALID);
    struct iovec iov = {.iov_base = out->data, .iov_len = out->capacity};
    alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * KERNEL_MAX_FDS)];
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;
    do {
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == ECONNRESET ? BASE_E_CLOSED : base_err_from_errno(errno);
    }
    bool is_complete = collect_fds(&msg, out);
    if (!is_complete || (msg.msg_flags & MSG_TRUNC) != 0) {
        close_fds(out);
        return BASE_E_MALFORMED;
    }
    if ((msg.msg_flags & MSG_CTRUNC) != 0) {
        /* There was room for every descriptor, so it is this process that may have no more. */
        close_fds(out);
        return BASE_E_LIMIT;
    }
    if (n == 0) {
        close_fds(out);
        return BASE_E_CLOSED;
    }
    out->len = (size_t)n;
    return BASE_OK;
}
