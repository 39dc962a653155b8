/* SPDX-License-Identifier: Apache-2.0 */
#include "test_messages.pb-c.h"
#include "tests/support/cmocka_all.h"

#include <snaprpc/snaprpc.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/**
 * Many threads call over one channel and kernel TCP; a pool of threads answers. Every call ends with
 * its own answer. Run under tsan too.
 */
enum {
    CALLERS = 4,
    WORKERS = 2,
    CALLS = 500,
    QUEUE = 64
};

struct job {
    struct snap_server_call *call;
    int32_t number;
};

/* Calls for the workers. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job jobs[QUEUE];
    uint32_t n;
    bool is_over;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct snap_loop *server_loop;
static struct snap_loop *client_loop;
static struct snap_server *server;
static struct snap_channel *channel;
static pthread_t workers[WORKERS];
static _Atomic uint32_t n_wrong;

static void reply(struct snap_server_call *call, int32_t number)
{
    Snaptest__Ping answer = SNAPTEST__PING__INIT;
    answer.number = -number;
    snap_server_reply(call, &answer.base);
}

/* Every third is answered at once, the others by the workers. */
static void dispatch(snap_any_fn *typed, struct snap_server_call *call,
                     const ProtobufCMessage *request, void *arg)
{
    (void)typed;
    (void)arg;
    int32_t number = ((const Snaptest__Ping *)request)->number;
    (void)pthread_mutex_lock(&pool.lock);
    bool is_queued = number % 3 != 0 && pool.n < QUEUE;
    if (is_queued) {
        pool.jobs[pool.n++] = (struct job){call, number};
        (void)pthread_cond_signal(&pool.changed);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    if (!is_queued) {
        reply(call, number);
    }
}

static void *work(void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&pool.lock);
    while (!pool.is_over || pool.n > 0) {
        if (pool.n == 0) {
            (void)pthread_cond_wait(&pool.changed, &pool.lock);
            continue;
        }
        struct job job = pool.jobs[--pool.n];
        (void)pthread_mutex_unlock(&pool.lock);
        reply(job.call, job.number);
        (void)pthread_mutex_lock(&pool.lock);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return NULL;
}

static void nothing(void)
{
}

static const struct snap_method negate = {
    .name = "snaptest.Test/Negate",
    .request = &snaptest__ping__descriptor,
    .response = &snaptest__ping__descriptor,
    .dispatch = dispatch,
};
static const struct snap_method *const methods[] = {&negate};
static const struct snap_service service = {"snaptest.Test", methods, 1};

static void must(struct snap_status status)
{
    if (!snap_ok(&status)) {
        fail_msg("%s: %s", snap_code_name((enum snap_code)status.code), status.message);
    }
}

static int setup(void **state)
{
    (void)state;
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.transport = SNAP_TRANSPORT_TCP;
    unsetenv("SNAP_TRANSPORT");
    must(snap_loop_create(&options, &server_loop));
    must(snap_loop_create(&options, &client_loop));
    must(snap_server_create(server_loop, NULL, &server));
    snap_any_fn *const handlers[] = {nothing};
    must(snap_server_add(server, &service, handlers, NULL));
    must(snap_server_listen(server, "127.0.0.1:0"));
    must(snap_loop_start_thread(server_loop));
    char target[32];
    (void)snprintf(target, sizeof(target), "127.0.0.1:%u", snap_server_port(server));
    must(snap_channel_open(client_loop, target, NULL, &channel));
    pool.is_over = false;
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&workers[i], NULL, work, NULL), 0);
    }
    atomic_store(&n_wrong, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    snap_channel_close(channel);
    (void)pthread_mutex_lock(&pool.lock);
    pool.is_over = true;
    (void)pthread_cond_broadcast(&pool.changed);
    (void)pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < WORKERS; i++) {
        (void)pthread_join(workers[i], NULL);
    }
    snap_server_stop(server, 1000);
    snap_loop_destroy(client_loop);
    snap_loop_destroy(server_loop);
    return 0;
}

static void *make_calls(void *arg)
{
    const int32_t *first = arg;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 30000000;
    for (int32_t i = 0; i < CALLS; i++) {
        Snaptest__Ping ping = SNAPTEST__PING__INIT;
        ping.number = *first + i;
        ProtobufCMessage *response = NULL;
        struct snap_status status =
            snap_channel_call(channel, &negate, &ping.base, &options, &response);
        if (!snap_ok(&status) || ((Snaptest__Ping *)response)->number != -ping.number) {
            atomic_fetch_add(&n_wrong, 1);
        }
        snap_message_free(response);
    }
    return NULL;
}

static void call_from_all_threads(void)
{
    pthread_t callers[CALLERS];
    int32_t first[CALLERS];
    for (int32_t i = 0; i < CALLERS; i++) {
        first[i] = 1 + i * CALLS;
        assert_int_equal(pthread_create(&callers[i], NULL, make_calls, &first[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(callers[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&n_wrong), 0);
}

static void callers_drive_the_loop_in_turn(void **state)
{
    (void)state;
    call_from_all_threads();
}

static void callers_follow_the_librarys_thread(void **state)
{
    (void)state;
    must(snap_loop_start_thread(client_loop));
    call_from_all_threads();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(callers_drive_the_loop_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(callers_follow_the_librarys_thread, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
