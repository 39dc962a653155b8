/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/report.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * nanomsg REQ/REP. The server is a plain REP socket; the client a raw REQ socket, as a plain one has
 * one request in flight: it writes and reads the request's number (the SP header) itself. Several
 * connections are several sockets, polled together: one socket would balance by what its connections
 * can take, and so ask twice on one and not at all on another.
 *
 * A REP socket drops replies that its connection cannot take at once (xrep.c), and nothing tells; so large
 * replies are asked for one at a time per connection. A reply that is lost all the same ends the run.
 *
 * A request is 8 bytes (how many are wanted back; 0: the payload), then the payload.
 */
enum {
    HEAD_BYTES = 8,
    REPLY_TIMEOUT_MS = 2000,
    ID_IS_LAST = 0x80 /* top bit of the number's first byte: the end of the header */
};

/** The control part of a raw message: one SP header with one request number. */
struct control {
    struct nn_cmsghdr head;
    size_t n;
    uint8_t id[4];
    uint8_t pad[4];
};

struct caller {
    struct bench_options *options;
    struct bench_meter meter;
    struct nn_pollfd *sockets; /**< [options->connections]; slot i is on socket i % connections */
    uint64_t *started_ns;      /**< [in_flight] */
};

static int die(const char *what)
{
    fprintf(stderr, "peer-nanomsg: %s: %s\n", what, nn_strerror(nn_errno()));
    return 1;
}

static int serve(const struct bench_options *options)
{
    char url[128];
    char host[64];
    uint16_t port = 0;
    int any_size = -1;
    int socket = nn_socket(AF_SP, NN_REP);
    bool ok = bench_split_address(options->target, host, sizeof(host), &port);
    snprintf(url, sizeof(url), "tcp://%s", options->target);
    if (!ok || nn_setsockopt(socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, &any_size, sizeof(int)) < 0 ||
        nn_bind(socket, url) < 0) {
        return die(url);
    }
    printf("serving at port %u\n", port);
    fflush(stdout);
    for (;;) {
        char *request = NULL;
        uint64_t fill = 0;
        int n = nn_recv(socket, (void *)&request, NN_MSG, 0);
        if (n < HEAD_BYTES) {
            return die("recv");
        }
        memcpy(&fill, request, sizeof(fill));
        if (fill > 0 && fill <= BENCH_SIZE_MAX) {
            nn_freemsg(request);
            request = nn_allocmsg(fill, 0);
            memset(request, 0x5a, fill);
        }
        if (nn_send(socket, (void *)&request, NN_MSG, 0) < 0) {
            return die("send");
        }
    }
}

static void start(void *arg, uint32_t slot)
{
    struct caller *caller = arg;
    const struct bench_options *options = caller->options;
    uint64_t fill = options->is_large ? options->size : 0;
    size_t n = HEAD_BYTES + (options->is_large ? 0 : options->size);
    uint8_t *message = nn_allocmsg(n, 0);
    memset(message, 0, n);
    memcpy(message, &fill, sizeof(fill));
    struct control control = {
        .head = {.cmsg_len = NN_CMSG_SPACE(sizeof(size_t) + 4),
                 .cmsg_level = PROTO_SP,
                 .cmsg_type = SP_HDR},
        .n = 4,
        .id = {(uint8_t)(ID_IS_LAST | slot >> 24), (uint8_t)(slot >> 16), (uint8_t)(slot >> 8),
               (uint8_t)slot},
    };
    struct nn_iovec iov = {.iov_base = (void *)&message, .iov_len = NN_MSG};
    struct nn_msghdr msg = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    caller->started_ns[slot] = bench_now_ns();
    if (nn_sendmsg(caller->sockets[slot % options->connections].fd, &msg, 0) < 0) {
        exit(die("sendmsg"));
    }
}

/** One reply. False: there is none (`flags` say whether to wait for it). */
static bool receive(struct caller *caller, int socket, int flags)
{
    uint8_t *message = NULL;
    struct control control;
    struct nn_iovec iov = {.iov_base = (void *)&message, .iov_len = NN_MSG};
    struct nn_msghdr msg = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    int n = nn_recvmsg(socket, &msg, flags);
    if (n < 0 && flags != 0 && nn_errno() == EAGAIN) {
        return false;
    }
    if (n < 0) {
        exit(die("no reply came"));
    }
    uint32_t slot = (uint32_t)(control.id[0] & ~ID_IS_LAST) << 24 | (uint32_t)control.id[1] << 16 |
                    (uint32_t)control.id[2] << 8 | control.id[3];
    nn_freemsg(message);
    if (slot >= caller->options->in_flight) {
        exit(die("a reply to nothing"));
    }
    if (bench_call_ok(&caller->meter, caller->started_ns[slot], (uint64_t)n)) {
        start(caller, slot);
    }
    return true;
}

static void drive(void *arg)
{
    struct caller *caller = arg;
    int n = (int)caller->options->connections;
    if (n == 1) {
        receive(caller, caller->sockets[0].fd, 0);
        return;
    }
    if (nn_poll(caller->sockets, n, REPLY_TIMEOUT_MS) <= 0) {
        exit(die("no reply came"));
    }
    for (int i = 0; i < n; i++) {
        if ((caller->sockets[i].revents & NN_POLLIN) != 0) {
            while (receive(caller, caller->sockets[i].fd, NN_DONTWAIT)) {
            }
        }
    }
}

static bool open_socket(struct nn_pollfd *out, const char *url)
{
    int any_size = -1;
    int timeout_ms = REPLY_TIMEOUT_MS;
    *out = (struct nn_pollfd){.fd = nn_socket(AF_SP_RAW, NN_REQ), .events = NN_POLLIN};
    return nn_setsockopt(out->fd, NN_SOL_SOCKET, NN_RCVMAXSIZE, &any_size, sizeof(int)) >= 0 &&
           nn_setsockopt(out->fd, NN_SOL_SOCKET, NN_RCVTIMEO, &timeout_ms, sizeof(int)) >= 0 &&
           nn_connect(out->fd, url) >= 0;
}

static int call(struct bench_options *options)
{
    struct caller caller = {.options = options};
    char url[128];
    snprintf(url, sizeof(url), "tcp://%s", options->target);
    if (options->is_large && options->in_flight > options->connections) {
        options->in_flight = options->connections;
    }
    caller.started_ns = calloc(options->in_flight, sizeof(uint64_t));
    caller.sockets = calloc(options->connections, sizeof(*caller.sockets));
    if (!bench_meter_init(&caller.meter) || caller.started_ns == NULL || caller.sockets == NULL) {
        return 1;
    }
    for (uint32_t i = 0; i < options->connections; i++) {
        if (!open_socket(&caller.sockets[i], url)) {
            return die(url);
        }
    }
    for (uint32_t i = 0; i < options->connections; i++) {
        while (nn_get_statistic(caller.sockets[i].fd, NN_STAT_CURRENT_CONNECTIONS) == 0) {
            struct nn_pollfd pollfd = caller.sockets[i];
            nn_poll(&pollfd, 1, 1);
        }
    }
    bench_measure(options, &caller.meter,
                  &(struct bench_driver){.start = start, .drive = drive, .arg = &caller});
    return bench_report(options, &caller.meter, &(struct bench_report){.carried_by = "nanomsg"});
}

int main(int argc, char **argv)
{
    static const struct bench_program program = {.name = "peer-nanomsg"};
    struct bench_options options;
    int end = bench_parse(argc, argv, &program, &options);
    if (end != 0) {
        return end - 1;
    }
    return bench_is(&options, "serve") ? serve(&options) : call(&options);
}
