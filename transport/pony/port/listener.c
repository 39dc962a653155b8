/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/port/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pony_port_listener *listener_of(struct base_list *link)
{
    struct pony_port_entry *entry = base_list_entry(link, struct pony_port_entry, link);
    return base_container_of(entry, struct pony_port_listener, entry);
}

/* Out of numbers: it stays without an address until the next attachment. */
static void listen_now(struct pony_port_listener *listener)
{
    if (pony_port_number_take(listener->port, &listener->entry) == BASE_OK) {
        pony_port_want(listener->port, &listener->entry, PONY_WANT_OPEN);
    } else {
        base_logf(listener->port->log, BASE_LOG_WARN, "pony", "cannot listen: %s",
                  base_error_last_note());
    }
}

enum base_err pony_port_listen(struct snapi_transport *transport, const char *address,
                               enum snapi_traffic traffic,
                               const struct snapi_listener_events *events, void *arg,
                               struct snapi_listener **listener)
{
    struct pony_port *port = base_container_of(transport, struct pony_port, base);
    *listener = NULL;
    bool is_local = strcmp(address, "local") == 0;
    if (address[0] != '\0' && !is_local) {
        base_error_note("cannot listen at \"%.100s\": snapd chooses the address, give \"\" or "
                        "\"local\"",
                        address);
        return BASE_E_INVALID;
    }
    struct pony_port_listener *l = calloc(1, sizeof(*l));
    BASE_ENSURE(l != NULL, BASE_E_NOMEM);
    l->base.ops = &pony_transport_ops;
    l->port = port;
    l->events = events;
    l->arg = arg;
    l->entry.is_listener = true;
    l->is_local = is_local;
    l->traffic = (uint8_t)traffic;
    base_list_init(&l->entry.wanted);
    base_list_add_tail(&port->listeners, &l->entry.link);
    if (port->link == PONY_LINK_UP && !port->is_lost) {
        listen_now(l);
    }
    *listener = &l->base;
    return BASE_OK;
}

void pony_port_unlisten(struct snapi_listener *base)
{
    struct pony_port_listener *listener = base_container_of(base, struct pony_port_listener, base);
    struct pony_port *port = listener->port;
    listener->is_silent = true;
    if (listener->entry.number != 0 && (listener->entry.wants & PONY_WANT_OPEN) == 0) {
        /* Its number is free again, and it, when snapd says CLOSED. */
        pony_port_want(port, &listener->entry, PONY_WANT_CLOSE);
        return;
    }
    pony_port_number_give(port, &listener->entry);
    base_list_del(&listener->entry.link);
    base_list_add_tail(&port->gone_listeners, &listener->entry.link);
}

const char *pony_port_listener_address(const struct snapi_listener *base)
{
    return base_container_of(base, struct pony_port_listener, base)->address;
}

void pony_port_listener_set_address(struct pony_port_listener *listener, const char *address)
{
    if (listener->is_silent || strcmp(listener->address, address) == 0) {
        return;
    }
    (void)snprintf(listener->address, sizeof(listener->address), "%s", address);
    listener->events->on_address(listener->arg, &listener->base, listener->address);
}

void pony_port_listeners_listen(struct pony_port *port)
{
    base_list_foreach (it, &port->listeners) {
        listen_now(listener_of(it));
    }
}

void pony_port_listeners_down(struct pony_port *port)
{
    /* A callback may add and take away any listener: each is moved before it is called. */
    struct base_list todo;
    base_list_init(&todo);
    base_list_splice_tail(&todo, &port->listeners);
    struct base_list *it;
    while ((it = base_list_take_first(&todo)) != NULL) {
        struct pony_port_listener *listener = listener_of(it);
        pony_port_number_give(port, &listener->entry);
        base_list_add_tail(listener->is_silent ? &port->gone_listeners : &port->listeners, it);
        pony_port_listener_set_address(listener, "");
    }
}
