/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every packet of the peer tells of ours: which have arrived, how long that took, what is lost.
 */
#include "base/compiler.h"
#include "transport/pony/protocol/flow_internal.h"

/* How long the newest time stamp of a peer keeps older ones from being echoed. */
#define NEWEST_TS_NS UINT64_C(60000000000)

/* PX-9 */
static uint8_t hops_of(const struct pony_packet_in *in)
{
    static const uint8_t initials[] = {64, 128, 255};
    if (in->ttl == 0) {
        return PONY_WIRE_HOPS_UNKNOWN;
    }
    for (uint32_t i = 0; i < BASE_ARRAY_LEN(initials); i++) {
        if (in->ttl <= initials[i]) {
            return (uint8_t)(initials[i] - in->ttl);
        }
    }
    return PONY_WIRE_HOPS_UNKNOWN;
}

/* PX-31. An older time stamp than the newest is a late or replayed packet's: of no use. */
void pony_flow_note_echo(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    bool is_old = flow->has_newest && (int32_t)(arrival->hdr->tx_ts - flow->echo_ts) < 0;
    if (is_old && arrival->now_ns - flow->echo_rx_ns < NEWEST_TS_NS) {
        return;
    }
    flow->has_newest = true;
    flow->has_echo = true;
    flow->echo_ts = arrival->hdr->tx_ts;
    flow->echo_rx_ns = base_min_u64(arrival->in->rx_ns, arrival->now_ns);
    flow->echo_done_ns = arrival->now_ns;
    flow->echo_hops = hops_of(arrival->in);
}

uint64_t pony_flow_take_rtt(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    (void)flow;
    if ((arrival->hdr->flags & PONY_WIRE_FLAG_ECHO) == 0) {
        return 0;
    }
    uint32_t passed = (uint32_t)(arrival->now_ns >> PONY_WIRE_TS_SHIFT) - arrival->hdr->echo_ts;
    if (passed > INT32_MAX) {
        return 0; /* from the future */
    }
    return ((uint64_t)passed << PONY_WIRE_TS_SHIFT) + 1;
}

static void update_window(struct pony_flow *flow)
{
    const struct pony_cc_ops *cc = flow->table->config.cc;
    flow->window_pkts = cc->window_pkts(flow->cc_state);
}

/* PX-233 */
void pony_flow_on_large_lost(struct pony_flow *flow, const struct pony_tx_packet *packet,
                             uint64_t now_ns)
{
    uint32_t bytes = pony_flow_packet_bytes(flow, packet);
    if (bytes <= flow->tx_mtu && pony_path_mtu_on_loss(&flow->pmtu, bytes, now_ns)) {
        flow->tx_mtu = flow->pmtu.bytes;
        flow->needs_mtu_probe = flow->n_users > 0;
        pony_flow_count(flow->table, PONY_FLOW_C_MTU_LOWERED);
    }
}

/* Of the last `n` in the list of the lost: one that was sent again and did not arrive either, while
 * later ones did. Losses that one acknowledgement shows count once. */
static void suspect_path(struct pony_flow *flow, uint32_t n, uint64_t now_ns)
{
    struct base_list *link = &flow->sent.lost;
    for (uint32_t i = 0; i < n; i++) {
        link = link->prev;
        const struct pony_tx_packet *packet = pony_tx_packet_of(link);
        if (packet->packet.n_sent > 1 && pony_flow_packet_bytes(flow, packet) > PONY_MTU_MIN) {
            pony_flow_on_large_lost(flow, packet, now_ns);
            return;
        }
    }
}

void pony_flow_find_lost(struct pony_flow *flow, uint64_t now_ns)
{
    uint32_t n = pony_sent_window_find_lost(&flow->sent, now_ns, pony_flow_reo_ns(flow));
    if (flow->sent.reo_deadline_ns != UINT64_MAX) {
        pony_flow_arm(flow, flow->sent.reo_deadline_ns);
    }
    if (n == 0) {
        return;
    }
    flow->table->counters[PONY_FLOW_C_LOSSES] += n;
    suspect_path(flow, n, now_ns);
    flow->reo_quiet += n;
    if (flow->reo_quiet > 256 && flow->reo_quarters > 1) {
        flow->reo_quiet = 0;
        flow->reo_quarters--;
    }
    struct pony_cc_loss loss = {.now_ns = now_ns, .srtt_ns = flow->rtt.srtt_ns, .n_lost = n};
    flow->table->config.cc->on_loss(flow->cc_state, &loss);
    update_window(flow);
    pony_flow_activate(flow);
}

/* The guard was too short if the peer got packets twice, or early ones late. PX-28 */
static void adapt_guard(struct pony_flow *flow, uint8_t n_dup, bool was_reordered)
{
    int8_t n_new = (int8_t)(n_dup - flow->peer_n_dup);
    bool was_spurious = n_new > 0 && flow->resent_pkts > 0;
    if (n_new > 0) {
        flow->peer_n_dup = n_dup;
    }
    if (was_spurious) {
        pony_flow_count(flow->table, PONY_FLOW_C_SPURIOUS);
    }
    if (was_reordered) {
        pony_flow_count(flow->table, PONY_FLOW_C_REORDERED);
    }
    if ((was_spurious || was_reordered) && flow->reo_quiet > 0) {
        flow->reo_quiet = 0;
        flow->reo_quarters = base_min_u32(flow->reo_quarters + 1, PONY_FLOW_REO_MAX);
    }
}

static uint32_t take_n_ce(struct pony_flow *flow, uint16_t n_ce)
{
    int16_t n_new = (int16_t)(n_ce - flow->peer_n_ce);
    if (n_new <= 0) {
        return 0;
    }
    flow->peer_n_ce = n_ce;
    return (uint32_t)n_new;
}

/* False: it acknowledges what was never sent. PX-26 */
bool pony_flow_work_on_ack(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    const struct pony_wire_hdr *hdr = arrival->hdr;
    uint64_t now_ns = arrival->now_ns;
    struct pony_acked_seqs seqs = {.ack = hdr->ack, .n_sack = hdr->n_sack, .sack = hdr->sack};
    if (!pony_sent_window_may_ack(&flow->sent, &seqs)) {
        pony_flow_count(flow->table, PONY_FLOW_C_DROP_ACK);
        flow->dropped++;
        return false;
    }
    uint64_t rtt_ns = pony_flow_take_rtt(flow, arrival);
    if (rtt_ns != 0) {
        pony_rtt_add(&flow->rtt, rtt_ns, now_ns);
    }
    uint32_t n_inflight = flow->sent.n_inflight;
    struct base_list acked;
    base_list_init(&acked);
    struct pony_sent_ack result =
        pony_sent_window_ack(&flow->sent, &seqs, now_ns, pony_rtt_min_ns(&flow->rtt), &acked);
    adapt_guard(flow, hdr->n_dup, result.was_reordered);
    if (result.n_acked == 0 && rtt_ns == 0) {
        return true;
    }
    struct pony_cc_ack ack = {
        .now_ns = now_ns,
        .rtt_ns = rtt_ns,
        .endpoint_ns = hdr->echo_delay_ns + base_sub_sat_u64(now_ns, arrival->in->rx_ns),
        .srtt_ns = flow->rtt.srtt_ns,
        .min_rtt_ns = pony_rtt_min_ns(&flow->rtt),
        .n_acked = result.n_acked,
        .n_ce = take_n_ce(flow, hdr->n_ce),
        .n_inflight = n_inflight,
        .hops = hdr->hops,
    };
    flow->table->config.cc->on_ack(flow->cc_state, &ack);
    update_window(flow);
    if (result.n_acked > 0) {
        flow->rto_base_ns = now_ns;
        flow->may_exceed = false;
        pony_rtt_on_progress(&flow->rtt);
        pony_flow_release(flow, &acked, true);
        pony_flow_find_lost(flow, now_ns);
    }
    if (flow->wants_fill || flow->sent.n_lost > 0) {
        pony_flow_activate(flow);
    }
    return true;
}
