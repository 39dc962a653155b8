/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. A flow has one timer, set to the earliest moment at which anything may be due; when it
 * fires, all is looked at and it is set anew. So sending and acknowledging hardly ever touch it.
 */
#include "base/clock.h"
#include "base/compiler.h"
#include "transport/pony/protocol/flow_internal.h"

enum {
    TIMERS_PER_CALL = 256 /* the rest come in the next round */
};

void pony_flow_arm(struct pony_flow *flow, uint64_t deadline_ns)
{
    if (!base_timer_is_armed(&flow->timer) || deadline_ns < flow->timer.deadline_ns) {
        base_wheel_add(&flow->table->wheel, &flow->timer, deadline_ns);
    }
}

void pony_flow_owe(struct pony_flow *flow, uint64_t now_ns)
{
    if (flow->owed_since_ns == UINT64_MAX) {
        flow->owed_since_ns = now_ns;
    }
}

void pony_flow_probe(struct pony_flow *flow)
{
    flow->needs_probe = true;
    pony_flow_activate(flow);
}

/* One on, so that in turn all ports that the device has are tried. PX-34 */
void pony_flow_repath(struct pony_flow *flow)
{
    flow->path++;
    pony_flow_count(flow->table, PONY_FLOW_C_REPATHED);
}

/* PX-28: a quarter of srtt, more where packets proved to be overtaken. */
uint64_t pony_flow_reo_ns(const struct pony_flow *flow)
{
    return flow->rtt.srtt_ns * flow->reo_quarters / 4;
}

static uint64_t rto_deadline_ns(const struct pony_flow *flow)
{
    return flow->sent.n_inflight > 0 ? flow->rto_base_ns + pony_rtt_rto_ns(&flow->rtt) : UINT64_MAX;
}

/* PX-51. Silence alone is not enough: this engine may have slept, so attempts must have failed. */
static uint64_t dead_deadline_ns(const struct pony_flow *flow)
{
    if (flow->owed_since_ns == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t dead_ns = flow->table->config.dead_ns / (flow->is_doubted ? 4 : 1);
    return base_add_sat_u64(base_max_u64(flow->last_rx_ns, flow->owed_since_ns), dead_ns);
}

/* The next PROBE: after a silence while there are users, or since the last one got no answer. */
static uint64_t probe_deadline_ns(const struct pony_flow *flow)
{
    const struct pony_flow_config *config = &flow->table->config;
    if (flow->n_probes > 0) {
        uint64_t wait_ns = pony_rtt_rto_ns(&flow->rtt) << base_min_u32(flow->n_probes - 1, 8);
        return flow->probe_sent_ns + base_min_u64(wait_ns, config->rto_max_ns);
    }
    return flow->n_users > 0 ? flow->last_rx_ns + config->keepalive_ns : UINT64_MAX;
}

/* PX-52 */
static bool is_unused(const struct pony_flow *flow)
{
    return flow->n_users == 0 && !flow->wants_fill && pony_sent_window_is_idle(&flow->sent);
}

/* Those beside the first of their class go sooner. */
uint64_t pony_flow_idle_ns(const struct pony_flow *flow)
{
    bool is_extra = flow->slot % PONY_WIRE_SLOTS_PER_CLASS != 0;
    return flow->table->config.idle_ns / (is_extra ? 4 : 1);
}

/* Also while it is not unused yet: what it still waits for may end without a packet. */
static uint64_t idle_deadline_ns(const struct pony_flow *flow)
{
    return flow->n_users == 0 ? flow->last_use_ns + pony_flow_idle_ns(flow) : UINT64_MAX;
}

/* PX-33 */
uint32_t pony_flow_packet_bytes(const struct pony_flow *flow, const struct pony_tx_packet *packet)
{
    const struct pony_packet *p = &packet->packet;
    return PONY_WIRE_HDR_BYTES + flow->table->seal_ops->overhead_bytes + p->head_len -
           (uint32_t)PONY_HEAD_ROOM + p->payload_len;
}

/* PX-233: do large packets vanish where small ones pass? */
static void suspect_path(struct pony_flow *flow, uint64_t now_ns)
{
    struct base_list *link = base_list_first(&flow->sent.inflight);
    if (link == NULL) {
        return;
    }
    const struct pony_tx_packet *packet = pony_tx_packet_of(link);
    uint32_t bytes = pony_flow_packet_bytes(flow, packet);
    if (bytes <= PONY_MTU_MIN || bytes > flow->tx_mtu) {
        return;
    }
    if (flow->last_rx_ns > packet->packet.sent_ns) {
        pony_flow_on_large_lost(flow, packet, now_ns);
    }
    pony_flow_probe(flow); /* a small one: is anybody there? */
}

static void on_timeout(struct pony_flow *flow, uint64_t now_ns)
{
    struct pony_flow_table *table = flow->table;
    suspect_path(flow, now_ns);
    if (!pony_sent_window_timeout(&flow->sent)) {
        return;
    }
    pony_flow_count(table, PONY_FLOW_C_TIMEOUTS);
    flow->timeouts++;
    flow->n_silent++;
    flow->may_exceed = true;
    flow->rto_base_ns = now_ns;
    pony_rtt_on_timeout(&flow->rtt);
    struct pony_cc_loss loss = {.now_ns = now_ns, .srtt_ns = flow->rtt.srtt_ns, .n_lost = 1};
    table->config.cc->on_timeout(flow->cc_state, &loss, flow->rtt.n_backoff);
    flow->window_pkts = table->config.cc->window_pkts(flow->cc_state);
    if (flow->rtt.n_backoff % PONY_FLOW_REPATH_AFTER == 0) { /* PX-34: perhaps it is the path */
        pony_flow_repath(flow);
    }
    pony_flow_activate(flow);
}

/* Only while the flow has users: a search must not keep it busy. PX-232 */
static uint64_t pmtu_deadline_ns(const struct pony_flow *flow)
{
    return flow->n_users > 0 ? flow->pmtu.next_ns : UINT64_MAX;
}

static void arm_up(struct pony_flow *flow, uint64_t now_ns)
{
    uint64_t next_ns = base_min_u64(rto_deadline_ns(flow), probe_deadline_ns(flow));
    next_ns = base_min_u64(next_ns, dead_deadline_ns(flow));
    next_ns = base_min_u64(next_ns, idle_deadline_ns(flow));
    next_ns = base_min_u64(next_ns, flow->sent.reo_deadline_ns);
    next_ns = base_min_u64(next_ns, pmtu_deadline_ns(flow));
    if (flow->owes_ack) {
        next_ns = base_min_u64(next_ns, flow->ack_due_ns);
    }
    if (flow->pace_next_ns > now_ns) {
        next_ns = base_min_u64(next_ns, flow->pace_next_ns);
    }
    if (next_ns <= now_ns) { /* due, but it waits for the send round: look again soon */
        next_ns = now_ns + BASE_NS_PER_MS / 2;
    }
    if (next_ns != UINT64_MAX) {
        pony_flow_arm(flow, next_ns);
    }
}

/* Past the deadline: was the peer asked often enough? What was tried before this engine slept, or
 * its clock jumped, does not count: the answers may be waiting. PX-51 */
static bool is_dead(struct pony_flow *flow, uint64_t now_ns)
{
    uint64_t asked_ns = base_max_u64(flow->probe_sent_ns, flow->rto_base_ns);
    uint64_t waited_ns = base_sub_sat_u64(now_ns, asked_ns);
    uint64_t rto_ns = pony_rtt_rto_ns(&flow->rtt);
    if (waited_ns > rto_ns + flow->table->config.rto_max_ns) {
        flow->n_silent = 0;
    }
    if (flow->n_silent >= PONY_FLOW_SILENT_MIN) {
        return true;
    }
    if (waited_ns >= rto_ns) {
        pony_flow_probe(flow);
    }
    return false;
}

static void on_timer_up(struct pony_flow *flow, uint64_t now_ns)
{
    if (now_ns >= dead_deadline_ns(flow)) {
        if (is_dead(flow, now_ns)) {
            bool is_told = flow->is_doubted && flow->doubt != SHM_REASON_NONE;
            pony_flow_kill(flow, is_told ? flow->doubt : SHM_REASON_PEER_DEAD, true);
            return;
        }
    }
    if (now_ns >= idle_deadline_ns(flow) && is_unused(flow)) {
        pony_flow_kill(flow, SHM_REASON_CLOSED, true);
        return;
    }
    if (now_ns >= flow->sent.reo_deadline_ns) {
        pony_flow_find_lost(flow, now_ns);
    }
    if (now_ns >= rto_deadline_ns(flow)) {
        on_timeout(flow, now_ns);
    }
    if (now_ns >= probe_deadline_ns(flow)) {
        pony_flow_probe(flow);
    }
    if (now_ns >= pmtu_deadline_ns(flow)) {
        flow->needs_mtu_probe = true;
        pony_flow_activate(flow);
    }
    if (flow->pace_next_ns != 0 && now_ns >= flow->pace_next_ns) {
        pony_flow_activate(flow);
    }
    if (flow->owes_ack && now_ns >= flow->ack_due_ns) {
        pony_flow_activate(flow);
    }
    arm_up(flow, now_ns);
}

static void on_timer_hello(struct pony_flow *flow, uint64_t now_ns)
{
    uint64_t end_ns = flow->hello_start_ns + flow->table->config.hello_timeout_ns;
    if (now_ns >= end_ns) {
        bool is_refused = flow->refused != SHM_REASON_NONE;
        pony_flow_kill(flow, is_refused ? flow->refused : SHM_REASON_UNREACHABLE, false);
        return;
    }
    if (flow->state == PONY_FLOW_HELLO_SENT && now_ns >= flow->hello_next_ns) {
        flow->needs_hello = true;
        pony_flow_activate(flow);
    } else if (flow->state == PONY_FLOW_HELLO_SENT) {
        pony_flow_arm(flow, flow->hello_next_ns); /* one went out of turn, with a cookie */
    }
    pony_flow_arm(flow, end_ns);
}

void pony_flows_on_time(struct pony_flow_table *table, uint64_t now_ns)
{
    struct base_list fired;
    base_list_init(&fired);
    base_wheel_advance(&table->wheel, now_ns, TIMERS_PER_CALL, &fired);
    struct base_list *link;
    while ((link = base_list_take_first(&fired)) != NULL) {
        struct base_timer *timer = base_list_entry(link, struct base_timer, link);
        struct pony_flow *flow = base_container_of(timer, struct pony_flow, timer);
        if (flow->state == PONY_FLOW_UP) {
            on_timer_up(flow, now_ns);
        } else if (flow->state != PONY_FLOW_ENDING) {
            on_timer_hello(flow, now_ns);
        }
    }
}

uint64_t pony_flows_next_deadline_ns(const struct pony_flow_table *table)
{
    return base_wheel_next_deadline_ns(&table->wheel);
}
