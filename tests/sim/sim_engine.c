/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines: created, polled as snapd's engine thread does, killed.
 */
#include "base/assert.h"
#include "base/compiler.h"
#include "tests/sim/sim_world.h"
#include "tests/support/test_security.h"
#include "transport/pony/protocol/flow_internal.h"
#include "transport/pony/protocol/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    RX_BATCH = 16,
    COMMANDS = 64,
    TX_BATCH = 64,
    TX_ROOM_BYTES = 64 * 1024, /* what the network card's queue takes */
    POLL_NS = 300,             /* what a round costs, and each thing done in it */
    WORK_NS = 200,
    DEEP_EVERY = 16
};

uint64_t sim_local_ns(const struct sim_world *world, const struct sim_engine *engine)
{
    return world->net.now_ns + engine->clock_ns;
}

static uint64_t global_ns(const struct sim_engine *engine, uint64_t local_ns)
{
    return local_ns == UINT64_MAX ? SIM_NEVER : base_sub_sat_u64(local_ns, engine->clock_ns);
}

bool sim_engines_agree(const struct sim_world *world, uint32_t a, uint32_t b)
{
    return world->plan.keys[a] == world->plan.keys[b];
}

static void secure(const struct sim_plan *plan, struct sim_engine *engine, uint8_t key,
                   struct pony_security *security)
{
    base_rng_init(&engine->secrets, engine->config.seed ^ UINT64_C(0x736563726574));
    test_security_init(security, &engine->secrets);
    security->psks[0].key[0] = key; /* the same number on the wire: only the key tells */
    security->key_packets = plan->key_packets;
    security->key_ns = plan->key_ns;
    if (plan->has_chacha) {
        security->cipher_preferred = PONY_CIPHER_CHACHA20_POLY1305;
    }
    engine->config.security = security;
}

void sim_engine_start(struct sim_world *world, uint32_t idx)
{
    struct sim_engine *engine = &world->engines[idx];
    struct pony_security security;
    engine->host = idx / world->plan.engines_per_host;
    engine->config = world->plan.engine;
    engine->config.instance = base_rng_u64(&world->rng) | 1;
    engine->config.seed = base_rng_u64(&world->rng);
    engine->config.udp_port = (uint16_t)(7000 + idx);
    engine->addr = (struct pony_addr){.udp_port = engine->config.udp_port};
    memcpy(engine->addr.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0", 15);
    engine->addr.ip[15] = (uint8_t)(engine->host + 1);
    if (world->plan.keys[idx] != 0) {
        secure(&world->plan, engine, world->plan.keys[idx], &security);
    }
    enum base_err err =
        pony_engine_create(&engine->config, sim_local_ns(world, engine), &engine->engine);
    SIM_CHECK(err == BASE_OK);
    engine->config.security = NULL; /* it has a copy */
    engine->next_poll_ns = world->net.now_ns;
    engine->is_asleep = false;
    engine->paused_ns = 0;
}

static void drop_rx(struct sim_world *world, struct sim_engine *engine)
{
    while (engine->rx_head != engine->rx_tail) {
        sim_net_give(&world->net, engine->rx[engine->rx_head++ % SIM_RX_RING]);
    }
}

void sim_engine_kill(struct sim_world *world, uint32_t idx)
{
    struct sim_engine *engine = &world->engines[idx];
    if (engine->engine == NULL) {
        return;
    }
    const uint64_t *counters = engine->engine->flows->counters;
    world->n_dropped[SIM_DROP_FORGED] += counters[PONY_FLOW_C_DROP_FORGED];
    world->n_dropped[SIM_DROP_REPLAYED] += counters[PONY_FLOW_C_DROP_REPLAYED];
    world->n_dropped[SIM_DROP_OTHER_KEY] += counters[PONY_FLOW_C_DROP_SECURITY];
    pony_engine_destroy(engine->engine);
    engine->engine = NULL;
    engine->next_poll_ns = SIM_NEVER;
    drop_rx(world, engine);
    for (uint32_t i = 0; i < world->plan.n_apps; i++) {
        if (world->apps[i].app != NULL && world->apps[i].engine == idx) {
            sim_app_lose(world, i, false);
        }
    }
}

static uint32_t send_packets(struct sim_world *world, struct sim_engine *engine)
{
    struct pony_packet_out out;
    uint32_t n = 0;
    const struct sim_port *up = &world->net.up[engine->host];
    while (n < TX_BATCH && sim_port_backlog(up, world->net.now_ns) < TX_ROOM_BYTES &&
           pony_engine_next_packet(engine->engine, sim_local_ns(world, engine), &out)) {
        struct sim_engine *to = sim_engine_at(world, &out.to);
        SIM_CHECK(to != NULL);
        SIM_CHECK(out.head_len + out.payload_len <= engine->config.mtu_bytes);
        sim_net_send(&world->net, engine->host, to->host, &engine->addr, &out, 0);
        n++;
    }
    return n;
}

void sim_engine_stop(struct sim_world *world, uint32_t idx)
{
    struct sim_engine *engine = &world->engines[idx];
    pony_engine_shutdown(engine->engine, sim_local_ns(world, engine));
    (void)send_packets(world, engine);
    sim_engine_kill(world, idx);
}

struct sim_engine *sim_engine_at(struct sim_world *world, const struct pony_addr *addr)
{
    uint32_t idx = addr->udp_port - 7000u;
    return idx < world->plan.n_engines ? &world->engines[idx] : NULL;
}

void sim_engine_wake(struct sim_world *world, struct sim_engine *engine)
{
    if (engine->is_asleep) {
        engine->next_poll_ns = base_min_u64(engine->next_poll_ns, world->net.now_ns + POLL_NS);
    }
}

void sim_engine_on_packet(struct sim_world *world, struct sim_packet *packet)
{
    struct sim_engine *engine = sim_engine_at(world, &packet->to);
    bool is_full = engine->rx_tail - engine->rx_head == SIM_RX_RING;
    if (engine->engine == NULL || is_full) {
        sim_net_give(&world->net, packet);
        return;
    }
    engine->rx[engine->rx_tail++ % SIM_RX_RING] = packet;
    sim_engine_wake(world, engine);
}

static uint32_t receive(struct sim_world *world, struct sim_engine *engine)
{
    uint32_t n = 0;
    for (; n < RX_BATCH && engine->rx_head != engine->rx_tail; n++) {
        struct sim_packet *packet = engine->rx[engine->rx_head++ % SIM_RX_RING];
        const struct pony_packet_in in = {
            .from = packet->from,
            .data = packet->data,
            .len = packet->len,
            .rx_ns = packet->arrived_ns + engine->clock_ns,
            .ttl = packet->ttl,
            .ecn = packet->ecn,
        };
        pony_engine_on_packet(engine->engine, &in, sim_local_ns(world, engine));
        sim_net_give(&world->net, packet);
    }
    return n;
}

/* Nothing to do: sleeps until a packet, a doorbell or a timer, if there is really nothing. */
static void fall_asleep(struct sim_world *world, struct sim_engine *engine)
{
    uint64_t now_ns = world->net.now_ns;
    engine->is_asleep = true;
    if (pony_engine_set_asleep(engine->engine, true)) {
        engine->next_poll_ns = now_ns + POLL_NS;
        return;
    }
    uint64_t at_ns = global_ns(engine, pony_engine_next_deadline_ns(engine->engine));
    engine->next_poll_ns = base_max_u64(at_ns, now_ns + POLL_NS);
}

void sim_engine_poll(struct sim_world *world, struct sim_engine *engine)
{
    uint64_t now_ns = world->net.now_ns;
    uint64_t local_ns = sim_local_ns(world, engine);
    if (engine->is_asleep) {
        (void)pony_engine_set_asleep(engine->engine, false);
        engine->is_asleep = false;
    }
    uint32_t n = receive(world, engine);
    n += pony_engine_poll_apps(engine->engine, local_ns, COMMANDS);
    pony_engine_on_time(engine->engine, local_ns);
    n += send_packets(world, engine);
    (void)pony_engine_publish(engine->engine);
    sim_check_engine(world, engine);
    if (++engine->n_polls % DEEP_EVERY == 0) {
        sim_check_deep(world, engine);
    }
    sim_net_note(&world->net, now_ns << 4 ^ n);
    uint64_t backlog = sim_port_backlog(&world->net.up[engine->host], now_ns);
    if (n > 0 || engine->rx_head != engine->rx_tail) {
        engine->next_poll_ns = now_ns + POLL_NS + (uint64_t)n * WORK_NS;
    } else if (backlog >= TX_ROOM_BYTES) {
        engine->next_poll_ns = now_ns + SIM_US;
    } else {
        fall_asleep(world, engine);
    }
}
