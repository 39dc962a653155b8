/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"
#include "base/fd.h"
#include "tests/support/fake_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static void on_wake(struct snapi_source *source, uint32_t events)
{
    (void)events;
    (void)base_eventfd_drain(source->fd);
}

static enum base_err create(const struct snapi_transport_config *config, enum snap_transport kind,
                            const struct snapi_transport_ops *ops,
                            struct snapi_transport **transport)
{
    struct fake_transport *t = calloc(1, sizeof(*t));
    BASE_ENSURE(t != NULL, BASE_E_NOMEM);
    t->base.ops = ops;
    t->kind = kind;
    t->poller = config->poller;
    t->max_message_bytes = config->max_message_bytes;
    base_list_init(&t->conns);
    base_list_init(&t->listeners);
    base_list_init(&t->lookups);
    t->wake.on_ready = on_wake;
    if (base_eventfd_create(&t->wake.fd) != BASE_OK ||
        snapi_poller_add(t->poller, &t->wake, EPOLLIN) != BASE_OK) {
        base_fd_close(&t->wake.fd);
        free(t);
        return BASE_E_LIMIT;
    }
    fake_lock();
    base_list_add_tail(&fake_net.transports, &t->link);
    fake_unlock();
    *transport = &t->base;
    return BASE_OK;
}

static void destroy(struct snapi_transport *transport)
{
    struct fake_transport *t = fake_of(transport);
    fake_lock();
    base_list_del(&t->link);
    struct base_list *link;
    while ((link = base_list_first(&t->conns)) != NULL) {
        fake_free_conn(base_list_entry(link, struct fake_conn, link), BASE_E_RESET);
    }
    while ((link = base_list_take_first(&t->listeners)) != NULL) {
        free(base_list_entry(link, struct fake_listener, link));
    }
    while ((link = base_list_take_first(&t->lookups)) != NULL) {
        free(base_list_entry(link, struct fake_lookup, link));
    }
    fake_unlock();
    snapi_poller_del(t->poller, &t->wake);
    base_fd_close(&t->wake.fd);
    free(t);
}

static void flush(struct snapi_transport *transport)
{
    fake_lock();
    fake_push_out(fake_of(transport));
    fake_unlock();
}

/* What a connection has to tell next. */
enum event {
    EVENT_NONE,
    EVENT_ACCEPT,
    EVENT_OPEN,
    EVENT_MESSAGE,
    EVENT_WRITABLE,
    EVENT_UNSENT,
    EVENT_CLOSED
};

static enum event next_event(const struct fake_conn *conn)
{
    if (conn->is_broken) {
        bool has_unsent = conn->events != NULL && !base_list_is_empty(&conn->outbox);
        return has_unsent ? EVENT_UNSENT : EVENT_CLOSED;
    }
    if (conn->listener != NULL) {
        return EVENT_ACCEPT;
    }
    if (conn->is_hanging) {
        return EVENT_NONE;
    }
    if (conn->is_opening) {
        return EVENT_OPEN;
    }
    if (!base_list_is_empty(&conn->inbox)) {
        return EVENT_MESSAGE;
    }
    if (conn->is_ended) {
        return base_list_is_empty(&conn->outbox) ? EVENT_CLOSED : EVENT_UNSENT;
    }
    if (conn->is_closing && base_list_is_empty(&conn->outbox)) {
        return EVENT_CLOSED;
    }
    if (conn->wants_room && !fake_net.is_again[conn->owner->kind] &&
        !fake_net.is_full[conn->owner->kind]) {
        return EVENT_WRITABLE;
    }
    return EVENT_NONE;
}

/* Locked. */
static struct fake_conn *first_with_event(struct fake_transport *t, enum event *event)
{
    base_list_foreach (it, &t->conns) {
        struct fake_conn *conn = base_list_entry(it, struct fake_conn, link);
        *event = next_event(conn);
        if (*event != EVENT_NONE) {
            return conn;
        }
    }
    return NULL;
}

static struct fake_msg *take_msg(struct base_list *box)
{
    struct base_list *link = base_list_take_first(box);
    return link == NULL ? NULL : base_list_entry(link, struct fake_msg, link);
}

/* Locked; unlocks for the callback and locks again. */
static void accept_conn(struct fake_conn *conn)
{
    struct fake_listener *listener = conn->listener;
    conn->listener = NULL;
    const struct snapi_conn_events *events = NULL;
    void *arg = NULL;
    fake_unlock();
    bool is_taken = listener->events->on_accept(listener->arg, &conn->base, &events, &arg);
    fake_lock();
    if (!is_taken) {
        fake_free_conn(conn, BASE_E_REFUSED);
        return;
    }
    conn->events = events;
    conn->arg = arg;
    if (conn->peer != NULL) {
        conn->peer->is_opening = true;
        fake_wake(conn->peer->owner);
    }
}

static void end_conn(struct fake_conn *conn)
{
    struct snapi_closed why = {.err = conn->is_closing ? BASE_E_CLOSED : conn->end_err};
    (void)snprintf(why.message, sizeof(why.message), "fake connection: %s", base_err_text(why.err));
    const struct snapi_conn_events *events = conn->events;
    void *arg = conn->arg;
    /* Gone for the peer first, so that it cannot reach it while the callback runs unlocked. */
    if (conn->peer != NULL) {
        conn->peer->peer = NULL;
        if (!conn->peer->is_broken) {
            conn->peer->is_ended = true;
            conn->peer->end_err = conn->is_broken ? BASE_E_RESET : BASE_E_CLOSED;
        }
        fake_wake(conn->peer->owner);
        conn->peer = NULL;
    }
    base_list_del(&conn->link);
    fake_unlock();
    if (events != NULL) {
        events->on_closed(arg, &conn->base, &why);
    }
    fake_lock();
    fake_free_msgs(&conn->inbox);
    fake_free_msgs(&conn->outbox);
    free(conn);
}

/* Locked; unlocks for the callback. */
static void deliver(struct fake_conn *conn, enum event event)
{
    const struct snapi_conn_events *events = conn->events;
    void *arg = conn->arg;
    struct fake_msg *msg = NULL;
    switch (event) {
    case EVENT_ACCEPT:
        accept_conn(conn);
        return;
    case EVENT_CLOSED:
        end_conn(conn);
        return;
    case EVENT_OPEN:
        conn->is_opening = false;
        fake_unlock();
        events->on_open(arg, &conn->base);
        break;
    case EVENT_MESSAGE:
        msg = take_msg(&conn->inbox);
        fake_unlock();
        events->on_message(arg, &conn->base, msg->data, msg->len);
        break;
    case EVENT_UNSENT:
        msg = take_msg(&conn->outbox);
        fake_unlock();
        events->on_unsent(arg, &conn->base, msg->tag, msg->data, msg->len);
        break;
    case EVENT_WRITABLE:
        conn->wants_room = false;
        fake_unlock();
        events->on_writable(arg, &conn->base);
        break;
    case EVENT_NONE:
    default:
        return;
    }
    free(msg);
    fake_lock();
}

/* Locked; unlocks for the callback. */
static uint32_t tell_addresses(struct fake_transport *t)
{
    uint32_t n = 0;
    base_list_foreach_safe (it, &t->listeners) {
        struct fake_listener *listener = base_list_entry(it, struct fake_listener, link);
        const char *now = fake_address_now(listener);
        if (strcmp(now, listener->told) == 0) {
            continue;
        }
        (void)snprintf(listener->told, sizeof(listener->told), "%s", now);
        fake_unlock();
        listener->events->on_address(listener->arg, &listener->base, listener->told);
        fake_lock();
        n++;
    }
    return n;
}

/* Locked; unlocks for the callback. */
static uint32_t answer_lookups(struct fake_transport *t)
{
    uint32_t n = 0;
    struct base_list *link;
    while ((link = base_list_take_first(&t->lookups)) != NULL) {
        struct fake_lookup *lookup = base_list_entry(link, struct fake_lookup, link);
        char address[FAKE_ADDRESS_MAX] = "";
        for (int i = 0; i < FAKE_REMEMBER_MAX; i++) {
            if (strcmp(fake_net.remembered[i].target, lookup->target) == 0) {
                (void)snprintf(address, sizeof(address), "%s", fake_net.remembered[i].address);
            }
        }
        fake_unlock();
        lookup->on_found(lookup->arg, address);
        free(lookup);
        fake_lock();
        n++;
    }
    return n;
}

static uint32_t poll_once(struct snapi_transport *transport, uint64_t now_ns, uint32_t budget)
{
    (void)now_ns;
    struct fake_transport *t = fake_of(transport);
    fake_lock();
    fake_push_out(t);
    uint32_t n = answer_lookups(t) + tell_addresses(t);
    enum event event;
    struct fake_conn *conn;
    while (n < budget && (conn = first_with_event(t, &event)) != NULL) {
        deliver(conn, event);
        n++;
    }
    fake_push_out(t);
    fake_unlock();
    return n;
}

static bool has_work(struct fake_transport *t)
{
    enum event event;
    if (first_with_event(t, &event) != NULL || !base_list_is_empty(&t->lookups)) {
        return true;
    }
    base_list_foreach (it, &t->listeners) {
        struct fake_listener *listener = base_list_entry(it, struct fake_listener, link);
        if (strcmp(fake_address_now(listener), listener->told) != 0) {
            return true;
        }
    }
    return false;
}

static bool arm(struct snapi_transport *transport)
{
    fake_lock();
    bool is_idle = !has_work(fake_of(transport));
    fake_unlock();
    return is_idle;
}

static void set_waiting(struct snapi_transport *transport, bool is_waiting)
{
    (void)transport;
    (void)is_waiting;
}

static uint64_t next_deadline_ns(const struct snapi_transport *transport)
{
    fake_lock();
    bool is_due = has_work(fake_of(transport));
    fake_unlock();
    return is_due ? 0 : UINT64_MAX;
}

static enum snapi_transport_state state(const struct snapi_transport *transport,
                                        const char **reason)
{
    *reason = "the test says so";
    fake_lock();
    enum snapi_transport_state now = fake_net.state[fake_of(transport)->kind];
    fake_unlock();
    return now;
}

/* ---- tables ---- */

static const struct snapi_transport_ops fake_tcp;
static const struct snapi_transport_ops fake_pony;

static enum base_err create_tcp(const struct snapi_transport_config *config,
                                struct snapi_transport **transport)
{
    return create(config, SNAP_TRANSPORT_TCP, &fake_tcp, transport);
}

static enum base_err create_pony(const struct snapi_transport_config *config,
                                 struct snapi_transport **transport)
{
    return create(config, SNAP_TRANSPORT_PONY, &fake_pony, transport);
}

#define FAKE_OPS(name_, create_) \
    { \
        .name = name_, .create = create_, .destroy = destroy, .poll = poll_once, .flush = flush, \
        .arm = arm, .set_waiting = set_waiting, .next_deadline_ns = next_deadline_ns, \
        .state = state, .listen = fake_listen, .unlisten = fake_unlisten, \
        .listener_address = fake_listener_address, .connect = fake_connect, \
        .max_message = fake_max_message, .begin = fake_begin, .has_room = fake_has_room, \
        .send = fake_send, .abandon = fake_abandon, .close = fake_close, .peer = fake_peer, \
        .remember = fake_remember, .lookup = fake_look_up, .lookup_cancel = fake_look_up_no_more \
    }

static const struct snapi_transport_ops fake_tcp = FAKE_OPS("tcp", create_tcp);
static const struct snapi_transport_ops fake_pony = FAKE_OPS("pony", create_pony);

const struct snapi_transport_ops *const fake_transports[] = {&fake_pony, &fake_tcp, NULL};
const struct snapi_transport_ops *const fake_transports_tcp[] = {&fake_tcp, NULL};
