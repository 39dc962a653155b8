/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/event.h"
#include "rpc/loop_impl.h"
#include "rpc/status.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/**
 * Driving. One iteration, every step bounded:
 *
 *   1. clock, once; what was started in the iteration before counts from here
 *   2. what other threads submitted
 *   3. descriptors (each time where they are busy, else now and then: LOOK_*)
 *   4. every transport's poll
 *   5. timers
 *   6. deferred work, where applications are called back
 *   7. every transport's flush, so that replies leave now
 *
 * When an iteration finds nothing the driver spins for a while or arms the transports and sleeps.
 */
enum {
    POLL_BUDGET = 256,      /* messages of one transport per iteration */
    TIMER_BUDGET = 256,     /* timers per iteration */
    LOOK_EVERY_N = 64,      /* iterations between looks at idle descriptors: system calls */
    LOOK_EVERY_NS = 100000, /* the same in time */
    FDS_BUSY_NS = 1000000,  /* look each time for so long: something came by one, or will soon */
    SPIN_MAX_NS = 50000,    /* adaptive spinning; a wake-up of an idle core costs 200 us */
    SPIN_STEP_NS = 2000,    /* what one look burns at most: while others run, waiting is free */
    SPIN_WALL = 20,         /* of the patience: no longer awake with nothing to do than this */
    SPIN_SCORE_MAX = 16,
    SPIN_PROBE_EVERY = 16 /* idle times, when spinning did not pay lately */
};

static uint32_t look_at_fds(struct snap_loop *loop, bool must)
{
    if (loop->poller.is_expecting) {
        loop->poller.is_expecting = false;
        loop->fds_busy_until = loop->head.now_ns + FDS_BUSY_NS;
    }
    bool is_busy = loop->head.now_ns < loop->fds_busy_until;
    loop->n_since_look++;
    if (!must && !is_busy && loop->n_since_look < LOOK_EVERY_N &&
        loop->head.now_ns - loop->looked_ns < LOOK_EVERY_NS) {
        return 0;
    }
    loop->n_since_look = 0;
    loop->looked_ns = loop->head.now_ns;
    uint32_t n = 0;
    if (snapi_poller_wait(&loop->poller, 0, &n) != BASE_OK) {
        base_logf(&loop->log, BASE_LOG_ERROR, "loop", "cannot look at descriptors: %s",
                  base_error_last_note());
    }
    if (n > 0) {
        loop->fds_busy_until = loop->head.now_ns + FDS_BUSY_NS;
    }
    return n;
}

static uint32_t run_deferred(struct snap_loop *loop)
{
    if (base_list_is_empty(&loop->deferred)) {
        return 0;
    }
    struct base_list now;
    base_list_init(&now);
    base_list_splice_tail(&now, &loop->deferred);
    uint32_t n = 0;
    struct base_list *link;
    while ((link = base_list_take_first(&now)) != NULL) {
        struct snapi_work *work = base_list_entry(link, struct snapi_work, link);
        work->is_deferred = false;
        work->run(loop, work);
        n++;
    }
    return n;
}

uint32_t snapi_iterate(struct snap_loop *loop, bool looks_at_fds)
{
    (void)snapi_loop_now(loop); /* who has entered to wait may have read it a moment ago */
    const struct snap_loop *outer = snapi_iterated; /* a callback of one loop may drive another */
    snapi_iterated = loop;
    loop->head.is_iterating = true;
    base_wheel_add_held(&loop->wheel, &loop->head.starting, loop->head.now_ns);
    uint32_t n = snapi_loop_run_submitted(loop);
    n += look_at_fds(loop, looks_at_fds);
    for (uint32_t i = 0; i < SNAPI_TRANSPORTS_MAX; i++) {
        if (loop->transports[i] != NULL) {
            n +=
                loop->transports[i]->ops->poll(loop->transports[i], loop->head.now_ns, POLL_BUDGET);
        }
    }
    n += base_wheel_run(&loop->wheel, loop->head.now_ns, TIMER_BUDGET);
    n += run_deferred(loop);
    loop->head.is_iterating = false;
    snapi_iterated = outer;
    for (uint32_t i = 0; n > 0 && i < SNAPI_TRANSPORTS_MAX; i++) {
        if (loop->transports[i] != NULL) {
            loop->transports[i]->ops->flush(loop->transports[i]);
        }
    }
    return n;
}

/* How long to spin in the idle time that begins now. */
static uint64_t spin_ns(struct snapi_spin *spin)
{
    if (spin->limit_us != SNAP_SPIN_DEFAULT) {
        return spin->limit_us == SNAP_SPIN_ALWAYS ? UINT64_MAX
                                                  : (uint64_t)spin->limit_us * BASE_NS_PER_US;
    }
    spin->n_idles++;
    bool is_worth_it = spin->score > 0 || spin->n_idles % SPIN_PROBE_EVERY == 0;
    return is_worth_it ? SPIN_MAX_NS : 0;
}

static void spin_paid(struct snapi_spin *spin)
{
    if (spin->idle_since_ns != 0 && spin->score < SPIN_SCORE_MAX) {
        spin->score++;
    }
    spin->idle_since_ns = 0;
}

static void spin_failed(struct snapi_spin *spin)
{
    if (spin->patience_ns > 0 && spin->score > 0) {
        spin->score--;
    }
    spin->idle_since_ns = 0;
}

static void set_waiting(struct snap_loop *loop, bool is_waiting)
{
    for (uint32_t i = 0; i < SNAPI_TRANSPORTS_MAX; i++) {
        if (loop->transports[i] != NULL) {
            loop->transports[i]->ops->set_waiting(loop->transports[i], is_waiting);
        }
    }
}

/* True: look again at once. The core goes to others between looks, and what they do there is not
 * our waste: a switch there and back costs less than to sleep and to be woken. */
static bool spin(struct snap_loop *loop)
{
    struct snapi_spin *s = &loop->spin;
    if (s->idle_since_ns == 0) {
        s->idle_since_ns = loop->head.now_ns;
        s->looked_ns = loop->head.now_ns;
        s->burnt_ns = 0;
        s->patience_ns = spin_ns(s);
    }
    s->burnt_ns += base_min_u64(loop->head.now_ns - s->looked_ns, SPIN_STEP_NS);
    s->looked_ns = loop->head.now_ns;
    if (s->burnt_ns >= s->patience_ns ||
        (loop->head.now_ns - s->idle_since_ns) / SPIN_WALL >= s->patience_ns) {
        spin_failed(s);
        return false;
    }
    set_waiting(loop, true);
    (void)sched_yield();
    set_waiting(loop, false);
    return true;
}

/* Whether all transports will wake the sleeper; no if work came meanwhile. */
static bool arm_transports(struct snap_loop *loop)
{
    for (uint32_t i = 0; i < SNAPI_TRANSPORTS_MAX; i++) {
        if (loop->transports[i] != NULL && !loop->transports[i]->ops->arm(loop->transports[i])) {
            return false;
        }
    }
    return true;
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / BASE_NS_PER_S),
                             .tv_nsec = (long)(ns % BASE_NS_PER_S)};
}

/* Sleeps until a descriptor is ready or `until_ns`. While it sleeps the loop has no owner, so what
 * is ready is only looked at afterwards: another thread may have closed it by then. */
static void sleep_as_driver(struct snap_loop *loop, uint64_t until_ns)
{
    uint64_t now_ns = base_clock_now_ns();
    if (until_ns <= now_ns || !arm_transports(loop) || !base_mpsc_is_empty(&loop->submissions)) {
        return;
    }
    loop->sleep_until_ns = until_ns;
    loop->is_woken = false;
    loop->is_asleep = true;
    if (snapi_owner_unlock(loop)) {
        struct pollfd fd = {.fd = loop->poller.epoll_fd, .events = POLLIN};
        struct timespec timeout = timespec_of(until_ns - now_ns);
        (void)ppoll(&fd, 1, until_ns == UINT64_MAX ? NULL : &timeout, NULL);
    }
    snapi_owner_lock(loop);
    loop->is_asleep = false;
}

static bool is_set(const _Atomic uint32_t *flag)
{
    return atomic_load_explicit(flag, memory_order_seq_cst) != 0;
}

static bool is_over(struct snap_loop *loop, const struct snapi_drive *drive)
{
    if (drive->waiter != NULL && loop->is_waiter_done) {
        return true;
    }
    if (drive->until != NULL && is_set(drive->until)) {
        return true;
    }
    if (is_set(&loop->stop) || is_set(&loop->quit)) {
        snapi_poke_runs(loop); /* one of them is meant */
    }
    if (drive->until_work && drive->n_done > 0) {
        return true;
    }
    return loop->head.now_ns >= drive->deadline_ns;
}

void snapi_drive(struct snap_loop *loop, struct snapi_drive *drive)
{
    loop->is_asleep = false;                /* of the application's own loop, if it has one */
    loop->spin.idle_since_ns = 0;           /* the time between two drives was not ours */
    bool must_look = drive->waiter == NULL; /* a call says what it waits for */
    for (;;) {
        uint32_t n = snapi_iterate(loop, must_look);
        drive->n_done += n;
        must_look = false;
        if (n > 0) {
            spin_paid(&loop->spin);
        }
        bool has_started = !base_list_is_empty(&loop->head.starting);
        if (is_over(loop, drive)) {
            if (has_started) {
                (void)snapi_loop_read_clock(loop);
                base_wheel_add_held(&loop->wheel, &loop->head.starting, loop->head.now_ns);
            }
            return;
        }
        if (n == 0 && !has_started && !spin(loop)) {
            sleep_as_driver(loop, base_min_u64(drive->deadline_ns, snapi_owner_next_due_ns(loop)));
            must_look = true;
        }
        loop->head.now_ns = 0;
    }
}

static void set_timerfd(struct snap_loop *loop, uint64_t when_ns)
{
    if (loop->timerfd_ns == when_ns) {
        return;
    }
    loop->timerfd_ns = when_ns;
    struct itimerspec spec = {0};
    if (when_ns != UINT64_MAX) {
        spec.it_value = timespec_of(base_max_u64(when_ns, 1));
    }
    (void)timerfd_settime(loop->timer_source.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void snapi_drive_arm_fd(struct snap_loop *loop)
{
    if (!loop->has_fd) {
        return;
    }
    uint64_t due_ns = snapi_owner_next_due_ns(loop);
    loop->is_woken = false;
    loop->is_asleep = true;
    loop->sleep_until_ns = due_ns;
    if (due_ns <= base_clock_now_ns() || !arm_transports(loop) ||
        !base_mpsc_is_empty(&loop->submissions)) {
        loop->is_woken = true;
        base_eventfd_signal(loop->wake_fd);
        return;
    }
    set_timerfd(loop, due_ns);
}

static void on_timerfd(struct snapi_source *source, uint32_t events)
{
    (void)events;
    struct snap_loop *loop = base_container_of(source, struct snap_loop, timer_source);
    uint64_t n_expired;
    (void)!read(source->fd, &n_expired, sizeof(n_expired));
    loop->timerfd_ns = UINT64_MAX;
}

static void open_fd(struct snap_loop *loop, void *arg)
{
    (void)arg;
    if (loop->has_fd) {
        return;
    }
    loop->timer_source.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->timer_source.on_ready = on_timerfd;
    if (loop->timer_source.fd < 0 ||
        snapi_poller_add(&loop->poller, &loop->timer_source, EPOLLIN) != BASE_OK) {
        base_logf(&loop->log, BASE_LOG_ERROR, "loop", "cannot make a timer descriptor: %m");
        return;
    }
    loop->has_fd = true;
    base_eventfd_signal(loop->wake_fd); /* the first poll arms */
}

int snap_loop_fd(struct snap_loop *loop)
{
    if (snapi_loop_is_forked(loop)) {
        return -1;
    }
    snapi_loop_exec(loop, open_fd, NULL);
    return loop->poller.epoll_fd;
}

/* Waits for the present driver to end, until the deadline. True: the role is ours. */
static bool take_role_over(struct snap_loop *loop, const _Atomic uint32_t *until,
                           uint64_t deadline_ns)
{
    struct snapi_waiter waiter;
    snapi_waiter_init(&waiter);
    waiter.until = until;
    return snapi_follow(loop, &waiter, deadline_ns) == BASE_AGAIN;
}

static void stop_driving(struct snap_loop *loop)
{
    snapi_drive_arm_fd(loop);
    snapi_loop_leave(loop);
    snapi_role_drop(loop);
}

int snap_loop_poll(struct snap_loop *loop, int timeout_ms)
{
    if (snapi_loop_is_forked(loop) || snapi_loop_in_callback(loop)) {
        return 0;
    }
    uint64_t deadline_ns = timeout_ms < 0 ? UINT64_MAX : 0;
    uint64_t timeout_ns = timeout_ms < 0 ? 0 : (uint64_t)timeout_ms * BASE_NS_PER_MS;
    if (!snapi_role_take(loop)) {
        deadline_ns = timeout_ms > 0 ? base_clock_now_ns() + timeout_ns : deadline_ns;
        if (timeout_ms == 0 || !take_role_over(loop, NULL, deadline_ns)) {
            return 0;
        }
    }
    snapi_owner_lock(loop);
    if (timeout_ms > 0 && deadline_ns == 0) {
        deadline_ns = snapi_loop_now(loop) + timeout_ns; /* the first iteration's clock, too */
    }
    struct snapi_drive drive = {.deadline_ns = deadline_ns, .until_work = true};
    snapi_drive(loop, &drive);
    stop_driving(loop);
    return drive.n_done > INT32_MAX ? INT32_MAX : (int)drive.n_done;
}

static void run_until(struct snap_loop *loop, const _Atomic uint32_t *flag)
{
    while (!is_set(flag)) {
        if (!snapi_role_take(loop) && !take_role_over(loop, flag, UINT64_MAX)) {
            continue;
        }
        snapi_owner_lock(loop);
        struct snapi_drive drive = {.deadline_ns = UINT64_MAX, .until = flag};
        snapi_drive(loop, &drive);
        stop_driving(loop);
    }
}

void snap_loop_run(struct snap_loop *loop)
{
    if (snapi_loop_is_forked(loop) || snapi_loop_in_callback(loop)) {
        return;
    }
    run_until(loop, &loop->stop);
    atomic_store_explicit(&loop->stop, 0, memory_order_seq_cst);
}

void snap_loop_stop(struct snap_loop *loop)
{
    if (snapi_loop_is_forked(loop)) {
        return;
    }
    atomic_store_explicit(&loop->stop, 1, memory_order_seq_cst);
    base_eventfd_signal(loop->wake_fd);
}

static void *thread_main(void *arg)
{
    struct snap_loop *loop = arg;
    run_until(loop, &loop->quit);
    return NULL;
}

struct snap_status snap_loop_start_thread(struct snap_loop *loop)
{
    struct snap_status status = snapi_loop_check(loop);
    if (!snap_ok(&status)) {
        return status;
    }
    if (loop->has_thread) {
        return snap_status_make(SNAP_FAILED_PRECONDITION, "this loop has its thread already");
    }
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&loop->thread, NULL, thread_main, loop);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        errno = err;
        return snap_status_make(SNAP_RESOURCE_EXHAUSTED, "cannot start a thread: %m");
    }
    loop->has_thread = true;
    return snapi_status_ok;
}
