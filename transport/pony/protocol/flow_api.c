/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small functions of flow.h: what the operation layer asks of a flow, and what status shows.
 */
#include "base/assert.h"
#include "transport/pony/protocol/flow_internal.h"

enum base_err pony_flow_get(struct pony_flow_table *table, const struct pony_addr *to,
                            uint64_t now_ns, struct pony_flow **out)
{
    return pony_flow_get_slot(table, to, 0, now_ns, out);
}

enum base_err pony_flow_get_slot(struct pony_flow_table *table, const struct pony_addr *to,
                                 uint8_t slot, uint64_t now_ns, struct pony_flow **out)
{
    *out = NULL;
    struct pony_flow *half_open = NULL;
    base_list_foreach (link, pony_flow_bucket(table, to)) {
        struct pony_flow *flow = base_list_entry(link, struct pony_flow, addr_link);
        if (flow->slot != slot || !pony_addr_equal(&flow->peer, to)) {
            continue;
        }
        if (flow->state != PONY_FLOW_HELLO_RECEIVED) {
            *out = flow;
            return BASE_OK;
        }
        half_open = flow;
    }
    struct pony_flow *flow = half_open;
    if (flow != NULL) {
        pony_flow_set_state(flow, PONY_FLOW_HELLO_SENT); /* the peer's HELLO is kept: PX-17 */
    } else {
        flow = pony_flow_new(table, to, slot, PONY_FLOW_HELLO_SENT, now_ns);
    }
    BASE_ENSURE(flow != NULL, BASE_E_LIMIT);
    flow->is_announced = true;
    pony_flow_begin_hello(flow, now_ns);
    *out = flow;
    return BASE_OK;
}

uint32_t pony_flows_set_keys(struct pony_flow_table *table, struct pony_seal_keys *keys)
{
    uint32_t n = 0;
    struct pony_flow *flow;
    table->seal_ops->set_keys(table->seal, keys);
    for (uint32_t i = 0; (flow = base_pool_next(&table->flows, &i)) != NULL; i++) {
        if (flow->state == PONY_FLOW_ENDING) {
            continue;
        }
        if (table->seal_ops->check_flow(table->seal, flow->idx) != PONY_SEAL_OK) {
            pony_flow_kill(flow, SHM_REASON_SECURITY, true);
            n++;
        } else if (flow->state == PONY_FLOW_UP) {
            pony_flow_probe(flow);
        }
    }
    return n;
}

struct pony_flow *pony_flow_next_to(struct pony_flow_table *table, const struct pony_addr *to,
                                    const struct pony_flow *flow)
{
    struct base_list *bucket = pony_flow_bucket(table, to);
    struct base_list *link = flow != NULL ? flow->addr_link.next : bucket->next;
    for (; link != bucket; link = link->next) {
        struct pony_flow *it = base_list_entry(link, struct pony_flow, addr_link);
        if (it->state != PONY_FLOW_HELLO_RECEIVED && pony_addr_equal(&it->peer, to)) {
            return it;
        }
    }
    return NULL;
}

uint8_t pony_flow_slot(const struct pony_flow *flow)
{
    return flow->slot;
}

uint32_t pony_flow_number(const struct pony_flow *flow)
{
    return flow->number;
}

uint32_t pony_flow_n_users(const struct pony_flow *flow)
{
    return flow->n_users;
}

bool pony_flow_is_limited(const struct pony_flow *flow, uint64_t now_ns)
{
    return flow->limited_ns != 0 && now_ns - flow->limited_ns < PONY_FLOW_LIMITED_NS;
}

void pony_flow_add_user(struct pony_flow *flow)
{
    flow->n_users++;
    if (flow->state == PONY_FLOW_UP && flow->pmtu.next_ns != UINT64_MAX) {
        pony_flow_arm(flow, flow->pmtu.next_ns); /* larger packets are looked for from now on */
    }
}

void pony_flow_del_user(struct pony_flow *flow, uint64_t now_ns)
{
    base_assert(flow->n_users > 0);
    flow->n_users--;
    flow->last_use_ns = now_ns;
    if (flow->n_users == 0 && flow->state == PONY_FLOW_UP) {
        pony_flow_arm(flow, now_ns + pony_flow_idle_ns(flow));
    }
}

void pony_flow_wants_fill(struct pony_flow *flow)
{
    flow->wants_fill = true;
    if (flow->state == PONY_FLOW_UP) {
        pony_flow_activate(flow);
    }
}

void *pony_flow_user_data(struct pony_flow *flow)
{
    return flow->user_data;
}

void pony_flow_set_user_data(struct pony_flow *flow, void *data)
{
    flow->user_data = data;
}

const struct pony_addr *pony_flow_peer(const struct pony_flow *flow)
{
    return &flow->peer;
}

uint64_t pony_flow_peer_instance(const struct pony_flow *flow)
{
    return pony_flow_is_up(flow) ? flow->peer_instance : 0;
}

bool pony_flow_is_up(const struct pony_flow *flow)
{
    return flow->state == PONY_FLOW_UP;
}

uint32_t pony_flow_room_max(const struct pony_flow *flow)
{
    uint32_t mtu = flow->tx_mtu != 0 ? flow->tx_mtu : PONY_MTU_MIN;
    return mtu - PONY_WIRE_HDR_BYTES - flow->table->seal_ops->overhead_bytes;
}

static const char *state_name(enum pony_flow_state state)
{
    static const char *const names[PONY_FLOW_STATE_MAX] = {
        [PONY_FLOW_HELLO_SENT] = "hello_sent",
        [PONY_FLOW_HELLO_RECEIVED] = "hello_received",
        [PONY_FLOW_UP] = "up",
        [PONY_FLOW_ENDING] = "ending",
    };
    return names[state];
}

bool pony_flows_exist(const struct pony_flow_table *table)
{
    return table->flows.n_taken > 0;
}

bool pony_flows_next_info(const struct pony_flow_table *table, uint32_t *cursor,
                          struct pony_flow_info *info)
{
    const struct pony_flow *flow = base_pool_next(&table->flows, cursor);
    if (flow == NULL) {
        return false;
    }
    ++*cursor;
    *info = (struct pony_flow_info){
        .flow = flow->number,
        .peer = flow->peer,
        .state = state_name(flow->state),
        .slot = flow->slot,
        .version = flow->version,
        .mtu_bytes = flow->tx_mtu,
        .inflight_pkts = flow->sent.n_inflight,
        .users = flow->n_users,
        .srtt_ns = flow->rtt.srtt_ns,
        .rto_ns = pony_rtt_rto_ns(&flow->rtt),
        .cwnd_pkts = flow->window_pkts,
        .sent_pkts = flow->sent_pkts,
        .received_pkts = flow->received_pkts,
        .retransmitted_pkts = flow->resent_pkts,
        .timeouts = flow->timeouts,
        .duplicates = flow->duplicates,
        .dropped = flow->dropped,
        .security = table->seal_ops->name,
    };
    table->seal_ops->info(table->seal, flow->idx, &info->seal);
    return true;
}

uint32_t pony_flows_counters(const struct pony_flow_table *table, const char *const **names,
                             const uint64_t **values)
{
    static const char *const texts[PONY_FLOW_N_COUNTERS] = {
#define X(name, text) text,
        PONY_FLOW_COUNTERS(X)
#undef X
    };
    *names = texts;
    *values = table->counters;
    return PONY_FLOW_N_COUNTERS;
}
