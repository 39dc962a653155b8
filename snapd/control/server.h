/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_CONTROL_SERVER_H
#define SNAPD_CONTROL_SERVER_H

#include "base/list.h"
#include "base/log.h"
#include "snapd/control/listen.h"
#include "snapd/control/session.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Control server: the control thread's loop over the listening socket, the sessions, the signals
 * and the modules.
 *
 * Full     out of descriptors: accepting pauses for a second, logged once per pause. At the limit
 *          of sessions, or of one user's share (a quarter), a new one is closed at once.
 * Threads  the one that calls run(); stop() from it, too
 */
enum {
    SNAPD_SERVER_MODULES_MAX = 4,
    SNAPD_SERVER_USER_SHARE = 4 /**< one user may have 1 / share of all sessions */
};

struct snapd_server_config {
    struct snapd_listen *listen; /**< stays the caller's */
    const struct base_log *log;
    uint32_t max_sessions;
    void (*on_hangup)(void *ctx); /**< SIGHUP came; on the control thread */
    void *ctx;
};

struct snapd_server_counters {
    uint64_t accepted, refused, malformed, stuck, accept_pauses;
};

struct snapd_server {
    struct snapd_server_config config;
    int epoll_fd;
    int signal_fd;
    bool is_stopping;
    bool is_accept_paused;
    uint64_t now_ns;
    uint64_t tick_ns;
    uint32_t n_sessions;
    uint32_t n_modules;
    struct snapd_module *modules[SNAPD_SERVER_MODULES_MAX];
    struct base_list sessions; /**< struct snapd_session */
    struct base_list closing;
    struct snapd_server_counters counters;
    struct base_log_limit log_limit;
};

/** Blocks SIGTERM, SIGINT and SIGHUP for this thread and takes them by descriptor: call before any
 *  other thread is started. */
BASE_MUST_USE enum base_err snapd_server_init(struct snapd_server *server,
                                              const struct snapd_server_config *config);

/** Modules outlive the server's sessions; call before run(). */
BASE_MUST_USE enum base_err snapd_server_add_module(struct snapd_server *server,
                                                    struct snapd_module *module);

/** Until a signal. */
BASE_MUST_USE enum base_err snapd_server_run(struct snapd_server *server);

/** Ends all sessions. Accepts a zeroed server. */
void snapd_server_fini(struct snapd_server *server);

/* For session.c: what arrived, and what to watch. */
void snapd_server_serve(struct snapd_session *session, const Pony__Control__Request *request);
void snapd_server_watch_write(struct snapd_session *session, bool is_wanted);
void snapd_server_logf(struct snapd_server *server, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
