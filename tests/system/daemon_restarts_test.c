/* SPDX-License-Identifier: Apache-2.0 */

/**
 * snapd killed and started again, twenty times, under load, at the client's host and at the server's:
 * no application ends, every call ends in time, nothing that may not runs twice, what is idempotent
 * ends well, and afterwards all is as before.
 *
 * usage: [SEED]   of the moments when that happens
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    RESTARTS = 20
};

static uint64_t seed = 1;

struct pony_wait {
    const struct world_client *client;
    uint64_t by_pony;
};

static bool is_on_pony_again(void *arg)
{
    const struct pony_wait *wait = arg;
    return wait->client->stats->by_pony > wait->by_pony + 20 ||
           !child_is_alive(&wait->client->child);
}

static void await_pony(struct world_client *client)
{
    struct pony_wait wait = {client, client->stats->by_pony};
    assert_true(world_until(is_on_pony_again, &wait, WORLD_TIMEOUT_MS));
    assert_true(child_is_alive(&client->child));
}

struct ports_wait {
    const struct world *world;
    int host;
    pid_t pid;
};

/** Whether the host's snapd has one port, that of `pid` (0: none), and nothing that nobody reads. */
static bool has_port_only_of(void *arg)
{
    static struct status status;
    const struct ports_wait *wait = arg;
    if (!status_read(wait->world->socket[wait->host], &status)) {
        return false;
    }
    if (wait->pid == 0) {
        return status.n_ports == 0 && status.n_conns == 0;
    }
    return status.n_ports == 1 && status.ports[0].pid == wait->pid &&
           status.ports[0].rx_bytes_used == 0;
}

static void await_port_only_of(const struct world *world, int host, pid_t pid)
{
    struct ports_wait wait = {world, host, pid};
    assert_true(world_until(has_port_only_of, &wait, WORLD_TIMEOUT_MS));
}

static void snapd_restarted_twenty_times_loses_no_call_and_doubles_none(void **state)
{
    struct world *world = *state;
    world_start_snapd(world, 0);
    world_start_snapd(world, 1);
    world_start_server(world);
    struct world_client *client =
        world_start_client(world, 0,
                           "--want pony --async 2 --blocking 2 --window 16 "
                           "--timeout 30000");
    uint64_t random = seed;
    for (int i = 0; i < RESTARTS; i++) {
        int host = i % 2;
        random = ledger_mix(random);
        await_pony(client);
        world_await_calls(client, random % 500);
        world_end_snapd(world, host, i % 5 == 4 ? SIGTERM : SIGKILL);
        /* Sometimes it is back before anybody noticed, sometimes calls go over TCP meanwhile. */
        if ((random >> 32) % 4 != 0) {
            world_await_calls(client, (random >> 16) % 1000);
        }
        world_start_snapd(world, host);
        assert_true(child_is_alive(&client->child));
        assert_true(child_is_alive(&world->server));
    }
    await_pony(client);
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->is_checked, 1);
    assert_int_equal(client->stats->many_failed, 0);
    assert_int_equal(client->stats->deadline, 0);
    assert_int_equal(client->stats->other, 0);
    assert_true(client->stats->moves > 0);
    await_port_only_of(world, 0, 0);
    await_port_only_of(world, 1, world->server.pid);
    world_end_snapd(world, 0, SIGTERM);
    world_end_snapd(world, 1, SIGTERM);
    assert_int_equal(child_end(&world->server, SIGTERM), 0);
    world->is_good = true;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(snapd_restarted_twenty_times_loses_no_call_and_doubles_none,
                                        world_set_up, world_tear_down),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : seed;
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
