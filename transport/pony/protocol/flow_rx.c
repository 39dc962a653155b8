/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrives. A packet is checked in this order, and counted by the first check that it fails:
 * size, header (wire.c), flow number and token, state, acknowledgement, window, frames. PX-11
 */
#include "base/compiler.h"
#include "base/endian.h"
#include "transport/pony/protocol/flow_internal.h"

/* A sign of life: whatever was owed to us, the peer is there. PX-50 */
static void note_life(struct pony_flow *flow, uint64_t now_ns)
{
    flow->last_rx_ns = now_ns;
    flow->n_probes = 0;
    flow->n_silent = 0;
    flow->is_doubted = false;
    flow->doubt = SHM_REASON_NONE;
    flow->owed_since_ns = pony_sent_window_is_idle(&flow->sent) ? UINT64_MAX : now_ns;
    flow->received_pkts++;
}

/* What we say does not get there, if the peer's timeouts repeat it. What one burst brought again is one
 * sign: packets that were merely overtaken come again all at once. PX-34 */
static void suspect_own_path(struct pony_flow *flow, uint64_t now_ns)
{
    if (flow->n_again > 0 && now_ns - flow->again_ns < pony_rtt_rto_ns(&flow->rtt) / 2) {
        return;
    }
    flow->again_ns = now_ns;
    if (++flow->n_again == PONY_FLOW_REPATH_AFTER) {
        flow->n_again = 0;
        pony_flow_repath(flow);
    }
}

/* True: its number is new. PX-8, PX-22, PX-23 */
static bool is_new(struct pony_flow *flow, const struct pony_arrival *arrival,
                   enum pony_recv_verdict verdict)
{
    struct pony_flow_table *table = flow->table;
    switch (verdict) {
    case PONY_RECV_OUTSIDE:
        pony_flow_count(table, PONY_FLOW_C_DROP_WINDOW);
        flow->dropped++;
        return false;
    case PONY_RECV_DUPLICATE:
        pony_flow_count(table, PONY_FLOW_C_RX_DUPLICATES);
        flow->duplicates++;
        flow->n_dup++;
        suspect_own_path(flow, arrival->now_ns);
        pony_flow_note_echo(flow, arrival);
        return false;
    case PONY_RECV_NEW:
        flow->n_again = 0;
        break;
    }
    return true;
}

static void take_data(struct pony_flow *flow, const struct pony_arrival *arrival,
                      const uint8_t *body, uint32_t len)
{
    struct pony_flow_table *table = flow->table;
    if (!is_new(flow, arrival, pony_recv_window_take(&flow->recv, arrival->hdr->seq))) {
        return;
    }
    pony_flow_note_echo(flow, arrival);
    pony_flow_count(table, PONY_FLOW_C_RX_DATA);
    if (!table->config.events->deliver(table->config.ctx, flow, body, len, arrival->now_ns)) {
        pony_flow_count(table, PONY_FLOW_C_DROP_FRAMES); /* PX-55 */
        pony_flow_kill(flow, SHM_REASON_PROTOCOL, true);
    }
}

/* A piece: the packet counts as received when all of it is there. PX-236 */
static void take_part(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    struct pony_flow_table *table = flow->table;
    const struct pony_wire_hdr *hdr = arrival->hdr;
    struct pony_part part;
    if (hdr->covered_len != hdr->body_len ||
        !pony_part_decode(arrival->body, hdr->body_len, &part)) {
        pony_flow_count(table, PONY_FLOW_C_DROP_LENGTH);
        return;
    }
    if (!is_new(flow, arrival, pony_recv_window_peek(&flow->recv, hdr->seq))) {
        return;
    }
    pony_flow_count(table, PONY_FLOW_C_RX_PARTS);
    pony_flow_note_echo(flow, arrival);
    const uint8_t *whole =
        pony_parts_add(&table->parts, flow->token, hdr->seq, &part, arrival->now_ns);
    if (whole != NULL) {
        take_data(flow, arrival, whole, part.whole_len);
    }
}

/* The peer got a padded PROBE of ours. PX-231 */
static void take_mtu_answer(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    uint32_t number = base_load_u32(arrival->body);
    if (!pony_path_mtu_on_answer(&flow->pmtu, number, arrival->now_ns)) {
        return;
    }
    pony_flow_count(flow->table, PONY_FLOW_C_MTU_RAISED);
    flow->tx_mtu = flow->pmtu.bytes;
    if (flow->pmtu.size != 0 && flow->n_users > 0) { /* the next size at once */
        flow->needs_mtu_probe = true;
        pony_flow_activate(flow);
    } else if (flow->pmtu.next_ns != UINT64_MAX) {
        pony_flow_arm(flow, flow->pmtu.next_ns);
    }
}

/* PROBE: it is answered in any case; a padded one by its number, if such packets may come here. */
static void take_probe(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    pony_flow_note_echo(flow, arrival);
    if (arrival->hdr->body_len == 0) {
        flow->last_use_ns = arrival->now_ns;
    } else if (arrival->in->len <= flow->table->config.mtu_bytes) {
        flow->owes_mtu_answer = true;
        flow->mtu_answer = base_load_u32(arrival->body);
    }
}

void pony_flow_owe_ack(struct pony_flow *flow, uint64_t due_ns, uint64_t now_ns)
{
    if (!flow->owes_ack || due_ns < flow->ack_due_ns) {
        flow->owes_ack = true;
        flow->ack_due_ns = due_ns;
    }
    if (flow->ack_due_ns <= now_ns) {
        pony_flow_activate(flow);
    } else {
        pony_flow_arm(flow, flow->ack_due_ns);
    }
}

/* In the present round: the first data after a pause, whatever is out of order, a PROBE, and what
 * completes a batch. Else data that goes back may carry it, or more data share it. PX-25 */
static void owe_ack(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    const struct pony_wire_hdr *hdr = arrival->hdr;
    uint64_t now_ns = arrival->now_ns;
    bool is_busy = now_ns - flow->last_data_ns < PONY_FLOW_ACK_BUSY_NS;
    bool is_next = hdr->type == PONY_WIRE_DATA && hdr->seq == flow->recv.next_seq &&
                   !pony_recv_window_has_holes(&flow->recv);
    flow->last_data_ns = now_ns;
    flow->n_unacked_pkts++;
    flow->n_unacked_bytes += arrival->in->len;
    bool may_wait = is_busy && is_next && flow->n_unacked_pkts < PONY_FLOW_ACK_PKTS &&
                    flow->n_unacked_bytes < PONY_FLOW_ACK_BYTES;
    pony_flow_owe_ack(flow, may_wait ? now_ns + PONY_FLOW_ACK_DELAY_NS : now_ns, now_ns);
}

/* DATA, ACK and PROBE on a flow that is up. */
static void on_packet_up(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    if (arrival->hdr->version != flow->version) { /* PX-56 */
        pony_flow_count(flow->table, PONY_FLOW_C_DROP_VERSION);
        return;
    }
    if (!pony_flow_work_on_ack(flow, arrival)) {
        return;
    }
    note_life(flow, arrival->now_ns);
    if (arrival->in->ecn == 3) {
        flow->n_ce++;
    }
    if (arrival->hdr->type == PONY_WIRE_ACK) {
        if (arrival->hdr->body_len > 0) {
            take_mtu_answer(flow, arrival);
        }
        return;
    }
    owe_ack(flow, arrival); /* sent when this round's packets are all in, at the soonest */
    if (arrival->hdr->type == PONY_WIRE_PROBE) {
        take_probe(flow, arrival);
        return;
    }
    flow->last_use_ns = arrival->now_ns;
    if (arrival->hdr->type == PONY_WIRE_PART) {
        take_part(flow, arrival);
    } else {
        take_data(flow, arrival, arrival->body, arrival->hdr->body_len);
    }
}

/* The same before it is up: our token comes back, so the peer is where it says. */
static void on_packet_early(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    if (!flow->has_peer || arrival->hdr->version != flow->version) {
        pony_flow_count(flow->table, PONY_FLOW_C_DROP_STATE);
        return;
    }
    pony_flow_come_up(flow, arrival->now_ns);
    on_packet_up(flow, arrival);
}

static enum shm_reason reason_of(const struct pony_wire_end *end)
{
    return end->reason > SHM_REASON_NONE && end->reason < SHM_REASON_MAX
               ? (enum shm_reason)end->reason
               : SHM_REASON_PROTOCOL;
}

static void on_reset(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    struct pony_wire_end end;
    if (!pony_wire_decode_end(arrival->body, arrival->hdr->covered_len, &end)) {
        pony_flow_count(flow->table, PONY_FLOW_C_DROP_RESET);
        return;
    }
    pony_flow_kill(flow, reason_of(&end), false);
}

static void on_wrong_state(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    (void)arrival;
    pony_flow_count(flow->table, PONY_FLOW_C_DROP_STATE);
    flow->dropped++;
}

/* Says to the sender of a packet for a flow that is not here that it is not here. */
static void reply_unknown(struct pony_flow_table *table, const struct pony_arrival *arrival)
{
    const struct pony_wire_hdr *hdr = arrival->hdr;
    if (hdr->type == PONY_WIRE_RESET || hdr->type == PONY_WIRE_REFUSE) {
        return; /* or two that know nothing would talk forever */
    }
    struct pony_reply reply = {
        .to = arrival->in->from,
        .type = PONY_WIRE_RESET,
        .version = hdr->version,
        .flags = PONY_WIRE_FLAG_UNKNOWN,
        .reason = SHM_REASON_PEER_RESTARTED,
        .dst_flow = hdr->dst_flow,
        .token = hdr->token,
    };
    if (!pony_replies_put(&table->replies, &reply, arrival->now_ns)) {
        pony_flow_count(table, PONY_FLOW_C_DROP_REPLY);
    }
}

typedef void flow_handler(struct pony_flow *flow, const struct pony_arrival *arrival);

/* The state table of docs/protocol.md, section "States". HELLO never comes here. */
/* clang-format off */
static flow_handler *const handlers[PONY_FLOW_STATE_MAX][PONY_WIRE_TYPE_MAX] = {
    [PONY_FLOW_HELLO_SENT] = {
        [PONY_WIRE_HELLO_OK] = pony_flow_on_hello_ok,
        [PONY_WIRE_REFUSE]   = pony_flow_on_refuse,
        [PONY_WIRE_DATA]     = on_packet_early,
        [PONY_WIRE_ACK]      = on_packet_early,
        [PONY_WIRE_PROBE]    = on_packet_early,
        [PONY_WIRE_RESET]    = on_reset,
        [PONY_WIRE_PART]     = on_packet_early,
    },
    [PONY_FLOW_HELLO_RECEIVED] = {
        [PONY_WIRE_HELLO_OK] = on_wrong_state,
        [PONY_WIRE_REFUSE]   = pony_flow_on_refuse_late,
        [PONY_WIRE_DATA]     = on_packet_early,
        [PONY_WIRE_ACK]      = on_packet_early,
        [PONY_WIRE_PROBE]    = on_packet_early,
        [PONY_WIRE_RESET]    = on_reset,
        [PONY_WIRE_PART]     = on_packet_early,
    },
    [PONY_FLOW_UP] = {
        [PONY_WIRE_HELLO_OK] = pony_flow_on_hello_ok_again,
        [PONY_WIRE_REFUSE]   = on_wrong_state,
        [PONY_WIRE_DATA]     = on_packet_up,
        [PONY_WIRE_ACK]      = on_packet_up,
        [PONY_WIRE_PROBE]    = on_packet_up,
        [PONY_WIRE_RESET]    = on_reset,
        [PONY_WIRE_PART]     = on_packet_up,
    },
    [PONY_FLOW_ENDING] = {
        [PONY_WIRE_HELLO_OK] = on_wrong_state,
        [PONY_WIRE_REFUSE]   = on_wrong_state,
        [PONY_WIRE_DATA]     = on_wrong_state,
        [PONY_WIRE_ACK]      = on_wrong_state,
        [PONY_WIRE_PROBE]    = on_wrong_state,
        [PONY_WIRE_RESET]    = on_wrong_state,
        [PONY_WIRE_PART]     = on_wrong_state,
    },
};

/* clang-format on */

static void count_verdict(struct pony_flow_table *table, enum pony_wire_verdict verdict)
{
    static const enum pony_flow_counter counters[] = {
        [PONY_WIRE_SHORT] = PONY_FLOW_C_DROP_SHORT,
        [PONY_WIRE_CHECKSUM] = PONY_FLOW_C_DROP_CHECKSUM,
        [PONY_WIRE_TYPE] = PONY_FLOW_C_DROP_TYPE,
        [PONY_WIRE_VERSION] = PONY_FLOW_C_DROP_VERSION,
        [PONY_WIRE_FLAGS] = PONY_FLOW_C_DROP_FLAGS,
        [PONY_WIRE_LENGTH] = PONY_FLOW_C_DROP_LENGTH,
        [PONY_WIRE_SACK] = PONY_FLOW_C_DROP_SACK,
    };

    pony_flow_count(table, counters[verdict]);
}

static bool decode(struct pony_flow_table *table, const struct pony_packet_in *in,
                   struct pony_wire_hdr *hdr, const uint8_t **body)
{
    enum pony_wire_verdict verdict =
        pony_wire_decode_as(&table->versions, in->data, in->len, hdr, body);
    if (verdict != PONY_WIRE_OK) {
        count_verdict(table, verdict);
    }
    return verdict == PONY_WIRE_OK;
}

/* The flow that a packet names, if it has the token; else the sender is told. */
static struct pony_flow *find_flow(struct pony_flow_table *table,
                                   const struct pony_arrival *arrival)
{
    const struct pony_wire_hdr *hdr = arrival->hdr;
    struct pony_flow *flow = pony_flow_find(table, hdr->dst_flow);
    if (flow != NULL && flow->token == hdr->token) {
        return flow;
    }
    pony_flow_count(table, flow == NULL ? PONY_FLOW_C_DROP_UNKNOWN_FLOW : PONY_FLOW_C_DROP_TOKEN);
    reply_unknown(table, arrival);
    return NULL;
}

/* On a secured flow only what begins it may be readable. PX-203, PX-230 */
static bool may_be_readable(struct pony_flow *flow, const struct pony_wire_hdr *hdr)
{
    if (!flow->table->seal_ops->is_sealing || hdr->type == PONY_WIRE_HELLO_OK ||
        hdr->type == PONY_WIRE_REFUSE) {
        return true;
    }
    pony_flow_count(flow->table, PONY_FLOW_C_DROP_UNSEALED);
    flow->dropped++;
    if (hdr->type == PONY_WIRE_RESET) {
        pony_flow_take_hint(flow, SHM_REASON_PEER_DEAD);
    }
    return false;
}

static bool open_packet(struct pony_flow *flow, const struct pony_seal_in *in)
{
    static const enum pony_flow_counter counters[] = {
        [PONY_SEAL_MODE] = PONY_FLOW_C_DROP_SECURITY,
        [PONY_SEAL_KEY] = PONY_FLOW_C_DROP_SECURITY,
        [PONY_SEAL_CIPHER] = PONY_FLOW_C_DROP_SECURITY,
        [PONY_SEAL_MALFORMED] = PONY_FLOW_C_DROP_SECURITY,
        [PONY_SEAL_FORGED] = PONY_FLOW_C_DROP_FORGED,
        [PONY_SEAL_OLD_KEY] = PONY_FLOW_C_DROP_OLD_KEY,
        [PONY_SEAL_REPLAYED] = PONY_FLOW_C_DROP_REPLAYED,
        [PONY_SEAL_BUSY] = PONY_FLOW_C_DROP_SECURITY,
        [PONY_SEAL_GONE] = PONY_FLOW_C_DROP_SECURITY,
        [PONY_SEAL_VERDICT_MAX] = PONY_FLOW_C_DROP_SECURITY, /* others are of handshakes only */
    };
    struct pony_flow_table *table = flow->table;
    if (!flow->has_peer || flow->state == PONY_FLOW_ENDING) {
        pony_flow_count(table, PONY_FLOW_C_DROP_STATE);
        flow->dropped++;
        return false;
    }
    enum pony_seal_verdict verdict =
        table->seal_ops->open(table->seal, flow->idx, in, table->opened);
    if (verdict != PONY_SEAL_OK) {
        pony_flow_count(table, counters[verdict]);
        flow->dropped++;
    }
    return verdict == PONY_SEAL_OK;
}

/* Whose tag is right was made by the peer: from there on it is a packet like any other. */
static void on_sealed(struct pony_flow_table *table, struct pony_arrival *arrival)
{
    const struct pony_packet_in *in = arrival->in;
    struct pony_sealed_outer outer;
    enum pony_wire_verdict verdict =
        pony_sealed_decode_outer(&table->versions, in->data, in->len, &outer);
    if (verdict != PONY_WIRE_OK) {
        count_verdict(table, verdict);
        return;
    }
    struct pony_wire_hdr hdr = {.version = outer.version,
                                .type = PONY_WIRE_SEALED,
                                .token = outer.token,
                                .dst_flow = outer.dst_flow};
    arrival->hdr = &hdr;
    struct pony_flow *flow = find_flow(table, arrival);
    arrival->hdr = NULL; /* until what was sealed is known */
    if (flow == NULL) {
        return;
    }
    const struct pony_seal_in sealed = {
        .outer = &outer, .packet = in->data, .len = in->len, .now_ns = arrival->now_ns};
    if (!open_packet(flow, &sealed)) {
        return;
    }
    struct pony_sealed_note note = {0};
    verdict = pony_sealed_decode_inner(&outer, table->opened,
                                       in->len - PONY_SEALED_OUTER_BYTES - PONY_SEALED_TAG_BYTES,
                                       &hdr, &note, &arrival->body);
    if (verdict != PONY_WIRE_OK) {
        count_verdict(table, verdict);
        return;
    }
    table->seal_ops->on_note(table->seal, flow->idx, &note);
    arrival->hdr = &hdr;
    handlers[flow->state][hdr.type](flow, arrival);
    arrival->hdr = NULL;
}

void pony_flows_on_packet(struct pony_flow_table *table, const struct pony_packet_in *in,
                          uint64_t now_ns)
{
    struct pony_wire_hdr hdr;
    struct pony_arrival arrival = {.in = in, .hdr = &hdr, .now_ns = now_ns};
    pony_flow_count(table, PONY_FLOW_C_RX_PACKETS);
    table->counters[PONY_FLOW_C_RX_BYTES] += in->len;
    /* PX-10. A HELLO may be larger than what we take otherwise: it asks how much that is. */
    if (in->len > PONY_MTU_MAX) {
        pony_flow_count(table, PONY_FLOW_C_DROP_OVERSIZE);
        return;
    }
    if (pony_wire_is_sealed(in->data, in->len)) {
        on_sealed(table, &arrival);
        return;
    }
    if (!decode(table, in, &hdr, &arrival.body)) {
        return;
    }
    if (hdr.type == PONY_WIRE_HELLO) {
        pony_flow_on_hello(table, &arrival);
        return;
    }
    if ((hdr.flags & PONY_WIRE_FLAG_UNKNOWN) != 0) {
        pony_flow_on_reset_unknown(table, &arrival);
        return;
    }
    struct pony_flow *flow = find_flow(table, &arrival);
    if (flow != NULL && may_be_readable(flow, &hdr)) {
        handlers[flow->state][hdr.type](flow, &arrival);
    }
}
