/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/report.h"
#include "benchmarks/peers/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/** One connection. Replies come in the order of the requests. */
struct line {
    int fd;
    struct tcp_out out;
    size_t head_got, body_left; /**< of the reply that is coming in */
    struct peer_head head;
    uint64_t *started_ns; /**< [in_flight] ring of the calls that wait */
    uint32_t first, n;
    bool wants_room;
};

struct caller {
    struct bench_options *options;
    struct bench_meter meter;
    struct line *lines; /**< [options->connections] */
    uint8_t *payload;
    uint8_t *in; /**< [TCP_BUFFER] */
    uint32_t next;
    int epoll;
};

static void start_on(struct caller *caller, struct line *line)
{
    const struct bench_options *options = caller->options;
    bool is_large = options->is_large;
    struct peer_head head = {.bytes = is_large ? 0 : (uint32_t)options->size,
                             .fill = is_large ? (uint32_t)options->size : 0};
    if (!tcp_out_add(&line->out, &head, sizeof(head)) ||
        !tcp_out_add(&line->out, caller->payload, head.bytes)) {
        abort();
    }
    line->started_ns[(line->first + line->n++) % options->in_flight] = bench_now_ns();
}

static void send_out(struct caller *caller, struct line *line)
{
    if (!tcp_out_flush(&line->out, line->fd)) {
        exit(peer_die("send"));
    }
    if ((line->out.n > 0) != line->wants_room) {
        line->wants_room = !line->wants_room;
        struct epoll_event event = {.events = EPOLLIN | (line->wants_room ? (uint32_t)EPOLLOUT : 0),
                                    .data.ptr = line};
        epoll_ctl(caller->epoll, EPOLL_CTL_MOD, line->fd, &event);
    }
}

static void start(void *arg, uint32_t slot)
{
    struct caller *caller = arg;
    struct line *line = &caller->lines[caller->next++ % caller->options->connections];
    start_on(caller, line);
    /* The first window goes out together, as later ones do. */
    if (slot + 1 == caller->options->in_flight) {
        for (uint32_t i = 0; i < caller->options->connections; i++) {
            send_out(caller, &caller->lines[i]);
        }
    }
}

static void end_call(struct caller *caller, struct line *line)
{
    uint64_t started_ns = line->started_ns[line->first];
    line->first = (line->first + 1) % caller->options->in_flight;
    line->n--;
    line->head_got = 0;
    if (bench_call_ok(&caller->meter, started_ns, line->head.bytes)) {
        start_on(caller, line);
    }
}

/** Takes `n` bytes of replies apart. */
static void take(struct caller *caller, struct line *line, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        size_t want = sizeof(line->head) - line->head_got;
        if (want > 0) {
            want = want < n ? want : n;
            memcpy((uint8_t *)&line->head + line->head_got, bytes, want);
            line->head_got += want;
            line->body_left = line->head.bytes;
        } else {
            want = line->body_left < n ? line->body_left : n;
            line->body_left -= want;
        }
        bytes += want;
        n -= want;
        if (line->head_got == sizeof(line->head) && line->body_left == 0) {
            end_call(caller, line);
        }
    }
}

static void drive(void *arg)
{
    struct caller *caller = arg;
    struct epoll_event events[TCP_EVENTS];
    int n = tcp_wait(caller->epoll, events, caller->options->spin_us);
    for (int i = 0; i < n; i++) {
        struct line *line = events[i].data.ptr;
        ssize_t got = recv(line->fd, caller->in, TCP_BUFFER, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            exit(peer_die("recv"));
        }
        take(caller, line, caller->in, got > 0 ? (size_t)got : 0);
        send_out(caller, line);
    }
}

static bool open_lines(struct caller *caller)
{
    struct sockaddr_in address;
    int one = 1;
    if (!peer_address(caller->options, &address)) {
        return false;
    }
    for (uint32_t i = 0; i < caller->options->connections; i++) {
        struct line *line = &caller->lines[i];
        line->started_ns = calloc(caller->options->in_flight, sizeof(uint64_t));
        line->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};
        if (line->started_ns == NULL || line->fd < 0 ||
            connect(line->fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
            fcntl(line->fd, F_SETFL, O_NONBLOCK) != 0 ||
            setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
            epoll_ctl(caller->epoll, EPOLL_CTL_ADD, line->fd, &event) != 0) {
            return peer_die("connect") == 0;
        }
    }
    return true;
}

int tcp_call(struct bench_options *options)
{
    struct caller caller = {.options = options};
    caller.lines = calloc(options->connections, sizeof(*caller.lines));
    caller.payload = calloc(options->size + 1, 1);
    caller.in = malloc(TCP_BUFFER);
    caller.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!bench_meter_init(&caller.meter) || caller.lines == NULL || caller.payload == NULL ||
        caller.in == NULL || caller.epoll < 0 || !open_lines(&caller)) {
        return 1;
    }
    bench_measure(options, &caller.meter,
                  &(struct bench_driver){.start = start, .drive = drive, .arg = &caller});
    /* The process ends here: what it holds goes with it. */
    return bench_report(options, &caller.meter, &(struct bench_report){.carried_by = "bare tcp"});
}
