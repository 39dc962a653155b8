/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applications: they open, send, read, close and die; they sleep between.
 */
#include "base/assert.h"
#include "base/compiler.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>
#include <string.h>

enum {
    AREA_BYTES = SHM_SLOTS_OFF + SIM_SLOTS_MAX * SHM_SLOT_BYTES,
    WAKE_NS = 2000 /* from the notification to the application's first instruction */
};

uint64_t sim_service(const struct sim_app *app)
{
    return 1000 + app->idx * UINT64_C(1000) + app->life;
}

void sim_app_on_wake(void *ctx, struct pony_app *pony)
{
    /* The notification eventfd: sim_play sees the flag and lets the application act. */
    struct sim_app *app = ctx;
    (void)pony;
    app->next_act_ns = 0;
}

static void on_fault(void *ctx, struct pony_app *pony, enum shm_reason reason, const char *what)
{
    (void)ctx;
    (void)pony;
    (void)reason;
    sim_fail(__FILE__, __LINE__, what); /* no application here breaks the rules */
}

static void *area(size_t bytes)
{
    void *made = aligned_alloc(64, bytes);
    base_assert(made != NULL);
    memset(made, 0, bytes);
    return made;
}

static void make_memory(struct sim_app *app)
{
    if (app->tx == NULL) {
        app->client_area = area(AREA_BYTES);
        app->engine_area = area(AREA_BYTES);
        app->tx = area(SIM_TX_BYTES_MAX);
        app->rx = area(SIM_RX_BYTES_MAX);
    }
    memset(app->client_area, 0, SHM_SLOTS_OFF);
    memset(app->engine_area, 0, SHM_SLOTS_OFF);
}

static bool put(struct sim_world *world, struct sim_app *app, const struct shm_command *command)
{
    enum base_err err = shm_client_put(&app->end, command);
    SIM_CHECK(err == BASE_OK || err == BASE_AGAIN);
    if (err == BASE_OK && shm_client_publish(&app->end)) {
        sim_engine_wake(world, &world->engines[app->engine]);
    }
    return err == BASE_OK;
}

void sim_app_attach(struct sim_world *world, uint32_t idx, uint32_t engine)
{
    const struct sim_plan *plan = &world->plan;
    struct sim_app *app = &world->apps[idx];
    make_memory(app);
    app->idx = idx;
    app->engine = engine;
    app->life++;
    app->next_number = 1;
    app->n_open = 0;
    app->is_slow = base_rng_chance(&world->rng, plan->slow_ppm);
    app->read_max = app->is_slow ? 4 : 64;
    app->next_act_ns = world->net.now_ns;
    app->next_plan_ns = world->net.now_ns;
    memset(app->numbers, 0, sizeof(app->numbers));
    enum base_err err = base_pages_init(&app->tx_pages, (uint32_t)(plan->tx_bytes / SIM_TX_PAGE));
    SIM_CHECK(err == BASE_OK);
    shm_client_end_init(&app->end, app->client_area, app->engine_area, plan->slots, plan->slots);
    struct pony_app_config config = {
        .tx_base = app->tx,
        .tx_bytes = plan->tx_bytes,
        .rx_base = app->rx,
        .rx_bytes = plan->rx_bytes,
        .max_message_bytes = plan->size_max,
        .max_conns = plan->max_conns_app,
        .joins_sent = (idx + app->life) % 4 != 0,
        .port = idx + 1,
        .on_fault = on_fault,
        .on_wake = sim_app_on_wake,
        .ctx = app,
    };
    shm_engine_end_init(&config.end, app->client_area, app->engine_area, plan->slots, plan->slots);
    err = pony_engine_attach(world->engines[engine].engine, &config, &app->app);
    SIM_CHECK(err == BASE_OK);
    sim_engine_wake(world, &world->engines[engine]);
    struct shm_command command = {.opcode = SHM_OP_LISTEN, .conn = SIM_LISTENER};
    command.u.listen.service = sim_service(app);
    SIM_CHECK(put(world, app, &command));
}

void sim_app_lose(struct sim_world *world, uint32_t idx, bool is_told)
{
    struct sim_app *app = &world->apps[idx];
    struct sim_engine *engine = &world->engines[app->engine];
    for (uint32_t i = 1; i < world->n_ends; i++) {
        struct sim_end *end = &world->ends[i];
        if (end->app == idx && !end->is_closed) {
            end->is_gone = true;
            end->is_closed = true;
        }
    }
    if (is_told) {
        pony_engine_detach(engine->engine, app->app, sim_local_ns(world, engine));
        sim_engine_wake(world, engine);
        /* The memory is another's now: whatever still reads it sends wrong bytes. */
        memset(app->tx, 0xdd, world->plan.tx_bytes);
    }
    base_pages_fini(&app->tx_pages);
    app->app = NULL;
    app->next_act_ns = SIM_NEVER;
}

/* What an application may do. */

static void open_one(struct sim_world *world, struct sim_app *app)
{
    const struct sim_plan *plan = &world->plan;
    uint32_t to = plan->is_incast ? 0 : (uint32_t)base_rng_below(&world->rng, plan->n_apps);
    if (app->n_opened == plan->n_opens || app->n_open == SIM_OPEN_MAX ||
        (plan->is_incast && app->idx == 0) || world->n_ends + 2 >= SIM_ENDS_MAX) {
        return;
    }
    const struct sim_app *peer = &world->apps[to];
    const struct sim_engine *engine = &world->engines[peer->engine];
    struct shm_command command = {.opcode = SHM_OP_OPEN, .conn = app->next_number};
    memcpy(command.u.open.to.ip, engine->addr.ip, sizeof(engine->addr.ip));
    command.u.open.to.udp_port = engine->addr.udp_port;
    command.u.open.service = sim_service(peer);
    /* A secured engine does not open a flow to itself: that looks like a reflection. */
    bool is_itself = peer->engine == app->engine && plan->keys[peer->engine] != 0;
    bool is_named = base_rng_chance(&world->rng, 500000) || is_itself;
    command.u.open.instance = is_named ? engine->config.instance : 0;
    if (world->plan.has_classes) {
        command.u.open.traffic = (uint8_t)(app->next_number % SHM_TRAFFIC_MAX);
    }
    if (put(world, app, &command)) {
        app->n_opened++;
        struct sim_end *end = sim_end_new(world, app, app->next_number++);
        end->to_engine = peer->engine;
    }
}

static uint32_t draw_len(struct sim_world *world)
{
    const struct sim_plan *plan = &world->plan;
    uint32_t kind = (uint32_t)base_rng_below(&world->rng, 1000);
    uint32_t max = kind < plan->size_small                     ? 1200
                   : kind < plan->size_small + plan->size_page ? 17 * 1024
                                                               : plan->size_max;
    uint32_t len = (uint32_t)base_rng_below(&world->rng, base_min_u32(max, plan->size_max) + 1);
    return len < 8 ? (base_rng_chance(&world->rng, 500000) ? 0 : 8) : len;
}

static bool send_one(struct sim_world *world, struct sim_app *app, struct sim_end *end)
{
    if (end->has_closed || world->n_msgs_left == 0 || world->n_msgs == SIM_MSGS_MAX) {
        return false;
    }
    uint32_t len = draw_len(world);
    uint32_t n_pages = len / SIM_TX_PAGE + 1;
    int64_t page = base_pages_take(&app->tx_pages, n_pages);
    if (page < 0) {
        return false;
    }
    uint32_t idx = world->n_msgs;
    struct sim_msg *msg = &world->msgs[idx];
    *msg = (struct sim_msg){
        .end = (uint32_t)(end - world->ends),
        .len = len,
        .page = (uint32_t)page,
        .n_pages = n_pages,
        .stream = (uint8_t)base_rng_below(&world->rng, SIM_STREAMS),
        .is_ordered = len > 0 && base_rng_chance(&world->rng, world->plan.ordered_ppm),
    };
    uint64_t off = (uint64_t)page * SIM_TX_PAGE;
    sim_msg_write(app->tx + off, idx, len);
    struct shm_command command = {
        .opcode = SHM_OP_SEND,
        .conn = end->number,
        .flags = msg->is_ordered ? SHM_SEND_ORDERED : 0,
        .tag = idx,
    };
    command.u.send.off = off;
    command.u.send.len = len;
    command.u.send.stream = msg->stream;
    if (!put(world, app, &command)) {
        SIM_CHECK(base_pages_give(&app->tx_pages, (uint32_t)page, n_pages) == BASE_OK);
        return false;
    }
    world->n_msgs++;
    world->n_msgs_left--;
    end->n_sent++;
    end->n_empty_sent += len == 0;
    return true;
}

void sim_app_close(struct sim_world *world, struct sim_app *app, struct sim_end *end, bool is_abort)
{
    if (end->is_closed || end->has_aborted || (end->has_closed && !is_abort)) {
        return;
    }
    const struct shm_command command = {
        .opcode = SHM_OP_CLOSE, .flags = is_abort ? SHM_CLOSE_ABORT : 0, .conn = end->number};
    if (put(world, app, &command)) {
        end->has_closed = true;
        end->has_aborted = is_abort;
    }
}

static void do_one(struct sim_world *world, struct sim_app *app)
{
    const struct sim_plan *plan = &world->plan;
    uint32_t what = (uint32_t)base_rng_below(&world->rng, 1000000);
    if (app->n_open == 0 || what < plan->open_ppm) {
        open_one(world, app);
        return;
    }
    uint32_t at = (uint32_t)base_rng_below(&world->rng, app->n_open);
    struct sim_end *end = &world->ends[app->open_ends[at]];
    if (what < plan->open_ppm + plan->close_ppm) {
        sim_app_close(world, app, end, base_rng_chance(&world->rng, plan->abort_ppm));
    } else {
        (void)send_one(world, app, end);
    }
}

static bool read_some(struct sim_world *world, struct sim_app *app, uint32_t max)
{
    struct shm_completion cpl;
    for (uint32_t n = 0; n < max; n++) {
        uint32_t n_read = 0;
        enum base_err err = shm_client_peek(&app->end, &cpl, 1, &n_read);
        SIM_CHECK(err == BASE_OK);
        if (n_read == 0) {
            return false;
        }
        sim_books_on_completion(world, app, &cpl);
        if (shm_client_consume(&app->end, 1)) {
            sim_engine_wake(world, &world->engines[app->engine]);
        }
    }
    return true;
}

void sim_app_act(struct sim_world *world, struct sim_app *app)
{
    uint64_t now_ns = world->net.now_ns;
    (void)shm_client_set_asleep(&app->end, SHM_CLIENT_AWAKE);
    bool has_more = read_some(world, app, world->is_working ? app->read_max : UINT32_MAX);
    if (world->is_working && now_ns >= app->next_plan_ns) {
        uint64_t n = 1 + base_rng_below(&world->rng, world->plan.burst);
        for (uint64_t i = 0; i < n; i++) {
            do_one(world, app);
        }
        app->next_plan_ns = now_ns + 1 + base_rng_below(&world->rng, 2 * world->plan.act_gap_ns);
    }
    uint64_t plan_ns = world->is_working ? app->next_plan_ns : SIM_NEVER;
    if (app->is_slow && world->is_working) { /* never woken: looks now and then */
        app->next_act_ns = now_ns + 200 * SIM_US + base_rng_below(&world->rng, 2 * SIM_MS);
    } else if (has_more || shm_client_set_asleep(&app->end, SHM_CLIENT_ASLEEP_ALL)) {
        app->next_act_ns = now_ns + WAKE_NS;
    } else {
        app->next_act_ns = plan_ns;
    }
}
