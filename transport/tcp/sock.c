/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/sock.h"

#include "base/fd.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum base_err ktcp_sock_open(const struct ktcp_addr *addr, int *fd)
{
    int family = addr->sa.any.sa_family;
    *fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        base_error_note("cannot make a socket: %m");
        return base_err_from_errno(errno);
    }
    return BASE_OK;
}

static void set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

void ktcp_sock_tune(int fd, bool is_unix)
{
    if (is_unix) {
        return;
    }
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, KTCP_NOTSENT_BYTES);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, KTCP_USER_TIMEOUT_MS);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KTCP_KEEPALIVE_IDLE_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KTCP_KEEPALIVE_INTERVAL_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KTCP_KEEPALIVE_COUNT);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

void ktcp_sock_reset(int *fd, bool is_unix)
{
    if (*fd >= 0 && !is_unix) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    base_fd_close(fd);
}

/* A socket file that refuses connections was left behind by a process that is gone. */
static bool is_stale(const struct ktcp_addr *addr)
{
    struct stat st;
    if (lstat(addr->sa.un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool is_refused = connect(fd, &addr->sa.any, addr->len) != 0 && errno == ECONNREFUSED;
    base_fd_close(&fd);
    return is_refused;
}

static int bind_to(int fd, const struct ktcp_addr *addr)
{
    if (!ktcp_addr_is_unix(addr)) {
        set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (addr->sa.any.sa_family == AF_INET6) {
            set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* [::] takes both families */
        }
        return bind(fd, &addr->sa.any, addr->len);
    }
    if (bind(fd, &addr->sa.any, addr->len) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE) {
        return -1;
    }
    if (!is_stale(addr)) {
        errno = EADDRINUSE;
        return -1;
    }
    if (unlink(addr->sa.un.sun_path) != 0) {
        return -1;
    }
    return bind(fd, &addr->sa.any, addr->len);
}

enum base_err ktcp_sock_listen(const struct ktcp_addr *addr, int *fd, struct stat *path_stat)
{
    char text[KTCP_ADDR_TEXT];
    ktcp_addr_format(addr, text);
    *path_stat = (struct stat){0};
    BASE_TRY(ktcp_sock_open(addr, fd));
    if (bind_to(*fd, addr) != 0 || listen(*fd, KTCP_BACKLOG) != 0) {
        int e = errno;
        if (e == EADDRINUSE) {
            base_error_note("cannot listen at %s: another process, or this one, already does; "
                            "choose another address or end that process",
                            text);
        } else {
            errno = e;
            base_error_note("cannot listen at %s: %m", text);
        }
        base_fd_close(fd);
        return e == EADDRNOTAVAIL ? BASE_E_INVALID : base_err_from_errno(e);
    }
    if (ktcp_addr_is_unix(addr)) {
        (void)lstat(addr->sa.un.sun_path, path_stat);
    }
    return BASE_OK;
}

void ktcp_sock_unlink(const struct ktcp_addr *addr, const struct stat *path_stat)
{
    struct stat st;
    if (ktcp_addr_is_unix(addr) && lstat(addr->sa.un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        st.st_dev == path_stat->st_dev && st.st_ino == path_stat->st_ino) {
        (void)unlink(addr->sa.un.sun_path);
    }
}
