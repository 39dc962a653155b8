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

enum base_err cli_control_open(const char *socket_name, int *fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    *fd = -1;
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

enum base_err cli_control_send(int fd, Pony__Control__Request *request)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    size_t len = 0;
    request->id = 1;
    request->abi_version = SHM_ABI_VERSION;
    BASE_TRY(pony_control_pack_request(request, bytes, &len));
    enum base_err err = base_fd_send_msg(fd, bytes, len, NULL, 0);
    if (err != BASE_OK) {
        base_error_note("snapd closed the connection");
    }
    return err;
}

static enum base_err receive_message(int fd, struct base_fd_msg *msg, Pony__Control__Reply **reply)
{
    enum base_err err = base_fd_recv_msg(fd, msg);
    if (err != BASE_OK) {
        base_error_note(err == BASE_AGAIN ? "snapd did not answer within %d s"
                                          : "snapd closed the connection (within %d s)",
                        CLI_CONTROL_TIMEOUT_S);
        return err == BASE_AGAIN ? BASE_E_TIMEOUT : err;
    }
    err = pony_control_unpack_reply(msg->data, msg->len, reply);
    if (err != BASE_OK) {
        base_error_note("snapd's reply is not understood; use a snapd and a snaprpc of the same "
                        "release");
    }
    return err;
}

/* Lets only a reply of that kind through. */
static enum base_err check_kind(Pony__Control__Reply **reply, Pony__Control__Reply__WhatCase what)
{
    enum base_err err = BASE_OK;
    if ((*reply)->what_case == PONY__CONTROL__REPLY__WHAT_ERROR) {
        base_error_note("%s", (*reply)->error->message);
        err = pony_control_err_from_wire((*reply)->error->code);
    } else if ((*reply)->what_case != what) {
        base_error_note("snapd answered with something else than was asked for");
        err = BASE_E_PEER;
    }
    if (err != BASE_OK) {
        pony__control__reply__free_unpacked(*reply, NULL);
        *reply = NULL;
    }
    return err;
}

enum base_err cli_control_receive(int fd, Pony__Control__Reply__WhatCase what, int *fds,
                                  uint32_t n_fds, Pony__Control__Reply **reply)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    struct base_fd_msg msg = {
        .data = bytes, .capacity = sizeof(bytes), .fds = fds, .max_fds = n_fds};
    *reply = NULL;
    enum base_err err = receive_message(fd, &msg, reply);
    if (err == BASE_OK) {
        err = check_kind(reply, what);
    }
    if (err == BASE_OK && msg.n_fds != n_fds) {
        base_error_note("snapd sent %u descriptors instead of %u", msg.n_fds, n_fds);
        pony__control__reply__free_unpacked(*reply, NULL);
        *reply = NULL;
        err = BASE_E_PEER;
    }
    for (uint32_t i = 0; err != BASE_OK && i < msg.n_fds; i++) {
        base_fd_close(&fds[i]);
    }
    return err;
}

static enum base_err receive_all(int fd, struct cli_status *status)
{
    for (bool has_more = true; has_more;) {
        Pony__Control__Reply *reply = NULL;
        BASE_TRY(cli_control_receive(fd, PONY__CONTROL__REPLY__WHAT_STATUS, NULL, 0, &reply));
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
    Pony__Control__StatusRequest what = PONY__CONTROL__STATUS_REQUEST__INIT;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_STATUS;
    request.status = &what;
    enum base_err err = cli_control_open(socket_name, &fd);
    if (err == BASE_OK) {
        err = cli_control_send(fd, &request);
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
