/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/hash.h"
#include "transport/pony/protocol/flow_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOG_BURST = 5 /* lines per second */
};

static bool is_config_good(const struct pony_flow_config *config)
{
    return config->instance != 0 && config->max_flows > 0 &&
           config->max_flows <= PONY_FLOW_MAX_FLOWS && config->max_packets > 0 &&
           config->mtu_bytes >= PONY_MTU_MIN && config->mtu_bytes <= PONY_MTU_MAX &&
           config->window_max_pkts > 0 && config->window_max_pkts <= PONY_WINDOW_PKTS &&
           config->rto_min_ns > 0 && config->rto_max_ns >= config->rto_min_ns &&
           config->keepalive_ns > 0 && config->dead_ns > 0 && config->hello_timeout_ns > 0 &&
           config->idle_ns > 0 && config->events != NULL &&
           config->version_min <= config->version_max &&
           (config->version_min != 0 || config->version_max == 0) &&
           (config->cc == NULL || config->cc->state_size <= PONY_CC_STATE_MAX);
}

static struct pony_wire_versions choose_versions(const struct pony_flow_config *config)
{
    if (config->version_min == 0) {
        return (struct pony_wire_versions){PONY_WIRE_VERSION_MIN, PONY_WIRE_VERSION_MAX};
    }
    return (struct pony_wire_versions){config->version_min, config->version_max};
}

static enum base_err make_seal(struct pony_flow_table *table, uint64_t now_ns)
{
    const struct pony_security *security = table->config.security;
    enum pony_security_mode mode = security != NULL ? security->mode : PONY_SECURITY_PLAIN;
    BASE_ENSURE(mode < PONY_SECURITY_MODE_MAX, BASE_E_INVALID);
    table->seal_ops = pony_seal_all[mode];
    table->config.security = NULL; /* the caller's; it has been copied */
    return table->seal_ops->create(security, table->config.max_flows, now_ns, &table->seal);
}

static enum base_err allocate(struct pony_flow_table *table)
{
    uint32_t max_flows = table->config.max_flows;
    BASE_TRY(base_pool_init(&table->flows, sizeof(struct pony_flow), max_flows, max_flows));
    BASE_TRY(base_pool_reserve(&table->flows, max_flows));
    BASE_TRY(pony_packet_pool_init(&table->packets, table->config.max_packets));
    BASE_TRY(pony_parts_init(&table->parts));
    table->n_slots = base_ceil_pow2_u32(table->config.window_max_pkts);
    table->slots = calloc((size_t)max_flows * table->n_slots, sizeof(struct pony_tx_packet *));
    table->addr_mask = base_ceil_pow2_u32(max_flows) - 1;
    table->by_addr = calloc((size_t)table->addr_mask + 1, sizeof(*table->by_addr));
    table->opened = aligned_alloc(64, PONY_MTU_MAX);
    table->scratch = aligned_alloc(64, (size_t)PONY_TX_BATCH_MAX * PONY_HEAD_BYTES);
    BASE_ENSURE(table->slots != NULL && table->by_addr != NULL && table->scratch != NULL &&
                    table->opened != NULL,
                BASE_E_NOMEM);
    for (uint32_t i = 0; i <= table->addr_mask; i++) {
        base_list_init(&table->by_addr[i]);
    }
    return BASE_OK;
}

enum base_err pony_flow_table_create(const struct pony_flow_config *config, uint64_t now_ns,
                                     struct pony_flow_table **out)
{
    *out = NULL;
    BASE_ENSURE(is_config_good(config), BASE_E_INVALID);
    struct pony_flow_table *table = calloc(1, sizeof(*table));
    BASE_ENSURE(table != NULL, BASE_E_NOMEM);
    table->config = *config;
    if (table->config.cc == NULL) {
        table->config.cc = pony_cc_find(NULL);
    }
    enum base_err err = allocate(table);
    if (err == BASE_OK) {
        err = make_seal(table, now_ns);
    }
    if (err != BASE_OK) {
        pony_flow_table_destroy(table);
        return err;
    }
    table->versions = choose_versions(config);
    table->log_limit = (struct base_log_limit){.interval_ns = BASE_NS_PER_S, .burst = LOG_BURST};
    base_rng_init(&table->rng, config->seed);
    table->addr_seed = base_rng_u64(&table->rng);
    table->token_seed = base_rng_u64(&table->rng);
    for (uint32_t i = 0; i < PONY_CLASSES; i++) {
        base_list_init(&table->rounds[i].flows);
    }
    base_list_init(&table->starved);
    base_list_init(&table->half_open);
    table->max_half_open = base_max_u32(config->max_flows / 4, 1);
    pony_replies_init(&table->replies, now_ns);
    base_wheel_init(&table->wheel, now_ns, 1024);
    *out = table;
    return BASE_OK;
}

void pony_flow_table_destroy(struct pony_flow_table *table)
{
    if (table == NULL) {
        return;
    }
    if (table->seal_ops != NULL) {
        table->seal_ops->destroy(table->seal);
    }
    base_pool_fini(&table->flows);
    free(table->opened);
    pony_parts_fini(&table->parts);
    pony_packet_pool_fini(&table->packets);
    free(table->slots);
    free(table->by_addr);
    free(table->scratch);
    free(table);
}

struct base_list *pony_flow_bucket(struct pony_flow_table *table, const struct pony_addr *addr)
{
    uint64_t hash = base_hash64(table->addr_seed, addr, sizeof(*addr));
    return &table->by_addr[hash & table->addr_mask];
}

/* Tokens are hashes under a secret: seeing some does not help to guess the next. PX-13 */
static uint64_t make_token(struct pony_flow_table *table)
{
    uint64_t input[2] = {++table->n_tokens, table->config.instance};
    uint64_t token = base_hash64(table->token_seed, input, sizeof(input));
    return token != 0 ? token : 1;
}

static void evict_half_open(struct pony_flow_table *table)
{
    struct base_list *link = base_list_first(&table->half_open);
    if (link != NULL) {
        pony_flow_count(table, PONY_FLOW_C_HALF_OPEN_EVICTED);
        pony_flow_kill(base_list_entry(link, struct pony_flow, half_link), SHM_REASON_NO_MEMORY,
                       false);
    }
}

/* False: no memory for its keys. */
static bool begin_seal(struct pony_flow *flow)
{
    struct pony_flow_table *table = flow->table;
    const struct pony_seal_self self = {
        .instance = table->config.instance,
        .token = flow->token,
        .flow = flow->number,
        .first_seq = flow->first_seq,
        .version_min = table->versions.min,
        .version_max = table->versions.max,
    };
    return table->seal_ops->begin(table->seal, flow->idx, &self);
}

struct pony_flow *pony_flow_new(struct pony_flow_table *table, const struct pony_addr *peer,
                                uint8_t slot, enum pony_flow_state state, uint64_t now_ns)
{
    const struct pony_flow_config *config = &table->config;
    if ((state == PONY_FLOW_HELLO_RECEIVED && table->n_half_open >= table->max_half_open) ||
        table->flows.n_taken >= config->max_flows) {
        evict_half_open(table);
    }
    uint32_t idx;
    struct pony_flow *flow = base_pool_take(&table->flows, &idx);
    if (flow == NULL) {
        return NULL;
    }
    flow->table = table;
    flow->idx = idx;
    flow->number = (base_pool_gen(flow) >> 1) << 16 | idx;
    flow->token = make_token(table);
    flow->peer = *peer;
    flow->slot = slot;
    /* Flows to one engine leave from different ports, so that they take different paths. PX-91 */
    flow->path = (uint16_t)(slot / PONY_WIRE_SLOTS_PER_CLASS + slot % PONY_WIRE_SLOTS_PER_CLASS);
    /* Shortly before the wrap: tokens keep strangers out, and what wraps early is tested. PX-20 */
    flow->first_seq = UINT32_MAX - (uint32_t)base_rng_below(&table->rng, 4096);
    if (!begin_seal(flow)) {
        base_pool_give(&table->flows, idx);
        return NULL;
    }
    base_list_init(&flow->round_link);
    base_list_init(&flow->starve_link);
    base_list_init(&flow->half_link);
    base_list_add_tail(pony_flow_bucket(table, peer), &flow->addr_link);
    base_timer_init(&flow->timer, NULL);
    flow->state = PONY_FLOW_ENDING; /* none yet: set_state counts from here */
    pony_sent_window_init(&flow->sent, &table->slots[(size_t)idx * table->n_slots], table->n_slots,
                          flow->first_seq);
    pony_rtt_init(&flow->rtt, config->rto_min_ns, config->rto_max_ns, now_ns);
    struct pony_cc_config cc = config->cc_config;
    cc.window_max_pkts = config->window_max_pkts;
    cc.mtu_bytes = config->mtu_bytes;
    config->cc->init(flow->cc_state, &cc, now_ns);
    flow->window_pkts = config->cc->window_pkts(flow->cc_state);
    flow->reo_quarters = 1;
    flow->echo_hops = PONY_WIRE_HOPS_UNKNOWN;
    flow->last_rx_ns = now_ns;
    flow->last_use_ns = now_ns;
    flow->owed_since_ns = UINT64_MAX;
    flow->hello_start_ns = now_ns;
    pony_flow_set_state(flow, state);
    pony_flow_count(table, PONY_FLOW_C_FLOWS_OPENED);
    return flow;
}

void pony_flow_set_state(struct pony_flow *flow, enum pony_flow_state state)
{
    struct pony_flow_table *table = flow->table;
    if (flow->state == PONY_FLOW_HELLO_RECEIVED) {
        base_list_del(&flow->half_link);
        table->n_half_open--;
    }
    if (state == PONY_FLOW_HELLO_RECEIVED) {
        base_list_add_tail(&table->half_open, &flow->half_link);
        table->n_half_open++;
    }
    flow->state = state;
}

struct pony_flow *pony_flow_find(struct pony_flow_table *table, uint32_t number)
{
    struct pony_flow *flow = base_pool_at(&table->flows, number & 0xffff);
    return flow != NULL && flow->number == number ? flow : NULL;
}

void pony_flow_activate(struct pony_flow *flow)
{
    if (!base_list_is_linked(&flow->round_link)) {
        flow->table->busy |= 1u << flow->class;
        base_list_add_tail(&flow->table->rounds[flow->class].flows, &flow->round_link);
    }
}

void pony_flow_set_class(struct pony_flow *flow, uint32_t class)
{
    bool is_active = base_list_is_linked(&flow->round_link);
    base_list_del(&flow->round_link);
    flow->class = class;
    if (is_active) {
        pony_flow_activate(flow);
    }
}

void pony_flow_release(struct pony_flow *flow, struct base_list *list, bool was_acked)
{
    struct pony_flow_table *table = flow->table;
    struct base_list *link;
    while ((link = base_list_take_first(list)) != NULL) {
        struct pony_tx_packet *packet = pony_tx_packet_of(link);
        struct pony_tx_msg *owner = packet->packet.owner;
        uint32_t bytes = pony_flow_packet_bytes(flow, packet);
        if (was_acked && bytes > PONY_MTU_MIN && bytes <= flow->tx_mtu) {
            flow->pmtu.n_black = 0; /* large ones pass, and not in pieces */
        }
        pony_packet_pool_give(&table->packets, packet);
        if (owner != NULL) {
            table->config.events->released(table->config.ctx, flow, owner, was_acked);
        }
    }
    while ((link = base_list_take_first(&table->starved)) != NULL) {
        pony_flow_activate(base_list_entry(link, struct pony_flow, starve_link));
    }
}

void pony_flow_free(struct pony_flow *flow)
{
    struct pony_flow_table *table = flow->table;
    base_list_del(&flow->round_link);
    base_list_del(&flow->starve_link);
    base_list_del(&flow->addr_link);
    base_wheel_del(&table->wheel, &flow->timer);
    table->seal_ops->end(table->seal, flow->idx);
    base_pool_give(&table->flows, flow->idx);
}

/* Takes it out of everything but the send round. */
static void end_flow(struct pony_flow *flow)
{
    base_list_del(&flow->addr_link);
    base_list_del(&flow->starve_link);
    base_wheel_del(&flow->table->wheel, &flow->timer);
    pony_flow_set_state(flow, PONY_FLOW_ENDING);
}

static void bury(struct pony_flow *flow, enum shm_reason reason, bool is_peer_told)
{
    flow->end_reason = reason;
    if (is_peer_told && flow->has_peer) {
        pony_flow_activate(flow);
    } else {
        pony_flow_free(flow);
    }
}

/* What one flow has found out about its peer the others to the same address ask at once. PX-92 */
static void doubt_siblings(const struct pony_flow *flow)
{
    base_list_foreach (link, pony_flow_bucket(flow->table, &flow->peer)) {
        struct pony_flow *it = base_list_entry(link, struct pony_flow, addr_link);
        bool is_sibling = it->state == PONY_FLOW_UP && it->peer_instance == flow->peer_instance &&
                          pony_addr_equal(&it->peer, &flow->peer);
        if (is_sibling && !it->is_doubted) {
            it->is_doubted = true;
            pony_flow_probe(it);
        }
    }
}

void pony_flow_kill(struct pony_flow *flow, enum shm_reason reason, bool is_peer_told)
{
    struct pony_flow_table *table = flow->table;
    base_assert(flow->state != PONY_FLOW_ENDING);
    end_flow(flow);
    if (reason == SHM_REASON_PEER_DEAD || reason == SHM_REASON_PEER_RESTARTED) {
        doubt_siblings(flow);
    }
    struct base_list left;
    base_list_init(&left);
    pony_sent_window_drain(&flow->sent, &left);
    pony_flow_release(flow, &left, false);
    if (flow->is_announced) {
        pony_flow_count(table, PONY_FLOW_C_FLOWS_DOWN);
        table->config.events->down(table->config.ctx, flow, reason);
    }
    bury(flow, reason, is_peer_told);
}

void pony_flows_shutdown(struct pony_flow_table *table, enum shm_reason reason)
{
    struct pony_flow *flow;
    for (uint32_t i = 0; (flow = base_pool_next(&table->flows, &i)) != NULL; i++) {
        if (flow->state == PONY_FLOW_ENDING) {
            continue;
        }
        struct base_list left;
        base_list_init(&left);
        pony_sent_window_drain(&flow->sent, &left);
        struct base_list *link;
        while ((link = base_list_take_first(&left)) != NULL) {
            pony_packet_pool_give(&table->packets, pony_tx_packet_of(link));
        }
        end_flow(flow);
        bury(flow, reason, true);
    }
}

static void copy_in_list(struct base_list *list, uintptr_t base, uint64_t bytes)
{
    base_list_foreach (link, list) {
        struct pony_tx_packet *packet = pony_tx_packet_of(link);
        struct pony_packet *p = &packet->packet;
        if (p->payload == NULL || (uintptr_t)p->payload - base >= bytes) {
            continue;
        }
        memcpy(p->head + p->head_len, p->payload, p->payload_len);
        p->head_len = (uint16_t)(p->head_len + p->payload_len);
        packet->frames_len += p->payload_len; /* they are stable now: the checksum covers them */
        p->payload = NULL;
        p->payload_len = 0;
        p->owner = NULL;
    }
}

void pony_flows_copy_payloads(struct pony_flow_table *table, const uint8_t *base, uint64_t bytes)
{
    struct pony_flow *flow;
    for (uint32_t i = 0; (flow = base_pool_next(&table->flows, &i)) != NULL; i++) {
        copy_in_list(&flow->sent.inflight, (uintptr_t)base, bytes);
        copy_in_list(&flow->sent.lost, (uintptr_t)base, bytes);
    }
}
