/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/runtime.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "snapd/engine/proxy.h"
#include "transport/pony/abi/ring.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    EVENTS_PER_SLEEP = 32,
    TIMER_SLACK_NS = 1000,
    LAST_WORDS_BATCHES = 64 /* packets to peers at the end, in batches */
};

/* A look is a system call, and a round without one takes half as long. */
static bool may_skip_device(const struct snapd_engine *e)
{
    return !pony_engine_has_flows(e->pony) && e->now_ns - e->looked_ns < SNAPD_STRANGERS_NS;
}

static uint32_t packets_in(struct snapd_engine *e)
{
    if (may_skip_device(e)) {
        return 0;
    }
    e->looked_ns = e->now_ns;
    uint32_t n = e->dev->ops->receive(e->dev, e->rx, SNAPD_ROUND_RX, e->now_ns);
    if (BASE_UNLIKELY(e->tap != NULL)) {
        snapd_tap_in(e->tap, e->rx, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        pony_engine_on_packet(e->pony, &e->rx[i], e->now_ns);
    }
    e->meters.rx_budget_used_up += n == SNAPD_ROUND_RX;
    struct pony_addr to;
    while (e->dev->ops->next_unreachable(e->dev, &to)) {
        pony_engine_on_unreachable(e->pony, &to, e->now_ns);
        n++;
    }
    uint32_t bytes;
    while (e->dev->ops->next_too_long(e->dev, &to, &bytes)) {
        pony_engine_on_too_long(e->pony, &to, bytes, e->now_ns);
        n++;
    }
    return n;
}

/* At most one batch; what it returns is less than the room when the engine has no more. */
static uint32_t send_batch(struct snapd_engine *e, uint32_t room)
{
    uint32_t n = 0;
    while (n < room && pony_engine_next_packet(e->pony, e->now_ns, &e->tx[n])) {
        n++;
    }
    if (n > 0) {
        if (BASE_UNLIKELY(e->tap != NULL)) {
            snapd_tap_out(e->tap, e->tx, n, e->now_ns);
        }
        e->dev->ops->send(e->dev, e->tx, n, e->now_ns);
    }
    return n;
}

static uint32_t packets_out(struct snapd_engine *e)
{
    uint32_t all = 0;
    pony_engine_on_time(e->pony, e->now_ns);
    for (uint32_t i = 0; i < SNAPD_ROUND_TX_BATCHES; i++) {
        uint32_t room = e->dev->ops->room(e->dev, e->now_ns);
        room = base_min_u32(room, PONY_TX_BATCH_MAX);
        uint32_t n = room > 0 ? send_batch(e, room) : 0;
        all += n;
        if (n < room || room == 0) {
            return all;
        }
    }
    e->meters.tx_budget_used_up++;
    return all;
}

static uint32_t commands_in(struct snapd_engine *e)
{
    uint32_t n = pony_engine_poll_apps(e->pony, e->now_ns, SNAPD_ROUND_CMDS);
    e->meters.cmd_budget_used_up += n == SNAPD_ROUND_CMDS;
    return n;
}

/* What applications want sent does not wait for the look at the device. */
bool snapd_engine_round(struct snapd_engine *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    uint32_t work = snapd_mailbox_poll(&e->mailbox) ? 1 : 0;
    uint32_t n_commands = commands_in(e);
    uint32_t n_out = n_commands > 0 ? packets_out(e) : 0;
    uint32_t n_in = packets_in(e);
    if (n_in > 0 || n_commands == 0) {
        n_out += packets_out(e);
    }
    work += n_commands + n_in;
    bool has_news = pony_engine_publish(e->pony);
    e->has_handed_over = has_news && snapd_idle_hands_over(n_in, n_commands, n_out);
    work += n_out;
    e->meters.rounds++;
    e->meters.work_rounds += work > 0;
    return work > 0;
}

static void watch_write(struct snapd_engine *e, bool is_wanted)
{
    int fd = e->dev->ops->fd(e->dev);
    if (fd < 0 || is_wanted == e->is_watching_write) {
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | (is_wanted ? (uint32_t)EPOLLOUT : 0u),
                                .data.fd = fd};
    if (epoll_ctl(e->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0) {
        e->is_watching_write = is_wanted;
    }
}

static void wait_for_events(struct snapd_engine *e)
{
    struct epoll_event events[EVENTS_PER_SLEEP];
    uint64_t deadline_ns =
        base_min_u64(pony_engine_next_deadline_ns(e->pony), e->dev->ops->next_deadline_ns(e->dev));
    uint64_t now_ns = base_clock_now_ns();
    if (!snapd_place_weigh_session(&e->place)) {
        deadline_ns = base_min_u64(deadline_ns, now_ns + SNAPD_PLACE_RETRY_NS);
    }
    uint64_t left_ns = base_sub_sat_u64(deadline_ns, now_ns);
    struct timespec ts = {
        .tv_sec = (time_t)(left_ns / BASE_NS_PER_S),
        .tv_nsec = (long)(left_ns % BASE_NS_PER_S),
    };
    int n = epoll_pwait2(e->epoll_fd, events, EVENTS_PER_SLEEP,
                         deadline_ns == UINT64_MAX ? NULL : &ts, NULL);
    e->meters.sleeps++;
    for (int i = 0; i < n; i++) {
        /* Doorbells are edge-triggered and never read: applications hold them too, and could make
         * a read block. */
        if (events[i].data.fd == e->waker->fd) {
            (void)base_eventfd_drain(e->waker->fd);
        }
    }
}

/* Says to everyone who may bring work that they must ring; sleeps unless some came meanwhile. */
static void sleep_once(struct snapd_engine *e)
{
    bool wants_write = false;
    snapd_waker_set_asleep(e->waker, true);
    bool has_work = e->dev->ops->set_asleep(e->dev, true, &wants_write);
    has_work = pony_engine_set_asleep(e->pony, true) || has_work;
    has_work = snapd_mailbox_has_work(&e->mailbox) || has_work;
    watch_write(e, wants_write);
    if (!has_work) {
        wait_for_events(e);
    }
    (void)pony_engine_set_asleep(e->pony, false);
    (void)e->dev->ops->set_asleep(e->dev, false, &wants_write);
    snapd_waker_set_asleep(e->waker, false);
}

static void last_words(struct snapd_engine *e)
{
    pony_engine_shutdown(e->pony, e->now_ns);
    for (uint32_t i = 0; i < LAST_WORDS_BATCHES; i++) {
        uint32_t room = e->dev->ops->room(e->dev, e->now_ns);
        if (room == 0 || send_batch(e, base_min_u32(room, PONY_TX_BATCH_MAX)) == 0) {
            break;
        }
    }
    (void)pony_engine_publish(e->pony);
}

static void set_weight(struct snapd_engine *e)
{
    snapd_place_set_heavy(&e->place, e->weight.is_heavy);
    e->meters.priority = e->place.is_heavy ? e->place.priority : 0;
}

static void place(struct snapd_engine *e, uint64_t now_ns)
{
    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    if (e->config.has_cpu) {
        snapd_place_on(e->config.cpu);
    }
    snapd_place_init(&e->place, e->config.priority, e->config.session);
    struct snapd_waits waits;
    (void)snapd_place_waits(&e->place, &waits);
    snapd_weight_init(&e->weight, &waits, now_ns);
    set_weight(e);
    (void)snapd_place_weigh_session(&e->place);
}

static void end_window(struct snapd_engine *e, uint64_t now_ns)
{
    struct snapd_waits waits;
    if (!snapd_place_waits(&e->place, &waits)) {
        e->meters.priority = 0;
    } else if (snapd_weight_end_window(&e->weight, &waits, now_ns)) {
        e->meters.lightened += !e->weight.is_heavy;
        set_weight(e);
    }
    (void)snapd_place_weigh_session(&e->place);
}

/* The application that we wait for, or that waits for what we have just brought, may need this very
 * core. */
static uint64_t yield(struct snapd_engine *e)
{
    (void)sched_yield();
    uint64_t back_ns = base_clock_now_ns();
    e->idle.yielded_ns = back_ns;
    if (e->place.priority > 0 && snapd_weight_yielded(&e->weight, back_ns)) {
        end_window(e, back_ns);
    }
    return back_ns;
}

/* Nobody here has anything to do but to wait for us. */
static bool keeps_core(const struct snapd_engine *e, uint64_t now_ns)
{
    return snapd_idle_may_keep(&e->idle, now_ns) &&
           pony_engine_is_waited_for(e->pony, shm_processor());
}

static void *run(void *arg)
{
    struct snapd_engine *e = arg;
    uint64_t now_ns = base_clock_now_ns();
    place(e, now_ns);
    snapd_idle_init(&e->idle, e->config.idle_policy, e->config.spin_ns, now_ns);
    while (!e->is_stopping) {
        bool had_work = snapd_engine_round(e, now_ns);
        uint64_t end_ns = base_clock_now_ns();
        uint64_t took_ns = end_ns - now_ns;
        e->meters.gap_max_ns = base_max_u64(e->meters.gap_max_ns, took_ns);
        e->meters.busy_ns += had_work ? took_ns : 0;
        now_ns = end_ns;
        if (snapd_idle_after_round(&e->idle, had_work, now_ns)) {
            sleep_once(e);
            now_ns = base_clock_now_ns();
            snapd_idle_slept(&e->idle, now_ns);
        } else if (had_work ? e->has_handed_over : !keeps_core(e, now_ns)) {
            now_ns = yield(e);
        }
    }
    e->now_ns = now_ns;
    last_words(e);
    snapd_place_fini(&e->place);
    return NULL;
}

static enum base_err watch(struct snapd_engine *e, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= 0 && epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        base_error_note("engine %u: epoll: %m", e->config.idx);
        return BASE_E_IO;
    }
    return BASE_OK;
}

enum base_err snapd_engine_create(const struct snapd_engine_config *config,
                                  struct snapd_waker *waker, struct snapd_engine **engine)
{
    if (config->has_cpu) {
        BASE_TRY(snapd_place_check(config->cpu));
    }
    struct snapd_engine *e = calloc(1, sizeof(*e));
    BASE_ENSURE(e != NULL, BASE_E_NOMEM);
    e->config = *config;
    e->waker = waker;
    e->dev = config->dev;
    snapd_mailbox_init(&e->mailbox);
    enum base_err err = BASE_E_IO;
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->epoll_fd < 0) {
        base_error_note("engine %u: epoll: %m", config->idx);
        goto undo;
    }
    err = watch(e, waker->fd);
    if (err == BASE_OK) {
        err = watch(e, e->dev->ops->fd(e->dev));
    }
    if (err == BASE_OK) {
        err = pony_engine_create(&config->pony, base_clock_now_ns(), &e->pony);
    }
    if (err != BASE_OK) {
        goto undo;
    }
    *engine = e;
    return BASE_OK;

undo:
    base_fd_close(&e->epoll_fd);
    free(e);
    return err;
}

enum base_err snapd_engine_start(struct snapd_engine *engine)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    /* Signals are for the control thread. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = pthread_create(&engine->thread, NULL, run, engine);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e != 0) {
        errno = e;
        base_error_note("engine %u: thread: %m", engine->config.idx);
        return base_err_from_errno(e);
    }
    char name[16];
    (void)snprintf(name, sizeof(name), "engine%u", engine->config.idx);
    (void)pthread_setname_np(engine->thread, name);
    engine->is_started = true;
    return BASE_OK;
}

struct stop_work {
    struct snapd_work work;
    struct snapd_engine *engine;
};

static void do_stop(struct snapd_work *work)
{
    struct stop_work *stop = base_container_of(work, struct stop_work, work);
    stop->engine->is_stopping = true;
}

void snapd_engine_stop(struct snapd_engine *engine)
{
    if (!engine->is_started) {
        return;
    }
    struct stop_work stop = {.work.run = do_stop, .engine = engine};
    snapd_proxy_run(engine, &stop.work);
    (void)pthread_join(engine->thread, NULL);
    engine->is_started = false;
}

void snapd_engine_destroy(struct snapd_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    snapd_engine_stop(engine);
    pony_engine_destroy(engine->pony);
    engine->dev->ops->destroy(engine->dev);
    base_fd_close(&engine->epoll_fd);
    free(engine);
}
