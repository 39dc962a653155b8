/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_net.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/hash.h"
#include "transport/pony/protocol/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL_BYTES = 1600,
    LARGE_BYTES = PONY_HEAD_BYTES,
    BELOW_BYTES = 60 /* Ethernet, IP and UDP headers, frame check and gap, roughly */
};

void sim_net_reset(struct sim_net *net, uint64_t seed, uint32_t n_hosts)
{
    base_assert(n_hosts <= SIM_HOSTS_MAX);
    for (uint32_t i = 0; i < net->n_events; i++) {
        sim_net_give(net, net->heap[i].packet);
    }
    for (uint32_t i = 0; i < SIM_KEPT; i++) {
        if (net->kept[i] != NULL) {
            sim_net_give(net, net->kept[i]);
        }
    }
    struct sim_event *heap = net->heap;
    uint32_t heap_max = net->heap_max;
    struct sim_packet *small = net->free_small;
    struct sim_packet *large = net->free_large;
    memset(net, 0, sizeof(*net));
    net->heap = heap;
    net->heap_max = heap_max;
    net->free_small = small;
    net->free_large = large;
    net->n_hosts = n_hosts;
    net->now_ns = 1000;
    base_rng_init(&net->rng, seed);
}

static void free_list(struct sim_packet *packet)
{
    while (packet != NULL) {
        struct sim_packet *next = packet->next_free;
        free(packet);
        packet = next;
    }
}

void sim_net_fini(struct sim_net *net)
{
    sim_net_reset(net, 0, 0);
    free_list(net->free_small);
    free_list(net->free_large);
    free(net->heap);
    memset(net, 0, sizeof(*net));
}

void sim_port_set(struct sim_port *port, double bits_per_s, uint64_t delay_ns,
                  uint64_t queue_max_bytes, uint64_t ecn_bytes)
{
    *port = (struct sim_port){
        .ns_per_byte = bits_per_s > 0 ? 8e9 / bits_per_s : 0,
        .delay_ns = delay_ns,
        .queue_max_bytes = queue_max_bytes,
        .ecn_bytes = ecn_bytes,
    };
}

uint64_t sim_port_backlog(const struct sim_port *port, uint64_t now_ns)
{
    if (port->ns_per_byte == 0 || port->free_at_ns <= (double)now_ns) {
        return 0;
    }
    return (uint64_t)((port->free_at_ns - (double)now_ns) / port->ns_per_byte);
}

void sim_net_cut(struct sim_net *net, uint32_t mask, uint64_t ns, bool is_one_way)
{
    for (uint32_t i = 0; i < net->n_hosts; i++) {
        net->island[i] = i < 32 && (mask >> i & 1) != 0;
    }
    net->heal_ns = net->now_ns + ns;
    net->is_one_way = is_one_way;
}

/* The heap of events. */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void push(struct sim_net *net, uint64_t at_ns, struct sim_packet *packet)
{
    if (net->n_events == net->heap_max) {
        net->heap_max = net->heap_max * 2 + 256;
        net->heap = realloc(net->heap, net->heap_max * sizeof(*net->heap));
        base_assert(net->heap != NULL);
    }
    struct sim_event event = {.at_ns = at_ns, .order = net->n_order++, .packet = packet};
    uint32_t i = net->n_events++;
    while (i > 0 && is_before(&event, &net->heap[(i - 1) / 2])) {
        net->heap[i] = net->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    net->heap[i] = event;
}

static struct sim_event pop(struct sim_net *net)
{
    struct sim_event first = net->heap[0];
    struct sim_event last = net->heap[--net->n_events];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= net->n_events) {
            break;
        }
        if (child + 1 < net->n_events && is_before(&net->heap[child + 1], &net->heap[child])) {
            child++;
        }
        if (!is_before(&net->heap[child], &last)) {
            break;
        }
        net->heap[i] = net->heap[child];
        i = child;
    }
    net->heap[i] = last;
    return first;
}

uint64_t sim_net_next_ns(const struct sim_net *net)
{
    return net->n_events > 0 ? net->heap[0].at_ns : UINT64_MAX;
}

/* Packets. */

static struct sim_packet *take(struct sim_net *net, uint32_t len)
{
    bool is_small = len <= SMALL_BYTES;
    struct sim_packet **list = is_small ? &net->free_small : &net->free_large;
    struct sim_packet *packet = *list;
    if (packet == NULL) {
        uint32_t capacity = is_small ? SMALL_BYTES : LARGE_BYTES;
        packet = malloc(sizeof(*packet) + capacity);
        base_assert(packet != NULL && len <= capacity);
        packet->capacity = capacity;
    } else {
        *list = packet->next_free;
    }
    packet->len = len;
    return packet;
}

void sim_net_give(struct sim_net *net, struct sim_packet *packet)
{
    struct sim_packet **list =
        packet->capacity == SMALL_BYTES ? &net->free_small : &net->free_large;
    packet->next_free = *list;
    *list = packet;
}

static void tell(struct sim_net *net, const struct sim_packet *packet, const char *what)
{
    struct pony_wire_hdr hdr;
    const uint8_t *body;
    if (!net->is_traced) {
        return;
    }
    enum pony_wire_verdict verdict = pony_wire_decode(packet->data, packet->len, &hdr, &body);
    const char *type = verdict == PONY_WIRE_OK ? pony_wire_type_name(hdr.type) : "damaged";
    (void)printf("%12" PRIu64 " %u>%u %-8s %-9s", net->now_ns, packet->from_host, packet->to_host,
                 what, type);
    if (verdict == PONY_WIRE_OK) {
        (void)printf(" flow %x seq %" PRIu32 " ack %" PRIu32 " sack %u ts %u body %u", hdr.dst_flow,
                     hdr.seq, hdr.ack, hdr.n_sack, hdr.tx_ts, hdr.body_len);
    }
    (void)printf("\n");
}

static void lose(struct sim_net *net, struct sim_packet *packet, const char *why)
{
    tell(net, packet, why);
    sim_net_note(net, 0xdead);
    net->n_lost++;
    sim_net_give(net, packet);
}

/* Puts a packet into a port's queue; it arrives at the other end, or the queue is full. */
static void enter(struct sim_net *net, struct sim_port *port, struct sim_packet *packet,
                  uint64_t extra_ns)
{
    uint64_t backlog = sim_port_backlog(port, net->now_ns);
    if (port->queue_max_bytes != 0 && backlog + packet->wire_bytes > port->queue_max_bytes) {
        port->n_dropped++;
        lose(net, packet, "full");
        return;
    }
    if (port->ecn_bytes != 0 && backlog > port->ecn_bytes && packet->ecn != 0) {
        packet->ecn = 3;
        port->n_marked++;
    }
    port->queue_peak_bytes = backlog + packet->wire_bytes > port->queue_peak_bytes
                                 ? backlog + packet->wire_bytes
                                 : port->queue_peak_bytes;
    double start_ns =
        port->free_at_ns > (double)net->now_ns ? port->free_at_ns : (double)net->now_ns;
    port->free_at_ns = start_ns + packet->wire_bytes * port->ns_per_byte;
    port->n_bytes += packet->wire_bytes;
    port->n_pkts++;
    push(net, (uint64_t)port->free_at_ns + port->delay_ns + extra_ns, packet);
}

static void damage(struct sim_net *net, struct sim_packet *packet, uint32_t covered)
{
    if (base_rng_chance(&net->rng, net->weather.corrupt_ppm)) {
        /* In what the checksum covers: the rest is the network card's to protect. */
        uint32_t n_bits = 1 + (uint32_t)base_rng_below(&net->rng, 3);
        for (uint32_t i = 0; i < n_bits; i++) {
            uint64_t bit = base_rng_below(&net->rng, (uint64_t)covered * 8);
            packet->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
    if (base_rng_chance(&net->rng, net->weather.truncate_ppm)) {
        packet->len = (uint32_t)base_rng_below(&net->rng, packet->len);
    }
}

static bool is_unlucky(struct sim_net *net, const struct sim_packet *packet)
{
    const struct sim_weather *weather = &net->weather;
    if (net->now_ns < net->heal_ns) {
        uint8_t from = net->island[packet->from_host];
        uint8_t to = net->island[packet->to_host];
        if (net->is_one_way ? from > to : from != to) {
            return true;
        }
    }
    if (net->burst_left > 0) {
        net->burst_left--;
        return true;
    }
    if (weather->burst_ppm != 0 && base_rng_chance(&net->rng, weather->burst_ppm)) {
        net->burst_left = (uint32_t)base_rng_below(&net->rng, weather->burst_max_pkts);
        return true;
    }
    return base_rng_chance(&net->rng, weather->loss_ppm);
}

static void launch(struct sim_net *net, struct sim_packet *packet, uint32_t covered)
{
    const struct sim_weather *weather = &net->weather;
    net->n_sent++;
    sim_net_note(net, net->now_ns << 16 ^ packet->from_host << 8 ^ packet->to_host ^
                          (uint64_t)packet->len << 48);
    if (net->path_mtu != 0 && packet->len > net->path_mtu) {
        lose(net, packet, "too large");
        return;
    }
    if (is_unlucky(net, packet)) {
        lose(net, packet, "lost");
        return;
    }
    tell(net, packet, "sends");
    damage(net, packet, covered);
    uint64_t extra_ns = 0;
    if (weather->jitter_ns != 0) {
        extra_ns += base_rng_below(&net->rng, weather->jitter_ns);
    }
    if (weather->reorder_ppm != 0 && base_rng_chance(&net->rng, weather->reorder_ppm)) {
        extra_ns += base_rng_below(&net->rng, weather->reorder_ns + 1);
    }
    enter(net, &net->up[packet->from_host], packet, extra_ns);
}

/* The adversary who sees and sends packets. */

static struct sim_packet *copy_of(struct sim_net *net, const struct sim_packet *packet)
{
    struct sim_packet *copy = take(net, packet->len);
    uint32_t capacity = copy->capacity;
    *copy = *packet;
    copy->capacity = capacity;
    memcpy(copy->data, packet->data, packet->len);
    return copy;
}

/* Handshakes are rare and worth keeping; of the rest a few. */
static void keep(struct sim_net *net, const struct sim_packet *packet)
{
    bool is_handshake = packet->len >= PONY_WIRE_HDR_BYTES && packet->data[5] <= PONY_WIRE_REFUSE;
    if (!is_handshake && !base_rng_chance(&net->rng, 100000)) {
        return;
    }
    struct sim_packet **at = &net->kept[base_rng_below(&net->rng, SIM_KEPT)];
    if (*at != NULL) {
        sim_net_give(net, *at);
    }
    *at = copy_of(net, packet);
}

static void forge(struct sim_net *net, struct sim_packet *packet)
{
    uint64_t n = 1 + base_rng_below(&net->rng, 4);
    uint64_t reach = base_rng_chance(&net->rng, 500000) ? 200 : packet->len;
    for (uint64_t i = 0; i < n && packet->len > 0; i++) {
        uint64_t at = base_rng_below(&net->rng, reach < packet->len ? reach : packet->len);
        packet->data[at] = (uint8_t)base_rng_u64(&net->rng);
    }
    if (packet->len < PONY_WIRE_HDR_BYTES) {
        return;
    }
    if (base_rng_chance(&net->rng, 250000)) { /* it pretends to be another kind */
        packet->data[5] = (uint8_t)(1 + base_rng_below(&net->rng, PONY_WIRE_TYPE_MAX - 1));
    }
    if (pony_wire_is_sealed(packet->data, packet->len) && base_rng_chance(&net->rng, 500000)) {
        uint8_t *number = packet->data + 20; /* one that was not seen yet, or it is a replay */
        base_store_u64(number, base_load_u64(number) + 1 + base_rng_below(&net->rng, 2000));
    }
    uint32_t covered = pony_wire_hdr_len(packet->data[7]) + base_load_u16(packet->data + 46);
    if (!pony_wire_is_sealed(packet->data, packet->len) && covered <= packet->len) {
        base_store_u32(packet->data, base_crc32c(0, packet->data + 4, covered - 4));
    }
}

static void inject(struct sim_net *net, bool is_forged)
{
    const struct sim_packet *kept = net->kept[base_rng_below(&net->rng, SIM_KEPT)];
    if (kept == NULL) {
        return;
    }
    struct sim_packet *packet = copy_of(net, kept);
    packet->hop = 0;
    packet->ttl = SIM_TTL;
    if (base_rng_chance(&net->rng, 100000)) {
        packet->from = kept->to;
        packet->to = kept->from;
        packet->from_host = kept->to_host;
        packet->to_host = kept->from_host;
    }
    if (is_forged) {
        forge(net, packet);
        net->n_forged++;
    } else {
        net->n_replayed++;
    }
    tell(net, packet, is_forged ? "forges" : "replays");
    enter(net, &net->up[packet->from_host], packet, base_rng_below(&net->rng, 2000000));
}

void sim_net_send(struct sim_net *net, uint32_t from_host, uint32_t to_host,
                  const struct pony_addr *from, const struct pony_packet_out *out,
                  uint32_t wire_bytes)
{
    uint32_t len = out->head_len + out->payload_len;
    uint32_t n = net->weather.dup_ppm != 0 && base_rng_chance(&net->rng, net->weather.dup_ppm)
                     ? 2 + (uint32_t)base_rng_below(&net->rng, 2)
                     : 1;
    for (uint32_t i = 0; i < n; i++) {
        struct sim_packet *packet = take(net, len);
        packet->from = *from;
        packet->to = out->to;
        packet->from_host = from_host;
        packet->to_host = to_host;
        packet->wire_bytes = wire_bytes != 0 ? wire_bytes : len + BELOW_BYTES;
        packet->hop = 0;
        packet->ttl = SIM_TTL;
        packet->ecn = 2;
        memcpy(packet->data, out->head, out->head_len);
        if (out->payload_len > 0) {
            memcpy(packet->data + out->head_len, out->payload, out->payload_len);
        }
        if (net->weather.replay_ppm + net->weather.forge_ppm > 0) {
            keep(net, packet);
        }
        launch(net, packet, out->head_len);
    }
    if (net->weather.replay_ppm != 0 && base_rng_chance(&net->rng, net->weather.replay_ppm)) {
        inject(net, false);
    }
    if (net->weather.forge_ppm != 0 && base_rng_chance(&net->rng, net->weather.forge_ppm)) {
        inject(net, true);
    }
}

struct sim_packet *sim_net_step(struct sim_net *net)
{
    struct sim_event event = pop(net);
    struct sim_packet *packet = event.packet;
    net->now_ns = event.at_ns > net->now_ns ? event.at_ns : net->now_ns;
    uint8_t here = net->rack[packet->from_host];
    uint8_t there = net->rack[packet->to_host];
    if (packet->hop == 0 && here != there) {
        packet->hop = 1;
        packet->ttl--;
        enter(net, &net->trunk[here][there], packet, 0);
        return NULL;
    }
    if (packet->hop < 2) {
        packet->hop = 2;
        packet->ttl--;
        enter(net, &net->down[packet->to_host], packet, 0);
        return NULL;
    }
    packet->arrived_ns = net->now_ns;
    net->n_delivered++;
    sim_net_note(net, net->now_ns << 8 ^ packet->to_host);
    tell(net, packet, "arrives");
    return packet;
}
