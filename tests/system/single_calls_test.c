/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Single calls between two hosts, each case over kernel TCP and over Pony: errors, limits, deadlines,
 * a host that cannot be reached, a server that is out of descriptors or hangs.
 */

#include "base/clock.h"
#include "ledger.snap.h"
#include "tests/support/cmocka_all.h"
#include "tests/system/caller.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MIB = 1 << 20,
    SOON_MS = 300, /**< a deadline that is to pass */
    STRANGERS = 100,
    CLIENT = 0 /**< hosts */
};

static struct world world;
static struct caller caller;

static void start(enum snap_transport transport, size_t max_message_bytes)
{
    const struct caller_how how = {.transport = transport, .max_message_bytes = max_message_bytes};
    assert_true(hosts_enter(&world.hosts, CLIENT));
    caller_open(&caller, &world, &how);
}

static int set_up(void **state)
{
    const char *settings = "[engine]\ndead = 2s\nkeepalive = 200ms\n";
    (void)state;
    world_init(&world, true);
    for (int host = 0; host < 2; host++) {
        (void)snprintf(world.settings[host], sizeof(world.settings[host]), "%s", settings);
        world_start_snapd(&world, host);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    caller_close(&caller);
    world_fini(&world);
    return 0;
}

/* ---- what the far end says ---- */

static void errors_arrive(enum snap_transport transport)
{
    world_start_server(&world);
    start(transport, 0);
    struct snap_status status = caller_fail(&caller, SNAP_NOT_FOUND, "there is no shelf 7");
    expect_status(&status, SNAP_NOT_FOUND, "there is no shelf 7");
    assert_int_equal(status.origin, SNAP_ORIGIN_REMOTE);
    assert_int_equal(status.ran, SNAP_RAN_YES);
    assert_int_equal(caller.info.transport, transport);

    struct snap_method method = ledger__ledger__fail__method;
    Ledger__FailRequest request = LEDGER__FAIL_REQUEST__INIT;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = CALLER_TIMEOUT_MS * 1000ull;
    ProtobufCMessage *reply = NULL;
    method.name = "ledger.Ledger/Burn";
    status = snap_channel_call(caller.channel, &method, &request.base, &options, &reply);
    expect_status(&status, SNAP_UNIMPLEMENTED, "ledger.Ledger/Burn");
    method.name = "nobody.Knows/This";
    status = snap_channel_call(caller.channel, &method, &request.base, &options, &reply);
    expect_status(&status, SNAP_UNIMPLEMENTED, "nobody.Knows/This");
    assert_int_equal(status.ran, SNAP_RAN_NO);
    caller_expect_ok(&caller, 1);
    world.is_good = true;
}

static void over_tcp_errors_arrive_as_they_were_made(void **state)
{
    (void)state;
    errors_arrive(SNAP_TRANSPORT_TCP);
}

static void over_pony_errors_arrive_as_they_were_made(void **state)
{
    (void)state;
    errors_arrive(SNAP_TRANSPORT_PONY);
}

/* ---- sizes ---- */

static void sizes_hold(enum snap_transport transport)
{
    world_start_server(&world);
    start(transport, 0);
    const size_t large = 64 * MIB - 8; /* the default limit, all but a field of a few bytes */
    struct snap_status status = caller_call(&caller, 1, 0, 0, CALLER_TIMEOUT_MS);
    assert_string_equal(status.message, "");
    status = caller_call(&caller, 3, large, 0, CALLER_TIMEOUT_MS);
    assert_string_equal(status.message, "");
    status = caller_call(&caller, 5, 0, large, CALLER_TIMEOUT_MS);
    assert_string_equal(status.message, "");
    assert_int_equal(caller.info.transport, transport);
    status = caller_call(&caller, 7, 64 * MIB + 1, 0, CALLER_TIMEOUT_MS);
    expect_status(&status, SNAP_RESOURCE_EXHAUSTED, "67108864");
    assert_int_equal(status.ran, SNAP_RAN_NO);
    status = caller_call(&caller, 9, 0, 64 * MIB + 1, CALLER_TIMEOUT_MS);
    expect_status(&status, SNAP_RESOURCE_EXHAUSTED, "67108864");
    caller_expect_ok(&caller, 11);
    world.is_good = true;
}

static void over_tcp_messages_up_to_the_limit_pass_and_larger_are_refused(void **state)
{
    (void)state;
    sizes_hold(SNAP_TRANSPORT_TCP);
}

static void over_pony_messages_up_to_the_limit_pass_and_larger_are_refused(void **state)
{
    (void)state;
    sizes_hold(SNAP_TRANSPORT_PONY);
}

static void limits_hold(enum snap_transport transport)
{
    world_start_server(&world);
    start(transport, MIB);
    struct snap_status status = caller_call(&caller, 1, MIB / 2, MIB / 2, CALLER_TIMEOUT_MS);
    assert_string_equal(status.message, "");
    status = caller_call(&caller, 3, MIB + 1, 0, CALLER_TIMEOUT_MS);
    expect_status(&status, SNAP_RESOURCE_EXHAUSTED, "1048576");
    /* A reply that the server would send, but this client does not take. */
    status = caller_call(&caller, 5, 0, 2 * MIB, CALLER_TIMEOUT_MS);
    expect_status(&status, SNAP_RESOURCE_EXHAUSTED, "1048576");
    assert_int_equal(status.ran, SNAP_RAN_YES);
    caller_expect_ok(&caller, 7);
    caller_close(&caller);
    /* A request that this client would send, but the server does not take. */
    start(transport, 128 * MIB);
    caller_expect_ok(&caller, 9);
    status = caller_call(&caller, 11, 65 * MIB, 0, CALLER_TIMEOUT_MS);
    expect_status(&status, SNAP_RESOURCE_EXHAUSTED, "67108864");
    assert_int_equal(status.ran, SNAP_RAN_NO);
    caller_expect_ok(&caller, 13);
    caller_close(&caller);
    caller = (struct caller){.loop = NULL};
    world.is_good = true;
}

static void over_tcp_either_ends_limit_ends_that_call_only(void **state)
{
    (void)state;
    limits_hold(SNAP_TRANSPORT_TCP);
}

static void over_pony_either_ends_limit_ends_that_call_only(void **state)
{
    (void)state;
    limits_hold(SNAP_TRANSPORT_PONY);
}

/* ---- time ---- */

/** A call that is to end by its deadline, and no sooner. */
static void expect_deadline(struct snap_status (*call)(void))
{
    uint64_t before_ns = base_clock_now_ns();
    struct snap_status status = call();
    expect_status(&status, SNAP_DEADLINE_EXCEEDED, "");
    assert_true(base_clock_now_ns() - before_ns >= SOON_MS * 1000000ull);
    assert_int_equal(status.origin, SNAP_ORIGIN_LOCAL);
}

static struct snap_status hold_a_while(void)
{
    return caller_hold(&caller, SOON_MS);
}

static struct snap_status call_a_while(void)
{
    return caller_call(&caller, 3, 100, 100, SOON_MS);
}

static bool is_called_ok(void *arg)
{
    (void)arg;
    struct snap_status status = caller_call(&caller, 2, 100, 100, 1000);
    return snap_ok(&status);
}

static void deadlines_hold(enum snap_transport transport)
{
    world_start_server(&world);
    start(transport, 0);
    caller_expect_ok(&caller, 1);
    expect_deadline(hold_a_while);
    /* A server that hangs. */
    child_signal(&world.server, SIGSTOP);
    expect_deadline(call_a_while);
    child_signal(&world.server, SIGCONT);
    caller_expect_ok(&caller, 5);
    /* A network that is gone: first nobody knows, later the transport does. */
    assert_true(hosts_set_link(&world.hosts, false));
    uint64_t until_ns = base_clock_now_ns() + 3000000000u;
    do {
        struct snap_status status = call_a_while();
        assert_true(status.code == SNAP_DEADLINE_EXCEEDED || status.code == SNAP_UNAVAILABLE);
    } while (base_clock_now_ns() < until_ns);
    assert_true(hosts_set_link(&world.hosts, true));
    assert_true(world_until(is_called_ok, NULL, WORLD_TIMEOUT_MS));
    assert_int_equal(caller.info.transport, transport);
    world.is_good = true;
}

static void over_tcp_deadlines_hold_even_without_a_network(void **state)
{
    (void)state;
    deadlines_hold(SNAP_TRANSPORT_TCP);
}

static void over_pony_deadlines_hold_even_without_a_network(void **state)
{
    (void)state;
    deadlines_hold(SNAP_TRANSPORT_PONY);
}

/* ---- strangers ---- */

static int connect_stranger(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(WORLD_PORT),
                             .sin_addr.s_addr = inet_addr("10.213.0.2")};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void who_sends_garbage_to_a_server_disturbs_nobody(void **state)
{
    (void)state;
    world_start_server(&world);
    start(SNAP_TRANSPORT_TCP, 0);
    for (uint64_t i = 0; i < STRANGERS; i++) {
        uint8_t bytes[4096];
        int fd = connect_stranger();
        ledger_fill(i, bytes, sizeof(bytes));
        (void)send(fd, bytes, 1 + ledger_mix(i) % sizeof(bytes), MSG_NOSIGNAL);
        caller_expect_ok(&caller, 2 * i + 1);
        close(fd);
    }
    assert_int_equal(child_end(&world.server, SIGTERM), 0);
    world.is_good = true;
}

static void a_server_out_of_descriptors_goes_on_and_recovers(void **state)
{
    int fds[STRANGERS];
    (void)state;
    world.server_nofile = 40;
    world_start_server(&world);
    start(SNAP_TRANSPORT_AUTO, 0);
    caller_expect_ok(&caller, 1);
    for (int i = 0; i < STRANGERS; i++) {
        fds[i] = connect_stranger();
    }
    for (uint64_t i = 1; i < 20; i++) {
        caller_expect_ok(&caller, 2 * i + 1); /* over the connection that is there */
    }
    for (int i = 0; i < STRANGERS; i++) {
        close(fds[i]);
    }
    caller_close(&caller);
    start(SNAP_TRANSPORT_TCP, 0);
    caller_expect_ok(&caller, 101);
    assert_int_equal(child_end(&world.server, SIGTERM), 0);
    world.is_good = true;
}

static void thousands_of_calls_at_once_all_end_well(void **state)
{
    static const char *const transports[] = {"tcp", "pony"};
    (void)state;
    caller = (struct caller){.loop = NULL};
    world_start_server(&world);
    for (int i = 0; i < 2; i++) {
        char options[128];
        (void)snprintf(options, sizeof(options),
                       "--calls 40000 --async 2 --blocking 0 --window 8192 --sizes tiny --first %d",
                       i << 20);
        world.transport = transports[i];
        struct world_client *client = world_start_client(&world, i, options);
        assert_int_equal(world_finish_client(client), 0);
        assert_int_equal(client->stats->ok, 40000);
    }
    world.is_good = true;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(over_tcp_errors_arrive_as_they_were_made),
        CASE(over_pony_errors_arrive_as_they_were_made),
        CASE(over_tcp_messages_up_to_the_limit_pass_and_larger_are_refused),
        CASE(over_pony_messages_up_to_the_limit_pass_and_larger_are_refused),
        CASE(over_tcp_either_ends_limit_ends_that_call_only),
        CASE(over_pony_either_ends_limit_ends_that_call_only),
        CASE(over_tcp_deadlines_hold_even_without_a_network),
        CASE(over_pony_deadlines_hold_even_without_a_network),
        CASE(who_sends_garbage_to_a_server_disturbs_nobody),
        CASE(a_server_out_of_descriptors_goes_on_and_recovers),
        CASE(thousands_of_calls_at_once_all_end_well),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
