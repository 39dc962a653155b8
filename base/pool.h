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
 *          header begins a line: a type can choose what lies in its first lines.
 * Threads  one owner
 */
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BASE_POOL_NONE = -1, /* as (uint32_t)BASE_POOL_NONE: no index */
    BASE_POOL_HEADER_BYTES = 16
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
    uint32_t free_idx; /**< head of the free list */
    uint32_t n_taken;
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
void *base_pool_take_unset(struct base_pool *pool, uint32_t *idx);

/** Gives back a taken object; anything else is our own fault and asserts. */
void base_pool_give(struct base_pool *pool, uint32_t idx);

/** The object at `idx` while it is taken, else NULL. Any idx may be asked for. */
void *base_pool_at(const struct base_pool *pool, uint32_t idx);

/** The same, and only if its generation is `gen`. */
void *base_pool_find(const struct base_pool *pool, uint32_t idx, uint32_t gen);

/** Fetches the first `n_lines` cache lines of a slot, taken or not, into the cache. Any idx will do. */
void base_pool_prefetch(const struct base_pool *pool, uint32_t idx, uint32_t n_lines);

/** Of an object of this pool that is taken. */
uint32_t base_pool_index(const void *object);
uint32_t base_pool_gen(const void *object);

/**
 * Walks the taken objects: the first one at an index >= *idx, which becomes its index; NULL at the end.
 *     for (uint32_t i = 0; (obj = base_pool_next(pool, &i)) != NULL; i++)
 */
void *base_pool_next(const struct base_pool *pool, uint32_t *idx);

#endif
