/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_transport.h"

#include "base/compiler.h"
#include "base/event.h"
#include "base/fd.h"
#include "base/list.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    N_KINDS = SNAP_TRANSPORT_TCP + 1,
    ADDRESS_MAX = 80,
    REMEMBER_MAX = 16
};

struct fake_msg {
    struct base_list link;
    uint64_t tag;
    size_t len;
    alignas(8) uint8_t data[];
};

struct fake_transport {
    struct snapi_transport base;
    enum snap_transport kind;
    struct base_list link;      /* of all transports */
    struct base_list conns;     /* struct fake_conn */
    struct base_list listeners; /* struct fake_listener */
    struct base_list lookups;   /* struct fake_lookup */
    struct snapi_poller *poller;
    struct snapi_source wake;
    size_t max_message_bytes;
};

struct fake_listener {
    struct snapi_listener base;
    struct fake_transport *owner;
    struct base_list link;
    const struct snapi_listener_events *events;
    void *arg;
    char address[ADDRESS_MAX];
    char told[ADDRESS_MAX]; /* what on_address said last */
};

struct fake_conn {
    struct snapi_conn base;
    struct fake_transport *owner;
    struct base_list link;
    struct fake_conn *peer; /* NULL: gone */
    const struct snapi_conn_events *events;
    void *arg;
    struct fake_listener *listener; /* still to be accepted */
    struct base_list inbox;
    struct base_list outbox;
    bool is_opening; /* on_open is due */
    bool is_hanging;
    bool is_closing; /* close(FLUSH) */
    bool wants_room; /* on_writable is due when AGAIN is off */
    bool is_ended;   /* on_closed is due when the inbox is empty */
    bool is_broken;  /* on_closed is due at once */
    enum base_err end_err;
};

struct fake_lookup {
    struct base_list link;
    void (*on_found)(void *arg, const char *address);
    void *arg;
    char target[ADDRESS_MAX];
};

static struct {
    pthread_mutex_t lock;
    struct base_list transports;
    bool is_again[N_KINDS];
    bool is_full[N_KINDS];
    bool is_held[N_KINDS];
    bool is_refused[N_KINDS];
    bool is_hung[N_KINDS];
    enum snapi_transport_state state[N_KINDS];
    uint64_t n_delivered[N_KINDS];
    uint32_t n_listeners;

    struct {
        char target[ADDRESS_MAX];
        char address[ADDRESS_MAX];
    } remembered[REMEMBER_MAX];
} net = {.lock = PTHREAD_MUTEX_INITIALIZER, .transports = {&net.transports, &net.transports}};

static void lock_net(void)
{
    (void)pthread_mutex_lock(&net.lock);
}

static void unlock_net(void)
{
    (void)pthread_mutex_unlock(&net.lock);
}

static struct fake_transport *fake_of(const struct snapi_transport *transport)
{
    return base_container_of(transport, struct fake_transport, base);
}

static struct fake_conn *conn_of(const struct snapi_conn *conn)
{
    return base_container_of(conn, struct fake_conn, base);
}

static void wake(struct fake_transport *t)
{
    base_eventfd_signal(t->wake.fd);
}

static void wake_all(enum snap_transport kind)
{
    base_list_foreach (it, &net.transports) {
        struct fake_transport *t = base_list_entry(it, struct fake_transport, link);
        if (t->kind == kind) {
            wake(t);
        }
    }
}

/* ---- switches ---- */

void fake_reset(void)
{
    lock_net();
    for (int i = 0; i < N_KINDS; i++) {
        net.is_full[i] = net.is_again[i] = net.is_held[i] = net.is_refused[i] = net.is_hung[i] =
            false;
        net.state[i] = SNAPI_TRANSPORT_UP;
        net.n_delivered[i] = 0;
    }
    memset(net.remembered, 0, sizeof(net.remembered));
    unlock_net();
}

static void set(bool *flag, enum snap_transport kind, bool is_on)
{
    lock_net();
    *flag = is_on;
    wake_all(kind);
    unlock_net();
}

void fake_set_again(enum snap_transport kind, bool is_on)
{
    set(&net.is_again[kind], kind, is_on);
}

void fake_set_full(enum snap_transport kind, bool is_on)
{
    set(&net.is_full[kind], kind, is_on);
}

void fake_set_hold(enum snap_transport kind, bool is_on)
{
    set(&net.is_held[kind], kind, is_on);
}

void fake_set_refuse(enum snap_transport kind, bool is_on)
{
    set(&net.is_refused[kind], kind, is_on);
}

void fake_set_hang(enum snap_transport kind, bool is_on)
{
    set(&net.is_hung[kind], kind, is_on);
}

void fake_set_state(enum snap_transport kind, enum snapi_transport_state state)
{
    lock_net();
    net.state[kind] = state;
    wake_all(kind);
    unlock_net();
}

void fake_break(enum snap_transport kind)
{
    lock_net();
    base_list_foreach (it, &net.transports) {
        struct fake_transport *t = base_list_entry(it, struct fake_transport, link);
        base_list_foreach (c, &t->conns) {
            struct fake_conn *conn = base_list_entry(c, struct fake_conn, link);
            if (t->kind == kind && !conn->is_broken) {
                conn->is_broken = true;
                conn->end_err = BASE_E_RESET;
            }
        }
    }
    wake_all(kind);
    unlock_net();
}

uint32_t fake_n_conns(enum snap_transport kind)
{
    uint32_t n = 0;
    lock_net();
    base_list_foreach (it, &net.transports) {
        struct fake_transport *t = base_list_entry(it, struct fake_transport, link);
        base_list_foreach (c, &t->conns) {
            n += t->kind == kind;
        }
    }
    unlock_net();
    return n;
}

uint64_t fake_n_delivered(enum snap_transport kind)
{
    lock_net();
    uint64_t n = net.n_delivered[kind];
    unlock_net();
    return n;
}

/* ---- transport ---- */

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
    lock_net();
    base_list_add_tail(&net.transports, &t->link);
    unlock_net();
    *transport = &t->base;
    return BASE_OK;
}

static void free_msgs(struct base_list *box)
{
    struct base_list *link;
    while ((link = base_list_take_first(box)) != NULL) {
        free(base_list_entry(link, struct fake_msg, link));
    }
}

/* Locked. The peer is told `err`. */
static void free_conn(struct fake_conn *conn, enum base_err err)
{
    if (conn->peer != NULL) {
        conn->peer->peer = NULL;
        if (!conn->peer->is_broken) {
            conn->peer->is_ended = true;
            conn->peer->end_err = err;
        }
        wake(conn->peer->owner);
    }
    base_list_del(&conn->link);
    free_msgs(&conn->inbox);
    free_msgs(&conn->outbox);
    free(conn);
}

static void destroy(struct snapi_transport *transport)
{
    struct fake_transport *t = fake_of(transport);
    lock_net();
    base_list_del(&t->link);
    struct base_list *link;
    while ((link = base_list_first(&t->conns)) != NULL) {
        free_conn(base_list_entry(link, struct fake_conn, link), BASE_E_RESET);
    }
    while ((link = base_list_take_first(&t->listeners)) != NULL) {
        free(base_list_entry(link, struct fake_listener, link));
    }
    while ((link = base_list_take_first(&t->lookups)) != NULL) {
        free(base_list_entry(link, struct fake_lookup, link));
    }
    unlock_net();
    snapi_poller_del(t->poller, &t->wake);
    base_fd_close(&t->wake.fd);
    free(t);
}

/* Locked. Moves what was sent to the peers. */
static void push_out(struct fake_transport *t)
{
    if (net.is_held[t->kind]) {
        return;
    }
    base_list_foreach (it, &t->conns) {
        struct fake_conn *conn = base_list_entry(it, struct fake_conn, link);
        if (conn->is_broken || conn->is_hanging || conn->peer == NULL || conn->peer->is_broken ||
            base_list_is_empty(&conn->outbox)) {
            continue;
        }
        base_list_splice_tail(&conn->peer->inbox, &conn->outbox);
        wake(conn->peer->owner);
    }
}

static void flush(struct snapi_transport *transport)
{
    lock_net();
    push_out(fake_of(transport));
    unlock_net();
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
    if (conn->wants_room && !net.is_again[conn->owner->kind] && !net.is_full[conn->owner->kind]) {
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
    unlock_net();
    bool is_taken = listener->events->on_accept(listener->arg, &conn->base, &events, &arg);
    lock_net();
    if (!is_taken) {
        free_conn(conn, BASE_E_REFUSED);
        return;
    }
    conn->events = events;
    conn->arg = arg;
    if (conn->peer != NULL) {
        conn->peer->is_opening = true;
        wake(conn->peer->owner);
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
        wake(conn->peer->owner);
        conn->peer = NULL;
    }
    base_list_del(&conn->link);
    unlock_net();
    if (events != NULL) {
        events->on_closed(arg, &conn->base, &why);
    }
    lock_net();
    free_msgs(&conn->inbox);
    free_msgs(&conn->outbox);
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
        unlock_net();
        events->on_open(arg, &conn->base);
        break;
    case EVENT_MESSAGE:
        msg = take_msg(&conn->inbox);
        net.n_delivered[conn->owner->kind]++;
        unlock_net();
        events->on_message(arg, &conn->base, msg->data, msg->len);
        break;
    case EVENT_UNSENT:
        msg = take_msg(&conn->outbox);
        unlock_net();
        events->on_unsent(arg, &conn->base, msg->tag, msg->data, msg->len);
        break;
    case EVENT_WRITABLE:
        conn->wants_room = false;
        unlock_net();
        events->on_writable(arg, &conn->base);
        break;
    case EVENT_NONE:
    default:
        return;
    }
    free(msg);
    lock_net();
}

static const char *address_now(const struct fake_listener *listener)
{
    bool is_up = net.state[listener->owner->kind] == SNAPI_TRANSPORT_UP;
    return is_up ? listener->address : "";
}

/* Locked; unlocks for the callback. */
static uint32_t tell_addresses(struct fake_transport *t)
{
    uint32_t n = 0;
    base_list_foreach_safe (it, &t->listeners) {
        struct fake_listener *listener = base_list_entry(it, struct fake_listener, link);
        const char *now = address_now(listener);
        if (strcmp(now, listener->told) == 0) {
            continue;
        }
        (void)snprintf(listener->told, sizeof(listener->told), "%s", now);
        unlock_net();
        listener->events->on_address(listener->arg, &listener->base, listener->told);
        lock_net();
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
        char address[ADDRESS_MAX] = "";
        for (int i = 0; i < REMEMBER_MAX; i++) {
            if (strcmp(net.remembered[i].target, lookup->target) == 0) {
                (void)snprintf(address, sizeof(address), "%s", net.remembered[i].address);
            }
        }
        unlock_net();
        lookup->on_found(lookup->arg, address);
        free(lookup);
        lock_net();
        n++;
    }
    return n;
}

static uint32_t poll_once(struct snapi_transport *transport, uint64_t now_ns, uint32_t budget)
{
    (void)now_ns;
    struct fake_transport *t = fake_of(transport);
    lock_net();
    push_out(t);
    uint32_t n = answer_lookups(t) + tell_addresses(t);
    enum event event;
    struct fake_conn *conn;
    while (n < budget && (conn = first_with_event(t, &event)) != NULL) {
        deliver(conn, event);
        n++;
    }
    push_out(t);
    unlock_net();
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
        if (strcmp(address_now(listener), listener->told) != 0) {
            return true;
        }
    }
    return false;
}

static bool arm(struct snapi_transport *transport)
{
    lock_net();
    bool is_idle = !has_work(fake_of(transport));
    unlock_net();
    return is_idle;
}

static uint64_t next_deadline_ns(const struct snapi_transport *transport)
{
    lock_net();
    bool is_due = has_work(fake_of(transport));
    unlock_net();
    return is_due ? 0 : UINT64_MAX;
}

static enum snapi_transport_state state(const struct snapi_transport *transport,
                                        const char **reason)
{
    *reason = "the test says so";
    lock_net();
    enum snapi_transport_state now = net.state[fake_of(transport)->kind];
    unlock_net();
    return now;
}

/* ---- listeners ---- */

/* Locked. */
static struct fake_listener *find_listener(enum snap_transport kind, const char *address)
{
    const char *slash = strchr(address, '/');
    base_list_foreach (it, &net.transports) {
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

static enum base_err do_listen(struct snapi_transport *transport, const char *address,
                               enum snapi_traffic traffic,
                               const struct snapi_listener_events *events, void *arg,
                               struct snapi_listener **listener)
{
    (void)traffic;
    struct fake_transport *t = fake_of(transport);
    struct fake_listener *l = calloc(1, sizeof(*l));
    BASE_ENSURE(l != NULL, BASE_E_NOMEM);
    lock_net();
    uint32_t n = ++net.n_listeners;
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
        unlock_net();
        base_error_note("%s is in use", address);
        free(l);
        return BASE_E_IN_USE;
    }
    l->base.ops = t->base.ops;
    l->owner = t;
    l->events = events;
    l->arg = arg;
    (void)snprintf(l->told, sizeof(l->told), "%s", address_now(l));
    base_list_add_tail(&t->listeners, &l->link);
    unlock_net();
    *listener = &l->base;
    return BASE_OK;
}

static void unlisten(struct snapi_listener *listener)
{
    struct fake_listener *l = base_container_of(listener, struct fake_listener, base);
    lock_net();
    base_list_foreach_safe (it, &l->owner->conns) {
        struct fake_conn *conn = base_list_entry(it, struct fake_conn, link);
        if (conn->listener == l) {
            free_conn(conn, BASE_E_REFUSED);
        }
    }
    base_list_del(&l->link);
    unlock_net();
    free(l);
}

static const char *listener_address(const struct snapi_listener *listener)
{
    lock_net();
    const char *now = address_now(base_container_of(listener, struct fake_listener, base));
    unlock_net();
    return now;
}

/* ---- connections ---- */

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

static enum base_err do_connect(struct snapi_transport *transport, const char *address,
                                enum snapi_traffic traffic, const struct snapi_conn_events *events,
                                void *arg, struct snapi_conn **conn)
{
    (void)traffic;
    struct fake_transport *t = fake_of(transport);
    lock_net();
    struct fake_conn *c = make_conn(t);
    if (c == NULL) {
        unlock_net();
        return BASE_E_NOMEM;
    }
    c->events = events;
    c->arg = arg;
    struct fake_listener *listener = find_listener(t->kind, address);
    if (net.is_hung[t->kind]) {
        c->is_hanging = true;
    } else if (listener == NULL || net.is_refused[t->kind] ||
               net.state[t->kind] != SNAPI_TRANSPORT_UP) {
        c->is_broken = true;
        c->end_err = BASE_E_REFUSED;
    } else {
        struct fake_conn *other = make_conn(listener->owner);
        if (other == NULL) {
            free_conn(c, BASE_E_NOMEM);
            unlock_net();
            return BASE_E_NOMEM;
        }
        other->listener = listener;
        other->peer = c;
        c->peer = other;
        wake(listener->owner);
    }
    wake(t);
    unlock_net();
    *conn = &c->base;
    return BASE_OK;
}

static enum base_err begin(struct snapi_conn *conn, size_t len, struct snapi_tx *tx)
{
    struct fake_conn *c = conn_of(conn);
    BASE_ENSURE(len <= c->owner->max_message_bytes, BASE_E_LIMIT);
    lock_net();
    bool is_dead = c->is_closing || c->is_broken || c->is_ended;
    bool is_again = net.is_again[c->owner->kind];
    c->wants_room = c->wants_room || (is_again && !is_dead);
    unlock_net();
    BASE_ENSURE(!is_dead, BASE_E_CLOSED);
    BASE_ENSURE(!is_again, BASE_AGAIN);
    struct fake_msg *msg = malloc(sizeof(*msg) + len);
    BASE_ENSURE(msg != NULL, BASE_E_NOMEM);
    base_list_init(&msg->link);
    *tx = (struct snapi_tx){.data = msg->data, .len = len, .priv = {(uint64_t)(uintptr_t)msg, 0}};
    return BASE_OK;
}

static bool has_room(struct snapi_conn *conn)
{
    struct fake_conn *c = conn_of(conn);
    lock_net();
    bool is_full = net.is_full[c->owner->kind];
    c->wants_room = c->wants_room || is_full;
    unlock_net();
    return !is_full;
}

static void do_send(struct snapi_conn *conn, struct snapi_tx *tx, uint64_t tag)
{
    struct fake_conn *c = conn_of(conn);
    struct fake_msg *msg = (struct fake_msg *)(uintptr_t)tx->priv[0];
    msg->len = tx->len;
    msg->tag = tag;
    lock_net();
    base_list_add_tail(&c->outbox, &msg->link);
    unlock_net();
}

static void abandon(struct snapi_conn *conn, struct snapi_tx *tx)
{
    (void)conn;
    free((struct fake_msg *)(uintptr_t)tx->priv[0]);
}

static void do_close(struct snapi_conn *conn, enum snapi_close how)
{
    struct fake_conn *c = conn_of(conn);
    lock_net();
    if (how == SNAPI_CLOSE_ABORT) {
        free_conn(c, BASE_E_RESET);
    } else {
        push_out(c->owner);
        c->is_closing = true;
        wake(c->owner);
    }
    unlock_net();
}

static const char *peer(const struct snapi_conn *conn)
{
    return conn_of(conn)->owner->kind == SNAP_TRANSPORT_PONY ? "pony:fake:4741" : "fake:1";
}

/* ---- remembering ---- */

static enum base_err remember(struct snapi_transport *transport, const char *target,
                              const char *address)
{
    BASE_ENSURE(fake_of(transport)->kind == SNAP_TRANSPORT_PONY, BASE_E_UNSUPPORTED);
    lock_net();
    int at = 0;
    while (at < REMEMBER_MAX - 1 && net.remembered[at].target[0] != '\0' &&
           strcmp(net.remembered[at].target, target) != 0) {
        at++;
    }
    (void)snprintf(net.remembered[at].target, ADDRESS_MAX, "%s", target);
    (void)snprintf(net.remembered[at].address, ADDRESS_MAX, "%s", address);
    unlock_net();
    return BASE_OK;
}

static enum base_err lookup(struct snapi_transport *transport, const char *target,
                            void (*on_found)(void *arg, const char *address), void *arg)
{
    struct fake_transport *t = fake_of(transport);
    BASE_ENSURE(t->kind == SNAP_TRANSPORT_PONY, BASE_E_UNSUPPORTED);
    struct fake_lookup *l = calloc(1, sizeof(*l));
    BASE_ENSURE(l != NULL, BASE_E_NOMEM);
    l->on_found = on_found;
    l->arg = arg;
    (void)snprintf(l->target, sizeof(l->target), "%s", target);
    lock_net();
    base_list_add_tail(&t->lookups, &l->link);
    wake(t);
    unlock_net();
    return BASE_AGAIN;
}

static void lookup_cancel(struct snapi_transport *transport, void *arg)
{
    struct fake_transport *t = fake_of(transport);
    lock_net();
    base_list_foreach_safe (it, &t->lookups) {
        struct fake_lookup *l = base_list_entry(it, struct fake_lookup, link);
        if (l->arg == arg) {
            base_list_del(&l->link);
            free(l);
        }
    }
    unlock_net();
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
        .arm = arm, .next_deadline_ns = next_deadline_ns, .state = state, .listen = do_listen, \
        .unlisten = unlisten, .listener_address = listener_address, .connect = do_connect, \
        .begin = begin, .has_room = has_room, .send = do_send, .abandon = abandon, \
        .close = do_close, .peer = peer, .remember = remember, .lookup = lookup, \
        .lookup_cancel = lookup_cancel \
    }

static const struct snapi_transport_ops fake_tcp = FAKE_OPS("tcp", create_tcp);
static const struct snapi_transport_ops fake_pony = FAKE_OPS("pony", create_pony);

const struct snapi_transport_ops *const fake_transports[] = {&fake_pony, &fake_tcp, NULL};
const struct snapi_transport_ops *const fake_transports_tcp[] = {&fake_tcp, NULL};
