/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Which transport carries a call, and the reason that snap_call_info and the log give: with and without
 * a snapd at either end, while one comes, hangs, goes and comes back, and where a choice is forced.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/caller.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLIENT, /**< hosts */
    SERVER
};

static struct world world;
static struct caller caller;

static void start(const struct caller_how *how)
{
    assert_true(hosts_enter(&world.hosts, CLIENT));
    caller_open(&caller, &world, how);
}

static const struct caller_how by_default = {.transport = SNAP_TRANSPORT_AUTO};

static int set_up(void **state)
{
    (void)state;
    caller = (struct caller){.loop = NULL};
    world_init(&world, true);
    for (int host = 0; host < 2; host++) {
        (void)snprintf(world.settings[host], sizeof(world.settings[host]),
                       "[engine]\ndead = 1s\nkeepalive = 100ms\nhello_timeout = 500ms\n");
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

static void expect_carried(enum snap_transport transport, enum snap_why why)
{
    caller_expect_ok(&caller, 2);
    assert_int_equal(caller.info.transport, transport);
    assert_int_equal(caller.info.why, why);
}

static void with_a_snapd_at_both_ends_calls_move_to_pony(void **state)
{
    (void)state;
    world_start_snapd(&world, CLIENT);
    world_start_snapd(&world, SERVER);
    world_start_server(&world);
    start(&by_default);
    caller_expect_ok(&caller, 2); /* over whichever is ready first */
    struct snap_status status =
        snap_channel_wait(caller.channel, SNAP_TRANSPORT_PONY, WORLD_TIMEOUT_MS * 1000ull);
    assert_string_equal(status.message, "");
    expect_carried(SNAP_TRANSPORT_PONY, SNAP_WHY_PONY_UP);
    assert_string_equal(caller.info.peer, "pony:10.213.0.2:4741");
    struct snap_call_info info;
    snap_channel_info(caller.channel, &info);
    assert_int_equal(info.transport, SNAP_TRANSPORT_PONY);
    assert_int_equal(info.why, SNAP_WHY_PONY_UP);
    assert_true(caller_logged(&caller, "calls go over pony to pony:10.213.0.2:4741"));
    world.is_good = true;
}

static void without_a_snapd_at_the_client_calls_go_over_tcp(void **state)
{
    (void)state;
    world_start_snapd(&world, SERVER);
    world_start_server(&world);
    start(&by_default);
    expect_carried(SNAP_TRANSPORT_TCP, SNAP_WHY_NO_SNAPD);
    assert_true(caller_logged(&caller, world.socket[CLIENT]));
    assert_true(caller_logged(&caller, "SNAPD_SOCKET"));
    /* When one is started, they move. */
    world_start_snapd(&world, CLIENT);
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_PONY, SNAP_WHY_PONY_UP));
    world.is_good = true;
}

static void without_a_snapd_at_the_server_calls_go_over_tcp(void **state)
{
    (void)state;
    world_start_snapd(&world, CLIENT);
    world_start_server(&world);
    start(&by_default);
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_TCP, SNAP_WHY_PEER_NO_PONY));
    world_start_snapd(&world, SERVER);
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_PONY, SNAP_WHY_PONY_UP));
    assert_true(caller_logged(&caller, "calls go over pony"));
    world.is_good = true;
}

static void a_snapd_that_hangs_costs_the_calls_nothing(void **state)
{
    (void)state;
    world_start_snapd(&world, CLIENT);
    world_start_snapd(&world, SERVER);
    world_start_server(&world);
    assert_true(world_until_log(&world, "server.log", "Pony address is now"));
    child_signal(&world.snapd[SERVER], SIGSTOP);
    start(&by_default);
    expect_carried(SNAP_TRANSPORT_TCP, SNAP_WHY_PONY_CONNECTING);
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_TCP, SNAP_WHY_PONY_FAILED));
    child_signal(&world.snapd[SERVER], SIGCONT);
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_PONY, SNAP_WHY_PONY_UP));
    /* One that hangs while it carries calls is given up. */
    child_signal(&world.snapd[SERVER], SIGSTOP);
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_TCP, SNAP_WHY_PONY_FAILED));
    child_signal(&world.snapd[SERVER], SIGCONT);
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_PONY, SNAP_WHY_PONY_UP));
    world.is_good = true;
}

static void when_a_snapd_goes_calls_fall_back_and_return_with_it(void **state)
{
    (void)state;
    world_start_snapd(&world, CLIENT);
    world_start_snapd(&world, SERVER);
    world_start_server(&world);
    start(&by_default);
    for (int host = 0; host < 2; host++) {
        assert_true(caller_reaches(&caller, SNAP_TRANSPORT_PONY, SNAP_WHY_PONY_UP));
        world_end_snapd(&world, host, SIGKILL);
        assert_true(caller_reaches(&caller, SNAP_TRANSPORT_TCP,
                                   host == CLIENT ? SNAP_WHY_NO_SNAPD : SNAP_WHY_PEER_NO_PONY));
        assert_true(caller_logged(&caller, "calls go over tcp to 10.213.0.2:7000"));
        world_start_snapd(&world, host);
    }
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_PONY, SNAP_WHY_PONY_UP));
    world.is_good = true;
}

static void what_is_forced_is_used_and_nothing_else(void **state)
{
    (void)state;
    const struct caller_how tcp = {.transport = SNAP_TRANSPORT_TCP};
    const struct caller_how pony = {.transport = SNAP_TRANSPORT_PONY};
    world_start_snapd(&world, CLIENT);
    world_start_snapd(&world, SERVER);
    world_start_server(&world);
    start(&tcp);
    expect_carried(SNAP_TRANSPORT_TCP, SNAP_WHY_FORCED);
    caller_close(&caller);
    start(&pony);
    expect_carried(SNAP_TRANSPORT_PONY, SNAP_WHY_FORCED);
    world_end_snapd(&world, CLIENT, SIGTERM);
    struct snap_status status = caller_call(&caller, 2, 10, 10, 500);
    expect_status(&status, SNAP_DEADLINE_EXCEEDED, "snapd");
    world.is_good = true;
}

static void the_environment_rules_and_nonsense_in_it_is_refused(void **state)
{
    (void)state;
    world_start_snapd(&world, CLIENT);
    world_start_snapd(&world, SERVER);
    world_start_server(&world);
    assert_int_equal(setenv("SNAP_TRANSPORT", "tcp", 1), 0);
    start(&by_default);
    expect_carried(SNAP_TRANSPORT_TCP, SNAP_WHY_FORCED);
    caller_close(&caller);
    assert_int_equal(setenv("SNAP_TRANSPORT", "pony", 1), 0);
    start(&by_default);
    expect_carried(SNAP_TRANSPORT_PONY, SNAP_WHY_FORCED);
    caller_close(&caller);
    assert_int_equal(setenv("SNAP_TRANSPORT", "carrier pigeon", 1), 0);
    struct snap_status status = snap_loop_create(NULL, &caller.loop);
    assert_int_equal(unsetenv("SNAP_TRANSPORT"), 0);
    expect_status(&status, SNAP_INVALID_ARGUMENT, "SNAP_TRANSPORT");
    expect_status(&status, SNAP_INVALID_ARGUMENT, "carrier pigeon");
    assert_null(caller.loop);
    world.is_good = true;
}

/** The server's Pony address at a host, from its log. */
static void read_pony_target(const char *host, char *target, size_t size)
{
    char line[256];
    char rest[200];
    assert_true(world_until_log(&world, "server.log", "Pony address is now"));
    FILE *log = fopen(world_path(&world, "server.log"), "re");
    assert_non_null(log);
    target[0] = '\0';
    while (fgets(line, sizeof(line), log) != NULL) {
        if (sscanf(line, "%*[^\"]\"pony:*:%199[^\"]\"", rest) == 1) {
            (void)snprintf(target, size, "pony:%s:%s", host, rest);
        }
    }
    assert_int_equal(fclose(log), 0);
}

static void a_target_may_be_a_pony_address(void **state)
{
    char target[320];
    (void)state;
    world_start_snapd(&world, CLIENT);
    world_start_snapd(&world, SERVER);
    world_start_server(&world);
    read_pony_target("10.213.0.2", target, sizeof(target));
    const struct caller_how how = {.target = target};
    start(&how);
    expect_carried(SNAP_TRANSPORT_PONY, SNAP_WHY_FORCED);
    world.is_good = true;
}

static void a_host_may_be_reached_at_two_addresses_at_once(void **state)
{
    static struct caller second;
    char targets[2][320];
    (void)state;
    assert_true(hosts_add_address(&world.hosts, SERVER, "10.213.0.22/24"));
    world_start_snapd(&world, CLIENT);
    world_start_snapd(&world, SERVER);
    world_start_server(&world);
    read_pony_target("10.213.0.2", targets[0], sizeof(targets[0]));
    read_pony_target("10.213.0.22", targets[1], sizeof(targets[1]));
    const struct caller_how hows[] = {{.target = targets[0]}, {.target = targets[1]}};
    start(&hows[0]);
    expect_carried(SNAP_TRANSPORT_PONY, SNAP_WHY_FORCED);
    caller_open(&second, &world, &hows[1]);
    for (uint64_t i = 0; i < 200; i++) {
        caller_expect_ok(&caller, 2 * i + 1); /* not idempotent: a break would show */
        caller_expect_ok(&second, 1000 + 2 * i + 1);
    }
    assert_false(caller_logged(&caller, "no transport reaches it now"));
    assert_false(caller_logged(&second, "no transport reaches it now"));
    caller_close(&second);
    world.is_good = true;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(with_a_snapd_at_both_ends_calls_move_to_pony),
        CASE(without_a_snapd_at_the_client_calls_go_over_tcp),
        CASE(without_a_snapd_at_the_server_calls_go_over_tcp),
        CASE(a_snapd_that_hangs_costs_the_calls_nothing),
        CASE(when_a_snapd_goes_calls_fall_back_and_return_with_it),
        CASE(what_is_forced_is_used_and_nothing_else),
        CASE(the_environment_rules_and_nonsense_in_it_is_refused),
        CASE(a_target_may_be_a_pony_address),
        CASE(a_host_may_be_reached_at_two_addresses_at_once),
    };
    (void)unsetenv("SNAP_TRANSPORT");
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
