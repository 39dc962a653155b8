/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves, one packet at a time, when the device has room for it: no packet waits built.
 *
 * Flows stand in a round; the first one's turn lasts 44 packets or 64 KB, so that a device can
 * hand equal packets to one peer to the kernel at once. Within a flow: handshake, an
 * acknowledgement that has holes to tell, retransmissions, new data, a probe, a bare
 * acknowledgement if no data carried it.
 */
#include "base/assert.h"
#include "base/compiler.h"
#include "transport/pony/protocol/flow_internal.h"

#include <string.h>

static uint8_t *next_scratch(struct pony_flow_table *table)
{
    uint8_t *head = table->scratch + (size_t)table->scratch_idx * PONY_HEAD_BYTES;
    table->scratch_idx = (table->scratch_idx + 1) % PONY_TX_BATCH_MAX;
    return head;
}

static void put_out(struct pony_flow_table *table, struct pony_packet_out *out)
{
    pony_flow_count(table, PONY_FLOW_C_TX_PACKETS);
    table->counters[PONY_FLOW_C_TX_BYTES] += out->head_len + out->payload_len;
}

/* The header of a packet on a flow, but for lengths and SACK; takes the echo. PX-6, PX-7, PX-8 */
static void make_header(struct pony_flow *flow, enum pony_wire_type type, uint64_t now_ns,
                        struct pony_wire_hdr *hdr)
{
    hdr->version = flow->version;
    hdr->type = (uint8_t)type;
    hdr->flags = flow->has_echo ? PONY_WIRE_FLAG_ECHO : 0;
    hdr->n_sack = 0;
    hdr->token = flow->peer_token;
    hdr->dst_flow = flow->peer_flow;
    hdr->seq = flow->sent.next_seq;
    hdr->ack = flow->recv.next_seq;
    hdr->tx_ts = (uint32_t)(now_ns >> PONY_WIRE_TS_SHIFT);
    hdr->echo_ts = 0;
    hdr->echo_delay_ns = 0;
    hdr->hops = PONY_WIRE_HOPS_UNKNOWN;
    if (flow->has_echo) {
        uint64_t delay_ns = base_sub_sat_u64(now_ns, flow->echo_rx_ns);
        hdr->echo_ts = flow->echo_ts;
        hdr->echo_delay_ns = (uint32_t)base_min_u64(delay_ns, UINT32_MAX);
        hdr->hops = flow->echo_hops;
        flow->has_echo = false;
    }
    hdr->n_dup = flow->n_dup;
    hdr->n_ce = flow->n_ce;
    hdr->body_len = 0;
    hdr->covered_len = 0;
}

/* A packet in a scratch head, `body_len` bytes of body already at PONY_HEAD_ROOM. */
static void emit_scratch(struct pony_flow_table *table, const struct pony_addr *to,
                         const struct pony_wire_hdr *hdr, uint8_t *head,
                         struct pony_packet_out *out)
{
    uint32_t hdr_len = pony_wire_hdr_len(hdr->n_sack);
    uint8_t *at = head + PONY_HEAD_ROOM - hdr_len;
    pony_wire_encode(hdr, at);
    *out = (struct pony_packet_out){.to = *to, .head = at, .head_len = hdr_len + hdr->body_len};
    put_out(table, out);
}

/* A packet of a secured flow: encrypted into a scratch head, a private copy. PX-220 */
static void emit_sealed(struct pony_flow *flow, const struct pony_seal_out *sealed,
                        struct pony_packet_out *out)
{
    struct pony_flow_table *table = flow->table;
    uint8_t *at = next_scratch(table);
    uint32_t len = table->seal_ops->seal(table->seal, flow->idx, sealed, at);
    *out = (struct pony_packet_out){.to = flow->peer, .head = at, .head_len = len};
    put_out(table, out);
}

static void emit_reply(struct pony_flow_table *table, const struct pony_reply *reply,
                       struct pony_packet_out *out)
{
    uint8_t *head = next_scratch(table);
    struct pony_wire_hdr hdr = {
        .version = reply->version,
        .type = reply->type,
        .flags = reply->flags,
        .dst_flow = reply->dst_flow,
        .token = reply->token,
        .hops = PONY_WIRE_HOPS_UNKNOWN,
        .body_len = PONY_WIRE_END_BYTES,
        .covered_len = PONY_WIRE_END_BYTES,
    };
    struct pony_wire_end end = {
        .reason = reply->reason,
        .version_min = table->versions.min,
        .version_max = table->versions.max,
        .mode = (uint8_t)(reply->type == PONY_WIRE_REFUSE ? table->seal_ops->mode : 0),
        .instance = table->config.instance,
    };
    pony_wire_encode_end(&end, head + PONY_HEAD_ROOM);
    pony_flow_count(table, PONY_FLOW_C_TX_RESETS);
    emit_scratch(table, &reply->to, &hdr, head, out);
}

/* The last packet of a flow, which is gone afterwards. PX-54 */
static void emit_sealed_reset(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    uint8_t body[PONY_WIRE_END_BYTES];
    struct pony_wire_hdr hdr;
    const struct pony_wire_end end = {
        .reason = (uint8_t)flow->end_reason,
        .version_min = flow->table->versions.min,
        .version_max = flow->table->versions.max,
        .instance = flow->table->config.instance,
    };
    make_header(flow, PONY_WIRE_RESET, now_ns, &hdr);
    hdr.body_len = sizeof(body);
    pony_wire_encode_end(&end, body);
    pony_flow_count(flow->table, PONY_FLOW_C_TX_RESETS);
    const struct pony_seal_out sealed = {
        .hdr = &hdr, .body = body, .body_len = sizeof(body), .now_ns = now_ns};
    emit_sealed(flow, &sealed, out);
}

static void emit_reset(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    if (flow->table->seal_ops->is_sealing) {
        emit_sealed_reset(flow, now_ns, out);
        pony_flow_free(flow);
        return;
    }
    struct pony_reply reply = {
        .to = flow->peer,
        .type = PONY_WIRE_RESET,
        .version = flow->version,
        .reason = (uint8_t)flow->end_reason,
        .dst_flow = flow->peer_flow,
        .token = flow->peer_token,
    };
    emit_reply(flow->table, &reply, out);
    pony_flow_free(flow);
}

/* HELLO or HELLO_OK, padded to the size it speaks of. PX-14 */
static void emit_hello(struct pony_flow *flow, enum pony_wire_type type, uint64_t now_ns,
                       struct pony_packet_out *out)
{
    struct pony_flow_table *table = flow->table;
    bool is_ok = type == PONY_WIRE_HELLO_OK;
    uint32_t mtu = is_ok ? flow->tx_mtu : pony_flow_hello_mtu(flow);
    uint8_t *head = next_scratch(table);
    struct pony_wire_hdr hdr;
    make_header(flow, type, now_ns, &hdr);
    hdr.version = PONY_WIRE_HANDSHAKE_VERSION;
    hdr.seq = flow->first_seq; /* also when data went out already: PX-14 */
    hdr.body_len = (uint16_t)(mtu - PONY_WIRE_HDR_BYTES);
    hdr.covered_len = (uint16_t)table->seal_ops->hello_bytes;
    if (!is_ok) {
        hdr.dst_flow = 0;
        hdr.token = 0;
        hdr.ack = 0;
    }
    struct pony_wire_hello hello = {
        .version_min = is_ok ? flow->version : table->versions.min,
        .version_max = is_ok ? flow->version : table->versions.max,
        .mtu_bytes = (uint16_t)mtu,
        .flow = flow->number,
        .token = flow->token,
        .instance = table->config.instance,
        .features = table->seal_ops->features,
    };
    uint8_t *packet = head + PONY_HEAD_ROOM - PONY_WIRE_HDR_BYTES;
    pony_wire_encode_hello(&hello, head + PONY_HEAD_ROOM);
    memset(head + PONY_HEAD_ROOM + PONY_WIRE_HELLO_BYTES, 0,
           hdr.body_len - (uint32_t)PONY_WIRE_HELLO_BYTES);
    pony_wire_encode(&hdr, packet); /* what is authenticated; the checksum comes again below */
    table->seal_ops->put_hello(table->seal, flow->idx, is_ok, packet);
    pony_flow_count(table, PONY_FLOW_C_TX_HELLOS);
    emit_scratch(table, &flow->peer, &hdr, head, out);
}

static bool next_hello(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    if (flow->needs_hello_ok) {
        flow->needs_hello_ok = false;
        emit_hello(flow, PONY_WIRE_HELLO_OK, now_ns, out);
        return true;
    }
    if (!flow->needs_hello) {
        return false;
    }
    flow->needs_hello = false;
    emit_hello(flow, PONY_WIRE_HELLO, now_ns, out);
    uint64_t wait_ns = PONY_FLOW_HELLO_FIRST_NS << base_min_u32(flow->n_hellos, 8);
    flow->n_hellos++;
    flow->hello_next_ns = now_ns + base_min_u64(wait_ns, PONY_FLOW_HELLO_MAX_NS);
    pony_flow_arm(flow, flow->hello_next_ns);
    return true;
}

/* ACK or PROBE: all that we know has arrived, no body. PX-43 */
static void emit_bare(struct pony_flow *flow, enum pony_wire_type type, uint64_t now_ns,
                      struct pony_packet_out *out)
{
    struct pony_wire_hdr hdr;
    make_header(flow, type, now_ns, &hdr);
    hdr.n_sack = (uint8_t)pony_recv_window_sack(&flow->recv, hdr.sack, PONY_WIRE_SACK_WORDS_MAX);
    flow->owes_ack = false;
    flow->sent_pkts++;
    if (flow->table->seal_ops->is_sealing) {
        const struct pony_seal_out sealed = {.hdr = &hdr, .now_ns = now_ns};
        emit_sealed(flow, &sealed, out);
    } else {
        emit_scratch(flow->table, &flow->peer, &hdr, next_scratch(flow->table), out);
    }
    out->src_port_hint = flow->path;
}

static void emit_ack(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    pony_flow_count(flow->table, PONY_FLOW_C_TX_ACKS);
    emit_bare(flow, PONY_WIRE_ACK, now_ns, out);
}

static void emit_probe(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    pony_flow_count(flow->table, PONY_FLOW_C_TX_PROBES);
    flow->needs_probe = false;
    flow->probe_sent_ns = now_ns;
    flow->n_probes++;
    flow->n_silent++;
    pony_flow_owe(flow, now_ns);
    emit_bare(flow, PONY_WIRE_PROBE, now_ns, out);
    pony_flow_arm(flow, now_ns + pony_rtt_rto_ns(&flow->rtt));
}

/* Pace and timeout follow from every transmission of a packet that has a number. */
static void note_data(struct pony_flow *flow, uint64_t now_ns)
{
    uint64_t gap_ns = flow->table->config.cc->pacing_gap_ns(flow->cc_state, flow->rtt.srtt_ns);
    if (gap_ns != 0) {
        flow->pace_next_ns = now_ns + base_min_u64(gap_ns, flow->table->config.rto_max_ns);
    }
    if (flow->sent.n_inflight == 1) { /* nothing was in flight before: its timeout begins */
        flow->rto_base_ns = now_ns;
        pony_flow_owe(flow, now_ns);
        pony_flow_arm(flow, now_ns + pony_rtt_rto_ns(&flow->rtt));
    }
}

/* In the open: the header before the frames, the payload where the application has it. */
static void emit_open(struct pony_flow *flow, const struct pony_packet *p,
                      const struct pony_wire_hdr *hdr, struct pony_packet_out *out)
{
    uint32_t hdr_len = pony_wire_hdr_len(hdr->n_sack);
    uint8_t *at = p->head + PONY_HEAD_ROOM - hdr_len;
    pony_wire_encode(hdr, at);
    out->to = flow->peer;
    out->head = at;
    out->payload = p->payload;
    out->head_len = hdr_len + p->head_len - (uint32_t)PONY_HEAD_ROOM;
    out->payload_len = p->payload_len;
    put_out(flow->table, out);
}

/* A packet that has its number, sent for the first time or again, with a fresh header each time.
 * PX-24, PX-25 */
static void emit_data(struct pony_flow *flow, struct pony_tx_packet *packet, uint64_t now_ns,
                      struct pony_packet_out *out)
{
    struct pony_packet *p = &packet->packet;
    struct pony_wire_hdr hdr;
    make_header(flow, PONY_WIRE_DATA, now_ns, &hdr);
    uint32_t in_head = p->head_len - (uint32_t)PONY_HEAD_ROOM;
    hdr.seq = p->seq;
    hdr.body_len = (uint16_t)(in_head + p->payload_len);
    hdr.covered_len = (uint16_t)packet->frames_len;
    if (flow->owes_ack) {
        /* What SACK words the packet has room for; if that is not all, an ACK follows. */
        uint32_t need = pony_recv_window_n_sack(&flow->recv);
        uint32_t room = (pony_flow_room_max(flow) - hdr.body_len) / 8;
        hdr.n_sack =
            (uint8_t)pony_recv_window_sack(&flow->recv, hdr.sack, base_min_u32(need, room));
        flow->owes_ack = need > room;
    }
    if (flow->table->seal_ops->is_sealing) {
        const struct pony_seal_out sealed = {
            .hdr = &hdr,
            .body = p->head + PONY_HEAD_ROOM,
            .payload = p->payload,
            .body_len = in_head,
            .payload_len = p->payload_len,
            .now_ns = now_ns,
        };
        emit_sealed(flow, &sealed, out);
    } else {
        emit_open(flow, p, &hdr, out);
    }
    out->src_port_hint = flow->path;
    flow->sent_pkts++;
    flow->last_use_ns = now_ns;
    note_data(flow, now_ns);
}

static bool is_window_open(const struct pony_flow *flow)
{
    double window = flow->window_pkts < 1 ? 1 : flow->window_pkts;
    return (double)flow->sent.n_inflight + 1 <= window;
}

static bool resend(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    struct pony_tx_packet *packet = pony_sent_window_next_lost(&flow->sent);
    if (packet == NULL) {
        return false;
    }
    pony_sent_window_resent(&flow->sent, packet, now_ns);
    flow->may_exceed = false;
    flow->resent_pkts++;
    pony_flow_count(flow->table, PONY_FLOW_C_TX_RESENT);
    emit_data(flow, packet, now_ns, out);
    return true;
}

static bool fill(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    struct pony_flow_table *table = flow->table;
    if (!flow->wants_fill || pony_sent_window_span(&flow->sent) >= table->config.window_max_pkts) {
        return false;
    }
    struct pony_tx_packet *packet = pony_packet_pool_take(&table->packets);
    if (packet == NULL) {
        pony_flow_count(table, PONY_FLOW_C_POOL_EMPTY);
        if (!base_list_is_linked(&flow->starve_link)) {
            base_list_add_tail(&table->starved, &flow->starve_link);
        }
        return false;
    }
    struct pony_packet *p = &packet->packet;
    uint32_t room = pony_flow_room_max(flow);
    flow->wants_fill = false; /* fill() may set it again */
    if (!table->config.events->fill(table->config.ctx, flow, p, room, now_ns)) {
        pony_packet_pool_give(&table->packets, packet);
        return false;
    }
    flow->wants_fill = true;
    base_assert(p->head_len + p->payload_len > PONY_HEAD_ROOM);
    base_assert(p->head_len + p->payload_len - PONY_HEAD_ROOM <= room);
    packet->frames_len = p->head_len - (uint32_t)PONY_HEAD_ROOM;
    if (table->config.full_checksum && p->payload_len > 0 && !table->seal_ops->is_sealing) {
        /* The checksum must not depend on bytes that may change: take them now. */
        memcpy(p->head + p->head_len, p->payload, p->payload_len);
        p->head_len = (uint16_t)(p->head_len + p->payload_len);
        packet->frames_len += p->payload_len;
        p->payload_len = 0;
        p->payload = NULL;
        if (p->owner != NULL) { /* nothing refers to its memory any more */
            struct pony_tx_msg *owner = p->owner;
            p->owner = NULL;
            table->config.events->released(table->config.ctx, flow, owner, true);
        }
    }
    pony_sent_window_push(&flow->sent, packet, now_ns);
    pony_flow_count(table, PONY_FLOW_C_TX_DATA);
    emit_data(flow, packet, now_ns, out);
    return true;
}

/* What was lost, then what is new, as far as window and pace allow. PX-41, PX-42 PX-29 */
static bool next_data(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    if (!flow->wants_fill && flow->sent.n_lost == 0) {
        return false;
    }
    if (now_ns < flow->pace_next_ns) {
        pony_flow_arm(flow, flow->pace_next_ns);
        return false;
    }
    bool is_open = is_window_open(flow);
    if ((is_open || flow->may_exceed) && resend(flow, now_ns, out)) {
        return true;
    }
    return is_open && fill(flow, now_ns, out);
}

static bool next_of_up(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    if (flow->owes_ack && pony_recv_window_has_holes(&flow->recv)) {
        emit_ack(flow, now_ns, out);
        return true;
    }
    if (next_data(flow, now_ns, out)) {
        return true;
    }
    if (flow->needs_probe) {
        emit_probe(flow, now_ns, out);
        return true;
    }
    if (flow->owes_ack) {
        emit_ack(flow, now_ns, out);
        return true;
    }
    return false;
}

static bool next_of(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    if (flow->state == PONY_FLOW_ENDING) {
        emit_reset(flow, now_ns, out);
        return true;
    }
    return next_hello(flow, now_ns, out) ||
           (flow->state == PONY_FLOW_UP && next_of_up(flow, now_ns, out));
}

bool pony_flows_next_packet(struct pony_flow_table *table, uint64_t now_ns,
                            struct pony_packet_out *out)
{
    struct pony_reply reply;
    if (pony_replies_take(&table->replies, &reply)) {
        emit_reply(table, &reply, out);
        return true;
    }
    struct base_list *link;
    while ((link = base_list_first(&table->active)) != NULL) {
        if (!next_of(base_list_entry(link, struct pony_flow, round_link), now_ns, out)) {
            base_list_del(link);
            table->burst_pkts = 0;
            table->burst_bytes = 0;
            continue;
        }
        table->burst_pkts++;
        table->burst_bytes += out->head_len + out->payload_len;
        /* Where packets are scarce, one each: or the first would take all that come back. */
        bool is_turn_over = table->burst_pkts >= PONY_FLOW_BURST_PKTS ||
                            table->burst_bytes >= PONY_FLOW_BURST_BYTES ||
                            table->packets.n_free < PONY_FLOW_BURST_PKTS;
        if (base_list_first(&table->active) != link) { /* it ended with that packet */
            is_turn_over = true;
        } else if (is_turn_over) {
            base_list_del(link);
            base_list_add_tail(&table->active, link);
        }
        if (is_turn_over) {
            table->burst_pkts = 0;
            table->burst_bytes = 0;
        }
        return true;
    }
    return false;
}
