/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/loop.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/fake_transport.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/**
 * Many threads on one loop: nothing submitted, awaited or run is lost. Run under tsan too.
 */
enum {
    N_THREADS = 4,
    N_ROUNDS = 2000
};

static struct snap_loop *loop;
static _Atomic uint32_t n_failed;

static void check(bool ok)
{
    if (!ok) {
        atomic_fetch_add(&n_failed, 1);
    }
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    atomic_store(&n_failed, 0);
    struct snap_status status = snapi_loop_create(NULL, fake_transports, &loop);
    return snap_ok(&status) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    snap_loop_destroy(loop);
    return atomic_load(&n_failed) == 0 ? 0 : -1;
}

static void run_threads(void *(*body)(void *), uint32_t n)
{
    pthread_t thread[N_THREADS];
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, body, NULL), 0);
    }
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&n_failed), 0);
}

/* A "call": starts as submitted or inline work, is answered by a timer or by deferred work. */
struct call {
    struct snapi_work start;
    struct snapi_work answer;
    struct base_timer timer;
    struct snapi_waiter waiter;
    bool by_timer;
};

static void answer_by_timer(struct base_timer *timer, uint64_t now_ns)
{
    (void)now_ns;
    snapi_waiter_done(loop, &base_container_of(timer, struct call, timer)->waiter);
}

static void answer_deferred(struct snap_loop *l, struct snapi_work *work)
{
    snapi_waiter_done(l, &base_container_of(work, struct call, answer)->waiter);
}

static void start(struct snap_loop *l, struct snapi_work *work)
{
    struct call *call = base_container_of(work, struct call, start);
    if (call->by_timer) {
        snapi_loop_timer_add(l, &call->timer, snapi_loop_now(l) + 20000);
    } else {
        snapi_loop_defer(l, &call->answer);
    }
}

static void *make_calls(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_ROUNDS; i++) {
        struct call call = {.by_timer = i % 8 == 0};
        snapi_work_init(&call.start, start);
        snapi_work_init(&call.answer, answer_deferred);
        base_timer_init(&call.timer, answer_by_timer);
        snapi_waiter_init(&call.waiter);
        if (snapi_loop_try_enter(loop)) {
            start(loop, &call.start);
        } else {
            snapi_loop_submit(loop, &call.start);
        }
        check(snapi_loop_wait(loop, &call.waiter, base_clock_now_ns() + 20ull * BASE_NS_PER_S) ==
              BASE_OK);
    }
    return NULL;
}

static void one_thread_waits_by_driving(void **state)
{
    (void)state;
    run_threads(make_calls, 1);
}

static void threads_lead_and_follow_in_turn(void **state)
{
    (void)state;
    run_threads(make_calls, N_THREADS);
}

static void threads_follow_the_loops_own_thread(void **state)
{
    (void)state;
    struct snap_status status = snap_loop_start_thread(loop);
    assert_true(snap_ok(&status));
    assert_int_equal(snap_loop_start_thread(loop).code, SNAP_FAILED_PRECONDITION);
    snap_loop_stop(loop); /* is for snap_loop_run(), not for this thread */
    run_threads(make_calls, N_THREADS);
}

static void *run_loop(void *arg)
{
    (void)arg;
    snap_loop_run(loop);
    return NULL;
}

static void threads_follow_a_running_thread_that_stops_midway(void **state)
{
    (void)state;
    pthread_t runner;
    assert_int_equal(pthread_create(&runner, NULL, run_loop, NULL), 0);
    pthread_t caller;
    assert_int_equal(pthread_create(&caller, NULL, make_calls, NULL), 0);
    snap_loop_stop(loop);
    run_threads(make_calls, 2);
    assert_int_equal(pthread_join(runner, NULL), 0);
    assert_int_equal(pthread_join(caller, NULL), 0);
}

static _Atomic uint32_t n_submitted_done;

static void free_and_count(struct snap_loop *l, struct snapi_work *work)
{
    check(snapi_loop_is_mine(l));
    free(work);
    atomic_fetch_add(&n_submitted_done, 1);
}

static void *submit_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_ROUNDS * 10; i++) {
        struct snapi_work *work = malloc(sizeof(*work));
        snapi_work_init(work, free_and_count);
        snapi_loop_submit(loop, work);
    }
    return NULL;
}

static void no_submission_is_lost_though_nobody_drives(void **state)
{
    (void)state;
    atomic_store(&n_submitted_done, 0);
    run_threads(submit_many, N_THREADS);
    assert_int_equal(atomic_load(&n_submitted_done), N_THREADS * N_ROUNDS * 10);
}

static int n_executed; /* plain: exec makes it safe */

static void execute(struct snap_loop *l, void *arg)
{
    (void)arg;
    check(snapi_loop_is_mine(l));
    n_executed++;
}

static void *exec_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_ROUNDS; i++) {
        snapi_loop_exec(loop, execute, NULL);
    }
    return NULL;
}

static void exec_runs_alone_beside_a_driver(void **state)
{
    (void)state;
    n_executed = 0;
    struct snap_status status = snap_loop_start_thread(loop);
    assert_true(snap_ok(&status));
    run_threads(exec_many, N_THREADS);
    snapi_loop_exec(loop, execute, NULL);
    assert_int_equal(n_executed, N_THREADS * N_ROUNDS + 1);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    struct snapi_waiter waiter;
    snapi_waiter_init(&waiter);
    uint64_t before = base_clock_now_ns();
    assert_int_equal(snapi_loop_wait(loop, &waiter, before + 2 * BASE_NS_PER_MS), BASE_E_TIMEOUT);
    assert_true(base_clock_now_ns() - before >= 2 * BASE_NS_PER_MS);
    assert_false(snapi_loop_is_mine(loop));
}

static void a_followers_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    struct snap_status status = snap_loop_start_thread(loop);
    assert_true(snap_ok(&status));
    struct snapi_waiter waiter;
    snapi_waiter_init(&waiter);
    assert_int_equal(snapi_loop_wait(loop, &waiter, base_clock_now_ns() + BASE_NS_PER_MS),
                     BASE_E_TIMEOUT);
}

static void *release(void *arg)
{
    struct snapi_waiter *waiter = arg;
    while (!snapi_loop_try_enter(loop)) {
    }
    snapi_waiter_done(loop, waiter);
    snapi_loop_leave(loop);
    return NULL;
}

static void a_sleeping_leader_is_woken_by_whoever_ends_its_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct snapi_waiter waiter;
        snapi_waiter_init(&waiter);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, release, &waiter), 0);
        assert_int_equal(
            snapi_loop_wait(loop, &waiter, base_clock_now_ns() + 20ull * BASE_NS_PER_S), BASE_OK);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(one_thread_waits_by_driving),
        CASE(threads_lead_and_follow_in_turn),
        CASE(threads_follow_the_loops_own_thread),
        CASE(threads_follow_a_running_thread_that_stops_midway),
        CASE(no_submission_is_lost_though_nobody_drives),
        CASE(exec_runs_alone_beside_a_driver),
        CASE(a_wait_ends_at_its_deadline),
        CASE(a_followers_wait_ends_at_its_deadline),
        CASE(a_sleeping_leader_is_woken_by_whoever_ends_its_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
