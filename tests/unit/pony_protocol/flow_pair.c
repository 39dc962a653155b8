/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/flow_pair.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/endian.h"
#include "base/hash.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static bool on_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                    uint64_t now_ns)
{
    (void)flow;
    (void)now_ns;
    struct flow_end *end = ctx;
    if (end->n_to_send == 0) {
        return false;
    }
    end->n_to_send--;
    end->n_filled++;
    bool is_full = end->head_bytes + end->payload_bytes == 0;
    uint32_t head = is_full ? room : end->head_bytes;
    memset(packet->head + packet->head_len, (int)end->n_filled, head);
    packet->head_len = (uint16_t)(packet->head_len + head);
    packet->payload_len = end->payload_bytes;
    packet->payload = end->payload_bytes > 0 ? end->payload : NULL;
    packet->owner = (struct pony_tx_msg *)(void *)end;
    return true;
}

static bool on_deliver(void *ctx, struct pony_flow *flow, const uint8_t *frames, uint32_t len,
                       uint64_t now_ns)
{
    (void)flow;
    (void)now_ns;
    struct flow_end *end = ctx;
    end->n_delivered++;
    memcpy(end->last_body, frames, len);
    end->last_len = len;
    return !end->is_deliver_refused;
}

static void on_released(void *ctx, struct pony_flow *flow, struct pony_tx_msg *owner,
                        bool was_acked)
{
    (void)flow;
    struct flow_end *end = ctx;
    assert_ptr_equal(owner, end);
    end->n_acked += was_acked;
    end->n_dropped += !was_acked;
}

static void on_up(void *ctx, struct pony_flow *flow)
{
    struct flow_end *end = ctx;
    end->flow = flow;
    end->n_ups++;
}

static void on_down(void *ctx, struct pony_flow *flow, enum shm_reason reason)
{
    struct flow_end *end = ctx;
    assert_ptr_equal(flow, end->flow);
    end->flow = NULL;
    end->n_downs++;
    end->reason = reason;
}

static const struct pony_flow_events events = {
    .fill = on_fill,
    .deliver = on_deliver,
    .released = on_released,
    .up = on_up,
    .down = on_down,
};

void flow_pair_init(struct flow_pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    pair->now_ns = BASE_NS_PER_S;
    for (uint32_t i = 0; i < 2; i++) {
        struct flow_end *end = &pair->ends[i];
        end->addr.ip[15] = (uint8_t)(i + 1);
        end->addr.udp_port = (uint16_t)(4000 + i);
        end->config = (struct pony_flow_config){
            .instance = i + 1,
            .seed = i + 100,
            .max_flows = 16,
            .max_packets = 256,
            .mtu_bytes = 1452,
            .window_max_pkts = 64,
            .rto_min_ns = 2 * BASE_NS_PER_MS,
            .rto_max_ns = 100 * BASE_NS_PER_MS,
            .keepalive_ns = BASE_NS_PER_S,
            .dead_ns = (uint64_t)4 * BASE_NS_PER_S,
            .hello_timeout_ns = (uint64_t)2 * BASE_NS_PER_S,
            .idle_ns = (uint64_t)60 * BASE_NS_PER_S,
            .events = &events,
            .ctx = end,
        };
    }
}

static void start_end(struct flow_pair *pair, uint32_t idx)
{
    struct flow_end *end = &pair->ends[idx];
    assert_int_equal(pony_flow_table_create(&end->config, pair->now_ns, &end->table), BASE_OK);
}

void flow_pair_start(struct flow_pair *pair)
{
    start_end(pair, 0);
    start_end(pair, 1);
}

void flow_pair_stop(struct flow_pair *pair)
{
    pony_flow_table_destroy(pair->ends[0].table);
    pony_flow_table_destroy(pair->ends[1].table);
}

void flow_pair_restart(struct flow_pair *pair, uint32_t idx)
{
    struct flow_end *end = &pair->ends[idx];
    pony_flow_table_destroy(end->table);
    end->config.instance += 100;
    end->config.seed += 100;
    end->flow = NULL;
    start_end(pair, idx);
}

static void keep(void *arg, enum base_log_level level, const char *component, const char *message)
{
    struct flow_end *end = arg;
    assert_true(level <= end->log_most);
    assert_string_equal(component, "pony");
    size_t used = strlen(end->logged);
    size_t n = strlen(message);
    if (used + n < sizeof(end->logged)) {
        memcpy(end->logged + used, message, n + 1);
    }
}

void flow_pair_keep_logs(struct flow_pair *pair, enum base_log_level most)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct flow_end *end = &pair->ends[i];
        end->log_most = most;
        end->log = (struct base_log){.fn = keep, .arg = end, .level = BASE_LOG_DEBUG};
        end->config.log = &end->log;
    }
}

void flow_pair_expect_logged(const struct flow_pair *pair, uint32_t idx, const char *part)
{
    if (strstr(pair->ends[idx].logged, part) == NULL) {
        fail_msg("log %u lacks \"%s\": %s", idx, part, pair->ends[idx].logged);
    }
}

void flow_pair_open(struct flow_pair *pair, uint32_t idx)
{
    struct flow_end *end = &pair->ends[idx];
    assert_int_equal(pony_flow_get(end->table, &pair->ends[1 - idx].addr, pair->now_ns, &end->flow),
                     BASE_OK);
}

void flow_pair_connect(struct flow_pair *pair)
{
    flow_pair_open(pair, 0);
    flow_pair_run(pair);
    assert_int_equal(pair->ends[0].n_ups, 1);
    assert_int_equal(pair->ends[1].n_ups, 1);
}

void flow_pair_connect_crossed(struct flow_pair *pair)
{
    struct flow_bytes hellos[2];
    for (uint32_t i = 0; i < 2; i++) {
        flow_pair_open(pair, i);
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(flow_pair_take(pair, i, &hellos[i]));
    }
    for (uint32_t i = 0; i < 2; i++) {
        flow_pair_give(pair, i, &hellos[1 - i]);
    }
    flow_pair_run(pair);
    assert_int_equal(flow_pair_n_flows(pair, 0), 1);
    assert_int_equal(flow_pair_n_flows(pair, 1), 1);
}

void flow_pair_expect_no_flow(struct flow_pair *pair, enum shm_reason reason)
{
    flow_pair_open(pair, 0);
    flow_pair_wait(pair, (uint64_t)3 * BASE_NS_PER_S, true);
    assert_int_equal(pair->ends[0].n_downs, 1);
    assert_int_equal(pair->ends[0].reason, reason);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pair->ends[i].n_ups, 0);
        assert_int_equal(flow_pair_n_flows(pair, i), 0);
    }
}

void flow_pair_expect_data(struct flow_pair *pair)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t before = pair->ends[1 - i].n_delivered;
        flow_pair_send(pair, i, 100);
        flow_pair_run(pair);
        assert_int_equal(pair->ends[1 - i].n_delivered, before + 100);
    }
}

void flow_pair_send(struct flow_pair *pair, uint32_t idx, uint32_t n)
{
    pair->ends[idx].n_to_send += n;
    pony_flow_wants_fill(pair->ends[idx].flow);
}

bool flow_pair_take(struct flow_pair *pair, uint32_t idx, struct flow_bytes *bytes)
{
    struct pony_packet_out out;
    if (!pony_flows_next_packet(pair->ends[idx].table, pair->now_ns, &out)) {
        return false;
    }
    bytes->to = out.to;
    bytes->len = out.head_len + out.payload_len;
    assert_true(bytes->len <= pair->ends[idx].config.mtu_bytes);
    memcpy(bytes->data, out.head, out.head_len);
    if (out.payload_len > 0) {
        memcpy(bytes->data + out.head_len, out.payload, out.payload_len);
    }
    return true;
}

uint32_t flow_pair_lose(struct flow_pair *pair, uint32_t idx)
{
    struct flow_bytes bytes;
    uint32_t n = 0;
    while (flow_pair_take(pair, idx, &bytes)) {
        n++;
    }
    return n;
}

void flow_pair_give_from(struct flow_pair *pair, uint32_t idx, const struct flow_bytes *bytes,
                         const struct pony_addr *from)
{
    /* A copy of just this size: reading past it shows under a sanitizer. */
    uint8_t *copy = malloc(bytes->len > 0 ? bytes->len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes->data, bytes->len);
    struct pony_packet_in in = {
        .from = *from, .data = copy, .len = bytes->len, .rx_ns = pair->now_ns, .ttl = 64};
    pony_flows_on_packet(pair->ends[idx].table, &in, pair->now_ns);
    free(copy);
}

void flow_pair_give(struct flow_pair *pair, uint32_t idx, const struct flow_bytes *bytes)
{
    flow_pair_give_from(pair, idx, bytes, &pair->ends[1 - idx].addr);
}

void flow_pair_run(struct flow_pair *pair)
{
    struct flow_bytes bytes;
    bool is_busy = true;
    while (is_busy) {
        is_busy = false;
        for (uint32_t i = 0; i < 2; i++) {
            while (flow_pair_take(pair, i, &bytes)) {
                if (pair->link_mtu == 0 || bytes.len <= pair->link_mtu) {
                    flow_pair_give(pair, 1 - i, &bytes);
                }
                is_busy = true;
            }
            pair->now_ns += BASE_NS_PER_US;
        }
    }
}

void flow_pair_wait(struct flow_pair *pair, uint64_t ns, bool is_joined)
{
    uint64_t end_ns = pair->now_ns + ns;
    for (;;) {
        if (is_joined) {
            flow_pair_run(pair);
        } else {
            (void)flow_pair_lose(pair, 0);
            (void)flow_pair_lose(pair, 1);
        }
        uint64_t next_ns = base_min_u64(pony_flows_next_deadline_ns(pair->ends[0].table),
                                        pony_flows_next_deadline_ns(pair->ends[1].table));
        if (next_ns > end_ns) {
            break;
        }
        pair->now_ns = base_max_u64(pair->now_ns, next_ns);
        pony_flows_on_time(pair->ends[0].table, pair->now_ns);
        pony_flows_on_time(pair->ends[1].table, pair->now_ns);
    }
    pair->now_ns = base_max_u64(pair->now_ns, end_ns);
}

uint64_t flow_pair_count(const struct flow_pair *pair, uint32_t idx, const char *name)
{
    const char *const *names;
    const uint64_t *values;
    uint32_t n = pony_flows_counters(pair->ends[idx].table, &names, &values);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return values[i];
        }
    }
    fail_msg("no counter %s", name);
    return 0;
}

uint32_t flow_pair_n_flows(const struct flow_pair *pair, uint32_t idx)
{
    struct pony_flow_info info;
    uint32_t cursor = 0;
    uint32_t n = 0;
    while (pony_flows_next_info(pair->ends[idx].table, &cursor, &info)) {
        n++;
    }
    return n;
}

void flow_bytes_seal(struct flow_bytes *bytes)
{
    uint32_t covered = 44u + 8u * bytes->data[7] + base_load_u16(bytes->data + 46);
    base_store_u32(bytes->data, base_crc32c(0, bytes->data + 4, covered));
}

struct pony_flow_info flow_pair_info(const struct flow_pair *pair, uint32_t idx)
{
    struct pony_flow_info info;
    uint32_t cursor = 0;
    assert_true(pony_flows_next_info(pair->ends[idx].table, &cursor, &info));
    return info;
}
