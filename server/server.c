/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/rng.h"
#include "rpc/options.h"
#include "rpc/status.h"
#include "server/server_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/**
 * The server itself: made, given services and addresses, stopped in steps.
 */
enum {
    DEFAULT_MAX_CALLS = 65536,
    COMPLAINTS_BURST = 10 /* log lines about peers, per second */
};

void snapi_server_complain(struct snap_server *server, const char *peer, const char *why)
{
    const struct base_log_place place = {
        .log = snapi_loop_log(server->loop),
        .limit = &server->complaints,
        .now_ns = snapi_loop_now(server->loop),
        .component = "server",
    };
    base_logf_limited(&place, BASE_LOG_WARN, "client %s: %s", peer, why);
}

/* ---- stopping ---- */

static void unlisten_all(struct snap_server *server)
{
    for (uint32_t i = 0; i < server->n_listeners; i++) {
        struct snapi_listener *listener = server->listeners[i].listener;
        listener->ops->unlisten(listener);
    }
    server->n_listeners = 0;
}

static void free_server(struct snap_server *server)
{
    struct snap_loop *loop = server->loop;
    struct snapi_waiter *waiter = server->stop_waiter;
    snapi_loop_timer_del(loop, &server->stop_timer);
    snapi_loop_undefer(loop, &server->step_work);
    snapi_loop_undefer(loop, &server->ready_work);
    snapi_loop_del_member(loop, &server->member);
    snapi_registry_fini(&server->registry);
    free(server->by_id);
    base_slab_fini(&server->conns_slab);
    free(server);
    if (waiter != NULL) {
        snapi_waiter_done(loop, waiter);
    }
}

static void begin_flushing(struct snap_server *server)
{
    server->phase = SNAPI_SERVER_FLUSHING;
    snapi_loop_timer_del(server->loop, &server->stop_timer);
    snapi_server_orphan_calls(server);
    base_list_foreach_safe (it, &server->conns) {
        snapi_server_conn_close(base_list_entry(it, struct snapi_server_conn, link));
    }
}

static void step(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    struct snap_server *server = base_container_of(work, struct snap_server, step_work);
    if (server->phase == SNAPI_SERVER_DRAINING && server->n_calls == 0) {
        begin_flushing(server);
    }
    if (server->phase == SNAPI_SERVER_FLUSHING && server->n_calls == 0 &&
        base_list_is_empty(&server->conns)) {
        free_server(server);
    }
}

void snapi_server_step(struct snap_server *server)
{
    if (server->phase != SNAPI_SERVER_OPEN) {
        snapi_loop_defer(server->loop, &server->step_work);
    }
}

static void on_grace_over(struct base_timer *timer, uint64_t now_ns)
{
    (void)now_ns;
    struct snap_server *server = base_container_of(timer, struct snap_server, stop_timer);
    begin_flushing(server);
    snapi_server_step(server);
}

struct stop {
    struct snap_server *server;
    struct snapi_waiter *waiter;
    uint64_t grace_ns;
};

static void begin_stop(struct snap_loop *loop, void *arg)
{
    const struct stop *stop = arg;
    struct snap_server *server = stop->server;
    server->stop_waiter = stop->waiter;
    server->phase = SNAPI_SERVER_DRAINING;
    unlisten_all(server);
    snapi_server_say_goaway(server, "server is stopping");
    snapi_loop_timer_add(loop, &server->stop_timer,
                         base_add_sat_u64(snapi_loop_now(loop), stop->grace_ns));
    snapi_server_step(server);
}

void snap_server_stop(struct snap_server *server, uint64_t grace_ms)
{
    if (server == NULL || snapi_loop_is_forked(server->loop)) {
        return;
    }
    struct snap_loop *loop = server->loop;
    struct stop stop = {.server = server};
    stop.grace_ns = grace_ms < UINT64_MAX / BASE_NS_PER_MS ? grace_ms * BASE_NS_PER_MS : UINT64_MAX;
    if (snapi_loop_in_callback(loop)) {
        begin_stop(loop, &stop); /* and the rest by itself */
        return;
    }
    struct snapi_waiter waiter;
    snapi_waiter_init(&waiter);
    stop.waiter = &waiter;
    snapi_loop_exec(loop, begin_stop, &stop);
    (void)!snapi_loop_wait(loop, &waiter, UINT64_MAX);
}

static void on_loop_destroy(struct snapi_member *member)
{
    struct snap_server *server = base_container_of(member, struct snap_server, member);
    server->phase = SNAPI_SERVER_FLUSHING;
    unlisten_all(server);
    snapi_server_orphan_calls(server);
    base_list_foreach_safe (it, &server->conns) {
        snapi_server_conn_abort(base_list_entry(it, struct snapi_server_conn, link), NULL);
    }
    free_server(server);
}

/* ---- making ---- */

static struct snap_server *make_server(struct snap_loop *loop, uint32_t max_calls)
{
    struct snap_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return NULL;
    }
    server->loop = loop;
    server->max_calls = max_calls;
    server->member.on_loop_destroy = on_loop_destroy;
    server->complaints =
        (struct base_log_limit){.interval_ns = BASE_NS_PER_S, .burst = COMPLAINTS_BURST};
    struct base_rng rng;
    base_rng_init(&rng, base_clock_now_ns() ^ (uint64_t)(uintptr_t)server);
    server->hash_seed = base_rng_u64(&rng);
    base_slab_init(&server->conns_slab, sizeof(struct snapi_server_conn));
    base_list_init(&server->conns);
    base_timer_init(&server->stop_timer, on_grace_over);
    snapi_work_init(&server->step_work, step);
    if (snapi_server_calls_init(server) != BASE_OK) {
        free(server);
        return NULL;
    }
    return server;
}

static void add_member(struct snap_loop *loop, void *arg)
{
    struct snap_server *server = arg;
    snapi_loop_add_member(loop, &server->member);
}

struct snap_status snap_server_create(struct snap_loop *loop,
                                      const struct snap_server_options *options,
                                      struct snap_server **server)
{
    *server = NULL;
    struct snap_status status = snapi_loop_check(loop);
    if (!snap_ok(&status)) {
        return status;
    }
    struct snap_server_options all = SNAP_SERVER_OPTIONS_INIT;
    if (!snapi_options_copy(&all, sizeof(all), options)) {
        return snap_status_make(SNAP_INVALID_ARGUMENT, "snap_server_options.size is not set: begin "
                                                       "with SNAP_SERVER_OPTIONS_INIT");
    }
    if (all.traffic > SNAP_TRAFFIC_BULK) {
        return snap_status_make(SNAP_INVALID_ARGUMENT,
                                "snap_server_options.traffic is %u: take one of enum snap_traffic",
                                all.traffic);
    }
    struct snap_server *made =
        make_server(loop, all.max_calls != 0 ? all.max_calls : DEFAULT_MAX_CALLS);
    if (made == NULL) {
        return snap_status_make(SNAP_RESOURCE_EXHAUSTED, "out of memory");
    }
    made->traffic = all.traffic;
    snapi_loop_exec(loop, add_member, made);
    *server = made;
    return status;
}

/* ---- services ---- */

struct add {
    struct snap_server *server;
    const struct snap_service *service;
    snap_any_fn *const *handlers;
    void *arg;
    struct snap_status status;
};

static struct snap_status check_add(const struct add *add)
{
    if (add->server->n_listeners > 0 || add->server->phase != SNAPI_SERVER_OPEN) {
        return snap_status_make(SNAP_FAILED_PRECONDITION,
                                "service %s must be added before the server listens",
                                add->service->name);
    }
    for (size_t i = 0; i < add->service->n_methods; i++) {
        const char *name = add->service->methods[i]->name;
        if (snapi_registry_find(&add->server->registry, name, strlen(name)) != NULL) {
            return snap_status_make(SNAP_ALREADY_EXISTS, "method %s is served already", name);
        }
    }
    return snapi_status_ok;
}

static void add_service(struct snap_loop *loop, void *arg)
{
    (void)loop;
    struct add *add = arg;
    add->status = check_add(add);
    for (size_t i = 0; snap_ok(&add->status) && i < add->service->n_methods; i++) {
        enum base_err err = snapi_registry_add(&add->server->registry, add->service->methods[i],
                                               add->handlers[i], add->arg);
        add->status =
            snapi_status_from_err(err, SNAP_ORIGIN_LOCAL, "service %s", add->service->name);
    }
}

struct snap_status snap_server_add(struct snap_server *server, const struct snap_service *service,
                                   snap_any_fn *const *handlers, void *arg)
{
    struct snap_status status = snapi_loop_check(server->loop);
    if (!snap_ok(&status)) {
        return status;
    }
    struct add add = {.server = server, .service = service, .handlers = handlers, .arg = arg};
    snapi_loop_exec(server->loop, add_service, &add);
    return add.status;
}

/* ---- addresses ---- */

static enum base_err listen_on(struct snap_server *server, enum snap_transport kind,
                               const char *address)
{
    struct snapi_transport *transport = snapi_loop_transport(server->loop, kind);
    BASE_ENSURE(transport != NULL, BASE_E_UNSUPPORTED);
    if (server->n_listeners == SNAPI_SERVER_LISTENERS_MAX) {
        base_error_note("a server has at most %d listeners", SNAPI_SERVER_LISTENERS_MAX);
        return BASE_E_LIMIT;
    }
    struct snapi_server_listener *l = &server->listeners[server->n_listeners];
    *l = (struct snapi_server_listener){.server = server, .kind = kind};
    BASE_TRY(transport->ops->listen(transport, address, server->traffic,
                                    &snapi_server_listener_events, l, &l->listener));
    server->n_listeners++;
    return BASE_OK;
}

/* 0 for an address without a port, such as unix:/path. */
static uint32_t port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    if (strncmp(address, "unix:", 5) == 0 || colon == NULL) {
        return 0;
    }
    unsigned long port = strtoul(colon + 1, NULL, 10);
    return port <= UINT16_MAX ? (uint32_t)port : 0;
}

/* A socket path or a loopback address: nobody on another host can mean it. */
static bool is_local_address(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 || strncmp(address, "127.", 4) == 0 ||
           strncmp(address, "[::1]", 5) == 0;
}

/* Besides the TCP listeners, and no further than they reach; not having Pony is no error. */
static void listen_on_pony(struct snap_server *server, bool is_local)
{
    if (snapi_loop_choice(server->loop) == SNAP_TRANSPORT_TCP) {
        return;
    }
    server->is_pony_local = is_local;
    if (listen_on(server, SNAP_TRANSPORT_PONY, is_local ? "local" : "") != BASE_OK) {
        base_logf(snapi_loop_log(server->loop), BASE_LOG_INFO, "server", "not over Pony: %s",
                  base_error_last_note());
        base_error_clear_note();
        return;
    }
    const struct snapi_listener *pony = server->listeners[server->n_listeners - 1].listener;
    (void)snprintf(server->pony_address, sizeof(server->pony_address), "%s",
                   pony->ops->listener_address(pony));
}

/* A public address joined loopback ones: Pony reaches as far as it from now on. In its place: the
 * events' argument points there. */
static void widen_pony(struct snap_server *server)
{
    for (uint32_t i = 0; i < server->n_listeners; i++) {
        struct snapi_server_listener *l = &server->listeners[i];
        if (l->kind != SNAP_TRANSPORT_PONY) {
            continue;
        }
        struct snapi_listener *local = l->listener;
        struct snapi_transport *pony = snapi_loop_transport(server->loop, SNAP_TRANSPORT_PONY);
        if (pony->ops->listen(pony, "", server->traffic, &snapi_server_listener_events, l,
                              &l->listener) != BASE_OK) {
            l->listener = local;
            base_logf(snapi_loop_log(server->loop), BASE_LOG_WARN, "server",
                      "over Pony for this host only: %s", base_error_last_note());
            base_error_clear_note();
            return;
        }
        local->ops->unlisten(local);
        server->is_pony_local = false;
        (void)snprintf(server->pony_address, sizeof(server->pony_address), "%s",
                       l->listener->ops->listener_address(l->listener));
        snapi_server_say_hello(server);
    }
}

struct listen {
    struct snap_server *server;
    const char *address;
    struct snap_status status;
};

static void do_listen(struct snap_loop *loop, void *arg)
{
    (void)loop;
    struct listen *listen = arg;
    struct snap_server *server = listen->server;
    if (server->phase != SNAPI_SERVER_OPEN) {
        listen->status = snap_status_make(SNAP_FAILED_PRECONDITION, "server is stopping");
        return;
    }
    bool is_first = server->n_listeners == 0;
    enum base_err err = listen_on(server, SNAP_TRANSPORT_TCP, listen->address);
    listen->status = snapi_status_from_err(err, SNAP_ORIGIN_LOCAL, "listen at %s", listen->address);
    if (err == BASE_E_IN_USE) {
        listen->status.code = SNAP_ALREADY_EXISTS;
    }
    if (err != BASE_OK) {
        return;
    }
    const struct snapi_listener *made = server->listeners[server->n_listeners - 1].listener;
    bool is_local = is_local_address(listen->address);
    if (is_first) {
        atomic_store_explicit(&server->port, port_of(made->ops->listener_address(made)),
                              memory_order_relaxed);
        listen_on_pony(server, is_local);
    } else if (!is_local && server->is_pony_local) {
        widen_pony(server);
    }
}

struct snap_status snap_server_listen(struct snap_server *server, const char *address)
{
    struct snap_status status = snapi_loop_check(server->loop);
    if (!snap_ok(&status)) {
        return status;
    }
    if (address == NULL) {
        return snap_status_make(SNAP_INVALID_ARGUMENT, "listen: no address; give e.g. "
                                                       "\"0.0.0.0:7000\" or \"unix:/path\"");
    }
    struct listen listen = {.server = server, .address = address};
    snapi_loop_exec(server->loop, do_listen, &listen);
    return listen.status;
}

unsigned snap_server_port(const struct snap_server *server)
{
    return atomic_load_explicit(&server->port, memory_order_relaxed);
}
