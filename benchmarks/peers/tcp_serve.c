/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/peers/tcp.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    uint8_t *in; /**< [TCP_BUFFER] */
    size_t n_in;
    struct tcp_out out;
    size_t fill_left; /**< of a large reply, to be sent after `out` */
    bool wants_room;  /**< epoll watches for room to send */
};

enum {
    PEERS_MAX = 32768
};

static uint8_t *filling;              /* [BENCH_SIZE_MAX] */
static struct peer *peers[PEERS_MAX]; /* by descriptor */

/** Sends what waits: small replies, then the large one. False: the connection is gone. */
static bool flush(struct peer *peer)
{
    if (!tcp_out_flush(&peer->out, peer->fd)) {
        return false;
    }
    while (peer->out.n == 0 && peer->fill_left > 0) {
        ssize_t n = send(peer->fd, filling, peer->fill_left, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        peer->fill_left -= (size_t)n;
    }
    return true;
}

static bool is_stuck(const struct peer *peer)
{
    return peer->out.n > 0 || peer->fill_left > 0;
}

/** Answers the whole requests that are there, until one reply does not fit into the socket. */
static bool answer(struct peer *peer)
{
    size_t at = 0;
    struct peer_head head;
    while (peer->fill_left == 0 && peer->n_in - at >= sizeof(head)) {
        memcpy(&head, peer->in + at, sizeof(head));
        if (head.bytes > TCP_BUFFER - sizeof(head) || head.fill > BENCH_SIZE_MAX) {
            return false;
        }
        if (peer->n_in - at < sizeof(head) + head.bytes) {
            break;
        }
        struct peer_head reply = {.bytes = head.fill > 0 ? head.fill : head.bytes};
        if (!tcp_out_add(&peer->out, &reply, sizeof(reply)) ||
            (head.fill == 0 &&
             !tcp_out_add(&peer->out, peer->in + at + sizeof(head), head.bytes))) {
            return false;
        }
        peer->fill_left = head.fill;
        at += sizeof(head) + head.bytes;
        if (head.fill > 0 && !flush(peer)) {
            return false;
        }
    }
    memmove(peer->in, peer->in + at, peer->n_in - at);
    peer->n_in -= at;
    return flush(peer);
}

/** What epoll said about one connection. False: it is gone. */
static bool on_event(struct peer *peer)
{
    do {
        if (!flush(peer) || (!is_stuck(peer) && !answer(peer))) {
            return false;
        }
        if (is_stuck(peer)) {
            return true;
        }
        ssize_t n = recv(peer->fd, peer->in + peer->n_in, TCP_BUFFER - peer->n_in, 0);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        peer->n_in += (size_t)n;
        if (!answer(peer)) {
            return false;
        }
    } while (peer->fill_left > 0);
    return true;
}

static void say_goodbye(struct peer *peer)
{
    peers[peer->fd] = NULL;
    close(peer->fd);
    free(peer->in);
    free(peer->out.bytes);
    free(peer);
}

static void welcome(int listener, int epoll)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 || fd >= PEERS_MAX) {
        exit(peer_die("accept"));
    }
    struct peer *peer = calloc(1, sizeof(*peer));
    uint8_t *in = malloc(TCP_BUFFER);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (peer == NULL || in == NULL || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        exit(peer_die("welcome"));
    }
    peer->fd = fd;
    peer->in = in;
    peers[fd] = peer;
}

static void serve_peer(struct peer *peer, int epoll)
{
    if (!on_event(peer)) {
        say_goodbye(peer);
        return;
    }
    if (is_stuck(peer) != peer->wants_room) {
        peer->wants_room = !peer->wants_room;
        struct epoll_event event = {.events = peer->wants_room ? EPOLLOUT : EPOLLIN,
                                    .data.fd = peer->fd};
        epoll_ctl(epoll, EPOLL_CTL_MOD, peer->fd, &event);
    }
}

int tcp_serve(const struct bench_options *options)
{
    struct sockaddr_in address;
    int one = 1;
    filling = malloc(BENCH_SIZE_MAX);
    if (!peer_address(options, &address) || filling == NULL) {
        return 1;
    }
    memset(filling, 0x5a, BENCH_SIZE_MAX);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1024) != 0) {
        return peer_die("listen");
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
        return peer_die("epoll");
    }
    peer_serving(&address);
    for (;;) {
        struct epoll_event events[TCP_EVENTS];
        int n = tcp_wait(epoll, events, options->spin_us);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                welcome(listener, epoll);
            } else {
                serve_peer(peers[events[i].data.fd], epoll);
            }
        }
    }
}
