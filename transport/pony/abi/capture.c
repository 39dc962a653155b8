/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/capture.h"

#include "base/compiler.h"
#include "transport/pony/abi/ring.h"

#include <string.h>

/* The labels A5/R5 and A6/R6 are listed in docs/shm-abi.md. */

bool shm_capture_sizes_are_good(const struct shm_capture_sizes *s)
{
    return s->n_rings >= 1 && s->n_rings <= SHM_CAPTURE_RINGS_MAX && base_is_pow2_u32(s->slots) &&
           s->slots >= SHM_CAPTURE_SLOTS_MIN && s->slots <= SHM_CAPTURE_SLOTS_MAX &&
           s->snap_bytes >= 1 && s->snap_bytes <= SHM_CAPTURE_SNAP_MAX &&
           base_is_aligned(s->slot_bytes, 64) &&
           s->slot_bytes >= SHM_CAPTURE_SLOT_HEAD + s->snap_bytes &&
           s->slot_bytes <= SHM_CAPTURE_SLOT_HEAD + SHM_CAPTURE_SNAP_MAX;
}

uint64_t shm_capture_records_bytes(const struct shm_capture_sizes *s)
{
    return SHM_CAPTURE_SLOTS_OFF + (uint64_t)s->n_rings * s->slots * s->slot_bytes;
}

uint64_t shm_capture_cursors_bytes(const struct shm_capture_sizes *s)
{
    return (uint64_t)s->n_rings * sizeof(struct shm_capture_cursor);
}

static size_t ring_off(uint32_t ring)
{
    return SHM_CAPTURE_RINGS_OFF + ring * sizeof(struct shm_capture_ring);
}

static size_t slots_off(const struct shm_capture_sizes *s, uint32_t ring)
{
    return SHM_CAPTURE_SLOTS_OFF + (size_t)ring * s->slots * s->slot_bytes;
}

void shm_capture_writer_init(struct shm_capture_writer *writer,
                             const struct shm_capture_sizes *sizes, uint32_t ring, void *records,
                             const void *cursors)
{
    struct shm_capture_head *head = records;
    *head = (struct shm_capture_head){
        .magic = SHM_CAPTURE_MAGIC,
        .n_rings = sizes->n_rings,
        .slots = sizes->slots,
        .slot_bytes = sizes->slot_bytes,
        .snap_bytes = sizes->snap_bytes,
    };
    *writer = (struct shm_capture_writer){
        .ring = (void *)((uint8_t *)records + ring_off(ring)),
        .cursor = (const struct shm_capture_cursor *)cursors + ring,
        .slots = (uint8_t *)records + slots_off(sizes, ring),
        .mask = sizes->slots - 1,
        .slot_bytes = sizes->slot_bytes,
        .snap_bytes = sizes->snap_bytes,
    };
}

static bool has_slot(struct shm_capture_writer *w)
{
    if (w->tail - w->head_seen <= w->mask) {
        return true;
    }
    /* A6: pairs with R6 in shm_capture_consume(). Without acquire we could write over a slot that
     * the reader still reads. */
    uint32_t head = atomic_load_explicit(&w->cursor->head, memory_order_acquire);
    /* A head that cannot be is no head: nobody but the reader misses anything by it. */
    if ((uint32_t)(head - w->head_seen) <= (uint32_t)(w->tail_published - w->head_seen)) {
        w->head_seen = head;
    }
    return w->tail - w->head_seen <= w->mask;
}

static uint32_t copy_run(uint8_t *to, uint32_t room, const uint8_t *from, uint32_t len)
{
    uint32_t n = base_min_u32(room, len);
    if (n > 0) {
        memcpy(to, from, n);
    }
    return n;
}

void shm_capture_put(struct shm_capture_writer *w, const struct shm_capture_packet *packet,
                     const struct shm_capture_bytes *bytes)
{
    if (!has_slot(w)) {
        w->n_missed++;
        return;
    }
    uint8_t *slot = w->slots + (size_t)(w->tail & w->mask) * w->slot_bytes;
    uint8_t *data = slot + SHM_CAPTURE_SLOT_HEAD;
    struct shm_capture_packet head = *packet;
    head.bytes = bytes->head_len + bytes->payload_len;
    head.kept_bytes = copy_run(data, w->snap_bytes, bytes->head, bytes->head_len);
    head.kept_bytes += copy_run(data + head.kept_bytes, w->snap_bytes - head.kept_bytes,
                                bytes->payload, bytes->payload_len);
    memcpy(slot, &head, sizeof(head));
    w->tail++;
}

void shm_capture_publish(struct shm_capture_writer *w)
{
    atomic_store_explicit(&w->ring->n_missed, w->n_missed, memory_order_relaxed);
    w->tail_published = w->tail;
    /* R5: pairs with A5 in shm_capture_peek(). Without release the reader could see the new tail
     * before the slots that it covers. */
    atomic_store_explicit(&w->ring->tail, w->tail, memory_order_release);
}

void shm_capture_end(struct shm_capture_writer *w)
{
    shm_capture_publish(w);
    atomic_store_explicit(&w->ring->is_over, 1, memory_order_release);
}

enum base_err shm_capture_reader_init(struct shm_capture_reader *reader,
                                      const struct shm_capture_sizes *sizes, uint32_t ring,
                                      const void *records, void *cursors)
{
    struct shm_capture_head head;
    shm_copy_in(&head, records, sizeof(head));
    BASE_ENSURE(head.magic == SHM_CAPTURE_MAGIC && head.n_rings == sizes->n_rings &&
                    head.slots == sizes->slots && head.slot_bytes == sizes->slot_bytes &&
                    head.snap_bytes == sizes->snap_bytes && ring < sizes->n_rings &&
                    shm_capture_sizes_are_good(sizes),
                BASE_E_MALFORMED);
    *reader = (struct shm_capture_reader){
        .ring = (const void *)((const uint8_t *)records + ring_off(ring)),
        .cursor = (struct shm_capture_cursor *)cursors + ring,
        .slots = (const uint8_t *)records + slots_off(sizes, ring),
        .mask = sizes->slots - 1,
        .slot_bytes = sizes->slot_bytes,
        .snap_bytes = sizes->snap_bytes,
    };
    return BASE_OK;
}

enum base_err shm_capture_peek(struct shm_capture_reader *r, struct shm_capture_packet *packet,
                               const uint8_t **bytes)
{
    if (r->head == r->tail_seen) {
        /* A5: pairs with R5 in shm_capture_publish(). */
        uint32_t tail = atomic_load_explicit(&r->ring->tail, memory_order_acquire);
        BASE_ENSURE((uint32_t)(tail - r->head) <= r->mask + 1, BASE_E_PEER);
        r->tail_seen = tail;
        BASE_ENSURE(r->head != tail, BASE_AGAIN);
    }
    const uint8_t *slot = r->slots + (size_t)(r->head & r->mask) * r->slot_bytes;
    shm_copy_in(packet, slot, sizeof(*packet));
    BASE_ENSURE(packet->kept_bytes <= r->snap_bytes && packet->kept_bytes <= packet->bytes &&
                    packet->bytes <= SHM_CAPTURE_SNAP_MAX,
                BASE_E_PEER);
    *bytes = slot + SHM_CAPTURE_SLOT_HEAD;
    return BASE_OK;
}

void shm_capture_consume(struct shm_capture_reader *r)
{
    r->head++;
    /* R6: pairs with A6 in has_slot(). Without release the writer could reuse the slot while it is
     * still being read. */
    atomic_store_explicit(&r->cursor->head, r->head, memory_order_release);
}

uint64_t shm_capture_missed(const struct shm_capture_reader *r)
{
    return atomic_load_explicit(&r->ring->n_missed, memory_order_relaxed);
}

bool shm_capture_is_over(const struct shm_capture_reader *r)
{
    return atomic_load_explicit(&r->ring->is_over, memory_order_acquire) != 0;
}
