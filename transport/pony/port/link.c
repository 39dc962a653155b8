/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"
#include "base/fd.h"
#include "transport/pony/port/port.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    REPLY_BYTES_MAX = 8192, /* of replies to what we ask; status is not among them */
    REPLIES_PER_POLL = 16,
    BACKOFF_FIRST_NS = 5000000,
    BACKOFF_LAST_NS = 1000000000,
    TX_BYTES_MIN = 16 << 20
};

#define ASK_TIMEOUT_NS UINT64_C(5000000000)

static void close_control(struct pony_port *port)
{
    if (port->control.fd >= 0) {
        snapi_poller_del(port->poller, &port->control);
        base_fd_close(&port->control.fd);
    }
    port->has_control_event = false;
}

/* Next time: twice as late as this time, and half of it by chance, so that the applications of a
 * host do not all come at once when snapd is back. */
static void back_off(struct pony_port *port)
{
    uint64_t wait = port->backoff_ns / 2 + base_rng_below(&port->rng, port->backoff_ns / 2 + 1);
    port->retry_ns = base_add_sat_u64(port->now_ns, wait);
    port->backoff_ns = base_min_u64(port->backoff_ns * 2, BACKOFF_LAST_NS);
}

void pony_port_link_stop(struct pony_port *port, const char *fmt, ...)
{
    char reason[PONY_PORT_REASON_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    if (strcmp(reason, port->reason) != 0) {
        base_logf(port->log, BASE_LOG_INFO, "pony", "%s", reason); /* once, not at each try */
    }
    memcpy(port->reason, reason, sizeof(port->reason));
    close_control(port);
    port->link = PONY_LINK_OFF;
    back_off(port);
    pony_port_conns_give_up(port);
}

static void on_control(struct snapi_source *source, uint32_t events)
{
    (void)events;
    base_container_of(source, struct pony_port, control)->has_control_event = true;
}

static void on_notification(struct snapi_source *source, uint32_t events)
{
    (void)events;
    (void)base_eventfd_drain(source->fd); /* poll() looks anyway */
}

static void stop_for_errno(struct pony_port *port, int e)
{
    const char *path = port->path;
    if (e == ENOENT) {
        pony_port_link_stop(port,
                            "no snapd here: %s does not exist; start snapd, or name its socket in "
                            "SNAPD_SOCKET",
                            path);
    } else if (e == ECONNREFUSED) {
        pony_port_link_stop(port, "no snapd here: nobody serves %s; start snapd", path);
    } else if (e == EACCES || e == EPERM) {
        pony_port_link_stop(
            port, "not permitted to use snapd at %s: ask for the group that owns it", path);
    } else if (e == EPROTOTYPE || e == ENOTSOCK) {
        pony_port_link_stop(port, "%s is not snapd's socket: check SNAPD_SOCKET", path);
    } else {
        char text[96];
        pony_port_link_stop(port, "cannot reach snapd at %s: %s", path,
                            strerror_r(e, text, sizeof(text)));
    }
}

static const char *program_name(void)
{
    return program_invocation_short_name != NULL ? program_invocation_short_name : "";
}

static enum base_err send_attach(struct pony_port *port)
{
    Pony__Control__Attach attach = PONY__CONTROL__ATTACH__INIT;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    char program[256];
    (void)snprintf(program, sizeof(program), "%s", program_name());
    attach.program = program;
    attach.max_message_bytes = port->config_max_message_bytes;
    attach.tx_bytes =
        base_round_up_u64(base_max_u64(2 * (uint64_t)port->config_max_message_bytes, TX_BYTES_MIN),
                          PONY_PORT_PAGE_BYTES);
    attach.joins_sent = true;
    request.id = port->attach_id = ++port->next_id;
    request.abi_version = SHM_ABI_VERSION;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_ATTACH;
    request.attach = &attach;
    uint8_t packet[1024];
    size_t len;
    BASE_TRY(pony_control_pack_request(&request, packet, &len));
    return base_fd_send_msg(port->control.fd, packet, len, NULL, 0);
}

void pony_port_link_start(struct pony_port *port)
{
    if (pony_socket_path(port->socket_name, PONY_SOCKET_CONNECT, port->path) != BASE_OK) {
        pony_port_link_stop(port, "%s", base_error_last_note());
        return;
    }
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    _Static_assert(sizeof(to.sun_path) == PONY_SOCKET_PATH_MAX, "sockaddr_un");
    memcpy(to.sun_path, port->path, strlen(port->path));
    port->control.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* On a Unix socket connect() is done at once, or the listener's queue is full (EAGAIN). */
    if (port->control.fd < 0 ||
        connect(port->control.fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        stop_for_errno(port, errno);
        return;
    }
    enum base_err err = send_attach(port);
    if (err == BASE_OK) {
        port->control.on_ready = on_control;
        err = snapi_poller_add(port->poller, &port->control, EPOLLIN);
    }
    if (err != BASE_OK) {
        pony_port_link_stop(port, "cannot ask snapd at %s: %s", port->path, base_err_text(err));
        return;
    }
    port->link = PONY_LINK_ASKING;
    port->ask_deadline_ns = 0;
}

/* ---- the reply to Attach ---- */

static enum base_err make_attachment(struct pony_port *port, const Pony__Control__Attached *a,
                                     int *fds)
{
    BASE_TRY(pony_port_map_open(&port->map, a, fds));
    BASE_TRY(pony_port_tx_init(&port->tx, port->map.tx, port->map.tx_bytes));
    BASE_TRY(base_pool_init(&port->messages, sizeof(struct pony_port_message), 256,
                            PONY_PORT_MESSAGES_MAX));
    BASE_TRY(base_pool_init(&port->numbers, sizeof(struct pony_port_entry *), 64,
                            PONY_PORT_NUMBERS_MAX));
    port->notification =
        (struct snapi_source){.on_ready = on_notification, .fd = port->map.notification};
    enum base_err err = snapi_poller_add(port->poller, &port->notification, EPOLLIN);
    if (err != BASE_OK) {
        port->notification.fd = -1;
    }
    return err;
}

static void attached(struct pony_port *port, const Pony__Control__Attached *a, int *fds)
{
    base_error_clear_note();
    enum base_err err = make_attachment(port, a, fds);
    if (err != BASE_OK) {
        const char *note = base_error_last_note();
        pony_port_drop_attachment(port);
        pony_port_link_stop(port, "cannot use snapd at %s: %s", port->path,
                            note[0] != '\0' ? note : base_err_text(err));
        return;
    }
    port->link = PONY_LINK_UP;
    port->is_liar = false;
    port->reason[0] = '\0';
    port->backoff_ns = BACKOFF_FIRST_NS;
    port->max_message_bytes =
        (size_t)base_min_u64(port->config_max_message_bytes, port->map.max_message_bytes);
    base_logf(port->log, BASE_LOG_INFO, "pony", "attached to snapd at %s", port->path);
    pony_port_listeners_listen(port);
    pony_port_conns_open(port);
    pony_port_requests_send(port);
}

static void attach_refused(struct pony_port *port, const Pony__Control__Error *error)
{
    enum base_err err = pony_control_err_from_wire(error->code);
    bool has_text = error->message != NULL && error->message[0] != '\0';
    pony_port_link_stop(port, "snapd at %s refused: %.120s", port->path,
                        has_text ? error->message : base_err_text(err));
}

static void on_attach_reply(struct pony_port *port, const Pony__Control__Reply *reply, int *fds,
                            uint32_t n_fds)
{
    if (reply->abi_version != SHM_ABI_VERSION) {
        pony_port_link_stop(port,
                            "snapd at %s speaks ABI version %u, this program version %d: upgrade "
                            "the older one",
                            port->path, reply->abi_version, SHM_ABI_VERSION);
    } else if (reply->id != port->attach_id) {
        pony_port_link_stop(port, "snapd at %s answered what was not asked", port->path);
    } else if (reply->what_case == PONY__CONTROL__REPLY__WHAT_ERROR) {
        attach_refused(port, reply->error);
    } else if (reply->what_case != PONY__CONTROL__REPLY__WHAT_ATTACHED || n_fds != SHM_N_FDS) {
        pony_port_link_stop(port, "snapd at %s gave %u descriptors instead of %d", port->path,
                            n_fds, SHM_N_FDS);
    } else {
        attached(port, reply->attached, fds);
    }
}

/* ---- reading ---- */

static void on_packet(struct pony_port *port, struct base_fd_msg *msg)
{
    Pony__Control__Reply *reply;
    if (pony_control_unpack_reply(msg->data, msg->len, &reply) != BASE_OK) {
        if (port->link == PONY_LINK_UP) {
            pony_port_lose(port, true, "it sent a malformed control message");
        } else {
            pony_port_link_stop(port, "snapd at %s sent a malformed reply", port->path);
        }
    } else if (port->link == PONY_LINK_ASKING) {
        on_attach_reply(port, reply, msg->fds, msg->n_fds);
    } else if (!pony_port_requests_reply(port, reply)) {
        pony_port_lose(port, true, "it answered what was not asked");
    }
    if (reply != NULL) {
        pony__control__reply__free_unpacked(reply, NULL);
    }
    for (uint32_t i = 0; i < msg->n_fds; i++) {
        base_fd_close(&msg->fds[i]);
    }
}

static void on_recv_error(struct pony_port *port, enum base_err err)
{
    const char *what =
        err == BASE_E_MALFORMED ? "it sent a control message that is too long" : "it is gone";
    if (port->link == PONY_LINK_UP) {
        pony_port_lose(port, err == BASE_E_MALFORMED, "%s", what);
    } else {
        pony_port_link_stop(port, "no answer from snapd at %s: %s", port->path, what);
    }
}

static void receive(struct pony_port *port)
{
    uint8_t data[REPLY_BYTES_MAX];
    int fds[SHM_N_FDS];
    for (int i = 0; i < REPLIES_PER_POLL && port->link != PONY_LINK_OFF && !port->is_lost; i++) {
        struct base_fd_msg msg = {
            .data = data, .capacity = sizeof(data), .fds = fds, .max_fds = SHM_N_FDS};
        enum base_err err = base_fd_recv_msg(port->control.fd, &msg);
        if (err == BASE_AGAIN) {
            port->has_control_event = false;
            return;
        }
        if (err != BASE_OK) {
            on_recv_error(port, err);
            return;
        }
        on_packet(port, &msg);
    }
}

void pony_port_link_poll(struct pony_port *port)
{
    if (port->link == PONY_LINK_OFF && port->now_ns >= port->retry_ns) {
        pony_port_link_start(port);
    }
    if (port->has_control_event) {
        pony_port_requests_send(port);
        receive(port);
    }
    if (port->link == PONY_LINK_ASKING && port->ask_deadline_ns == 0) {
        port->ask_deadline_ns =
            base_add_sat_u64(port->now_ns, ASK_TIMEOUT_NS); /* clock's first use */
    } else if (port->link == PONY_LINK_ASKING && port->now_ns >= port->ask_deadline_ns) {
        pony_port_link_stop(port, "snapd at %s does not answer: is it stuck?", port->path);
    }
}

uint64_t pony_port_link_deadline_ns(const struct pony_port *port)
{
    if (port->link == PONY_LINK_OFF) {
        return port->retry_ns;
    }
    return port->link == PONY_LINK_ASKING ? port->ask_deadline_ns : UINT64_MAX;
}
