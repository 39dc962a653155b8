/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/state.h"

#include <string.h>

/* Connections on flows: all connections of a class between two engines share one flow, until it is
 * full. Connections between applications of one engine share none, their frames go straight across. */

void pony_link_init(struct pony_link *link, struct pony_flow *flow)
{
    *link = (struct pony_link){.flow = flow};
    base_list_init(&link->conns);
    base_list_init(&link->refusals);
    for (uint32_t i = 0; i < PONY_CLASSES; i++) {
        base_list_init(&link->rounds[i].small);
        base_list_init(&link->rounds[i].large);
    }
}

void pony_link_reclass(struct pony_link *link)
{
    uint32_t class = pony_class_most_urgent(link->busy);
    if (class != link->class) {
        link->class = class;
        pony_flow_set_class(link->flow, class);
    }
}

struct pony_link *pony_mapper_link(struct pony_engine *engine, struct pony_flow *flow)
{
    struct pony_link *link = pony_flow_user_data(flow);
    if (link == NULL) {
        link = base_pool_take(&engine->links, NULL);
        if (link != NULL) {
            pony_link_init(link, flow);
            pony_flow_set_user_data(flow, link);
        }
    }
    return link;
}

static void put_on_link(struct pony_conn *conn, struct pony_link *link)
{
    conn->link = link;
    base_list_add_tail(&link->conns, &conn->cold->link_link);
    pony_flow_add_user(link->flow);
}

static bool is_other_life(const struct pony_conn *conn)
{
    return conn->cold->expected_instance != 0 &&
           conn->cold->expected_instance != pony_flow_peer_instance(conn->link->flow);
}

/* The flows to one engine, as a new connection of a class sees them. */
struct choice {
    struct pony_flow *least;      /* of the class: has the fewest connections, */
    struct pony_flow *least_open; /* among those that are not full, */
    struct pony_flow *least_any;  /* of all classes */
    uint64_t n_users;             /* of the class */
    uint32_t n_flows;             /* of all classes */
    uint32_t used;                /* bit per slot */
};

static void note_least(struct pony_flow **least, struct pony_flow *flow)
{
    if (*least == NULL || pony_flow_n_users(flow) < pony_flow_n_users(*least)) {
        *least = flow;
    }
}

/* Full: it has its share of connections, or its window cannot carry more. PX-93 */
static bool is_full(const struct pony_engine *engine, const struct pony_flow *flow)
{
    return pony_flow_n_users(flow) >= engine->config.conns_per_flow ||
           pony_flow_is_limited(flow, engine->now_ns);
}

static struct choice look_at_flows(struct pony_engine *engine, const struct pony_addr *peer,
                                   uint32_t class)
{
    struct choice choice = {0};
    struct pony_flow *own[PONY_WIRE_SLOTS_PER_CLASS] = {0};
    struct pony_flow *flow = NULL;
    while ((flow = pony_flow_next_to(engine->flows, peer, flow)) != NULL) {
        uint32_t slot = pony_flow_slot(flow);
        uint32_t bit = 1u << slot;
        note_least(&choice.least_any, flow);
        if ((choice.used & bit) != 0) {
            continue; /* one to another address of ours */
        }
        choice.used |= bit;
        choice.n_flows++;
        if (slot / PONY_WIRE_SLOTS_PER_CLASS == class) {
            own[slot % PONY_WIRE_SLOTS_PER_CLASS] = flow;
            choice.n_users += pony_flow_n_users(flow);
        }
    }
    /* As many of the first ones as are needed: the last ones run empty, and are closed. */
    uint64_t n_needed = choice.n_users / engine->config.conns_per_flow + 1;
    for (uint32_t i = 0; i < PONY_WIRE_SLOTS_PER_CLASS; i++) {
        if (own[i] == NULL) {
            continue;
        }
        note_least(&choice.least, own[i]);
        if (n_needed > 0 && !is_full(engine, own[i])) {
            note_least(&choice.least_open, own[i]);
            n_needed--;
        }
    }
    return choice;
}

/* The first slot of the class that is free; PONY_WIRE_SLOTS: none. */
static uint8_t free_slot(const struct choice *choice, uint32_t class)
{
    uint32_t slot = class * PONY_WIRE_SLOTS_PER_CLASS;
    uint32_t end = slot + PONY_WIRE_SLOTS_PER_CLASS;
    while (slot < end && (choice->used & 1u << slot) != 0) {
        slot++;
    }
    return (uint8_t)(slot < end ? slot : PONY_WIRE_SLOTS);
}

/* The flow for a new connection; NULL: a limit. PX-93 */
static struct pony_flow *choose_flow(struct pony_engine *engine, const struct pony_addr *peer,
                                     uint32_t class)
{
    struct choice choice = look_at_flows(engine, peer, class);
    if (choice.least_open != NULL) {
        return choice.least_open;
    }
    uint8_t slot =
        choice.n_flows == 0 && engine->config.flows_per_peer == 1 ? 0 : free_slot(&choice, class);
    struct pony_flow *flow = NULL;
    if (choice.n_flows < engine->config.flows_per_peer && slot < PONY_WIRE_SLOTS &&
        pony_flow_get_slot(engine->flows, peer, slot, engine->now_ns, &flow) == BASE_OK) {
        return flow;
    }
    return choice.least != NULL ? choice.least : choice.least_any;
}

void pony_mapper_open(struct pony_conn *conn, const struct shm_addr *to, uint64_t now_ns)
{
    struct pony_engine *engine = conn->engine;
    if (conn->cold->expected_instance == engine->config.instance &&
        to->udp_port == engine->config.udp_port) {
        conn->is_local = true;
        conn->ctl |= PONY_CTL_OPEN;
        pony_conn_wake_small(conn);
        return;
    }
    struct pony_addr peer = pony_addr_from_shm(to);
    engine->now_ns = now_ns;
    struct pony_flow *flow = choose_flow(engine, &peer, conn->class);
    struct pony_link *link = flow != NULL ? pony_mapper_link(engine, flow) : NULL;
    if (link == NULL) {
        pony_conn_end(conn, SHM_REASON_NO_MEMORY, PONY_TELL_NOTHING);
        return;
    }
    put_on_link(conn, link);
    if (pony_flow_is_up(flow) && is_other_life(conn)) {
        pony_conn_end(conn, SHM_REASON_PEER_RESTARTED, PONY_TELL_NOTHING);
        return;
    }
    conn->ctl |= PONY_CTL_OPEN;
    pony_conn_wake_small(conn);
}

void pony_link_refuse(struct pony_engine *engine, struct pony_link *link, uint32_t conn,
                      enum shm_reason reason)
{
    struct pony_refusal *refusal = base_pool_take(&engine->refusals, NULL);
    pony_count(engine, PONY_OPS_REFUSED, 1);
    if (refusal == NULL) {
        return; /* more refusals outstanding than connections: the opener's own time limit ends it */
    }
    refusal->conn = conn;
    refusal->reason = (uint8_t)reason;
    base_list_init(&refusal->link);
    base_list_add_tail(&link->refusals, &refusal->link);
    if (link->flow != NULL) {
        pony_flow_wants_fill(link->flow);
    }
}

static void tell_accepted(const struct pony_conn *conn, const struct pony_listener *listener)
{
    struct shm_completion completion = {
        .kind = SHM_CPL_ACCEPTED, .conn = conn->shm_number, .tag = listener->shm_number};
    if (conn->link != NULL) {
        completion.u.peer.addr = pony_addr_to_shm(pony_flow_peer(conn->link->flow));
    }
    pony_app_complete(conn->app, &completion);
}

void pony_mapper_on_open(struct pony_engine *engine, struct pony_link *link,
                         struct pony_conn *opener, const struct pony_frame *frame)
{
    struct pony_link *way = link != NULL ? link : &engine->local;
    struct pony_listener *listener = pony_service_find(engine, frame->service); /* PX-64 */
    bool is_from_here =
        link == NULL || pony_flow_peer_instance(link->flow) == engine->config.instance;
    if (listener == NULL || (listener->is_local && !is_from_here)) {
        pony_link_refuse(engine, way, frame->conn, SHM_REASON_NO_SERVICE);
        return;
    }
    struct pony_app *app = listener->app;
    /* An application that does not even read what it has gets no more connections: that bounds
     * its backlog. */
    bool is_stuck = app->backlog_tail - app->backlog_head > app->end.cpl_slots;
    struct pony_conn *conn = is_stuck ? NULL : pony_conn_create(engine, app);
    if (conn == NULL) {
        pony_count(engine, PONY_OPS_NO_MEMORY, 1);
        pony_link_refuse(engine, way, frame->conn, SHM_REASON_NO_MEMORY);
        return;
    }
    conn->shm_number = conn->number | SHM_CONN_ACCEPTED;
    conn->peer_number = frame->conn;
    conn->cold->service = frame->service;
    /* PX-80: the answers travel as the questions do, unless the listener wants it otherwise. */
    conn->class = listener->has_class ? listener->class : frame->flags;
    pony_app_add_conn(app, conn);
    if (link != NULL) {
        put_on_link(conn, link);
    } else {
        conn->is_local = true;
        conn->peer = opener;
        opener->peer = conn;
    }
    pony_conn_on_peer_limits(conn, frame->limit_bytes, frame->eager_max_bytes);
    pony_conn_set_accepting(conn);
    tell_accepted(conn, listener);
}

void pony_mapper_released(void *ctx, struct pony_flow *flow, struct pony_tx_msg *owner,
                          bool was_acked)
{
    (void)ctx;
    (void)flow;
    (void)was_acked;
    pony_tx_released(owner);
}

void pony_mapper_up(void *ctx, struct pony_flow *flow)
{
    struct pony_link *link = pony_mapper_link(ctx, flow);
    if (link == NULL) {
        return;
    }
    base_list_foreach_safe (it, &link->conns) {
        struct pony_conn *conn = base_list_entry(it, struct pony_conn_cold, link_link)->conn;
        if (conn->state == PONY_CONN_OPENING && is_other_life(conn)) {
            pony_conn_end(conn, SHM_REASON_PEER_RESTARTED, PONY_TELL_NOTHING);
        }
    }
    if (link->busy != 0) {
        pony_flow_wants_fill(flow);
    }
}

void pony_mapper_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    struct pony_engine *engine = ctx;
    struct pony_link *link = pony_flow_user_data(flow);
    if (link == NULL) {
        return;
    }
    struct base_list *it;
    while ((it = base_list_first(&link->conns)) != NULL) {
        pony_conn_on_link_down(base_list_entry(it, struct pony_conn_cold, link_link)->conn, reason);
    }
    while ((it = base_list_take_first(&link->refusals)) != NULL) {
        base_pool_give(&engine->refusals,
                       base_pool_index(base_list_entry(it, struct pony_refusal, link)));
    }
    pony_flow_set_user_data(flow, NULL);
    base_pool_give(&engine->links, base_pool_index(link));
}
