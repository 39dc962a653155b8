/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pages.h"

#include "base/bitmap.h"
#include "base/span.h"

#include <stdlib.h>

enum base_err base_pages_init(struct base_pages *pages, uint32_t n_pages)
{
    *pages = (struct base_pages){0};
    BASE_ENSURE(n_pages >= 1 && n_pages <= INT32_MAX, BASE_E_INVALID);
    pages->free_bits = calloc(base_bitmap_words(n_pages), sizeof(uint64_t));
    BASE_ENSURE(pages->free_bits != NULL, BASE_E_NOMEM);
    base_bitmap_set_run(pages->free_bits, 0, n_pages);
    pages->n_pages = n_pages;
    pages->n_free = n_pages;
    return BASE_OK;
}

void base_pages_fini(struct base_pages *pages)
{
    free(pages->free_bits);
    *pages = (struct base_pages){0};
}

/* Marks a run that is known to be free. */
static void mark_taken(struct base_pages *pages, uint32_t idx, uint32_t n)
{
    base_bitmap_clear_run(pages->free_bits, idx, n);
    pages->n_free -= n;
    if (idx == pages->hint) {
        pages->hint = idx + n;
    }
}

int64_t base_pages_take(struct base_pages *pages, uint32_t n)
{
    if (n == 0 || n > pages->n_free) {
        return -1;
    }
    pages->hint = base_bitmap_next_set(pages->free_bits, pages->n_pages, pages->hint);
    uint32_t idx = base_bitmap_find_run(pages->free_bits, pages->n_pages, pages->hint, n);
    if (idx == pages->n_pages) {
        return -1;
    }
    mark_taken(pages, idx, n);
    return idx;
}

enum base_err base_pages_give(struct base_pages *pages, uint32_t idx, uint32_t n)
{
    BASE_ENSURE(n > 0 && base_span_fits(idx, n, pages->n_pages), BASE_E_INVALID);
    uint32_t end = base_bitmap_next_set(pages->free_bits, idx + n, idx);
    BASE_ENSURE(end == idx + n, BASE_E_INVALID);
    base_bitmap_set_run(pages->free_bits, idx, n);
    pages->n_free += n;
    if (idx < pages->hint) {
        pages->hint = idx;
    }
    return BASE_OK;
}
