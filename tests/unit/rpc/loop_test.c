/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/loop.h"

#include "base/clock.h"
#include "rpc/loop_impl.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/fake_transport.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct snap_loop *loop;

static int setup(void **state)
{
    (void)state;
    unsetenv("SNAP_TRANSPORT");
    fake_reset();
    struct snap_status status = snapi_loop_create(NULL, fake_transports, &loop);
    return snap_ok(&status) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    snap_loop_destroy(loop);
    loop = NULL;
    return 0;
}

/* ---- creating ---- */

static void options_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    struct snap_loop *l;
    options.transport = 3;
    assert_int_equal(snapi_loop_create(&options, fake_transports, &l).code, SNAP_INVALID_ARGUMENT);
    assert_null(l);
    options.transport = SNAP_TRANSPORT_TCP;
    options.log_level = SNAP_LOG_DEBUG + 1;
    assert_int_equal(snapi_loop_create(&options, fake_transports, &l).code, SNAP_INVALID_ARGUMENT);
    options.log_level = SNAP_LOG_DEBUG;
    options.max_message_bytes = (size_t)1 << 30;
    assert_int_equal(snapi_loop_create(&options, fake_transports, &l).code, SNAP_OK);
    snap_loop_destroy(l);
    options.max_message_bytes++;
    assert_int_equal(snapi_loop_create(&options, fake_transports, &l).code, SNAP_INVALID_ARGUMENT);
    options = (struct snap_loop_options){0};
    assert_int_equal(snapi_loop_create(&options, fake_transports, &l).code, SNAP_INVALID_ARGUMENT);
}

static void the_environment_chooses_the_transport(void **state)
{
    (void)state;

    const struct {
        const char *env;
        enum snap_code code;
        enum snap_transport choice;
    } cases[] = {{"auto", SNAP_OK, SNAP_TRANSPORT_AUTO},
                 {"pony", SNAP_OK, SNAP_TRANSPORT_PONY},
                 {"tcp", SNAP_OK, SNAP_TRANSPORT_TCP},
                 {"", SNAP_OK, SNAP_TRANSPORT_TCP},
                 {"udp", SNAP_INVALID_ARGUMENT, SNAP_TRANSPORT_AUTO}};
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.transport = SNAP_TRANSPORT_TCP;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setenv("SNAP_TRANSPORT", cases[i].env, 1);
        struct snap_loop *l;
        struct snap_status status = snapi_loop_create(&options, fake_transports, &l);
        assert_int_equal(status.code, cases[i].code);
        if (snap_ok(&status)) {
            assert_int_equal(snapi_loop_choice(l), cases[i].choice);
        } else {
            assert_non_null(strstr(status.message, "SNAP_TRANSPORT=udp"));
        }
        snap_loop_destroy(l);
    }
    unsetenv("SNAP_TRANSPORT");
}

static void transports_are_made_when_asked_for(void **state)
{
    (void)state;
    struct snapi_transport *tcp = snapi_loop_transport(loop, SNAP_TRANSPORT_TCP);
    assert_non_null(tcp);
    assert_string_equal(tcp->ops->name, "tcp");
    assert_ptr_equal(snapi_loop_transport(loop, SNAP_TRANSPORT_TCP), tcp);
    assert_ptr_not_equal(snapi_loop_transport(loop, SNAP_TRANSPORT_PONY), tcp);
    assert_null(snapi_loop_transport(loop, SNAP_TRANSPORT_AUTO));
}

static void a_build_without_a_transport_says_so(void **state)
{
    (void)state;
    struct snap_loop *l;
    assert_int_equal(snapi_loop_create(NULL, fake_transports_tcp, &l).code, SNAP_OK);
    assert_null(snapi_loop_transport(l, SNAP_TRANSPORT_PONY));
    assert_non_null(strstr(base_error_last_note(), "pony"));
    snap_loop_destroy(l);
}

/* ---- owning and work ---- */

static void entering_nests(void **state)
{
    (void)state;
    assert_false(snapi_loop_is_mine(loop));
    assert_true(snapi_loop_try_enter(loop));
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_leave(loop);
    assert_true(snapi_loop_is_mine(loop));
    snapi_loop_leave(loop);
    assert_false(snapi_loop_is_mine(loop));
}

struct counted {
    struct snapi_work work;
    int n;
    bool in_callback;
    bool was_mine;
};

static void count(struct snap_loop *l, struct snapi_work *work)
{
    struct counted *c = base_container_of(work, struct counted, work);
    c->n++;
    c->in_callback = snapi_loop_in_callback(l);
    c->was_mine = snapi_loop_is_mine(l);
}

static void a_submission_is_done_at_once_when_nobody_owns(void **state)
{
    (void)state;
    struct counted c = {0};
    snapi_work_init(&c.work, count);
    snapi_loop_submit(loop, &c.work);
    assert_int_equal(c.n, 1);
    assert_true(c.was_mine);
    assert_false(c.in_callback);
}

static void the_owners_own_submission_waits_until_it_leaves(void **state)
{
    (void)state;
    struct counted c = {0};
    snapi_work_init(&c.work, count);
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_submit(loop, &c.work);
    assert_int_equal(c.n, 0);
    snapi_loop_leave(loop);
    assert_int_equal(c.n, 1);
}

static void deferred_work_runs_in_the_next_iteration(void **state)
{
    (void)state;
    struct counted c = {0};
    struct counted taken_back = {0};
    snapi_work_init(&c.work, count);
    snapi_work_init(&taken_back.work, count);
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_defer(loop, &c.work);
    snapi_loop_defer(loop, &c.work);
    snapi_loop_defer(loop, &taken_back.work);
    snapi_loop_undefer(loop, &taken_back.work);
    snapi_loop_undefer(loop, &taken_back.work);
    snapi_loop_leave(loop);
    assert_int_equal(c.n, 0);
    assert_int_equal(snap_loop_poll(loop, 0), 1);
    assert_int_equal(c.n, 1);
    assert_true(c.in_callback);
    assert_int_equal(taken_back.n, 0);
    assert_int_equal(snap_loop_poll(loop, 0), 0);
}

/* ---- time ---- */

static struct {
    struct base_timer timer;
    int n;
} ticker;

static void tick(struct base_timer *timer, uint64_t now_ns)
{
    assert_true(now_ns >= timer->deadline_ns);
    assert_true(snapi_loop_in_callback(loop));
    ticker.n++;
}

static void arm_ticker(uint64_t delay_ns)
{
    ticker.n = 0;
    base_timer_init(&ticker.timer, tick);
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_timer_add(loop, &ticker.timer, snapi_loop_now(loop) + delay_ns);
    snapi_loop_leave(loop);
}

static void a_timer_ends_a_poll_that_waits(void **state)
{
    (void)state;
    uint64_t before = base_clock_now_ns();
    arm_ticker(3 * BASE_NS_PER_MS);
    int n_at_once = snap_loop_poll(loop, 0);
    bool was_late = base_clock_now_ns() - before >= 3 * BASE_NS_PER_MS; /* others had the core */
    assert_true(n_at_once == 0 || was_late);
    assert_true(n_at_once > 0 || snap_loop_poll(loop, -1) >= 1);
    assert_int_equal(ticker.n, 1);
    assert_true(base_clock_now_ns() - before >= 3 * BASE_NS_PER_MS);
}

static void a_poll_waits_no_longer_than_it_was_told(void **state)
{
    (void)state;
    uint64_t before = base_clock_now_ns();
    assert_int_equal(snap_loop_poll(loop, 2), 0);
    assert_true(base_clock_now_ns() - before >= 2 * BASE_NS_PER_MS);
}

enum {
    STARTED_NS = 2 * BASE_NS_PER_MS
};

static struct {
    struct snapi_work work;
    bool is_deleted;
    uint64_t ended_ns;
} slow;

/* A callback that starts the ticker and then runs for longer than the ticker waits. */
static void start_and_linger(struct snap_loop *l, struct snapi_work *work)
{
    (void)work;
    uint64_t began_ns = base_clock_now_ns();
    snapi_loop_timer_start(l, &ticker.timer, STARTED_NS);
    assert_false(base_timer_is_armed(&ticker.timer));
    if (slow.is_deleted) {
        snapi_loop_timer_del(l, &ticker.timer);
    }
    do {
        slow.ended_ns = base_clock_now_ns();
    } while (slow.ended_ns - began_ns < 2 * (uint64_t)STARTED_NS);
}

static void defer_start_and_linger(bool is_deleted)
{
    ticker.n = 0;
    base_timer_init(&ticker.timer, tick);
    slow.is_deleted = is_deleted;
    snapi_work_init(&slow.work, start_and_linger);
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_defer(loop, &slow.work);
    snapi_loop_leave(loop);
}

static void a_timer_started_in_a_callback_counts_from_its_end(void **state)
{
    (void)state;
    defer_start_and_linger(false);
    while (ticker.n == 0) {
        assert_true(snap_loop_poll(loop, -1) >= 1);
    }
    assert_true(base_clock_now_ns() - slow.ended_ns >= STARTED_NS);
}

static void a_poll_that_ends_knows_when_its_timers_are_due(void **state)
{
    (void)state;
    defer_start_and_linger(false);
    assert_int_equal(snap_loop_poll(loop, 0), 1);
    uint64_t returned_ns = base_clock_now_ns();
    assert_true(base_timer_is_armed(&ticker.timer));
    assert_true(snapi_loop_try_enter(loop));
    uint64_t due_ns = snapi_owner_next_due_ns(loop);
    snapi_loop_leave(loop);
    assert_true(due_ns >= slow.ended_ns + STARTED_NS);
    assert_true(due_ns <= returned_ns + STARTED_NS + BASE_NS_PER_MS); /* and the granularity */
}

static void a_timer_deleted_where_it_was_started_never_fires(void **state)
{
    (void)state;
    defer_start_and_linger(true);
    assert_int_equal(snap_loop_poll(loop, 0), 1);
    assert_int_equal(snap_loop_poll(loop, 4), 0);
    assert_int_equal(ticker.n, 0);
}

static void a_timer_started_outside_counts_from_now(void **state)
{
    (void)state;
    ticker.n = 0;
    base_timer_init(&ticker.timer, tick);
    uint64_t before_ns = base_clock_now_ns();
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_timer_start(loop, &ticker.timer, STARTED_NS);
    assert_true(base_timer_is_armed(&ticker.timer));
    assert_true(ticker.timer.deadline_ns >= before_ns + STARTED_NS);
    assert_true(ticker.timer.deadline_ns <= base_clock_now_ns() + STARTED_NS);
    snapi_loop_timer_del(loop, &ticker.timer);
    snapi_loop_timer_start(loop, &ticker.timer, UINT64_MAX);
    assert_int_equal(ticker.timer.deadline_ns, UINT64_MAX);
    snapi_loop_timer_del(loop, &ticker.timer);
    snapi_loop_leave(loop);
}

struct seen {
    struct snapi_source source;
    int n;
};

static void see(struct snapi_source *source, uint32_t events)
{
    (void)events;
    base_container_of(source, struct seen, source)->n++;
}

/* Iterations of a loop that spins until it saw the source, at most `max`. */
static int iterations_until_seen(struct seen *seen, int max)
{
    int n = 0;
    for (seen->n = 0; n < max && seen->n == 0; n++) {
        (void)snapi_iterate(loop, false);
    }
    return n;
}

static void a_spinning_loop_looks_at_once_where_it_expects(void **state)
{
    (void)state;
    struct seen seen = {.source = {.on_ready = see, .fd = eventfd(0, EFD_CLOEXEC)}};
    assert_true(snapi_loop_try_enter(loop));
    assert_int_equal(snapi_poller_add(&loop->poller, &seen.source, EPOLLIN), BASE_OK);
    loop->fds_busy_until = 0;
    (void)snapi_iterate(loop, true); /* nothing there: no look for some iterations */
    assert_int_equal(eventfd_write(seen.source.fd, 1), 0);
    int unasked = iterations_until_seen(&seen, 1000);
    assert_true(unasked >= 1 && unasked <= 64);
    assert_int_equal(seen.n, 1);
    loop->fds_busy_until = 0;
    snapi_poller_expect(&loop->poller);
    assert_int_equal(iterations_until_seen(&seen, 1000), 1);
    snapi_poller_del(&loop->poller, &seen.source);
    assert_int_equal(close(seen.source.fd), 0);
    snapi_loop_leave(loop);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static void poll_until_quiet(int fd)
{
    for (int i = 0; i < 100 && is_readable(fd, 0); i++) {
        (void)snap_loop_poll(loop, 0);
    }
    assert_false(is_readable(fd, 0));
}

static void the_descriptor_tells_when_a_timer_is_due(void **state)
{
    (void)state;
    int fd = snap_loop_fd(loop);
    assert_int_equal(snap_loop_fd(loop), fd);
    poll_until_quiet(fd);
    arm_ticker(2 * BASE_NS_PER_MS); /* while the application's loop sleeps */
    for (int i = 0; i < 10 && ticker.n == 0; i++) {
        assert_true(is_readable(fd, 5000));
        (void)snap_loop_poll(loop, 0);
    }
    assert_int_equal(ticker.n, 1);
    poll_until_quiet(fd);
}

static void the_descriptor_tells_of_deferred_work(void **state)
{
    (void)state;
    int fd = snap_loop_fd(loop);
    poll_until_quiet(fd);
    struct counted c = {0};
    snapi_work_init(&c.work, count);
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_defer(loop, &c.work);
    snapi_loop_leave(loop);
    assert_true(is_readable(fd, 5000));
    (void)snap_loop_poll(loop, 0);
    assert_int_equal(c.n, 1);
    poll_until_quiet(fd);
}

/* ---- running and stopping ---- */

static void stop_before_run_makes_it_return_once(void **state)
{
    (void)state;
    snap_loop_stop(loop);
    snap_loop_run(loop);
    arm_ticker(BASE_NS_PER_MS);
    assert_true(snap_loop_poll(loop, 5000) >= 1);
}

static void on_alarm(int sig)
{
    (void)sig;
    snap_loop_stop(loop);
}

static void stop_works_in_a_signal_handler(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm};
    struct sigaction before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    const struct itimerval soon = {.it_value = {.tv_usec = 3000}};
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    snap_loop_run(loop);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

static void polling_from_a_callback_does_nothing(struct snap_loop *l, struct snapi_work *work)
{
    struct counted *c = base_container_of(work, struct counted, work);
    c->n++;
    assert_int_equal(snap_loop_poll(l, -1), 0);
    snap_loop_run(l);
    snap_loop_destroy(l);
    struct snapi_waiter waiter;
    snapi_waiter_init(&waiter);
    assert_int_equal(snapi_loop_wait(l, &waiter, UINT64_MAX), BASE_E_IN_USE);
    assert_true(snapi_loop_try_enter(l));
    assert_int_equal(snapi_loop_wait(l, &waiter, UINT64_MAX), BASE_E_IN_USE);
    assert_true(snapi_loop_is_mine(l));
}

static void a_callback_cannot_wait_for_its_own_loop(void **state)
{
    (void)state;
    struct counted c = {0};
    snapi_work_init(&c.work, polling_from_a_callback_does_nothing);
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_defer(loop, &c.work);
    snapi_loop_leave(loop);
    assert_true(snap_loop_poll(loop, 5000) >= 1);
    assert_int_equal(c.n, 1);
    assert_false(snapi_loop_is_mine(loop));
}

static void a_child_may_not_use_its_parents_loop(void **state)
{
    (void)state;
    struct snap_status status = snapi_loop_check(loop);
    assert_true(snap_ok(&status));
    pid_t pid = fork();
    if (pid == 0) {
        status = snapi_loop_check(loop);
        int ok = status.code == SNAP_FAILED_PRECONDITION && snap_loop_poll(loop, -1) == 0 &&
                 snap_loop_fd(loop) == -1;
        snap_loop_stop(loop);
        snap_loop_destroy(loop);
        struct snap_loop *own;
        status = snapi_loop_create(NULL, fake_transports, &own);
        ok = ok && snap_ok(&status) && snap_loop_poll(own, 0) == 0;
        snap_loop_destroy(own);
        _exit(ok ? 0 : 1);
    }
    int how = -1;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_int_equal(how, 0);
    assert_int_equal(snap_loop_poll(loop, 0), 0); /* the child did not stop it */
    status = snapi_loop_check(loop);
    assert_true(snap_ok(&status));
}

/* ---- members ---- */

struct member {
    struct snapi_member member;
    int n;
};

static void end_member(struct snapi_member *member)
{
    assert_true(snapi_loop_in_callback(loop));
    snapi_loop_del_member(loop, member);
    base_container_of(member, struct member, member)->n++;
}

static void members_end_with_their_loop(void **state)
{
    struct member stays = {.member.on_loop_destroy = end_member};
    struct member goes = {.member.on_loop_destroy = end_member};
    assert_true(snapi_loop_try_enter(loop));
    snapi_loop_add_member(loop, &stays.member);
    snapi_loop_add_member(loop, &goes.member);
    snapi_loop_del_member(loop, &goes.member);
    snapi_loop_leave(loop);
    snap_loop_destroy(loop);
    assert_int_equal(stays.n, 1);
    assert_int_equal(goes.n, 0);
    assert_int_equal(setup(state), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_do_not_exist_are_refused),
        cmocka_unit_test(the_environment_chooses_the_transport),
        CASE(transports_are_made_when_asked_for),
        cmocka_unit_test(a_build_without_a_transport_says_so),
        CASE(entering_nests),
        CASE(a_submission_is_done_at_once_when_nobody_owns),
        CASE(the_owners_own_submission_waits_until_it_leaves),
        CASE(deferred_work_runs_in_the_next_iteration),
        CASE(a_timer_ends_a_poll_that_waits),
        CASE(a_timer_started_in_a_callback_counts_from_its_end),
        CASE(a_poll_that_ends_knows_when_its_timers_are_due),
        CASE(a_timer_deleted_where_it_was_started_never_fires),
        CASE(a_timer_started_outside_counts_from_now),
        CASE(a_poll_waits_no_longer_than_it_was_told),
        CASE(a_spinning_loop_looks_at_once_where_it_expects),
        CASE(the_descriptor_tells_when_a_timer_is_due),
        CASE(the_descriptor_tells_of_deferred_work),
        CASE(stop_before_run_makes_it_return_once),
        CASE(stop_works_in_a_signal_handler),
        CASE(a_callback_cannot_wait_for_its_own_loop),
        CASE(a_child_may_not_use_its_parents_loop),
        CASE(members_end_with_their_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
