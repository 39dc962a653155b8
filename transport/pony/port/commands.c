/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"
#include "transport/pony/port/port.h"

static struct pony_port_conn *conn_of(struct pony_port_entry *entry)
{
    return base_container_of(entry, struct pony_port_conn, entry);
}

/* Looks at the shared line. */
__attribute__((noinline)) static bool look_for_room(struct pony_port *port)
{
    uint32_t room;
    if (shm_client_room(&port->map.end, &room) != BASE_OK) {
        pony_port_lose(port, true, "its command cursor lies");
        return false;
    }
    return room > 0;
}

static inline bool has_room(struct pony_port *port)
{
    if (port->link != PONY_LINK_UP || port->is_lost) {
        return false;
    }
    return BASE_LIKELY(shm_client_has_room(&port->map.end)) || look_for_room(port);
}

static inline bool post(struct pony_port *port, const struct shm_command *command)
{
    /* Room was seen, and only we fill it. */
    if (shm_client_put(&port->map.end, command) != BASE_OK) {
        pony_port_lose(port, true, "its command cursor went back");
        return false;
    }
    return true;
}

static void post_open(struct pony_port *port, struct pony_port_entry *entry)
{
    struct shm_command command = {.opcode = SHM_OP_LISTEN, .conn = entry->number};
    if (entry->is_listener) {
        const struct pony_port_listener *listener =
            base_container_of(entry, struct pony_port_listener, entry);
        command.flags = listener->is_local ? SHM_LISTEN_LOCAL : 0;
        command.u.listen.traffic = listener->traffic;
    } else {
        struct pony_port_conn *conn = conn_of(entry);
        conn->state = PONY_CONN_OPENING;
        command.opcode = SHM_OP_OPEN;
        command.u.open.to = conn->to.to;
        command.u.open.service = conn->to.service;
        command.u.open.instance = conn->to.instance;
        command.u.open.traffic = conn->traffic;
    }
    entry->wants &= (uint8_t)~PONY_WANT_OPEN;
    (void)post(port, &command);
}

/* There is room. */
static inline void post_message(struct pony_port *port, struct pony_port_message *m)
{
    const uint32_t number = m->conn->entry.number;
    const uint64_t tag = (uint64_t)base_pool_gen(m) << 32 | (uint64_t)base_pool_index(m);
    const uint64_t off = m->span.off;
    const uint32_t len = m->len;
    m->command = port->map.end.cmd_tail;
    m->state = PONY_MESSAGE_POSTED;
    *shm_client_put_next(&port->map.end) = (struct shm_command){
        .opcode = SHM_OP_SEND, .conn = number, .tag = tag, .u.send = {.off = off, .len = len}};
}

static void post_first_message(struct pony_port *port, struct pony_port_entry *entry)
{
    struct pony_port_conn *conn = conn_of(entry);
    struct base_list *it = base_list_take_first(&conn->queued);
    post_message(port, base_list_entry(it, struct pony_port_message, link));
    base_list_add_tail(&conn->messages, it);
    if (base_list_is_empty(&conn->queued)) {
        entry->wants &= (uint8_t)~PONY_WANT_SEND;
    }
}

void pony_port_post_message(struct pony_port_message *m)
{
    struct pony_port_conn *conn = m->conn;
    struct pony_port *port = conn->port;
    if (conn->entry.wants == 0 && base_list_is_empty(&port->wanting) && has_room(port)) {
        post_message(port, m); /* as nearly always: nobody is before it */
        return;
    }
    m->state = PONY_MESSAGE_QUEUED;
    base_list_del(&m->link);
    base_list_add_tail(&conn->queued, &m->link);
    pony_port_want(port, &conn->entry, PONY_WANT_SEND);
}

static void post_close(struct pony_port *port, struct pony_port_entry *entry)
{
    bool is_abort = (entry->wants & PONY_WANT_CLOSE) == 0;
    struct shm_command command = {.opcode = SHM_OP_CLOSE, .conn = entry->number};
    if (entry->is_listener) {
        command.opcode = SHM_OP_UNLISTEN;
    } else if (is_abort) {
        command.flags = SHM_CLOSE_ABORT;
    }
    entry->wants &= (uint8_t) ~(is_abort ? PONY_WANT_ABORT : PONY_WANT_CLOSE);
    (void)post(port, &command);
}

/* The next command of `entry`, which wants something. */
static void post_one(struct pony_port *port, struct pony_port_entry *entry)
{
    if ((entry->wants & PONY_WANT_OPEN) != 0) {
        post_open(port, entry);
    } else if ((entry->wants & PONY_WANT_SEND) != 0) {
        post_first_message(port, entry);
    } else {
        post_close(port, entry);
    }
}

void pony_port_post_wanted(struct pony_port *port)
{
    while (!base_list_is_empty(&port->wanting) && has_room(port)) {
        struct pony_port_entry *entry =
            base_list_entry(base_list_first(&port->wanting), struct pony_port_entry, wanted);
        post_one(port, entry);
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
        pony_port_accepted_del(&port->accepted, entry->number);
    } else {
        base_pool_give(&port->numbers, entry->number - 1);
    }
    entry->number = 0;
}
