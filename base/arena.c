/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/assert.h"
#include "base/compiler.h"

#include <stdlib.h>

void base_arena_init(struct base_arena *arena, size_t chunk_bytes, size_t max_bytes)
{
    base_assert(chunk_bytes >= BASE_ARENA_ALIGN);
    *arena = (struct base_arena){.chunk_bytes = base_round_down_size(chunk_bytes, BASE_ARENA_ALIGN),
                                 .max_bytes = max_bytes};
}

static void free_extra_chunks(struct base_arena *arena)
{
    while (arena->current != arena->first) {
        struct base_arena_chunk *chunk = arena->current;
        arena->current = chunk->next;
        arena->total_bytes -= chunk->capacity;
        free(chunk);
    }
}

void base_arena_fini(struct base_arena *arena)
{
    free_extra_chunks(arena);
    free(arena->first);
    arena->first = NULL;
    arena->current = NULL;
    arena->total_bytes = 0;
}

/* Makes a chunk that holds at least `need` bytes the current one; false at the limit. */
static bool add_chunk(struct base_arena *arena, size_t need)
{
    size_t room = base_round_down_size(arena->max_bytes - arena->total_bytes, BASE_ARENA_ALIGN);
    size_t capacity = base_min_size(base_max_size(need, arena->chunk_bytes), room);
    if (capacity < need || capacity > SIZE_MAX - sizeof(struct base_arena_chunk)) {
        return false;
    }
    struct base_arena_chunk *chunk = malloc(sizeof(*chunk) + capacity);
    if (chunk == NULL) {
        return false;
    }
    chunk->next = arena->current;
    chunk->capacity = capacity;
    chunk->used = 0;
    if (arena->first == NULL) {
        arena->first = chunk;
    }
    arena->current = chunk;
    arena->total_bytes += capacity;
    return true;
}

void *base_arena_alloc_from_new(struct base_arena *arena, size_t size)
{
    if (size > SIZE_MAX - BASE_ARENA_ALIGN) {
        return NULL;
    }
    size_t need = base_round_up_size(base_max_size(size, 1), BASE_ARENA_ALIGN);
    struct base_arena_chunk *chunk = arena->current;
    if (chunk == NULL || need > chunk->capacity - chunk->used) {
        if (!add_chunk(arena, need)) {
            return NULL;
        }
        chunk = arena->current;
    }
    void *piece = chunk->data + chunk->used;
    chunk->used += need;
    return piece;
}

void base_arena_free_chunks(struct base_arena *arena)
{
    free_extra_chunks(arena);
    if (arena->first->capacity > arena->chunk_bytes) {
        base_arena_fini(arena);
    }
}
