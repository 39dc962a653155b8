/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LINES_H
#define BASE_LINES_H

/**
 * Memory in cache lines: for objects of which there are thousands, whose types choose what lies in
 * their first lines (base/slab.h, base/pool.h). Pure; any thread.
 */
#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

/** Fetches `n_lines` cache lines from `ptr` on; any address will do. */
static inline void base_prefetch_lines(const void *ptr, uint32_t n_lines)
{
    for (uint32_t i = 0; i < n_lines; i++) {
        base_prefetch((const char *)ptr + (size_t)i * BASE_CACHE_LINE);
    }
}

#endif
