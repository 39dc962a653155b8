/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Calls over kernel TCP, between two hosts, with no snapd anywhere.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/world.h"

#include <string.h>

static void without_a_snapd_every_call_goes_over_tcp_and_is_right(void **state)
{
    struct world *world = *state;
    char options[128];
    (void)snprintf(options, sizeof(options), "--calls %llu",
                   (unsigned long long)world_calls(20000));
    world_start_server(world);
    struct world_client *client = world_start_client(world, 0, options);
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->ok, world_calls(20000));
    assert_int_equal(client->stats->by_tcp, client->stats->ok);
    assert_true(world_log_has(world, "client-0.log", "calls go over tcp"));
    assert_true(world_log_has(world, "client-0.log", "no snapd on this host"));
    world->is_good = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_snapd_every_call_goes_over_tcp_and_is_right,
                                        world_set_up, world_tear_down),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
