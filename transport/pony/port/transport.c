/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/port/port.h"

#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_FIRST_NS = 5000000,
    QUEUE_LOOK_NS = 1000000 /* with a full command queue, which nobody tells of when it empties */
};

static struct pony_port *port_of(struct snapi_transport *transport)
{
    return base_container_of(transport, struct pony_port, base);
}

static enum base_err create(const struct snapi_transport_config *config,
                            struct snapi_transport **transport)
{
    *transport = NULL;
    struct pony_port *port = calloc(1, sizeof(*port));
    BASE_ENSURE(port != NULL, BASE_E_NOMEM);
    port->base.ops = &pony_transport_ops;
    port->poller = config->poller;
    port->log = config->log;
    port->config_max_message_bytes = base_min_size(config->max_message_bytes, UINT32_MAX);
    port->max_message_bytes = port->config_max_message_bytes;
    port->backoff_ns = BACKOFF_FIRST_NS;
    port->control.fd = port->notification.fd = -1;
    pony_port_map_init(&port->map);
    base_slab_init(&port->conns_slab, sizeof(struct pony_port_conn));
    struct base_list *const lists[] = {&port->requests, &port->conns,   &port->listeners,
                                       &port->wanting,  &port->blocked, &port->telling,
                                       &port->ended,    &port->gone,    &port->gone_listeners};
    for (size_t i = 0; i < BASE_ARRAY_LEN(lists); i++) {
        base_list_init(lists[i]);
    }
    uint64_t seed = 0;
    enum base_err err = base_random_bytes(&seed, sizeof(seed));
    if (err == BASE_OK && config->snapd_socket != NULL) {
        port->socket_name = strdup(config->snapd_socket);
        err = port->socket_name != NULL ? BASE_OK : BASE_E_NOMEM;
    }
    if (err != BASE_OK) {
        free(port);
        return err;
    }
    base_rng_init(&port->rng, seed);
    pony_port_link_start(port); /* so that state() knows from the start whether there is a snapd */
    *transport = &port->base;
    return BASE_OK;
}

/* Ends a list of listeners; they are not unlinked. */
static void free_listeners(struct base_list *list)
{
    base_list_foreach_safe (it, list) {
        struct pony_port_entry *entry = base_list_entry(it, struct pony_port_entry, link);
        free(base_container_of(entry, struct pony_port_listener, entry));
    }
    base_list_init(list);
}

static void free_gone(struct pony_port *port)
{
    base_list_foreach_safe (it, &port->gone) {
        pony_port_conn_free(base_list_entry(it, struct pony_port_conn, ended));
    }
    free_listeners(&port->gone_listeners);
}

static void destroy(struct snapi_transport *transport)
{
    struct pony_port *port = port_of(transport);
    pony_port_requests_drop(port, false);
    pony_port_drop_attachment(port);
    free_gone(port);
    free_listeners(&port->listeners);
    base_slab_fini(&port->conns_slab);
    free(port->socket_name);
    free(port);
}

static void settle_ended(struct pony_port *port)
{
    struct base_list *it;
    while ((it = base_list_take_first(&port->ended)) != NULL) {
        pony_port_conn_settle(base_list_entry(it, struct pony_port_conn, ended));
    }
}

/* Tells those that were told AGAIN, first come first told. Who finds no room again waits behind the
 * others; after some of these the rest has its turn in the next poll(). */
static void tell_writable(struct pony_port *port)
{
    if (port->is_paced && port->now_ns >= port->ahead.moved_ns + PONY_PORT_STALL_NS) {
        port->has_news = true;
    }
    if (port->has_news && base_list_is_empty(&port->telling)) {
        port->has_news = false;
        port->is_paced = false;
        base_list_splice_tail(&port->telling, &port->blocked);
    }
    uint32_t before = port->n_said_again;
    struct base_list *it;
    while (port->n_said_again - before < PONY_PORT_TELL_MAX &&
           (it = base_list_take_first(&port->telling)) != NULL) {
        struct pony_port_conn *conn = base_list_entry(it, struct pony_port_conn, blocked);
        conn->events->on_writable(conn->arg, &conn->base);
    }
}

static void check_closed(struct pony_port *port)
{
    enum shm_reason reason = shm_client_closed(&port->map.end);
    if (reason != SHM_REASON_NONE) {
        pony_port_lose(port, false, "it closed this port: %s", shm_reason_text(reason));
    }
}

static uint32_t poll_attachment(struct pony_port *port, uint32_t budget)
{
    if (port->is_armed) {
        port->is_armed = false;
        (void)shm_client_set_asleep(&port->map.end, SHM_CLIENT_AWAKE);
    }
    uint32_t done = pony_port_reap(port, budget);
    settle_ended(port);
    pony_port_post_wanted(port);
    tell_writable(port);
    check_closed(port);
    pony_port_publish(port);
    return done;
}

static uint32_t poll_port(struct snapi_transport *transport, uint64_t now_ns, uint32_t budget)
{
    struct pony_port *port = port_of(transport);
    uint32_t done = 0;
    port->now_ns = now_ns;
    pony_port_link_poll(port);
    if (port->link == PONY_LINK_UP && !port->is_lost) {
        done = poll_attachment(port, budget);
    }
    if (port->is_lost) {
        pony_port_end_attachment(port);
        done++;
    }
    settle_ended(port);
    free_gone(port);
    if (port->link == PONY_LINK_UP) {
        pony_port_tx_trim(&port->tx, port->now_ns);
    }
    return done;
}

static void flush(struct snapi_transport *transport)
{
    struct pony_port *port = port_of(transport);
    pony_port_post_wanted(port);
    pony_port_publish(port);
}

/* Something that poll() has to tell or do now. */
static bool has_work(const struct pony_port *port)
{
    return port->is_lost || port->has_control_event || !base_list_is_empty(&port->ended) ||
           !base_list_is_empty(&port->telling);
}

/* Somebody waits for what only SENT brings: memory, or the end of a connection. */
static bool wants_sent(const struct pony_port *port)
{
    return port->is_paced || port->n_ended > 0 || !base_list_is_empty(&port->blocked) ||
           !base_list_is_empty(&port->wanting);
}

static bool arm(struct snapi_transport *transport)
{
    struct pony_port *port = port_of(transport);
    if (has_work(port)) {
        return false;
    }
    if (port->link != PONY_LINK_UP) {
        return true;
    }
    flush(transport);
    port->is_armed = true;
    port->is_deaf = !wants_sent(port);
    uint32_t how = port->is_deaf ? SHM_CLIENT_ASLEEP_NEWS : SHM_CLIENT_ASLEEP_ALL;
    if (shm_client_set_asleep(&port->map.end, how) ||
        shm_client_closed(&port->map.end) != SHM_REASON_NONE || port->is_lost) {
        port->is_armed = false;
        (void)shm_client_set_asleep(&port->map.end, SHM_CLIENT_AWAKE);
        return false;
    }
    return true;
}

static void set_waiting(struct snapi_transport *transport, bool is_waiting)
{
    struct pony_port *port = port_of(transport);
    if (port->link == PONY_LINK_UP && !port->is_lost) {
        shm_client_set_waiting(&port->map.end, is_waiting && !wants_sent(port));
    }
}

static uint64_t next_deadline_ns(const struct snapi_transport *transport)
{
    const struct pony_port *port = port_of((struct snapi_transport *)(uintptr_t)transport);
    bool is_too_deaf = port->is_armed && port->is_deaf && wants_sent(port);
    if (has_work(port) || is_too_deaf) {
        return 0;
    }
    uint64_t deadline = pony_port_link_deadline_ns(port);
    if (port->is_paced) {
        deadline = base_min_u64(deadline, port->ahead.moved_ns + PONY_PORT_STALL_NS);
    }
    if (port->link == PONY_LINK_UP && !base_list_is_empty(&port->wanting)) {
        deadline = base_min_u64(deadline, base_add_sat_u64(port->now_ns, QUEUE_LOOK_NS));
    }
    if (port->link == PONY_LINK_UP) {
        deadline = base_min_u64(deadline, pony_port_tx_trim_ns(&port->tx, port->now_ns));
        if (port->tx_bytes > PONY_PORT_TX_KEEP_BYTES) {
            /* SENT alone does not wake us, but so much is to go back to the system. */
            deadline = base_min_u64(deadline, port->now_ns + PONY_PORT_TX_IDLE_NS);
        }
    }
    return deadline;
}

static enum snapi_transport_state state(const struct snapi_transport *transport,
                                        const char **reason)
{
    const struct pony_port *port = port_of((struct snapi_transport *)(uintptr_t)transport);
    *reason = port->reason;
    if (port->is_lost) {
        return SNAPI_TRANSPORT_DOWN;
    }
    switch (port->link) {
    case PONY_LINK_UP:
        return SNAPI_TRANSPORT_UP;
    case PONY_LINK_ASKING:
        return SNAPI_TRANSPORT_TRYING;
    case PONY_LINK_OFF:
    default:
        return SNAPI_TRANSPORT_DOWN;
    }
}

const struct snapi_transport_ops pony_transport_ops = {
    .name = "pony",
    .create = create,
    .destroy = destroy,
    .poll = poll_port,
    .flush = flush,
    .arm = arm,
    .set_waiting = set_waiting,
    .next_deadline_ns = next_deadline_ns,
    .state = state,
    .listen = pony_port_listen,
    .unlisten = pony_port_unlisten,
    .listener_address = pony_port_listener_address,
    .connect = pony_port_connect,
    .max_message = pony_port_max_message,
    .begin = pony_port_begin,
    .has_room = pony_port_has_room,
    .send = pony_port_send,
    .abandon = pony_port_abandon,
    .close = pony_port_close,
    .peer = pony_port_peer,
    .remember = pony_port_remember,
    .lookup = pony_port_lookup,
    .lookup_cancel = pony_port_lookup_cancel,
};
