/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"
#include "transport/pony/port/port.h"

static struct pony_port_conn *conn_of(struct pony_port_entry *entry)
{
    return base_container_of(entry, struct pony_port_conn, entry);
}

bool pony_port_has_room(struct pony_port *port)
{
    if (port->link != PONY_LINK_UP || port->is_lost) {
        return false;
    }
    struct shm_client_end *end = &port->map.end;
    if (end->cmd_slots - (end->cmd_tail - end->cmd_head) > port->n_begun) {
        return true; /* by what was seen last: no look at the shared line */
    }
    uint32_t room;
    if (shm_client_room(end, &room) != BASE_OK) {
        pony_port_lose(port, true, "its command cursor lies");
        return false;
    }
    return room > port->n_begun;
}

/* The next command of `entry`, which is taken off its wants. */
static struct shm_command next_command(struct pony_port_entry *entry)
{
    struct shm_command command = {.conn = entry->number};
    if ((entry->wants & PONY_WANT_OPEN) != 0) {
        entry->wants &= (uint8_t)~PONY_WANT_OPEN;
        if (entry->is_listener) {
            command.opcode = SHM_OP_LISTEN;
            return command;
        }
        struct pony_port_conn *conn = conn_of(entry);
        conn->state = PONY_CONN_OPENING;
        conn->port->has_news = true;
        command.opcode = SHM_OP_OPEN;
        command.u.open.to = conn->to.to;
        command.u.open.service = conn->to.service;
        command.u.open.instance = conn->to.instance;
        return command;
    }
    command.opcode = entry->is_listener ? SHM_OP_UNLISTEN : SHM_OP_CLOSE;
    if ((entry->wants & PONY_WANT_CLOSE) != 0) {
        entry->wants &= (uint8_t)~PONY_WANT_CLOSE;
    } else {
        entry->wants &= (uint8_t)~PONY_WANT_ABORT;
        command.flags = SHM_CLOSE_ABORT;
    }
    return command;
}

static bool post(struct pony_port *port, const struct shm_command *command)
{
    /* Room was seen, and only we fill it. */
    if (shm_client_put(&port->map.end, command) != BASE_OK) {
        pony_port_lose(port, true, "its command cursor went back");
        return false;
    }
    return true;
}

void pony_port_post_wanted(struct pony_port *port)
{
    while (!base_list_is_empty(&port->wanting) && pony_port_has_room(port)) {
        struct pony_port_entry *entry =
            base_list_entry(base_list_first(&port->wanting), struct pony_port_entry, wanted);
        struct shm_command command = next_command(entry);
        (void)post(port, &command);
        if (entry->wants == 0) {
            base_list_del(&entry->wanted);
        }
    }
}

void pony_port_want(struct pony_port *port, struct pony_port_entry *entry, uint8_t want)
{
    entry->wants |= want;
    if (!base_list_is_linked(&entry->wanted)) {
        base_list_add_tail(&port->wanting, &entry->wanted);
    }
    pony_port_post_wanted(port);
}

void pony_port_post_message(struct pony_port_conn *conn, struct pony_port_message *message)
{
    struct pony_port *port = conn->port;
    uint64_t wire_tag = (uint64_t)base_pool_gen(message) << 32 | (uint64_t)base_pool_index(message);
    struct shm_command command = {
        .opcode = SHM_OP_SEND,
        .conn = conn->entry.number,
        .tag = wire_tag,
        .u.send = {.off = message->span.off, .len = message->len},
    };
    message->command = port->map.end.cmd_tail;
    message->state = post(port, &command) ? PONY_MESSAGE_POSTED : PONY_MESSAGE_UNSENT;
}

void pony_port_publish(struct pony_port *port)
{
    if (port->link != PONY_LINK_UP || port->is_lost) {
        return;
    }
    if (shm_client_publish(&port->map.end)) {
        port->must_ring = true;
    }
    if (port->must_ring) {
        port->must_ring = false;
        base_eventfd_signal(port->map.doorbell);
    }
}

enum base_err pony_port_number_take(struct pony_port *port, struct pony_port_entry *entry)
{
    uint32_t idx;
    struct pony_port_entry **slot = base_pool_take(&port->numbers, &idx);
    if (slot == NULL) {
        base_error_note("%d connections and listeners at one snapd: no more are possible",
                        PONY_PORT_NUMBERS_MAX);
        return BASE_E_LIMIT;
    }
    *slot = entry;
    entry->number = idx + 1;
    return BASE_OK;
}

void pony_port_number_give(struct pony_port *port, struct pony_port_entry *entry)
{
    base_list_del(&entry->wanted);
    entry->wants = 0;
    if (entry->number == 0) {
        return;
    }
    if ((entry->number & SHM_CONN_ACCEPTED) != 0) {
        HASH_DEL(port->accepted, entry);
    } else {
        base_pool_give(&port->numbers, entry->number - 1);
    }
    entry->number = 0;
}

struct pony_port_entry *pony_port_find(struct pony_port *port, uint32_t number)
{
    struct pony_port_entry *entry = NULL;
    if ((number & SHM_CONN_ACCEPTED) != 0) {
        HASH_FIND(hh, port->accepted, &number, sizeof(number), entry);
        return entry;
    }
    struct pony_port_entry **slot = number != 0 ? base_pool_at(&port->numbers, number - 1) : NULL;
    return slot != NULL ? *slot : NULL;
}
