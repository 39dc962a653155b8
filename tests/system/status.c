/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/status.h"

#include "transport/pony/abi/control.h"
#include "transport/pony/abi/shm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ANSWER_TIMEOUT_S = 30
};

static int connect_to(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = ANSWER_TIMEOUT_S};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&name, sizeof(name)) != 0) {
        close(fd);
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

static void add_counter(struct status *status, const Pony__Control__Counter *counter)
{
    uint32_t i = 0;
    while (i < status->n_counters && strcmp(status->counters[i].name, counter->name) != 0) {
        i++;
    }
    if (i == sizeof(status->counters) / sizeof(status->counters[0])) {
        return;
    }
    if (i == status->n_counters) {
        status->n_counters++;
        (void)snprintf(status->counters[i].name, sizeof(status->counters[i].name), "%s",
                       counter->name);
    }
    status->counters[i].value += counter->value;
}

static void add_port(struct status *status, const Pony__Control__Port *port)
{
    if (status->n_ports == STATUS_PORTS_MAX) {
        return;
    }
    struct status_port *p = &status->ports[status->n_ports++];
    *p = (struct status_port){.port = port->port,
                              .pid = (pid_t)port->pid,
                              .uid = port->uid,
                              .n_conns = port->connections,
                              .n_listeners = port->listeners,
                              .rx_bytes_used = port->rx_bytes_used};
    (void)snprintf(p->program, sizeof(p->program), "%s", port->program);
}

static void add_piece(struct status *status, const Pony__Control__StatusReply *piece)
{
    if (piece->daemon != NULL) {
        status->pid = (pid_t)piece->daemon->pid;
        status->instance = piece->daemon->instance;
        for (size_t i = 0; i < piece->daemon->n_counters; i++) {
            add_counter(status, piece->daemon->counters[i]);
        }
    }
    for (size_t e = 0; e < piece->n_engines; e++) {
        status->n_engines++;
        status->engine_busy_ns += piece->engines[e]->busy_ns;
        for (size_t i = 0; i < piece->engines[e]->n_counters; i++) {
            add_counter(status, piece->engines[e]->counters[i]);
        }
    }
    for (size_t i = 0; i < piece->n_ports; i++) {
        add_port(status, piece->ports[i]);
    }
    status->n_flows += (uint32_t)piece->n_flows;
    for (size_t i = 0; i < piece->n_flows; i++) {
        const Pony__Control__Flow *flow = piece->flows[i];
        bool is_up = strcmp(flow->state, "up") == 0;
        bool is_secured = strcmp(flow->security, "plain") != 0 && flow->cipher[0] != '\0';
        status->n_secured_flows += is_up && is_secured;
        status->n_open_flows += is_up && !is_secured;
        status->n_key_changes += flow->key_sent;
        if (is_up && is_secured && flow->cluster_key < status->least_cluster_key) {
            status->least_cluster_key = flow->cluster_key;
        }
        if (is_up) {
            (void)snprintf(status->flow_peer, sizeof(status->flow_peer), "%s", flow->peer);
        }
        if (is_up && (status->flow_mtu_bytes == 0 || flow->mtu_bytes < status->flow_mtu_bytes)) {
            status->flow_mtu_bytes = flow->mtu_bytes;
        }
    }
    status->n_conns += (uint32_t)piece->n_connections;
}

/** Reads replies until the last; false: the socket or the reply is no good. */
static bool read_pieces(int fd, struct status *status)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    for (;;) {
        ssize_t len = recv(fd, bytes, sizeof(bytes), 0);
        Pony__Control__Reply *reply = NULL;
        if (len <= 0 || pony_control_unpack_reply(bytes, (size_t)len, &reply) != BASE_OK) {
            errno = len < 0 ? errno : EPROTO;
            return false;
        }
        bool is_status = reply->what_case == PONY__CONTROL__REPLY__WHAT_STATUS;
        bool has_more = reply->more;
        if (is_status) {
            add_piece(status, reply->status);
        }
        pony__control__reply__free_unpacked(reply, NULL);
        if (!is_status || !has_more) {
            return is_status;
        }
    }
}

bool status_read(const char *socket, struct status *status)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    memset(status, 0, sizeof(*status));
    status->least_cluster_key = UINT32_MAX;
    int fd = connect_to(socket);
    if (fd < 0) {
        return false;
    }
    Pony__Control__StatusRequest what = PONY__CONTROL__STATUS_REQUEST__INIT;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    request.id = 1;
    request.abi_version = SHM_ABI_VERSION;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_STATUS;
    request.status = &what;
    size_t len = 0;
    bool ok = pony_control_pack_request(&request, bytes, &len) == BASE_OK &&
              send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len && read_pieces(fd, status);
    close(fd);
    return ok;
}

uint64_t status_counter(const struct status *status, const char *name)
{
    for (uint32_t i = 0; i < status->n_counters; i++) {
        if (strcmp(status->counters[i].name, name) == 0) {
            return status->counters[i].value;
        }
    }
    return 0;
}

const struct status_port *status_port_of(const struct status *status, pid_t pid)
{
    for (uint32_t i = 0; i < status->n_ports; i++) {
        if (status->ports[i].pid == pid) {
            return &status->ports[i];
        }
    }
    return NULL;
}
