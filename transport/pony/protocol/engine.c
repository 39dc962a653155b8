/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/engine.h"

#include "base/compiler.h"
#include "transport/pony/protocol/cc.h"
#include "transport/pony/protocol/state.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_BYTES_PER_POLL = 256 * 1024,
    REFUSALS_MIN = 1024,
    SECRET_FLOWS = 1
};

#define MS UINT64_C(1000000)

void pony_engine_config_init(struct pony_engine_config *config)
{
    *config = (struct pony_engine_config){
        .mtu_bytes = 1452,
        .max_apps = 1024,
        .max_flows = 1024,
        .max_conns = 65536,
        .max_packets = 16384,
        .window_max_pkts = 1024,
        .flows_per_peer = 4,
        .conns_per_flow = 16384,
        .rto_min_ns = 2 * MS,
        .rto_max_ns = 500 * MS,
        .keepalive_ns = 1000 * MS,
        .dead_ns = 5000 * MS,
        .hello_timeout_ns = 1000 * MS,
        .idle_ns = 60000 * MS,
    };
}

static const struct pony_flow_events events = {
    .fill = pony_sched_fill,
    .deliver = pony_receive_packet,
    .released = pony_mapper_released,
    .up = pony_mapper_up,
    .down = pony_mapper_down,
};

static const struct pony_cc_ops *find_cc(const char *name)
{
    const struct pony_cc_ops *const *cc = pony_cc_all;
    while (*cc != NULL && name != NULL && strcmp((*cc)->name, name) != 0) {
        cc++;
    }
    return *cc;
}

static enum base_err make_flows(struct pony_engine *engine, uint64_t now_ns)
{
    const struct pony_engine_config *config = &engine->config;
    const struct pony_cc_ops *cc = find_cc(config->congestion_control);
    BASE_ENSURE(cc != NULL, BASE_E_NOT_FOUND);
    const struct pony_flow_config flows = {
        .instance = config->instance,
        .seed = pony_engine_secret(engine, UINT64_MAX - SECRET_FLOWS),
        .max_flows = config->max_flows,
        .max_packets = config->max_packets,
        .mtu_bytes = config->mtu_bytes,
        .window_max_pkts = config->window_max_pkts,
        .cc = cc,
        .rto_min_ns = config->rto_min_ns,
        .rto_max_ns = config->rto_max_ns,
        .keepalive_ns = config->keepalive_ns,
        .dead_ns = config->dead_ns,
        .hello_timeout_ns = config->hello_timeout_ns,
        .idle_ns = config->idle_ns,
        .full_checksum = config->full_checksum,
        .security = config->security,
        .version_min = config->version_min,
        .version_max = config->version_max,
        .log = config->log,
        .events = &events,
        .ctx = engine,
    };
    engine->config.security = NULL; /* the caller's; it has been copied */
    return pony_flow_table_create(&flows, now_ns, &engine->flows);
}

static enum base_err make_pools(struct pony_engine *engine)
{
    const struct pony_engine_config *config = &engine->config;
    uint32_t n_refusals = config->max_conns + REFUSALS_MIN;
    uint32_t n_conns = config->max_conns;
    BASE_TRY(base_pool_init(&engine->conns, sizeof(struct pony_conn), 1024, n_conns));
    BASE_TRY(base_pool_init(&engine->cold_conns, sizeof(struct pony_conn_cold), 1024, n_conns));
    BASE_TRY(base_pool_init(&engine->links, sizeof(struct pony_link), 64, config->max_flows));
    BASE_TRY(base_pool_init(&engine->refusals, sizeof(struct pony_refusal), 1024, n_refusals));
    return base_pool_init(&engine->listeners, sizeof(struct pony_listener), 256,
                          PONY_LISTENERS_MAX);
}

enum base_err pony_engine_create(const struct pony_engine_config *config, uint64_t now_ns,
                                 struct pony_engine **engine)
{
    *engine = NULL;
    BASE_ENSURE(config->instance != 0 && config->max_conns > 0 && config->max_flows > 0,
                BASE_E_INVALID);
    BASE_ENSURE(config->max_conns <= UINT32_C(1) << 24, BASE_E_INVALID);
    BASE_ENSURE(config->flows_per_peer > 0 && config->conns_per_flow > 0, BASE_E_INVALID);
    struct pony_engine *made = calloc(1, sizeof(*made));
    BASE_ENSURE(made != NULL, BASE_E_NOMEM);
    made->config = *config;
    made->now_ns = now_ns;
    uint32_t n_idx = base_ceil_pow2_u32(config->max_conns);
    made->conn_bits = n_idx > 1 ? (uint32_t)__builtin_ctz(n_idx) : 1;
    base_list_init(&made->apps);
    base_list_init(&made->dirty);
    pony_link_init(&made->local, NULL);
    pony_services_init(made);
    enum base_err err = make_pools(made);
    if (err == BASE_OK) {
        err = make_flows(made, now_ns);
    }
    if (err != BASE_OK) {
        pony_engine_destroy(made);
        return err;
    }
    *engine = made;
    return BASE_OK;
}

void pony_engine_destroy(struct pony_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    if (engine->flows != NULL) {
        pony_flow_table_destroy(engine->flows);
    }
    base_list_foreach_safe (it, &engine->apps) {
        struct pony_app *app = base_list_entry(it, struct pony_app, link);
        pony_app_fini(app);
        free(app);
    }
    base_pool_fini(&engine->conns);
    base_pool_fini(&engine->cold_conns);
    base_pool_fini(&engine->links);
    base_pool_fini(&engine->refusals);
    base_pool_fini(&engine->listeners);
    free(engine);
}

enum base_err pony_engine_attach(struct pony_engine *engine, const struct pony_app_config *config,
                                 struct pony_app **app)
{
    *app = NULL;
    if (engine->n_apps >= engine->config.max_apps || engine->is_shut_down) {
        base_error_note("the engine serves %u applications at most", engine->config.max_apps);
        return BASE_E_LIMIT;
    }
    struct pony_app *made = calloc(1, sizeof(*made));
    BASE_ENSURE(made != NULL, BASE_E_NOMEM);
    enum base_err err = pony_app_init(made, engine, config);
    if (err != BASE_OK) {
        free(made);
        return err;
    }
    base_list_add_tail(&engine->apps, &made->link);
    engine->n_apps++;
    *app = made;
    return BASE_OK;
}

void pony_engine_detach(struct pony_engine *engine, struct pony_app *app, uint64_t now_ns)
{
    engine->now_ns = now_ns;
    app->is_dead = true; /* nothing is told any more */
    base_list_foreach_safe (it, &app->listeners) {
        pony_service_del(base_list_entry(it, struct pony_listener, app_link));
    }
    /* Packets in flight get their bytes now: what the peer receives does not change, and nothing
     * reads the application's memory after this. */
    pony_flows_copy_payloads(engine->flows, app->tx_base, app->tx_bytes);
    base_list_foreach_safe (it, &app->conns) {
        pony_conn_forget_app(base_list_entry(it, struct pony_conn_cold, app_link)->conn);
    }
    base_list_del(&app->link);
    base_list_del(&app->dirty);
    engine->n_apps--;
    pony_app_fini(app);
    free(app);
}

void pony_engine_on_packet(struct pony_engine *engine, const struct pony_packet_in *in,
                           uint64_t now_ns)
{
    engine->now_ns = now_ns;
    pony_flows_on_packet(engine->flows, in, now_ns);
}

uint32_t pony_engine_set_keys(struct pony_engine *engine, struct pony_seal_keys *keys)
{
    return pony_flows_set_keys(engine->flows, keys);
}

void pony_engine_on_unreachable(struct pony_engine *engine, const struct pony_addr *to,
                                uint64_t now_ns)
{
    engine->now_ns = now_ns;
    pony_flows_on_unreachable(engine->flows, to, now_ns);
}

void pony_engine_on_too_long(struct pony_engine *engine, const struct pony_addr *to, uint32_t bytes,
                             uint64_t now_ns)
{
    engine->now_ns = now_ns;
    pony_flows_on_too_long(engine->flows, to, bytes, now_ns);
}

static uint32_t poll_app(struct pony_app *app, uint64_t now_ns, uint32_t budget)
{
    if (app->is_dead) {
        return 0;
    }
    if (pony_app_reap(app) != BASE_OK) {
        pony_app_fault(app, SHM_REASON_BAD_COMMAND, "bad cursor of the completion queue");
        return 0;
    }
    return pony_app_run_commands(app, now_ns, budget);
}

uint32_t pony_engine_poll_apps(struct pony_engine *engine, uint64_t now_ns, uint32_t budget)
{
    engine->now_ns = now_ns;
    uint32_t n_done = 0;
    for (uint32_t i = 0; i < engine->n_apps && n_done < budget; i++) {
        struct base_list *first = base_list_take_first(&engine->apps);
        base_list_add_tail(&engine->apps, first);
        struct pony_app *app = base_list_entry(first, struct pony_app, link);
        n_done += poll_app(app, now_ns, budget - n_done);
    }
    if (pony_sched_has_local(engine)) {
        n_done += pony_sched_run_local(engine, LOCAL_BYTES_PER_POLL);
    }
    return n_done;
}

void pony_engine_on_time(struct pony_engine *engine, uint64_t now_ns)
{
    engine->now_ns = now_ns;
    pony_flows_on_time(engine->flows, now_ns);
}

uint64_t pony_engine_next_deadline_ns(const struct pony_engine *engine)
{
    return pony_sched_has_local(engine) ? 0 : pony_flows_next_deadline_ns(engine->flows);
}

bool pony_engine_next_packet(struct pony_engine *engine, uint64_t now_ns,
                             struct pony_packet_out *out)
{
    engine->now_ns = now_ns;
    return pony_flows_next_packet(engine->flows, now_ns, out);
}

bool pony_engine_publish(struct pony_engine *engine)
{
    struct base_list *it;
    bool any_news = false;
    while ((it = base_list_take_first(&engine->dirty)) != NULL) {
        struct pony_app *app = base_list_entry(it, struct pony_app, dirty);
        if (!app->is_dead) {
            pony_app_put_sent(app);
        }
        bool has_news = app->has_news;
        any_news = any_news || has_news;
        app->is_dirty = false;
        app->has_news = false;
        if (!app->is_dead && shm_engine_publish(&app->end, has_news) &&
            app->config.on_wake != NULL) {
            app->config.on_wake(app->config.ctx, app);
        }
    }
    return any_news;
}

bool pony_engine_is_waited_for(const struct pony_engine *engine, uint32_t processor)
{
    bool is_any = false;
    base_list_foreach (it, &engine->apps) {
        const struct pony_app *app = base_list_entry(it, struct pony_app, link);
        enum shm_need need = app->is_dead ? SHM_NEED_NONE : shm_engine_need(&app->end, processor);
        if (need == SHM_NEED_IT) {
            return false;
        }
        is_any = is_any || need == SHM_NEED_NEWS;
    }
    return is_any;
}

/* Something waits for the application to consume completions: it must wake us then. A connection
 * whose peer still has credit for its largest eager message does not: the peer wakes us. */
static bool waits_for_app(const struct pony_app *app)
{
    return pony_app_has_backlog(app) || app->credit.n_low > 0 || !base_list_is_empty(&app->waiting);
}

static bool has_work(struct pony_app *app, bool is_waiting)
{
    uint32_t head = 0;
    bool is_lying = shm_engine_consumed(&app->end, &head) != BASE_OK;
    bool may_take = !pony_app_has_backlog(app) && app->tx_msgs.n_taken < PONY_APP_TX_MAX;
    return is_lying || (is_waiting && may_take) || (app->n_consumed != head && waits_for_app(app));
}

bool pony_engine_set_asleep(struct pony_engine *engine, bool is_asleep)
{
    bool is_busy = pony_sched_has_local(engine) || !base_list_is_empty(&engine->dirty);
    base_list_foreach (it, &engine->apps) {
        struct pony_app *app = base_list_entry(it, struct pony_app, link);
        if (app->is_dead) {
            continue;
        }
        app->end.wants_room = waits_for_app(app);
        bool is_waiting = shm_engine_set_asleep(&app->end, is_asleep);
        is_busy = has_work(app, is_waiting) || is_busy;
    }
    return is_busy;
}

void pony_engine_shutdown(struct pony_engine *engine, uint64_t now_ns)
{
    engine->now_ns = now_ns;
    engine->is_shut_down = true;
    base_list_foreach (it, &engine->apps) {
        struct pony_app *app = base_list_entry(it, struct pony_app, link);
        pony_flows_copy_payloads(engine->flows, app->tx_base, app->tx_bytes);
    }
    base_list_foreach (it, &engine->apps) {
        pony_app_shut_down(base_list_entry(it, struct pony_app, link));
    }
    pony_flows_shutdown(engine->flows, SHM_REASON_SHUTDOWN);
}
