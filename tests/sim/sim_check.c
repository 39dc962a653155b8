/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What engines hold inside: limits, conservation of packets, credit and memory.
 */
#include "tests/sim/sim_world.h"
#include "transport/pony/protocol/flow_internal.h"
#include "transport/pony/protocol/state.h"

#include <inttypes.h>
#include <stdio.h>

static void check_app(const struct sim_app *at)
{
    const struct pony_app *app = at->app;
    SIM_CHECK(app->credit.unused <= pony_rxmem_potential(&app->rx));
    SIM_CHECK(app->n_conns <= app->max_conns);
    SIM_CHECK(app->tx_msgs.n_taken <= PONY_APP_TX_MAX);
    SIM_CHECK(app->n_consumed <= app->n_put || app->n_put < 1u << 20);
    SIM_CHECK(app->rx.bytes_used <= app->config.rx_bytes);
}

void sim_check_engine(const struct sim_world *world, const struct sim_engine *at)
{
    const struct pony_engine *engine = at->engine;
    SIM_CHECK(engine->conns.n_taken <= at->config.max_conns);
    SIM_CHECK(engine->flows->flows.n_taken <= at->config.max_flows);
    SIM_CHECK(engine->flows->n_half_open <= engine->flows->max_half_open);
    SIM_CHECK(engine->flows->packets.n_free <= engine->flows->packets.n_packets);
    for (uint32_t i = 0; i < world->plan.n_apps; i++) {
        const struct sim_app *app = &world->apps[i];
        if (app->app != NULL && &world->engines[app->engine] == at) {
            check_app(app);
        }
    }
}

/* Returns how many packets the flow retains. */
static uint32_t check_flow(const struct pony_flow *flow)
{
    const struct pony_sent_window *sent = &flow->sent;
    uint32_t span = pony_sent_window_span(sent);
    SIM_CHECK(span <= flow->table->config.window_max_pkts);
    SIM_CHECK(sent->n_inflight + sent->n_lost + sent->n_sacked == span);
    SIM_CHECK(flow->window_pkts > 0);
    SIM_CHECK(flow->window_pkts <= flow->table->config.window_max_pkts);
    SIM_CHECK(flow->recv.end_seq - flow->recv.next_seq <= PONY_WINDOW_PKTS);
    /* Something is in flight, so something must be waited for. */
    bool has_timer = base_timer_is_armed(&flow->timer);
    SIM_CHECK(flow->state != PONY_FLOW_UP || sent->n_inflight == 0 || has_timer);
    return sent->n_inflight + sent->n_lost;
}

/* The other end of a connection, if there is one that knows this one. */
static const struct pony_conn *peer_of(struct sim_world *world, const struct pony_conn *conn)
{
    bool is_talking = conn->state == PONY_CONN_OPEN || conn->state == PONY_CONN_CLOSING;
    if (!is_talking || conn->is_local || conn->link == NULL) {
        return NULL;
    }
    const struct pony_flow *flow = conn->link->flow;
    const struct sim_engine *at = sim_engine_at(world, pony_flow_peer(flow));
    if (at == NULL || at->engine == NULL || at->config.instance != pony_flow_peer_instance(flow)) {
        return NULL;
    }
    const struct pony_conn *peer = pony_conn_find(at->engine, conn->peer_number);
    bool is_mine = peer != NULL && peer->peer_number == conn->number && peer->link != NULL;
    return is_mine && peer->link->flow->peer_flow == flow->number ? peer : NULL;
}

/* Credit is granted, learnt of, used, counted as used: in this order. */
static void check_credit(struct sim_world *world, const struct pony_conn *conn)
{
    const struct pony_conn *peer = peer_of(world, conn);
    if (peer == NULL) {
        return;
    }
    SIM_CHECK((int32_t)(peer->credit.limit - conn->tx_limit) >= 0);
    SIM_CHECK((int32_t)(conn->tx_limit - conn->tx_used) >= 0);
    SIM_CHECK((int32_t)(conn->tx_used - peer->credit.used) >= 0);
}

void sim_check_deep(struct sim_world *world, const struct sim_engine *at)
{
    const struct pony_engine *engine = at->engine;
    const struct pony_flow_table *table = engine->flows;
    uint32_t n_retained = 0;
    const struct pony_flow *flow;
    for (uint32_t i = 0; (flow = base_pool_next(&table->flows, &i)) != NULL; i++) {
        n_retained += check_flow(flow);
    }
    SIM_CHECK(n_retained + table->packets.n_free == table->packets.n_packets);
    const struct pony_conn *conn;
    for (uint32_t i = 0; (conn = base_pool_next(&engine->conns, &i)) != NULL; i++) {
        check_credit(world, conn);
    }
    world->n_checks++;
}

bool sim_credits_are_even(struct sim_world *world)
{
    for (uint32_t e = 0; e < world->plan.n_engines; e++) {
        const struct pony_engine *engine = world->engines[e].engine;
        const struct pony_conn *conn;
        for (uint32_t i = 0; (conn = base_pool_next(&engine->conns, &i)) != NULL; i++) {
            const struct pony_conn *peer = peer_of(world, conn);
            if (peer != NULL && (conn->tx_limit != peer->credit.limit ||
                                 conn->tx_used != peer->credit.used || peer->credit.in_use != 0 ||
                                 pony_credit_left(&peer->credit) < peer->credit.floor / 2)) {
                return false;
            }
        }
    }
    return true;
}

void sim_check_app_is_empty(const struct sim_app *at)
{
    const struct pony_app *app = at->app;
    SIM_CHECK(app->n_conns == 0);
    SIM_CHECK(app->tx_msgs.n_taken == 0);
    SIM_CHECK(app->rx_msgs.n_taken == 0);
    SIM_CHECK(pony_rxmem_is_empty(&app->rx));
    SIM_CHECK(app->credit.unused == 0 && app->credit.floors == 0 && app->credit.excess == 0);
    SIM_CHECK(app->credit.n_conns == 0 && app->credit.n_low == 0);
    SIM_CHECK(base_list_is_empty(&app->credit.waiting) && base_list_is_empty(&app->waiting));
    SIM_CHECK(!pony_app_has_backlog(app));
    SIM_CHECK(at->tx_pages.n_free == at->tx_pages.n_pages);
}

void sim_check_flows_are_idle(const struct sim_engine *at)
{
    const struct pony_flow_table *table = at->engine->flows;
    SIM_CHECK(table->packets.n_free == table->packets.n_packets);
    SIM_CHECK(at->engine->conns.n_taken == 0);
    SIM_CHECK(at->engine->refusals.n_taken == 0);
}

static void print_flow(const struct pony_flow *flow)
{
    (void)fprintf(stderr,
                  "  flow %x to %u state %d users %u inflight %u lost %u sacked %u seq %u..%u, "
                  "window %.3f, srtt %" PRIu64 " us, rto %" PRIu64 " us, timer %d at %" PRIu64
                  ", wants %d, pace %" PRIu64 ", active %d, starved %d, probes %u\n",
                  flow->number, flow->peer.udp_port, flow->state, flow->n_users,
                  flow->sent.n_inflight, flow->sent.n_lost, flow->sent.n_sacked, flow->sent.una_seq,
                  flow->sent.next_seq, flow->window_pkts, flow->rtt.srtt_ns / 1000,
                  pony_rtt_rto_ns(&flow->rtt) / 1000, base_timer_is_armed(&flow->timer),
                  flow->timer.deadline_ns, flow->wants_fill, flow->pace_next_ns,
                  base_list_is_linked(&flow->round_link), base_list_is_linked(&flow->starve_link),
                  flow->n_probes);
}

void sim_engine_print(const struct sim_engine *at)
{
    const struct pony_engine *engine = at->engine;
    (void)fprintf(stderr, "engine %u: clock +%" PRIu64 ", asleep %d, next poll %" PRIu64 "\n",
                  at->addr.udp_port, at->clock_ns, at->is_asleep, at->next_poll_ns);
    const struct pony_flow *flow;
    for (uint32_t i = 0; (flow = base_pool_next(&engine->flows->flows, &i)) != NULL; i++) {
        print_flow(flow);
    }
    const struct pony_conn *conn;
    for (uint32_t i = 0; (conn = base_pool_next(&engine->conns, &i)) != NULL; i++) {
        (void)fprintf(stderr,
                      "  conn %x (%x) peer %x %s ctl %x, tx %u asked %u credit %u, rx left %u "
                      "in use %u floor %u, done %u of %u, %s\n",
                      conn->number, conn->shm_number, conn->peer_number,
                      pony_conn_state_name(conn->state), conn->ctl, conn->n_tx, conn->cold->n_asked,
                      conn->tx_limit - conn->tx_used, pony_credit_left(&conn->credit),
                      conn->credit.in_use, conn->credit.floor, (uint32_t)conn->received_msgs,
                      conn->cold->n_peer_msgs, conn->is_local ? "local" : "remote");
    }
}
