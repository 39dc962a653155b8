/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "base/fd.h"
#include "transport/tcp/sock.h"
#include "transport/tcp/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READS_PER_READY = 4, /* then the others have their turn */
    READS_AT_END = 1024, /* after a failed write: what the peer said before it went */
    WRITE_BYTES_PER_RUN = 4 << 20
};

static struct ktcp_conn *conn_of(struct snapi_conn *base)
{
    return base_container_of(base, struct ktcp_conn, base);
}

static void make_due(struct ktcp_conn *conn)
{
    if (!base_list_is_linked(&conn->due_link)) {
        base_list_add_tail(&conn->transport->due, &conn->due_link);
    }
}

/* ---- receiving ---- */

static bool on_preface(void *arg)
{
    struct ktcp_conn *conn = arg;
    struct ktcp_listener *listener = conn->listener;
    if (conn->state == KTCP_OPENING) {
        conn->state = KTCP_OPEN;
        ktcp_wait_stop(&conn->wait);
    }
    if (listener != NULL) {
        conn->listener = NULL;
        bool is_wanted =
            listener->events->on_accept(listener->arg, &conn->base, &conn->events, &conn->arg);
        if (!is_wanted && conn->state != KTCP_DEAD) {
            ktcp_conn_say_why(conn, KTCP_REASON_REFUSED);
            ktcp_conn_kill(conn, false);
        }
        /* Events run within a round, so killing only marks: memory goes when the round ends. */
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer takes the depth for 0 here */
        base_assert(conn->state == KTCP_DEAD || conn->events != NULL);
    } else if (conn->state == KTCP_OPEN) {
        conn->events->on_open(conn->arg, &conn->base);
    }
    return conn->state != KTCP_DEAD;
}

static bool on_message(void *arg, const uint8_t *data, size_t len)
{
    struct ktcp_conn *conn = arg;
    conn->events->on_message(conn->arg, &conn->base, data, len);
    return conn->state != KTCP_DEAD;
}

/* One read. False: nothing more to read now, or the connection is over. */
static bool receive_once(struct ktcp_conn *conn)
{
    struct ktcp_rx_plan plan;
    ktcp_rx_plan(&conn->rx, conn->transport->shared, &plan);
    ssize_t n = readv(conn->source.fd, plan.iov, plan.n_iov);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            ktcp_conn_finish_broken(conn, errno);
        }
        return false;
    }
    if (n == 0) {
        ktcp_conn_finish_at_eof(conn);
        return false;
    }
    enum base_err err = ktcp_rx_commit(&conn->rx, &plan, (size_t)n);
    if (conn->state == KTCP_DEAD) {
        return false;
    }
    if (err != BASE_OK) {
        ktcp_conn_finish_unreadable(conn, err);
        return false;
    }
    if (conn->rx.has_ended) {
        ktcp_conn_finish_at_end_frame(conn);
        return false;
    }
    return (size_t)n == plan.bytes;
}

static void receive(struct ktcp_conn *conn, int max_reads)
{
    for (int i = 0; i < max_reads && receive_once(conn); i++) {
    }
}

/* ---- sending ---- */

/* True: the kernel took all of the batch. */
static bool write_batch(struct ktcp_conn *conn, const struct ktcp_batch *batch)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)batch->iov,
                         .msg_iovlen = (size_t)batch->n_iov};
    ssize_t n = sendmsg(conn->source.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        if (errno == EAGAIN) {
            conn->tx.is_blocked = true;
        } else if (errno != EINTR) {
            conn->broken = errno;
        }
        return errno == EINTR;
    }
    snapi_poller_expect(conn->transport->poller); /* an answer, mostly */
    ktcp_tx_advance(&conn->tx, batch, (size_t)n);
    conn->tx.is_blocked = (size_t)n < batch->bytes;
    return !conn->tx.is_blocked;
}

/* KT-15: once all is gone the end frame follows, and then no more. */
static void write_end(struct ktcp_conn *conn)
{
    if (conn->state != KTCP_FLUSHING || !ktcp_tx_is_empty(&conn->tx)) {
        return;
    }
    if (conn->is_ended) {
        (void)shutdown(conn->source.fd, SHUT_WR);
        conn->state = KTCP_SHUT;
        return;
    }
    conn->is_ended = true;
    if (ktcp_tx_end(&conn->tx) != BASE_OK) {
        conn->broken = ENOMEM;
    }
}

void ktcp_conn_write(struct ktcp_conn *conn)
{
    if (!conn->is_connected || conn->broken != 0 || conn->tx.is_blocked ||
        conn->state >= KTCP_SHUT) {
        return;
    }
    struct ktcp_batch batch;
    size_t written = 0;
    write_end(conn);
    while (conn->broken == 0 && conn->state < KTCP_SHUT && written < WRITE_BYTES_PER_RUN) {
        ktcp_tx_gather(&conn->tx, &batch);
        if (batch.bytes == 0 || !write_batch(conn, &batch)) {
            break;
        }
        written += batch.bytes;
        write_end(conn);
    }
    uint32_t events = conn->tx.is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (conn->broken == 0 &&
        snapi_poller_change(conn->transport->poller, &conn->source, events) != BASE_OK) {
        conn->broken = ENOMEM;
    }
    bool has_more = written >= WRITE_BYTES_PER_RUN && !conn->tx.is_blocked;
    if (conn->broken != 0 || has_more || ktcp_tx_is_writable(&conn->tx)) {
        make_due(conn);
    }
}

/* Tells what ktcp_conn_write() found. */
static void tell(struct ktcp_conn *conn)
{
    if (conn->broken != 0) {
        int e = conn->broken;
        if (!conn->is_connected) {
            ktcp_conn_finish_unconnected(conn, e);
            return;
        }
        /* The peer may have said why before it went: that tells more than a broken pipe. */
        receive(conn, READS_AT_END);
        if (conn->state != KTCP_DEAD) {
            ktcp_conn_finish_broken(conn, e);
        }
    } else if (conn->state <= KTCP_OPEN && conn->events != NULL &&
               ktcp_tx_take_writable(&conn->tx)) {
        conn->events->on_writable(conn->arg, &conn->base);
    }
}

void ktcp_conn_run(struct ktcp_conn *conn)
{
    ktcp_conn_write(conn);
    tell(conn);
}

/* ---- connecting ---- */

static void on_connected(struct ktcp_conn *conn)
{
    int e = 0;
    socklen_t len = sizeof(e);
    if (getsockopt(conn->source.fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0) {
        e = errno;
    }
    struct ktcp_addr self;
    ktcp_addr_of_socket(conn->source.fd, &self);
    if (e == 0 && !conn->is_unix && ktcp_addr_is_equal(&self, &conn->addr)) {
        e = ECONNREFUSED; /* an unused local port that the kernel chose for our own end, too */
    }
    if (e != 0) {
        ktcp_conn_finish_unconnected(conn, e);
        return;
    }
    conn->is_connected = true;
    ktcp_sock_tune(conn->source.fd, conn->is_unix);
    if (snapi_poller_change(conn->transport->poller, &conn->source, EPOLLIN) != BASE_OK) {
        conn->broken = ENOMEM;
    }
    ktcp_conn_run(conn);
}

static void on_ready(struct snapi_source *source, uint32_t events)
{
    struct ktcp_conn *conn = base_container_of(source, struct ktcp_conn, source);
    struct ktcp_transport *t = conn->transport;
    ktcp_enter(t);
    if (!conn->is_connected) {
        on_connected(conn);
    } else {
        if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            receive(conn, READS_PER_READY);
        }
        if (conn->state != KTCP_DEAD && (events & EPOLLOUT) != 0) {
            conn->tx.is_blocked = false;
            ktcp_conn_run(conn);
        }
    }
    ktcp_leave(t);
}

enum base_err ktcp_conn_create(struct ktcp_transport *t, int fd, bool is_unix,
                               struct ktcp_conn **conn)
{
    *conn = NULL;
    struct ktcp_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        base_fd_close(&fd);
        return BASE_E_NOMEM;
    }
    c->base.ops = t->base.ops;
    c->transport = t;
    c->source = (struct snapi_source){.on_ready = on_ready, .fd = fd};
    c->is_unix = is_unix;
    base_list_init(&c->due_link);
    base_list_init(&c->wait.link);
    struct ktcp_rx_sink sink = {.on_preface = on_preface, .on_message = on_message, .arg = c};
    ktcp_rx_init(&c->rx, &t->mem, &sink, t->max_message_bytes);
    enum base_err err = ktcp_tx_init(&c->tx, &t->mem, &t->packer);
    if (err != BASE_OK) {
        ktcp_tx_fini(&c->tx);
        base_fd_close(&fd);
        free(c);
        return err;
    }
    base_list_add_tail(&t->conns, &c->link);
    t->n_conns++;
    *conn = c;
    return BASE_OK;
}

/* Asks the system to connect; what fails is told by the next poll(). */
static void start_connecting(struct ktcp_conn *conn)
{
    int rc = connect(conn->source.fd, &conn->addr.sa.any, conn->addr.len);
    if (rc != 0 && errno == EAGAIN && conn->is_unix) {
        ktcp_wait_start(conn->transport, &conn->wait, KTCP_TIMER_RETRY);
        return;
    }
    if (rc != 0 && errno != EINPROGRESS) {
        conn->broken = errno;
        make_due(conn);
        return;
    }
    if (conn->state == KTCP_OPENING) {
        ktcp_wait_start(conn->transport, &conn->wait, KTCP_TIMER_CONNECT);
    }
    /* Also one that is connected already is told so by the poller, where it may call back. */
    if (snapi_poller_add(conn->transport->poller, &conn->source, EPOLLOUT) != BASE_OK) {
        conn->broken = ENOMEM;
        make_due(conn);
    }
}

enum base_err ktcp_connect(struct snapi_transport *transport, const char *address,
                           enum snapi_traffic traffic, const struct snapi_conn_events *events,
                           void *arg, struct snapi_conn **conn)
{
    (void)traffic;
    struct ktcp_transport *t = base_container_of(transport, struct ktcp_transport, base);
    *conn = NULL;
    struct ktcp_addr addr;
    BASE_TRY(ktcp_addr_parse(address, &addr));
    int fd;
    BASE_TRY(ktcp_sock_open(&addr, &fd));
    struct ktcp_conn *c;
    BASE_TRY(ktcp_conn_create(t, fd, ktcp_addr_is_unix(&addr), &c));
    c->events = events;
    c->arg = arg;
    c->addr = addr;
    ktcp_addr_format(&addr, c->peer);
    start_connecting(c);
    *conn = &c->base;
    return BASE_OK;
}

void ktcp_conn_on_timeout(struct ktcp_conn *conn, enum ktcp_timer timer)
{
    switch (timer) {
    case KTCP_TIMER_RETRY:
        start_connecting(conn);
        break;
    case KTCP_TIMER_LINGER:
        if (conn->state == KTCP_SHUT) {
            ktcp_conn_finish(conn, BASE_E_CLOSED,
                             "closed; the peer did not close its side in time");
        } else {
            ktcp_conn_finish(conn, BASE_E_TIMEOUT,
                             "closed before the peer took everything: it does not read");
        }
        break;
    case KTCP_TIMER_CONNECT:
    case KTCP_TIMER_GREET:
    case KTCP_TIMER_ACCEPT:
    case KTCP_TIMERS:
        ktcp_conn_finish(conn, BASE_E_TIMEOUT, "%s",
                         conn->is_connected
                             ? "connected, but it does not speak: is that a snaprpc server?"
                             : "no answer: is the host up, and does a firewall drop packets?");
    }
}

/* ---- the other ops ---- */

enum base_err ktcp_begin(struct snapi_conn *base, size_t len, struct snapi_tx *tx)
{
    struct ktcp_conn *conn = conn_of(base);
    bool is_lost = conn->is_connected && conn->broken != 0;
    BASE_ENSURE(conn->state <= KTCP_OPEN && !is_lost, BASE_E_CLOSED);
    if (len > conn->transport->max_message_bytes) {
        base_error_note("a message of %zu bytes is longer than max_message_bytes (%zu)", len,
                        conn->transport->max_message_bytes);
        return BASE_E_LIMIT;
    }
    return ktcp_tx_begin(&conn->tx, len, tx);
}

void ktcp_send(struct snapi_conn *base, struct snapi_tx *tx, uint64_t tag)
{
    struct ktcp_conn *conn = conn_of(base);
    ktcp_tx_send(&conn->tx, tx, tag);
    if (conn->is_connected && !conn->tx.is_blocked) {
        make_due(conn);
    }
}

void ktcp_abandon(struct snapi_conn *base, struct snapi_tx *tx)
{
    ktcp_tx_abandon(&conn_of(base)->tx, tx);
}

void ktcp_close(struct snapi_conn *base, enum snapi_close how)
{
    struct ktcp_conn *conn = conn_of(base);
    if (how == SNAPI_CLOSE_ABORT) {
        ktcp_conn_kill(conn, true);
    } else if (conn->state <= KTCP_OPEN) {
        conn->state = KTCP_FLUSHING;
        ktcp_wait_start(conn->transport, &conn->wait, KTCP_TIMER_LINGER);
        make_due(conn);
    }
}

const char *ktcp_peer(const struct snapi_conn *base)
{
    return base_container_of(base, const struct ktcp_conn, base)->peer;
}
