/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/control/listen.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 128,
    INHERITED_FD = 3, /* where systemd puts the first one */
    LOCK_TRIES = 100,
    LOCK_PAUSE_NS = 20 * BASE_NS_PER_MS
};

static struct sockaddr_un name_of(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    return name;
}

/* Opens and locks the directory, making it if it is missing. */
static enum base_err lock_directory(const char *path, int *fd)
{
    char dir[108];
    (void)snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL) {
        (void)snprintf(dir, sizeof(dir), ".");
    } else {
        slash[slash == dir ? 1 : 0] = '\0';
    }
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        enum base_err err = base_err_from_errno(errno);
        base_error_note("control socket: cannot make the directory %s: %m; make it, or choose "
                        "another place with --socket",
                        dir);
        return err;
    }
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) {
        enum base_err err = base_err_from_errno(errno);
        base_error_note("control socket: cannot open the directory %s: %m", dir);
        return err;
    }
    for (int i = 0; flock(*fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (i == LOCK_TRIES) {
            base_error_note("control socket: the directory %s stays locked by another process",
                            dir);
            base_fd_close(fd);
            return BASE_E_IN_USE;
        }
        const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
        (void)nanosleep(&pause, NULL);
    }
    return BASE_OK;
}

static pid_t peer_pid(int fd)
{
    struct ucred cred = {.pid = 0};
    socklen_t len = sizeof(cred);
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
    return cred.pid;
}

/* Removes a socket file that nobody listens on. */
static enum base_err remove_stale(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return BASE_OK;
    }
    if (!S_ISSOCK(st.st_mode)) {
        base_error_note("control socket: %s exists and is no socket; remove it, or choose another "
                        "place with --socket",
                        path);
        return BASE_E_IN_USE;
    }
    struct sockaddr_un name = name_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        base_error_note("control socket: %m");
        return base_err_from_errno(errno);
    }
    enum base_err err = BASE_OK;
    if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) == 0 || errno == EAGAIN) {
        base_error_note("control socket: another snapd (pid %d) answers at %s; stop it, or choose "
                        "another place with --socket",
                        (int)peer_pid(fd), path);
        err = BASE_E_IN_USE;
    } else if (errno != ECONNREFUSED && errno != ENOENT) {
        base_error_note("control socket: %s is in use: %m; remove it, or choose another place "
                        "with --socket",
                        path);
        err = BASE_E_IN_USE;
    } else if (unlink(path) != 0 && errno != ENOENT) {
        base_error_note("control socket: cannot remove the stale %s: %m", path);
        err = BASE_E_PERMISSION;
    }
    base_fd_close(&fd);
    return err;
}

static enum base_err bind_and_listen(struct snapd_listen *l, uint32_t mode)
{
    struct sockaddr_un name = name_of(l->path);
    l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || bind(l->fd, (const struct sockaddr *)&name, sizeof(name)) != 0) {
        enum base_err err = base_err_from_errno(errno);
        base_error_note("control socket %s: %m%s", l->path,
                        errno == EACCES ? "; run with more rights, or choose another place with "
                                          "--socket"
                                        : "");
        return err;
    }
    struct stat st;
    /* Nobody can connect before listen(), so nobody gets in before the mode is set. */
    if (chmod(l->path, (mode_t)mode) != 0 || lstat(l->path, &st) != 0 ||
        listen(l->fd, BACKLOG) != 0) {
        base_error_note("control socket %s: %m", l->path);
        (void)unlink(l->path);
        return BASE_E_IO;
    }
    l->is_ours = true;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return BASE_OK;
}

enum base_err snapd_listen_open(struct snapd_listen *l, const char *path, uint32_t mode)
{
    *l = (struct snapd_listen){.fd = -1};
    if (strlen(path) >= sizeof(l->path)) {
        base_error_note("control socket: %.60s... is longer than %zu characters", path,
                        sizeof(l->path) - 1);
        return BASE_E_LIMIT;
    }
    (void)snprintf(l->path, sizeof(l->path), "%s", path);
    int lock = -1;
    BASE_TRY(lock_directory(path, &lock));
    enum base_err err = remove_stale(path);
    if (err == BASE_OK) {
        err = bind_and_listen(l, mode);
    }
    base_fd_close(&lock);
    if (err != BASE_OK) {
        base_fd_close(&l->fd);
    }
    return err;
}

static bool is_listening_seqpacket(int fd)
{
    int type = 0;
    int is_listening = 0;
    int domain = 0;
    socklen_t len = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) == 0 && is_listening;
}

enum base_err snapd_listen_inherit(struct snapd_listen *l)
{
    *l = (struct snapd_listen){.fd = -1};
    const char *pid = getenv("LISTEN_PID"); /* NOLINT(concurrency-mt-unsafe): one thread yet */
    const char *n = getenv("LISTEN_FDS");   /* NOLINT(concurrency-mt-unsafe): one thread yet */
    if (pid == NULL || n == NULL || strtol(pid, NULL, 10) != getpid() || strtol(n, NULL, 10) < 1) {
        return BASE_E_NOT_FOUND;
    }
    if (!is_listening_seqpacket(INHERITED_FD)) {
        base_error_note("socket activation: descriptor 3 is no listening SOCK_SEQPACKET Unix "
                        "socket; use ListenSequentialPacket= in the .socket unit");
        return BASE_E_INVALID;
    }
    l->fd = INHERITED_FD;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(name);
    if (getsockname(l->fd, (struct sockaddr *)&name, &len) == 0) {
        (void)snprintf(l->path, sizeof(l->path), "%.*s", (int)sizeof(l->path) - 1, name.sun_path);
    }
    BASE_TRY(base_fd_set_cloexec(l->fd));
    return base_fd_set_nonblock(l->fd);
}

void snapd_listen_close(struct snapd_listen *l)
{
    struct stat st;
    if (l->is_ours && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino) {
        (void)unlink(l->path);
    }
    l->is_ours = false;
    base_fd_close(&l->fd);
}

void snapd_notify(const char *state)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody here changes the environment */
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    struct sockaddr_un name = name_of(path);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name.sun_path));
    if (path[0] == '@') {
        name.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&name, len);
    }
    base_fd_close(&fd);
}
