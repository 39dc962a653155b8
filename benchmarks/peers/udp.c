/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/report.h"
#include "benchmarks/peers/socket.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Bare UDP: what datagrams cost with segmentation offload in both directions and nothing on top: no
 * order, no acknowledgements, no congestion control. Replies are counted by their bytes; when none came for
 * 20 ms, those in flight are counted as lost and the window starts again.
 *
 * A request is 16 bytes (struct ask), padded to the payload's size where the payload comes back.
 */
enum {
    BATCH_BYTES = 64000,
    SEGMENTS_MAX = 64,
    SOCKET_BUFFER = 64 << 20,
    LOST_NS = 20 * 1000 * 1000,
    DATAGRAM_OVERHEAD = 28 /* IP and UDP heads */
};

struct ask {
    uint32_t fill;    /**< bytes wanted; 0: this datagram back */
    uint32_t segment; /**< bytes per datagram of the reply */
    uint64_t pad;
};

struct batch {
    uint8_t bytes[1 << 16];
    size_t n;
    uint16_t segment; /**< bytes per datagram */
    struct sockaddr_in from;
};

static int open_socket(void)
{
    int one = 1;
    int size = SOCKET_BUFFER;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    }
    return fd;
}

/** One system call's worth; false: nothing there. */
static bool receive(int fd, struct batch *batch)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = batch->bytes, .iov_len = sizeof(batch->bytes)};
    struct msghdr msg = {.msg_name = &batch->from,
                         .msg_namelen = sizeof(batch->from),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &msg, 0);
    if (n <= 0) {
        return false;
    }
    int segment = (int)n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&segment, CMSG_DATA(c), sizeof(segment));
        }
    }
    batch->n = (size_t)n;
    batch->segment = (uint16_t)segment;
    return true;
}

/** Sends `n` bytes as datagrams of `segment` bytes; waits while the socket is full. */
static void send_segments(int fd, const uint8_t *bytes, size_t n, uint16_t segment,
                          const struct sockaddr_in *to)
{
    size_t step = (size_t)segment * SEGMENTS_MAX;
    step = step < BATCH_BYTES ? step : (size_t)(BATCH_BYTES / segment) * segment;
    for (size_t at = 0; at < n;) {
        union {
            char bytes[CMSG_SPACE(sizeof(uint16_t))];
            struct cmsghdr align;
        } control = {{0}};

        size_t part = n - at < step ? n - at : step;
        struct iovec iov = {.iov_base = (void *)(uintptr_t)(bytes + at), .iov_len = part};
        struct msghdr msg = {.msg_name = (void *)(uintptr_t)to,
                             .msg_namelen = to == NULL ? 0 : sizeof(*to),
                             .msg_iov = &iov,
                             .msg_iovlen = 1};
        if (part > segment) {
            msg.msg_control = control.bytes;
            msg.msg_controllen = sizeof(control);
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            c->cmsg_level = IPPROTO_UDP;
            c->cmsg_type = UDP_SEGMENT;
            c->cmsg_len = CMSG_LEN(sizeof(segment));
            memcpy(CMSG_DATA(c), &segment, sizeof(segment));
        }
        if (sendmsg(fd, &msg, MSG_NOSIGNAL) >= 0) {
            at += part;
        } else if (errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) {
            exit(peer_die("sendmsg"));
        }
    }
}

static int serve(const struct bench_options *options)
{
    static struct batch batch;
    struct sockaddr_in address;
    static uint8_t filling[BENCH_SIZE_MAX];
    int fd = open_socket();
    if (!peer_address(options, &address)) {
        return 1;
    }
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return peer_die("bind");
    }
    peer_serving(&address);
    for (;;) {
        if (!receive(fd, &batch)) {
            peer_wait(fd, options->spin_us);
            continue;
        }
        struct ask ask = {0};
        memcpy(&ask, batch.bytes, batch.n < sizeof(ask) ? batch.n : sizeof(ask));
        if (ask.fill == 0) {
            send_segments(fd, batch.bytes, batch.n, batch.segment, &batch.from);
            continue;
        }
        for (size_t at = 0; at + sizeof(ask) <= batch.n; at += batch.segment) {
            memcpy(&ask, batch.bytes + at, sizeof(ask));
            if (ask.fill <= BENCH_SIZE_MAX && ask.segment > 0 && ask.segment <= BATCH_BYTES) {
                send_segments(fd, filling, ask.fill, (uint16_t)ask.segment, &batch.from);
            }
        }
    }
}

struct caller {
    struct bench_options *options;
    struct bench_meter meter;
    int fd;
    uint32_t reply_bytes, ask_bytes, segment;
    uint64_t *started_ns; /**< [in_flight] ring: replies come in order, or are lost */
    uint32_t first, n, unsent;
    uint64_t got_bytes; /**< of the oldest call */
    uint64_t heard_ns;
    struct batch batch;
    uint8_t asks[1 << 16];
};

/** Adds a call; it goes out with the others of its round. */
static void start(void *arg, uint32_t slot)
{
    struct caller *caller = arg;
    (void)slot;
    caller->started_ns[(caller->first + caller->n++) % caller->options->in_flight] = bench_now_ns();
    caller->unsent++;
}

static void send_asks(struct caller *caller)
{
    while (caller->unsent > 0) {
        uint32_t room = (uint32_t)sizeof(caller->asks) / caller->ask_bytes;
        uint32_t n = caller->unsent < room ? caller->unsent : room;
        send_segments(caller->fd, caller->asks, (size_t)n * caller->ask_bytes,
                      (uint16_t)caller->ask_bytes, NULL);
        caller->unsent -= n;
    }
}

/** None came for too long: those in flight are lost, and others take their places. */
static void give_up(struct caller *caller)
{
    uint32_t n = caller->n;
    caller->n = 0;
    caller->got_bytes = 0;
    if (caller->meter.is_counting) {
        caller->meter.lost += n;
    }
    caller->meter.in_flight -= n;
    for (uint32_t i = 0; i < n && bench_now_ns() < caller->meter.end_ns; i++) {
        caller->meter.in_flight++;
        start(caller, i);
    }
}

static void drive(void *arg)
{
    struct caller *caller = arg;
    send_asks(caller);
    if (!receive(caller->fd, &caller->batch)) {
        uint64_t now_ns = bench_now_ns();
        caller->heard_ns = caller->heard_ns == 0 ? now_ns : caller->heard_ns;
        if (now_ns - caller->heard_ns > LOST_NS) {
            caller->heard_ns = 0;
            give_up(caller);
        } else {
            peer_wait(caller->fd, caller->options->spin_us);
        }
        return;
    }
    caller->heard_ns = 0;
    caller->got_bytes += caller->batch.n;
    while (caller->got_bytes >= caller->reply_bytes && caller->n > 0) {
        uint64_t started_ns = caller->started_ns[caller->first];
        caller->got_bytes -= caller->reply_bytes;
        caller->first = (caller->first + 1) % caller->options->in_flight;
        caller->n--;
        if (bench_call_ok(&caller->meter, started_ns, caller->reply_bytes)) {
            start(caller, 0);
        }
    }
}

static int call(struct bench_options *options)
{
    static struct caller caller;
    struct sockaddr_in address;
    int mtu = 0;
    socklen_t mtu_size = sizeof(mtu);
    caller.options = options;
    caller.fd = open_socket();
    caller.started_ns = calloc(options->in_flight, sizeof(uint64_t));
    if (!peer_address(options, &address) || !bench_meter_init(&caller.meter) ||
        caller.started_ns == NULL) {
        return 1;
    }
    if (caller.fd < 0 ||
        connect(caller.fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockopt(caller.fd, IPPROTO_IP, IP_MTU, &mtu, &mtu_size) != 0) {
        return peer_die("connect");
    }
    mtu = (mtu < BATCH_BYTES ? mtu : BATCH_BYTES) - DATAGRAM_OVERHEAD;
    bool is_small = options->size >= sizeof(struct ask) && options->size <= (uint64_t)mtu;
    if (options->connections != 1 || (!options->is_large && !is_small)) {
        fprintf(stderr, "peer-udp: one connection only, and datagrams of 16 to %d bytes\n", mtu);
        return 2;
    }
    struct ask ask = {.fill = options->is_large ? (uint32_t)options->size : 0,
                      .segment = (uint32_t)mtu};
    caller.reply_bytes = (uint32_t)options->size;
    caller.ask_bytes = options->is_large ? (uint32_t)sizeof(ask) : (uint32_t)options->size;
    for (size_t at = 0; at + sizeof(ask) <= sizeof(caller.asks); at += caller.ask_bytes) {
        memcpy(caller.asks + at, &ask, sizeof(ask));
    }
    bench_measure(options, &caller.meter,
                  &(struct bench_driver){.start = start, .drive = drive, .arg = &caller});
    return bench_report(options, &caller.meter, &(struct bench_report){.carried_by = "bare udp"});
}

int main(int argc, char **argv)
{
    static const struct bench_program program = {.name = "peer-udp"};
    static struct bench_options options;
    int end = bench_parse(argc, argv, &program, &options);
    if (end != 0) {
        return end - 1;
    }
    return bench_is(&options, "serve") ? serve(&options) : call(&options);
}
