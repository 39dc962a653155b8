/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/loop.h"

#include "base/compiler.h"
#include "base/span.h"
#include "snapd/config.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct pony_addr from;
    uint32_t len;
};

struct ring {
    struct slot *slots;
    uint8_t *memory;

    alignas(BASE_CACHE_LINE) _Atomic uint32_t tail; /**< producer writes */
    alignas(BASE_CACHE_LINE) _Atomic uint32_t head; /**< consumer writes */
};

struct loop_dev {
    struct snapd_dev dev;
    struct snapd_loop_fabric *fabric;
    uint32_t idx;
    uint16_t port;
    struct snapd_waker *waker;
    uint32_t taken[SNAPD_ENGINES_MAX]; /**< per source: packets handed out, not yet given back */
    uint32_t next_source;
    uint64_t sent_pkts, received_pkts, dropped_pkts;
};

struct snapd_loop_fabric {
    struct snapd_loop_config config;
    uint32_t slot_bytes;
    struct loop_dev *devs[SNAPD_ENGINES_MAX];
    struct ring rings[SNAPD_ENGINES_MAX][SNAPD_ENGINES_MAX]; /**< [from][to] */
};

static uint8_t *slot_memory(const struct snapd_loop_fabric *f, const struct ring *ring,
                            uint32_t count)
{
    return ring->memory + (size_t)(count & (f->config.slots - 1)) * f->slot_bytes;
}

static enum base_err make_ring(struct snapd_loop_fabric *f, struct ring *ring)
{
    ring->slots = calloc(f->config.slots, sizeof(*ring->slots));
    /* Large: the heap maps it, and pages cost nothing until packets come. */
    ring->memory = calloc(f->config.slots, f->slot_bytes);
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    return ring->slots != NULL && ring->memory != NULL ? BASE_OK : BASE_E_NOMEM;
}

enum base_err snapd_loop_fabric_create(const struct snapd_loop_config *config,
                                       struct snapd_loop_fabric **fabric)
{
    BASE_ENSURE(config->n_engines <= SNAPD_ENGINES_MAX && base_is_pow2_u32(config->slots) &&
                    config->mtu_bytes <= PONY_MTU_MAX,
                BASE_E_INVALID);
    struct snapd_loop_fabric *f =
        aligned_alloc(BASE_CACHE_LINE, base_round_up_size(sizeof(*f), BASE_CACHE_LINE));
    BASE_ENSURE(f != NULL, BASE_E_NOMEM);
    memset(f, 0, sizeof(*f));
    f->config = *config;
    f->slot_bytes = (uint32_t)base_round_up_size(config->mtu_bytes, BASE_CACHE_LINE);
    for (uint32_t i = 0; i < config->n_engines; i++) {
        for (uint32_t j = 0; j < config->n_engines; j++) {
            if (i != j && make_ring(f, &f->rings[i][j]) != BASE_OK) {
                snapd_loop_fabric_destroy(f);
                return BASE_E_NOMEM;
            }
        }
    }
    *fabric = f;
    return BASE_OK;
}

void snapd_loop_fabric_destroy(struct snapd_loop_fabric *fabric)
{
    if (fabric == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SNAPD_ENGINES_MAX; i++) {
        for (uint32_t j = 0; j < SNAPD_ENGINES_MAX; j++) {
            free(fabric->rings[i][j].slots);
            free(fabric->rings[i][j].memory);
        }
    }
    free(fabric);
}

static struct loop_dev *loop_of(struct snapd_dev *dev)
{
    return base_container_of(dev, struct loop_dev, dev);
}

static const struct loop_dev *const_loop_of(const struct snapd_dev *dev)
{
    return (const struct loop_dev *)(const void *)dev;
}

static void loop_destroy(struct snapd_dev *dev)
{
    struct loop_dev *loop = loop_of(dev);
    loop->fabric->devs[loop->idx] = NULL;
    free(loop);
}

static uint16_t loop_port(const struct snapd_dev *dev)
{
    return const_loop_of(dev)->port;
}

static const char *loop_address(const struct snapd_dev *dev)
{
    (void)dev;
    return "loop";
}

static struct loop_dev *find_port(const struct snapd_loop_fabric *f, uint16_t port)
{
    for (uint32_t i = 0; i < f->config.n_engines; i++) {
        if (f->devs[i] != NULL && f->devs[i]->port == port) {
            return f->devs[i];
        }
    }
    return NULL;
}

bool snapd_loop_has_port(const struct snapd_dev *dev, uint16_t port)
{
    const struct loop_dev *loop = const_loop_of(dev);
    return port != loop->port && find_port(loop->fabric, port) != NULL;
}

/* Takes what one source has; the buffers stay ours until the next receive. */
static uint32_t take_from(struct loop_dev *loop, uint32_t source, struct pony_packet_in *packets,
                          uint32_t max, uint64_t now_ns)
{
    struct snapd_loop_fabric *f = loop->fabric;
    struct ring *ring = &f->rings[source][loop->idx];
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (loop->taken[source] > 0) {
        head += loop->taken[source];
        loop->taken[source] = 0;
        /* R2: pairs with A2 in put(): the packets have been looked at. */
        atomic_store_explicit(&ring->head, head, memory_order_release);
    }
    /* A1: pairs with R1 in put(). */
    uint32_t ready = atomic_load_explicit(&ring->tail, memory_order_acquire) - head;
    uint32_t n = base_min_u32(ready, max);
    for (uint32_t i = 0; i < n; i++) {
        const struct slot *slot = &ring->slots[(head + i) & (f->config.slots - 1)];
        packets[i] = (struct pony_packet_in){
            .from = slot->from,
            .data = slot_memory(f, ring, head + i),
            .len = slot->len,
            .rx_ns = now_ns,
        };
    }
    loop->taken[source] = n;
    return n;
}

static uint32_t loop_receive(struct snapd_dev *dev, struct pony_packet_in *packets, uint32_t max,
                             uint64_t now_ns)
{
    struct loop_dev *loop = loop_of(dev);
    uint32_t n_engines = loop->fabric->config.n_engines;
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_engines; i++) {
        uint32_t source = loop->next_source + i;
        source -= source >= n_engines ? n_engines : 0;
        if (source != loop->idx) {
            n += take_from(loop, source, packets + n, max - n, now_ns);
        }
    }
    /* Another source goes first next time: a busy one does not starve the rest. */
    loop->next_source = loop->next_source + 1 < n_engines ? loop->next_source + 1 : 0;
    loop->received_pkts += n;
    return n;
}

static uint32_t loop_room(struct snapd_dev *dev, uint64_t now_ns)
{
    (void)dev;
    (void)now_ns;
    return PONY_TX_BATCH_MAX;
}

static bool put(struct loop_dev *loop, const struct loop_dev *to, const struct pony_packet_out *p)
{
    struct snapd_loop_fabric *f = loop->fabric;
    struct ring *ring = &f->rings[loop->idx][to->idx];
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    /* A2: pairs with R2 in take_from(). */
    uint32_t used = tail - atomic_load_explicit(&ring->head, memory_order_acquire);
    if (used >= f->config.slots ||
        !base_span_fits(p->head_len, p->payload_len, f->config.mtu_bytes)) {
        return false;
    }
    struct slot *slot = &ring->slots[tail & (f->config.slots - 1)];
    uint8_t *data = slot_memory(f, ring, tail);
    slot->from = p->to;
    slot->from.udp_port = loop->port;
    slot->len = p->head_len + p->payload_len;
    memcpy(data, p->head, p->head_len);
    if (p->payload_len > 0) {
        memcpy(data + p->head_len, p->payload, p->payload_len);
    }
    /* R1: pairs with A1 in take_from(). */
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

static void loop_send(struct snapd_dev *dev, const struct pony_packet_out *packets, uint32_t n,
                      uint64_t now_ns)
{
    (void)now_ns;
    struct loop_dev *loop = loop_of(dev);
    uint32_t to_wake = 0; /* bit per engine */
    for (uint32_t i = 0; i < n; i++) {
        struct loop_dev *to = find_port(loop->fabric, packets[i].to.udp_port);
        if (to == NULL || to == loop || !put(loop, to, &packets[i])) {
            loop->dropped_pkts++;
            continue;
        }
        loop->sent_pkts++;
        to_wake |= 1u << to->idx;
    }
    for (uint32_t i = 0; to_wake != 0; i++, to_wake >>= 1) {
        if ((to_wake & 1) != 0) {
            snapd_waker_wake(loop->fabric->devs[i]->waker);
        }
    }
}

static bool loop_set_asleep(struct snapd_dev *dev, bool is_asleep, bool *wants_write)
{
    (void)is_asleep;
    *wants_write = false;
    struct loop_dev *loop = loop_of(dev);
    for (uint32_t i = 0; i < loop->fabric->config.n_engines; i++) {
        struct ring *ring = &loop->fabric->rings[i][loop->idx];
        uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (i != loop->idx && tail - head != loop->taken[i]) {
            return true;
        }
    }
    return false;
}

static const char *loop_counter(const struct snapd_dev *dev, uint32_t idx, uint64_t *value)
{
    static const char *const names[] = {"loop_sent_packets", "loop_received_packets",
                                        "loop_dropped_packets"};
    const struct loop_dev *loop = const_loop_of(dev);
    const uint64_t values[] = {loop->sent_pkts, loop->received_pkts, loop->dropped_pkts};
    if (idx >= BASE_ARRAY_LEN(names)) {
        return NULL;
    }
    *value = values[idx];
    return names[idx];
}

static const struct snapd_dev_ops loop_ops = {
    .name = "loop",
    .destroy = loop_destroy,
    .fd = snapd_dev_no_fd,
    .udp_port = loop_port,
    .address = loop_address,
    .receive = loop_receive,
    .room = loop_room,
    .send = loop_send,
    .next_unreachable = snapd_dev_no_unreachable,
    .next_too_long = snapd_dev_no_too_long,
    .set_asleep = loop_set_asleep,
    .next_deadline_ns = snapd_dev_no_deadline,
    .set_local = snapd_dev_no_local,
    .counter = loop_counter,
};

enum base_err snapd_loop_create(struct snapd_loop_fabric *fabric, uint32_t idx, uint16_t port,
                                struct snapd_waker *waker, struct snapd_dev **dev)
{
    BASE_ENSURE(idx < fabric->config.n_engines && fabric->devs[idx] == NULL, BASE_E_INVALID);
    struct loop_dev *loop = calloc(1, sizeof(*loop));
    BASE_ENSURE(loop != NULL, BASE_E_NOMEM);
    loop->dev.ops = &loop_ops;
    loop->fabric = fabric;
    loop->idx = idx;
    loop->port = port;
    loop->waker = waker;
    fabric->devs[idx] = loop;
    *dev = &loop->dev;
    return BASE_OK;
}
