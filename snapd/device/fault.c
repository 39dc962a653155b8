/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/fault.h"

#include "base/compiler.h"
#include "base/list.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

struct held {
    struct base_list link;
    uint64_t due_ns;
    uint64_t due_pkt; /**< count of packets sent after which it goes; UINT64_MAX: by time only */
    struct pony_packet_out packet;
    uint8_t bytes[PONY_MTU_MAX];
};

struct fault_dev {
    struct snapd_dev dev;
    struct snapd_dev *inner;
    struct snapd_fault_config config;
    struct base_rng rng;
    uint64_t n_sent; /**< packets offered to us */
    uint64_t dropped, duplicated, reordered, corrupted, delayed;
    struct base_list held;
    struct base_list free;
    struct pony_packet_out batch[PONY_TX_BATCH_MAX]; /**< on the way to inner */
    uint32_t n_batch;
    uint8_t *corrupt_memory; /**< [PONY_TX_BATCH_MAX][PONY_MTU_MAX]: copies that were changed */
    struct held *slots;      /**< [SNAPD_FAULT_HELD] */
};

static struct fault_dev *fault_of(struct snapd_dev *dev)
{
    return base_container_of(dev, struct fault_dev, dev);
}

static const struct fault_dev *const_fault_of(const struct snapd_dev *dev)
{
    return (const struct fault_dev *)(const void *)dev;
}

bool snapd_fault_is_on(const struct snapd_fault_config *c)
{
    return (c->drop_ppm | c->duplicate_ppm | c->reorder_ppm | c->corrupt_ppm | c->delay_ppm) != 0;
}

static void fault_destroy(struct snapd_dev *dev)
{
    struct fault_dev *fault = fault_of(dev);
    fault->inner->ops->destroy(fault->inner);
    free(fault->corrupt_memory);
    free(fault->slots);
    free(fault);
}

static int fault_fd(const struct snapd_dev *dev)
{
    const struct snapd_dev *inner = const_fault_of(dev)->inner;
    return inner->ops->fd(inner);
}

static uint16_t fault_port(const struct snapd_dev *dev)
{
    const struct snapd_dev *inner = const_fault_of(dev)->inner;
    return inner->ops->udp_port(inner);
}

static const char *fault_address(const struct snapd_dev *dev)
{
    const struct snapd_dev *inner = const_fault_of(dev)->inner;
    return inner->ops->address(inner);
}

static uint32_t fault_receive(struct snapd_dev *dev, struct pony_packet_in *packets, uint32_t max,
                              uint64_t now_ns)
{
    struct snapd_dev *inner = fault_of(dev)->inner;
    return inner->ops->receive(inner, packets, max, now_ns);
}

static void flush(struct fault_dev *fault, uint64_t now_ns)
{
    struct snapd_dev *inner = fault->inner;
    uint32_t n = base_min_u32(fault->n_batch, inner->ops->room(inner, now_ns));
    if (n > 0) {
        inner->ops->send(inner, fault->batch, n, now_ns);
    }
    /* What finds no room is lost: this device makes no promises. */
    fault->dropped += fault->n_batch - n;
    fault->n_batch = 0;
}

static void copy_bytes(const struct pony_packet_out *p, uint8_t *to, struct pony_packet_out *copy)
{
    memcpy(to, p->head, p->head_len);
    if (p->payload_len > 0) {
        memcpy(to + p->head_len, p->payload, p->payload_len);
    }
    *copy = *p;
    copy->head = to;
    copy->head_len = p->head_len + p->payload_len;
    copy->payload = NULL;
    copy->payload_len = 0;
}

static void pass(struct fault_dev *fault, const struct pony_packet_out *p, uint64_t now_ns)
{
    if (fault->n_batch == PONY_TX_BATCH_MAX) {
        flush(fault, now_ns);
    }
    struct pony_packet_out *out = &fault->batch[fault->n_batch];
    *out = *p;
    if (base_rng_chance(&fault->rng, fault->config.corrupt_ppm)) {
        uint8_t *bytes = fault->corrupt_memory + (size_t)fault->n_batch * PONY_MTU_MAX;
        copy_bytes(p, bytes, out);
        uint64_t at = base_rng_below(&fault->rng, out->head_len);
        bytes[at] ^= (uint8_t)base_rng_range(&fault->rng, 1, 255);
        fault->corrupted++;
    }
    fault->n_batch++;
}

/* False: no room to hold it. */
static bool hold(struct fault_dev *fault, const struct pony_packet_out *p, uint64_t due_ns,
                 uint64_t due_pkt)
{
    struct base_list *link = base_list_take_first(&fault->free);
    if (link == NULL) {
        return false;
    }
    struct held *held = base_list_entry(link, struct held, link);
    held->due_ns = due_ns;
    held->due_pkt = due_pkt;
    copy_bytes(p, held->bytes, &held->packet);
    base_list_add_tail(&fault->held, &held->link);
    return true;
}

/* Sends what was held long enough. The copies must live until they are flushed. */
static void release_due(struct fault_dev *fault, uint64_t now_ns)
{
    struct base_list done;
    base_list_init(&done);
    base_list_foreach_safe (it, &fault->held) {
        struct held *held = base_list_entry(it, struct held, link);
        if (now_ns >= held->due_ns || fault->n_sent >= held->due_pkt) {
            base_list_del(it);
            base_list_add_tail(&done, it);
            pass(fault, &held->packet, now_ns);
        }
    }
    if (!base_list_is_empty(&done)) {
        flush(fault, now_ns);
        base_list_splice_tail(&fault->free, &done);
    }
}

static void mistreat(struct fault_dev *fault, const struct pony_packet_out *p, uint64_t now_ns)
{
    const struct snapd_fault_config *c = &fault->config;
    fault->n_sent++;
    if (base_rng_chance(&fault->rng, c->drop_ppm)) {
        fault->dropped++;
        return;
    }
    uint32_t copies = 1;
    if (base_rng_chance(&fault->rng, c->duplicate_ppm)) {
        fault->duplicated++;
        copies++;
    }
    for (uint32_t i = 0; i < copies; i++) {
        if (base_rng_chance(&fault->rng, c->reorder_ppm)) {
            uint64_t after = fault->n_sent + base_rng_range(&fault->rng, 1, SNAPD_FAULT_OVERTAKE);
            if (hold(fault, p, now_ns + SNAPD_FAULT_REORDER_MAX_NS, after)) {
                fault->reordered++;
                continue;
            }
        } else if (base_rng_chance(&fault->rng, c->delay_ppm)) {
            uint64_t delay_ns = base_rng_range(&fault->rng, 0, c->delay_ns);
            if (hold(fault, p, now_ns + delay_ns, UINT64_MAX)) {
                fault->delayed++;
                continue;
            }
        }
        pass(fault, p, now_ns);
    }
}

static uint32_t fault_room(struct snapd_dev *dev, uint64_t now_ns)
{
    struct fault_dev *fault = fault_of(dev);
    if (!base_list_is_empty(&fault->held)) {
        release_due(fault, now_ns);
    }
    return fault->inner->ops->room(fault->inner, now_ns);
}

static void fault_send(struct snapd_dev *dev, const struct pony_packet_out *packets, uint32_t n,
                       uint64_t now_ns)
{
    struct fault_dev *fault = fault_of(dev);
    for (uint32_t i = 0; i < n; i++) {
        mistreat(fault, &packets[i], now_ns);
        release_due(fault, now_ns);
    }
    flush(fault, now_ns);
}

static bool fault_unreachable(struct snapd_dev *dev, struct pony_addr *to)
{
    struct snapd_dev *inner = fault_of(dev)->inner;
    return inner->ops->next_unreachable(inner, to);
}

static bool fault_too_long(struct snapd_dev *dev, struct pony_addr *to, uint32_t *bytes)
{
    struct snapd_dev *inner = fault_of(dev)->inner;
    return inner->ops->next_too_long(inner, to, bytes);
}

static bool fault_set_asleep(struct snapd_dev *dev, bool is_asleep, bool *wants_write)
{
    struct snapd_dev *inner = fault_of(dev)->inner;
    return inner->ops->set_asleep(inner, is_asleep, wants_write);
}

static uint64_t fault_deadline(const struct snapd_dev *dev)
{
    const struct fault_dev *fault = const_fault_of(dev);
    uint64_t least = fault->inner->ops->next_deadline_ns(fault->inner);
    base_list_foreach (it, &fault->held) {
        least = base_min_u64(least, base_list_entry(it, struct held, link)->due_ns);
    }
    return least;
}

static void fault_set_local(struct snapd_dev *dev, const struct snapd_local_addrs *addrs)
{
    struct snapd_dev *inner = fault_of(dev)->inner;
    inner->ops->set_local(inner, addrs);
}

static const char *fault_counter(const struct snapd_dev *dev, uint32_t idx, uint64_t *value)
{
    static const char *const names[] = {"fault_dropped", "fault_duplicated", "fault_reordered",
                                        "fault_corrupted", "fault_delayed"};
    const struct fault_dev *fault = const_fault_of(dev);
    const uint64_t values[] = {fault->dropped, fault->duplicated, fault->reordered,
                               fault->corrupted, fault->delayed};
    if (idx >= BASE_ARRAY_LEN(names)) {
        idx -= (uint32_t)BASE_ARRAY_LEN(names);
        return fault->inner->ops->counter(fault->inner, idx, value);
    }
    *value = values[idx];
    return names[idx];
}

static const struct snapd_dev_ops fault_ops = {
    .name = "fault",
    .destroy = fault_destroy,
    .fd = fault_fd,
    .udp_port = fault_port,
    .address = fault_address,
    .receive = fault_receive,
    .room = fault_room,
    .send = fault_send,
    .next_unreachable = fault_unreachable,
    .next_too_long = fault_too_long,
    .set_asleep = fault_set_asleep,
    .next_deadline_ns = fault_deadline,
    .set_local = fault_set_local,
    .counter = fault_counter,
};

enum base_err snapd_fault_create(const struct snapd_fault_config *config, struct snapd_dev *inner,
                                 struct snapd_dev **dev)
{
    struct fault_dev *fault = calloc(1, sizeof(*fault));
    if (fault == NULL) {
        inner->ops->destroy(inner);
        return BASE_E_NOMEM;
    }
    fault->dev.ops = &fault_ops;
    fault->inner = inner;
    fault->config = *config;
    base_rng_init(&fault->rng, config->seed);
    base_list_init(&fault->held);
    base_list_init(&fault->free);
    fault->corrupt_memory = calloc(PONY_TX_BATCH_MAX, PONY_MTU_MAX);
    fault->slots = calloc(SNAPD_FAULT_HELD, sizeof(*fault->slots));
    if (fault->corrupt_memory == NULL || fault->slots == NULL) {
        fault_destroy(&fault->dev);
        return BASE_E_NOMEM;
    }
    for (uint32_t i = 0; i < SNAPD_FAULT_HELD; i++) {
        base_list_add_tail(&fault->free, &fault->slots[i].link);
    }
    *dev = &fault->dev;
    return BASE_OK;
}
