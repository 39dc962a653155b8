/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/pony_traffic.h"
#include "tests/support/cmocka_all.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Whole engines under an adversary, in virtual time. SEED=n plays one world, SEEDS=n that many
 * (from 1). What is checked: pony_traffic.h. PX-76: seed 1301 found what it forbids.
 */

enum {
    SEEDS = 1000,
    STEPS = 400
};

#define MS UINT64_C(1000000)

/* What a failed check says last. */
static char note[96];

static void on_abort(int sig)
{
    (void)sig;
    ssize_t n = write(STDERR_FILENO, note, strlen(note));
    _exit(n < 0 ? 2 : 1);
}

static uint32_t chance_of(struct base_rng *rng, uint32_t max_ppm)
{
    return base_rng_chance(rng, 500000) ? 0 : (uint32_t)base_rng_below(rng, max_ppm);
}

static void make_weather(struct traffic *traffic)
{
    struct world_net *net = &traffic->world.net;
    struct base_rng *rng = &traffic->rng;
    net->loss_ppm = chance_of(rng, 300000);
    net->dup_ppm = chance_of(rng, 300000);
    net->corrupt_ppm = chance_of(rng, 100000);
    net->jitter_us = chance_of(rng, 400);
}

static struct world_app_config random_app(struct base_rng *rng)
{
    struct world_app_config config = world_app_config();
    config.slots = 64u << base_rng_below(rng, 3);
    config.rx_bytes = (512u << base_rng_below(rng, 2)) * 1024;
    config.max_conns = 4 + (uint32_t)base_rng_below(rng, 60);
    config.max_message_bytes = 256 * 1024;
    config.has_single_sent = base_rng_chance(rng, 300000);
    return config;
}

static void make_world(struct traffic *traffic)
{
    struct base_rng *rng = &traffic->rng;
    unsigned n_hosts = 2 + (unsigned)base_rng_below(rng, 2);
    for (unsigned i = 0; i < n_hosts; i++) {
        struct pony_engine_config config = world_config(&traffic->world, i);
        config.dead_ns = 2000 * MS;
        config.full_checksum = base_rng_chance(rng, 200000);
        world_start(&traffic->world, i, &config);
    }
    uint32_t n_actors = n_hosts + (uint32_t)base_rng_below(rng, 3);
    for (uint32_t i = 0; i < n_actors; i++) {
        struct world_app_config config = random_app(rng);
        traffic->actors[i].read_ppm = base_rng_chance(rng, 300000) ? 50000 : 1000000;
        traffic_attach(traffic, i, i % n_hosts, &config);
    }
    make_weather(traffic);
    traffic->is_pressed = base_rng_chance(rng, 300000);
}

static uint32_t random_len(const struct traffic *traffic, struct base_rng *rng)
{
    if (traffic->is_pressed) {
        return base_rng_chance(rng, 300000) ? (uint32_t)base_rng_range(rng, 60000, 250000)
                                            : (uint32_t)base_rng_below(rng, 3000);
    }
    switch (base_rng_below(rng, 8)) {
    case 0:
        return (uint32_t)base_rng_below(rng, 200 * 1024);
    case 1:
    case 2:
        return (uint32_t)base_rng_below(rng, 17 * 1024);
    case 3:
        return 0;
    default:
        return (uint32_t)base_rng_below(rng, 1200);
    }
}

static void lose_and_return(struct traffic *traffic)
{
    struct base_rng *rng = &traffic->rng;
    uint32_t actor = (uint32_t)base_rng_below(rng, traffic->n_actors);
    unsigned host = traffic->actors[actor].host;
    if (base_rng_chance(rng, 500000)) {
        struct world_app_config config = random_app(rng);
        traffic_lose(traffic, actor, true);
        traffic_attach(traffic, actor, host, &config);
        return;
    }
    for (uint32_t i = 0; i < traffic->n_actors; i++) {
        if (traffic->actors[i].host == host) {
            traffic_lose(traffic, i, false);
        }
    }
    struct pony_engine_config engine = world_config(&traffic->world, host);
    engine.dead_ns = 2000 * MS;
    world_kill(&traffic->world, host);
    world_start(&traffic->world, host, &engine);
    for (uint32_t i = 0; i < traffic->n_actors; i++) {
        if (traffic->actors[i].host == host) {
            struct world_app_config config = random_app(rng);
            traffic_attach(traffic, i, host, &config);
        }
    }
}

static void act(struct traffic *traffic)
{
    struct base_rng *rng = &traffic->rng;
    uint64_t what = base_rng_below(rng, 1000);
    uint32_t end = traffic_pick(traffic);
    if (what < (traffic->is_pressed ? 4 : 40) || end == 0) {
        uint32_t from = (uint32_t)base_rng_below(rng, traffic->n_actors);
        uint32_t to = (uint32_t)base_rng_below(rng, traffic->n_actors);
        (void)traffic_open(traffic, from, to);
    } else if (what < 55) {
        traffic_close(traffic, end, base_rng_chance(rng, 300000));
    } else if (what < 57) {
        lose_and_return(traffic);
    } else if (what < 59) {
        traffic->world.net.cut_until_ns = traffic->world.now_ns + base_rng_below(rng, 3000) * MS;
    } else if (what < 65) {
        make_weather(traffic);
    } else {
        (void)traffic_send(traffic, end, random_len(traffic, rng),
                           base_rng_chance(rng, traffic->is_pressed ? 800000 : 500000));
    }
}

static void play(uint64_t seed)
{
    struct traffic traffic;
    (void)snprintf(note, sizeof(note), "engine_sim: a check failed; replay with SEED=%" PRIu64 "\n",
                   seed);
    traffic_init(&traffic, seed);
    make_world(&traffic);
    for (int i = 0; i < STEPS; i++) {
        uint64_t n = base_rng_below(&traffic.rng, 4);
        for (uint64_t k = 0; k < n; k++) {
            act(&traffic);
        }
        (void)world_step(&traffic.world);
        for (uint32_t a = 0; a < traffic.n_actors; a++) {
            if (base_rng_chance(&traffic.rng, traffic.actors[a].read_ppm)) {
                (void)traffic_read(&traffic, a, 16);
            }
        }
    }
    traffic.world.net = (struct world_net){0};
    traffic_finish(&traffic);
    traffic_fini(&traffic);
}

static void every_message_arrives_once_or_its_connection_ends(void **state)
{
    (void)state;
    const char *one = getenv("SEED");
    const char *many = getenv("SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t n = one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : SEEDS;
    for (uint64_t seed = first; seed < first + n; seed++) {
        play(seed);
    }
}

int main(void)
{
    (void)signal(SIGABRT, on_abort);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_arrives_once_or_its_connection_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
