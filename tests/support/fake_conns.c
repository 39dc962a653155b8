/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- listeners ---- */

const char *fake_address_now(const struct fake_listener *listener)
{
    bool is_up = fake_net.state[listener->owner->kind] == SNAPI_TRANSPORT_UP;
    return is_up ? listener->address : "";
}

/* Locked. */
static struct fake_listener *find_listener(enum snap_transport kind, const char *address)
{
    const char *slash = strchr(address, '/');
    base_list_foreach (it, &fake_net.transports) {
        struct fake_transport *t = base_list_entry(it, struct fake_transport, link);
        if (t->kind != kind) {
            continue;
        }
        base_list_foreach (l, &t->listeners) {
            struct fake_listener *listener = base_list_entry(l, struct fake_listener, link);
            if (t->kind != kind) {
                break;
            }
            bool is_it = kind == SNAP_TRANSPORT_TCP
                             ? strcmp(listener->address, address) == 0
                             : slash != NULL && strcmp(strchr(listener->address, '/'), slash) == 0;
            if (is_it) {
                return listener;
            }
        }
    }
    return NULL;
}

enum base_err fake_listen(struct snapi_transport *transport, const char *address,
                          enum snapi_traffic traffic, const struct snapi_listener_events *events,
                          void *arg, struct snapi_listener **listener)
{
    (void)traffic;
    struct fake_transport *t = fake_of(transport);
    struct fake_listener *l = calloc(1, sizeof(*l));
    BASE_ENSURE(l != NULL, BASE_E_NOMEM);
    fake_lock();
    uint32_t n = ++fake_net.n_listeners;
    size_t len = strlen(address);
    if (t->kind == SNAP_TRANSPORT_PONY) {
        (void)snprintf(l->address, sizeof(l->address), "pony:*:4741/%u", n);
    } else if (len > 2 && strcmp(address + len - 2, ":0") == 0) {
        (void)snprintf(l->address, sizeof(l->address), "%.*s:%u", (int)(len - 2), address,
                       40000 + n);
    } else {
        (void)snprintf(l->address, sizeof(l->address), "%s", address);
    }
    if (find_listener(t->kind, l->address) != NULL) {
        fake_unlock();
        base_error_note("%s is in use", address);
        free(l);
        return BASE_E_IN_USE;
    }
    l->base.ops = t->base.ops;
    l->owner = t;
    l->events = events;
    l->arg = arg;
    (void)snprintf(l->told, sizeof(l->told), "%s", fake_address_now(l));
    base_list_add_tail(&t->listeners, &l->link);
    fake_unlock();
    *listener = &l->base;
    return BASE_OK;
}

void fake_unlisten(struct snapi_listener *listener)
{
    struct fake_listener *l = base_container_of(listener, struct fake_listener, base);
    fake_lock();
    base_list_foreach_safe (it, &l->owner->conns) {
        struct fake_conn *conn = base_list_entry(it, struct fake_conn, link);
        if (conn->listener == l) {
            fake_free_conn(conn, BASE_E_REFUSED);
        }
    }
    base_list_del(&l->link);
    fake_unlock();
    free(l);
}

const char *fake_listener_address(const struct snapi_listener *listener)
{
    fake_lock();
    const char *now = fake_address_now(base_container_of(listener, struct fake_listener, base));
    fake_unlock();
    return now;
}

/* ---- connections ---- */

/* Locked. Moves what was sent to the peers. */
void fake_push_out(struct fake_transport *t)
{
    if (fake_net.is_held[t->kind]) {
        return;
    }
    base_list_foreach (it, &t->conns) {
        struct fake_conn *conn = base_list_entry(it, struct fake_conn, link);
        if (conn->is_broken || conn->is_hanging || conn->peer == NULL || conn->peer->is_broken ||
            base_list_is_empty(&conn->outbox)) {
            continue;
        }
        base_list_splice_tail(&conn->peer->inbox, &conn->outbox);
        fake_wake(conn->peer->owner);
    }
}

void fake_free_msgs(struct base_list *box)
{
    struct base_list *link;
    while ((link = base_list_take_first(box)) != NULL) {
        free(base_list_entry(link, struct fake_msg, link));
    }
}

/* Locked. The peer is told `err`. */
void fake_free_conn(struct fake_conn *conn, enum base_err err)
{
    if (conn->peer != NULL) {
        conn->peer->peer = NULL;
        if (!conn->peer->is_broken) {
            conn->peer->is_ended = true;
            conn->peer->end_err = err;
        }
        fake_wake(conn->peer->owner);
    }
    base_list_del(&conn->link);
    fake_free_msgs(&conn->inbox);
    fake_free_msgs(&conn->outbox);
    free(conn);
}

static struct fake_conn *make_conn(struct fake_transport *t)
{
    struct fake_conn *conn = calloc(1, sizeof(*conn));
    if (conn != NULL) {
        conn->base.ops = t->base.ops;
        conn->owner = t;
        base_list_init(&conn->inbox);
        base_list_init(&conn->outbox);
        base_list_add_tail(&t->conns, &conn->link);
    }
    return conn;
}

enum base_err fake_connect(struct snapi_transport *transport, const char *address,
                           enum snapi_traffic traffic, const struct snapi_conn_events *events,
                           void *arg, struct snapi_conn **conn)
{
    (void)traffic;
    struct fake_transport *t = fake_of(transport);
    fake_lock();
    struct fake_conn *c = make_conn(t);
    if (c == NULL) {
        fake_unlock();
        return BASE_E_NOMEM;
    }
    c->events = events;
    c->arg = arg;
    struct fake_listener *listener = find_listener(t->kind, address);
    if (fake_net.is_hung[t->kind]) {
        c->is_hanging = true;
    } else if (listener == NULL || fake_net.is_refused[t->kind] ||
               fake_net.state[t->kind] != SNAPI_TRANSPORT_UP) {
        c->is_broken = true;
        c->end_err = BASE_E_REFUSED;
    } else {
        struct fake_conn *other = make_conn(listener->owner);
        if (other == NULL) {
            fake_free_conn(c, BASE_E_NOMEM);
            fake_unlock();
            return BASE_E_NOMEM;
        }
        other->listener = listener;
        other->peer = c;
        c->peer = other;
        fake_wake(listener->owner);
    }
    fake_wake(t);
    fake_unlock();
    *conn = &c->base;
    return BASE_OK;
}

size_t fake_max_message(const struct snapi_conn *conn)
{
    const struct fake_transport *t = fake_conn_of(conn)->owner;
    fake_lock();
    size_t most = fake_net.max_message[t->kind];
    fake_unlock();
    return most != 0 ? most : t->max_message_bytes;
}

enum base_err fake_begin(struct snapi_conn *conn, size_t len, struct snapi_tx *tx)
{
    struct fake_conn *c = fake_conn_of(conn);
    BASE_ENSURE(len <= fake_max_message(conn), BASE_E_LIMIT);
    fake_lock();
    bool is_dead = c->is_closing || c->is_broken || c->is_ended;
    bool is_again = fake_net.is_again[c->owner->kind];
    c->wants_room = c->wants_room || (is_again && !is_dead);
    fake_net.n_again[c->owner->kind] += is_again && !is_dead;
    fake_unlock();
    BASE_ENSURE(!is_dead, BASE_E_CLOSED);
    BASE_ENSURE(!is_again, BASE_AGAIN);
    struct fake_msg *msg = malloc(sizeof(*msg) + len);
    BASE_ENSURE(msg != NULL, BASE_E_NOMEM);
    base_list_init(&msg->link);
    *tx = (struct snapi_tx){.data = msg->data, .len = len, .priv = {(uint64_t)(uintptr_t)msg, 0}};
    return BASE_OK;
}

bool fake_has_room(struct snapi_conn *conn)
{
    struct fake_conn *c = fake_conn_of(conn);
    fake_lock();
    bool is_full = fake_net.is_full[c->owner->kind];
    c->wants_room = c->wants_room || is_full;
    fake_unlock();
    return !is_full;
}

void fake_send(struct snapi_conn *conn, struct snapi_tx *tx, uint64_t tag)
{
    struct fake_conn *c = fake_conn_of(conn);
    struct fake_msg *msg = (struct fake_msg *)(uintptr_t)tx->priv[0];
    msg->len = tx->len;
    msg->tag = tag;
    fake_lock();
    base_list_add_tail(&c->outbox, &msg->link);
    fake_unlock();
}

void fake_abandon(struct snapi_conn *conn, struct snapi_tx *tx)
{
    (void)conn;
    free((struct fake_msg *)(uintptr_t)tx->priv[0]);
}

void fake_close(struct snapi_conn *conn, enum snapi_close how)
{
    struct fake_conn *c = fake_conn_of(conn);
    fake_lock();
    if (how == SNAPI_CLOSE_ABORT) {
        fake_free_conn(c, BASE_E_RESET);
    } else {
        fake_push_out(c->owner);
        c->is_closing = true;
        fake_wake(c->owner);
    }
    fake_unlock();
}

const char *fake_peer(const struct snapi_conn *conn)
{
    return fake_conn_of(conn)->owner->kind == SNAP_TRANSPORT_PONY ? "pony:fake:4741" : "fake:1";
}
