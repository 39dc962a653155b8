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
    *out = (struct pony_packet_out){
        .to = flow->peer,
        .head = at,
        .payload = p->payload,
        .head_len = hdr_len + p->head_len - (uint32_t)PONY_HEAD_ROOM,
        .payload_len = p->payload_len,
    };
    pony_flow_put_out(flow->table, out);
}

/* A packet that has its number, sent for the first time or again, with a fresh header each time.
 * PX-24, PX-25 */
static void emit_data(struct pony_flow *flow, struct pony_tx_packet *packet, uint64_t now_ns,
                      struct pony_packet_out *out)
{
    struct pony_packet *p = &packet->packet;
    struct pony_wire_hdr hdr;
    pony_flow_make_header(flow, PONY_WIRE_DATA, now_ns, &hdr);
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
        pony_flow_note_ack(flow, need <= room);
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
        pony_flow_emit_sealed(flow, &sealed, out);
    } else {
        emit_open(flow, p, &hdr, out);
    }
    out->src_port_hint = flow->path;
    flow->sent_pkts++;
    flow->last_use_ns = now_ns;
    note_data(flow, now_ns);
}

/* Copies `len` bytes from `off` on of what the packet carries: frames, then payload. */
static void copy_body(const struct pony_packet *p, uint32_t off, uint32_t len, uint8_t *to)
{
    uint32_t in_head = p->head_len - (uint32_t)PONY_HEAD_ROOM;
    uint32_t from_head = off < in_head ? base_min_u32(len, in_head - off) : 0;
    memcpy(to, p->head + PONY_HEAD_ROOM + off, from_head);
    if (len > from_head) {
        memcpy(to + from_head, p->payload + (off + from_head - in_head), len - from_head);
    }
}

/* The next piece of a packet that has become too large. A private copy, all of it under the
 * checksum. PX-236 */
static void emit_part(struct pony_flow *flow, const struct pony_packet *p, uint64_t now_ns,
                      struct pony_packet_out *out)
{
    uint8_t body[PONY_PART_HDR_BYTES + PONY_PART_BYTES];
    uint32_t whole = p->head_len - (uint32_t)PONY_HEAD_ROOM + p->payload_len;
    uint32_t off = (uint32_t)flow->part_idx * PONY_PART_BYTES;
    const struct pony_part part = {
        .idx = flow->part_idx,
        .count = flow->n_parts,
        .whole_len = (uint16_t)whole,
        .len = base_min_u32(whole - off, PONY_PART_BYTES),
    };
    struct pony_wire_hdr hdr;
    pony_flow_make_header(flow, PONY_WIRE_PART, now_ns, &hdr);
    hdr.seq = p->seq;
    hdr.body_len = (uint16_t)(PONY_PART_HDR_BYTES + part.len);
    hdr.covered_len = hdr.body_len;
    pony_part_encode(&part, body);
    copy_body(p, off, part.len, body + PONY_PART_HDR_BYTES);
    if (flow->table->seal_ops->is_sealing) {
        const struct pony_seal_out sealed = {
            .hdr = &hdr, .body = body, .body_len = hdr.body_len, .now_ns = now_ns};
        pony_flow_emit_sealed(flow, &sealed, out);
    } else {
        uint8_t *head = pony_flow_next_scratch(flow->table);
        memcpy(head + PONY_HEAD_ROOM, body, hdr.body_len);
        pony_flow_emit_scratch(flow->table, &flow->peer, &hdr, head, out);
    }
    out->src_port_hint = flow->path;
    flow->sent_pkts++;
    pony_flow_count(flow->table, PONY_FLOW_C_TX_PARTS);
    note_data(flow, now_ns);
}

/* The rest of a packet of which some pieces went out; none if it was acknowledged meanwhile, or is
 * thought lost again. */
static bool next_part(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    if (flow->n_parts == 0) {
        return false;
    }
    const struct pony_tx_packet *packet = flow->sent.slots[flow->part_seq & flow->sent.slot_mask];
    if (packet == NULL || packet->packet.seq != flow->part_seq ||
        packet->place != PONY_PACKET_INFLIGHT) {
        flow->n_parts = 0;
        return false;
    }
    emit_part(flow, &packet->packet, now_ns, out);
    if (++flow->part_idx == flow->n_parts) {
        flow->n_parts = 0;
    }
    return true;
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
    if (pony_flow_packet_bytes(flow, packet) > flow->tx_mtu) {
        const struct pony_packet *p = &packet->packet;
        flow->part_seq = p->seq;
        flow->part_idx = 0;
        flow->n_parts =
            (uint8_t)pony_parts_count(p->head_len - (uint32_t)PONY_HEAD_ROOM + p->payload_len);
        return next_part(flow, now_ns, out);
    }
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
    if (next_part(flow, now_ns, out)) {
        return true;
    }
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
    if (is_open && fill(flow, now_ns, out)) {
        return true;
    }
    if (pony_sent_window_span(&flow->sent) >= flow->table->config.window_max_pkts) {
        flow->limited_ns = now_ns;
    }
    return false;
}

static bool next_of_up(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    bool is_ack_first =
        flow->owes_mtu_answer || (flow->owes_ack && pony_recv_window_has_holes(&flow->recv));
    if (is_ack_first) {
        pony_flow_emit_ack(flow, now_ns, out);
        return true;
    }
    /* Few and far between; data without end must not keep them from leaving. */
    if (pony_flow_next_mtu_probe(flow, now_ns, out)) {
        return true;
    }
    if (next_data(flow, now_ns, out)) {
        return true;
    }
    if (flow->needs_probe) {
        pony_flow_emit_probe(flow, now_ns, out);
        return true;
    }
    if (flow->owes_ack && now_ns >= flow->ack_due_ns) {
        pony_flow_emit_ack(flow, now_ns, out);
        return true;
    }
    return false;
}

static bool next_of(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    if (flow->state == PONY_FLOW_ENDING) {
        pony_flow_emit_reset(flow, now_ns, out);
        return true;
    }
    return pony_flow_next_hello(flow, now_ns, out) ||
           (flow->state == PONY_FLOW_UP && next_of_up(flow, now_ns, out));
}

/* The next packet of the flows of one class. */
static bool next_of_round(struct pony_flow_round *round, uint64_t now_ns,
                          struct pony_packet_out *out)
{
    struct base_list *link;
    while ((link = base_list_first(&round->flows)) != NULL) {
        struct pony_flow *flow = base_list_entry(link, struct pony_flow, round_link);
        const struct pony_flow_table *table = flow->table;
        if (!next_of(flow, now_ns, out)) {
            base_list_del(link);
            round->burst_pkts = 0;
            round->burst_bytes = 0;
            continue;
        }
        round->burst_pkts++;
        round->burst_bytes += out->head_len + out->payload_len;
        /* Where packets are scarce, one each: or the first would take all that come back. */
        bool is_turn_over = round->burst_pkts >= PONY_FLOW_BURST_PKTS ||
                            round->burst_bytes >= PONY_FLOW_BURST_BYTES ||
                            table->packets.n_free < PONY_FLOW_BURST_PKTS;
        if (base_list_first(&round->flows) != link) { /* it ended with that packet, or left */
            is_turn_over = true;
        } else if (is_turn_over) {
            base_list_del(link);
            base_list_add_tail(&round->flows, link);
        }
        if (is_turn_over) {
            round->burst_pkts = 0;
            round->burst_bytes = 0;
        }
        return true;
    }
    return false;
}

bool pony_flows_next_packet(struct pony_flow_table *table, uint64_t now_ns,
                            struct pony_packet_out *out)
{
    struct pony_reply reply;
    if (pony_replies_take(&table->replies, &reply)) {
        pony_flow_emit_reply(table, &reply, out);
        return true;
    }
    while (table->busy != 0) {
        uint32_t busy = table->busy;
        uint32_t class = PONY_CLASS_NORMAL;
        if (busy != 1u << PONY_CLASS_NORMAL) {
            class = pony_class_next(&table->waits, busy);
        }
        if (next_of_round(&table->rounds[class], now_ns, out)) {
            if ((busy & (busy - 1)) != 0) {
                pony_class_note(&table->waits, busy, 1u << class);
            }
            return true;
        }
        table->busy &= ~(1u << class);
    }
    return false;
}
