/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/peers/socket.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

bool peer_address(const struct bench_options *options, struct sockaddr_in *address)
{
    char host[64];
    uint16_t port = 0;
    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    if (!bench_split_address(options->target, host, sizeof(host), &port) ||
        inet_pton(AF_INET, host, &address->sin_addr) != 1) {
        fprintf(stderr, "%s: not an IPv4 address and port: \"%s\"\n", options->program,
                options->target);
        return false;
    }
    address->sin_port = htons(port);
    return true;
}

int peer_die(const char *what)
{
    fprintf(stderr, "%s: %m\n", what);
    return 1;
}

void peer_serving(const struct sockaddr_in *address)
{
    printf("serving at port %u\n", ntohs(address->sin_port));
    fflush(stdout);
}

void peer_wait(int fd, uint32_t spin_us)
{
    if (spin_us == BENCH_SPIN_ALWAYS) {
        sched_yield();
        return;
    }
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    (void)poll(&pollfd, 1, 100);
}
