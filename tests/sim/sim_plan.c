/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Families of worlds: each leans on one thing; all else is drawn too.
 */
#include "base/compiler.h"
#include "tests/sim/sim_world.h"
#include "transport/pony/protocol/cc.h"
#include "transport/pony/protocol/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void bend_fn(struct sim_plan *plan, struct base_rng *rng);

static uint32_t below(struct base_rng *rng, uint32_t n)
{
    return (uint32_t)base_rng_below(rng, n);
}

#define PICK(rng, ...) \
    (((const uint32_t[]){__VA_ARGS__})[below( \
        rng, (uint32_t)(sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)))])

static const char *draw_cc(struct base_rng *rng)
{
    uint32_t n = 0;
    while (pony_cc_all[n] != NULL) {
        n++;
    }
    return pony_cc_all[below(rng, n)]->name;
}

static void draw_engine(struct pony_engine_config *engine, struct base_rng *rng)
{
    pony_engine_config_init(engine);
    engine->mtu_bytes = PICK(rng, 1200, 1452, 1452, 4096, 9000);
    engine->max_flows = 64;
    engine->max_conns = 256;
    engine->max_apps = 4;
    engine->max_packets = PICK(rng, 8, 64, 256, 1024, 1024);
    engine->window_max_pkts = PICK(rng, 1, 8, 64, 256, 1024);
    engine->rto_min_ns = PICK(rng, 500, 1000, 2000) * SIM_US;
    engine->dead_ns = 2000 * SIM_MS;
    engine->idle_ns = 3000 * SIM_MS;
    engine->full_checksum = base_rng_chance(rng, 150000);
    engine->congestion_control = draw_cc(rng);
}

/* How connections are spread over flows. A generator of its own: the rest of a world stays as it is
 * when this changes. PX-93 */
static void draw_flows(struct sim_plan *plan)
{
    struct base_rng rng;
    base_rng_init(&rng, plan->seed ^ UINT64_C(0x666c6f7773));
    plan->engine.flows_per_peer = PICK(&rng, 1, 2, 4, 4, 12);
    plan->engine.conns_per_flow = PICK(&rng, 1, 2, 8, 16384);
    plan->has_classes = base_rng_chance(&rng, 500000);
}

/* What all worlds have in common: two to four engines, some of everything that does no harm. */
static void draw_common(struct sim_plan *plan, struct base_rng *rng)
{
    plan->engines_per_host = 1 + below(rng, 2);
    plan->n_engines = 2 + below(rng, 3);
    plan->n_racks = 1 + below(rng, 2);
    plan->n_apps = plan->n_engines + below(rng, 2);
    plan->host_bps = PICK(rng, 1, 10, 25, 100) * 1e9;
    plan->trunk_bps = plan->host_bps * PICK(rng, 1, 2);
    plan->delay_ns = 500 + base_rng_below(rng, 20000);
    plan->queue_bytes = PICK(rng, 64, 256, 1024) * UINT64_C(1024);
    plan->ecn_bytes = base_rng_chance(rng, 500000) ? plan->queue_bytes / 4 : 0;
    plan->work_ns = SIM_MS + base_rng_below(rng, 8 * SIM_MS);
    plan->n_messages = 40 + below(rng, 160);
    plan->n_opens = 2 + below(rng, 8);
    plan->open_ppm = 50000;
    plan->close_ppm = 10000;
    plan->abort_ppm = 300000;
    plan->ordered_ppm = PICK(rng, 0, 500000, 1000000);
    plan->burst = 1 + below(rng, 8);
    plan->size_small = PICK(rng, 500, 800, 1000);
    plan->size_page = (1000 - plan->size_small) * 3 / 4;
    plan->size_max = 200 * 1024;
    plan->act_gap_ns = SIM_US + base_rng_below(rng, 100 * SIM_US);
    plan->slow_ppm = 50000;
    plan->slots = PICK(rng, 64, 128, 256);
    plan->tx_bytes = PICK(rng, 256, 512, 1024) * UINT64_C(1024);
    plan->rx_bytes = PICK(rng, 512, 1024, 2048) * UINT64_C(1024);
    plan->max_conns_app = 64;
    plan->weather.jitter_ns = base_rng_chance(rng, 300000) ? base_rng_below(rng, 20000) : 0;
    plan->weather.reorder_ns = 1000 + base_rng_below(rng, 200 * SIM_US);
    plan->cut_max_ns = 50 * SIM_MS;
    plan->pause_max_ns = 10 * SIM_MS;
    plan->clock_max_ns = 1000 * SIM_MS;
    draw_engine(&plan->engine, rng);
}

static void bend_calm(struct sim_plan *plan, struct base_rng *rng)
{
    plan->must_live = true;
    plan->n_messages += below(rng, 200);
}

static void bend_mixed(struct sim_plan *plan, struct base_rng *rng)
{
    plan->weather.loss_ppm = PICK(rng, 0, 1000, 20000);
    plan->weather.dup_ppm = PICK(rng, 0, 1000, 50000);
    plan->weather.reorder_ppm = PICK(rng, 0, 10000, 100000);
    plan->weather.corrupt_ppm = PICK(rng, 0, 0, 5000);
    plan->weather.truncate_ppm = PICK(rng, 0, 0, 5000);
    for (int i = 0; i < SIM_N_MISHAPS; i++) {
        plan->mishaps[i] = 1;
    }
    plan->mishap_gap_ns = SIM_MS;
}

static void bend_loss(struct sim_plan *plan, struct base_rng *rng)
{
    plan->weather.loss_ppm = PICK(rng, 10000, 100000, 300000);
    plan->weather.burst_ppm = PICK(rng, 0, 1000, 5000);
    plan->weather.burst_max_pkts = 5 + below(rng, 60);
    plan->mishaps[SIM_MISHAP_WEATHER] = 1;
    plan->mishap_gap_ns = SIM_MS;
    plan->work_ns *= 2;
}

static void bend_reorder(struct sim_plan *plan, struct base_rng *rng)
{
    plan->weather.jitter_ns = base_rng_below(rng, 400 * SIM_US);
    plan->weather.reorder_ppm = PICK(rng, 1000, 100000, 500000);
    plan->weather.reorder_ns = SIM_US + base_rng_below(rng, 10 * SIM_MS);
    plan->weather.dup_ppm = PICK(rng, 0, 10000, 300000);
    plan->weather.loss_ppm = PICK(rng, 0, 0, 10000);
    plan->mishaps[SIM_MISHAP_WEATHER] = 1;
    plan->mishap_gap_ns = SIM_MS;
}

static void bend_damage(struct sim_plan *plan, struct base_rng *rng)
{
    plan->weather.corrupt_ppm = PICK(rng, 1000, 50000, 300000);
    plan->weather.truncate_ppm = PICK(rng, 0, 1000, 100000);
    plan->mishaps[SIM_MISHAP_WEATHER] = 1;
    plan->mishap_gap_ns = 2 * SIM_MS;
}

static void bend_partition(struct sim_plan *plan, struct base_rng *rng)
{
    plan->mishaps[SIM_MISHAP_CUT] = 1;
    plan->mishap_gap_ns = 500 * SIM_US + base_rng_below(rng, 4 * SIM_MS);
    plan->cut_max_ns = PICK(rng, 1, 50, 3000) * SIM_MS;
    plan->weather.loss_ppm = PICK(rng, 0, 0, 20000);
}

static void bend_restart(struct sim_plan *plan, struct base_rng *rng)
{
    plan->mishaps[SIM_MISHAP_RESTART] = 3;
    plan->mishaps[SIM_MISHAP_SHUTDOWN] = 1;
    plan->mishaps[SIM_MISHAP_DETACH] = 3;
    plan->mishap_gap_ns = 500 * SIM_US + base_rng_below(rng, 3 * SIM_MS);
    plan->n_opens = 30;
    plan->open_ppm = 100000;
    plan->weather.loss_ppm = PICK(rng, 0, 0, 20000);
    plan->weather.dup_ppm = PICK(rng, 0, 0, 20000);
}

static void bend_slow(struct sim_plan *plan, struct base_rng *rng)
{
    plan->slow_ppm = 500000;
    plan->rx_bytes = 512 * UINT64_C(1024);
    plan->slots = 64;
    plan->burst = 32;
    plan->act_gap_ns = 20 * SIM_US;
    plan->n_messages += 200 + below(rng, 300);
    plan->must_live = true;
    plan->work_ns *= 2;
}

static void bend_many(struct sim_plan *plan, struct base_rng *rng)
{
    plan->n_engines = 2;
    plan->n_apps = 2;
    plan->n_opens = 100 + below(rng, 100);
    plan->max_conns_app = PICK(rng, 64, 500);
    plan->engine.max_conns = PICK(rng, 128, 1024);
    plan->open_ppm = 400000;
    plan->size_small = 950;
    plan->burst = 24;
    plan->n_messages += 300;
    plan->rx_bytes = 2 * UINT64_C(1024) * 1024;
    plan->weather.loss_ppm = PICK(rng, 0, 0, 5000);
}

static void bend_incast(struct sim_plan *plan, struct base_rng *rng)
{
    plan->n_engines = 5 + below(rng, SIM_ENGINES_MAX - 4);
    plan->engines_per_host = 1;
    plan->n_apps = plan->n_engines;
    plan->is_incast = true;
    plan->host_bps = PICK(rng, 1, 10) * 1e9;
    plan->trunk_bps = plan->host_bps;
    plan->queue_bytes = PICK(rng, 16, 64, 256) * UINT64_C(1024);
    plan->ecn_bytes = plan->queue_bytes / 4;
    plan->size_small = 200;
    plan->size_page = 700;
    plan->n_messages = 150;
    plan->burst = 8;
    plan->act_gap_ns = 20 * SIM_US;
}

static void bend_big(struct sim_plan *plan, struct base_rng *rng)
{
    plan->size_small = 300;
    plan->size_page = 200;
    plan->size_max = PICK(rng, 300, 700) * 1024;
    plan->rx_bytes = PICK(rng, 1024, 2048) * UINT64_C(1024);
    plan->tx_bytes = 1024 * UINT64_C(1024);
    plan->n_messages = 30 + below(rng, 20);
    plan->weather.loss_ppm = PICK(rng, 0, 1000, 20000);
    plan->weather.reorder_ppm = PICK(rng, 0, 10000);
}

static void bend_clock(struct sim_plan *plan, struct base_rng *rng)
{
    /* Not both: to a clock that jumps, a peer that sleeps is as silent as a dead one. */
    plan->mishaps[base_rng_chance(rng, 500000) ? SIM_MISHAP_PAUSE : SIM_MISHAP_CLOCK] = 1;
    plan->mishap_gap_ns = 500 * SIM_US + base_rng_below(rng, 2 * SIM_MS);
    plan->pause_max_ns = PICK(rng, 1, 20, 300) * SIM_MS;
    plan->clock_max_ns = PICK(rng, 1, 1000, 100000) * SIM_MS;
    plan->must_live = true;
}

static void bend_long(struct sim_plan *plan, struct base_rng *rng)
{
    plan->delay_ns = SIM_MS + base_rng_below(rng, 40 * SIM_MS);
    plan->work_ns = 300 * SIM_MS;
    plan->act_gap_ns = 2 * SIM_MS;
    plan->weather.loss_ppm = PICK(rng, 0, 1000, 50000);
    plan->weather.jitter_ns = base_rng_below(rng, 5 * SIM_MS);
    /* Swift's and Timely's targets are below such a round trip: they would only crawl. */
    plan->engine.congestion_control = base_rng_chance(rng, 700000) ? "delay" : "fixed";
}

/* Large packets that vanish, back and forth; at the end the path stays as it is. */
static void bend_path(struct sim_plan *plan, struct base_rng *rng)
{
    plan->engine.mtu_bytes = PICK(rng, 1452, 4096, 9000, 9000);
    memset(plan->keys, base_rng_chance(rng, 500000) ? 1 : 0, sizeof(plan->keys));
    plan->weather.loss_ppm = PICK(rng, 0, 0, 10000);
    plan->weather.reorder_ppm = PICK(rng, 0, 0, 20000);
    plan->mishaps[SIM_MISHAP_PATH] = 4;
    plan->mishaps[SIM_MISHAP_RESTART] = below(rng, 2);
    plan->must_live = plan->mishaps[SIM_MISHAP_RESTART] == 0;
    plan->mishap_gap_ns = 2 * SIM_MS + base_rng_below(rng, 10 * SIM_MS);
    plan->work_ns = 60 * SIM_MS;
    plan->act_gap_ns = 200 * SIM_US;
    plan->close_ppm = 2000;
    plan->size_small = 300;
    plan->size_page = 500;
    plan->n_messages += 100;
}

static void draw_keys(struct sim_plan *plan, struct base_rng *rng)
{
    plan->has_chacha = base_rng_chance(rng, 300000);
    plan->key_packets = PICK(rng, 2, 20, 200, 100000);
    plan->key_ns = PICK(rng, 100, 3000, 1000000) * SIM_US;
}

/* All have the key, and somebody between them sends again what he saw, changed and unchanged. */
static void bend_forged(struct sim_plan *plan, struct base_rng *rng)
{
    memset(plan->keys, 1, sizeof(plan->keys));
    plan->weather.replay_ppm = PICK(rng, 0, 10000, 200000);
    plan->weather.forge_ppm = PICK(rng, 1000, 10000, 200000);
    plan->weather.loss_ppm = PICK(rng, 0, 0, 10000);
    plan->mishaps[SIM_MISHAP_WEATHER] = 1;
    plan->mishap_gap_ns = SIM_MS;
    plan->n_messages += below(rng, 200);
    plan->must_live = true;
}

/* Some have the key, some none, some another one; now and then they die in mid-handshake. */
static void bend_distrust(struct sim_plan *plan, struct base_rng *rng)
{
    for (uint32_t i = 0; i < SIM_ENGINES_MAX; i++) {
        plan->keys[i] = (uint8_t)PICK(rng, 0, 1, 1, 2);
    }
    plan->n_opens += 10;
    plan->open_ppm = 300000;
    if (base_rng_chance(rng, 500000)) {
        plan->delay_ns = 100 * SIM_US + base_rng_below(rng, SIM_MS);
        plan->mishaps[SIM_MISHAP_RESTART] = 3;
        plan->mishaps[SIM_MISHAP_SHUTDOWN] = 1;
        plan->mishap_gap_ns = 200 * SIM_US + base_rng_below(rng, 2 * SIM_MS);
        plan->weather.dup_ppm = PICK(rng, 0, 50000);
        plan->weather.replay_ppm = PICK(rng, 0, 50000);
    }
}

/* Many flows, which come, run empty and are closed while others live. */
static void bend_flows(struct sim_plan *plan, struct base_rng *rng)
{
    plan->engine.flows_per_peer = PICK(rng, 2, 4, 12);
    plan->engine.conns_per_flow = PICK(rng, 1, 2, 4);
    plan->engine.idle_ns = PICK(rng, 2, 20, 3000) * SIM_MS;
    plan->engine.keepalive_ns = 20 * SIM_MS;
    plan->has_classes = base_rng_chance(rng, 500000);
    plan->n_opens = 20 + below(rng, 30);
    plan->open_ppm = 200000;
    plan->close_ppm = 60000;
    plan->work_ns *= 3;
    plan->n_messages += 100;
    plan->weather.loss_ppm = PICK(rng, 0, 1000, 50000);
    plan->weather.reorder_ppm = PICK(rng, 0, 0, 50000);
    plan->weather.dup_ppm = PICK(rng, 0, 0, 20000);
    plan->mishaps[SIM_MISHAP_RESTART] = below(rng, 2);
    plan->mishaps[SIM_MISHAP_DETACH] = below(rng, 2);
    plan->mishaps[SIM_MISHAP_CUT] = below(rng, 2);
    plan->mishaps[SIM_MISHAP_WEATHER] = 1;
    plan->mishap_gap_ns = 2 * SIM_MS;
}

/* Messages of all classes and sizes on one flow, and on one for each. */
static void bend_classes(struct sim_plan *plan, struct base_rng *rng)
{
    plan->has_classes = true;
    plan->engine.flows_per_peer = PICK(rng, 1, 1, 4);
    plan->n_opens = 6 + below(rng, 10);
    plan->size_small = 400;
    plan->size_page = 300;
    plan->burst = 16;
    plan->n_messages += 200;
    plan->act_gap_ns = 20 * SIM_US;
    plan->weather.loss_ppm = PICK(rng, 0, 0, 10000);
    plan->must_live = true;
}

const char *const sim_families[] = {
    "mixed",  "loss",     "reorder", "damage",  "partition", "restart", "slow",
    "many",   "incast",   "big",     "clock",   "calm",      "long",    "path",
    "forged", "distrust", "flows",   "classes", NULL,
};

static bend_fn *const bends[] = {
    bend_mixed, bend_loss, bend_reorder, bend_damage,   bend_partition, bend_restart,
    bend_slow,  bend_many, bend_incast,  bend_big,      bend_clock,     bend_calm,
    bend_long,  bend_path, bend_forged,  bend_distrust, bend_flows,     bend_classes,
};

_Static_assert(BASE_ARRAY_LEN(bends) + 1 == BASE_ARRAY_LEN(sim_families), "one for each");

static uint32_t find(uint64_t seed, const char *family)
{
    uint32_t n = BASE_ARRAY_LEN(bends);
    if (family == NULL) {
        return (uint32_t)(seed % n);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(sim_families[i], family) == 0) {
            return i;
        }
    }
    (void)fprintf(stderr, "sim_worlds: there is no family \"%s\"; --list names them\n", family);
    exit(2);
}

void sim_plan_draw(struct sim_plan *plan, uint64_t seed, const char *family)
{
    struct base_rng rng;
    uint32_t idx = find(seed, family);
    base_rng_init(&rng, seed ^ UINT64_C(0x706c616e));
    memset(plan, 0, sizeof(*plan));
    plan->seed = seed;
    plan->family = sim_families[idx];
    draw_common(plan, &rng);
    draw_flows(plan);
    draw_keys(plan, &rng);
    if (base_rng_chance(&rng, 200000)) {
        memset(plan->keys, 1, sizeof(plan->keys));
    }
    bends[idx](plan, &rng);
    if (!pony_seal_psk.is_built) {
        memset(plan->keys, 0, sizeof(plan->keys));
        plan->weather.replay_ppm = 0;
        plan->weather.forge_ppm = 0;
    }
}
