/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "snapd/device/udp_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

enum sent {
    SENT,
    SENT_NOT,  /**< the network would not have it: dropped */
    SENT_LATER /**< the socket is full */
};

socklen_t udp_name_for(bool is_v6, const struct pony_addr *addr, union udp_name *name)
{
    /* An IPv6 address on a socket that has none: the kernel refuses it (EAFNOSUPPORT). Its last four
     * bytes would be somebody else's IPv4 address. */
    if (is_v6 || !pony_addr_is_v4(addr)) {
        name->v6 =
            (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(addr->udp_port)};
        memcpy(&name->v6.sin6_addr, addr->ip, sizeof(addr->ip));
        name->v6.sin6_scope_id = addr->scope;
        return sizeof(name->v6);
    }
    name->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(addr->udp_port)};
    memcpy(&name->v4.sin_addr, addr->ip + 12, 4);
    return sizeof(name->v4);
}

socklen_t udp_name_from(const struct snapd_udp *udp, const struct pony_addr *addr,
                        union udp_name *name)
{
    return udp_name_for(udp->is_v6, addr, name);
}

static uint32_t packet_len(const struct pony_packet_out *p)
{
    return p->head_len + p->payload_len;
}

static uint32_t port_of(const struct snapd_udp *udp, const struct pony_packet_out *p)
{
    return p->src_port_hint == 0 ? 0 : p->src_port_hint % udp->n_ports;
}

/* A run's socket: that of its port, or the connected one in the main one's place. */
static uint32_t socket_of(struct snapd_udp *udp, const struct pony_packet_out *p)
{
    uint32_t port = port_of(udp, p);
    if (port != 0) {
        return port;
    }
    udp_conn_vote(udp, &p->to);
    const struct udp_conn *conn = &udp->conn;
    return conn->port != 0 && pony_addr_equal(&conn->peer, &p->to) ? conn->port : 0;
}

/* How many packets from the first on may leave as one datagram: same peer, same port of ours, same
 * size, but for the last, which may be shorter. */
static uint32_t run_length(const struct snapd_udp *udp, const struct pony_packet_out *p, uint32_t n)
{
    uint32_t size = packet_len(p);
    uint32_t port = port_of(udp, p);
    uint32_t max = udp->has_gso ? base_min_u32(n, UDP_TX_SEGMENTS) : 1;
    uint32_t bytes = size;
    uint32_t i = 1;
    for (; i < max; i++) {
        uint32_t next = packet_len(&p[i]);
        if (next > size || next == 0 || bytes + next > UDP_TX_BYTES ||
            !pony_addr_equal(&p[i].to, &p[0].to) || port_of(udp, &p[i]) != port) {
            break;
        }
        bytes += next;
        if (next < size) {
            return i + 1;
        }
    }
    return i;
}

static uint32_t add_iov(struct iovec *iov, const struct pony_packet_out *p)
{
    /* The kernel only reads; iovec has no const. */
    iov[0] = (struct iovec){.iov_base = (void *)(uintptr_t)p->head, .iov_len = p->head_len};
    if (p->payload_len == 0) {
        return 1;
    }
    iov[1] = (struct iovec){.iov_base = (void *)(uintptr_t)p->payload, .iov_len = p->payload_len};
    return 2;
}

/* Appends a control message; the buffer has room for all that we append. */
static void add_control(struct msghdr *msg, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c =
        (struct cmsghdr *)(void *)((uint8_t *)msg->msg_control + msg->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    msg->msg_controllen += CMSG_SPACE(len);
}

/* Answers leave from the address that the peer knows us by, not from the one that the kernel would
 * choose on a host with several. */
static void add_source(const struct snapd_udp *udp, struct msghdr *msg, const struct pony_addr *to)
{
    const struct udp_source *source = udp->is_wildcard ? udp_find_source(udp, to) : NULL;
    if (source == NULL) {
        return;
    }
    if (udp->is_v6) {
        struct in6_pktinfo info = {.ipi6_ifindex = 0};
        memcpy(&info.ipi6_addr, source->ip, sizeof(info.ipi6_addr));
        add_control(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    } else {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, source->ip + 12, 4);
        add_control(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    }
}

static_assert(CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) <=
                  UDP_TX_CONTROL_BYTES,
              "room for both control messages");

/* To whom it goes; a connected socket knows. */
static void add_name(struct snapd_udp *udp, uint32_t at, const struct pony_addr *to)
{
    struct msghdr *msg = &udp->tx.msgs[at].msg_hdr;
    msg->msg_name = &udp->tx.names[at];
    msg->msg_namelen = udp_name_from(udp, to, &udp->tx.names[at]);
    add_source(udp, msg, to);
}

/* Fills tx->msgs from packets; returns how many datagrams they make. */
static uint32_t build(struct snapd_udp *udp, const struct pony_packet_out *packets, uint32_t n)
{
    struct udp_tx *tx = &udp->tx;
    uint32_t n_runs = 0;
    uint32_t n_iov = 0;
    for (uint32_t at = 0; at < n; at += tx->runs[n_runs++].n) {
        uint32_t len = run_length(udp, &packets[at], n - at);
        tx->runs[n_runs] =
            (struct udp_run){.first = at, .n = len, .port = socket_of(udp, &packets[at])};
        uint32_t first_iov = n_iov;
        for (uint32_t i = 0; i < len; i++) {
            n_iov += add_iov(&tx->iov[n_iov], &packets[at + i]);
        }
        struct msghdr *msg = &tx->msgs[n_runs].msg_hdr;
        *msg = (struct msghdr){
            .msg_iov = &tx->iov[first_iov],
            .msg_iovlen = n_iov - first_iov,
            .msg_control = tx->control[n_runs],
        };
        if (!udp_is_conn(tx->runs[n_runs].port)) {
            add_name(udp, n_runs, &packets[at].to);
        }
        if (len > 1) {
            uint16_t segment_bytes = (uint16_t)packet_len(&packets[at]);
            add_control(msg, IPPROTO_UDP, UDP_SEGMENT, &segment_bytes, sizeof(segment_bytes));
        }
    }
    return n_runs;
}

/* PROBE rather than DO: what counts is the interface's own MTU, not what the kernel was told of the
 * path, by ICMP messages that anybody can make up. Engines find out by themselves what passes. */
void udp_allow_fragments(const struct snapd_udp *udp, int fd, bool may)
{
    int v4 = may ? IP_PMTUDISC_DONT : IP_PMTUDISC_PROBE;
    (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
    if (udp->is_v6) {
        int v6 = may ? IPV6_PMTUDISC_DONT : IPV6_PMTUDISC_PROBE;
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
    }
}

static enum sent send_one(struct snapd_udp *udp, uint32_t port, const struct msghdr *msg)
{
    /* More than once: an ICMP error for an earlier packet shows up as the result of a later call. */
    for (int i = 0; i < 3; i++) {
        udp->counters.send_calls++;
        if (sendmsg(udp->fds[port], msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            udp->counters.sent_datagrams++;
            return SENT;
        }
        if (errno == EAGAIN) {
            return SENT_LATER;
        }
        if (errno != EINTR && errno != ECONNREFUSED && errno != EHOSTUNREACH &&
            errno != ENETUNREACH) {
            return SENT_NOT;
        }
        int cause = errno;
        udp_drain_errors(udp, port);
        errno = cause;
    }
    return SENT_NOT;
}

/* The engine sends smaller ones from then on. What finds no room is told with the next packet. */
static void add_too_long(struct snapd_udp *udp, const struct pony_packet_out *p)
{
    for (uint32_t i = 0; i < udp->n_too_long; i++) {
        const struct udp_too_long *hint = &udp->too_long[i];
        if (hint->bytes == packet_len(p) && pony_addr_equal(&hint->to, &p->to)) {
            return;
        }
    }
    if (udp->n_too_long < UDP_TOO_LONG_MAX) {
        udp->too_long[udp->n_too_long++] =
            (struct udp_too_long){.to = p->to, .bytes = packet_len(p)};
    }
}

/* By the connected socket. SENT_NOT: the main one may know another way, but not around a full queue of
 * the interface. */
static enum sent send_connected(struct snapd_udp *udp, const struct pony_packet_out *p)
{
    struct iovec iov[2];
    const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = add_iov(iov, p)};
    enum sent sent = send_one(udp, udp->conn.port, &msg);
    if (sent == SENT_NOT && errno == ENOBUFS) {
        udp->counters.dropped_pkts++;
        return SENT;
    }
    if (sent == SENT_NOT && errno != EMSGSIZE) {
        udp_conn_close(udp);
    }
    udp->counters.conn_pkts += sent == SENT;
    return sent;
}

static enum sent send_named(struct snapd_udp *udp, uint32_t port, const struct pony_packet_out *p)
{
    struct iovec iov[2];
    union udp_name name;
    _Alignas(16) uint8_t control[UDP_TX_CONTROL_BYTES];
    struct msghdr msg = {.msg_name = &name,
                         .msg_namelen = udp_name_from(udp, &p->to, &name),
                         .msg_iov = iov,
                         .msg_iovlen = add_iov(iov, p),
                         .msg_control = control};
    add_source(udp, &msg, &p->to);
    enum sent sent = send_one(udp, port, &msg);
    if (sent == SENT_NOT && errno != EMSGSIZE && msg.msg_controllen > 0) {
        /* That address may be ours no more. */
        udp_forget_source(udp, &p->to);
        msg.msg_controllen = 0;
        sent = send_one(udp, port, &msg);
    }
    bool is_too_long = sent == SENT_NOT && errno == EMSGSIZE;
    if (is_too_long) {
        add_too_long(udp, p);
    }
    if (is_too_long && !p->is_whole) {
        udp->counters.fragmented_pkts++;
        udp_allow_fragments(udp, udp->fds[port], true);
        sent = send_one(udp, port, &msg);
        int cause = errno;
        udp_allow_fragments(udp, udp->fds[port], false);
        errno = cause;
    }
    if (sent == SENT_NOT) {
        udp->counters.dropped_pkts++;
        if (errno == EHOSTUNREACH || errno == ENETUNREACH || errno == EAFNOSUPPORT) {
            udp_add_unreachable(udp, &p->to);
        }
    }
    return sent;
}

static enum sent send_packet(struct snapd_udp *udp, uint32_t port, const struct pony_packet_out *p)
{
    if (!udp_is_conn(port)) {
        enum sent sent = send_named(udp, port, p);
        udp->counters.side_pkts += port != 0 && sent == SENT;
        return sent;
    }
    /* What it does not take is for the main one to refuse, and to tell. */
    return port == udp->conn.port && send_connected(udp, p) == SENT ? SENT : send_named(udp, 0, p);
}

/* A datagram that failed: its packets one by one. Returns how many are done with; fewer than n
 * when the socket is full. */
static uint32_t send_singly(struct snapd_udp *udp, const struct udp_run *run,
                            const struct pony_packet_out *packets)
{
    for (uint32_t i = 0; i < run->n; i++) {
        if (send_packet(udp, run->port, &packets[run->first + i]) == SENT_LATER) {
            return i;
        }
    }
    return run->n;
}

/* What to do about the datagram that sendmmsg refused. Returns how many of its packets are done
 * with. */
static uint32_t after_refusal(struct snapd_udp *udp, const struct udp_run *run,
                              const struct pony_packet_out *packets)
{
    if (errno == EAGAIN) {
        return 0;
    }
    if (errno == ENOBUFS) {
        /* The interface's queue is full; that is a loss like any other on the way. */
        udp->counters.dropped_pkts += run->n;
        return run->n;
    }
    if (run->n > 1 && errno == EIO) {
        udp->has_gso = false;
        base_logf(udp->log, BASE_LOG_WARN, "udp",
                  "%s: the kernel or interface cannot segment datagrams (UDP_SEGMENT: %m); sending "
                  "packets one by one, which costs more CPU",
                  udp->address);
    }
    if (errno != EMSGSIZE && errno != EINVAL && errno != EIO && errno != EINTR) {
        udp_drain_errors(udp, run->port);
    }
    return send_singly(udp, run, packets);
}

/* A side socket is to be read soon: a RESET, or an ICMP error, may come there. */
static void note_side(struct snapd_udp *udp, uint32_t port, uint64_t now_ns)
{
    if (port != 0 && !udp_is_conn(port)) {
        udp->side_used |= 1u << port;
        udp->side_due_ns = base_min_u64(udp->side_due_ns, now_ns + UDP_SIDE_WAIT_NS);
    }
}

/* These runs left by another socket than the main one. */
static void count_port(struct snapd_udp *udp, const struct udp_run *run, uint32_t n)
{
    uint64_t *count = udp_is_conn(run->port) ? &udp->counters.conn_pkts : &udp->counters.side_pkts;
    for (uint32_t i = 0; i < n && run->port != 0; i++) {
        *count += run[i].n;
    }
}

/* How many runs from the first on leave from the same port. */
static uint32_t same_port(const struct udp_run *runs, uint32_t n)
{
    uint32_t i = 1;
    while (i < n && runs[i].port == runs[0].port) {
        i++;
    }
    return i;
}

/* Only the main socket tells when there is room again, and knows a way to every peer. */
static void move_to_main(struct snapd_udp *udp, uint32_t at, const struct pony_addr *to)
{
    struct udp_run *run = &udp->tx.runs[at];
    if (udp_is_conn(run->port)) {
        add_name(udp, at, to);
    }
    run->port = 0;
}

/* How many left, or -1. */
static int send_datagrams(struct snapd_udp *udp, uint32_t port, struct mmsghdr *msgs, uint32_t n)
{
    udp->counters.send_calls++;
    if (n > 1) {
        return sendmmsg(udp->fds[port], msgs, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return sendmsg(udp->fds[port], &msgs->msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ? 1 : -1;
}

/* Sends from the front; returns how many packets are done with, fewer than n when the socket is
 * full. */
static uint32_t send_some(struct snapd_udp *udp, const struct pony_packet_out *packets, uint32_t n,
                          uint64_t now_ns)
{
    uint32_t n_runs = build(udp, packets, n);
    uint32_t at = 0;
    while (at < n_runs) {
        struct udp_run *run = &udp->tx.runs[at];
        const struct pony_addr *to = &packets[run->first].to;
        if (udp_is_conn(run->port) && run->port != udp->conn.port) {
            move_to_main(udp, at, to);
        }
        uint32_t n_same = same_port(run, n_runs - at);
        int sent = send_datagrams(udp, run->port, &udp->tx.msgs[at], n_same);
        if (sent > 0) {
            count_port(udp, run, (uint32_t)sent);
            note_side(udp, run->port, now_ns);
            at += (uint32_t)sent;
            udp->counters.sent_datagrams += (uint32_t)sent;
            continue;
        }
        if (errno == EAGAIN && run->port != 0) {
            move_to_main(udp, at, to);
            continue;
        }
        uint32_t done = after_refusal(udp, run, packets);
        if (done < run->n) {
            return run->first + done;
        }
        note_side(udp, run->port, now_ns);
        at++;
    }
    return n;
}

static void stash(struct snapd_udp *udp, const struct pony_packet_out *packets, uint32_t n)
{
    struct udp_tx *tx = &udp->tx;
    tx->stash_at = 0;
    tx->stash_n = n;
    udp->counters.stashed_pkts += n;
    for (uint32_t i = 0; i < n; i++) {
        const struct pony_packet_out *p = &packets[i];
        uint8_t *copy = tx->stash_memory + (size_t)i * PONY_MTU_MAX;
        memcpy(copy, p->head, p->head_len);
        if (p->payload_len > 0) {
            memcpy(copy + p->head_len, p->payload, p->payload_len);
        }
        tx->stash[i] = (struct pony_packet_out){.to = p->to,
                                                .head = copy,
                                                .head_len = packet_len(p),
                                                .is_whole = p->is_whole,
                                                .src_port_hint = p->src_port_hint};
    }
}

uint32_t udp_room(struct snapd_dev *dev, uint64_t now_ns)
{
    struct snapd_udp *udp = base_container_of(dev, struct snapd_udp, dev);
    struct udp_tx *tx = &udp->tx;
    if (tx->stash_at < tx->stash_n) {
        tx->stash_at +=
            send_some(udp, tx->stash + tx->stash_at, tx->stash_n - tx->stash_at, now_ns);
    }
    return tx->stash_at < tx->stash_n ? 0 : udp->batch_pkts;
}

void udp_send(struct snapd_dev *dev, const struct pony_packet_out *packets, uint32_t n,
              uint64_t now_ns)
{
    struct snapd_udp *udp = base_container_of(dev, struct snapd_udp, dev);
    n = base_min_u32(n, PONY_TX_BATCH_MAX);
    udp->counters.sent_pkts += n;
    uint32_t done = send_some(udp, packets, n, now_ns);
    if (done < n) {
        stash(udp, packets + done, n - done);
    }
    if (udp_conn_is_outvoted(udp)) {
        udp_conn_switch(udp, now_ns);
    }
}
