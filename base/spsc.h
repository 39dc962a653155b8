/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPSC_H
#define BASE_SPSC_H

/**
 * Ring of pointers from one thread to one other thread of the same process.
 *
 * Shape    power-of-two slots; free-running 32-bit cursors; each side keeps a copy of the other's
 *          cursor on its own cache line and looks at the real one only when the copy says
 *          "full" or "empty"
 * Threads  one producer, one consumer; neither ever waits
 * Memory   slots from the heap at init
 * Order    R1/A1 publish slots to the consumer, R2/A2 give slots back to the producer;
 *          tests/model/ring.pml
 */
#include "base/compiler.h"
#include "base/error.h"

#include <stdalign.h>
#include <stdatomic.h>

struct base_spsc {
    void **slots;
    uint32_t mask;

    alignas(BASE_CACHE_LINE) _Atomic uint32_t tail; /**< producer writes */
    uint32_t head_seen;                             /**< producer's copy of head */

    alignas(BASE_CACHE_LINE) _Atomic uint32_t head; /**< consumer writes */
    uint32_t tail_seen;                             /**< consumer's copy of tail */
};

/** `capacity` is rounded up to a power of two, 1..2^30. Errors: BASE_E_INVALID, BASE_E_NOMEM. */
BASE_MUST_USE enum base_err base_spsc_init(struct base_spsc *ring, uint32_t capacity);

/** Frees the slots, not what they point to. Accepts a zeroed ring. */
void base_spsc_fini(struct base_spsc *ring);

/** Producer. False when full. */
static inline bool base_spsc_push(struct base_spsc *ring, void *item)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen > ring->mask) {
        /* A2: pairs with R2 in base_spsc_pop(): the slot has been read before we reuse it. */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen > ring->mask) {
            return false;
        }
    }
    ring->slots[tail & ring->mask] = item;
    /* R1: pairs with A1 in base_spsc_pop(). Without release the consumer could see the new tail
     * before the slot that it covers. */
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

/** Consumer. NULL when empty. */
static inline void *base_spsc_pop(struct base_spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == ring->tail_seen) {
        /* A1: pairs with R1 in base_spsc_push(). */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen) {
            return NULL;
        }
    }
    void *item = ring->slots[head & ring->mask];
    /* R2: pairs with A2 in base_spsc_push(). */
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return item;
}

/** Items inside at some moment during the call; either side. */
static inline uint32_t base_spsc_count(struct base_spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    return atomic_load_explicit(&ring->tail, memory_order_acquire) - head;
}

#endif
