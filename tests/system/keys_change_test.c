/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Two hosts are moved from one cluster key to another while calls run; a file that is no good changes
 * nothing; a key that is taken away ends what stood on it.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct world world;

/* As snapd must never see half a file. */
static void write_keys(int host, const char *text)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "keys-%d", host);
    const char *path = world_path(&world, name);
    const char *new = world_path(&world, "new");
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    assert_int_equal(rename(new, path), 0);
}

/* A key is its number, 64 times, as a hexadecimal digit; 0: no such key. */
static void set_keys(int host, int first, int second)
{
    const int ids[2] = {first, second};
    char text[256] = "";
    for (int i = 0; i < 2 && ids[i] != 0; i++) {
        char key[65];
        memset(key, '0' + ids[i], 64);
        key[64] = '\0';
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d %s\n", ids[i], key);
    }
    write_keys(host, text);
}

static uint32_t count_in_log(int host, const char *text)
{
    char name[32];
    char line[1024];
    uint32_t n = 0;
    (void)snprintf(name, sizeof(name), "snapd-%d.log", host);
    FILE *file = fopen(world_path(&world, name), "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        n += strstr(line, text) != NULL;
    }
    assert_int_equal(fclose(file), 0);
    return n;
}

struct log_wait {
    int host;
    uint32_t n;
};

static bool has_read_again(void *arg)
{
    const struct log_wait *wait = arg;
    return count_in_log(wait->host, "SIGHUP: ") > wait->n;
}

static void hang_up(int host)
{
    struct log_wait wait = {host, count_in_log(host, "SIGHUP: ")};
    assert_int_equal(kill(world.snapd[host].pid, SIGHUP), 0);
    assert_true(world_until(has_read_again, &wait, WORLD_TIMEOUT_MS));
}

static void change_keys(int host, int first, int second)
{
    set_keys(host, first, second);
    hang_up(host);
}

static bool have_both_moved(void *arg)
{
    static struct status status;
    const uint32_t *key = arg;
    for (int host = 0; host < 2; host++) {
        if (!status_read(world.socket[host], &status) || status.least_cluster_key != *key) {
            return false;
        }
    }
    return true;
}

static int set_up(void **state)
{
    (void)state;
    world_init(&world, true);
    for (int host = 0; host < 2; host++) {
        (void)snprintf(world.settings[host], sizeof(world.settings[host]),
                       "[snapd]\nengines = 2\n[security]\nmode = psk\nkey_file = %s/keys-%d\n",
                       world.dir, host);
        set_keys(host, 1, 0);
        world_start_snapd(&world, host);
    }
    world_start_server(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_fini(&world);
    return 0;
}

/* PX-210, PX-228, PX-229. The client ends with an error if one call failed. */
static void calls_go_on_while_a_fleet_is_moved_to_another_key(void **state)
{
    (void)state;
    uint32_t new_key = 2;
    struct world_client *client =
        world_start_client(&world, 0, "--want pony --first 100000 --blocking 1");
    world_await_calls(client, 200);
    for (int host = 0; host < 2; host++) {
        change_keys(host, 1, 2);
        world_await_calls(client, 50);
    }
    for (int host = 0; host < 2; host++) {
        change_keys(host, 2, 1);
        world_await_calls(client, 50);
    }
    assert_true(world_until(have_both_moved, &new_key, WORLD_TIMEOUT_MS));
    for (int host = 0; host < 2; host++) {
        change_keys(host, 2, 0);
        world_await_calls(client, 50);
    }
    for (int host = 0; host < 2; host++) {
        assert_int_equal(count_in_log(host, "keys read again; 0 flows ended"), 3);
    }
    world_await_calls(client, 200);
    assert_int_equal(world_finish_client(client), 0);
    assert_true(client->stats->by_pony > 500);
    world.is_good = true;
}

/* PX-229 */
static void a_file_that_is_no_good_changes_nothing(void **state)
{
    (void)state;
    static struct status status;
    static const char *const options[2] = {"--want pony --first 100000 --blocking 1",
                                           "--want pony --first 1000000 --blocking 1"};
    struct world_client *clients[2]; /* an engine each */
    for (int i = 0; i < 2; i++) {
        clients[i] = world_start_client(&world, i, options[i]);
        world_await_calls(clients[i], 100);
    }
    write_keys(0, "# keys\n3 not-a-key\n");
    hang_up(0);
    assert_int_equal(count_in_log(0, "keys-0:2: no key"), 1);
    assert_int_equal(count_in_log(0, "the old keys stay in use"), 1);
    assert_true(status_read(world.socket[0], &status));
    assert_int_equal(status.n_secured_flows, 2);
    assert_int_equal(status.least_cluster_key, 1);
    for (int i = 0; i < 2; i++) {
        world_await_calls(clients[i], 100);
        assert_int_equal(world_finish_client(clients[i]), 0);
    }
    world.is_good = true;
}

static bool has_secured_flow(void *arg)
{
    static struct status status;
    (void)arg;
    return status_read(world.socket[1], &status) && status.n_secured_flows == 1;
}

/* PX-229: nothing stands on it any more, and calls go over TCP until the keys are the same again. */
static void a_key_that_is_taken_away_ends_its_flows(void **state)
{
    (void)state;
    static struct status status;
    struct world_client *client = world_start_client(&world, 0, "--first 100000 --blocking 1");
    /* The first calls may go over TCP, as many as there is time for. */
    assert_true(world_until(has_secured_flow, NULL, WORLD_TIMEOUT_MS));
    world_await_calls(client, 100);
    change_keys(1, 2, 0);
    assert_int_equal(count_in_log(1, "keys read again; 1 flows ended"), 1);
    assert_true(status_read(world.socket[1], &status));
    assert_int_equal(status.n_secured_flows, 0);
    world_await_calls(client, 100);
    (void)world_finish_client(client); /* what was under way at that moment may have failed */
    world.is_good = true;
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(calls_go_on_while_a_fleet_is_moved_to_another_key),
        CASE(a_file_that_is_no_good_changes_nothing),
        CASE(a_key_that_is_taken_away_ends_its_flows),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
