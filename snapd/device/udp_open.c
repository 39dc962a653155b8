/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/fd.h"
#include "base/in6.h"
#include "snapd/config.h"
#include "snapd/device/udp_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

/**
 * Opens the sockets of a UDP device: the one that peers know, and those at its side.
 */

enum {
    SIDE_TRIES = 8
};

/* What is before the port: numeric, in brackets if IPv6, or '*'. NULL, or what is wrong. */
static const char *parse_host(char *host, size_t len, union udp_name *name, bool *is_any)
{
    *is_any = strcmp(host, "*") == 0;
    if (host[0] == '[' && host[len - 1] == ']') {
        struct base_in6 in6;
        host[len - 1] = '\0';
        const char *wrong = base_in6_parse(host + 1, &in6);
        name->v6.sin6_family = AF_INET6;
        name->v6.sin6_scope_id = in6.scope;
        memcpy(&name->v6.sin6_addr, in6.ip, sizeof(in6.ip));
        return wrong;
    }
    name->any.sa_family = *is_any ? AF_INET6 : AF_INET;
    return *is_any || inet_pton(AF_INET, host, &name->v4.sin_addr) == 1 ? NULL
                                                                        : "this is no address";
}

/* NULL, or what is wrong. */
static const char *parse_host_port(const char *text, union udp_name *name, bool *is_any)
{
    char host[SNAPD_DEV_ADDRESS_MAX];
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    char *end = NULL;
    if (len == 0 || len >= sizeof(host)) {
        return "this is no host and port";
    }
    unsigned long port = colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 65536;
    if (port > 65535 || *end != '\0') {
        return "the port is not a number from 0 to 65535";
    }
    memcpy(host, text, len);
    host[len] = '\0';
    const char *wrong = parse_host(host, len, name, is_any);
    name->v4.sin_port = htons((uint16_t)port); /* both families have it at the same place */
    return wrong;
}

/* "HOST:PORT" into a name. */
static enum base_err parse_listen(const char *text, union udp_name *name, bool *is_any)
{
    const char *wrong = parse_host_port(text, name, is_any);
    if (wrong != NULL) {
        base_error_note("listen address \"%.60s\" is not understood: %s; give *:4741, "
                        "10.0.0.1:4741 or [2001:db8::1]:4741",
                        text, wrong);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static enum base_err add_offset(const struct snapd_udp_config *config, union udp_name *name)
{
    /* Both families have the port at the same place. */
    uint32_t port = ntohs(name->v4.sin_port);
    if (port == 0) {
        return BASE_OK;
    }
    port += config->port_offset;
    if (port > 65535) {
        base_error_note("listen address %s: port %u of engine %u does not exist; begin lower",
                        config->listen, port, config->port_offset);
        return BASE_E_INVALID;
    }
    name->v4.sin_port = htons((uint16_t)port);
    return BASE_OK;
}

/* Socket of that family, bound; -1 with errno. */
static int open_bound(const union udp_name *name)
{
    int fd = socket(name->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    socklen_t len = name->any.sa_family == AF_INET6 ? sizeof(name->v6) : sizeof(name->v4);
    int off = 0;
    if (name->any.sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (bind(fd, &name->any, len) != 0) {
        base_fd_close(&fd);
        return -1;
    }
    return fd;
}

static enum base_err open_main(const struct snapd_udp_config *config, struct snapd_udp *udp)
{
    union udp_name name = {.v6 = {.sin6_family = AF_UNSPEC}};
    bool is_any = false;
    BASE_TRY(parse_listen(config->listen, &name, &is_any));
    BASE_TRY(add_offset(config, &name));
    udp->fds[0] = open_bound(&name);
    if (udp->fds[0] < 0 && is_any && errno != EADDRINUSE && errno != EACCES) {
        /* No IPv6 here. */
        in_port_t port = name.v6.sin6_port;
        name.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        udp->fds[0] = open_bound(&name);
    }
    if (udp->fds[0] < 0) {
        enum base_err err = base_err_from_errno(errno);
        base_error_note("UDP port %u of listen address %s: %m%s", ntohs(name.v4.sin_port),
                        config->listen,
                        errno == EADDRINUSE ? "; is another snapd running? choose another port "
                                              "with --listen"
                                            : "");
        return err;
    }
    udp->is_v6 = name.any.sa_family == AF_INET6;
    udp->is_wildcard = udp->is_v6 ? IN6_IS_ADDR_UNSPECIFIED(&name.v6.sin6_addr)
                                  : name.v4.sin_addr.s_addr == htonl(INADDR_ANY);
    return BASE_OK;
}

static void set_int(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void set_buffer(const struct snapd_udp *udp, int fd, uint64_t bytes, int option, int force)
{
    int want = (int)base_min_u64(bytes, 1u << 30);
    if (setsockopt(fd, SOL_SOCKET, force, &want, sizeof(want)) == 0) {
        return;
    }
    set_int(fd, SOL_SOCKET, option, want);
    int got = 0;
    socklen_t len = sizeof(got);
    (void)getsockopt(fd, SOL_SOCKET, option, &got, &len);
    if (got / 2 < want && fd == udp->fds[0]) {
        base_logf(udp->log, BASE_LOG_INFO, "udp",
                  "%s buffer is %d KB instead of %d KB; raise net.core.%s_max, or run with "
                  "CAP_NET_ADMIN",
                  option == SO_RCVBUF ? "receive" : "send", got / 2048, want / 1024,
                  option == SO_RCVBUF ? "rmem" : "wmem");
    }
}

static void set_buffers(const struct snapd_udp *udp, int fd, uint64_t bytes)
{
    set_buffer(udp, fd, bytes, SO_RCVBUF, SO_RCVBUFFORCE);
    set_buffer(udp, fd, bytes, SO_SNDBUF, SO_SNDBUFFORCE);
}

/* What all sockets have alike, but for asking which of our addresses was reached. Those of IPv6 are
 * refused where they make no sense. */
static void set_options(const struct snapd_udp *udp, int fd, bool asks_address)
{
    udp_allow_fragments(udp, fd, false);
    set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
    set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
    set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
    if (udp->is_v6) {
        set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
        set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    if (asks_address) {
        set_int(fd, udp->is_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                udp->is_v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
    }
    if (udp->has_gro) {
        set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
    }
}

static void find_segmentation(struct snapd_udp *udp)
{
    int none = 0;
    int on = 1;
    udp->has_gso = setsockopt(udp->fds[0], IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none)) == 0;
    udp->has_gro = setsockopt(udp->fds[0], IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0;
    if (!udp->has_gso || !udp->has_gro) {
        base_logf(udp->log, BASE_LOG_WARN, "udp",
                  "this kernel has no %s: one system call carries fewer packets, which costs CPU",
                  udp->has_gso ? "UDP_GRO" : "UDP_SEGMENT");
    }
}

/* A port that this engine's siblings count upon, as theirs follow ours. */
static bool is_for_sibling(const union udp_name *own, int fd)
{
    union udp_name name = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof(name);
    (void)getsockname(fd, &name.any, &len);
    uint16_t above = (uint16_t)(ntohs(name.v4.sin_port) - ntohs(own->v4.sin_port));
    return above < SNAPD_ENGINES_MAX;
}

/* Like the main socket, but at a port of the kernel's choice; -1 with errno. */
static int open_side(const struct snapd_udp *udp)
{
    union udp_name own = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof(own);
    (void)getsockname(udp->fds[0], &own.any, &len);
    union udp_name name = own;
    name.v4.sin_port = 0;
    int fd = open_bound(&name);
    for (int i = 0; i < SIDE_TRIES && fd >= 0 && is_for_sibling(&own, fd); i++) {
        int other = open_bound(&name);
        base_fd_close(&fd);
        fd = other;
    }
    return fd;
}

/* Fewer than were asked for are no reason not to run. */
static void open_sides(const struct snapd_udp_config *config, struct snapd_udp *udp)
{
    uint32_t n = base_min_u32(config->n_ports, SNAPD_UDP_PORTS_MAX);
    while (udp->n_ports < n) {
        int fd = open_side(udp);
        if (fd < 0) {
            base_logf(udp->log, BASE_LOG_WARN, "udp",
                      "%u source ports instead of %u: %m; fewer ways around a broken path",
                      udp->n_ports, n);
            return;
        }
        set_options(udp, fd, udp->is_wildcard);
        set_int(fd, SOL_SOCKET, SO_SNDBUF, (int)base_min_u64(config->buffer_bytes, 1u << 30));
        udp->fds[udp->n_ports++] = fd;
    }
}

enum base_err udp_open(const struct snapd_udp_config *config, struct snapd_udp *udp)
{
    BASE_TRY(open_main(config, udp));
    udp->n_ports = 1;
    if (config->has_segmentation) {
        find_segmentation(udp);
    }
    open_sides(config, udp);
    if (config->is_connecting) {
        udp_conn_open(udp);
    }
    set_options(udp, udp->fds[0], udp->is_wildcard);
    set_buffers(udp, udp->fds[0], config->buffer_bytes);
    for (uint32_t i = UDP_CONN_V4; i <= UDP_CONN_V6; i++) {
        if (udp->fds[i] >= 0) {
            set_options(udp, udp->fds[i], false);
            set_buffers(udp, udp->fds[i], config->buffer_bytes);
        }
    }
    return BASE_OK;
}
