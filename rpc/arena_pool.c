/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/message.h"

#include <stdatomic.h>
#include <stdlib.h>

/**
 * The pool of arenas: a lock-free stack of slot numbers.
 *
 * Shape    `top` holds (tag << 32 | slot + 1), 0 in the low half for empty; the tag grows with
 *          every change, so a slot that was taken and given back meanwhile is not mistaken (ABA)
 * Memory   slots and their arenas live as long as the pool, so that reading next[] of a slot that
 *          another thread has just taken is harmless
 * Owned    arenas that the loop's owner gave back, for itself: taken and given without an atomic
 *          access; they count as out
 * Refs     one of the owner and one per arena that is out; the last one to go frees the pool
 */
enum {
    POOL_SLOTS = 1024,
    CHUNK_BYTES = 8192,
    NO_SLOT = -1
};

struct snapi_arena_pool {
    struct snapi_arenas_owned owned; /* first; what is given beyond it goes to the stack, for all */
    _Atomic uint64_t top;
    _Atomic uint32_t refs;
    _Atomic uint32_t n_made; /* slots in use from 0 up; may run past POOL_SLOTS */
    _Atomic uint32_t next[POOL_SLOTS];
    struct snapi_arena *arena[POOL_SLOTS]; /* written once, before the slot is first pushed */
};

struct snapi_arena_pool *snapi_arena_pool_open(void)
{
    struct snapi_arena_pool *pool = calloc(1, sizeof(*pool));
    if (pool != NULL) {
        atomic_init(&pool->refs, 1);
    }
    return pool;
}

static void unref(struct snapi_arena_pool *pool)
{
    /* R1 and A1, paired with each other: whoever frees sees all that others did to the arenas. */
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < POOL_SLOTS; i++) {
        if (pool->arena[i] != NULL) {
            base_arena_fini(&pool->arena[i]->mem);
            free(pool->arena[i]);
        }
    }
    free(pool);
}

void snapi_arena_pool_close(struct snapi_arena_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    for (uint32_t i = 0; i < pool->owned.n; i++) {
        snapi_arena_give(pool->owned.arenas[i]);
    }
    pool->owned.n = 0;
    unref(pool);
}

_Static_assert(offsetof(struct snapi_arena_pool, owned) == 0, "as message.h has it");

static uint64_t make_top(uint64_t old, uint32_t slot_plus_1)
{
    return ((old >> 32) + 1) << 32 | slot_plus_1;
}

static struct snapi_arena *pop(struct snapi_arena_pool *pool)
{
    /* A2: pairs with R2 in push(): the arena as its last user left it. */
    uint64_t top = atomic_load_explicit(&pool->top, memory_order_acquire);
    while ((uint32_t)top != 0) {
        uint32_t slot = (uint32_t)top - 1;
        uint32_t next = atomic_load_explicit(&pool->next[slot], memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&pool->top, &top, make_top(top, next),
                                                  memory_order_acquire, memory_order_acquire)) {
            return pool->arena[slot];
        }
    }
    return NULL;
}

static void push(struct snapi_arena_pool *pool, uint32_t slot)
{
    uint64_t top = atomic_load_explicit(&pool->top, memory_order_relaxed);
    do {
        atomic_store_explicit(&pool->next[slot], (uint32_t)top, memory_order_relaxed);
        /* R2: pairs with A2 in pop(). */
    } while (!atomic_compare_exchange_weak_explicit(&pool->top, &top, make_top(top, slot + 1),
                                                    memory_order_release, memory_order_relaxed));
}

static struct snapi_arena *make(struct snapi_arena_pool *pool)
{
    struct snapi_arena *arena = calloc(1, sizeof(*arena));
    if (arena == NULL) {
        return NULL;
    }
    base_arena_init(&arena->mem, CHUNK_BYTES, SIZE_MAX);
    arena->pool = pool;
    arena->slot = (uint32_t)NO_SLOT;
    if (atomic_load_explicit(&pool->n_made, memory_order_relaxed) < POOL_SLOTS) {
        uint32_t slot = atomic_fetch_add_explicit(&pool->n_made, 1, memory_order_relaxed);
        if (slot < POOL_SLOTS) {
            arena->slot = slot;
            pool->arena[slot] = arena;
        }
    }
    return arena;
}

struct snapi_arena *snapi_arena_take(struct snapi_arena_pool *pool)
{
    struct snapi_arena *arena = pop(pool);
    if (arena == NULL) {
        arena = make(pool);
    }
    if (arena != NULL) {
        atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    }
    return arena;
}

void snapi_arena_give(struct snapi_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    struct snapi_arena_pool *pool = arena->pool;
    if (arena->slot == (uint32_t)NO_SLOT) {
        base_arena_fini(&arena->mem);
        free(arena);
    } else {
        base_arena_reset(&arena->mem);
        push(pool, arena->slot);
    }
    unref(pool);
}
