/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/hash.h"
#include "base/in6.h"
#include "snapd/device/udp_internal.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <string.h>

enum {
    ERRORS_PER_DRAIN = 64
};

struct pony_addr udp_addr_from(const union udp_name *name)
{
    struct pony_addr addr = {.udp_port = 0};
    if (name->any.sa_family == AF_INET6) {
        memcpy(addr.ip, &name->v6.sin6_addr, sizeof(addr.ip));
        addr.udp_port = ntohs(name->v6.sin6_port);
        addr.scope = base_in6_is_link_local(addr.ip) ? name->v6.sin6_scope_id : 0;
    } else {
        addr.ip[10] = 0xff;
        addr.ip[11] = 0xff;
        memcpy(addr.ip + 12, &name->v4.sin_addr, 4);
        addr.udp_port = ntohs(name->v4.sin_port);
    }
    return addr;
}

void udp_add_unreachable(struct snapd_udp *udp, const struct pony_addr *to)
{
    for (uint32_t i = 0; i < udp->n_unreachable; i++) {
        if (pony_addr_equal(&udp->unreachable[i], to)) {
            return;
        }
    }
    if (udp->n_unreachable < UDP_UNREACHABLE_MAX) {
        udp->unreachable[udp->n_unreachable++] = *to;
        udp->counters.unreachable++;
    }
}

/* Only errors that come from the network name a peer; our own (MTU) do not. */
static bool is_unreachable(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        bool is_error = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                        (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
        if (!is_error || c->cmsg_len < CMSG_LEN(sizeof(struct sock_extended_err))) {
            continue;
        }
        struct sock_extended_err error;
        memcpy(&error, CMSG_DATA(c), sizeof(error));
        return error.ee_origin != SO_EE_ORIGIN_LOCAL &&
               (error.ee_errno == ECONNREFUSED || error.ee_errno == EHOSTUNREACH ||
                error.ee_errno == ENETUNREACH);
    }
    return false;
}

void udp_drain_errors(struct snapd_udp *udp, uint32_t port)
{
    if (port == 0) {
        udp->may_have_errors = false;
    }
    for (uint32_t i = 0; i < ERRORS_PER_DRAIN; i++) {
        union udp_name name;
        _Alignas(16) uint8_t control[256];
        uint8_t byte;
        struct iovec iov = {.iov_base = &byte, .iov_len = 1};
        struct msghdr msg = {
            .msg_name = &name,
            .msg_namelen = sizeof(name),
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control,
            .msg_controllen = sizeof(control),
        };
        if (recvmsg(udp->fds[port], &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
            return;
        }
        if (msg.msg_namelen > 0 && is_unreachable(&msg)) {
            struct pony_addr to = udp_addr_from(&name);
            udp_add_unreachable(udp, &to);
        }
    }
    /* What is left on a side socket shows as the result of its next call. */
    if (port == 0) {
        udp->may_have_errors = true;
    }
}

static void prepare(struct snapd_udp *udp, uint32_t n)
{
    struct udp_rx *rx = &udp->rx;
    for (uint32_t i = 0; i < n; i++) {
        rx->iov[i].iov_base = rx->memory + (size_t)i * UDP_RX_BYTES;
        rx->iov[i].iov_len = UDP_RX_BYTES;
        rx->msgs[i].msg_hdr = (struct msghdr){
            .msg_name = &rx->names[i],
            .msg_namelen = sizeof(rx->names[i]),
            .msg_iov = &rx->iov[i],
            .msg_iovlen = 1,
            .msg_control = rx->control[i],
            .msg_controllen = sizeof(rx->control[i]),
        };
    }
}

static uint32_t source_slot(const struct pony_addr *peer)
{
    return base_hash64(0, peer, sizeof(*peer)) & (UDP_SOURCES - 1);
}

static struct pony_addr any_port(const struct pony_addr *peer)
{
    struct pony_addr host = *peer;
    host.udp_port = 0;
    return host;
}

const struct udp_source *udp_find_source(const struct snapd_udp *udp, const struct pony_addr *peer)
{
    const struct udp_source *source = &udp->sources[source_slot(peer)];
    if (pony_addr_equal(&source->peer, peer)) {
        return source;
    }
    const struct pony_addr host = any_port(peer);
    source = &udp->sources[source_slot(&host)];
    return pony_addr_equal(&source->peer, &host) ? source : NULL;
}

static void put_source(struct snapd_udp *udp, const struct pony_addr *peer, const void *ip)
{
    struct udp_source *source = &udp->sources[source_slot(peer)];
    source->peer = *peer;
    memcpy(source->ip, ip, sizeof(source->ip));
}

void udp_forget_source(struct snapd_udp *udp, const struct pony_addr *peer)
{
    const struct pony_addr host = any_port(peer);
    udp->sources[source_slot(peer)] = (struct udp_source){.peer.udp_port = 0};
    udp->sources[source_slot(&host)] = (struct udp_source){.peer.udp_port = 0};
}

/* For the host as well: what its side ports send is answered to its main port. */
static void note_source(struct snapd_udp *udp, const void *ip)
{
    const struct pony_addr host = any_port(&udp->rx.from);
    const struct udp_conn *conn = &udp->conn;
    if (conn->port != 0 && pony_addr_equal(&conn->peer, &udp->rx.from) &&
        memcmp(conn->ip, ip, sizeof(conn->ip)) != 0) {
        /* It knows us by another address now. */
        udp_conn_close(udp);
    }
    put_source(udp, &udp->rx.from, ip);
    put_source(udp, &host, ip);
}

/* What came with a control message about the address that was reached. True: it was that. */
static bool read_pktinfo(struct snapd_udp *udp, const struct cmsghdr *c)
{
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
        c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        note_source(udp, &info.ipi6_addr);
        return true;
    }
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
        c->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
        struct in_pktinfo info;
        uint8_t ip[16] = {[10] = 0xff, [11] = 0xff};
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        memcpy(ip + 12, &info.ipi_spec_dst, 4);
        note_source(udp, ip);
        return true;
    }
    return false;
}

static void read_control(struct snapd_udp *udp, struct msghdr *msg)
{
    struct udp_rx *rx = &udp->rx;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        int value = 0;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            rx->ecn = *CMSG_DATA(c) & 3; /* one byte, unlike the others */
            continue;
        }
        if (c->cmsg_len < CMSG_LEN(sizeof(value)) || read_pktinfo(udp, c)) {
            continue;
        }
        memcpy(&value, CMSG_DATA(c), sizeof(value));
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO && value > 0) {
            rx->segment_bytes = (uint32_t)value;
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            rx->ttl = (uint8_t)value;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            rx->ecn = (uint8_t)(value & 3);
        }
    }
}

/* Begins to hand out buffer rx->idx. */
static void open_buffer(struct snapd_udp *udp)
{
    struct udp_rx *rx = &udp->rx;
    struct mmsghdr *m = &rx->msgs[rx->idx];
    rx->off = 0;
    rx->ttl = 0;
    rx->ecn = 0;
    rx->segment_bytes = m->msg_len;
    rx->from = udp_addr_from(&rx->names[rx->idx]);
    read_control(udp, &m->msg_hdr);
    if ((m->msg_hdr.msg_flags & MSG_TRUNC) != 0) {
        udp->counters.truncated++;
    }
}

/* Up to rx->want[port] datagrams; how many, or -1. A call for many looks once more for each that is not
 * there, which costs as much as to receive one: 0.4 us. */
static int receive_some(struct snapd_udp *udp, uint32_t port)
{
    struct udp_rx *rx = &udp->rx;
    uint32_t want = rx->want[port];
    prepare(udp, want);
    udp->counters.receive_calls++;
    if (want > 1) {
        return recvmmsg(udp->fds[port], rx->msgs, want, MSG_DONTWAIT, NULL);
    }
    ssize_t bytes = recvmsg(udp->fds[port], &rx->msgs[0].msg_hdr, MSG_DONTWAIT);
    rx->msgs[0].msg_len = bytes > 0 ? (uint32_t)bytes : 0;
    return bytes < 0 ? -1 : 1;
}

/* As many as came last time, and twice that while there are no fewer. */
static void adapt(struct udp_rx *rx, uint32_t port)
{
    uint32_t n = rx->n == rx->want[port] ? rx->n * 2 : rx->n;
    rx->want[port] = (uint8_t)base_min_u32(base_max_u32(n, 1), UDP_RX_BUFFERS);
}

static bool fill(struct snapd_udp *udp, uint32_t port)
{
    struct udp_rx *rx = &udp->rx;
    rx->n = 0;
    rx->idx = 0;
    int got = receive_some(udp, port);
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        /* An ICMP error shows up once as the result of whatever call comes next. */
        udp_drain_errors(udp, port);
        got = receive_some(udp, port);
    }
    rx->n = got > 0 ? (uint32_t)got : 0;
    adapt(rx, port);
    if (rx->n == 0) {
        return false;
    }
    udp->counters.received_datagrams += rx->n;
    open_buffer(udp);
    return true;
}

/* Of the side sockets that are due; each is asked until it has nothing more. */
static bool fill_from_side(struct snapd_udp *udp)
{
    while (udp->side_used != 0) {
        uint32_t port = (uint32_t)__builtin_ctz(udp->side_used);
        if (fill(udp, port)) {
            udp->counters.side_datagrams += udp->rx.n;
            return true;
        }
        udp->side_used &= udp->side_used - 1;
    }
    udp->side_due_ns = UINT64_MAX;
    return false;
}

/* The main socket or the connected one. */
static bool look_at(struct snapd_udp *udp, uint32_t port, uint64_t now_ns)
{
    struct udp_look *look = port == 0 ? &udp->rx.main : &udp->rx.conn;
    look->at_ns = now_ns;
    if (!fill(udp, port)) {
        return false;
    }
    udp->counters.conn_datagrams += port != 0 ? udp->rx.n : 0;
    look->got_ns = now_ns;
    udp->rx.usual = port == udp->conn.port ? port : 0;
    return true;
}

/* What came to the connected socket before its peer was let go: no more comes there, so it is read
 * first. */
static bool fill_from_left(struct snapd_udp *udp)
{
    while (udp->conn.left != 0) {
        uint32_t port = (uint32_t)__builtin_ctz(udp->conn.left);
        if (fill(udp, port)) {
            return true;
        }
        udp_conn_left_is_empty(udp, port);
    }
    return false;
}

/* A look costs as much as a small packet, and most looks at two sockets would be in vain. One that
 * brought something lately has its turn; one that is quiet waits until the other is empty, and for
 * UDP_LOOK_NS since the last time: UDP_LOOK_FIRST_NS if the other never is. */
static bool fill_from_both(struct snapd_udp *udp, uint64_t now_ns)
{
    struct udp_rx *rx = &udp->rx;
    uint32_t usual = rx->usual;
    uint32_t other = usual == 0 ? udp->conn.port : 0;
    const struct udp_look *look = other == 0 ? &rx->main : &rx->conn;
    bool has_other = other != usual;
    bool is_warm = now_ns - look->got_ns < UDP_WARM_NS;
    bool is_due = rx->has_slept || now_ns - look->at_ns >= UDP_LOOK_NS;
    bool is_first = is_warm || now_ns - look->at_ns >= UDP_LOOK_FIRST_NS;
    rx->has_slept = false;
    if (has_other && is_first && look_at(udp, other, now_ns)) {
        return true;
    }
    if (look_at(udp, usual, now_ns)) {
        return true;
    }
    return has_other && is_due && !is_first && look_at(udp, other, now_ns);
}

static bool refill(struct snapd_udp *udp, uint64_t now_ns)
{
    if (now_ns >= udp->side_due_ns && fill_from_side(udp)) {
        return true;
    }
    if (udp->conn.left != 0 && fill_from_left(udp)) {
        return true;
    }
    return udp->conn.port == 0 ? fill(udp, 0) : fill_from_both(udp, now_ns);
}

uint32_t udp_receive(struct snapd_dev *dev, struct pony_packet_in *packets, uint32_t max,
                     uint64_t now_ns)
{
    struct snapd_udp *udp = base_container_of(dev, struct snapd_udp, dev);
    struct udp_rx *rx = &udp->rx;
    if (rx->idx == rx->n && !refill(udp, now_ns)) {
        return 0;
    }
    uint32_t n = 0;
    while (n < max && rx->idx < rx->n) {
        uint32_t left = rx->msgs[rx->idx].msg_len - rx->off;
        uint32_t len = base_min_u32(left, rx->segment_bytes);
        if (len > 0) {
            packets[n++] = (struct pony_packet_in){
                .from = rx->from,
                .data = rx->memory + (size_t)rx->idx * UDP_RX_BYTES + rx->off,
                .len = len,
                .rx_ns = now_ns,
                .ttl = rx->ttl,
                .ecn = rx->ecn,
            };
            rx->off += len;
        }
        if (len == left && ++rx->idx < rx->n) {
            open_buffer(udp);
        }
    }
    udp->counters.received_pkts += n;
    return n;
}
