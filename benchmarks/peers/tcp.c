/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/peers/tcp.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

bool tcp_out_add(struct tcp_out *out, const void *bytes, size_t n)
{
    if (out->n + n > out->room) {
        size_t room = (out->n + n) * 2;
        uint8_t *grown = realloc(out->bytes, room);
        if (grown == NULL) {
            return false;
        }
        out->bytes = grown;
        out->room = room;
    }
    memcpy(out->bytes + out->n, bytes, n);
    out->n += n;
    return true;
}

bool tcp_out_flush(struct tcp_out *out, int fd)
{
    while (out->sent < out->n) {
        ssize_t n = send(fd, out->bytes + out->sent, out->n - out->sent, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        out->sent += (size_t)n;
    }
    out->sent = 0;
    out->n = 0;
    return true;
}

int tcp_wait(int epoll, struct epoll_event *events, uint32_t spin_us)
{
    bool is_spinning = spin_us == BENCH_SPIN_ALWAYS;
    int n = epoll_wait(epoll, events, TCP_EVENTS, is_spinning ? 0 : 100);
    if (n == 0 && is_spinning) {
        sched_yield();
    }
    return n > 0 ? n : 0;
}

int main(int argc, char **argv)
{
    static const struct bench_program program = {.name = "peer-tcp"};
    struct bench_options options;
    int end = bench_parse(argc, argv, &program, &options);
    if (end != 0) {
        return end - 1;
    }
    return bench_is(&options, "serve") ? tcp_serve(&options) : tcp_call(&options);
}
