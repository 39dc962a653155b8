/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/port/port.h"

#include <stdio.h>
#include <stdlib.h>

static struct pony_port_conn *conn_of(const struct snapi_conn *base)
{
    return base_container_of(base, struct pony_port_conn, base);
}

static struct pony_port_conn *conn_of_entry(struct base_list *link)
{
    struct pony_port_entry *entry = base_list_entry(link, struct pony_port_entry, link);
    return base_container_of(entry, struct pony_port_conn, entry);
}

/* ---- messages ---- */

static int is_large(size_t len)
{
    return len > PONY_PORT_SMALL_BYTES ? 1 : 0;
}

static void ahead_add(struct pony_port *port, struct pony_port_message *message)
{
    message->epoch = port->ahead.epoch;
    if (is_large(message->span_bytes)) {
        port->ahead.moved_ns = port->ahead.n == 0 ? port->now_ns : port->ahead.moved_ns;
        port->ahead.bytes += message->span_bytes;
        port->ahead.n++;
    }
}

static void ahead_sub(struct pony_port *port, const struct pony_port_message *message)
{
    if (is_large(message->span_bytes) && message->epoch == port->ahead.epoch) {
        port->ahead.moved_ns = port->now_ns;
        port->ahead.bytes -= message->span_bytes;
        port->ahead.n--;
    }
}

void pony_port_message_drop(struct pony_port_message *message)
{
    struct pony_port *port = message->conn->port;
    ahead_sub(port, message);
    message->conn->tx_bytes[is_large(message->span_bytes)] -= message->span_bytes;
    message->conn->n_messages--;
    port->tx_bytes -= message->span_bytes;
    base_list_del(&message->link);
    pony_port_tx_give(&port->tx, &message->span);
    base_pool_put(&port->messages, message);
    port->has_news = true;
}

/* Drops what is not at snapd: begun ones, which nobody can send any more, and held ones. */
static void drop_idle_messages(struct pony_port_conn *conn)
{
    base_list_foreach_safe (it, &conn->messages) {
        struct pony_port_message *m = base_list_entry(it, struct pony_port_message, link);
        if (m->state != PONY_MESSAGE_POSTED) {
            pony_port_message_drop(m);
        }
    }
}

void pony_port_conn_unqueue(struct pony_port_conn *conn)
{
    base_list_foreach (it, &conn->queued) {
        base_list_entry(it, struct pony_port_message, link)->state = PONY_MESSAGE_UNSENT;
    }
    base_list_splice_tail(&conn->messages, &conn->queued);
    conn->entry.wants &= (uint8_t)~PONY_WANT_SEND;
    if (conn->entry.wants == 0) {
        base_list_del(&conn->entry.wanted);
    }
}

/* ---- life ---- */

struct pony_port_conn *pony_port_conn_create(struct pony_port *port, const struct pony_address *to)
{
    struct pony_port_conn *conn = base_slab_take(&port->conns_slab);
    if (conn == NULL) {
        return NULL;
    }
    conn->base.ops = &pony_transport_ops;
    conn->port = port;
    base_list_init(&conn->entry.wanted);
    base_list_init(&conn->messages);
    base_list_init(&conn->queued);
    base_list_init(&conn->blocked);
    base_list_init(&conn->ended);
    base_list_add_tail(&port->conns, &conn->entry.link);
    if (to != NULL) {
        char peer[PONY_ADDRESS_MAX];
        conn->to = *to;
        pony_address_format_peer(&to->to, peer);
        (void)snprintf(conn->peer, sizeof(conn->peer), "%.*s", PONY_PORT_PEER_MAX - 1, peer);
    }
    return conn;
}

void pony_port_conn_free(struct pony_port_conn *conn)
{
    base_list_del(&conn->entry.link);
    base_list_del(&conn->ended);
    base_slab_give(&conn->port->conns_slab, conn);
}

void pony_port_conn_gone(struct pony_port_conn *conn)
{
    pony_port_conn_unqueue(conn);
    drop_idle_messages(conn);
    pony_port_number_give(conn->port, &conn->entry);
    base_list_del(&conn->blocked);
    base_list_del(&conn->ended);
    conn->port->n_ended -= conn->state == PONY_CONN_ENDED;
    conn->state = PONY_CONN_GONE;
    base_list_add_tail(&conn->port->gone, &conn->ended);
}

void pony_port_conn_unsettle(struct pony_port_conn *conn)
{
    if (!base_list_is_linked(&conn->ended)) {
        base_list_add_tail(&conn->port->ended, &conn->ended);
    }
}

void pony_port_conn_end(struct pony_port_conn *conn, enum shm_reason reason, enum base_err error)
{
    pony_port_conn_unqueue(conn);
    conn->port->n_ended += conn->state < PONY_CONN_ENDED;
    conn->state = PONY_CONN_ENDED;
    conn->reason = (uint8_t)reason;
    conn->error = error;
    base_list_del(&conn->blocked);
    pony_port_conn_unsettle(conn);
}

static const struct {
    enum base_err err;
    const char *remedy;
} reasons[SHM_REASON_MAX] = {
    [SHM_REASON_NONE] = {BASE_E_RESET, ""},
    [SHM_REASON_CLOSED] = {BASE_E_CLOSED, ""},
    [SHM_REASON_ABORTED] = {BASE_E_RESET, ""},
    [SHM_REASON_APP_GONE] = {BASE_E_RESET, ""},
    [SHM_REASON_NO_SERVICE] = {BASE_E_REFUSED, "; was the server restarted?"},
    [SHM_REASON_NO_MEMORY] = {BASE_E_REFUSED, ""},
    [SHM_REASON_PEER_DEAD] = {BASE_E_UNREACHABLE, ""},
    [SHM_REASON_PEER_RESTARTED] = {BASE_E_RESET, ""},
    [SHM_REASON_UNREACHABLE] = {BASE_E_UNREACHABLE, "; is snapd running there, its UDP port open?"},
    [SHM_REASON_VERSION] = {BASE_E_VERSION, "; upgrade the older one"},
    [SHM_REASON_PROTOCOL] = {BASE_E_PEER, ""},
    [SHM_REASON_BAD_COMMAND] = {BASE_E_INTERNAL, ""},
    [SHM_REASON_SHUTDOWN] = {BASE_E_RESET, ""},
    [SHM_REASON_REFUSED] = {BASE_E_REFUSED, ""},
    [SHM_REASON_SECURITY] = {BASE_E_REFUSED, "; compare [security] in the snapd.conf of both"},
};

static struct snapi_closed why_closed(const struct pony_port_conn *conn)
{
    struct snapi_closed why = {.err = conn->error};
    if (conn->error == BASE_OK) {
        why.err = reasons[conn->reason].err;
        (void)snprintf(why.message, sizeof(why.message), "%s: %s%s", conn->peer,
                       shm_reason_text((enum shm_reason)conn->reason),
                       reasons[conn->reason].remedy);
    } else if (conn->error == BASE_E_CLOSED) {
        (void)snprintf(why.message, sizeof(why.message), "%s: closed before it was open",
                       conn->peer);
    } else {
        (void)snprintf(why.message, sizeof(why.message), "%s: %s", conn->peer, conn->port->reason);
    }
    return why;
}

bool pony_port_conn_tell_unsent(struct pony_port_conn *conn)
{
    bool is_awaited = false;
    struct base_list todo;
    base_list_init(&todo);
    base_list_splice_tail(&todo, &conn->messages);
    struct base_list *it;
    while ((it = base_list_take_first(&todo)) != NULL) {
        struct pony_port_message *m = base_list_entry(it, struct pony_port_message, link);
        if (m->state == PONY_MESSAGE_POSTED) {
            is_awaited = true;
            base_list_add_tail(&conn->messages, it);
            continue;
        }
        if (m->state == PONY_MESSAGE_UNSENT && !conn->is_silent) {
            conn->events->on_unsent(conn->arg, &conn->base, m->tag,
                                    conn->port->map.tx + m->span.off, m->len);
        }
        pony_port_message_drop(m);
    }
    return is_awaited;
}

void pony_port_conn_settle(struct pony_port_conn *conn)
{
    if (conn->state != PONY_CONN_ENDED || pony_port_conn_tell_unsent(conn)) {
        return;
    }
    if (!conn->is_silent) {
        struct snapi_closed why = why_closed(conn);
        conn->events->on_closed(conn->arg, &conn->base, &why);
    }
    if (conn->state != PONY_CONN_GONE) {
        pony_port_conn_gone(conn);
    }
}

/* ---- connecting ---- */

/* Takes a number and posts OPEN; the connection ends when there is none. */
static void open_conn(struct pony_port_conn *conn)
{
    if (conn->is_closing) {
        return;
    }
    if (pony_port_number_take(conn->port, &conn->entry) != BASE_OK) {
        pony_port_conn_end(conn, SHM_REASON_NO_MEMORY, BASE_OK);
        return;
    }
    pony_port_want(conn->port, &conn->entry, PONY_WANT_OPEN);
}

void pony_port_conns_open(struct pony_port *port)
{
    port->has_news = true;
    base_list_foreach (it, &port->conns) {
        struct pony_port_conn *conn = conn_of_entry(it);
        if (conn->state == PONY_CONN_WAITING && conn->entry.number == 0) {
            open_conn(conn);
        }
    }
}

void pony_port_conns_give_up(struct pony_port *port)
{
    base_list_foreach (it, &port->conns) {
        struct pony_port_conn *conn = conn_of_entry(it);
        if (conn->state == PONY_CONN_WAITING) {
            pony_port_conn_end(conn, SHM_REASON_NONE, BASE_E_UNREACHABLE);
        }
    }
}

static_assert((int)SNAPI_TRAFFIC_LATENCY == SHM_TRAFFIC_LATENCY &&
                  (int)SNAPI_TRAFFIC_BULK == SHM_TRAFFIC_BULK &&
                  (int)SNAPI_TRAFFIC_NORMAL == SHM_TRAFFIC_NORMAL &&
                  (int)SNAPI_TRAFFIC_MAX == SHM_TRAFFIC_MAX,
              "one numbering");

enum base_err pony_port_connect(struct snapi_transport *transport, const char *address,
                                enum snapi_traffic traffic, const struct snapi_conn_events *events,
                                void *arg, struct snapi_conn **conn)
{
    struct pony_port *port = base_container_of(transport, struct pony_port, base);
    struct pony_address to;
    *conn = NULL;
    BASE_TRY(pony_address_parse(address, &to));
    struct pony_port_conn *c = pony_port_conn_create(port, &to);
    BASE_ENSURE(c != NULL, BASE_E_NOMEM);
    c->events = events;
    c->arg = arg;
    c->traffic = (uint8_t)traffic;
    if (port->link == PONY_LINK_OFF || port->is_lost) {
        pony_port_conn_end(c, SHM_REASON_NONE, BASE_E_UNREACHABLE);
    } else if (port->link == PONY_LINK_UP) {
        open_conn(c);
    }
    *conn = &c->base;
    return BASE_OK;
}

/* ---- sending ---- */

static enum base_err say_again(struct pony_port_conn *conn)
{
    conn->port->n_said_again++;
    if (!base_list_is_linked(&conn->blocked)) {
        base_list_add_tail(&conn->port->blocked, &conn->blocked);
    }
    return BASE_AGAIN;
}

/* A connection whose peer does not read must leave something to the others: it gets at most as
 * much as is still free (of memory, and of messages). Small messages pass large ones, so each kind
 * has a share of its own, in which one message always is. */
static bool is_within_share(const struct pony_port_conn *conn, size_t len)
{
    const struct pony_port *port = conn->port;
    uint64_t used = conn->tx_bytes[is_large(len)];
    uint64_t free_bytes = base_sub_sat_u64(port->map.tx_bytes, port->tx_bytes);
    uint64_t share = base_min_u64(free_bytes, PONY_PORT_CONN_BYTES);
    uint32_t free_messages = PONY_PORT_MESSAGES_MAX - port->messages.n_taken;
    return (conn->n_messages == 0 || conn->n_messages < free_messages) &&
           (used == 0 || used + len <= share);
}

enum base_err pony_port_begin(struct snapi_conn *base, size_t len, struct snapi_tx *tx)
{
    struct pony_port_conn *conn = conn_of(base);
    struct pony_port *port = conn->port;
    tx->data = NULL;
    BASE_ENSURE(!conn->is_closing && conn->state < PONY_CONN_ENDED, BASE_E_CLOSED);
    if (len > port->max_message_bytes) {
        base_error_note("message of %zu bytes, at most %zu are allowed: raise max_message_bytes",
                        len, port->max_message_bytes);
        return BASE_E_LIMIT;
    }
    bool is_up = port->link == PONY_LINK_UP && !port->is_lost;
    if (!is_up || !is_within_share(conn, len)) {
        return say_again(conn);
    }
    struct pony_port_message *m = base_pool_take_unset(&port->messages, NULL);
    if (m == NULL) {
        return say_again(conn);
    }
    if (pony_port_tx_take(&port->tx, len, &m->span) != BASE_OK) {
        base_pool_put(&port->messages, m);
        return say_again(conn);
    }
    m->conn = conn;
    m->tag = 0;
    m->len = m->span_bytes = (uint32_t)len;
    m->command = 0;
    m->state = PONY_MESSAGE_BEGUN;
    conn->tx_bytes[is_large(len)] += (uint32_t)len; /* a share, or one message: see above */
    conn->n_messages++;
    port->tx_bytes += len;
    ahead_add(port, m);
    base_list_add_tail(&conn->messages, &m->link);
    *tx = (struct snapi_tx){.data = port->map.tx + m->span.off, .len = len, .priv = {(uintptr_t)m}};
    return BASE_OK;
}

size_t pony_port_max_message(const struct snapi_conn *base)
{
    return conn_of(base)->port->max_message_bytes;
}

bool pony_port_has_room(struct snapi_conn *base)
{
    struct pony_port_conn *conn = conn_of(base);
    struct pony_port *port = conn->port;
    uint64_t most = base_min_u64(PONY_PORT_AHEAD_BYTES, port->map.tx_bytes / 8);
    bool has_room = port->ahead.bytes < most || port->ahead.n < PONY_PORT_AHEAD_MESSAGES ||
                    conn->is_closing || conn->state >= PONY_CONN_ENDED;
    if (!has_room && port->now_ns >= port->ahead.moved_ns + PONY_PORT_STALL_NS) {
        port->ahead.epoch++;
        port->ahead.bytes = 0;
        port->ahead.n = 0;
        has_room = true;
    }
    if (!has_room) {
        port->is_paced = true;
        if (!base_list_is_linked(&conn->blocked)) {
            base_list_add_tail(&port->blocked, &conn->blocked);
        }
    }
    return has_room;
}

static struct pony_port_message *message_of(const struct snapi_tx *tx)
{
    return (struct pony_port_message *)(uintptr_t)tx->priv[0];
}

void pony_port_send(struct snapi_conn *base, struct snapi_tx *tx, uint64_t tag)
{
    const struct pony_port_conn *conn = conn_of(base);
    struct pony_port_message *m = message_of(tx);
    m->tag = tag;
    m->len = (uint32_t)base_min_size(tx->len, m->len);
    tx->data = NULL;
    if (conn->state >= PONY_CONN_ENDED) {
        m->state = PONY_MESSAGE_UNSENT; /* snapd never hears of it */
    } else {
        pony_port_post_message(m);
    }
}

void pony_port_abandon(struct snapi_conn *base, struct snapi_tx *tx)
{
    (void)base;
    pony_port_message_drop(message_of(tx));
    *tx = (struct snapi_tx){0};
}

/* ---- closing ---- */

/* Before snapd heard of it. */
static void close_unknown(struct pony_port_conn *conn, bool is_abort)
{
    if (is_abort) {
        conn->is_silent = true;
        pony_port_conn_gone(conn);
    } else if (conn->state < PONY_CONN_ENDED) {
        pony_port_number_give(conn->port, &conn->entry);
        pony_port_conn_end(conn, SHM_REASON_NONE, BASE_E_CLOSED);
    }
}

void pony_port_close(struct snapi_conn *base, enum snapi_close how)
{
    struct pony_port_conn *conn = conn_of(base);
    bool is_abort = how == SNAPI_CLOSE_ABORT;
    bool was_closing = conn->is_closing;
    conn->is_closing = true;
    base_list_del(&conn->blocked);
    if (conn->state == PONY_CONN_GONE) {
        return;
    }
    if (conn->state == PONY_CONN_WAITING && (is_abort || conn->entry.number == 0)) {
        close_unknown(conn, is_abort);
        return;
    }
    if (is_abort) {
        conn->is_silent = true;
        pony_port_conn_unqueue(conn);
        drop_idle_messages(conn);
    }
    if (conn->state == PONY_CONN_ENDED || conn->port->is_lost) {
        return; /* its end is on its way */
    }
    if (is_abort) {
        pony_port_want(conn->port, &conn->entry, PONY_WANT_ABORT);
    } else if (!was_closing) {
        pony_port_want(conn->port, &conn->entry, PONY_WANT_CLOSE);
    }
}

const char *pony_port_peer(const struct snapi_conn *base)
{
    return conn_of(base)->peer;
}
