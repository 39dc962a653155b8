/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A busy call makes no heap allocation, from the stub to the handler and back, over Pony: both ends are
 * in this process, at one snapd or at two. All that this process allocates is counted, also in
 * protobuf-c. What snapd does is not seen here; it allocates only at start.
 */

#include "ledger.snap.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/heap_counter.h"
#include "tests/system/world.h"

#include <snaprpc/snaprpc.h>

#include <string.h>

enum {
    WARM_UP = 20000,
    CALLS = 10000,
    IN_FLIGHT = 32,
    BYTES = 64
};

/** One end. */
struct end {
    struct snap_loop *loop;
    struct snap_server *server;
    struct snap_channel *channel;
};

static struct world world;
static struct end client;
static struct end server;
static uint8_t bytes[BYTES];
static uint32_t n_done;
static uint32_t n_failed;

static void must(struct snap_status status)
{
    if (!snap_ok(&status)) {
        fail_msg("%s: %s", snap_code_name((enum snap_code)status.code), status.message);
    }
}

static void once(struct snap_server_call *call, const Ledger__CallRequest *request, void *arg)
{
    (void)arg;
    Ledger__CallReply reply = LEDGER__CALL_REPLY__INIT;
    reply.id = request->id;
    reply.payload = request->payload;
    ledger__ledger__once__reply(call, &reply);
}

static const Ledger__Ledger__Handlers handlers = {.once = once};

static struct snap_loop *new_loop(int host)
{
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    struct snap_loop *loop = NULL;
    options.transport = SNAP_TRANSPORT_PONY;
    options.snapd_socket = world.socket[host];
    must(snap_loop_create(&options, &loop));
    return loop;
}

static void start(bool has_two)
{
    world_init(&world, false);
    world_start_snapd(&world, 0);
    if (has_two) {
        world_start_snapd(&world, 1);
    }
    server.loop = new_loop(has_two ? 1 : 0);
    must(snap_server_create(server.loop, NULL, &server.server));
    must(ledger__ledger__serve(server.server, &handlers, NULL));
    must(snap_server_listen(server.server, "0.0.0.0:0"));
    (void)snprintf(world.target, sizeof(world.target), "127.0.0.1:%u",
                   snap_server_port(server.server));
    must(snap_loop_start_thread(server.loop));
    client.loop = new_loop(0);
    uint64_t before = heap_allocations();
    must(snap_channel_open(client.loop, world.target, NULL, &client.channel));
    assert_true(HEAP_COUNTS == 0 || heap_allocations() > before); /* the library's are counted */
    must(snap_channel_wait(client.channel, SNAP_TRANSPORT_PONY, WORLD_TIMEOUT_MS * 1000ull));
    n_done = n_failed = 0;
}

static int tear_down(void **state)
{
    (void)state;
    snap_channel_close(client.channel);
    snap_loop_destroy(client.loop);
    snap_server_stop(server.server, 0);
    snap_loop_destroy(server.loop);
    client = server = (struct end){.loop = NULL};
    world_fini(&world);
    return 0;
}

static void done(void *arg, const struct snap_result *result, Ledger__CallReply *reply)
{
    (void)arg;
    n_done++;
    n_failed += !snap_ok(&result->status) || reply->payload.len != BYTES ||
                result->info.transport != SNAP_TRANSPORT_PONY;
}

static Ledger__CallRequest request_of(uint64_t id)
{
    Ledger__CallRequest request = LEDGER__CALL_REQUEST__INIT;
    request.id = id;
    request.payload.data = bytes;
    request.payload.len = BYTES;
    return request;
}

static void call_in_turn(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        Ledger__CallRequest request = request_of(i);
        Ledger__CallReply *reply = NULL;
        must(ledger__ledger__once__call(client.channel, &request, NULL, &reply));
        assert_int_equal(reply->id, i);
        ledger__ledger__once__free(reply);
    }
}

static void call_many_at_once(uint32_t n)
{
    uint32_t before = n_done;
    uint32_t n_started = 0;
    while (n_done - before < n) {
        while (n_started < n && n_started - (n_done - before) < IN_FLIGHT) {
            Ledger__CallRequest request = request_of(n_started);
            (void)ledger__ledger__once__start(client.channel, &request, NULL, done, NULL);
            n_started++;
        }
        (void)snap_loop_poll(client.loop, -1);
    }
    assert_int_equal(n_failed, 0);
}

static void expect_no_allocation(void (*calls)(uint32_t n))
{
    calls(WARM_UP / world_slowness());
    uint64_t before = heap_allocations();
    calls(CALLS / world_slowness());
    assert_int_equal(heap_allocations() - before, 0);
    world.is_good = true;
}

static void blocking_calls_within_a_host_allocate_nothing(void **state)
{
    (void)state;
    start(false);
    expect_no_allocation(call_in_turn);
}

static void many_calls_at_once_within_a_host_allocate_nothing(void **state)
{
    (void)state;
    start(false);
    expect_no_allocation(call_many_at_once);
}

static void blocking_calls_between_two_snapds_allocate_nothing(void **state)
{
    (void)state;
    start(true);
    expect_no_allocation(call_in_turn);
}

static void many_calls_at_once_between_two_snapds_allocate_nothing(void **state)
{
    (void)state;
    start(true);
    expect_no_allocation(call_many_at_once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(blocking_calls_within_a_host_allocate_nothing, tear_down),
        cmocka_unit_test_teardown(many_calls_at_once_within_a_host_allocate_nothing, tear_down),
        cmocka_unit_test_teardown(blocking_calls_between_two_snapds_allocate_nothing, tear_down),
        cmocka_unit_test_teardown(many_calls_at_once_between_two_snapds_allocate_nothing,
                                  tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
