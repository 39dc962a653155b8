/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/control.h"

#include "base/fd.h"
#include "transport/pony/abi/shm.h"
#include "transport/pony/abi/socket_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static enum base_err fail_connect(const char *path)
{
    int e = errno;
    const char *remedy = "";
    if (e == ENOENT || e == ECONNREFUSED) {
        remedy = ": no snapd is running there; start one, or name its socket with --socket or "
                 "SNAPD_SOCKET";
    } else if (e == EACCES || e == EPERM) {
        remedy = ": you may not open it; see socket_mode in snapd.conf(5)";
    } else if (e == EAGAIN) {
        remedy = ": snapd has too many connections waiting";
    }
    errno = e;
    base_error_note("cannot reach snapd at %s (%m)%s", path, remedy);
    return base_err_from_errno(e);
}

static enum base_err connect_to(const char *socket_name, int *fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    BASE_TRY(pony_socket_path(socket_name, PONY_SOCKET_CONNECT, name.sun_path));
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        base_error_note("socket: %m");
        return BASE_E_IO;
    }
    const struct timeval timeout = {.tv_sec = CLI_CONTROL_TIMEOUT_S};
    (void)setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(*fd, (const struct sockaddr *)&name, sizeof(name)) != 0) {
        return fail_connect(name.sun_path);
    }
    return BASE_OK;
}

static enum base_err send_request(int fd)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    size_t len = 0;
    Pony__Control__StatusRequest what = PONY__CONTROL__STATUS_REQUEST__INIT;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    request.id = 1;
    request.abi_version = SHM_ABI_VERSION;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_STATUS;
    request.status = &what;
    BASE_TRY(pony_control_pack_request(&request, bytes, &len));
    enum base_err err = base_fd_send_msg(fd, bytes, len, NULL, 0);
    if (err != BASE_OK) {
        base_error_note("snapd closed the connection");
    }
    return err;
}

static enum base_err receive_reply(int fd, Pony__Control__Reply **reply)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    struct base_fd_msg msg = {.data = bytes, .capacity = sizeof(bytes)};
    enum base_err err = base_fd_recv_msg(fd, &msg);
    if (err != BASE_OK) {
        base_error_note(err == BASE_AGAIN ? "snapd did not answer within %d s"
                                          : "snapd closed the connection (within %d s)",
                        CLI_CONTROL_TIMEOUT_S);
        return err == BASE_AGAIN ? BASE_E_TIMEOUT : err;
    }
    err = pony_control_unpack_reply(bytes, msg.len, reply);
    if (err != BASE_OK) {
        base_error_note("snapd's reply is not understood; use a snapd and a snaprpc of the same "
                        "release");
        return err;
    }
    if ((*reply)->what_case == PONY__CONTROL__REPLY__WHAT_ERROR) {
        base_error_note("%s", (*reply)->error->message);
        err = pony_control_err_from_wire((*reply)->error->code);
    } else if ((*reply)->what_case != PONY__CONTROL__REPLY__WHAT_STATUS) {
        base_error_note("snapd answered with something else than its status");
        err = BASE_E_PEER;
    }
    if (err != BASE_OK) {
        pony__control__reply__free_unpacked(*reply, NULL);
        *reply = NULL;
    }
    return err;
}

static enum base_err receive_all(int fd, struct cli_status *status)
{
    for (bool has_more = true; has_more;) {
        Pony__Control__Reply *reply = NULL;
        BASE_TRY(receive_reply(fd, &reply));
        Pony__Control__Reply **grown =
            realloc(status->replies, (status->n + 1) * sizeof(*status->replies));
        if (grown == NULL) {
            pony__control__reply__free_unpacked(reply, NULL);
            base_error_note("out of memory");
            return BASE_E_NOMEM;
        }
        status->replies = grown;
        status->replies[status->n++] = reply;
        has_more = reply->more;
    }
    return BASE_OK;
}

enum base_err cli_status_fetch(const char *socket_name, struct cli_status *status)
{
    *status = (struct cli_status){.replies = NULL};
    int fd = -1;
    enum base_err err = connect_to(socket_name, &fd);
    if (err == BASE_OK) {
        err = send_request(fd);
    }
    if (err == BASE_OK) {
        err = receive_all(fd, status);
    }
    base_fd_close(&fd);
    return err;
}

void cli_status_fini(struct cli_status *status)
{
    for (size_t i = 0; i < status->n; i++) {
        pony__control__reply__free_unpacked(status->replies[i], NULL);
    }
    free(status->replies);
    *status = (struct cli_status){.replies = NULL};
}
