/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Congestion control in the simulator, beside the figures that were published of Swift (Kumar et al.,
 * SIGCOMM'20, sections 4 and 5). The flow layer and the algorithms are those of snapd; see cc_world.h.
 *
 *   cc_sim [--json FILE] [--check] [incast|load|burst|hosts ...]
 *
 * Without names: all experiments. --check: small ones, with bounds, as a test.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "tests/sim/cc_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GBPS 1e9
#define MS   ((uint64_t)BASE_NS_PER_MS)

struct result {
    char name[80];
    char published[80];
    double gbps, loss, jain;
    double rtt_mean_us, rtt_p50_us, rtt_p99_us, rtt_p999_us;
};

static FILE *json;
static const char *group; /* name of the experiment */
static uint32_t n_results;

static struct cc_config base_config(const char *cc)
{
    struct cc_config config = {
        .cc = pony_cc_find(cc),
        .tuning = {.target_ns = 25 * BASE_NS_PER_US},
        .nodes_per_host = 1,
        .flows_per_node = 1,
        .window_max_pkts = 256,
        .mtu_bytes = 5000,
        .host_bps = 50 * GBPS,
        .delay_ns = 2000,
        /* The published 2027 us at 50 Gb/s, of an incast that fills it, are 12.6 MB. */
        .queue_bytes = 12600000,
        .rto_min_ns = 1 * MS,
        .n_racks = 2,
        .seed = 1,
    };
    return config;
}

static void print_head(const char *what)
{
    (void)printf("\n%s\n%-44s %8s %9s %8s %8s %8s %8s %6s  %s\n", what, "", "Gb/s", "loss %",
                 "mean us", "p50 us", "p99 us", "p99.9", "Jain", "published");
}

static void print_result(const struct result *r)
{
    (void)printf("%-44s %8.2f %9.4f %8.1f %8.1f %8.1f %8.1f %6.3f  %s\n", r->name, r->gbps,
                 100 * r->loss, r->rtt_mean_us, r->rtt_p50_us, r->rtt_p99_us, r->rtt_p999_us,
                 r->jain, r->published);
    (void)fflush(stdout);
    if (json != NULL) {
        (void)fprintf(
            json,
            "%s{\"group\":\"%s\",\"name\":\"%s\",\"gbps\":%.3f,\"loss\":%.6f,\"rtt_mean_us\":%.2f,"
            "\"rtt_p50_us\":%.2f,\"rtt_p99_us\":%.2f,\"rtt_p999_us\":%.2f,\"jain\":%.4f,"
            "\"published\":\"%s\"}",
            n_results > 0 ? ",\n" : "", group, r->name, r->gbps, r->loss, r->rtt_mean_us,
            r->rtt_p50_us, r->rtt_p99_us, r->rtt_p999_us, r->jain, r->published);
    }
    n_results++;
}

static void take_rtts(const struct cc_world *world, struct result *r)
{
    r->rtt_mean_us = base_hist_mean(&world->rtt) / 1000;
    r->rtt_p50_us = (double)base_hist_percentile(&world->rtt, 50) / 1000;
    r->rtt_p99_us = (double)base_hist_percentile(&world->rtt, 99) / 1000;
    r->rtt_p999_us = (double)base_hist_percentile(&world->rtt, 99.9) / 1000;
    r->loss = cc_world_loss(world);
}

static double gbps_of(const struct cc_world *world, uint64_t n_pkts, uint64_t ns)
{
    return (double)n_pkts * world->config.mtu_bytes * 8 / (double)ns;
}

/* `n` flows from 50 hosts to one: all always have more to send. */
static struct result incast(const char *cc, uint32_t n, bool has_small, uint64_t warm_ns,
                            uint64_t run_ns)
{
    static struct cc_world world;
    struct cc_config config = base_config(cc);
    config.n_nodes = n + 1;
    config.nodes_per_host = (n + 50) / 50;
    config.tuning.window_min_pkts = has_small ? 0 : 1;
    cc_world_init(&world, &config);
    /* Node 0 has its host's card to itself: the others of that host stay silent. */
    uint32_t first = config.nodes_per_host;
    struct base_rng rng;
    base_rng_init(&rng, 7);
    uint64_t start_ns = world.net.now_ns;
    for (uint32_t i = first; i <= n; i++) { /* they begin within 10 ms */
        cc_world_run(&world, start_ns + 10 * MS * i / n);
        (void)cc_world_open(&world, i, 0, UINT64_MAX);
    }
    cc_world_run(&world, world.net.now_ns + warm_ns);
    cc_world_measure(&world);
    cc_world_run(&world, world.net.now_ns + run_ns);
    struct result r = {.gbps = gbps_of(&world, world.n_delivered, run_ns),
                       .jain = cc_world_jain(&world, first, n + 1)};
    take_rtts(&world, &r);
    (void)snprintf(r.name, sizeof(r.name), "%u:1 %s%s", n + 1 - first, cc,
                   has_small ? "" : ", no window below 1");
    cc_world_fini(&world);
    return r;
}

static void run_incast(void)
{
    static const struct {
        const char *cc;
        uint32_t n;
        bool has_small;
        uint32_t run_ms; /* measured */
        const char *published;
    } rows[] = {
        {"swift", 1020, true, 1000, ""},
        {"swift", 1020, false, 1000, "GCN (DCTCP-like): 5.1 % loss, 8.67x RTT"},
        {"timely", 1020, true, 100, ""},
        {"delay", 1020, true, 100, ""},
        {"swift", 5102, true, 1000, "49.5 Gb/s, 0.0003 %, 110 us; Jain 0.91"},
        {"swift", 5102, false, 1000, "8.7 Gb/s, 28.7 %, 2027 us"},
        {"timely", 5102, true, 100, ""},
        {"delay", 5102, true, 100, ""},
    };

    print_head("Incast to one 50 Gb/s port, all flows always have more to send");
    for (uint32_t i = 0; i < BASE_ARRAY_LEN(rows); i++) {
        struct result r =
            incast(rows[i].cc, rows[i].n, rows[i].has_small, 400 * MS, rows[i].run_ms * MS);
        (void)snprintf(r.published, sizeof(r.published), "%s", rows[i].published);
        print_result(&r);
    }
}

/* Exponentially distributed, mean 1: -ln(1 - u) by its series, without libm. */
static double exponential(struct base_rng *rng)
{
    double u = base_rng_double(rng);
    double term = u;
    double x = 0;
    for (int k = 1; k < 60; k++) {
        x += term / k;
        term *= u;
    }
    return x;
}

/* Messages of 64 KB between all pairs, at random times: `load` of the links' rate on average. */
static struct result all_to_all(const char *cc, uint32_t n, double load, uint64_t warm_ns,
                                uint64_t run_ns)
{
    enum {
        MESSAGE_PKTS = 13
    };
    static struct cc_world world;
    struct cc_config config = base_config(cc);
    config.n_nodes = n;
    config.flows_per_node = n - 1;
    config.host_bps = 100 * GBPS;
    config.window_max_pkts = 128;
    cc_world_init(&world, &config);
    struct cc_flow **flows = calloc((size_t)n * n, sizeof(struct cc_flow *));
    base_assert(flows != NULL);
    for (uint32_t i = 0; i < n * n; i++) {
        if (i / n != i % n) {
            flows[i] = cc_world_open(&world, i / n, i % n, 0);
        }
    }
    cc_world_run(&world, world.net.now_ns + 5 * MS);
    struct base_rng rng;
    base_rng_init(&rng, 11);
    double gap_ns = MESSAGE_PKTS * config.mtu_bytes * 8 / (config.host_bps * load * n) * 1e9;
    uint64_t begin_ns = world.net.now_ns;
    uint64_t end_ns = begin_ns + warm_ns + run_ns;
    double next_ns = (double)begin_ns;
    while (next_ns < (double)end_ns) {
        if (!world.is_measuring && next_ns >= (double)(begin_ns + warm_ns)) {
            cc_world_measure(&world);
        }
        cc_world_run(&world, (uint64_t)next_ns);
        uint32_t from = (uint32_t)base_rng_below(&rng, n);
        uint32_t to = (uint32_t)base_rng_below(&rng, n - 1);
        to += to >= from;
        cc_flow_add(flows[from * n + to], MESSAGE_PKTS);
        next_ns += exponential(&rng) * gap_ns;
    }
    struct result r = {.gbps = gbps_of(&world, world.n_delivered, run_ns) / n,
                       .jain = cc_world_jain(&world, 0, n)};
    take_rtts(&world, &r);
    (void)snprintf(r.name, sizeof(r.name), "%u hosts, load %.0f %%, %s", n, 100 * load, cc);
    free(flows);
    cc_world_fini(&world);
    return r;
}

static void run_load(void)
{
    static const double loads[] = {0.5, 0.8, 0.95, 1.0};
    print_head("All to all, 64 KB messages, 100 Gb/s hosts, target 25 us (Gb/s per host)");
    for (uint32_t i = 0; i < BASE_ARRAY_LEN(loads); i++) {
        struct result r = all_to_all("swift", 24, loads[i], 20 * MS, 60 * MS);
        (void)snprintf(r.published, sizeof(r.published), "%s",
                       loads[i] >= 1 ? "~100 % load: p99.9 < 50 us, tail <= 3x unloaded" : "");
        print_result(&r);
    }
    struct result timely = all_to_all("timely", 24, 1.0, 20 * MS, 60 * MS);
    print_result(&timely);
    struct result delay = all_to_all("delay", 24, 1.0, 20 * MS, 60 * MS);
    print_result(&delay);
}

/* Ten flows; then the network loses everything for a while. How long until they carry 90 %? */
static double recovery_ms(const char *cc, uint64_t burst_ns, struct result *r)
{
    static struct cc_world world;
    struct cc_config config = base_config(cc);
    config.n_nodes = 12;
    cc_world_init(&world, &config);
    for (uint32_t i = 0; i < 10; i++) {
        (void)cc_world_open(&world, 2 + i, 0, UINT64_MAX);
    }
    cc_world_run(&world, world.net.now_ns + 100 * MS);
    cc_world_measure(&world);
    cc_world_run(&world, world.net.now_ns + 50 * MS);
    double before = gbps_of(&world, world.n_delivered, 50 * MS);
    take_rtts(&world, r);
    r->gbps = before;
    r->jain = cc_world_jain(&world, 2, 12);
    world.net.weather.loss_ppm = 1000000;
    cc_world_run(&world, world.net.now_ns + burst_ns);
    world.net.weather.loss_ppm = 0;
    uint64_t healed_ns = world.net.now_ns;
    const uint64_t slice_ns = MS / 4;
    double ms = -1;
    for (uint32_t i = 0; i < 4000 && ms < 0; i++) {
        uint64_t n = world.n_delivered;
        cc_world_run(&world, world.net.now_ns + slice_ns);
        if (gbps_of(&world, world.n_delivered - n, slice_ns) >= 0.9 * before) {
            ms = (double)(world.net.now_ns - slice_ns - healed_ns) / 1e6;
        }
    }
    cc_world_fini(&world);
    return ms;
}

static void run_burst(void)
{
    static const char *const names[] = {"swift", "timely", "delay"};
    static const uint64_t bursts[] = {MS / 10, MS, 10 * MS};
    print_head("Ten flows, 50 Gb/s; everything is lost for a while (published: none)");
    for (uint32_t i = 0; i < BASE_ARRAY_LEN(names); i++) {
        for (uint32_t k = 0; k < BASE_ARRAY_LEN(bursts); k++) {
            struct result r = {0};
            double ms = recovery_ms(names[i], bursts[k], &r);
            (void)snprintf(r.name, sizeof(r.name), "%s, before a burst of %.1f ms", names[i],
                           (double)bursts[k] / 1e6);
            (void)snprintf(r.published, sizeof(r.published), "90 %% again after %.2f ms", ms);
            print_result(&r);
        }
    }
}

/* Eight flows whose receiving engine is the bottleneck: what the endpoint window is for. */
static struct result slow_host(uint64_t endpoint_ns, const char *name)
{
    static struct cc_world world;
    struct cc_config config = base_config("swift");
    config.n_nodes = 10;
    config.host_bps = 100 * GBPS;
    config.work_ns = 500; /* per packet, in or out: 80 Gb/s less what ACKs cost */
    config.tuning.endpoint_target_ns = endpoint_ns;
    cc_world_init(&world, &config);
    /* Without any noise flows fall into step, and some always meet the queue at its longest. */
    world.net.weather.jitter_ns = 10 * BASE_NS_PER_US;
    for (uint32_t i = 0; i < 8; i++) {
        (void)cc_world_open(&world, 2 + i, 0, UINT64_MAX);
    }
    cc_world_run(&world, world.net.now_ns + 100 * MS);
    cc_world_measure(&world);
    cc_world_run(&world, world.net.now_ns + 100 * MS);
    struct result r = {.gbps = gbps_of(&world, world.n_delivered, 100 * MS),
                       .jain = cc_world_jain(&world, 2, 10)};
    take_rtts(&world, &r);
    (void)snprintf(r.name, sizeof(r.name), "%s", name);
    cc_world_fini(&world);
    return r;
}

static void run_hosts(void)
{
    print_head(
        "Eight flows to an engine that is slower than its link (other set-up than published)");
    struct result none = slow_host(UINT64_C(1000000000), "endpoint window off");
    (void)snprintf(none.published, sizeof(none.published), "one target of 200 us: 185/253 us");
    print_result(&none);
    struct result split = slow_host(100 * BASE_NS_PER_US, "endpoint target 100 us");
    (void)snprintf(split.published, sizeof(split.published), "split 50 + 100 us: 129/175 us");
    print_result(&split);
}

static int fail(const struct result *r, const char *why)
{
    print_head("FAILED");
    print_result(r);
    (void)fprintf(stderr, "cc_sim: %s\n", why);
    return 1;
}

/* Small enough for a test; the bounds are wide, and a broken Swift misses them. */
static int check(void)
{
    struct result small = incast("swift", 408, true, 100 * MS, 30 * MS);
    if (small.gbps < 40 || small.loss > 0.001 || small.rtt_p50_us > 300 || small.jain < 0.7) {
        return fail(&small, "400:1 is not carried");
    }
    struct result load = all_to_all("swift", 8, 0.8, 10 * MS, 10 * MS);
    if (load.gbps < 70 || load.loss > 0.001 || load.rtt_p99_us > 150) {
        return fail(&load, "80 % load is not carried");
    }
    struct result r = {0};
    double ms = recovery_ms("swift", MS, &r);
    if (ms < 0 || ms > 100 || r.gbps < 40) {
        return fail(&r, "no recovery from a burst");
    }
    (void)printf("cc_sim: %s %.1f Gb/s, %s %.1f Gb/s, recovery %.2f ms\n", small.name, small.gbps,
                 load.name, load.gbps, ms);
    return 0;
}

static const struct {
    const char *name;
    void (*run)(void);
} experiments[] = {
    {"incast", run_incast}, {"load", run_load}, {"burst", run_burst}, {"hosts", run_hosts}};

int main(int argc, char **argv)
{
    bool has_names = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0) {
            return check();
        }
        if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
            json = fopen(argv[++i], "w");
            if (json == NULL) {
                perror(argv[i]);
                return 2;
            }
            (void)fprintf(json, "[\n");
            continue;
        }
        has_names = true;
    }
    for (uint32_t k = 0; k < BASE_ARRAY_LEN(experiments); k++) {
        bool is_wanted = !has_names;
        for (int i = 1; i < argc; i++) {
            is_wanted = is_wanted || strcmp(argv[i], experiments[k].name) == 0;
        }
        if (is_wanted) {
            group = experiments[k].name;
            experiments[k].run();
        }
    }
    if (json != NULL) {
        (void)fprintf(json, "\n]\n");
        (void)fclose(json);
    }
    return 0;
}
