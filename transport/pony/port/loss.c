/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include "transport/pony/port/port.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    BACKOFF_FIRST_NS = 5000000
};

void pony_port_lose(struct pony_port *port, bool is_liar, const char *fmt, ...)
{
    if (port->is_lost || port->link != PONY_LINK_UP) {
        return;
    }
    char what[128];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    port->is_lost = true;
    port->is_liar = is_liar;
    (void)snprintf(port->reason, sizeof(port->reason), "%s snapd at %s: %s",
                   is_liar ? "dropped" : "lost", port->path, what);
    base_logf(port->log, BASE_LOG_WARN, "pony", "%s; attaching anew", port->reason);
}

/* What snapd had published before it went is as good as ever. */
static void reap_rest(struct pony_port *port)
{
    port->is_lost = false;
    if (!port->is_liar) {
        (void)pony_port_reap(port, port->map.end.cpl_slots);
    }
    port->is_lost = true;
}

/* Exactly those whose commands snapd had not taken certainly never left. */
static void mark_unsent(struct pony_port_conn *conn, uint32_t first, uint32_t n_untaken)
{
    base_list_foreach_safe (it, &conn->messages) {
        struct pony_port_message *m = base_list_entry(it, struct pony_port_message, link);
        if (m->state != PONY_MESSAGE_POSTED) {
            continue;
        }
        if (m->command - first < n_untaken) {
            m->state = PONY_MESSAGE_UNSENT;
        } else {
            pony_port_message_drop(m);
        }
    }
}

static void end_conns(struct pony_port *port)
{
    uint32_t first;
    uint32_t n_untaken = shm_client_untaken(&port->map.end, &first);
    struct base_list todo;
    base_list_init(&todo);
    base_list_splice_tail(&todo, &port->conns);
    struct base_list *it;
    while ((it = base_list_take_first(&todo)) != NULL) {
        struct pony_port_entry *entry = base_list_entry(it, struct pony_port_entry, link);
        struct pony_port_conn *conn = base_container_of(entry, struct pony_port_conn, entry);
        base_list_add_tail(&port->conns, it);
        if (conn->state == PONY_CONN_GONE) {
            continue;
        }
        pony_port_conn_unqueue(conn);
        mark_unsent(conn, first, n_untaken);
        if (conn->state != PONY_CONN_ENDED) {
            pony_port_conn_end(conn, SHM_REASON_NONE, BASE_E_RESET);
        }
        pony_port_conn_settle(conn);
    }
}

void pony_port_drop_attachment(struct pony_port *port)
{
    pony_port_accepted_clear(&port->accepted);
    if (port->notification.fd >= 0) {
        snapi_poller_del(port->poller, &port->notification);
        port->notification.fd = -1;
    }
    if (port->control.fd >= 0) {
        snapi_poller_del(port->poller, &port->control);
        base_fd_close(&port->control.fd);
    }
    pony_port_tx_fini(&port->tx);
    base_pool_fini(&port->messages);
    base_pool_fini(&port->numbers);
    pony_port_map_close(&port->map);
    port->tx_bytes = 0;
    port->ahead.bytes = 0;
    port->ahead.n = 0;
    port->is_paced = false;
    port->is_armed = false;
    port->must_ring = false;
    port->has_control_event = false;
}

void pony_port_end_attachment(struct pony_port *port)
{
    reap_rest(port);
    end_conns(port);
    pony_port_listeners_down(port);
    pony_port_requests_drop(port, true);
    /* Whoever was begun in a callback of this cannot be: begin() says AGAIN while it is lost. */
    pony_port_drop_attachment(port);
    port->is_lost = false;
    port->link = PONY_LINK_OFF;
    port->max_message_bytes = port->config_max_message_bytes;
    port->backoff_ns = BACKOFF_FIRST_NS;
    port->retry_ns = port->now_ns + BACKOFF_FIRST_NS;
}
