/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/pair.h"
#include "transport/pony/protocol/flow.h"
#include "transport/pony/protocol/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PX-12: engines of this release and of the ones before and after it. There is one version so far;
 * what speaks another is this code, told to. */

enum {
    LOG_BYTES = 4096
};

struct range {
    uint8_t min, max;
};

static char logs[2][LOG_BYTES];

static void keep_log(void *arg, enum base_log_level level, const char *component,
                     const char *message)
{
    (void)level;
    (void)component;
    char *log = arg;
    size_t len = strlen(log);
    (void)snprintf(log + len, LOG_BYTES - len, "%s\n", message);
}

static const struct base_log keepers[2] = {
    {.fn = keep_log, .arg = logs[0], .level = BASE_LOG_WARN},
    {.fn = keep_log, .arg = logs[1], .level = BASE_LOG_WARN},
};

static void start(struct pair *pair, unsigned host, struct range range)
{
    struct pony_engine_config config = world_config(&pair->world, host);
    config.version_min = range.min;
    config.version_max = range.max;
    config.log = &keepers[host];
    world_start(&pair->world, host, &config);
}

static struct pair *make_versions(struct range client, struct range server)
{
    const struct world_app_config usual = world_app_config();
    struct pair *pair = calloc(1, sizeof(*pair));
    assert_non_null(pair);
    memset(logs, 0, sizeof(logs));
    world_init(&pair->world, 1);
    pair->server_host = 1;
    start(pair, 0, client);
    start(pair, 1, server);
    pair->client = world_attach(&pair->world, 0, &usual);
    pair->server = world_attach(&pair->world, 1, &usual);
    return pair;
}

static void assert_version(const struct pair *pair, unsigned host, uint32_t version)
{
    struct pony_flow_info info;
    uint32_t cursor = 0;
    assert_true(pony_engine_next_flow(pair->world.hosts[host].engine, &cursor, &info));
    assert_int_equal(info.version, version);
}

static void send_some(struct pair *pair)
{
    static const uint32_t sizes[] = {0, 1, 1000, 100000, 500000};
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fill_bytes(pair->client->tx, sizes[i], i);
        assert_true(world_send(pair->client, 1, 0, sizes[i], i));
        expect_message(pair, sizes[i], i);
    }
}

static void check_agree(struct range client, struct range server, uint32_t version)
{
    struct pair *pair = make_versions(client, server);
    pair->world.net.loss_ppm = 20000;
    pair->world.net.dup_ppm = 20000;
    pair->world.net.jitter_us = 20;
    connect_pair(pair);
    send_some(pair);
    assert_version(pair, 0, version);
    assert_version(pair, 1, version);
    assert_string_equal(logs[0], "");
    assert_string_equal(logs[1], "");
    free_pair(pair);
}

static void both_use_the_highest_version_in_both_ranges(void **state)
{
    (void)state;
    check_agree((struct range){1, 2}, (struct range){1, 1}, 1);
    check_agree((struct range){1, 1}, (struct range){1, 2}, 1);
    check_agree((struct range){1, 2}, (struct range){1, 2}, 2);
    check_agree((struct range){1, 3}, (struct range){2, 4}, 3);
    check_agree((struct range){2, 2}, (struct range){1, 255}, 2);
    check_agree((struct range){255, 255}, (struct range){1, 255}, 255);
}

static void this_release_speaks_what_it_says(void **state)
{
    (void)state;
    check_agree((struct range){0, 0}, (struct range){1, 255}, PONY_WIRE_VERSION_MAX);
    check_agree((struct range){0, 0}, (struct range){PONY_WIRE_VERSION_MIN, PONY_WIRE_VERSION_MIN},
                PONY_WIRE_VERSION_MIN);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", text, part);
    }
}

static void check_refused(struct range client, struct range server)
{
    struct pair *pair = make_versions(client, server);
    struct shm_completion cpl;
    char text[80];
    listen_pair(pair);
    assert_true(world_open(pair->client, 1, 1, SERVICE));
    assert_true(world_expect(pair->client, SHM_CPL_CLOSED, SECOND, &cpl));
    assert_int_equal(cpl.reason, SHM_REASON_VERSION);
    assert_int_equal(cpl.flags, SHM_CPL_NEVER_OPENED);
    /* Each side's log names the other, and both ranges. */
    (void)snprintf(text, sizeof(text), "10.0.0.2:7001 speaks versions %u to %u", server.min,
                   server.max);
    assert_has(logs[0], text);
    (void)snprintf(text, sizeof(text), "this engine %u to %u", client.min, client.max);
    assert_has(logs[0], text);
    (void)snprintf(text, sizeof(text), "10.0.0.1:7000 speaks versions %u to %u", client.min,
                   client.max);
    assert_has(logs[1], text);
    (void)snprintf(text, sizeof(text), "this engine %u to %u", server.min, server.max);
    assert_has(logs[1], text);
    assert_true(world_counter(&pair->world, 1, "drop_refused") >= 1);
    assert_int_equal(count_completions(pair->server, SHM_CPL_ACCEPTED, SECOND), 0);
    free_pair(pair);
}

/* PX-57 */
static void without_a_common_version_both_sides_know_why(void **state)
{
    (void)state;
    check_refused((struct range){2, 2}, (struct range){1, 1});
    check_refused((struct range){1, 1}, (struct range){2, 2});
    check_refused((struct range){1, 3}, (struct range){4, 255});
}

/* PX-57 */
static void a_flood_of_refusals_does_not_flood_the_log(void **state)
{
    (void)state;
    struct pair *pair = make_versions((struct range){2, 2}, (struct range){1, 1});
    struct shm_completion cpl;
    for (uint32_t i = 1; i < 50; i++) {
        assert_true(world_open(pair->client, i, 1, SERVICE));
        assert_true(world_expect(pair->client, SHM_CPL_CLOSED, SECOND, &cpl));
    }
    for (unsigned host = 0; host < 2; host++) {
        uint32_t lines = 0;
        for (const char *at = logs[host]; (at = strchr(at, '\n')) != NULL; at++) {
            lines++;
        }
        assert_in_range(lines, 1, 10);
    }
    free_pair(pair);
}

/* PX-58: a snapd that went back to an older release does not know the version of packets that still come. */
static void a_peer_that_goes_back_a_version_is_found_and_spoken_to(void **state)
{
    (void)state;
    const struct world_app_config usual = world_app_config();
    struct pair *pair = make_versions((struct range){1, 2}, (struct range){1, 2});
    struct shm_completion cpl;
    connect_pair(pair);
    assert_version(pair, 0, 2);
    world_kill(&pair->world, 1);
    start(pair, 1, (struct range){1, 1});
    pair->server = world_attach(&pair->world, 1, &usual);
    assert_true(world_send(pair->client, 1, 0, 100, 1));
    assert_true(world_expect(pair->client, SHM_CPL_CLOSED, 20 * SECOND, &cpl));
    assert_int_equal(cpl.reason, SHM_REASON_PEER_DEAD);
    assert_true(world_counter(&pair->world, 1, "drop_version") >= 1);
    connect_pair(pair);
    send_some(pair);
    assert_version(pair, 0, 1);
    free_pair(pair);
}

static void a_range_that_cannot_be_is_refused_at_start(void **state)
{
    (void)state;
    static const struct range bad[] = {{2, 1}, {0, 1}, {1, 0}};
    struct world world;
    world_init(&world, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pony_engine_config config = world_config(&world, 0);
        struct pony_engine *engine = NULL;
        config.version_min = bad[i].min;
        config.version_max = bad[i].max;
        assert_int_equal(pony_engine_create(&config, 0, &engine), BASE_E_INVALID);
        assert_null(engine);
    }
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_use_the_highest_version_in_both_ranges),
        cmocka_unit_test(this_release_speaks_what_it_says),
        cmocka_unit_test(without_a_common_version_both_sides_know_why),
        cmocka_unit_test(a_flood_of_refusals_does_not_flood_the_log),
        cmocka_unit_test(a_peer_that_goes_back_a_version_is_found_and_spoken_to),
        cmocka_unit_test(a_range_that_cannot_be_is_refused_at_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
