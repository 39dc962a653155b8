/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LINES_H
#define BASE_LINES_H

/**
 * Memory in cache lines: for objects of which there are thousands, so that their types can choose
 * what lies in the first lines. Pure; any thread.
 */
#include "base/compiler.h"

#include <stdlib.h>
#include <string.h>

/** Zeroed memory that begins a cache line; free() takes it back. NULL: out of memory. */
static inline void *base_alloc_lines(size_t bytes)
{
    size_t rounded = base_round_up_size(bytes, BASE_CACHE_LINE);
    void *memory = aligned_alloc(BASE_CACHE_LINE, rounded);
    return memory != NULL ? memset(memory, 0, rounded) : NULL;
}

/** Fetches `n_lines` cache lines from `ptr` on; any address will do. */
static inline void base_prefetch_lines(const void *ptr, uint32_t n_lines)
{
    for (uint32_t i = 0; i < n_lines; i++) {
        base_prefetch((const char *)ptr + (size_t)i * BASE_CACHE_LINE);
    }
}

#endif
