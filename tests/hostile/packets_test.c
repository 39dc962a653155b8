/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Hosts that send anything to the UDP ports of snapds under load, each in the other's name: random,
 * cut, replayed and mutated packets. They are counted as dropped, and no call is lost. Who overhears
 * the traffic and forges it can break connections; snapd lives, and all is well once that ends.
 *
 * usage: [SECONDS]   how long; 3 by default
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUNS_MAX = 10
};

static const char *seconds = "3";

static int set_up(void **state)
{
    static struct world world;
    world_init(&world, true);
    *state = &world;
    for (int host = 0; host < 2; host++) {
        /* One datagram per packet, so that they can be overheard; checksums over all of it, as one
         * has them where the network is not trusted with payloads. */
        (void)snprintf(world.settings[host], sizeof(world.settings[host]),
                       "[engine]\nsegmentation = no\npacket_checksum = full\n");
        world_start_snapd(&world, host);
    }
    return 0;
}

static void start_bad_host(const struct world *world, int host, const char *kind,
                           struct child *child)
{
    static const char *const ips[] = {"10.213.0.1", "10.213.0.2"};
    char env[256];
    const struct child_how how =
        world_how(world, host, host == 0 ? "bad-0.log" : "bad-1.log", env, sizeof(env));
    const char *argv[] = {SYSTEM_BAD_HOST, kind,          seconds, host == 0 ? "7" : "8",
                          ips[host],       ips[1 - host], NULL};
    assert_true(child_start(child, &how, argv));
}

static void await_bad_host(struct child *child)
{
    const char *line = child_read_line(child, strtoull(seconds, NULL, 0) * 1000 + WORLD_TIMEOUT_MS);
    unsigned long long n_heard = 0;
    unsigned long long n_sent = 0;
    assert_non_null(line);
    printf("    %s\n", line);
    /* NOLINTNEXTLINE(cert-err34-c): our own program wrote the number */
    assert_int_equal(sscanf(line, "heard %llu sent %llu", &n_heard, &n_sent), 2);
    assert_true(n_heard > 0);
    assert_true(n_sent > 0);
    assert_int_equal(child_wait(child, WORLD_TIMEOUT_MS), 0);
}

/** What `snaprpc status --json` says to everybody. */
static void expect_in_json(const struct world *world, int host, const char *text)
{
    char command[512];
    char env[256];
    const struct child_how how = world_how(world, host, NULL, env, sizeof(env));
    (void)snprintf(command, sizeof(command), "%s status --json > %s", SYSTEM_SNAPRPC,
                   world_path(world, "status.json"));
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(child_run(&how, argv), 0);
    assert_true(world_log_has(world, "status.json", text));
}

static void expect_drops(const struct world *world, int host)
{
    static const char *const reasons[] = {"drop_short", "drop_checksum", "drop_token"};
    static struct status status;
    assert_true(status_read(world->socket[host], &status));
    assert_int_equal(status.pid, world->snapd[host].pid);
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (status_counter(&status, reasons[i]) == 0) {
            fail_msg("nothing was counted as %s", reasons[i]);
        }
        expect_in_json(world, host, reasons[i]);
    }
}

static void run_bad_hosts(const struct world *world, const char *kind)
{
    struct child bad[2];
    start_bad_host(world, 0, kind, &bad[0]);
    start_bad_host(world, 1, kind, &bad[1]);
    await_bad_host(&bad[0]);
    await_bad_host(&bad[1]);
    expect_drops(world, 0);
    expect_drops(world, 1);
}

static void end_all(struct world *world)
{
    assert_int_equal(child_end(&world->server, SIGTERM), 0);
    world_end_snapd(world, 0, SIGTERM);
    world_end_snapd(world, 1, SIGTERM);
    world->is_good = true;
}

static void random_cut_replayed_and_mutated_packets_cost_no_call(void **state)
{
    struct world *world = *state;
    world->transport = "pony";
    world_start_server(world);
    struct world_client *client =
        world_start_client(world, 0, "--want pony --blocking 1 --async 1 --window 8");
    run_bad_hosts(world, "noise");
    world_await_calls(client, 100);
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->ok, client->stats->ended);
    end_all(world);
}

static void forged_packets_break_connections_at_most(void **state)
{
    struct world *world = *state;
    world_start_server(world);
    /* Replies may be forged too: what they hold is not looked at. */
    struct world_client *client = world_start_client(
        world, 0, "--want pony --blocking 1 --async 1 --window 8 --timeout 5000 --unchecked");
    run_bad_hosts(world, "forge");
    assert_true(child_is_alive(&client->child));
    (void)world_finish_client(client);
    assert_int_equal(client->stats->started, client->stats->ended);
    assert_int_equal(client->stats->late, 0);

    /* A packet forged for a number not yet used takes the place of the true one, so that the first
     * calls after may be lost as well; not for long. */
    bool is_well = false;
    for (int i = 0; !is_well && i < RUNS_MAX; i++) {
        client = world_start_client(
            world, 1, "--want pony --calls 1000 --first 8388608 --timeout 5000 --unchecked");
        (void)world_finish_client(client);
        is_well = client->stats->ok == 1000;
    }
    assert_true(is_well);
    end_all(world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_cut_replayed_and_mutated_packets_cost_no_call,
                                        set_up, world_tear_down),
        cmocka_unit_test_setup_teardown(forged_packets_break_connections_at_most, set_up,
                                        world_tear_down),
    };
    seconds = argc > 1 ? argv[1] : seconds;
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
