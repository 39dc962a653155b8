/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/control/server.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 64,
    ACCEPTS_PER_TURN = 16,
    LOG_BURST = 20
};

void snapd_server_logf(struct snapd_server *server, const char *fmt, ...)
{
    char text[BASE_LOG_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    struct base_log_place place = {.log = server->config.log,
                                   .limit = &server->log_limit,
                                   .now_ns = server->now_ns,
                                   .component = "control"};
    base_logf_limited(&place, BASE_LOG_WARN, "%s", text);
}

static enum base_err watch(struct snapd_server *server, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (fd >= 0 && epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        base_error_note("control: epoll: %m");
        return BASE_E_IO;
    }
    return BASE_OK;
}

void snapd_server_watch_write(struct snapd_session *s, bool is_wanted)
{
    if (s->is_watching_write == is_wanted) {
        return;
    }
    /* While a reply waits, no request is read. */
    struct epoll_event event = {.events = is_wanted ? EPOLLOUT : EPOLLIN, .data.ptr = s};
    if (epoll_ctl(s->server->epoll_fd, EPOLL_CTL_MOD, s->fd, &event) == 0) {
        s->is_watching_write = is_wanted;
    }
}

enum base_err snapd_server_init(struct snapd_server *server,
                                const struct snapd_server_config *config)
{
    *server = (struct snapd_server){
        .config = *config,
        .epoll_fd = -1,
        .signal_fd = -1,
        .now_ns = base_clock_now_ns(),
        .log_limit = {.interval_ns = BASE_NS_PER_S, .burst = LOG_BURST},
    };
    base_list_init(&server->sessions);
    base_list_init(&server->closing);
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (server->epoll_fd < 0 || server->signal_fd < 0) {
        base_error_note("control: %m");
        snapd_server_fini(server);
        return BASE_E_IO;
    }
    enum base_err err = watch(server, server->signal_fd, &server->signal_fd);
    if (err == BASE_OK) {
        err = watch(server, config->listen->fd, config->listen);
    }
    if (err != BASE_OK) {
        snapd_server_fini(server);
    }
    return err;
}

enum base_err snapd_server_add_module(struct snapd_server *server, struct snapd_module *module)
{
    BASE_ENSURE(server->n_modules < SNAPD_SERVER_MODULES_MAX, BASE_E_LIMIT);
    struct snapd_module **slot = &server->modules[server->n_modules];
    BASE_TRY(watch(server, module->ops->fd(module), slot));
    *slot = module;
    server->n_modules++;
    return BASE_OK;
}

static uint32_t sessions_of(const struct snapd_server *server, uid_t uid)
{
    uint32_t n = 0;
    base_list_foreach (it, &server->sessions) {
        n += base_list_entry(it, struct snapd_session, link)->uid == uid;
    }
    return n;
}

static bool has_room_for(const struct snapd_server *server, uid_t uid)
{
    uint32_t max = server->config.max_sessions;
    uint32_t share = max / SNAPD_SERVER_USER_SHARE + 1;
    return server->n_sessions < max && (uid == 0 || sessions_of(server, uid) < share);
}

static void add_session(struct snapd_server *server, int fd)
{
    struct snapd_session *s = snapd_session_create(server, fd);
    if (s == NULL) {
        base_fd_close(&fd);
        return;
    }
    if (!has_room_for(server, s->uid)) {
        server->counters.refused++;
        snapd_server_logf(server,
                          "pid %d (uid %u) refused: too many sessions; raise sessions in [limits]",
                          (int)s->pid, s->uid);
        snapd_session_error(s, 0, BASE_E_LIMIT, "too many sessions at this snapd");
        snapd_session_destroy(s);
        return;
    }
    if (watch(server, fd, s) != BASE_OK) {
        snapd_session_destroy(s);
        return;
    }
    base_list_add_tail(&server->sessions, &s->link);
    server->n_sessions++;
    server->counters.accepted++;
}

static void pause_accept(struct snapd_server *server)
{
    /* The listener stays readable: watching it on would spin. The next tick resumes. */
    (void)epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, server->config.listen->fd, NULL);
    server->is_accept_paused = true;
    server->counters.accept_pauses++;
    snapd_server_logf(server,
                      "cannot accept a connection: %m; no new ones for a second (raise the limit "
                      "of open files)");
}

static void on_listener(struct snapd_server *server)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(server->config.listen->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            add_session(server, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accept(server);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

static void on_signal(struct snapd_server *server)
{
    struct signalfd_siginfo info;
    while (read(server->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            server->config.on_hangup(server->config.ctx);
            continue;
        }
        base_logf(server->config.log, BASE_LOG_INFO, "control", "signal %u: stopping",
                  info.ssi_signo);
        server->is_stopping = true;
    }
}

void snapd_server_serve(struct snapd_session *s, const Pony__Control__Request *request)
{
    for (uint32_t i = 0; i < s->server->n_modules; i++) {
        struct snapd_module *module = s->server->modules[i];
        if (module->ops->serve(module, s, request)) {
            return;
        }
    }
    snapd_session_error(s, request->id, BASE_E_UNSUPPORTED, "this snapd does not serve that");
}

static void on_session(struct snapd_server *server, struct snapd_session *s, uint32_t events)
{
    if (s->is_closing) {
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        snapd_session_on_writable(s);
        for (uint32_t i = 0; i < server->n_modules && !s->is_closing && s->n_queued == 0; i++) {
            server->modules[i]->ops->on_writable(server->modules[i], s);
        }
    }
    /* Requests that came before a hang-up are still served: the reply goes nowhere, harmlessly. */
    if ((events & EPOLLIN) != 0) {
        snapd_session_on_readable(s);
    } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        snapd_session_close(s, NULL);
    }
}

static void close_sessions(struct snapd_server *server)
{
    struct base_list *link;
    while ((link = base_list_take_first(&server->closing)) != NULL) {
        struct snapd_session *s = base_list_entry(link, struct snapd_session, link);
        s->is_closing = true;
        for (uint32_t i = 0; i < server->n_modules; i++) {
            server->modules[i]->ops->on_gone(server->modules[i], s);
        }
        snapd_session_destroy(s);
        server->n_sessions--;
    }
}

static void tick(struct snapd_server *server)
{
    if (server->now_ns - server->tick_ns < BASE_NS_PER_S) {
        return;
    }
    server->tick_ns = server->now_ns;
    if (server->is_accept_paused &&
        watch(server, server->config.listen->fd, server->config.listen) == BASE_OK) {
        server->is_accept_paused = false;
    }
    base_list_foreach_safe (it, &server->sessions) {
        struct snapd_session *s = base_list_entry(it, struct snapd_session, link);
        if (s->n_queued > 0 && server->now_ns - s->stuck_since_ns > SNAPD_SESSION_STUCK_NS) {
            server->counters.stuck++;
            snapd_session_close(s, "it does not read its replies");
        }
    }
    for (uint32_t i = 0; i < server->n_modules; i++) {
        server->modules[i]->ops->on_tick(server->modules[i], server->now_ns);
    }
}

static bool is_module_slot(const struct snapd_server *server, const void *what)
{
    const char *at = what;
    return at >= (const char *)server->modules &&
           at < (const char *)(server->modules + SNAPD_SERVER_MODULES_MAX);
}

static void dispatch(struct snapd_server *server, const struct epoll_event *event)
{
    void *what = event->data.ptr;
    if (what == &server->signal_fd) {
        on_signal(server);
    } else if (what == server->config.listen) {
        on_listener(server);
    } else if (is_module_slot(server, what)) {
        struct snapd_module *module = *(struct snapd_module **)what;
        module->ops->on_wake(module);
    } else {
        on_session(server, what, event->events);
    }
}

enum base_err snapd_server_run(struct snapd_server *server)
{
    while (!server->is_stopping) {
        struct epoll_event events[EVENTS_PER_TURN];
        int n = epoll_wait(server->epoll_fd, events, EVENTS_PER_TURN, 1000);
        if (n < 0 && errno != EINTR) {
            base_error_note("control: epoll: %m");
            return BASE_E_IO;
        }
        server->now_ns = base_clock_now_ns();
        for (int i = 0; i < n; i++) {
            dispatch(server, &events[i]);
        }
        tick(server);
        /* Last: events of this turn may still point to them. */
        close_sessions(server);
    }
    return BASE_OK;
}

void snapd_server_fini(struct snapd_server *server)
{
    if (server->sessions.next != NULL) {
        base_list_splice_tail(&server->closing, &server->sessions);
        close_sessions(server);
    }
    if (server->config.listen != NULL) {
        base_fd_close(&server->epoll_fd);
        base_fd_close(&server->signal_fd);
    }
}
