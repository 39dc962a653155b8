/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Calls over Pony between two hosts whose network drops, duplicates and reorders packets, at 1, 10
 * and 30 percent each: every call ends OK, none runs twice, all bytes are right.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <string.h>

/* PX-203: all flows as the hosts' configuration has them, and keys changed meanwhile. */
static void expect_security(const struct world *world, int host)
{
    static struct status status;
    assert_true(status_read(world->socket[host], &status));
    if (world_is_secured()) {
        assert_int_equal(status.n_open_flows, 0);
        assert_true(status.n_secured_flows > 0);
        assert_true(status.n_key_changes > 0);
    } else {
        assert_int_equal(status.n_secured_flows, 0);
    }
}

static void run_at(struct world *world, int percent, int n_engines)
{
    const uint64_t n = world_calls(20000);
    char options[128];
    for (int host = 0; host < 2; host++) {
        /* A peer is given up only after far longer than bad luck can take. */
        (void)snprintf(world->settings[host], sizeof(world->settings[host]),
                       "[snapd]\nengines = %d\n[engine]\ndead = 60s\n"
                       "[fault]\nseed = %d\ndrop = %d%%\nduplicate = %d%%\nreorder = %d%%\n",
                       n_engines, 4711 + host, percent, percent, percent);
        world_start_snapd(world, host);
    }
    world->transport = "pony";
    world_start_server(world);
    (void)snprintf(options, sizeof(options),
                   "--want pony --calls %llu --async 2 --blocking 2 --window 64 --timeout 120000",
                   (unsigned long long)n);
    struct world_client *client = world_start_client(world, 0, options);
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->ok, n);
    assert_int_equal(client->stats->by_pony, n);
    assert_int_equal(client->stats->is_checked, 1);
    for (int host = 0; host < 2; host++) {
        assert_true(world_counter(world, host, "fault_dropped") > 0);
        assert_true(world_counter(world, host, "fault_duplicated") > 0);
        assert_true(world_counter(world, host, "fault_reordered") > 0);
        expect_security(world, host);
    }
    world->is_good = true;
}

static void with_1_percent_of_faults_all_calls_end_well(void **state)
{
    run_at(*state, 1, 1);
}

static void with_10_percent_of_faults_all_calls_end_well(void **state)
{
    run_at(*state, 10, 1);
}

static void with_30_percent_of_faults_all_calls_end_well(void **state)
{
    run_at(*state, 30, 1);
}

static void with_several_engines_at_each_host_all_calls_end_well(void **state)
{
    run_at(*state, 10, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(with_1_percent_of_faults_all_calls_end_well, world_set_up,
                                        world_tear_down),
        cmocka_unit_test_setup_teardown(with_10_percent_of_faults_all_calls_end_well, world_set_up,
                                        world_tear_down),
        cmocka_unit_test_setup_teardown(with_30_percent_of_faults_all_calls_end_well, world_set_up,
                                        world_tear_down),
        cmocka_unit_test_setup_teardown(with_several_engines_at_each_host_all_calls_end_well,
                                        world_set_up, world_tear_down),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
