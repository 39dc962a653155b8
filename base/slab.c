/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slab.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "base/poison.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_BYTES = 64 * 1024,
    OBJECT_BYTES_MAX = 1 << 16
};

/* What a free object begins with, and the first line of a chunk. */
struct link {
    struct link *next;
};

void base_slab_init(struct base_slab *slab, size_t object_bytes)
{
    base_assert(object_bytes >= 1 && object_bytes <= OBJECT_BYTES_MAX);
    *slab = (struct base_slab){.object_bytes = base_round_up_size(object_bytes, BASE_CACHE_LINE)};
}

void base_slab_fini(struct base_slab *slab)
{
    struct link *chunk = slab->chunks;
    while (chunk != NULL) {
        struct link *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    *slab = (struct base_slab){.object_bytes = slab->object_bytes};
}

static void push(void **list, void *at)
{
    struct link *link = at;
    link->next = *list;
    *list = link;
}

static void push_object(struct base_slab *slab, void *object)
{
    push(&slab->free, object);
    base_poison(object, slab->object_bytes);
}

/* From the back, so that the lowest address is taken first. */
static void add_chunk(struct base_slab *slab)
{
    size_t n = base_max_u64(CHUNK_BYTES / slab->object_bytes, 1);
    uint8_t *chunk = aligned_alloc(BASE_CACHE_LINE, BASE_CACHE_LINE + n * slab->object_bytes);
    if (chunk == NULL) {
        return;
    }
    push(&slab->chunks, chunk);
    for (size_t i = n; i > 0; i--) {
        push_object(slab, chunk + BASE_CACHE_LINE + (i - 1) * slab->object_bytes);
    }
}

void *base_slab_take(struct base_slab *slab)
{
    if (slab->free == NULL) {
        add_chunk(slab);
    }
    struct link *object = slab->free;
    if (object == NULL) {
        return NULL;
    }
    base_unpoison(object, slab->object_bytes);
    slab->free = object->next;
    slab->n_taken++;
    return memset(object, 0, slab->object_bytes);
}

void base_slab_give(struct base_slab *slab, void *object)
{
    if (object != NULL) {
        base_assert(slab->n_taken > 0);
        slab->n_taken--;
        push_object(slab, object);
    }
}
