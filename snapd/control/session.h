/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_CONTROL_SESSION_H
#define SNAPD_CONTROL_SESSION_H

#include "base/error.h"
#include "base/list.h"
#include "snapd/control/module.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * Session: one process connected to the control socket.
 *
 * Shape    requests are served one after the other; while a reply waits to be sent no further
 *          request is read, so a process that does not read its replies costs one queue of
 *          SNAPD_SESSION_QUEUE and is closed after SNAPD_SESSION_STUCK_NS
 * Trust    identity is what the kernel said at connect (SO_PEERCRED). A message that cannot be
 *          understood ends the session.
 * Threads  the control thread
 */
enum {
    SNAPD_SESSION_QUEUE = 8 /**< replies that wait for room */
};

#define SNAPD_SESSION_STUCK_NS UINT64_C(10000000000)

struct snapd_server;

struct snapd_session_reply_slot {
    uint8_t *bytes; /**< from the heap */
    size_t len;
};

struct snapd_session {
    struct base_list link; /**< in the server's list, or in its list of those to close */
    struct snapd_server *server;
    int fd;
    pid_t pid;
    uid_t uid;
    bool is_closing;
    bool is_watching_write;
    uint64_t stuck_since_ns; /**< when the oldest waiting reply began to wait */
    struct snapd_session_reply_slot queue[SNAPD_SESSION_QUEUE];
    uint32_t n_queued;
    void *port; /**< the Pony module's: the port attached over this session, or NULL */
    void *walk; /**< the Pony module's: a status reply under way, or NULL */
};

/**
 * Sends a reply, or queues it. With descriptors it is sent now or the session is closed; they stay
 * the caller's. A session that has no room left is closed.
 */
void snapd_session_reply(struct snapd_session *session, Pony__Control__Reply *reply, const int *fds,
                         uint32_t n_fds);

/** Replies to request `id` with an error: its code, and a message that names the remedy. */
void snapd_session_error(struct snapd_session *session, uint64_t id, enum base_err err,
                         const char *message);

/** Ends the session at the end of this turn of the control loop; logs why. NULL: in order. */
void snapd_session_close(struct snapd_session *session, const char *why);

/* For server.c. */
struct snapd_session *snapd_session_create(struct snapd_server *server, int fd);
void snapd_session_destroy(struct snapd_session *session);
void snapd_session_on_readable(struct snapd_session *session);
void snapd_session_on_writable(struct snapd_session *session);

#endif
