/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

/**
 * Allocator of runs of equal pages of a region that lies elsewhere (shared memory, usually).
 *
 * Shape    one bit per page in private memory; the region itself is never touched. First fit from
 *          the lowest address, so that a page that was used a moment ago, and is in the cache,
 *          is used again.
 * Cost     one page: O(1) mostly (a hint says below which page none is free); a run: one pass over
 *          the bits above the hint
 * Memory   n_pages / 8 bytes from the heap at init
 * Threads  one owner
 */
#include "base/error.h"

#include <stdint.h>

struct base_pages {
    uint64_t *free_bits; /**< 1 = free */
    uint32_t n_pages;
    uint32_t n_free;
    uint32_t hint; /**< no page below this one is free */
};

/** All pages are free. n_pages 1..2^31-1. Errors: BASE_E_INVALID, BASE_E_NOMEM. */
BASE_MUST_USE enum base_err base_pages_init(struct base_pages *pages, uint32_t n_pages);
void base_pages_fini(struct base_pages *pages); /**< accepts a zeroed one */

/** Index of the first of `n` pages in a row, now taken; -1 when there is no such run or n is 0. */
int64_t base_pages_take(struct base_pages *pages, uint32_t n);

/**
 * Frees [idx, idx + n), which may be a part of what was taken.
 * Errors: BASE_E_INVALID outside the region, or a page of it is free already; nothing changes then
 */
BASE_MUST_USE enum base_err base_pages_give(struct base_pages *pages, uint32_t idx, uint32_t n);

#endif
