/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include "base/assert.h"
#include "base/lines.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    POOL_ALIGN = 16,
    SMALL_SLOT_BYTES = 2 * BASE_CACHE_LINE,
    MAX_OBJECT_BYTES = 1 << 20
};

_Static_assert(sizeof(struct base_pool_slot) == BASE_POOL_HEADER_BYTES, "as the header says");
_Static_assert(sizeof(struct base_pool_slot) % POOL_ALIGN == 0, "objects stay 16-aligned");

enum base_err base_pool_init(struct base_pool *pool, size_t object_bytes,
                             uint32_t objects_per_chunk, uint32_t max_objects)
{
    *pool = (struct base_pool){0};
    BASE_ENSURE(object_bytes >= 1 && object_bytes <= MAX_OBJECT_BYTES, BASE_E_INVALID);
    BASE_ENSURE(max_objects >= 1 && max_objects <= INT32_MAX, BASE_E_INVALID);
    BASE_ENSURE(objects_per_chunk >= 1 && objects_per_chunk <= INT32_MAX, BASE_E_INVALID);
    pool->object_bytes = object_bytes;
    pool->slot_bytes = sizeof(struct base_pool_slot) + base_round_up_size(object_bytes, POOL_ALIGN);
    if (pool->slot_bytes > SMALL_SLOT_BYTES) {
        pool->slot_bytes = base_round_up_size(pool->slot_bytes, BASE_CACHE_LINE);
    }
    pool->objects_per_chunk = base_ceil_pow2_u32(objects_per_chunk);
    pool->chunk_shift = (uint32_t)__builtin_ctz(pool->objects_per_chunk);
    pool->max_objects = max_objects;
    pool->n_chunks_max = (uint32_t)base_div_ceil_u64(max_objects, pool->objects_per_chunk);
    pool->chunks = calloc(pool->n_chunks_max, sizeof(*pool->chunks));
    BASE_ENSURE(pool->chunks != NULL, BASE_E_NOMEM);
    return BASE_OK;
}

void base_pool_fini(struct base_pool *pool)
{
    for (uint32_t i = 0; i < pool->n_chunks; i++) {
        free(pool->chunks[i]);
    }
    free(pool->chunks);
    *pool = (struct base_pool){0};
}

static enum base_err add_chunk(struct base_pool *pool)
{
    BASE_ENSURE(pool->n_chunks < pool->n_chunks_max, BASE_E_LIMIT);
    uint32_t first = pool->n_chunks * pool->objects_per_chunk;
    uint32_t n = base_min_u32(pool->objects_per_chunk, pool->max_objects - first);
    size_t bytes = base_round_up_size(n * pool->slot_bytes, BASE_CACHE_LINE);
    uint8_t *chunk = aligned_alloc(BASE_CACHE_LINE, bytes);
    BASE_ENSURE(chunk != NULL, BASE_E_NOMEM);
    pool->chunks[pool->n_chunks++] = chunk;
    pool->n_slots = first + n;
    /* From the back, so that the lowest index is taken first. */
    for (uint32_t i = n; i > 0; i--) {
        struct base_pool_slot *slot = base_pool_slot_at(pool, first + i - 1);
        slot->idx = first + i - 1;
        slot->gen = 0;
        slot->next_free = pool->free;
        pool->free = slot;
        base_poison(slot->object, pool->slot_bytes - BASE_POOL_HEADER_BYTES);
    }
    return BASE_OK;
}

enum base_err base_pool_reserve(struct base_pool *pool, uint32_t n)
{
    BASE_ENSURE(n <= pool->max_objects, BASE_E_LIMIT);
    while (pool->n_slots < n) {
        BASE_TRY(add_chunk(pool));
    }
    return BASE_OK;
}

void *base_pool_take_from_new(struct base_pool *pool, uint32_t *idx)
{
    if (pool->chunks == NULL || add_chunk(pool) != BASE_OK) {
        return NULL;
    }
    return base_pool_take_unset(pool, idx);
}

void *base_pool_take(struct base_pool *pool, uint32_t *idx)
{
    void *object = base_pool_take_unset(pool, idx);
    if (object != NULL) {
        memset(object, 0, pool->object_bytes);
    }
    return object;
}

void base_pool_give(struct base_pool *pool, uint32_t idx)
{
    base_assert(idx < pool->n_slots);
    base_pool_put(pool, base_pool_slot_at(pool, idx)->object);
}

void base_pool_prefetch(const struct base_pool *pool, uint32_t idx, uint32_t n_lines)
{
    if (idx < pool->n_slots) {
        base_prefetch_lines(base_pool_slot_at(pool, idx), n_lines);
    }
}

void *base_pool_next(const struct base_pool *pool, uint32_t *idx)
{
    for (uint32_t n = pool->n_slots; *idx < n; (*idx)++) {
        void *object = base_pool_at(pool, *idx);
        if (object != NULL) {
            return object;
        }
    }
    return NULL;
}
