/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Calls over Pony between two hosts, each of which gives the other a connected socket: engines that
 * sleep are woken by it, a peer that starts again is found, one reached at its second address answers
 * from there, and a snapd configured not to connect does not; every call ends OK, none leaves for TCP
 * but while a snapd is away.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/world.h"

#include <signal.h>
#include <string.h>

static void await_connected(const struct world *world)
{
    for (int host = 0; host < 2; host++) {
        world_await_growth(world, host, "udp_connected_packets");
        world_await_growth(world, host, "udp_connected_received_datagrams");
    }
}

/* All from one port: a flow that a busy machine made move to another one has no connected socket. */
static struct world_client *start(struct world *world, const char *settings, const char *options)
{
    for (int host = 0; host < 2; host++) {
        (void)snprintf(world->settings[host], sizeof(world->settings[host]),
                       "[engine]\nsource_ports = 1\n%s", settings);
        world_start_snapd(world, host);
    }
    world_start_server(world);
    struct world_client *client = world_start_client(world, 0, options);
    world_await_calls(client, world_calls(1000));
    return client;
}

static void finish_on_pony(struct world *world, struct world_client *client)
{
    world_await_calls(client, world_calls(1000));
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->by_pony, client->stats->ok);
    assert_int_equal(client->stats->is_checked, 1);
    world->is_good = true;
}

static void engines_that_sleep_are_woken_by_the_connected_socket(void **state)
{
    struct world *world = *state;
    world->transport = "pony";
    struct world_client *client =
        start(world, "idle = sleep\n", "--want pony --blocking 1 --timeout 120000");
    await_connected(world);
    finish_on_pony(world, client);
}

static void a_peer_that_starts_again_is_found(void **state)
{
    struct world *world = *state;
    struct world_client *client =
        start(world, "", "--want pony --async 2 --blocking 2 --window 16 --timeout 30000");
    await_connected(world);
    for (int host = 1; host >= 0; host--) {
        world_end_snapd(world, host, SIGKILL);
        world_await_calls(client, world_calls(100));
        world_start_snapd(world, host);
        await_connected(world);
    }
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->many_failed, 0);
    assert_int_equal(client->stats->is_checked, 1);
    world->is_good = true;
}

/* The kernel would send from the first one: no connected socket there. */
static void a_peer_reached_at_its_second_address_answers_from_there(void **state)
{
    struct world *world = *state;
    assert_true(hosts_add_address(&world->hosts, 1, "10.213.0.22/24"));
    world->transport = "pony";
    world->server_ip = "10.213.0.22";
    struct world_client *client =
        start(world, "", "--want pony --async 2 --window 16 --timeout 120000");
    world_await_growth(world, 0, "udp_connected_packets");
    world_await_calls(client, world_calls(1000));
    assert_int_equal(world_counter(world, 1, "udp_connects"), 0);
    finish_on_pony(world, client);
}

static void a_snapd_told_not_to_connect_does_not(void **state)
{
    struct world *world = *state;
    world->transport = "pony";
    struct world_client *client = start(world, "connected_socket = no\n",
                                        "--want pony --async 2 --window 16 --timeout 120000");
    world_await_calls(client, world_calls(1000));
    for (int host = 0; host < 2; host++) {
        assert_int_equal(world_counter(world, host, "udp_connects"), 0);
        assert_int_equal(world_counter(world, host, "udp_connected_packets"), 0);
    }
    finish_on_pony(world, client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(engines_that_sleep_are_woken_by_the_connected_socket,
                                        world_set_up, world_tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_starts_again_is_found, world_set_up,
                                        world_tear_down),
        cmocka_unit_test_setup_teardown(a_peer_reached_at_its_second_address_answers_from_there,
                                        world_set_up, world_tear_down),
        cmocka_unit_test_setup_teardown(a_snapd_told_not_to_connect_does_not, world_set_up,
                                        world_tear_down),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
