/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/event.h"
#include "base/fd.h"
#include "snapd/pony/module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PAGE_BYTES = 4096,
    REGION_BYTES_MIN = 65536,
    SLOTS_DEFAULT = 1024,
    NOTIFY_BUFFER_BYTES = 4096,
    MESSAGES_PER_REGION = 2 /* of the longest kind, in a region of the default size */
};

/* On the engine's thread. */
static void on_fault(void *ctx, struct pony_app *app, enum shm_reason reason, const char *what)
{
    (void)app;
    struct snapd_port *port = ctx;
    if (port->has_fault_node) {
        return;
    }
    port->has_fault_node = true;
    port->fault_reason = reason;
    (void)snprintf(port->fault_text, sizeof(port->fault_text), "%s", what);
    if (base_mpsc_push(&port->pony->faults, &port->fault_node)) {
        base_eventfd_signal(port->pony->wake_fd);
    }
}

/* On the engine's thread. A socket, not an eventfd: the application holds the other end, and could
 * make a write to a shared eventfd block by filling it. MSG_DONTWAIT cannot be undone from there. */
static void on_wake(void *ctx, struct pony_app *app)
{
    (void)app;
    const struct snapd_port *port = ctx;
    static const uint64_t one = 1;
    (void)send(port->notify, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static uint32_t choose_slots(uint32_t wish)
{
    uint32_t slots = wish == 0 ? (uint32_t)SLOTS_DEFAULT : base_min_u32(wish, SHM_SLOTS_MAX);
    return base_max_u32(base_ceil_pow2_u32(slots), SHM_SLOTS_MIN);
}

static uint64_t choose_bytes(uint64_t wish, uint64_t max, uint64_t message_bytes)
{
    uint64_t bytes = wish == 0 ? message_bytes * MESSAGES_PER_REGION : wish;
    bytes = base_min_u64(base_max_u64(bytes, REGION_BYTES_MIN), max);
    return base_round_up_u64(bytes, PAGE_BYTES);
}

/* A name that may go to a terminal or a log. */
static void keep_program(char *to, const char *from)
{
    size_t n = 0;
    for (; from[n] != '\0' && n < SNAPD_PROGRAM_MAX - 1; n++) {
        to[n] = from[n] > ' ' && from[n] < 0x7f ? from[n] : '?';
    }
    to[n] = '\0';
}

static enum base_err check_limits(struct snapd_pony *pony, const struct snapd_session *s,
                                  const struct snapd_user *user, uint64_t bytes)
{
    const struct snapd_config *config = pony->config;
    if (s->port != NULL) {
        base_error_note("this session has a port already; open another session");
        return BASE_E_EXISTS;
    }
    if (pony->n_ports >= config->max_ports) {
        base_error_note("all %u ports of this snapd are taken; raise ports in [limits]",
                        config->max_ports);
        return BASE_E_LIMIT;
    }
    if (user->n_ports >= config->max_ports_per_user) {
        base_error_note("user %u has %u ports already; raise ports_per_user in [limits]", s->uid,
                        user->n_ports);
        return BASE_E_LIMIT;
    }
    if (bytes > config->user_bytes - base_min_u64(user->bytes, config->user_bytes)) {
        base_error_note("user %u would hold more than %llu MB of shared memory; ask for less, or "
                        "raise user_memory in [limits]",
                        s->uid, (unsigned long long)config->user_bytes >> 20);
        return BASE_E_LIMIT;
    }
    return BASE_OK;
}

static enum base_err open_bells(struct snapd_port *port)
{
    BASE_TRY(base_eventfd_create(&port->doorbell));
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        base_error_note("notification: %m");
        return BASE_E_IO;
    }
    port->notify = pair[0];
    port->notify_peer = pair[1];
    int bytes = NOTIFY_BUFFER_BYTES;
    (void)setsockopt(port->notify, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return BASE_OK;
}

static uint32_t least_loaded(const struct snapd_pony *pony)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < pony->n_engines; i++) {
        if (pony->n_ports_of[i] < pony->n_ports_of[best]) {
            best = i;
        }
    }
    return best;
}

static enum base_err join_engine(struct snapd_port *port, uint64_t message_bytes, bool joins_sent)
{
    struct snapd_pony *pony = port->pony;
    struct pony_app_config config = {
        .tx_base = port->region.tx,
        .tx_bytes = port->region.sizes.tx_bytes,
        .rx_base = port->region.rx,
        .rx_bytes = port->region.sizes.rx_bytes,
        .max_message_bytes = message_bytes,
        .max_conns = pony->config->connections,
        .joins_sent = joins_sent,
        .port = port->number,
        .pid = (uint32_t)port->session->pid,
        .uid = port->session->uid,
        .on_fault = on_fault,
        .on_wake = on_wake,
        .ctx = port,
    };
    shm_engine_end_init(&config.end, port->region.client, port->region.engine,
                        port->region.sizes.cmd_slots, port->region.sizes.cpl_slots);
    port->engine_idx = least_loaded(pony);
    return snapd_proxy_attach(pony->engines[port->engine_idx], &config, port->doorbell, &port->app);
}

/* From here on the port counts, and destroy() takes it back. */
static void enter(struct snapd_port *port)
{
    struct snapd_pony *pony = port->pony;
    pony->n_ports++;
    pony->n_ports_of[port->engine_idx]++;
    port->user->n_ports++;
    port->user->bytes += port->bytes;
    port->session->port = port;
    pony->counters.attached++;
}

static void free_port(struct snapd_port *port)
{
    snapd_region_fini(&port->region);
    base_fd_close(&port->doorbell);
    base_fd_close(&port->notify);
    base_fd_close(&port->notify_peer);
    free(port);
}

static enum base_err make_port(struct snapd_pony *pony, struct snapd_session *s,
                               const Pony__Control__Attach *wish, uint64_t *message_bytes,
                               struct snapd_port **made)
{
    const struct snapd_config *config = pony->config;
    *message_bytes = wish->max_message_bytes == 0
                         ? config->message_bytes
                         : base_min_u64(wish->max_message_bytes, config->message_bytes);
    const struct snapd_region_sizes sizes = {
        .cmd_slots = choose_slots(wish->cmd_slots),
        .cpl_slots = choose_slots(wish->cpl_slots),
        .tx_bytes = choose_bytes(wish->tx_bytes, config->port_tx_bytes, *message_bytes),
        .rx_bytes = choose_bytes(wish->rx_bytes, config->port_rx_bytes, *message_bytes),
    };
    *message_bytes = base_min_u64(*message_bytes, base_min_u64(sizes.tx_bytes, sizes.rx_bytes));
    struct snapd_user *user = snapd_users_get(&pony->users, s->uid);
    BASE_ENSURE(user != NULL, BASE_E_NOMEM);
    BASE_TRY(check_limits(pony, s, user, sizes.tx_bytes + sizes.rx_bytes));

    struct snapd_port *port = calloc(1, sizeof(*port));
    BASE_ENSURE(port != NULL, BASE_E_NOMEM);
    port->doorbell = port->notify = port->notify_peer = -1;
    port->pony = pony;
    port->session = s;
    port->user = user;
    port->number = pony->next_port++;
    port->bytes = sizes.tx_bytes + sizes.rx_bytes;
    keep_program(port->program, wish->program);
    enum base_err err = snapd_region_init(&port->region, &sizes);
    if (err == BASE_OK) {
        err = open_bells(port);
    }
    if (err == BASE_OK) {
        HASH_ADD(hh, pony->ports, number, sizeof(port->number), port);
        err = base_table_has(port) ? join_engine(port, *message_bytes, wish->joins_sent)
                                   : BASE_E_NOMEM;
    }
    if (err != BASE_OK) {
        if (base_table_has(port)) {
            HASH_DEL(pony->ports, port);
        }
        free_port(port);
        return err;
    }
    enter(port);
    *made = port;
    return BASE_OK;
}

static void reply_attached(struct snapd_port *port, uint64_t id, uint64_t message_bytes)
{
    const struct snapd_pony *pony = port->pony;
    const struct snapd_dev *dev = pony->engines[port->engine_idx]->dev;
    Pony__Control__Attached a = PONY__CONTROL__ATTACHED__INIT;
    a.port = port->number;
    a.instance = pony->instance;
    a.engine = port->engine_idx;
    a.udp_port = dev->ops->udp_port(dev);
    a.tx_bytes = port->region.sizes.tx_bytes;
    a.rx_bytes = port->region.sizes.rx_bytes;
    a.cmd_slots = port->region.sizes.cmd_slots;
    a.cpl_slots = port->region.sizes.cpl_slots;
    a.max_message_bytes = message_bytes;
    a.max_conns = pony->config->connections;
    Pony__Control__Reply reply = PONY__CONTROL__REPLY__INIT;
    reply.id = id;
    reply.what_case = PONY__CONTROL__REPLY__WHAT_ATTACHED;
    reply.attached = &a;
    const int fds[SHM_N_FDS] = {port->region.fds[0], port->region.fds[1], port->region.fds[2],
                                port->region.fds[3], port->doorbell,      port->notify_peer};
    snapd_session_reply(port->session, &reply, fds, SHM_N_FDS);
    snapd_region_close_fds(&port->region);
    base_fd_close(&port->notify_peer);
}

void snapd_port_attach(struct snapd_pony *pony, struct snapd_session *s,
                       const Pony__Control__Request *request)
{
    uint64_t message_bytes = 0;
    struct snapd_port *port = NULL;
    base_error_clear_note();
    enum base_err err = make_port(pony, s, request->attach, &message_bytes, &port);
    if (err != BASE_OK) {
        const char *note = base_error_last_note();
        pony->counters.refused++;
        snapd_server_logf(pony->server, "pid %d (uid %u) got no port: %s", (int)s->pid, s->uid,
                          note[0] != '\0' ? note : base_err_text(err));
        snapd_session_error(s, request->id, err, note[0] != '\0' ? note : base_err_text(err));
        return;
    }
    base_logf(pony->log, BASE_LOG_DEBUG, "pony", "port %llu: pid %d (uid %u, %s) at engine %u",
              (unsigned long long)port->number, (int)s->pid, s->uid, port->program,
              port->engine_idx);
    reply_attached(port, request->id, message_bytes);
}

void snapd_port_take_faults(struct snapd_pony *pony)
{
    struct base_mpsc_node *node;
    while ((node = base_mpsc_pop(&pony->faults)) != NULL) {
        struct snapd_port *port = base_container_of(node, struct snapd_port, fault_node);
        port->has_fault = true;
        pony->counters.faults++;
        char why[256];
        (void)snprintf(why, sizeof(why), "port %llu (%s) broke the ABI: %s",
                       (unsigned long long)port->number, port->program, port->fault_text);
        snapd_session_close(port->session, why);
    }
}

void snapd_port_destroy(struct snapd_port *port, enum shm_reason reason)
{
    struct snapd_pony *pony = port->pony;
    snapd_proxy_detach(pony->engines[port->engine_idx], port->app, port->doorbell);
    /* The engine calls back no more. What it pushed until now may be this port. */
    snapd_port_take_faults(pony);
    struct shm_engine_area *area = port->region.engine;
    uint32_t none = SHM_REASON_NONE;
    (void)atomic_compare_exchange_strong(
        &area->closed, &none,
        (uint32_t)(port->has_fault && port->fault_reason != SHM_REASON_NONE ? port->fault_reason
                                                                            : reason));
    on_wake(port, NULL);
    HASH_DEL(pony->ports, port);
    pony->n_ports--;
    pony->n_ports_of[port->engine_idx]--;
    port->user->n_ports--;
    port->user->bytes -= port->bytes;
    pony->counters.detached++;
    base_logf(pony->log, BASE_LOG_DEBUG, "pony", "port %llu: gone",
              (unsigned long long)port->number);
    free_port(port);
}
