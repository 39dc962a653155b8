/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A host whose flows are secured and one whose are not, or with another key: no flow comes up, both
 * logs say why, and calls go over TCP meanwhile; once the keys are the same, over Pony.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* `key` 0: mode plain. */
static void set_security(struct world *world, int host, int key)
{
    char name[32];
    world->settings[host][0] = '\0';
    if (key == 0) {
        return;
    }
    (void)snprintf(name, sizeof(name), "keys-%d", host);
    const char *path = world_path(world, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "9 %064d\n", key) > 0);
    assert_int_equal(close(fd), 0);
    (void)snprintf(world->settings[host], sizeof(world->settings[host]),
                   "[security]\nmode = psk\nkey_file = %s\n", path);
}

static void expect_no_flow_but_tcp(struct world *world, int key0, int key1)
{
    static struct status status;
    set_security(world, 0, key0);
    set_security(world, 1, key1);
    world_start_snapd(world, 0);
    world_start_snapd(world, 1);
    world_start_server(world);
    struct world_client *client = world_start_client(world, 0, "--want tcp --blocking 1");
    assert_true(world_until_log(world, "snapd-0.log", "refused a flow"));
    assert_true(world_until_log(world, "snapd-1.log", "no flow with"));
    world_await_calls(client, 200);
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->by_pony, 0);
    for (int host = 0; host < 2; host++) {
        assert_true(status_read(world->socket[host], &status));
        assert_int_equal(status.n_secured_flows + status.n_open_flows, 0);
    }
}

/* PX-202 */
static void a_secured_host_and_a_plain_one_meet_over_tcp(void **state)
{
    expect_no_flow_but_tcp(*state, 0, 1);
    ((struct world *)*state)->is_good = true;
}

/* PX-211 */
static void hosts_with_different_keys_meet_over_tcp_until_they_are_the_same(void **state)
{
    static struct status status;
    struct world *world = *state;
    expect_no_flow_but_tcp(world, 1, 2);
    world_end_snapd(world, 0, SIGTERM);
    set_security(world, 0, 2);
    world_start_snapd(world, 0);
    struct world_client *client =
        world_start_client(world, 1, "--want pony --first 100000 --blocking 1");
    world_await_calls(client, 200);
    assert_int_equal(world_finish_client(client), 0);
    assert_true(client->stats->by_pony > 0);
    assert_true(status_read(world->socket[0], &status));
    assert_int_equal(status.n_secured_flows, 1);
    world->is_good = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_secured_host_and_a_plain_one_meet_over_tcp, world_set_up,
                                        world_tear_down),
        cmocka_unit_test_setup_teardown(
            hosts_with_different_keys_meet_over_tcp_until_they_are_the_same, world_set_up,
            world_tear_down),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
