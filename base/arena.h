/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

/**
 * Arena: memory that is given back all at once.
 *
 * Shape    chunks in a chain, bump allocation; every piece is 16-aligned
 * Memory   the first chunk is made at the first allocation and kept by reset, so an arena that is
 *          reused for pieces that fit into it never goes to the heap again. All chunks together
 *          never exceed max_bytes.
 * Threads  one owner at a time
 */
#include "base/compiler.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BASE_ARENA_ALIGN = 16
};

/** arena.c's, but for the inline function below. */
struct base_arena_chunk {
    struct base_arena_chunk *next; /**< older extra chunks, down to the first one */
    size_t capacity;               /**< bytes at data */
    size_t used;                   /**< a multiple of BASE_ARENA_ALIGN */
    alignas(BASE_ARENA_ALIGN) unsigned char data[];
};

struct base_arena {
    struct base_arena_chunk *first;   /**< kept by reset; NULL before the first allocation */
    struct base_arena_chunk *current; /**< the one that is being filled */
    size_t chunk_bytes;               /**< usable bytes of an ordinary chunk */
    size_t max_bytes;                 /**< limit on the usable bytes of all chunks together */
    size_t total_bytes;               /**< usable bytes of all chunks now */
};

/** Allocates nothing yet. chunk_bytes >= 16; max_bytes is the limit, SIZE_MAX for none. */
void base_arena_init(struct base_arena *arena, size_t chunk_bytes, size_t max_bytes);

/** Frees everything. Accepts a zeroed arena. */
void base_arena_fini(struct base_arena *arena);

/** `size` bytes, 16-aligned, not zeroed; a size of 0 gives a valid pointer too. NULL at the limit or
 * when the heap is empty. Lives until reset or fini. */
static inline void *base_arena_alloc(struct base_arena *arena, size_t size);

/** base_arena_alloc() where the present chunk does not do. */
void *base_arena_alloc_from_new(struct base_arena *arena, size_t size);

/** base_arena_alloc() from the present chunk. NULL: it does not do, or `size` is 0. */
static inline void *base_arena_try_alloc(struct base_arena *arena, size_t size)
{
    struct base_arena_chunk *chunk = arena->current;
    if (BASE_UNLIKELY(chunk == NULL || size - 1 >= chunk->capacity - chunk->used)) {
        return NULL;
    }
    void *piece = chunk->data + chunk->used;
    chunk->used += base_round_up_size(size, BASE_ARENA_ALIGN);
    return piece;
}

static inline void *base_arena_alloc(struct base_arena *arena, size_t size)
{
    void *piece = base_arena_try_alloc(arena, size);
    return BASE_LIKELY(piece != NULL) ? piece : base_arena_alloc_from_new(arena, size);
}

/** Ends the life of all pieces; keeps the first chunk, unless one huge piece made it larger than
 * chunk_bytes. */
static inline void base_arena_reset(struct base_arena *arena);

/** base_arena_reset() where chunks are to be freed. */
void base_arena_free_chunks(struct base_arena *arena);

static inline void base_arena_reset(struct base_arena *arena)
{
    if (arena->first == NULL) {
        return;
    }
    arena->first->used = 0;
    if (BASE_UNLIKELY(arena->current != arena->first ||
                      arena->first->capacity > arena->chunk_bytes)) {
        base_arena_free_chunks(arena);
    }
}

#endif
