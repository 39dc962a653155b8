/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeded worlds for the flow layer. SEED=n replays world n alone; WORLDS=n plays that many.
 */
#include "base/clock.h"
#include "base/compiler.h"
#include "tests/sim/flow_world.h"
#include "tests/support/cmocka_all.h"
#include "transport/pony/protocol/cc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    N_WORLDS = 600
};

#define END_NS (UINT64_C(600) * BASE_NS_PER_S)

static uint32_t pick(struct base_rng *rng, const uint32_t *from, uint32_t n)
{
    return from[base_rng_below(rng, n)];
}

static struct world_config draw_config(uint64_t seed)
{
    static const uint32_t losses[] = {0, 0, 1000, 10000, 100000, 300000};
    static const uint32_t rates[] = {0, 0, 1000, 20000, 200000};
    static const uint32_t mtus[] = {1200, 1452, 1452, 4096, 9216};
    static const uint32_t windows[] = {1, 7, 64, 1000, 1024};
    static const uint32_t pools[] = {3, 100, 2048, 2048};
    static const uint32_t links[] = {0, 0, 1200, 1500};
    struct base_rng rng;
    base_rng_init(&rng, seed ^ UINT64_C(0x776f726c64));
    struct world_config config = {
        .seed = seed,
        .n_packets = 2000,
        .loss_ppm = pick(&rng, losses, BASE_ARRAY_LEN(losses)),
        .dup_ppm = pick(&rng, rates, BASE_ARRAY_LEN(rates)),
        .reorder_ppm = pick(&rng, rates, BASE_ARRAY_LEN(rates)),
        .damage_ppm = pick(&rng, rates, BASE_ARRAY_LEN(rates)),
        .delay_ns = 5000 + base_rng_below(&rng, 500000),
        .jitter_ns = base_rng_chance(&rng, 500000) ? base_rng_below(&rng, 100000) : 0,
        .reorder_ns = 1000 + base_rng_below(&rng, 5000000),
        .link_mtu = pick(&rng, links, BASE_ARRAY_LEN(links)),
        .mtu = {pick(&rng, mtus, BASE_ARRAY_LEN(mtus)), pick(&rng, mtus, BASE_ARRAY_LEN(mtus))},
        .window = pick(&rng, windows, BASE_ARRAY_LEN(windows)),
        .max_packets = pick(&rng, pools, BASE_ARRAY_LEN(pools)),
        .full_checksum = base_rng_chance(&rng, 300000),
        .is_simultaneous = base_rng_chance(&rng, 500000),
        .is_one_way = base_rng_chance(&rng, 300000),
        .n_partitions = (uint32_t)base_rng_below(&rng, 3),
        .n_restarts = base_rng_chance(&rng, 300000) ? (uint32_t)base_rng_below(&rng, 4) : 0,
        .partition_ns = base_rng_below(&rng, (uint64_t)3 * BASE_NS_PER_S),
    };
    config.full_checksum = config.full_checksum && config.n_restarts == 0;
    uint32_t n_cc = 0;
    while (pony_cc_all[n_cc] != NULL) {
        n_cc++;
    }
    config.cc = pony_cc_all[base_rng_below(&rng, n_cc)];
    if (config.cc == &pony_cc_swift && config.loss_ppm + config.damage_ppm >= 100000) {
        config.n_packets = 100; /* Swift takes loss for congestion: a few packets per second */
    }
    static const uint64_t keys[] = {1, 10, 300, 1u << 23};
    static const uint8_t ciphers[] = {1 << PONY_CIPHER_AES128_GCM |
                                          1 << PONY_CIPHER_CHACHA20_POLY1305,
                                      1 << PONY_CIPHER_CHACHA20_POLY1305};
    config.n_mtu_changes = base_rng_chance(&rng, 300000) ? (uint32_t)base_rng_below(&rng, 6) : 0;
    config.is_secured = base_rng_chance(&rng, 500000) && pony_seal_psk.is_built;
    config.key_packets = keys[base_rng_below(&rng, BASE_ARRAY_LEN(keys))];
    config.ciphers[0] = ciphers[base_rng_below(&rng, BASE_ARRAY_LEN(ciphers))];
    config.ciphers[1] = ciphers[base_rng_below(&rng, BASE_ARRAY_LEN(ciphers))];
    return config;
}

/* Plays one world; says what went wrong, NULL if nothing did. */
static const char *play(const struct world_config *config)
{
    struct world world;
    world_init(&world, config);
    world_open(&world, 0);
    if (config->is_simultaneous) {
        world_open(&world, 1);
    }
    static const uint32_t links[] = {0, 1200, 1300, 1500, 4000, 9000};
    for (uint32_t i = 0; i < config->n_mtu_changes; i++) {
        uint64_t wait_ns = base_rng_below(&world.rng, 100 * BASE_NS_PER_MS);
        world_run(&world, world.now_ns + wait_ns, true);
        world.config.link_mtu = pick(&world.rng, links, BASE_ARRAY_LEN(links));
    }
    for (uint32_t i = 0; i < config->n_partitions + config->n_restarts; i++) {
        uint64_t wait_ns = base_rng_below(&world.rng, 50 * BASE_NS_PER_MS);
        world_run(&world, world.now_ns + wait_ns, true);
        if (i < config->n_partitions) {
            world_partition(&world, config->partition_ns);
        } else {
            world_restart(&world, (uint32_t)base_rng_below(&world.rng, 2));
        }
    }
    world_run(&world, END_NS, true);
    const char *fault = world.fault;
    if (fault == NULL && !world_is_done(&world)) {
        fault = "stuck";
    }
    for (uint32_t i = 0; fault == NULL && config->n_restarts == 0 && i < 2; i++) {
        if (world.nodes[i].n_dropped > 0 || world.nodes[i].n_downs > 0) {
            fault = "a flow died without a reason";
        }
    }
    if (getenv("SEED") != NULL || fault != NULL) {
        print_message("now %" PRIu64 " us, acked %u %u, dropped %u %u, ups %u %u, downs %u %u\n",
                      world.now_ns / 1000, world.nodes[0].n_acked, world.nodes[1].n_acked,
                      world.nodes[0].n_dropped, world.nodes[1].n_dropped, world.nodes[0].n_ups,
                      world.nodes[1].n_ups, world.nodes[0].n_downs, world.nodes[1].n_downs);
    }
    world_fini(&world);
    return fault;
}

/* What a node believes of the path. */
static uint32_t mtu_of(const struct world *world, uint32_t idx)
{
    struct pony_flow_info info;
    uint32_t cursor = 0;
    assert_true(pony_flows_next_info(world->nodes[idx].table, &cursor, &info));
    return info.mtu_bytes;
}

static struct world_config quiet_config(bool is_secured)
{
    struct world_config config = draw_config(1);
    config.loss_ppm = config.dup_ppm = config.reorder_ppm = config.damage_ppm = 0;
    config.n_packets = 100000;
    config.delay_ns = 50000;
    config.jitter_ns = 0;
    config.mtu[0] = config.mtu[1] = 9216;
    config.link_mtu = 0;
    config.window = 64;
    config.max_packets = 2048;
    config.cc = pony_cc_find("fixed");
    config.full_checksum = config.is_one_way = false;
    config.is_secured = is_secured && pony_seal_psk.is_built;
    return config;
}

static void step_until(struct world *world, uint64_t ns)
{
    world_run(world, world->now_ns + ns, false);
    if (world->fault != NULL) {
        fail_msg("%s", world->fault);
    }
}

/* PX-231, PX-232: the handshake came through a narrow path, or was unlucky. */
static void a_larger_path_is_found(void **state)
{
    (void)state;
    static const uint32_t links[] = {1201, 1500, 4000, 8999, 9216};
    for (uint32_t i = 0; i < 2 * BASE_ARRAY_LEN(links); i++) {
        struct world world;
        struct world_config config = quiet_config(i % 2 == 1);
        config.link_mtu = 1200;
        world_init(&world, &config);
        world_open(&world, 0);
        step_until(&world, (uint64_t)3 * BASE_NS_PER_S);
        assert_int_equal(mtu_of(&world, 0), 1200);
        world.config.link_mtu = links[i / 2];
        step_until(&world, (uint64_t)70 * BASE_NS_PER_S);
        for (uint32_t n = 0; n < 2; n++) {
            assert_in_range(mtu_of(&world, n), links[i / 2] - 32, links[i / 2]);
            assert_int_equal(world.nodes[n].n_downs, 0);
        }
        world_fini(&world);
    }
}

/* PX-233, PX-236: large packets vanish without a word while they are in flight; what is retained
 * arrives in pieces, and the path's new size is found. */
static void a_path_that_shrinks_loses_nothing(void **state)
{
    (void)state;
    static const uint32_t links[] = {1200, 1500, 4000, 9000};
    for (uint32_t i = 0; i < 2 * BASE_ARRAY_LEN(links); i++) {
        struct world world;
        struct world_config config = quiet_config(i % 2 == 1);
        world_init(&world, &config);
        world_open(&world, 0);
        step_until(&world, 100 * BASE_NS_PER_MS);
        assert_int_equal(mtu_of(&world, 0), 9216);
        assert_true(world.nodes[0].next_id > 0 && world.nodes[0].next_id < config.n_packets);
        world.config.link_mtu = links[i / 2];
        step_until(&world, (uint64_t)2 * BASE_NS_PER_S);
        for (uint32_t n = 0; n < 2; n++) {
            assert_in_range(mtu_of(&world, n), links[i / 2] - 32, links[i / 2]);
            assert_true(world_counter(&world, n, "tx_parts") > 0);
            assert_int_equal(world.nodes[n].n_downs, 0);
        }
        world_run(&world, END_NS, true);
        assert_null(world.fault);
        assert_true(world_is_done(&world));
        assert_int_equal(world.nodes[0].n_acked, config.n_packets);
        assert_int_equal(world.nodes[1].n_acked, config.n_packets);
        world_fini(&world);
    }
}

static void check_world(const struct world_config *config)
{
    const char *fault = play(config);
    if (fault != NULL) {
        print_error("SEED=%" PRIu64 ": %s (loss %u dup %u reorder %u damage %u ppm, delay %" PRIu64
                    " ns, window %u, pool %u, mtu %u %u link %u, cc %s, restarts %u, %s)\n",
                    config->seed, fault, config->loss_ppm, config->dup_ppm, config->reorder_ppm,
                    config->damage_ppm, config->delay_ns, config->window, config->max_packets,
                    config->mtu[0], config->mtu[1], config->link_mtu, config->cc->name,
                    config->n_restarts, config->is_secured ? "secured" : "plain");
        fail();
    }
}

static void every_seeded_world_ends_well(void **state)
{
    (void)state;
    const char *seed = getenv("SEED");
    const char *worlds = getenv("WORLDS");
    uint64_t first = seed != NULL ? strtoull(seed, NULL, 0) : 1;
    uint64_t n = seed != NULL ? 1 : worlds != NULL ? strtoull(worlds, NULL, 0) : N_WORLDS;
    for (uint64_t i = 0; i < n; i++) {
        struct world_config config = draw_config(first + i);
        check_world(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_larger_path_is_found),
        cmocka_unit_test(a_path_that_shrinks_loses_nothing),
        cmocka_unit_test(every_seeded_world_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
