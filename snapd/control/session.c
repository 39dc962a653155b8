/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/control/session.h"

#include "base/fd.h"
#include "snapd/control/server.h"
#include "transport/pony/abi/shm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    REQUESTS_PER_TURN = 16 /* of one session, so that others get theirs */
};

struct snapd_session *snapd_session_create(struct snapd_server *server, int fd)
{
    struct snapd_session *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    struct ucred cred = {.pid = 0, .uid = (uid_t)-1};
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        free(s);
        return NULL;
    }
    s->server = server;
    s->fd = fd;
    s->pid = cred.pid;
    s->uid = cred.uid;
    base_list_init(&s->link);
    return s;
}

void snapd_session_destroy(struct snapd_session *s)
{
    for (uint32_t i = 0; i < s->n_queued; i++) {
        free(s->queue[i].bytes);
    }
    base_fd_close(&s->fd);
    free(s);
}

void snapd_session_close(struct snapd_session *s, const char *why)
{
    if (s->is_closing) {
        return;
    }
    s->is_closing = true;
    base_list_del(&s->link);
    base_list_add_tail(&s->server->closing, &s->link);
    if (why != NULL) {
        snapd_server_logf(s->server, "session of pid %d (uid %u) closed: %s", (int)s->pid, s->uid,
                          why);
    }
}

static void enqueue(struct snapd_session *s, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = s->n_queued < SNAPD_SESSION_QUEUE ? malloc(len) : NULL;
    if (copy == NULL) {
        snapd_session_close(s, "it does not read its replies");
        return;
    }
    memcpy(copy, bytes, len);
    if (s->n_queued == 0) {
        s->stuck_since_ns = s->server->now_ns;
        snapd_server_watch_write(s, true);
    }
    s->queue[s->n_queued++] = (struct snapd_session_reply_slot){.bytes = copy, .len = len};
}

void snapd_session_reply(struct snapd_session *s, Pony__Control__Reply *reply, const int *fds,
                         uint32_t n_fds)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES]; /* one control thread */
    size_t len = 0;
    reply->abi_version = SHM_ABI_VERSION;
    if (s->is_closing) {
        return;
    }
    if (pony_control_pack_reply(reply, bytes, &len) != BASE_OK) {
        snapd_session_close(s, base_error_last_note());
        return;
    }
    if (s->n_queued > 0 && n_fds == 0) {
        enqueue(s, bytes, len);
        return;
    }
    enum base_err err =
        s->n_queued > 0 ? BASE_E_LIMIT : base_fd_send_msg(s->fd, bytes, len, fds, n_fds);
    if (err == BASE_AGAIN && n_fds == 0) {
        enqueue(s, bytes, len);
    } else if (err == BASE_E_CLOSED) {
        snapd_session_close(s, NULL);
    } else if (err != BASE_OK) {
        snapd_session_close(s, err == BASE_AGAIN || err == BASE_E_LIMIT
                                   ? "it does not read its replies"
                                   : base_err_text(err));
    }
}

void snapd_session_error(struct snapd_session *s, uint64_t id, enum base_err err,
                         const char *message)
{
    char text[PONY_CONTROL_STRING_MAX];
    (void)snprintf(text, sizeof(text), "%s", message);
    Pony__Control__Error error = PONY__CONTROL__ERROR__INIT;
    error.code = pony_control_err_to_wire(err);
    error.message = text;
    Pony__Control__Reply reply = PONY__CONTROL__REPLY__INIT;
    reply.id = id;
    reply.what_case = PONY__CONTROL__REPLY__WHAT_ERROR;
    reply.error = &error;
    snapd_session_reply(s, &reply, NULL, 0);
}

static bool has_version(struct snapd_session *s, const Pony__Control__Request *request)
{
    if (request->abi_version == SHM_ABI_VERSION) {
        return true;
    }
    char text[200];
    (void)snprintf(text, sizeof(text),
                   "snapd speaks shared-memory ABI version %d, the application version %u; use a "
                   "snapd and a libsnaprpc of the same release",
                   SHM_ABI_VERSION, request->abi_version);
    snapd_session_error(s, request->id, BASE_E_VERSION, text);
    return false;
}

/* False: nothing more to read now. */
static bool read_request(struct snapd_session *s)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    struct base_fd_msg msg = {.data = bytes, .capacity = sizeof(bytes)};
    enum base_err err = base_fd_recv_msg(s->fd, &msg);
    if (err == BASE_AGAIN) {
        return false;
    }
    if (err != BASE_OK) {
        bool is_bad = err == BASE_E_MALFORMED;
        s->server->counters.malformed += is_bad;
        snapd_session_close(s, is_bad ? "a message too long, or with descriptors" : NULL);
        return false;
    }
    Pony__Control__Request *request = NULL;
    if (pony_control_unpack_request(bytes, msg.len, &request) != BASE_OK) {
        s->server->counters.malformed++;
        snapd_session_close(s, "a message that is no request");
        return false;
    }
    if (has_version(s, request)) {
        snapd_server_serve(s, request);
    }
    pony__control__request__free_unpacked(request, NULL);
    return true;
}

void snapd_session_on_readable(struct snapd_session *s)
{
    for (int i = 0; i < REQUESTS_PER_TURN; i++) {
        if (s->is_closing || s->n_queued > 0 || s->walk != NULL || !read_request(s)) {
            return;
        }
    }
}

void snapd_session_on_writable(struct snapd_session *s)
{
    uint32_t done = 0;
    enum base_err err = BASE_OK;
    while (done < s->n_queued && err == BASE_OK) {
        err = base_fd_send_msg(s->fd, s->queue[done].bytes, s->queue[done].len, NULL, 0);
        if (err == BASE_OK) {
            free(s->queue[done++].bytes);
        }
    }
    s->n_queued -= done;
    memmove(s->queue, s->queue + done, s->n_queued * sizeof(s->queue[0]));
    if (done > 0) {
        s->stuck_since_ns = s->server->now_ns;
    }
    if (err != BASE_OK && err != BASE_AGAIN) {
        snapd_session_close(s, NULL);
    } else if (s->n_queued == 0) {
        snapd_server_watch_write(s, false);
    }
}
