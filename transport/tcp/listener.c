/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include "transport/tcp/sock.h"
#include "transport/tcp/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_READY = 64
};

void ktcp_listener_free(struct ktcp_listener *l)
{
    base_list_del(&l->link);
    free(l);
}

static void log_limited(struct ktcp_transport *t, const char *what, const char *address)
{
    struct base_log_place place = {
        .log = t->log, .limit = &t->accept_log, .now_ns = t->now_ns, .component = "tcp"};
    base_logf_limited(&place, BASE_LOG_WARN, "%s: cannot accept: %m; %s", address, what);
}

/* Stops looking at the queue until a timer: a listener that stays ready must not be spun on. */
static void pause_accepting(struct ktcp_listener *l)
{
    log_limited(l->transport, "accepting pauses for a moment", l->address);
    snapi_poller_del(l->transport->poller, &l->source);
    ktcp_wait_start(l->transport, &l->wait, KTCP_TIMER_ACCEPT);
}

void ktcp_listener_on_timeout(struct ktcp_listener *l)
{
    if (snapi_poller_add(l->transport->poller, &l->source, EPOLLIN) != BASE_OK) {
        ktcp_wait_start(l->transport, &l->wait, KTCP_TIMER_ACCEPT);
    }
}

/* Out of descriptors: the spare one lets us take a peer off the queue and close on it, so that it
 * fails at once instead of hanging. */
static void refuse_one(struct ktcp_listener *l)
{
    struct ktcp_transport *t = l->transport;
    if (t->spare_fd < 0) {
        pause_accepting(l);
        return;
    }
    log_limited(t, "the peer is refused; raise the limit of open files (ulimit -n)", l->address);
    base_fd_close(&t->spare_fd);
    int fd = accept4(l->source.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    base_fd_close(&fd);
    t->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void name_peer(struct ktcp_conn *conn)
{
    if (!conn->is_unix) {
        ktcp_addr_of_peer(conn->source.fd, &conn->addr);
        ktcp_addr_format(&conn->addr, conn->peer);
        return;
    }
    struct ucred cred = {0};
    socklen_t len = sizeof(cred);
    (void)getsockopt(conn->source.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
    (void)snprintf(conn->peer, sizeof(conn->peer), "unix:pid=%ld,uid=%lu", (long)cred.pid,
                   (unsigned long)cred.uid);
}

/* The application hears of it when the peer's preface has come. */
static void take_in(struct ktcp_listener *l, int fd)
{
    struct ktcp_transport *t = l->transport;
    bool is_unix = ktcp_addr_is_unix(&l->addr);
    struct ktcp_conn *conn;
    if (ktcp_conn_create(t, fd, is_unix, &conn) != BASE_OK) {
        return;
    }
    conn->listener = l;
    conn->is_connected = true;
    name_peer(conn);
    ktcp_sock_tune(fd, is_unix);
    if (snapi_poller_add(t->poller, &conn->source, EPOLLIN) != BASE_OK) {
        ktcp_conn_kill(conn, true);
        return;
    }
    ktcp_wait_start(t, &conn->wait, KTCP_TIMER_GREET);
    ktcp_conn_write(conn);
}

/* False: none is waiting, or not now. */
static bool accept_one(struct ktcp_listener *l)
{
    int fd = accept4(l->source.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        take_in(l, fd);
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        refuse_one(l);
        return false;
    case ENOMEM:
    case ENOBUFS:
        pause_accepting(l);
        return false;
    default:
        return true; /* of the connection that was to be accepted: accept(2), "Error handling" */
    }
}

static void on_ready(struct snapi_source *source, uint32_t events)
{
    (void)events;
    struct ktcp_listener *l = base_container_of(source, struct ktcp_listener, source);
    struct ktcp_transport *t = l->transport;
    ktcp_enter(t);
    for (int i = 0; i < ACCEPTS_PER_READY && accept_one(l); i++) {
    }
    ktcp_leave(t);
}

enum base_err ktcp_listen(struct snapi_transport *transport, const char *address,
                          enum snapi_traffic traffic, const struct snapi_listener_events *events,
                          void *arg, struct snapi_listener **listener)
{
    (void)traffic;
    struct ktcp_transport *t = base_container_of(transport, struct ktcp_transport, base);
    *listener = NULL;
    struct ktcp_addr addr;
    BASE_TRY(ktcp_addr_parse(address, &addr));
    struct ktcp_listener *l = calloc(1, sizeof(*l));
    BASE_ENSURE(l != NULL, BASE_E_NOMEM);
    l->base.ops = transport->ops;
    l->transport = t;
    l->events = events;
    l->arg = arg;
    l->addr = addr;
    base_list_init(&l->wait.link);
    int fd;
    enum base_err err = ktcp_sock_listen(&addr, &fd, &l->path_stat);
    if (err != BASE_OK) {
        goto undo_alloc;
    }
    l->source = (struct snapi_source){.on_ready = on_ready, .fd = fd};
    err = snapi_poller_add(t->poller, &l->source, EPOLLIN);
    if (err != BASE_OK) {
        goto undo_listen;
    }
    ktcp_addr_of_socket(fd, &l->addr);
    ktcp_addr_format(&l->addr, l->address);
    base_list_add_tail(&t->listeners, &l->link);
    *listener = &l->base;
    return BASE_OK;

undo_listen:
    ktcp_sock_unlink(&addr, &l->path_stat);
    base_fd_close(&fd);
undo_alloc:
    free(l);
    return err;
}

void ktcp_unlisten(struct snapi_listener *base)
{
    struct ktcp_listener *l = base_container_of(base, struct ktcp_listener, base);
    struct ktcp_transport *t = l->transport;
    /* Those whom the application has not heard of have nobody any more who would tell it. */
    base_list_foreach_safe (it, &t->conns) {
        struct ktcp_conn *conn = base_list_entry(it, struct ktcp_conn, link);
        if (conn->listener == l) {
            ktcp_conn_kill(conn, true);
        }
    }
    snapi_poller_del(t->poller, &l->source);
    ktcp_wait_stop(&l->wait);
    ktcp_sock_unlink(&l->addr, &l->path_stat);
    base_fd_close(&l->source.fd);
    base_list_del(&l->link);
    base_list_add_tail(&t->dead_listeners, &l->link);
    if (t->depth == 0) {
        ktcp_listener_free(l);
    }
}

const char *ktcp_listener_address(const struct snapi_listener *base)
{
    return base_container_of(base, const struct ktcp_listener, base)->address;
}
