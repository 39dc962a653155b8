/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

/**
 * Pool of objects of one size with small indices.
 *
 * Shape    chunks of objects; index = chunk * objects_per_chunk + place. An address never changes.
 *          A slot's generation is odd while the object is taken and grows with every take and
 *          give, so (index, generation) names an object that a late packet or completion can
 *          look up safely. The slot given back last is taken first.
 * Memory   grows chunk by chunk up to max_objects; with objects_per_chunk == max_objects, or after
 *          base_pool_reserve, taking never goes to the heap. Objects are 16-aligned. Where a header
 *          (BASE_POOL_HEADER_BYTES) and its object are longer than two cache lines together, the
 *          header begins a line: a type can choose what lies in its first lines. To the address
 *          sanitizer free objects, but for their headers, are no memory.
 * Threads  one owner
 */
#include "base/assert.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/poison.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BASE_POOL_NONE = -1, /* as (uint32_t)BASE_POOL_NONE: no index */
    BASE_POOL_HEADER_BYTES = 16
};

/** Stands before every object; pool.c's, but for the inline functions below. */
struct base_pool_slot {
    uint32_t idx;
    uint32_t gen;                     /**< odd: taken */
    struct base_pool_slot *next_free; /**< while it is free */
    alignas(16) unsigned char object[];
};

struct base_pool {
    uint8_t **chunks;  /**< [n_chunks_max] */
    size_t slot_bytes; /**< header and object, rounded up to 16 or a cache line */
    size_t object_bytes;
    uint32_t objects_per_chunk; /**< power of two */
    uint32_t chunk_shift;
    uint32_t n_chunks;
    uint32_t n_chunks_max;
    uint32_t max_objects;
    uint32_t n_slots; /**< that exist */
    uint32_t n_taken;
    struct base_pool_slot *free; /**< the one given back last; NULL: none */
};

/**
 * @param object_bytes       1..2^20
 * @param objects_per_chunk  rounded up to a power of two
 * @param max_objects        1..2^31-1; never more are out at once
 *
 * Errors  BASE_E_INVALID, BASE_E_NOMEM; the pool is zeroed then
 */
BASE_MUST_USE enum base_err base_pool_init(struct base_pool *pool, size_t object_bytes,
                                           uint32_t objects_per_chunk, uint32_t max_objects);

/** Frees all chunks, and with them every object. Accepts a zeroed pool. */
void base_pool_fini(struct base_pool *pool);

/** Makes sure that `n` objects can be out at once without the heap. Errors: BASE_E_NOMEM, BASE_E_LIMIT. */
BASE_MUST_USE enum base_err base_pool_reserve(struct base_pool *pool, uint32_t n);

/** A zeroed object, NULL at max_objects or when the heap is empty. `idx` may be NULL. */
void *base_pool_take(struct base_pool *pool, uint32_t *idx);

/** The same, but with whatever its last user left in it: for who sets every member. */
static inline void *base_pool_take_unset(struct base_pool *pool, uint32_t *idx);

/** base_pool_take_unset() where none is free. */
void *base_pool_take_from_new(struct base_pool *pool, uint32_t *idx);

static inline void *base_pool_take_unset(struct base_pool *pool, uint32_t *idx)
{
    struct base_pool_slot *slot = pool->free;
    if (BASE_UNLIKELY(slot == NULL)) {
        return base_pool_take_from_new(pool, idx);
    }
    pool->free = slot->next_free;
    slot->gen++;
    pool->n_taken++;
    base_unpoison(slot->object, pool->object_bytes);
    if (idx != NULL) {
        *idx = slot->idx;
    }
    return slot->object;
}

/** Gives back a taken object; anything else is our own fault and asserts. */
void base_pool_give(struct base_pool *pool, uint32_t idx);

/** The same by its address. */
static inline void base_pool_put(struct base_pool *pool, void *object)
{
    struct base_pool_slot *slot = base_container_of(object, struct base_pool_slot, object);
    base_assert((slot->gen & 1) != 0);
    slot->gen++;
    slot->next_free = pool->free;
    pool->free = slot;
    pool->n_taken--;
    base_poison(slot->object, pool->slot_bytes - BASE_POOL_HEADER_BYTES);
}

/** pool.c's: idx < n_slots. */
static inline struct base_pool_slot *base_pool_slot_at(const struct base_pool *pool, uint32_t idx)
{
    uint8_t *chunk = pool->chunks[idx >> pool->chunk_shift];
    uint32_t place = idx & (pool->objects_per_chunk - 1);
    return (struct base_pool_slot *)(void *)(chunk + place * pool->slot_bytes);
}

/** The object at `idx` while it is taken, else NULL. Any idx may be asked for. */
static inline void *base_pool_at(const struct base_pool *pool, uint32_t idx)
{
    if (idx >= pool->n_slots) {
        return NULL;
    }
    struct base_pool_slot *slot = base_pool_slot_at(pool, idx);
    return (slot->gen & 1) != 0 ? slot->object : NULL;
}

/** Fetches the first `n_lines` cache lines of a slot, taken or not, into the cache. Any idx will do. */
void base_pool_prefetch(const struct base_pool *pool, uint32_t idx, uint32_t n_lines);

/** Of an object of a pool that is taken. */
static inline uint32_t base_pool_index(const void *object)
{
    return base_container_of(object, const struct base_pool_slot, object)->idx;
}

static inline uint32_t base_pool_gen(const void *object)
{
    return base_container_of(object, const struct base_pool_slot, object)->gen;
}

/** The object at `idx` if it is taken and its generation is `gen`, else NULL. */
static inline void *base_pool_find(const struct base_pool *pool, uint32_t idx, uint32_t gen)
{
    void *object = base_pool_at(pool, idx);
    return object != NULL && base_pool_gen(object) == gen ? object : NULL;
}

/**
 * Walks the taken objects: the first one at an index >= *idx, which becomes its index; NULL at the end.
 *     for (uint32_t i = 0; (obj = base_pool_next(pool, &i)) != NULL; i++)
 */
void *base_pool_next(const struct base_pool *pool, uint32_t *idx);

#endif
