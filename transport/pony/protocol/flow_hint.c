/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What speaks of a peer or of the way to it without being a packet of a flow: its RESET for a flow
 * that it does not know, and what this host's network says.
 */
#include "transport/pony/protocol/flow_internal.h"

void pony_flow_take_hint(struct pony_flow *flow, enum shm_reason reason)
{
    pony_flow_count(flow->table, PONY_FLOW_C_HINTS);
    if (flow->state != PONY_FLOW_UP) {
        return;
    }
    flow->doubt = reason;
    if (!flow->is_doubted) { /* else it is being asked already, more and more slowly */
        flow->is_doubted = true;
        pony_flow_probe(flow);
    }
}

/* RESET with UNKNOWN: names the flow by what we sent, not by our own number. PX-16 */
void pony_flow_on_reset_unknown(struct pony_flow_table *table, const struct pony_arrival *arrival)
{
    struct pony_wire_end end;
    const struct pony_wire_hdr *hdr = arrival->hdr;
    if (!pony_wire_decode_end(arrival->body, hdr->covered_len, &end)) {
        pony_flow_count(table, PONY_FLOW_C_DROP_RESET);
        return;
    }
    base_list_foreach (link, pony_flow_bucket(table, &arrival->in->from)) {
        struct pony_flow *flow = base_list_entry(link, struct pony_flow, addr_link);
        if (flow->has_peer && flow->peer_flow == hdr->dst_flow && flow->peer_token == hdr->token &&
            pony_addr_equal(&flow->peer, &arrival->in->from)) {
            bool is_same_life = flow->peer_instance == end.instance;
            enum shm_reason reason =
                is_same_life ? SHM_REASON_PEER_DEAD : SHM_REASON_PEER_RESTARTED;
            if (table->seal_ops->is_sealing) {
                pony_flow_take_hint(flow, reason);
            } else if (flow->state == PONY_FLOW_HELLO_SENT) {
                /* It does not know the HELLO that we had, so that was not its: ours is still to be
                 * answered. */
                flow->has_peer = false;
                flow->needs_hello_ok = false;
            } else {
                pony_flow_kill(flow, reason, false);
            }
            return;
        }
    }
    pony_flow_count(table, PONY_FLOW_C_DROP_RESET);
}

/* PX-53 */
void pony_flows_on_unreachable(struct pony_flow_table *table, const struct pony_addr *to,
                               uint64_t now_ns)
{
    (void)now_ns;
    struct pony_flow *doomed = NULL;
    do {
        if (doomed != NULL) {
            pony_flow_kill(doomed, SHM_REASON_UNREACHABLE, false);
            doomed = NULL;
        }
        base_list_foreach (link, pony_flow_bucket(table, to)) {
            struct pony_flow *flow = base_list_entry(link, struct pony_flow, addr_link);
            if (!pony_addr_equal(&flow->peer, to)) {
                continue;
            }
            if (flow->state == PONY_FLOW_HELLO_SENT) {
                doomed = flow;
            } else if (flow->state == PONY_FLOW_UP) {
                flow->is_doubted = true;
                pony_flow_probe(flow);
            }
        }
    } while (doomed != NULL);
}

/* PX-14, PX-232, PX-233: this host's own word on it, so that nothing need be lost first. */
static void narrow(struct pony_flow *flow, uint32_t bytes, uint64_t now_ns)
{
    switch (flow->state) {
    case PONY_FLOW_HELLO_SENT:
        flow->needs_hello = flow->needs_hello || !flow->is_narrow;
        flow->is_narrow = true;
        break;
    case PONY_FLOW_HELLO_RECEIVED:
        flow->needs_hello_ok = flow->needs_hello_ok || flow->tx_mtu > PONY_MTU_MIN;
        flow->tx_mtu = PONY_MTU_MIN;
        break;
    case PONY_FLOW_UP:
        if (pony_path_mtu_on_too_long(&flow->pmtu, bytes, now_ns)) {
            flow->tx_mtu = flow->pmtu.bytes;
            pony_flow_count(flow->table, PONY_FLOW_C_MTU_LOWERED);
        }
        flow->needs_mtu_probe = flow->n_users > 0;
        break;
    case PONY_FLOW_ENDING:
    case PONY_FLOW_STATE_MAX:
        return;
    }
    pony_flow_activate(flow);
}

void pony_flows_on_too_long(struct pony_flow_table *table, const struct pony_addr *to,
                            uint32_t bytes, uint64_t now_ns)
{
    if (bytes <= PONY_MTU_MIN) {
        return; /* smaller ones there are not */
    }
    base_list_foreach (link, pony_flow_bucket(table, to)) {
        struct pony_flow *flow = base_list_entry(link, struct pony_flow, addr_link);
        if (pony_addr_equal(&flow->peer, to)) {
            narrow(flow, bytes, now_ns);
        }
    }
}
