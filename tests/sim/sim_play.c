/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a world: things happen in the order of their time until the work is done, then the
 * network becomes healthy, everybody finishes, and nothing may be left.
 */
#include "base/assert.h"
#include "base/compiler.h"
#include "tests/sim/sim_world.h"
#include "transport/pony/protocol/flow_internal.h"
#include "transport/pony/protocol/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEPS_MAX = 20 * 1000 * 1000,
    WAKE_NS = 2000
};

#define LOOK_NS     (200 * SIM_US)
#define PROGRESS_NS (UINT64_C(8000) * SIM_MS) /* Swift at its least: a packet each 500 ms */
#define QUIET_NS    (50 * SIM_MS)

static struct sim_world *current;

_Noreturn void sim_fail(const char *file, int line, const char *what)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, what);
    if (current != NULL) {
        (void)fprintf(stderr,
                      "sim_worlds: seed %" PRIu64 " (%s) failed at %" PRIu64
                      " ns: %s\nreplay: sim_worlds --seed %" PRIu64 " --family %s --trace\n",
                      current->plan.seed, current->plan.family, current->net.now_ns, what,
                      current->plan.seed, current->plan.family);
    }
    _Exit(1);
}

/* Beginning. */

static void make_net(struct sim_world *world)
{
    const struct sim_plan *plan = &world->plan;
    uint32_t n_hosts = (plan->n_engines + plan->engines_per_host - 1) / plan->engines_per_host;
    struct sim_net *net = &world->net;
    sim_net_reset(net, plan->seed ^ UINT64_C(0x6e6574), n_hosts);
    net->is_traced = world->is_traced;
    net->weather = plan->weather;
    for (uint32_t i = 0; i < n_hosts; i++) {
        net->rack[i] = (uint8_t)(i % plan->n_racks);
        sim_port_set(&net->up[i], plan->host_bps, plan->delay_ns, 0, 0);
        sim_port_set(&net->down[i], plan->host_bps, plan->delay_ns, plan->queue_bytes,
                     plan->ecn_bytes);
    }
    for (uint32_t i = 0; i < plan->n_racks; i++) {
        for (uint32_t k = 0; k < plan->n_racks; k++) {
            sim_port_set(&net->trunk[i][k], plan->trunk_bps, plan->delay_ns, plan->queue_bytes,
                         plan->ecn_bytes);
        }
    }
}

static void begin(struct sim_world *world, uint64_t seed, const char *family)
{
    if (world->ends == NULL) {
        world->ends = calloc(SIM_ENDS_MAX, sizeof(*world->ends));
        world->msgs = calloc(SIM_MSGS_MAX, sizeof(*world->msgs));
        base_assert(world->ends != NULL && world->msgs != NULL);
    }
    sim_plan_draw(&world->plan, seed, family);
    base_rng_init(&world->rng, seed);
    make_net(world);
    world->n_ends = 1;
    world->n_msgs = 1;
    world->n_msgs_left = world->plan.n_messages;
    world->n_arrived = 0;
    world->n_steps = 0;
    world->is_working = true;
    /* Paths begin wide, so that there is something in flight when they become narrow. */
    uint64_t first_ns = world->plan.mishaps[SIM_MISHAP_PATH] != 0 ? world->plan.mishap_gap_ns : 0;
    world->next_mishap_ns =
        world->plan.mishap_gap_ns != 0 ? world->net.now_ns + first_ns : SIM_NEVER;
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        memset(&world->engines[i], 0, sizeof(world->engines[i]));
        /* Time stamps wrap after 275 s: clocks start where they please. */
        world->engines[i].clock_ns = base_rng_below(&world->rng, UINT64_C(1) << 40);
        sim_engine_start(world, i);
    }
    for (uint32_t i = 0; i < world->plan.n_apps; i++) {
        world->apps[i].life = 0;
        world->apps[i].n_opened = 0;
        sim_app_attach(world, i, i % world->plan.n_engines);
    }
}

/* Mishaps. */

static uint32_t part_of(struct base_rng *rng, uint32_t ppm)
{
    return ppm == 0 || base_rng_chance(rng, 400000) ? 0 : (uint32_t)base_rng_below(rng, ppm + 1);
}

static void change_weather(struct sim_world *world)
{
    const struct sim_weather *worst = &world->plan.weather;
    struct sim_weather *weather = &world->net.weather;
    struct base_rng *rng = &world->rng;
    *weather = *worst;
    weather->loss_ppm = part_of(rng, worst->loss_ppm);
    weather->dup_ppm = part_of(rng, worst->dup_ppm);
    weather->corrupt_ppm = part_of(rng, worst->corrupt_ppm);
    weather->truncate_ppm = part_of(rng, worst->truncate_ppm);
    weather->reorder_ppm = part_of(rng, worst->reorder_ppm);
    weather->burst_ppm = part_of(rng, worst->burst_ppm);
    weather->replay_ppm = part_of(rng, worst->replay_ppm);
    weather->forge_ppm = part_of(rng, worst->forge_ppm);
}

static void restart(struct sim_world *world, uint32_t idx, bool is_told)
{
    if (is_told) {
        sim_engine_stop(world, idx);
    } else {
        sim_engine_kill(world, idx);
    }
    sim_engine_start(world, idx);
    for (uint32_t i = 0; i < world->plan.n_apps; i++) {
        if (world->apps[i].app == NULL && world->apps[i].engine == idx) {
            sim_app_attach(world, i, idx);
        }
    }
}

static void replace_app(struct sim_world *world)
{
    uint32_t idx = (uint32_t)base_rng_below(&world->rng, world->plan.n_apps);
    uint32_t engine = world->apps[idx].engine;
    sim_app_lose(world, idx, true);
    sim_app_attach(world, idx, engine);
}

static enum sim_mishap draw_mishap(struct sim_world *world)
{
    uint64_t sum = 0;
    for (int i = 0; i < SIM_N_MISHAPS; i++) {
        sum += world->plan.mishaps[i];
    }
    uint64_t at = base_rng_below(&world->rng, sum);
    int i = 0;
    while (at >= world->plan.mishaps[i]) {
        at -= world->plan.mishaps[i++];
    }
    return (enum sim_mishap)i;
}

static void change_path(struct sim_world *world)
{
    static const uint32_t carries[] = {PONY_MTU_MIN, PONY_MTU_MIN, 1300, 1472, 4000, 8972, 0};
    world->net.path_mtu = carries[base_rng_below(&world->rng, BASE_ARRAY_LEN(carries))];
}

static void have_mishap(struct sim_world *world)
{
    static const char *const names[] = {"weather", "cut",     "pause",    "clock",
                                        "detach",  "restart", "shutdown", "path"};
    const struct sim_plan *plan = &world->plan;
    struct base_rng *rng = &world->rng;
    uint32_t idx = (uint32_t)base_rng_below(rng, plan->n_engines);
    struct sim_engine *engine = &world->engines[idx];
    enum sim_mishap mishap = draw_mishap(world);
    if (world->is_traced) {
        (void)printf("%12" PRIu64 " mishap %s, engine %u\n", world->net.now_ns, names[mishap], idx);
    }
    switch (mishap) {
    case SIM_MISHAP_WEATHER:
        change_weather(world);
        break;
    case SIM_MISHAP_CUT:
        sim_net_cut(&world->net, (uint32_t)base_rng_u64(rng), base_rng_below(rng, plan->cut_max_ns),
                    base_rng_chance(rng, 200000));
        break;
    case SIM_MISHAP_PAUSE:
        engine->paused_ns = world->net.now_ns + base_rng_below(rng, plan->pause_max_ns);
        break;
    case SIM_MISHAP_CLOCK:
        engine->clock_ns += base_rng_below(rng, plan->clock_max_ns);
        sim_engine_wake(world, engine);
        break;
    case SIM_MISHAP_DETACH:
        replace_app(world);
        break;
    case SIM_MISHAP_RESTART:
    case SIM_MISHAP_SHUTDOWN:
        restart(world, idx, mishap == SIM_MISHAP_SHUTDOWN);
        break;
    case SIM_MISHAP_PATH:
        change_path(world);
        break;
    case SIM_N_MISHAPS:
        break;
    }
    world->next_mishap_ns = world->net.now_ns + 1 + base_rng_below(rng, 2 * plan->mishap_gap_ns);
}

/* Life. */

static uint64_t poll_ns(const struct sim_engine *engine)
{
    return engine->next_poll_ns == SIM_NEVER
               ? SIM_NEVER
               : base_max_u64(engine->next_poll_ns, engine->paused_ns);
}

/* The next thing that happens, wherever. Ties: network, engines, applications, in this order. */
static void step(struct sim_world *world)
{
    uint64_t at_ns = sim_net_next_ns(&world->net);
    struct sim_engine *engine = NULL;
    struct sim_app *app = NULL;
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        uint64_t ns = poll_ns(&world->engines[i]);
        if (ns < at_ns) {
            at_ns = ns;
            engine = &world->engines[i];
        }
    }
    for (uint32_t i = 0; i < world->plan.n_apps; i++) {
        struct sim_app *it = &world->apps[i];
        if (it->next_act_ns == 0) { /* woken */
            it->next_act_ns = world->net.now_ns + WAKE_NS;
        }
        if (it->next_act_ns < at_ns) {
            at_ns = it->next_act_ns;
            app = it;
        }
    }
    SIM_CHECK(++world->n_steps < STEPS_MAX);
    SIM_CHECK(at_ns != SIM_NEVER); /* all asleep, for ever */
    if (engine == NULL && app == NULL) {
        struct sim_packet *packet = sim_net_step(&world->net);
        if (packet != NULL) {
            sim_engine_on_packet(world, packet);
        }
        return;
    }
    world->net.now_ns = base_max_u64(at_ns, world->net.now_ns);
    if (app != NULL) {
        sim_app_act(world, app);
    } else {
        sim_engine_poll(world, engine);
    }
}

static bool has_next(const struct sim_world *world)
{
    uint64_t at_ns = sim_net_next_ns(&world->net);
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        at_ns = base_min_u64(at_ns, poll_ns(&world->engines[i]));
    }
    for (uint32_t i = 0; i < world->plan.n_apps; i++) {
        at_ns = base_min_u64(at_ns, world->apps[i].next_act_ns);
    }
    return at_ns != SIM_NEVER;
}

static void work(struct sim_world *world)
{
    uint64_t end_ns = world->net.now_ns + world->plan.work_ns;
    uint64_t far_ns = end_ns + world->plan.work_ns;
    while (world->net.now_ns < end_ns ||
           (world->n_msgs_left > 0 && world->net.now_ns < far_ns && has_next(world))) {
        if (world->net.now_ns >= world->next_mishap_ns) {
            have_mishap(world);
        }
        step(world);
    }
}

/* From here on nothing bad happens any more. */
static void heal(struct sim_world *world)
{
    world->is_working = false;
    memset(&world->net.weather, 0, sizeof(world->net.weather));
    world->net.heal_ns = 0;
    world->net.burst_left = 0;
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        world->engines[i].paused_ns = 0;
    }
    for (uint32_t i = 0; i < world->plan.n_apps; i++) {
        struct sim_app *app = &world->apps[i];
        app->next_act_ns = base_min_u64(app->next_act_ns, world->net.now_ns + WAKE_NS);
    }
    if (world->is_traced) {
        (void)printf("%12" PRIu64 " healthy from here on\n", world->net.now_ns);
    }
}

typedef bool done_fn(struct sim_world *world);

/* New packets delivered, anywhere. */
static uint64_t progress(const struct sim_world *world)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        n += world->engines[i].engine->flows->counters[PONY_FLOW_C_RX_DATA];
    }
    return n;
}

/* Lives on until `is_done`, looking now and then; stuck if nothing new arrives for long. */
static void live_until(struct sim_world *world, done_fn *is_done, const char *what)
{
    uint64_t end_ns = world->net.now_ns + PROGRESS_NS;
    uint64_t look_ns = 0;
    uint64_t before = 0;
    for (;;) {
        if (world->net.now_ns >= look_ns || !has_next(world)) {
            if (is_done(world)) {
                return;
            }
            if (world->net.now_ns >= end_ns || !has_next(world)) {
                sim_books_print(world);
                for (uint32_t i = 0; i < world->plan.n_engines; i++) {
                    sim_engine_print(&world->engines[i]);
                }
                sim_fail(__FILE__, __LINE__, what);
            }
            uint64_t after = progress(world);
            end_ns = after != before ? world->net.now_ns + PROGRESS_NS : end_ns;
            before = after;
            look_ns = world->net.now_ns + LOOK_NS;
        }
        step(world);
    }
}

static bool is_settled(struct sim_world *world)
{
    return sim_books_are_settled(world);
}

static bool is_closed(struct sim_world *world)
{
    for (uint32_t i = 1; i < world->n_ends; i++) {
        struct sim_end *end = &world->ends[i];
        /* Openers close, acceptors are closed: else nobody would have to flush. */
        bool is_opener = (end->number & SHM_CONN_ACCEPTED) == 0;
        if (is_opener || end->peer == 0 || world->ends[end->peer].is_closed) {
            sim_app_close(world, &world->apps[end->app], end, false);
        }
    }
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        if (world->engines[i].engine->conns.n_taken > 0) {
            return false;
        }
    }
    return sim_books_all_closed(world);
}

static bool has_no_packets(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        const struct pony_flow_table *table = world->engines[i].engine->flows;
        if (table->packets.n_free != table->packets.n_packets) {
            return false;
        }
    }
    return true;
}

static bool has_no_flows(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        if (world->engines[i].engine->flows->flows.n_taken > 0) {
            return false;
        }
    }
    return true;
}

static bool are_credits_even(struct sim_world *world)
{
    return sim_credits_are_even(world);
}

/* Engines need not wake for what was consumed, unless somebody waits for it: here they must look. */
static void stay_quiet(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        world->engines[i].next_poll_ns = world->net.now_ns;
    }
    uint64_t end_ns = world->net.now_ns + QUIET_NS;
    while (world->net.now_ns < end_ns && has_next(world)) {
        step(world);
    }
}

static void finish(struct sim_world *world)
{
    heal(world);
    live_until(world, is_settled, "stuck: messages do not arrive");
    stay_quiet(world);
    live_until(world, are_credits_even, "credit is lost");
    live_until(world, is_closed, "stuck: connections do not close");
    SIM_CHECK(sim_books_are_settled(world));
    if (world->plan.mishap_gap_ns == 0) {
        sim_books_check_refusals(world);
    }
    stay_quiet(world); /* takes back what was read last */
    for (uint32_t i = 0; i < world->plan.n_apps; i++) {
        sim_check_app_is_empty(&world->apps[i]);
    }
    live_until(world, has_no_packets, "stuck: packets are never acknowledged");
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        sim_check_flows_are_idle(&world->engines[i]);
    }
    live_until(world, has_no_flows, "stuck: idle flows do not close");
}

uint64_t sim_play(struct sim_world *world, uint64_t seed, const char *family, bool is_traced)
{
    current = world;
    world->is_traced = is_traced;
    begin(world, seed, family);
    work(world);
    finish(world);
    for (uint32_t i = 0; i < world->plan.n_engines; i++) {
        sim_engine_kill(world, i);
    }
    current = NULL;
    return world->net.hash;
}

void sim_world_fini(struct sim_world *world)
{
    sim_net_fini(&world->net);
    for (uint32_t i = 0; i < SIM_APPS_MAX; i++) {
        free(world->apps[i].client_area);
        free(world->apps[i].engine_area);
        free(world->apps[i].tx);
        free(world->apps[i].rx);
    }
    free(world->ends);
    free(world->msgs);
}
