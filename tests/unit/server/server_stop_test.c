/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/support/cmocka_all.h"
#include "tests/unit/server/scripted_client.h"

#include <pthread.h>
#include <string.h>

static struct host host;
static struct scripted client;

static int setup(void **state)
{
    (void)state;
    host_open(&host, NULL, NULL);
    scripted_open(&client, &host, true);
    scripted_call(&client, "Hold", 1, "");
    host_settle(&host);
    assert_int_equal(host.n_held, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scripted_close(&client, &host);
    host_close(&host);
    return 0;
}

static void a_call_without_an_answer_ends_with_unavailable(void **state)
{
    (void)state;
    snap_server_stop(host.server, 0);
    host_settle(&host);
    assert_non_null(scripted_find(&client, SNAPI_GOAWAY, 0));
    const struct heard *h = scripted_response(&client, 1);
    assert_int_equal(h->frame.code, SNAP_UNAVAILABLE);
    assert_int_equal(h->frame.flags, 0);
    assert_true(client.is_closed);
    assert_int_equal(client.why, BASE_E_CLOSED);
    assert_true(snap_server_call_is_cancelled(host.held[0]));
    snap_server_fail(host.held[0], SNAP_ABORTED, "nobody hears this");
}

static void a_held_call_may_be_answered_after_the_loop_is_gone(void **state)
{
    (void)state;
    snap_server_stop(host.server, 0);
    scripted_close(&client, &host);
    host_close(&host);
    assert_int_equal(snap_server_call_time_left_us(host.held[0]), UINT64_MAX);
    assert_string_equal(snap_server_call_peer(host.held[0]), "fake:1");
    snap_server_fail(host.held[0], SNAP_ABORTED, "nobody hears this");
    host_open(&host, NULL, NULL);
}

static void destroying_the_loop_ends_the_server(void **state)
{
    (void)state;
    scripted_close(&client, &host);
    host_close(&host);
    snap_server_fail(host.held[0], SNAP_ABORTED, "nobody hears this");
    host_open(&host, NULL, NULL);
}

static void *answer_it(void *arg)
{
    snap_server_fail(arg, SNAP_DATA_LOSS, "answered");
    return NULL;
}

/* PR-30 */
static void calls_answered_within_the_grace_are_delivered(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_it, host.held[0]), 0);
    uint64_t before = base_clock_now_ns();
    snap_server_stop(host.server, 30000);
    assert_true(base_clock_now_ns() - before < 20ull * BASE_NS_PER_S);
    assert_int_equal(pthread_join(thread, NULL), 0);
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.code, SNAP_DATA_LOSS);
}

/* PR-12 */
static void answers_race_with_the_stop_and_each_call_ends_once(void **state)
{
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, answer_it, host.held[0]), 0);
        snap_server_stop(host.server, 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        host_settle(&host);
        uint16_t code = scripted_response(&client, 1)->frame.code;
        assert_true(code == SNAP_DATA_LOSS || code == SNAP_UNAVAILABLE);
        teardown(state);
        setup(state);
    }
    snap_server_fail(host.held[0], SNAP_ABORTED, "x");
}

/* PR-14, PR-30 */
static void new_calls_are_refused_as_not_run_while_stopping(void **state)
{
    (void)state;
    pthread_t thread;
    scripted_call(&client, "Echo", 2, "late"); /* on its way when the server stops */
    assert_int_equal(pthread_create(&thread, NULL, answer_it, host.held[0]), 0);
    snap_server_stop(host.server, 30000);
    assert_int_equal(pthread_join(thread, NULL), 0);
    host_settle(&host);
    const struct heard *h = scripted_find(&client, SNAPI_RESPONSE, 2);
    if (h != NULL) { /* else the connection was flushed and closed before it came */
        assert_int_equal(h->frame.code, SNAP_UNAVAILABLE);
        assert_int_equal(h->frame.flags, SNAPI_RESPONSE_NOT_RUN);
    }
    assert_int_equal(host.n_run, 1);
}

static void a_client_that_does_not_read_cannot_hold_up_the_stop(void **state)
{
    (void)state;
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    uint64_t before = base_clock_now_ns();
    snap_server_stop(host.server, 0);
    assert_true(base_clock_now_ns() - before < 10ull * BASE_NS_PER_S);
    snap_server_fail(host.held[0], SNAP_ABORTED, "x");
    fake_set_again(SNAP_TRANSPORT_TCP, false);
}

static void stop_now(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    (void)work;
    snap_server_stop(host.server, 0);
}

static void a_callback_may_stop_the_server(void **state)
{
    (void)state;
    struct snapi_work work;
    snapi_work_init(&work, stop_now);
    assert_true(snapi_loop_try_enter(host.loop));
    snapi_loop_defer(host.loop, &work);
    snapi_loop_leave(host.loop);
    for (int i = 0; i < 1000 && !client.is_closed; i++) {
        (void)snap_loop_poll(host.loop, 10);
    }
    assert_true(client.is_closed);
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.code, SNAP_UNAVAILABLE);
    snap_server_fail(host.held[0], SNAP_ABORTED, "x");
}

static void no_server_is_fine_to_stop(void **state)
{
    (void)state;
    snap_server_stop(NULL, 0);
    snap_server_fail(host.held[0], SNAP_ABORTED, "x");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_call_without_an_answer_ends_with_unavailable),
        CASE(a_held_call_may_be_answered_after_the_loop_is_gone),
        CASE(destroying_the_loop_ends_the_server),
        CASE(calls_answered_within_the_grace_are_delivered),
        CASE(answers_race_with_the_stop_and_each_call_ends_once),
        CASE(new_calls_are_refused_as_not_run_while_stopping),
        CASE(a_client_that_does_not_read_cannot_hold_up_the_stop),
        CASE(a_callback_may_stop_the_server),
        CASE(no_server_is_fine_to_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
