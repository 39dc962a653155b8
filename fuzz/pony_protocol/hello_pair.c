/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/pony_protocol/hello_pair.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/endian.h"
#include "base/hash.h"
#include "fuzz/support/fuzz_heap.h"
#include "tests/support/flow_events.h"
#include "tests/support/test_security.h"

#include <stdlib.h>
#include <string.h>

enum {
    N_STEPS = 12 /* more than any handshake takes */
};

struct hello_pair {
    struct pony_flow_table *tables[2];
    struct base_rng rngs[2];
    uint32_t n_ups;
};

static const struct pony_addr addrs[2] = {{.ip = {[15] = 1}, .udp_port = 1},
                                          {.ip = {[15] = 2}, .udp_port = 1}};

static void on_up(void *ctx, struct pony_flow *flow)
{
    struct hello_pair *pair = ctx;
    (void)flow;
    pair->n_ups++;
}

static const struct pony_flow_events events = {
    .fill = flow_has_nothing_to_fill,
    .deliver = flow_takes_what_comes,
    .released = flow_ignores_released,
    .up = on_up,
    .down = flow_ignores_down,
};

static void start(struct hello_pair *pair, uint32_t idx, hello_secure_fn *secure)
{
    struct pony_security security;
    base_rng_init(&pair->rngs[idx], idx);
    test_security_init(&security, &pair->rngs[idx]);
    secure(&security, idx);
    const struct pony_flow_config config = {
        .instance = idx + 1,
        .seed = idx,
        .max_flows = 4,
        .max_packets = 4,
        .mtu_bytes = PONY_MTU_MIN,
        .window_max_pkts = 4,
        .rto_min_ns = BASE_NS_PER_MS,
        .rto_max_ns = BASE_NS_PER_MS,
        .keepalive_ns = BASE_NS_PER_S,
        .dead_ns = BASE_NS_PER_S,
        .hello_timeout_ns = BASE_NS_PER_S,
        .idle_ns = BASE_NS_PER_S,
        .security = &security,
        .events = &events,
        .ctx = pair,
    };
    base_assert(pony_flow_table_create(&config, BASE_NS_PER_S, &pair->tables[idx]) == BASE_OK);
}

static struct hello_pair *make_pair(hello_secure_fn *secure)
{
    struct hello_pair *pair = calloc(1, sizeof(*pair));
    base_assert(pair != NULL);
    start(pair, 0, secure);
    start(pair, 1, secure);
    return pair;
}

static bool take(struct hello_pair *pair, uint32_t from, struct hello_packet *packet)
{
    struct pony_packet_out out;
    if (!pony_flows_next_packet(pair->tables[from], BASE_NS_PER_S, &out)) {
        return false;
    }
    base_assert(out.head_len <= sizeof(packet->data) && out.payload_len == 0);
    packet->len = out.head_len;
    memcpy(packet->data, out.head, out.head_len);
    return true;
}

static void give(struct hello_pair *pair, uint32_t to, const struct hello_packet *packet)
{
    const struct pony_packet_in in = {
        .from = addrs[1 - to], .data = packet->data, .len = packet->len, .rx_ns = BASE_NS_PER_S};
    pony_flows_on_packet(pair->tables[to], &in, BASE_NS_PER_S);
}

static bool shake(struct hello_pair *pair, const struct hello_script *script)
{
    struct pony_flow *flow = NULL;
    struct hello_packet packet;
    bool is_changed = false;
    base_assert(pony_flow_get(pair->tables[0], &addrs[1], BASE_NS_PER_S, &flow) == BASE_OK);
    for (uint32_t i = 0; i < N_STEPS; i++) {
        if (!take(pair, i % 2, &packet)) {
            continue;
        }
        if (i == script->which && script->size > 0) {
            is_changed = script->change(&packet, script->data, script->size);
        }
        give(pair, 1 - i % 2, &packet);
    }
    return is_changed;
}

/* What OpenSSL made for flows is freed with them; one that ended goes when it has told its peer. */
static void end_flows(struct pony_flow_table *table)
{
    struct pony_packet_out out;
    pony_flows_shutdown(table, SHM_REASON_SHUTDOWN);
    while (pony_flows_next_packet(table, BASE_NS_PER_S, &out)) {
    }
    base_assert(!pony_flows_exist(table));
}

uint32_t hello_pair_play(const struct hello_script *script, bool *is_changed)
{
    static struct hello_pair *pair;
    static uint64_t n_live;
    fuzz_heap_enter();
    if (pair == NULL) {
        pair = make_pair(script->secure);
        n_live = fuzz_heap_n_live();
        fuzz_heap_save();
    }
    *is_changed = shake(pair, script);
    uint32_t n_ups = pair->n_ups;
    end_flows(pair->tables[0]);
    end_flows(pair->tables[1]);
    fuzz_heap_leave();
    base_assert(fuzz_heap_n_live() == n_live);
    fuzz_heap_reset();
    return n_ups;
}

void hello_packet_sum(struct hello_packet *packet)
{
    uint32_t covered = 44u + 8u * packet->data[7] + base_load_u16(packet->data + 46);
    if (4 + covered <= packet->len) {
        base_store_u32(packet->data, base_crc32c(0, packet->data + 4, covered));
    }
}
