/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Calls over Pony between two hosts while the network swallows what leaves from one source port: the
 * flows take another one, every call ends OK, none runs twice, none leaves for TCP.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/world.h"

#include <string.h>

static void calls_go_on_when_the_path_of_one_port_is_broken(void **state)
{
    struct world *world = *state;
    for (int host = 0; host < 2; host++) {
        (void)snprintf(world->settings[host], sizeof(world->settings[host]),
                       "[engine]\ndead = 60s\n");
        world_start_snapd(world, host);
    }
    world->transport = "pony";
    world_start_server(world);
    struct world_client *client = world_start_client(
        world, 0, "--want pony --async 2 --blocking 2 --window 16 --timeout 120000");
    world_await_calls(client, world_calls(1000));
    assert_true(hosts_swallow_port(&world->hosts, 0, 4741));
    world_await_calls(client, world_calls(2000));
    assert_true(world_counter(world, 0, "repathed") > 0); /* now, or on a busy machine before */
    world_await_growth(world, 0, "udp_side_packets");
    /* That host 1 heard nothing may have moved its flow already. */
    assert_true(hosts_swallow_port(&world->hosts, 1, 4741));
    world_await_calls(client, world_calls(2000));
    world_await_growth(world, 1, "udp_side_packets");
    world_await_calls(client, world_calls(2000));
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->by_pony, client->stats->ok);
    assert_int_equal(client->stats->is_checked, 1);
    world->is_good = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_go_on_when_the_path_of_one_port_is_broken,
                                        world_set_up, world_tear_down),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
