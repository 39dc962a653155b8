/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Applications that scribble over every word of their shared memory, at both hosts: only their own
 * ports die, snapd says why, and an honest client's calls over the same snapds all end well.
 *
 * usage: [SECONDS]   how long they scribble; 3 by default
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char *seconds = "3";

static void start_scribbler(const struct world *world, int host, struct child *child)
{
    char env[256];
    char seed[16];
    const struct child_how how =
        world_how(world, host, host == 0 ? "scribbler-0.log" : "scribbler-1.log", env, sizeof(env));
    (void)snprintf(seed, sizeof(seed), "%d", 100 + host);
    const char *argv[] = {SYSTEM_SCRIBBLER, seconds, seed, NULL};
    assert_true(child_start(child, &how, argv));
}

static void await_scribbler(const struct world *world, int host, struct child *child)
{
    static struct status status;
    char pid[64];
    (void)snprintf(pid, sizeof(pid), "pid %d", (int)child->pid);
    const char *line = child_read_line(child, strtoull(seconds, NULL, 0) * 1000 + WORLD_TIMEOUT_MS);
    unsigned long long n_attached = 0;
    unsigned long long n_ended = 0;
    assert_non_null(line);
    printf("    host %d: %s\n", host, line);
    /* NOLINTNEXTLINE(cert-err34-c): our own program wrote the number */
    assert_int_equal(sscanf(line, "attached %llu thrown out %llu", &n_attached, &n_ended), 2);
    assert_true(n_ended > 0);
    assert_int_equal(child_wait(child, WORLD_TIMEOUT_MS), 0);
    const char *log = host == 0 ? "snapd-0.log" : "snapd-1.log";
    assert_true(world_until_log(world, log, "broke the ABI"));
    assert_true(world_log_has(world, log, pid));
    assert_true(status_read(world->socket[host], &status));
    assert_int_equal(status.pid, world->snapd[host].pid);
}

static void who_scribbles_over_shared_memory_harms_only_itself(void **state)
{
    struct world *world = *state;
    struct child scribblers[2];
    world_start_snapd(world, 0);
    world_start_snapd(world, 1);
    world->transport = "pony";
    world_start_server(world);
    struct world_client *honest =
        world_start_client(world, 0, "--want pony --blocking 1 --async 1 --window 8");
    start_scribbler(world, 0, &scribblers[0]);
    start_scribbler(world, 1, &scribblers[1]);
    await_scribbler(world, 0, &scribblers[0]);
    await_scribbler(world, 1, &scribblers[1]);
    world_await_calls(honest, 100);
    assert_int_equal(world_finish_client(honest), 0);
    assert_int_equal(honest->stats->ok, honest->stats->ended);
    assert_int_equal(child_end(&world->server, SIGTERM), 0);
    world_end_snapd(world, 0, SIGTERM);
    world_end_snapd(world, 1, SIGTERM);
    world->is_good = true;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_scribbles_over_shared_memory_harms_only_itself,
                                        world_set_up, world_tear_down),
    };
    seconds = argc > 1 ? argv[1] : seconds;
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
