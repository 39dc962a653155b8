/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_PEERS_SOCKET_H
#define BENCHMARKS_PEERS_SOCKET_H

#include "benchmarks/common/options.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Sockets of the floors: what bare TCP and bare UDP reach with nothing on top.
 *
 * Shape  a request is a head and `bytes` of payload; the reply is a head and the payload again, or
 *        `fill` bytes where the head asks for them. Both ends are one machine: host byte order.
 */
struct peer_head {
    uint32_t bytes; /**< that follow */
    uint32_t fill;  /**< wanted in the reply; 0: the payload back */
};

bool peer_address(const struct bench_options *options, struct sockaddr_in *address);

/** Says what failed, with %m. Returns 1, for main() to return. */
int peer_die(const char *what);

/** Prints what bench.py waits for. */
void peer_serving(const struct sockaddr_in *address);

/** Waits for `fd` to be readable: spins, or blocks for 100 ms at most. */
void peer_wait(int fd, uint32_t spin_us);

#endif
