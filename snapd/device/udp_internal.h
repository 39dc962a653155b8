/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_DEVICE_UDP_INTERNAL_H
#define SNAPD_DEVICE_UDP_INTERNAL_H

#include "snapd/device/udp.h"

#include <netinet/in.h>
#include <sys/socket.h>

/**
 * What udp.c, udp_tx.c and udp_rx.c share.
 */
enum {
    UDP_RX_BUFFERS = 8,
    UDP_RX_BYTES = 65536, /**< of one buffer: the longest datagram, segmented or not */
    UDP_TX_SEGMENTS = 64, /**< packets in one segmented datagram, what every kernel takes */
    UDP_TX_BYTES = 65507, /**< of one segmented datagram: what IPv4 takes */
    UDP_UNREACHABLE_MAX = 16,
    UDP_TOO_LONG_MAX = 16,
    UDP_CONTROL_BYTES = 192,
    UDP_TX_CONTROL_BYTES = 64,         /**< CMSG_SPACE(uint16_t) + CMSG_SPACE(struct in6_pktinfo) */
    UDP_SOURCES = 256,                 /**< a power of two */
    UDP_SIDE_WAIT_NS = 10000000,       /**< how long after it sent a side socket is read */
    UDP_CONN_V4 = SNAPD_UDP_PORTS_MAX, /**< index into `fds`: for a busiest peer with IPv4 */
    UDP_CONN_V6,
    UDP_FDS,
    UDP_CONN_VOTES = 256,          /**< datagrams that a peer is sent more of than all others */
    UDP_CONN_PAUSE_NS = 100000000, /**< between two connects */
    UDP_LOOK_NS = 10000,           /**< the socket that is quiet is looked at so often */
    UDP_LOOK_FIRST_NS = 50000,     /**< and so often also while the other never is */
    UDP_WARM_NS = 1000000          /**< a socket is quiet when nothing came so long */
};

struct udp_counters {
    uint64_t sent_pkts, sent_datagrams, send_calls, stashed_pkts, dropped_pkts, fragmented_pkts;
    uint64_t side_pkts, side_datagrams;           /**< sent from side ports, received there */
    uint64_t connects, conn_pkts, conn_datagrams; /**< of the connected socket, likewise */
    uint64_t received_pkts, received_datagrams, receive_calls, truncated, unreachable;
};

union udp_name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/** Which of our addresses a peer reached last: it takes answers from that one only. */
struct udp_source {
    struct pony_addr peer; /**< udp_port 0: whichever of the host's */
    uint8_t ip[16];
};

/**
 * The connected socket of the busiest peer, and who that is: a vote by majority among the datagrams that
 * leave by the main port, so that peers who are equally busy do not take it from each other.
 */
struct udp_conn {
    uint32_t port; /**< fds[port] is connected to `peer`; 0: none is */
    uint32_t left; /**< bit i: fds[i] is parked, and has not been found empty since */
    struct pony_addr peer;
    uint8_t ip[16]; /**< the address of ours that it is connected from */
    struct pony_addr candidate;
    uint32_t votes;
    uint64_t next_ns; /**< no connect before */
};

/** When a socket was looked at and brought something. */
struct udp_look {
    uint64_t at_ns, got_ns;
};

/** A run of packets that leaves as one datagram, from fds[port]. */
struct udp_run {
    uint32_t first, n, port;
};

struct udp_tx {
    struct mmsghdr msgs[PONY_TX_BATCH_MAX];
    struct iovec iov[2 * PONY_TX_BATCH_MAX];
    union udp_name names[PONY_TX_BATCH_MAX];
    struct udp_run runs[PONY_TX_BATCH_MAX];
    _Alignas(16) uint8_t control[PONY_TX_BATCH_MAX][UDP_TX_CONTROL_BYTES];

    struct pony_packet_out stash[PONY_TX_BATCH_MAX]; /**< what the socket did not take */
    uint32_t stash_at, stash_n;
    uint8_t *stash_memory; /**< [PONY_TX_BATCH_MAX][PONY_MTU_MAX] */
};

struct udp_rx {
    struct mmsghdr msgs[UDP_RX_BUFFERS];
    struct iovec iov[UDP_RX_BUFFERS];
    union udp_name names[UDP_RX_BUFFERS];
    _Alignas(16) uint8_t control[UDP_RX_BUFFERS][UDP_CONTROL_BYTES];
    uint8_t *memory; /**< [UDP_RX_BUFFERS][UDP_RX_BYTES] */

    uint8_t want[UDP_FDS]; /**< datagrams that the next call asks for, 1 to UDP_RX_BUFFERS */
    struct udp_look main, conn;
    uint32_t usual;  /**< 0 or the connected one: which brought something last */
    bool has_slept;  /**< any of them may have woken us */
    uint32_t n, idx; /**< buffers filled, the one being handed out */
    uint32_t off;    /**< its next packet */
    uint32_t segment_bytes;
    struct pony_addr from;
    uint8_t ttl, ecn;
};

/** A packet that the kernel would not send in one piece. */
struct udp_too_long {
    struct pony_addr to;
    uint32_t bytes;
};

struct snapd_udp {
    struct snapd_dev dev;
    int fds[UDP_FDS]; /**< [0] the main one, that peers know; -1: none */
    int epoll_fd;     /**< over those that are read at once; -1: the main one only */
    bool is_watching_room;
    uint32_t n_ports;
    uint32_t side_used;   /**< bit i: fds[i] sent since it was read last */
    uint64_t side_due_ns; /**< when those are read; UINT64_MAX: there are none */
    bool is_v6;
    bool is_wildcard; /**< bound to no address: which one we send from is told by `sources` */
    bool has_gso, has_gro;
    bool may_have_errors; /**< the error queue must be looked at */
    uint16_t port;
    uint32_t batch_pkts; /**< what room() says: a full datagram's worth */
    char address[SNAPD_DEV_ADDRESS_MAX];
    const struct base_log *log;
    struct udp_counters counters;
    struct pony_addr unreachable[UDP_UNREACHABLE_MAX];
    uint32_t n_unreachable;
    struct udp_too_long too_long[UDP_TOO_LONG_MAX];
    uint32_t n_too_long;
    struct udp_source sources[UDP_SOURCES]; /**< by hash of the peer; a newer one replaces */
    struct udp_conn conn;
    struct udp_tx tx;
    struct udp_rx rx;
};

uint32_t udp_receive(struct snapd_dev *dev, struct pony_packet_in *packets, uint32_t max,
                     uint64_t now_ns);
uint32_t udp_room(struct snapd_dev *dev, uint64_t now_ns);
void udp_send(struct snapd_dev *dev, const struct pony_packet_out *packets, uint32_t n,
              uint64_t now_ns);

/** Opens, binds and prepares the sockets. Errors  as of snapd_udp_create */
BASE_MUST_USE enum base_err udp_open(const struct snapd_udp_config *config, struct snapd_udp *udp);

/** Lets IP cut what leaves by `fd` into fragments, or forbids it again. */
void udp_allow_fragments(const struct snapd_udp *udp, int fd, bool may);

/** Empties the error queue of fds[port] into `unreachable`. */
void udp_drain_errors(struct snapd_udp *udp, uint32_t port);
void udp_add_unreachable(struct snapd_udp *udp, const struct pony_addr *to);

/** Which of our addresses a peer reached, or its host from another port; NULL: not known. */
const struct udp_source *udp_find_source(const struct snapd_udp *udp, const struct pony_addr *peer);
void udp_forget_source(struct snapd_udp *udp, const struct pony_addr *peer);

/** Opens and parks the sockets of busiest peers; without them all goes by the main one. */
void udp_conn_open(struct snapd_udp *udp);

/** Connects to the candidate, if it can be, and not too soon after the last time. */
void udp_conn_switch(struct snapd_udp *udp, uint64_t now_ns);

/** The peer's packets go by the main socket again. */
void udp_conn_close(struct snapd_udp *udp);

/** The parked fds[port] had nothing more. */
void udp_conn_left_is_empty(struct snapd_udp *udp, uint32_t port);

/** Whether room on the main socket makes the epoll set readable. */
void udp_conn_watch_room(struct snapd_udp *udp, bool is_wanted);

static inline bool udp_is_conn(uint32_t port)
{
    return port >= UDP_CONN_V4;
}

/** For a datagram to `peer` that leaves by the main port. */
static inline void udp_conn_vote(struct snapd_udp *udp, const struct pony_addr *peer)
{
    struct udp_conn *conn = &udp->conn;
    if (conn->votes == 0) {
        conn->candidate = *peer;
    }
    if (!pony_addr_equal(&conn->candidate, peer)) {
        conn->votes--;
    } else if (conn->votes < UDP_CONN_VOTES) {
        conn->votes++;
    }
}

static inline bool udp_conn_is_outvoted(const struct snapd_udp *udp)
{
    const struct udp_conn *conn = &udp->conn;
    return conn->votes >= UDP_CONN_VOTES &&
           (conn->port == 0 || !pony_addr_equal(&conn->candidate, &conn->peer));
}

/** Both return the length of the name. */
socklen_t udp_name_for(bool is_v6, const struct pony_addr *addr, union udp_name *name);
socklen_t udp_name_from(const struct snapd_udp *udp, const struct pony_addr *addr,
                        union udp_name *name);
struct pony_addr udp_addr_from(const union udp_name *name);

#endif
