/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/tcp.h"

#include "base/clock.h"
#include "base/fd.h"

#include <fcntl.h>
#include <stdlib.h>

/* Indexed by enum ktcp_timer. KT-3, KT-15. */
static const uint64_t timer_ns[KTCP_TIMERS] = {
    [KTCP_TIMER_CONNECT] = UINT64_C(10) * BASE_NS_PER_S,
    [KTCP_TIMER_GREET] = UINT64_C(10) * BASE_NS_PER_S,
    [KTCP_TIMER_LINGER] = UINT64_C(5) * BASE_NS_PER_S,
    [KTCP_TIMER_RETRY] = UINT64_C(20) * BASE_NS_PER_MS,
    [KTCP_TIMER_ACCEPT] = UINT64_C(100) * BASE_NS_PER_MS,
};

static struct ktcp_transport *transport_of(struct snapi_transport *base)
{
    return base_container_of(base, struct ktcp_transport, base);
}

void ktcp_enter(struct ktcp_transport *t)
{
    t->depth++;
}

static void bury(struct ktcp_transport *t)
{
    while (!base_list_is_empty(&t->dead)) {
        ktcp_conn_free(base_list_entry(t->dead.next, struct ktcp_conn, link));
    }
    while (!base_list_is_empty(&t->dead_listeners)) {
        ktcp_listener_free(base_list_entry(t->dead_listeners.next, struct ktcp_listener, link));
    }
}

void ktcp_leave(struct ktcp_transport *t)
{
    if (--t->depth == 0) {
        bury(t);
    }
}

/* ---- timers ---- */

void ktcp_wait_start(struct ktcp_transport *t, struct ktcp_wait *wait, enum ktcp_timer timer)
{
    base_list_del(&wait->link);
    wait->deadline_ns = 0;
    base_list_add_tail(&t->timers[timer], &wait->link);
    t->has_new_timer = true;
}

void ktcp_wait_stop(struct ktcp_wait *wait)
{
    base_list_del(&wait->link);
}

/* The ops know no time: what they put at the lists' ends gets its deadline here. */
static void set_deadlines(struct ktcp_transport *t)
{
    for (int i = 0; t->has_new_timer && i < KTCP_TIMERS; i++) {
        uint64_t deadline_ns = base_add_sat_u64(t->now_ns, timer_ns[i]);
        for (struct base_list *it = t->timers[i].prev; it != &t->timers[i]; it = it->prev) {
            struct ktcp_wait *wait = base_list_entry(it, struct ktcp_wait, link);
            if (wait->deadline_ns != 0) {
                break;
            }
            wait->deadline_ns = base_max_u64(deadline_ns, 1);
        }
    }
    t->has_new_timer = false;
}

static void fire(struct ktcp_wait *wait, enum ktcp_timer timer)
{
    if (timer == KTCP_TIMER_ACCEPT) {
        ktcp_listener_on_timeout(base_container_of(wait, struct ktcp_listener, wait));
    } else {
        ktcp_conn_on_timeout(base_container_of(wait, struct ktcp_conn, wait), timer);
    }
}

static uint32_t run_timers(struct ktcp_transport *t)
{
    uint32_t n = 0;
    for (int i = 0; i < KTCP_TIMERS; i++) {
        while (!base_list_is_empty(&t->timers[i])) {
            struct ktcp_wait *wait = base_list_entry(t->timers[i].next, struct ktcp_wait, link);
            if (wait->deadline_ns == 0 || wait->deadline_ns > t->now_ns) {
                break;
            }
            base_list_del(&wait->link);
            fire(wait, (enum ktcp_timer)i);
            n++;
        }
    }
    return n;
}

/* 0 where one has no deadline yet. */
static uint64_t first_deadline_ns(const struct ktcp_transport *t)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < KTCP_TIMERS; i++) {
        if (!base_list_is_empty(&t->timers[i])) {
            const struct ktcp_wait *wait =
                base_list_entry(t->timers[i].next, struct ktcp_wait, link);
            next = base_min_u64(next, wait->deadline_ns);
        }
    }
    return next;
}

static uint64_t next_deadline_ns(const struct snapi_transport *base)
{
    const struct ktcp_transport *t = base_container_of(base, const struct ktcp_transport, base);
    return base_list_is_empty(&t->due) && !t->has_new_timer ? first_deadline_ns(t) : 0;
}

/* ---- driving ---- */

static uint32_t poll_transport(struct snapi_transport *base, uint64_t now_ns, uint32_t budget)
{
    struct ktcp_transport *t = transport_of(base);
    t->now_ns = now_ns;
    if (base_list_is_empty(&t->due) && !t->has_new_timer && now_ns < t->quiet_until_ns) {
        return 0;
    }
    ktcp_enter(t);
    set_deadlines(t);
    struct base_list due;
    base_list_init(&due);
    base_list_splice_tail(&due, &t->due); /* what becomes due meanwhile has its turn next time */
    uint32_t n = 0;
    while (n < budget && !base_list_is_empty(&due)) {
        struct base_list *it = base_list_take_first(&due);
        ktcp_conn_run(base_list_entry(it, struct ktcp_conn, due_link));
        n++;
    }
    base_list_splice_tail(&t->due, &due);
    n += run_timers(t);
    ktcp_leave(t);
    t->quiet_until_ns = first_deadline_ns(t);
    return n;
}

static void flush(struct snapi_transport *base)
{
    struct ktcp_transport *t = transport_of(base);
    struct base_list due;
    base_list_init(&due);
    base_list_splice_tail(&due, &t->due);
    while (!base_list_is_empty(&due)) {
        struct ktcp_conn *conn =
            base_list_entry(base_list_take_first(&due), struct ktcp_conn, due_link);
        if (conn->broken != 0) {
            base_list_add_tail(&t->due, &conn->due_link);
        } else {
            ktcp_conn_write(conn);
        }
    }
}

/* Whoever it waits for is a kernel. */
static void set_waiting(struct snapi_transport *transport, bool is_waiting)
{
    (void)transport;
    (void)is_waiting;
}

static bool arm(struct snapi_transport *base)
{
    /* The poller watches all sockets all the time. */
    struct ktcp_transport *t = transport_of(base);
    return base_list_is_empty(&t->due) && !t->has_new_timer;
}

static enum snapi_transport_state get_state(const struct snapi_transport *base, const char **reason)
{
    (void)base;
    *reason = "";
    return SNAPI_TRANSPORT_UP;
}

/* ---- life ---- */

static void destroy(struct snapi_transport *base)
{
    struct ktcp_transport *t = transport_of(base);
    while (!base_list_is_empty(&t->conns)) {
        ktcp_conn_kill(base_list_entry(t->conns.next, struct ktcp_conn, link), true);
    }
    while (!base_list_is_empty(&t->listeners)) {
        ktcp_unlisten(&base_list_entry(t->listeners.next, struct ktcp_listener, link)->base);
    }
    bury(t);
    if (t->packer.chunk != NULL) {
        ktcp_chunk_put(&t->mem, t->packer.chunk);
    }
    struct ktcp_buf shared = {.data = t->shared, .capacity = KTCP_RX_SHARED_BYTES};
    ktcp_buf_give(&t->mem, &shared);
    ktcp_mem_fini(&t->mem);
    base_fd_close(&t->spare_fd);
    free(t);
}

static enum base_err create(const struct snapi_transport_config *config,
                            struct snapi_transport **transport)
{
    *transport = NULL;
    struct ktcp_transport *t = calloc(1, sizeof(*t));
    BASE_ENSURE(t != NULL, BASE_E_NOMEM);
    t->base.ops = &ktcp_transport_ops;
    t->poller = config->poller;
    t->log = config->log;
    t->max_message_bytes = config->max_message_bytes;
    t->accept_log = (struct base_log_limit){.interval_ns = BASE_NS_PER_S, .burst = 2};
    t->peer_log = (struct base_log_limit){.interval_ns = BASE_NS_PER_S, .burst = 10};
    ktcp_mem_init(&t->mem);
    base_list_init(&t->conns);
    base_list_init(&t->listeners);
    base_list_init(&t->due);
    base_list_init(&t->dead);
    base_list_init(&t->dead_listeners);
    for (int i = 0; i < KTCP_TIMERS; i++) {
        base_list_init(&t->timers[i]);
    }
    struct ktcp_buf shared;
    enum base_err err = ktcp_buf_take(&t->mem, KTCP_RX_SHARED_BYTES, KTCP_RX_SHARED_BYTES, &shared);
    if (err != BASE_OK) {
        free(t);
        return err;
    }
    t->shared = shared.data;
    t->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    *transport = &t->base;
    return BASE_OK;
}

/* ---- what only Pony has ---- */

static enum base_err remember(struct snapi_transport *base, const char *target, const char *address)
{
    (void)base;
    (void)target;
    (void)address;
    return BASE_E_UNSUPPORTED;
}

static enum base_err lookup(struct snapi_transport *base, const char *target,
                            void (*on_found)(void *arg, const char *address), void *arg)
{
    (void)base;
    (void)target;
    (void)on_found;
    (void)arg;
    return BASE_E_UNSUPPORTED;
}

static void lookup_cancel(struct snapi_transport *base, void *arg)
{
    (void)base;
    (void)arg;
}

static size_t max_message(const struct snapi_conn *conn)
{
    return base_container_of(conn, const struct ktcp_conn, base)->transport->max_message_bytes;
}

/* begin() says when too much waits. */
static bool has_room(struct snapi_conn *conn)
{
    (void)conn;
    return true;
}

const struct snapi_transport_ops ktcp_transport_ops = {
    .name = "tcp",
    .create = create,
    .destroy = destroy,
    .poll = poll_transport,
    .flush = flush,
    .arm = arm,
    .set_waiting = set_waiting,
    .next_deadline_ns = next_deadline_ns,
    .state = get_state,
    .listen = ktcp_listen,
    .unlisten = ktcp_unlisten,
    .listener_address = ktcp_listener_address,
    .connect = ktcp_connect,
    .max_message = max_message,
    .begin = ktcp_begin,
    .has_room = has_room,
    .send = ktcp_send,
    .abandon = ktcp_abandon,
    .close = ktcp_close,
    .peer = ktcp_peer,
    .remember = remember,
    .lookup = lookup,
    .lookup_cancel = lookup_cancel,
};
