/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KTCP_MEM_H
#define KTCP_MEM_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/**
 * Memory of one transport: chunks that small outgoing messages are packed into, and buffers for
 * single messages.
 *
 * Shape    buffers up to 64 KiB come in three sizes from the heap; longer ones are mappings of their
 *          own, so that a page that nothing was written to costs nothing. Both are kept for reuse
 *          up to a bound: a busy connection neither goes to the heap nor maps.
 * Holds    kept for reuse, at most: 32 chunks, 32 buffers of each small size, 16 MiB of mappings
 * Threads  one owner
 */
enum {
    KTCP_CHUNK_BYTES = 65536, /**< with its head; also its alignment */
    KTCP_CHUNK_HEAD_BYTES = 64,
    KTCP_MEM_SIZES = 3,
    KTCP_MEM_KEPT_SMALL = 32,
    KTCP_MEM_KEPT_MAPS = 16,
    KTCP_MEM_KEPT_MAP_BYTES = 16 << 20
};

/** One message's bytes; 8-aligned. */
struct ktcp_buf {
    uint8_t *data; /**< NULL: none */
    size_t capacity;
};

/** Begins each chunk; found from any address inside by masking. */
struct ktcp_chunk {
    struct ktcp_chunk *next; /**< in the list of free ones */
    uint32_t refs; /**< frames inside that are reserved or queued, and who packs into it */
    uint32_t used; /**< bytes from its start */
};

struct ktcp_free {
    struct ktcp_free *next;
};

struct ktcp_mem {
    struct ktcp_chunk *chunks;
    uint32_t n_chunks;
    struct ktcp_free *small[KTCP_MEM_SIZES];
    uint32_t n_small[KTCP_MEM_SIZES];
    struct ktcp_buf maps[KTCP_MEM_KEPT_MAPS];
    uint32_t n_maps;
    size_t map_bytes;
};

void ktcp_mem_init(struct ktcp_mem *mem);
void ktcp_mem_fini(struct ktcp_mem *mem); /**< what was not given back stays the taker's */

/** An empty chunk with one reference; NULL: no memory. */
struct ktcp_chunk *ktcp_chunk_take(struct ktcp_mem *mem);

/** Gives a chunk back that has no reference left. */
void ktcp_chunk_give(struct ktcp_mem *mem, struct ktcp_chunk *chunk);

/** Drops one reference; the last one gives the chunk back. */
static inline void ktcp_chunk_put(struct ktcp_mem *mem, struct ktcp_chunk *chunk)
{
    if (--chunk->refs == 0) {
        ktcp_chunk_give(mem, chunk);
    }
}

static inline struct ktcp_chunk *ktcp_chunk_of(uint8_t *frame)
{
    /* Chunks are aligned to their size. */
    return (struct ktcp_chunk *)(void *)(frame - ((uintptr_t)frame & (KTCP_CHUNK_BYTES - 1)));
}

/**
 * A buffer of at least `least` bytes, and of `bytes` where one is kept ready: so that what a peer
 * only announces costs nothing before it comes.
 *
 * @param least  1..bytes
 * Errors  BASE_E_NOMEM
 */
BASE_MUST_USE enum base_err ktcp_buf_take(struct ktcp_mem *mem, size_t bytes, size_t least,
                                          struct ktcp_buf *buf);

/** Makes it hold `bytes`, keeping what is in it; may move it. On error it is as it was. */
BASE_MUST_USE enum base_err ktcp_buf_grow(struct ktcp_mem *mem, struct ktcp_buf *buf, size_t bytes);

/** Gives it back and empties `buf`. An empty one is fine. */
void ktcp_buf_give(struct ktcp_mem *mem, struct ktcp_buf *buf);

#endif
