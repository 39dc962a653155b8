/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Calls over Pony between two hosts while the network swallows what leaves from one source port: the
 * flows take another one, every call ends OK, none runs twice, none leaves for TCP.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <string.h>

struct expectation {
    const struct world *world;
    int host;
    const char *counter;
    uint64_t more_than;
};

static uint64_t counter(const struct world *world, int host, const char *name)
{
    static struct status status;
    assert_true(status_read(world->socket[host], &status));
    return status_counter(&status, name);
}

static bool has_grown(void *arg)
{
    static struct status status;
    const struct expectation *want = arg;
    return status_read(want->world->socket[want->host], &status) &&
           status_counter(&status, want->counter) > want->more_than;
}

static void await_more(struct world *world, int host, const char *name)
{
    struct expectation want = {world, host, name, counter(world, host, name)};
    assert_true(world_until(has_grown, &want, WORLD_TIMEOUT_MS));
}

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
    uint64_t repathed = counter(world, 0, "repathed");
    assert_true(hosts_swallow_port(&world->hosts, 0, 4741));
    world_await_calls(client, world_calls(2000));
    assert_true(counter(world, 0, "repathed") > repathed);
    await_more(world, 0, "udp_side_packets");
    /* That host 1 heard nothing may have moved its flow already. */
    assert_true(hosts_swallow_port(&world->hosts, 1, 4741));
    world_await_calls(client, world_calls(2000));
    await_more(world, 1, "udp_side_packets");
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
