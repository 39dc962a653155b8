/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span.h"
#include "transport/pony/port/port.h"

#include <stdio.h>
#include <string.h>

enum {
    MESSAGE_LINES = 2 /* of a message: a short one */
};

/* Handlers return what is wrong with the completion; NULL: nothing. */
typedef const char *handle_fn(struct pony_port *port, const struct shm_completion *cpl);

static struct pony_port_conn *find_conn(struct pony_port *port, uint32_t number)
{
    struct pony_port_entry *entry = pony_port_find(port, number);
    return entry != NULL && !entry->is_listener
               ? base_container_of(entry, struct pony_port_conn, entry)
               : NULL;
}

static struct pony_port_listener *find_listener(struct pony_port *port, uint32_t number)
{
    struct pony_port_entry *entry = pony_port_find(port, number);
    return entry != NULL && entry->is_listener
               ? base_container_of(entry, struct pony_port_listener, entry)
               : NULL;
}

static const char *on_listening(struct pony_port *port, const struct shm_completion *cpl)
{
    struct pony_port_listener *listener = find_listener(port, cpl->conn);
    if (listener == NULL || (listener->entry.wants & PONY_WANT_OPEN) != 0) {
        return "LISTENING for a listener that it does not have";
    }
    if (cpl->u.listening.service == 0 || listener->address[0] != '\0') {
        return "LISTENING twice, or for no service";
    }
    struct pony_address address = {.is_any_host = true,
                                   .to.udp_port = cpl->u.listening.udp_port,
                                   .service = cpl->u.listening.service,
                                   .instance = cpl->u.listening.instance};
    char text[PONY_ADDRESS_MAX];
    pony_address_format(&address, text);
    pony_port_listener_set_address(listener, text);
    return NULL;
}

/* What was given back while the connection was not open is forgotten: it may have arrived. */
static void drop_held(struct pony_port_conn *conn)
{
    base_list_foreach_safe (it, &conn->messages) {
        struct pony_port_message *m = base_list_entry(it, struct pony_port_message, link);
        if (m->state == PONY_MESSAGE_HELD) {
            pony_port_message_drop(m);
        }
    }
}

static const char *on_opened(struct pony_port *port, const struct shm_completion *cpl)
{
    struct pony_port_conn *conn = find_conn(port, cpl->conn);
    if (conn == NULL || conn->state != PONY_CONN_OPENING) {
        return "OPENED for a connection that does not open";
    }
    conn->state = PONY_CONN_OPEN;
    drop_held(conn);
    if (!conn->is_closing) {
        conn->events->on_open(conn->arg, &conn->base);
    }
    return NULL;
}

static const char *on_accepted(struct pony_port *port, const struct shm_completion *cpl)
{
    struct pony_port_listener *listener =
        cpl->tag <= UINT32_MAX ? find_listener(port, (uint32_t)cpl->tag) : NULL;
    if ((cpl->conn & SHM_CONN_ACCEPTED) == 0 || pony_port_find(port, cpl->conn) != NULL) {
        return "ACCEPTED with a number that is not free";
    }
    if (listener == NULL) {
        return "ACCEPTED at a listener that it does not have";
    }
    struct pony_port_conn *conn = pony_port_conn_create(port, NULL);
    if (conn == NULL) {
        return "(out of memory for a connection)";
    }
    char peer[PONY_ADDRESS_MAX];
    pony_address_format_peer(&cpl->u.peer.addr, peer);
    (void)snprintf(conn->peer, sizeof(conn->peer), "%.*s", PONY_PORT_PEER_MAX - 1, peer);
    conn->state = PONY_CONN_OPEN;
    if (pony_port_accepted_put(&port->accepted, cpl->conn, &conn->entry) != BASE_OK) {
        conn->is_silent = true;
        pony_port_conn_gone(conn);
        return "(out of memory for a connection)";
    }
    conn->entry.number = cpl->conn;
    bool is_wanted = !listener->is_silent && listener->events->on_accept(listener->arg, &conn->base,
                                                                         &conn->events, &conn->arg);
    if (!is_wanted) {
        pony_port_close(&conn->base, SNAPI_CLOSE_ABORT);
    }
    return NULL;
}

static const char *on_received(struct pony_port *port, const struct shm_completion *cpl)
{
    struct pony_port_conn *conn = find_conn(port, cpl->conn);
    uint64_t off = cpl->u.received.off;
    uint32_t len = cpl->u.received.len;
    if (conn == NULL || conn->state != PONY_CONN_OPEN) {
        return "RECEIVED for a connection that is not open";
    }
    if (!base_span_fits(off, len, port->map.rx_bytes) || !base_is_aligned(off, 8)) {
        return "RECEIVED outside the rx region";
    }
    if (!conn->is_silent) {
        conn->events->on_message(conn->arg, &conn->base, port->map.rx + off, len);
    }
    return NULL;
}

/* The message with that tag, if it is at snapd. */
static inline struct pony_port_message *find_posted(struct pony_port *port, uint64_t tag)
{
    struct pony_port_message *m =
        base_pool_find(&port->messages, (uint32_t)tag, (uint32_t)(tag >> 32));
    return m != NULL && m->state == PONY_MESSAGE_POSTED ? m : NULL;
}

static inline void take_back(struct pony_port_message *m, bool is_unsent)
{
    struct pony_port_conn *conn = m->conn;
    if (is_unsent) {
        m->state = PONY_MESSAGE_UNSENT;
    } else if (conn->state == PONY_CONN_OPENING) {
        m->state = PONY_MESSAGE_HELD;
    } else {
        pony_port_message_drop(m);
    }
    if (conn->state == PONY_CONN_ENDED) {
        pony_port_conn_unsettle(conn);
    }
}

static const char *on_sent(struct pony_port *port, const struct shm_completion *cpl)
{
    bool is_unsent = (cpl->flags & SHM_CPL_UNSENT) != 0;
    struct pony_port_message *m = find_posted(port, cpl->tag);
    if (m == NULL) {
        return "SENT for a message that it does not have";
    }
    if (m->conn->entry.number != cpl->conn && m->conn->state != PONY_CONN_ENDED) {
        return "SENT for a message of another connection";
    }
    if (cpl->n_more > SHM_SENT_MORE_MAX) {
        return "SENT for more messages than it can name";
    }
    take_back(m, is_unsent);
    for (uint32_t i = 0; i < cpl->n_more; i++) {
        m = find_posted(port, cpl->u.sent.tags[i]);
        if (m == NULL) {
            return "SENT for a message that it does not have, among others";
        }
        take_back(m, is_unsent);
    }
    return NULL;
}

static const char *listener_closed(struct pony_port *port, const struct shm_completion *cpl)
{
    struct pony_port_listener *listener = find_listener(port, cpl->conn);
    if (listener == NULL) {
        return "CLOSED for a listener that it does not have";
    }
    pony_port_number_give(port, &listener->entry);
    if (listener->is_silent) {
        base_list_del(&listener->entry.link);
        base_list_add_tail(&port->gone_listeners, &listener->entry.link);
        return NULL;
    }
    base_logf(port->log, BASE_LOG_WARN, "pony", "a listener was closed by snapd: %s",
              shm_reason_text((enum shm_reason)cpl->reason));
    pony_port_listener_set_address(listener, "");
    return NULL;
}

static const char *on_closed(struct pony_port *port, const struct shm_completion *cpl)
{
    if (cpl->reason >= SHM_REASON_MAX) {
        return "CLOSED for a reason that does not exist";
    }
    if ((cpl->flags & SHM_CPL_LISTENER) != 0) {
        return listener_closed(port, cpl);
    }
    struct pony_port_conn *conn = find_conn(port, cpl->conn);
    if (conn == NULL || conn->state == PONY_CONN_WAITING || conn->state >= PONY_CONN_ENDED) {
        return "CLOSED for a connection that it does not have";
    }
    base_list_foreach (it, &conn->messages) {
        struct pony_port_message *m = base_list_entry(it, struct pony_port_message, link);
        if (m->state == PONY_MESSAGE_HELD && (cpl->flags & SHM_CPL_NEVER_OPENED) != 0) {
            m->state = PONY_MESSAGE_UNSENT;
        }
    }
    if ((conn->entry.number & SHM_CONN_ACCEPTED) != 0) {
        /* The engine may give the number out again. One of ours stays taken until all messages
         * are back. */
        pony_port_number_give(port, &conn->entry);
    }
    pony_port_conn_end(conn, (enum shm_reason)cpl->reason, BASE_OK);
    return NULL;
}

static handle_fn *const handlers[SHM_CPL_MAX] = {
    [SHM_CPL_LISTENING] = on_listening, [SHM_CPL_OPENED] = on_opened,
    [SHM_CPL_ACCEPTED] = on_accepted,   [SHM_CPL_RECEIVED] = on_received,
    [SHM_CPL_SENT] = on_sent,           [SHM_CPL_CLOSED] = on_closed,
};

static void consume(struct pony_port *port, uint32_t n)
{
    if (shm_client_consume(&port->map.end, n)) {
        port->must_ring = true;
    }
}

/* Consumed at once, not with the rest of its batch: its memory is worth a write to a shared line. */
static bool is_large(const struct pony_port *port, const struct shm_completion *cpl)
{
    return cpl->kind == SHM_CPL_RECEIVED && cpl->u.received.len > port->map.rx_bytes / 64;
}

/* Messages, the connections that they arrived for, and what the callers know of them, are on their way
 * from memory together before the first message is handed over. Handlers look their connection up
 * again: one before them may have ended it. */
static void prefetch_batch(struct pony_port *port, uint32_t n)
{
    struct pony_port_entry *entries[PONY_PORT_BATCH];
    uint32_t n_entries = 0;
    uint32_t last = 0; /* no connection's number */
    for (uint32_t i = 0; i < n; i++) {
        const struct shm_completion *cpl = &port->completions[i];
        if (cpl->kind != SHM_CPL_RECEIVED) {
            continue;
        }
        if (cpl->u.received.off < port->map.rx_bytes) {
            base_prefetch_lines(port->map.rx + cpl->u.received.off, MESSAGE_LINES);
        }
        if (cpl->conn == last) {
            continue;
        }
        last = cpl->conn;
        struct pony_port_entry *entry = pony_port_find(port, last);
        if (entry != NULL) {
            base_prefetch_lines(base_container_of(entry, struct pony_port_conn, entry),
                                PONY_PORT_CONN_HOT_LINES);
            entries[n_entries++] = entry;
        }
    }
    for (uint32_t i = 0; i < n_entries; i++) {
        if (!entries[i]->is_listener) {
            const struct pony_port_conn *conn =
                base_container_of(entries[i], struct pony_port_conn, entry);
            uint32_t n_lines = conn->events != NULL ? conn->events->arg_lines : 0;
            base_prefetch_lines(conn->arg, n_lines);
        }
    }
}

static uint32_t reap_batch(struct pony_port *port, uint32_t n)
{
    uint32_t done = 0, consumed = 0;
    if (n > 1) {
        prefetch_batch(port, n);
    }
    while (done < n && !port->is_lost) {
        const struct shm_completion *cpl = &port->completions[done++];
        const char *wrong = handlers[cpl->kind](port, cpl);
        if (wrong != NULL) {
            pony_port_lose(port, true, "%s", wrong);
        }
        if (is_large(port, cpl)) {
            consume(port, done - consumed);
            consumed = done;
        }
    }
    consume(port, done - consumed);
    return done;
}

uint32_t pony_port_reap(struct pony_port *port, uint32_t budget)
{
    uint32_t done = 0;
    while (done < budget && !port->is_lost) {
        uint32_t n;
        uint32_t max = base_min_u32(budget - done, PONY_PORT_BATCH);
        if (shm_client_peek(&port->map.end, port->completions, max, &n) != BASE_OK) {
            pony_port_lose(port, true, "its completion cursor or a completion's kind lies");
            break;
        }
        if (n == 0) {
            break;
        }
        done += reap_batch(port, n);
    }
    return done;
}
