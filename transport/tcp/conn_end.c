/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections end, and what both sides are told of it.
 */
#include "base/fd.h"
#include "transport/tcp/sock.h"
#include "transport/tcp/tcp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void ktcp_conn_free(struct ktcp_conn *conn)
{
    base_list_del(&conn->link);
    ktcp_rx_fini(&conn->rx);
    ktcp_tx_fini(&conn->tx);
    free(conn);
}

void ktcp_conn_kill(struct ktcp_conn *conn, bool is_reset)
{
    struct ktcp_transport *t = conn->transport;
    if (conn->state == KTCP_DEAD) {
        return;
    }
    conn->state = KTCP_DEAD;
    conn->listener = NULL;
    snapi_poller_del(t->poller, &conn->source);
    ktcp_wait_stop(&conn->wait);
    base_list_del(&conn->due_link);
    if (is_reset) {
        ktcp_sock_reset(&conn->source.fd, conn->is_unix);
    } else {
        base_fd_close(&conn->source.fd);
    }
    base_list_del(&conn->link);
    base_list_add_tail(&t->dead, &conn->link);
    t->n_conns--;
    if (t->depth == 0) {
        ktcp_conn_free(conn);
    }
}

void ktcp_conn_finish(struct ktcp_conn *conn, enum base_err err, const char *fmt, ...)
{
    struct snapi_closed why = {.err = err};
    int n = snprintf(why.message, sizeof(why.message), "%s: ", conn->peer);
    va_list args;
    va_start(args, fmt);
    if (n >= 0 && (size_t)n < sizeof(why.message)) {
        (void)vsnprintf(why.message + n, sizeof(why.message) - (size_t)n, fmt, args);
    }
    va_end(args);
    snapi_poller_del(conn->transport->poller, &conn->source);
    conn->state = KTCP_SHUT;
    struct ktcp_unsent unsent;
    while (conn->events != NULL && conn->state != KTCP_DEAD &&
           ktcp_tx_first_unsent(&conn->tx, &unsent)) {
        conn->events->on_unsent(conn->arg, &conn->base, unsent.tag, unsent.data, unsent.len);
        if (conn->state != KTCP_DEAD) {
            ktcp_tx_drop_unsent(&conn->tx);
        }
    }
    if (conn->events != NULL && conn->state != KTCP_DEAD) {
        conn->events->on_closed(conn->arg, &conn->base, &why);
    }
    ktcp_conn_kill(conn, false);
}

static enum base_err connect_error(int e)
{
    return e == ENOENT ? BASE_E_REFUSED : base_err_from_errno(e);
}

void ktcp_conn_finish_unconnected(struct ktcp_conn *conn, int e)
{
    const char *remedy = "";
    if (e == ECONNREFUSED || e == ENOENT) {
        remedy = "; nobody listens there: is the server running?";
    } else if (e == EACCES || e == EPERM) {
        remedy = "; check the socket file's owner and mode, or the firewall";
    }
    char text[96];
    ktcp_conn_finish(conn, connect_error(e), "cannot connect: %s%s",
                     strerror_r(e, text, sizeof(text)), remedy);
}

void ktcp_conn_finish_broken(struct ktcp_conn *conn, int e)
{
    if (conn->state == KTCP_SHUT && conn->rx.has_preface) {
        ktcp_conn_finish(conn, BASE_E_CLOSED,
                         "closed"); /* all had left; how the peer went is all one */
        return;
    }
    char text[96];
    enum base_err err = base_err_from_errno(e);
    ktcp_conn_finish(conn, err, "connection lost: %s", strerror_r(e, text, sizeof(text)));
}

void ktcp_conn_finish_at_eof(struct ktcp_conn *conn)
{
    if (!conn->rx.has_preface) {
        ktcp_conn_finish(conn, BASE_E_RESET, "closed before it spoke: is that a snaprpc server?");
    } else if (conn->state == KTCP_SHUT) {
        ktcp_conn_finish(conn, BASE_E_CLOSED, "closed");
    } else {
        ktcp_conn_finish(conn, BASE_E_RESET,
                         "connection lost: the peer's process ended, or gave it up");
    }
}

/* KT-14 */
void ktcp_conn_finish_at_end_frame(struct ktcp_conn *conn)
{
    switch (conn->rx.end_reason) {
    case KTCP_REASON_DONE:
        ktcp_conn_finish(conn, BASE_E_CLOSED, "closed by the peer");
        break;
    case KTCP_REASON_LIMIT:
        ktcp_conn_finish(conn, BASE_E_LIMIT,
                         "a message was longer than the peer accepts: raise its max_message_bytes");
        break;
    case KTCP_REASON_VERSION:
        ktcp_conn_finish(conn, BASE_E_VERSION, "the peer does not speak version %d of the protocol",
                         KTCP_VERSION);
        break;
    case KTCP_REASON_REFUSED:
        ktcp_conn_finish(conn, BASE_E_REFUSED, "the peer's application refused the connection");
        break;
    default:
        ktcp_conn_finish(conn, BASE_E_PEER,
                         "the peer gave up: it could not read what came (reason %u)",
                         conn->rx.end_reason);
    }
}

void ktcp_conn_say_why(struct ktcp_conn *conn, enum ktcp_reason reason)
{
    if (!conn->is_connected || conn->broken != 0 || !conn->tx.has_greeted ||
        !ktcp_tx_is_between_frames(&conn->tx) || conn->tx.is_blocked) {
        return;
    }
    uint8_t end[KTCP_FIRST_HEADER_BYTES];
    struct ktcp_header header = {.flags = KTCP_END, .stream = (uint8_t)reason};
    size_t n = ktcp_header_put(end, &header);
    (void)send(conn->source.fd, end, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ktcp_conn_finish_unreadable(struct ktcp_conn *conn, enum base_err err)
{
    struct ktcp_transport *t = conn->transport;
    ktcp_conn_say_why(conn, err == BASE_E_LIMIT     ? KTCP_REASON_LIMIT
                            : err == BASE_E_VERSION ? KTCP_REASON_VERSION
                            : err == BASE_E_NOMEM   ? KTCP_REASON_PEER
                                                    : KTCP_REASON_MALFORMED);
    struct base_log_place place = {
        .log = t->log, .limit = &t->peer_log, .now_ns = t->now_ns, .component = "tcp"};
    base_logf_limited(&place, BASE_LOG_WARN, "%s: %s; the connection is closed", conn->peer,
                      conn->rx.why);
    if (err == BASE_E_LIMIT) {
        ktcp_conn_finish(conn, err, "%s (%zu)", conn->rx.why, conn->transport->max_message_bytes);
    } else {
        ktcp_conn_finish(conn, err, "%s", conn->rx.why);
    }
}
