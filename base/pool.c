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

static const uint32_t no_idx = (uint32_t)BASE_POOL_NONE;

/* Stands before every object. */
struct slot {
    uint32_t idx;
    uint32_t gen; /* odd: taken */
    uint32_t next_free;
    alignas(POOL_ALIGN) unsigned char object[];
};

_Static_assert(sizeof(struct slot) == BASE_POOL_HEADER_BYTES, "as the header says");
_Static_assert(sizeof(struct slot) % POOL_ALIGN == 0, "objects stay 16-aligned");

static bool is_taken(const struct slot *slot)
{
    return (slot->gen & 1) != 0;
}

static struct slot *slot_at(const struct base_pool *pool, uint32_t idx)
{
    uint8_t *chunk = pool->chunks[idx >> pool->chunk_shift];
    uint32_t place = idx & (pool->objects_per_chunk - 1);
    return (struct slot *)(void *)(chunk + place * pool->slot_bytes);
}

static const struct slot *slot_of(const void *object)
{
    return base_container_of(object, const struct slot, object);
}

enum base_err base_pool_init(struct base_pool *pool, size_t object_bytes,
                             uint32_t objects_per_chunk, uint32_t max_objects)
{
    *pool = (struct base_pool){.free_idx = no_idx};
    BASE_ENSURE(object_bytes >= 1 && object_bytes <= MAX_OBJECT_BYTES, BASE_E_INVALID);
    BASE_ENSURE(max_objects >= 1 && max_objects <= INT32_MAX, BASE_E_INVALID);
    BASE_ENSURE(objects_per_chunk >= 1 && objects_per_chunk <= INT32_MAX, BASE_E_INVALID);
    pool->object_bytes = object_bytes;
    pool->slot_bytes = sizeof(struct slot) + base_round_up_size(object_bytes, POOL_ALIGN);
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
    *pool = (struct base_pool){.free_idx = no_idx};
}

/* Slots that exist. */
static uint32_t n_slots(const struct base_pool *pool)
{
    uint64_t n = (uint64_t)pool->n_chunks * pool->objects_per_chunk;
    return (uint32_t)base_min_u64(n, pool->max_objects);
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
    /* From the back, so that the lowest index is taken first. */
    for (uint32_t i = n; i > 0; i--) {
        struct slot *slot = slot_at(pool, first + i - 1);
        slot->idx = first + i - 1;
        slot->gen = 0;
        slot->next_free = pool->free_idx;
        pool->free_idx = slot->idx;
    }
    return BASE_OK;
}

enum base_err base_pool_reserve(struct base_pool *pool, uint32_t n)
{
    BASE_ENSURE(n <= pool->max_objects, BASE_E_LIMIT);
    while (n_slots(pool) < n) {
        BASE_TRY(add_chunk(pool));
    }
    return BASE_OK;
}

void *base_pool_take_unset(struct base_pool *pool, uint32_t *idx)
{
    if (pool->free_idx == no_idx && (pool->chunks == NULL || add_chunk(pool) != BASE_OK)) {
        return NULL;
    }
    struct slot *slot = slot_at(pool, pool->free_idx);
    pool->free_idx = slot->next_free;
    slot->next_free = no_idx;
    slot->gen++;
    pool->n_taken++;
    if (idx != NULL) {
        *idx = slot->idx;
    }
    return slot->object;
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
    base_assert(idx < n_slots(pool));
    struct slot *slot = slot_at(pool, idx);
    base_assert(is_taken(slot));
    slot->gen++;
    slot->next_free = pool->free_idx;
    pool->free_idx = idx;
    pool->n_taken--;
}

void *base_pool_at(const struct base_pool *pool, uint32_t idx)
{
    if (idx >= n_slots(pool)) {
        return NULL;
    }
    struct slot *slot = slot_at(pool, idx);
    return is_taken(slot) ? slot->object : NULL;
}

void base_pool_prefetch(const struct base_pool *pool, uint32_t idx, uint32_t n_lines)
{
    if (idx < n_slots(pool)) {
        base_prefetch_lines(slot_at(pool, idx), n_lines);
    }
}

void *base_pool_find(const struct base_pool *pool, uint32_t idx, uint32_t gen)
{
    void *object = base_pool_at(pool, idx);
    return object != NULL && base_pool_gen(object) == gen ? object : NULL;
}

uint32_t base_pool_index(const void *object)
{
    return slot_of(object)->idx;
}

uint32_t base_pool_gen(const void *object)
{
    return slot_of(object)->gen;
}

void *base_pool_next(const struct base_pool *pool, uint32_t *idx)
{
    for (uint32_t n = n_slots(pool); *idx < n; (*idx)++) {
        void *object = base_pool_at(pool, *idx);
        if (object != NULL) {
            return object;
        }
    }
    return NULL;
}
