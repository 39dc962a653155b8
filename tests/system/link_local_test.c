/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Two hosts that know each other by link-local addresses only: what the client learns over TCP leads to
 * the right interface over Pony, and snapd says which.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <net/if.h>
#include <string.h>

static struct world world;

static int set_up(void **state)
{
    (void)state;
    world_init(&world, true);
    assert_true(hosts_add_address(&world.hosts, 0, "fe80::1/64 nodad"));
    assert_true(hosts_add_address(&world.hosts, 1, "fe80::2/64 nodad"));
    /* Both hosts have it, on other links: a packet to it must not be taken for a local one. */
    assert_true(hosts_add_interface(&world.hosts, 0, "other", "fe80::2/64 nodad"));
    world.server_ip = "[fe80::2%wire]";
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_fini(&world);
    return 0;
}

static unsigned index_of_wire(int host)
{
    assert_true(hosts_enter(&world.hosts, host));
    unsigned index = if_nametoindex("wire");
    assert_true(hosts_enter(&world.hosts, -1));
    return index;
}

static void calls_go_over_pony(const char *listen_0, const char *listen_1)
{
    static struct status status;
    char peer[64];
    world.listen[0] = listen_0;
    world.listen[1] = listen_1;
    for (int host = 0; host < 2; host++) {
        (void)snprintf(world.settings[host], sizeof(world.settings[host]),
                       "[snapd]\nengines = 2\n");
        world_start_snapd(&world, host);
    }
    world_start_server(&world);
    struct world_client *client = world_start_client(&world, 0, "--want pony --blocking 1");
    world_await_calls(client, 200);
    assert_true(status_read(world.socket[0], &status));
    (void)snprintf(peer, sizeof(peer), "pony:[fe80::2%%%u]:", index_of_wire(0));
    assert_non_null(strstr(status.flow_peer, peer));
    assert_true(world_log_has(&world, "client-0.log", peer));
    assert_int_equal(world_finish_client(client), 0);
    assert_true(client->stats->by_pony > 0);
    world.is_good = true;
}

static void hosts_on_one_link_need_no_other_addresses(void **state)
{
    (void)state;
    calls_go_over_pony("*:4741", "*:4741");
}

static void snapd_may_listen_at_a_link_local_address(void **state)
{
    (void)state;
    calls_go_over_pony("[fe80::1%wire]:4741", "[fe80::2%wire]:4741");
    assert_true(world_log_has(&world, "snapd-1.log", "engine 0 at [fe80::2%"));
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(hosts_on_one_link_need_no_other_addresses),
        CASE(snapd_may_listen_at_a_link_local_address),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
