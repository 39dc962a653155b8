/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/poller_run.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* Events fetched and not all given out. On the stack of snapi_poller_wait(), so that a wait from
 * within an on_ready has its own and snapi_poller_del() finds them all. */
struct snapi_poller_round {
    struct snapi_poller_round *outer;
    uint32_t n;
    uint32_t next;
    struct epoll_event events[SNAPI_POLLER_ROUND_MAX];
};

enum base_err snapi_poller_init(struct snapi_poller *poller)
{
    *poller = (struct snapi_poller){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    if (poller->epoll_fd < 0) {
        base_error_note("cannot make an epoll set: %m");
        return base_err_from_errno(errno);
    }
    return BASE_OK;
}

void snapi_poller_fini(struct snapi_poller *poller)
{
    if (poller->epoll_fd >= 0) {
        (void)close(poller->epoll_fd);
        poller->epoll_fd = -1;
    }
}

static enum base_err control(struct snapi_poller *poller, int op, struct snapi_source *source,
                             uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(poller->epoll_fd, op, source->fd, &event) != 0) {
        base_error_note("cannot watch descriptor %d: %m", source->fd);
        return base_err_from_errno(errno);
    }
    source->events = events;
    return BASE_OK;
}

enum base_err snapi_poller_add(struct snapi_poller *poller, struct snapi_source *source,
                               uint32_t events)
{
    return control(poller, EPOLL_CTL_ADD, source, events);
}

enum base_err snapi_poller_change(struct snapi_poller *poller, struct snapi_source *source,
                                  uint32_t events)
{
    if (source->events == events) {
        return BASE_OK;
    }
    return control(poller, EPOLL_CTL_MOD, source, events);
}

void snapi_poller_expect(struct snapi_poller *poller)
{
    poller->is_expecting = true;
}

void snapi_poller_del(struct snapi_poller *poller, struct snapi_source *source)
{
    if (source->events == 0) {
        return;
    }
    source->events = 0;
    (void)epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    for (struct snapi_poller_round *r = poller->round; r != NULL; r = r->outer) {
        for (uint32_t i = r->next; i < r->n; i++) {
            if (r->events[i].data.ptr == source) {
                r->events[i].data.ptr = NULL;
            }
        }
    }
}

/* Nanosecond timeouts; kernels before 5.11 have only milliseconds, rounded up so as not to spin. */
static int wait_events(int epoll_fd, struct epoll_event *events, uint64_t timeout_ns)
{
    if (timeout_ns == 0 || timeout_ns == SNAPI_POLLER_FOREVER) {
        return epoll_wait(epoll_fd, events, SNAPI_POLLER_ROUND_MAX, timeout_ns == 0 ? 0 : -1);
    }
    struct timespec ts = {.tv_sec = (time_t)(timeout_ns / BASE_NS_PER_S),
                          .tv_nsec = (long)(timeout_ns % BASE_NS_PER_S)};
    int n = epoll_pwait2(epoll_fd, events, SNAPI_POLLER_ROUND_MAX, &ts, NULL);
    if (n < 0 && errno == ENOSYS) {
        uint64_t ms = timeout_ns / BASE_NS_PER_MS + 1;
        n = epoll_wait(epoll_fd, events, SNAPI_POLLER_ROUND_MAX, ms > INT32_MAX ? -1 : (int)ms);
    }
    return n;
}

enum base_err snapi_poller_wait(struct snapi_poller *poller, uint64_t timeout_ns, uint32_t *n_ready)
{
    *n_ready = 0;
    struct snapi_poller_round round;
    int n = wait_events(poller->epoll_fd, round.events, timeout_ns);
    if (n < 0) {
        if (errno == EINTR) {
            return BASE_OK;
        }
        base_error_note("cannot wait for events: %m");
        return BASE_E_IO;
    }
    round.n = (uint32_t)n;
    round.next = 0;
    round.outer = poller->round;
    poller->round = &round;
    while (round.next < round.n) {
        struct epoll_event *event = &round.events[round.next++];
        struct snapi_source *source = event->data.ptr;
        if (source != NULL) {
            (*n_ready)++;
            source->on_ready(source, event->events);
        }
    }
    poller->round = round.outer;
    return BASE_OK;
}
