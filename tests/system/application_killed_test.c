/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Applications killed at any moment: their ports and memory at snapd are gone, the other end of their
 * connections is told, everybody else goes on.
 */

#include "base/clock.h"
#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    KILLS = 50,
    SERVER_KILLS = 10
};

static int set_up(void **state)
{
    static struct world world;
    world_init(&world, true);
    *state = &world;
    world_start_snapd(&world, 0);
    world_start_snapd(&world, 1);
    world_start_server(&world);
    return 0;
}

struct gone_wait {
    const struct world *world;
    int host;
    pid_t pid;
};

static bool is_port_gone(void *arg)
{
    static struct status status;
    const struct gone_wait *wait = arg;
    return status_read(wait->world->socket[wait->host], &status) &&
           status_port_of(&status, wait->pid) == NULL;
}

static bool is_server_conn_gone(void *arg)
{
    static struct status status;
    const struct world *world = arg;
    const struct status_port *port = NULL;
    return status_read(world->socket[1], &status) &&
           (port = status_port_of(&status, world->server.pid)) != NULL && port->n_conns == 1 &&
           port->rx_bytes_used < (16 << 20);
}

/** A random moment is a random number of calls, and then some microseconds. */
static void await_a_moment(struct world_client *client, uint64_t random)
{
    world_await_calls(client, random % 40);
    uint64_t until_ns = base_clock_now_ns() + (random >> 8) % 2000000;
    while (base_clock_now_ns() < until_ns) {
    }
}

static void a_client_killed_at_any_moment_is_gone_and_others_go_on(void **state)
{
    struct world *world = *state;
    uint64_t random = 4711;
    world->transport = "pony";
    struct world_client *honest =
        world_start_client(world, 0, "--want pony --blocking 1 --async 1 --window 8");
    for (int i = 0; i < KILLS; i++) {
        char options[128];
        random = ledger_mix(random);
        (void)snprintf(options, sizeof(options),
                       "--want pony --unchecked --first %d --sizes %s --window 16",
                       (1 << 23) + (i << 17), i % 2 == 0 ? "large" : "tiny");
        struct world_client *victim = world_start_client(world, 1, options);
        await_a_moment(victim, random);
        struct gone_wait gone = {world, 0, victim->child.pid};
        assert_int_equal(child_end(&victim->child, SIGKILL), 128 + SIGKILL);
        assert_true(world_until(is_port_gone, &gone, WORLD_TIMEOUT_MS));
    }
    assert_true(world_until(is_server_conn_gone, world, WORLD_TIMEOUT_MS));
    assert_int_equal(world_finish_client(honest), 0);
    assert_int_equal(honest->stats->ok, honest->stats->ended);
    assert_int_equal(child_end(&world->server, SIGTERM), 0);
    world->is_good = true;
}

static void a_server_killed_under_load_makes_its_clients_calls_unavailable(void **state)
{
    struct world *world = *state;
    uint64_t unavailable = 0;
    for (int i = 0; i < SERVER_KILLS; i++) {
        world->transport = i % 2 == 0 ? "pony" : "tcp";
        (void)unlink(world_path(world, "client-0.log"));
        struct world_client *client =
            world_start_client(world, 0, "--unchecked --once 8 --window 8 --timeout 5000");
        await_a_moment(client, ledger_mix((uint64_t)i));
        struct gone_wait gone = {world, 1, world->server.pid};
        assert_int_equal(child_end(&world->server, SIGKILL), 128 + SIGKILL);
        assert_true(world_until_log(world, "client-0.log", "no transport reaches it now"));
        assert_true(world_until(is_port_gone, &gone, WORLD_TIMEOUT_MS));
        /* Another server takes its place; the client finds it by itself. */
        world->transport = "auto";
        world_start_server(world);
        uint64_t ok = client->stats->ok;
        world_await_calls(client, 200);
        assert_true(client->stats->ok > ok);
        assert_int_equal(world_finish_client(client), 0);
        assert_int_equal(client->stats->other, 0);
        unavailable += client->stats->unavailable;
    }
    /* Not each time: that server may have answered all that had reached it. */
    assert_true(unavailable > 0);
    world->is_good = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_client_killed_at_any_moment_is_gone_and_others_go_on,
                                        set_up, world_tear_down),
        cmocka_unit_test_setup_teardown(
            a_server_killed_under_load_makes_its_clients_calls_unavailable, set_up,
            world_tear_down),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
