/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/mem.h"

#include "base/compiler.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const size_t small_sizes[KTCP_MEM_SIZES] = {4096, 16384, 65536};

enum {
    SMALL_MAX = 65536,
    MAP_STEP = 65536
};

void ktcp_mem_init(struct ktcp_mem *mem)
{
    *mem = (struct ktcp_mem){0};
}

void ktcp_mem_fini(struct ktcp_mem *mem)
{
    while (mem->chunks != NULL) {
        struct ktcp_chunk *chunk = mem->chunks;
        mem->chunks = chunk->next;
        free(chunk);
    }
    for (int i = 0; i < KTCP_MEM_SIZES; i++) {
        while (mem->small[i] != NULL) {
            struct ktcp_free *block = mem->small[i];
            mem->small[i] = block->next;
            free(block);
        }
    }
    for (uint32_t i = 0; i < mem->n_maps; i++) {
        (void)munmap(mem->maps[i].data, mem->maps[i].capacity);
    }
    *mem = (struct ktcp_mem){0};
}

struct ktcp_chunk *ktcp_chunk_take(struct ktcp_mem *mem)
{
    struct ktcp_chunk *chunk = mem->chunks;
    if (chunk != NULL) {
        mem->chunks = chunk->next;
        mem->n_chunks--;
    } else {
        chunk = aligned_alloc(KTCP_CHUNK_BYTES, KTCP_CHUNK_BYTES);
        if (chunk == NULL) {
            return NULL;
        }
    }
    *chunk = (struct ktcp_chunk){.refs = 1, .used = KTCP_CHUNK_HEAD_BYTES};
    return chunk;
}

void ktcp_chunk_give(struct ktcp_mem *mem, struct ktcp_chunk *chunk)
{
    if (mem->n_chunks >= KTCP_MEM_KEPT_SMALL) {
        free(chunk);
        return;
    }
    chunk->next = mem->chunks;
    mem->chunks = chunk;
    mem->n_chunks++;
}

static int small_size_of(size_t bytes)
{
    int i = 0;
    while (small_sizes[i] < bytes) {
        i++;
    }
    return i;
}

static enum base_err take_small(struct ktcp_mem *mem, size_t bytes, struct ktcp_buf *buf)
{
    int i = small_size_of(bytes);
    struct ktcp_free *block = mem->small[i];
    if (block != NULL) {
        mem->small[i] = block->next;
        mem->n_small[i]--;
    } else {
        block = malloc(small_sizes[i]);
        BASE_ENSURE(block != NULL, BASE_E_NOMEM);
    }
    *buf = (struct ktcp_buf){.data = (uint8_t *)block, .capacity = small_sizes[i]};
    return BASE_OK;
}

/* The shortest kept mapping that holds `bytes` and is not far too long. */
static bool take_kept_map(struct ktcp_mem *mem, size_t bytes, struct ktcp_buf *buf)
{
    uint32_t best = mem->n_maps;
    for (uint32_t i = 0; i < mem->n_maps; i++) {
        size_t capacity = mem->maps[i].capacity;
        if (capacity >= bytes && capacity / 4 <= bytes &&
            (best == mem->n_maps || capacity < mem->maps[best].capacity)) {
            best = i;
        }
    }
    if (best == mem->n_maps) {
        return false;
    }
    *buf = mem->maps[best];
    mem->map_bytes -= buf->capacity;
    mem->maps[best] = mem->maps[--mem->n_maps];
    return true;
}

/* Rounded so that buffers of about the same length can stand in for each other. */
static size_t map_bytes_for(size_t bytes)
{
    size_t step = MAP_STEP;
    while (step < bytes / 16) {
        step *= 2;
    }
    return base_round_up_size(bytes, step);
}

enum base_err ktcp_buf_take(struct ktcp_mem *mem, size_t bytes, size_t least, struct ktcp_buf *buf)
{
    *buf = (struct ktcp_buf){0};
    if (bytes <= SMALL_MAX) {
        return take_small(mem, bytes, buf);
    }
    if (take_kept_map(mem, bytes, buf)) {
        return BASE_OK;
    }
    size_t capacity = map_bytes_for(base_max_size(least, SMALL_MAX + 1));
    BASE_ENSURE(capacity >= least, BASE_E_NOMEM);
    void *data = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    BASE_ENSURE(data != MAP_FAILED, BASE_E_NOMEM);
    *buf = (struct ktcp_buf){.data = data, .capacity = capacity};
    return BASE_OK;
}

enum base_err ktcp_buf_grow(struct ktcp_mem *mem, struct ktcp_buf *buf, size_t bytes)
{
    if (bytes <= buf->capacity) {
        return BASE_OK;
    }
    if (buf->capacity > SMALL_MAX) {
        size_t capacity = map_bytes_for(bytes);
        BASE_ENSURE(capacity >= bytes, BASE_E_NOMEM);
        void *data = mremap(buf->data, buf->capacity, capacity, MREMAP_MAYMOVE);
        BASE_ENSURE(data != MAP_FAILED, BASE_E_NOMEM);
        *buf = (struct ktcp_buf){.data = data, .capacity = capacity};
        return BASE_OK;
    }
    struct ktcp_buf longer;
    BASE_TRY(ktcp_buf_take(mem, bytes, bytes, &longer));
    memcpy(longer.data, buf->data, buf->capacity);
    ktcp_buf_give(mem, buf);
    *buf = longer;
    return BASE_OK;
}

static void give_small(struct ktcp_mem *mem, struct ktcp_buf *buf)
{
    int i = small_size_of(buf->capacity);
    if (mem->n_small[i] >= KTCP_MEM_KEPT_SMALL) {
        free(buf->data);
        return;
    }
    struct ktcp_free *block = (struct ktcp_free *)(void *)buf->data;
    block->next = mem->small[i];
    mem->small[i] = block;
    mem->n_small[i]++;
}

void ktcp_buf_give(struct ktcp_mem *mem, struct ktcp_buf *buf)
{
    if (buf->data == NULL) {
        return;
    }
    if (buf->capacity <= SMALL_MAX) {
        give_small(mem, buf);
    } else if (mem->n_maps < KTCP_MEM_KEPT_MAPS &&
               buf->capacity <= KTCP_MEM_KEPT_MAP_BYTES - mem->map_bytes) {
        mem->maps[mem->n_maps++] = *buf;
        mem->map_bytes += buf->capacity;
    } else {
        (void)munmap(buf->data, buf->capacity);
    }
    *buf = (struct ktcp_buf){0};
}
