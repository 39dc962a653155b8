/* SPDX-License-Identifier: Apache-2.0 */
#include "test_messages.pb-c.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/heap_counter.h"

#include <snaprpc/snaprpc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/**
 * A busy call makes no heap allocation, from the stub to the handler and back, over kernel TCP. Over
 * Pony: tests/system/no_heap_test.c.
 */
enum {
    WARM_UP = 2000,
    CALLS = 10000,
    IN_FLIGHT = 32
};

static void dispatch(snap_any_fn *typed, struct snap_server_call *call,
                     const ProtobufCMessage *request, void *arg)
{
    (void)typed;
    (void)arg;
    snap_server_reply(call, request);
}

static uint32_t n_done;
static uint32_t n_failed;

static void done(snap_any_fn *typed, void *arg, const struct snap_result *result,
                 ProtobufCMessage *response)
{
    (void)typed;
    (void)arg;
    n_done++;
    n_failed += !snap_ok(&result->status) || ((Snaptest__Ping *)response)->number != 7;
}

static void nothing(void)
{
}

static const struct snap_method echo = {
    .name = "snaptest.Test/Echo",
    .request = &snaptest__ping__descriptor,
    .response = &snaptest__ping__descriptor,
    .done = done,
    .dispatch = dispatch,
};
static const struct snap_method *const methods[] = {&echo};
static const struct snap_service service = {"snaptest.Test", methods, 1};

static struct snap_loop *loop;
static struct snap_server *server;
static struct snap_channel *channel;
static Snaptest__Ping ping = SNAPTEST__PING__INIT;

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
    must(snap_loop_create(&options, &loop));
    must(snap_server_create(loop, NULL, &server));
    snap_any_fn *const handlers[] = {nothing};
    must(snap_server_add(server, &service, handlers, NULL));
    must(snap_server_listen(server, "127.0.0.1:0"));
    char target[32];
    (void)snprintf(target, sizeof(target), "127.0.0.1:%u", snap_server_port(server));
    must(snap_channel_open(loop, target, NULL, &channel));
    ping.number = 7;
    ping.text = (char *)"sixty-four bytes or so, as small messages are in many a data centre";
    n_done = n_failed = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    snap_channel_close(channel);
    snap_server_stop(server, 0);
    snap_loop_destroy(loop);
    return 0;
}

static uint64_t allocations_of(void (*calls)(uint32_t n))
{
    calls(WARM_UP);
    uint64_t before = heap_allocations();
    calls(CALLS);
    return heap_allocations() - before;
}

static void call_in_turn(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        ProtobufCMessage *response = NULL;
        must(snap_channel_call(channel, &echo, &ping.base, NULL, &response));
        assert_int_equal(((Snaptest__Ping *)response)->number, 7);
        snap_message_free(response);
    }
}

static void call_many_at_once(uint32_t n)
{
    uint32_t before = n_done;
    uint32_t n_started = 0;
    while (n_done - before < n) {
        while (n_started < n && n_started - (n_done - before) < IN_FLIGHT) {
            (void)snap_channel_start(channel, &echo, &ping.base, NULL, nothing, NULL);
            n_started++;
        }
        (void)snap_loop_poll(loop, -1);
    }
    assert_int_equal(n_failed, 0);
}

static void the_counter_counts(void **state)
{
    (void)state;
    uint64_t before = heap_allocations();
    void *volatile p = malloc(10);
    free(p);
    assert_int_equal(heap_allocations() - before, HEAP_COUNTS);
}

static void a_blocking_call_allocates_nothing(void **state)
{
    (void)state;
    assert_int_equal(allocations_of(call_in_turn), 0);
}

static void many_calls_at_once_allocate_nothing(void **state)
{
    (void)state;
    assert_int_equal(allocations_of(call_many_at_once), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test_setup_teardown(a_blocking_call_allocates_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(many_calls_at_once_allocate_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
