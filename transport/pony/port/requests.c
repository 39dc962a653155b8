/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include "transport/pony/port/port.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static void free_request(struct pony_port *port, struct pony_port_request *request)
{
    base_list_del(&request->link);
    port->n_requests--;
    free(request->target);
    free(request->address);
    free(request);
}

static struct pony_port_request *new_request(struct pony_port *port, const char *target,
                                             const char *address)
{
    struct pony_port_request *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    r->id = ++port->next_id;
    r->target = strdup(target);
    r->address = address != NULL ? strdup(address) : NULL;
    base_list_add_tail(&port->requests, &r->link);
    port->n_requests++;
    if (r->target == NULL || (address != NULL && r->address == NULL)) {
        free_request(port, r);
        return NULL;
    }
    return r;
}

static enum base_err add_request(struct pony_port *port, const char *target, const char *address,
                                 struct pony_port_request **request)
{
    if (port->link == PONY_LINK_OFF || port->is_lost) {
        base_error_note("%s", port->reason);
        return BASE_E_UNREACHABLE;
    }
    if (strlen(target) > PONY_CONTROL_STRING_MAX ||
        (address != NULL && strlen(address) > PONY_CONTROL_STRING_MAX)) {
        base_error_note("target or address is longer than %d bytes", PONY_CONTROL_STRING_MAX);
        return BASE_E_LIMIT;
    }
    if (port->n_requests >= PONY_PORT_REQUESTS_MAX) {
        base_error_note("%d requests to snapd are under way", PONY_PORT_REQUESTS_MAX);
        return BASE_E_LIMIT;
    }
    *request = new_request(port, target, address);
    return *request != NULL ? BASE_OK : BASE_E_NOMEM;
}

static enum base_err send_one(struct pony_port *port, const struct pony_port_request *r)
{
    Pony__Control__Request message = PONY__CONTROL__REQUEST__INIT;
    Pony__Control__Lookup lookup = PONY__CONTROL__LOOKUP__INIT;
    Pony__Control__Remember remember = PONY__CONTROL__REMEMBER__INIT;
    message.id = r->id;
    message.abi_version = SHM_ABI_VERSION;
    if (r->address != NULL) {
        remember.target = r->target;
        remember.address = r->address;
        message.what_case = PONY__CONTROL__REQUEST__WHAT_REMEMBER;
        message.remember = &remember;
    } else {
        lookup.target = r->target;
        message.what_case = PONY__CONTROL__REQUEST__WHAT_LOOKUP;
        message.lookup = &lookup;
    }
    /* Two strings of bounded length: far below PONY_CONTROL_MAX_BYTES. */
    uint8_t packet[4 * PONY_CONTROL_STRING_MAX];
    if (protobuf_c_message_get_packed_size(&message.base) > sizeof(packet)) {
        return BASE_E_LIMIT;
    }
    size_t len;
    BASE_TRY(pony_control_pack_request(&message, packet, &len));
    return base_fd_send_msg(port->control.fd, packet, len, NULL, 0);
}

void pony_port_requests_send(struct pony_port *port)
{
    if (port->link != PONY_LINK_UP || port->is_lost) {
        return;
    }
    bool is_full = false;
    base_list_foreach_safe (it, &port->requests) {
        struct pony_port_request *r = base_list_entry(it, struct pony_port_request, link);
        if (r->is_sent) {
            continue;
        }
        enum base_err err = send_one(port, r);
        if (err == BASE_AGAIN) {
            is_full = true;
            break;
        }
        if (err != BASE_OK) {
            pony_port_lose(port, false, "cannot send to it: %s", base_err_text(err));
            return;
        }
        r->is_sent = true;
        snapi_poller_expect(port->poller);
    }
    uint32_t events = is_full ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (snapi_poller_change(port->poller, &port->control, events) != BASE_OK) {
        pony_port_lose(port, false, "cannot watch its socket");
    }
}

bool pony_port_requests_reply(struct pony_port *port, const Pony__Control__Reply *reply)
{
    base_list_foreach (it, &port->requests) {
        struct pony_port_request *r = base_list_entry(it, struct pony_port_request, link);
        if (r->id != reply->id || !r->is_sent) {
            continue;
        }
        void (*on_found)(void *, const char *) = r->on_found;
        void *arg = r->arg;
        bool is_found = reply->what_case == PONY__CONTROL__REPLY__WHAT_FOUND;
        free_request(port, r);
        if (on_found != NULL) {
            on_found(arg, is_found ? reply->found->address : "");
        }
        return true;
    }
    return false;
}

void pony_port_requests_drop(struct pony_port *port, bool calls)
{
    /* A callback may ask again, and cancel any: all stay in the list until every one is told. */
    uint64_t last_id = port->next_id;
    base_list_foreach (it, &port->requests) {
        struct pony_port_request *r = base_list_entry(it, struct pony_port_request, link);
        if (r->id > last_id) {
            break;
        }
        void (*on_found)(void *, const char *) = r->on_found;
        r->on_found = NULL;
        if (calls && on_found != NULL) {
            on_found(r->arg, "");
        }
    }
    base_list_foreach_safe (it, &port->requests) {
        struct pony_port_request *r = base_list_entry(it, struct pony_port_request, link);
        if (r->id <= last_id) {
            free_request(port, r);
        }
    }
}

enum base_err pony_port_remember(struct snapi_transport *transport, const char *target,
                                 const char *address)
{
    struct pony_port *port = base_container_of(transport, struct pony_port, base);
    struct pony_port_request *r;
    BASE_TRY(add_request(port, target, address, &r));
    pony_port_requests_send(port);
    return BASE_OK;
}

enum base_err pony_port_lookup(struct snapi_transport *transport, const char *target,
                               void (*on_found)(void *arg, const char *address), void *arg)
{
    struct pony_port *port = base_container_of(transport, struct pony_port, base);
    struct pony_port_request *r;
    BASE_TRY(add_request(port, target, NULL, &r));
    r->on_found = on_found;
    r->arg = arg;
    pony_port_requests_send(port);
    return BASE_AGAIN;
}

void pony_port_lookup_cancel(struct snapi_transport *transport, void *arg)
{
    struct pony_port *port = base_container_of(transport, struct pony_port, base);
    base_list_foreach (it, &port->requests) {
        struct pony_port_request *r = base_list_entry(it, struct pony_port_request, link);
        if (r->arg == arg) {
            r->on_found = NULL; /* the reply still comes, to nobody */
            r->arg = NULL;
        }
    }
}
