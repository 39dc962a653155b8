/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_PEERS_TCP_H
#define BENCHMARKS_PEERS_TCP_H

#include "benchmarks/peers/socket.h"

/**
 * Bare TCP: heads and payloads over non-blocking sockets, one thread and one epoll at each end.
 *
 * Small messages are gathered: all that one wake-up brings is answered with one send().
 */
enum {
    TCP_BUFFER = 256 * 1024,
    TCP_EVENTS = 64
};

int tcp_serve(const struct bench_options *options);
int tcp_call(struct bench_options *options);

/** Bytes that wait to be sent, grown as needed. */
struct tcp_out {
    uint8_t *bytes;
    size_t n, sent, room;
};

/** Appends; false: out of memory. */
bool tcp_out_add(struct tcp_out *out, const void *bytes, size_t n);

/** Sends what it can. False: the connection is gone. */
bool tcp_out_flush(struct tcp_out *out, int fd);

/** Waits for events in `epoll`: spins, or blocks for 100 ms at most. Returns how many. */
struct epoll_event;
int tcp_wait(int epoll, struct epoll_event *events, uint32_t spin_us);

#endif
