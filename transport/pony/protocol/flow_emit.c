/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flow layer's own packets, each written when it leaves: handshake, acknowledgement, probe, end.
 */
#include "base/compiler.h"
#include "base/endian.h"
#include "transport/pony/protocol/flow_internal.h"

#include <string.h>

uint8_t *pony_flow_next_scratch(struct pony_flow_table *table)
{
    uint8_t *head = table->scratch + (size_t)table->scratch_idx * PONY_HEAD_BYTES;
    table->scratch_idx = (table->scratch_idx + 1) % PONY_TX_BATCH_MAX;
    return head;
}

void pony_flow_put_out(struct pony_flow_table *table, struct pony_packet_out *out)
{
    pony_flow_count(table, PONY_FLOW_C_TX_PACKETS);
    table->counters[PONY_FLOW_C_TX_BYTES] += out->head_len + out->payload_len;
}

/* How long what is echoed has waited on purpose, in units of time stamps: not for lack of anything. */
static uint32_t waited_ts(const struct pony_flow *flow, uint64_t now_ns)
{
    if (!flow->owes_ack || flow->ack_due_ns <= flow->echo_done_ns) {
        return 0;
    }
    uint64_t waited_ns = base_sub_sat_u64(now_ns, flow->echo_done_ns);
    return (uint32_t)(base_min_u64(waited_ns, PONY_FLOW_ACK_DELAY_NS) >> PONY_WIRE_TS_SHIFT);
}

/* The header of a packet on a flow, but for lengths and SACK; takes the echo. PX-6, PX-7, PX-8 */
void pony_flow_make_header(struct pony_flow *flow, enum pony_wire_type type, uint64_t now_ns,
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
        uint32_t waited = waited_ts(flow, now_ns);
        uint64_t delay_ns =
            base_sub_sat_u64(now_ns, flow->echo_rx_ns) - ((uint64_t)waited << PONY_WIRE_TS_SHIFT);
        hdr->echo_ts = flow->echo_ts + waited;
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
void pony_flow_emit_scratch(struct pony_flow_table *table, const struct pony_addr *to,
                            const struct pony_wire_hdr *hdr, uint8_t *head,
                            struct pony_packet_out *out)
{
    uint32_t hdr_len = pony_wire_hdr_len(hdr->n_sack);
    uint8_t *at = head + PONY_HEAD_ROOM - hdr_len;
    pony_wire_encode(hdr, at);
    *out = (struct pony_packet_out){.to = *to, .head = at, .head_len = hdr_len + hdr->body_len};
    pony_flow_put_out(table, out);
}

/* A packet of a secured flow: encrypted into a scratch head, a private copy. PX-220 */
void pony_flow_emit_sealed(struct pony_flow *flow, const struct pony_seal_out *sealed,
                           struct pony_packet_out *out)
{
    struct pony_flow_table *table = flow->table;
    uint8_t *at = pony_flow_next_scratch(table);
    uint32_t len = table->seal_ops->seal(table->seal, flow->idx, sealed, at);
    *out = (struct pony_packet_out){.to = flow->peer, .head = at, .head_len = len};
    pony_flow_put_out(table, out);
}

void pony_flow_emit_reply(struct pony_flow_table *table, const struct pony_reply *reply,
                          struct pony_packet_out *out)
{
    uint8_t *head = pony_flow_next_scratch(table);
    bool has_cookie = reply->detail == PONY_WIRE_DETAIL_COOKIE;
    const uint16_t len =
        (uint16_t)(PONY_WIRE_END_BYTES + (has_cookie ? PONY_WIRE_COOKIE_BYTES : 0));
    struct pony_wire_hdr hdr = {
        .version = reply->version,
        .type = reply->type,
        .flags = reply->flags,
        .dst_flow = reply->dst_flow,
        .token = reply->token,
        .hops = PONY_WIRE_HOPS_UNKNOWN,
        .body_len = len,
        .covered_len = len,
    };
    struct pony_wire_end end = {
        .reason = reply->reason,
        .version_min = table->versions.min,
        .version_max = table->versions.max,
        .mode = (uint8_t)(reply->type == PONY_WIRE_REFUSE ? table->seal_ops->mode : 0),
        .detail = reply->detail,
        .instance = table->config.instance,
    };
    pony_wire_encode_end(&end, head + PONY_HEAD_ROOM);
    if (has_cookie) {
        memcpy(head + PONY_HEAD_ROOM + PONY_WIRE_END_BYTES, reply->cookie, sizeof(reply->cookie));
    }
    pony_flow_count(table, PONY_FLOW_C_TX_RESETS);
    pony_flow_emit_scratch(table, &reply->to, &hdr, head, out);
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
    pony_flow_make_header(flow, PONY_WIRE_RESET, now_ns, &hdr);
    hdr.body_len = sizeof(body);
    pony_wire_encode_end(&end, body);
    pony_flow_count(flow->table, PONY_FLOW_C_TX_RESETS);
    const struct pony_seal_out sealed = {
        .hdr = &hdr, .body = body, .body_len = sizeof(body), .now_ns = now_ns};
    pony_flow_emit_sealed(flow, &sealed, out);
}

void pony_flow_emit_reset(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
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
    pony_flow_emit_reply(flow->table, &reply, out);
    pony_flow_free(flow);
}

/* HELLO or HELLO_OK, padded to the size it speaks of. PX-14 */
static void emit_hello(struct pony_flow *flow, enum pony_wire_type type, uint64_t now_ns,
                       struct pony_packet_out *out)
{
    struct pony_flow_table *table = flow->table;
    bool is_ok = type == PONY_WIRE_HELLO_OK;
    uint32_t mtu = is_ok ? flow->tx_mtu : pony_flow_hello_mtu(flow);
    uint8_t *head = pony_flow_next_scratch(table);
    struct pony_wire_hdr hdr;
    pony_flow_make_header(flow, type, now_ns, &hdr);
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
        .slot = flow->slot,
    };
    uint8_t *packet = head + PONY_HEAD_ROOM - PONY_WIRE_HDR_BYTES;
    pony_wire_encode_hello(&hello, head + PONY_HEAD_ROOM);
    memset(head + PONY_HEAD_ROOM + PONY_WIRE_HELLO_BYTES, 0,
           hdr.body_len - (uint32_t)PONY_WIRE_HELLO_BYTES);
    pony_wire_encode(&hdr, packet); /* what is authenticated; the checksum comes again below */
    table->seal_ops->put_hello(table->seal, flow->idx, is_ok, packet);
    pony_flow_count(table, PONY_FLOW_C_TX_HELLOS);
    pony_flow_emit_scratch(table, &flow->peer, &hdr, head, out);
    out->is_whole = mtu > PONY_MTU_MIN;
}

bool pony_flow_next_hello(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
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

/* ACK or PROBE: all that we know has arrived. The body, where there is one, is a number and zeros.
 * PX-43, PX-231 */
static void emit_bare(struct pony_flow *flow, struct pony_wire_hdr *hdr, uint32_t number,
                      uint64_t now_ns, struct pony_packet_out *out)
{
    static const uint8_t zeros[PONY_MTU_MAX];
    uint8_t bytes[PONY_WIRE_NUMBER_BYTES];
    uint32_t n_zeros = hdr->body_len > 0 ? hdr->body_len - (uint32_t)sizeof(bytes) : 0;
    hdr->covered_len = (uint16_t)(hdr->body_len - n_zeros);
    base_store_u32(bytes, number);
    flow->sent_pkts++;
    if (flow->table->seal_ops->is_sealing) {
        const struct pony_seal_out sealed = {
            .hdr = hdr,
            .body = bytes,
            .payload = zeros,
            .body_len = hdr->covered_len,
            .payload_len = n_zeros,
            .now_ns = now_ns,
        };
        pony_flow_emit_sealed(flow, &sealed, out);
    } else {
        uint8_t *head = pony_flow_next_scratch(flow->table);
        memcpy(head + PONY_HEAD_ROOM, bytes, hdr->covered_len);
        memset(head + PONY_HEAD_ROOM + hdr->covered_len, 0, n_zeros);
        pony_flow_emit_scratch(flow->table, &flow->peer, hdr, head, out);
    }
    out->src_port_hint = flow->path;
}

static void add_sack(struct pony_flow *flow, struct pony_wire_hdr *hdr)
{
    hdr->n_sack = (uint8_t)pony_recv_window_sack(&flow->recv, hdr->sack, PONY_WIRE_SACK_WORDS_MAX);
    pony_flow_note_ack(flow, true);
}

/* With the answer to a padded PROBE, if one is owed. */
void pony_flow_emit_ack(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    struct pony_wire_hdr hdr;
    pony_flow_count(flow->table, PONY_FLOW_C_TX_ACKS);
    pony_flow_make_header(flow, PONY_WIRE_ACK, now_ns, &hdr);
    add_sack(flow, &hdr);
    hdr.body_len = flow->owes_mtu_answer ? PONY_WIRE_NUMBER_BYTES : 0;
    flow->owes_mtu_answer = false;
    emit_bare(flow, &hdr, flow->mtu_answer, now_ns, out);
}

void pony_flow_emit_probe(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    struct pony_wire_hdr hdr;
    pony_flow_count(flow->table, PONY_FLOW_C_TX_PROBES);
    flow->needs_probe = false;
    flow->probe_sent_ns = now_ns;
    flow->n_probes++;
    if (flow->n_probes % PONY_FLOW_REPATH_AFTER == 0) { /* PX-34 */
        pony_flow_repath(flow);
    }
    flow->n_silent++;
    pony_flow_owe(flow, now_ns);
    pony_flow_make_header(flow, PONY_WIRE_PROBE, now_ns, &hdr);
    add_sack(flow, &hdr);
    emit_bare(flow, &hdr, 0, now_ns, out);
    pony_flow_arm(flow, now_ns + pony_rtt_rto_ns(&flow->rtt));
}

/* A PROBE as large as packets may perhaps be: lost, it says nothing about the peer. PX-231 */
bool pony_flow_next_mtu_probe(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out)
{
    if (!flow->needs_mtu_probe) {
        return false;
    }
    flow->needs_mtu_probe = false;
    uint32_t size = pony_path_mtu_on_time(&flow->pmtu, now_ns);
    if (size != 0) {
        struct pony_wire_hdr hdr;
        uint64_t wait_ns = base_max_u64(pony_rtt_rto_ns(&flow->rtt), PONY_FLOW_MTU_WAIT_NS);
        pony_flow_count(flow->table, PONY_FLOW_C_MTU_PROBES);
        pony_flow_make_header(flow, PONY_WIRE_PROBE, now_ns, &hdr);
        hdr.body_len =
            (uint16_t)(size - PONY_WIRE_HDR_BYTES - flow->table->seal_ops->overhead_bytes);
        emit_bare(flow, &hdr, ++flow->pmtu.number, now_ns, out);
        out->is_whole = true;
        pony_path_mtu_sent(&flow->pmtu, now_ns, wait_ns);
    }
    if (flow->pmtu.next_ns != UINT64_MAX) {
        pony_flow_arm(flow, flow->pmtu.next_ns);
    }
    return size != 0;
}
