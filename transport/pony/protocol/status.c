/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/state.h"

#include <string.h>

/* Walkers of engine.h, on the engine's thread. */

bool pony_engine_next_app(const struct pony_engine *engine, uint32_t *cursor,
                          struct pony_app_info *info)
{
    /* The list rotates between rounds; within one walk, on this thread, it stands still. */
    uint32_t i = 0;
    base_list_foreach (it, &engine->apps) {
        if (i++ == *cursor) {
            const struct pony_app *app = base_list_entry(it, struct pony_app, link);
            *info = app->info;
            info->rx_bytes_used = app->rx.bytes_used;
            (*cursor)++;
            return true;
        }
    }
    return false;
}

bool pony_engine_next_conn(const struct pony_engine *engine, uint32_t *cursor,
                           struct pony_conn_info *info)
{
    const struct pony_conn *conn = base_pool_next(&engine->conns, cursor);
    if (conn == NULL) {
        return false;
    }
    *info = (struct pony_conn_info){
        .port = conn->app != NULL ? conn->app->info.port : 0,
        .conn = conn->shm_number,
        .state = pony_conn_state_name(conn->state),
        .sent_msgs = conn->sent_msgs,
        .sent_bytes = conn->sent_bytes,
        .received_msgs = conn->received_msgs,
        .received_bytes = conn->received_bytes,
    };
    static const char *const classes[PONY_CLASSES] = {[PONY_CLASS_NORMAL] = "normal",
                                                      [PONY_CLASS_LATENCY] = "latency",
                                                      [PONY_CLASS_BULK] = "bulk"};
    info->traffic = classes[conn->class];
    if (conn->link != NULL) {
        info->flow = pony_flow_number(conn->link->flow);
        info->peer = *pony_flow_peer(conn->link->flow);
    }
    (*cursor)++;
    return true;
}

bool pony_engine_has_flows(const struct pony_engine *engine)
{
    return pony_flows_exist(engine->flows);
}

bool pony_engine_next_flow(const struct pony_engine *engine, uint32_t *cursor,
                           struct pony_flow_info *info)
{
    return pony_flows_next_info(engine->flows, cursor, info);
}

const char *pony_engine_counter(const struct pony_engine *engine, uint32_t idx, uint64_t *value)
{
    static const char *const names[PONY_OPS_N] = {
#define X(name, text) [PONY_OPS_##name] = text,
        PONY_OPS_COUNTERS(X)
#undef X
    };
    if (idx < PONY_OPS_N) {
        *value = engine->counters[idx];
        return names[idx];
    }
    const char *const *flow_names = NULL;
    const uint64_t *flow_values = NULL;
    uint32_t n = pony_flows_counters(engine->flows, &flow_names, &flow_values);
    if (idx - PONY_OPS_N >= n) {
        *value = 0;
        return NULL;
    }
    *value = flow_values[idx - PONY_OPS_N];
    return flow_names[idx - PONY_OPS_N];
}
