/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/fd.h"
#include "snapd/device/udp_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/**
 * The sockets of the busiest peer: which peer that is, and where they are connected.
 *
 * They share the main socket's port, which takes SO_REUSEPORT on all of them while they are bound and
 * on none from then on: no other process can bind the port later, nor is any datagram handed out by
 * hash. One that is not connected would take strangers' datagrams from the main socket; therefore one
 * without a peer is parked: connected to where nothing comes from.
 */

enum {
    PARKED_AT = 9 /* the discard service's port */
};

static socklen_t name_bytes(const union udp_name *name)
{
    return name->any.sa_family == AF_INET6 ? sizeof(name->v6) : sizeof(name->v4);
}

static bool is_any_address(const union udp_name *name)
{
    return name->any.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&name->v6.sin6_addr)
                                           : name->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Lets go of the peer. What came from there stays to be read. */
static void disconnect(int fd)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    (void)connect(fd, &none, sizeof(none));
}

/* At an address of this host, so that nothing from the network can come from there. */
static bool park(int fd)
{
    union udp_name name = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof(name);
    disconnect(fd);
    (void)getsockname(fd, &name.any, &len);
    if (is_any_address(&name) && name.any.sa_family == AF_INET6) {
        name.v6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    } else if (is_any_address(&name)) {
        name.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    name.v4.sin_port = htons(PARKED_AT); /* both families have it at the same place */
    return connect(fd, &name.any, name_bytes(&name)) == 0;
}

/* One that cannot be parked would take the main socket's datagrams. */
static void park_or_close(struct snapd_udp *udp, uint32_t port)
{
    if (!park(udp->fds[port])) {
        base_fd_close(&udp->fds[port]);
        udp->conn.left &= ~(1u << port);
    }
}

static void watch(struct snapd_udp *udp, int op, uint32_t port, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = udp->fds[port]};
    (void)epoll_ctl(udp->epoll_fd, op, udp->fds[port], &event);
}

/* The engine has not started: what strangers sent meanwhile is lost, like before we listened. */
static void discard_all(int fd)
{
    uint8_t byte;
    while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0) {
    }
}

static void share_port(const struct snapd_udp *udp, int may)
{
    static const uint32_t ports[] = {0, UDP_CONN_V4, UDP_CONN_V6};
    for (size_t i = 0; i < BASE_ARRAY_LEN(ports); i++) {
        (void)setsockopt(udp->fds[ports[i]], SOL_SOCKET, SO_REUSEPORT, &may, sizeof(may));
    }
}

/* Bound like the main socket, but of that family. */
static void bind_for(struct snapd_udp *udp, uint32_t port)
{
    union udp_name name = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof(name);
    (void)getsockname(udp->fds[0], &name.any, &len);
    if (port == UDP_CONN_V4 && name.any.sa_family == AF_INET6) {
        in_port_t at = name.v6.sin6_port;
        name.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = at};
    }
    if (bind(udp->fds[port], &name.any, name_bytes(&name)) != 0) {
        base_fd_close(&udp->fds[port]);
    }
}

void udp_conn_open(struct snapd_udp *udp)
{
    const int type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    udp->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (udp->epoll_fd < 0) {
        return;
    }
    watch(udp, EPOLL_CTL_ADD, 0, EPOLLIN);
    /* IPv4 peers of a dual-stack socket get one of their own family: that is 0.3 us less. */
    udp->fds[UDP_CONN_V4] = !udp->is_v6 || udp->is_wildcard ? socket(AF_INET, type, 0) : -1;
    udp->fds[UDP_CONN_V6] = udp->is_v6 ? socket(AF_INET6, type, 0) : -1;
    share_port(udp, 1);
    bind_for(udp, UDP_CONN_V4);
    bind_for(udp, UDP_CONN_V6);
    share_port(udp, 0);
    for (uint32_t port = UDP_CONN_V4; port <= UDP_CONN_V6; port++) {
        park_or_close(udp, port);
        discard_all(udp->fds[port]);
    }
}

void udp_conn_close(struct snapd_udp *udp)
{
    struct udp_conn *conn = &udp->conn;
    uint32_t port = conn->port;
    if (port == 0) {
        return;
    }
    conn->port = 0;
    udp->rx.usual = 0;
    conn->left |= 1u << port;
    park_or_close(udp, port);
}

void udp_conn_left_is_empty(struct snapd_udp *udp, uint32_t port)
{
    udp->conn.left &= ~(1u << port);
    watch(udp, EPOLL_CTL_DEL, port, 0);
}

/* Which of our addresses a connected socket has. */
static void read_own(int fd, uint8_t *ip)
{
    union udp_name name = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof(name);
    (void)getsockname(fd, &name.any, &len);
    const struct pony_addr own = udp_addr_from(&name);
    memcpy(ip, own.ip, sizeof(own.ip));
}

/* The kernel chooses the address that we send from: it must be the one that the peer knows. */
static bool connect_to(struct snapd_udp *udp, uint32_t port, const struct pony_addr *peer)
{
    const struct udp_source *source = udp_find_source(udp, peer);
    union udp_name name;
    uint8_t ip[16];
    disconnect(udp->fds[port]);
    udp_name_for(port == UDP_CONN_V6, peer, &name);
    if (connect(udp->fds[port], &name.any, name_bytes(&name)) != 0) {
        return false;
    }
    read_own(udp->fds[port], ip);
    if (udp->is_wildcard && memcmp(ip, source->ip, sizeof(ip)) != 0) {
        return false;
    }
    memcpy(udp->conn.ip, ip, sizeof(ip));
    return true;
}

/* Link-local addresses would tie the socket to an interface. */
static bool may_connect(const struct snapd_udp *udp, uint32_t port, const struct pony_addr *peer)
{
    return udp->fds[port] >= 0 && udp->conn.left == 0 && peer->scope == 0 &&
           (!udp->is_wildcard || udp_find_source(udp, peer) != NULL);
}

void udp_conn_switch(struct snapd_udp *udp, uint64_t now_ns)
{
    struct udp_conn *conn = &udp->conn;
    const struct pony_addr peer = conn->candidate;
    conn->votes = 0;
    if (udp->epoll_fd < 0 || now_ns < conn->next_ns) {
        return;
    }
    uint32_t port = pony_addr_is_v4(&peer) ? UDP_CONN_V4 : UDP_CONN_V6;
    if (!may_connect(udp, port, &peer)) {
        return;
    }
    conn->next_ns = now_ns + UDP_CONN_PAUSE_NS;
    if (conn->port != port) {
        udp_conn_close(udp);
        watch(udp, EPOLL_CTL_ADD, port, EPOLLIN);
    }
    conn->port = port;
    conn->peer = peer;
    if (!connect_to(udp, port, &peer)) {
        udp_conn_close(udp);
        return;
    }
    udp->counters.connects++;
    udp->rx.usual = port;
}

void udp_conn_watch_room(struct snapd_udp *udp, bool is_wanted)
{
    if (udp->is_watching_room != is_wanted) {
        watch(udp, EPOLL_CTL_MOD, 0, EPOLLIN | (is_wanted ? (uint32_t)EPOLLOUT : 0u));
        udp->is_watching_room = is_wanted;
    }
}
