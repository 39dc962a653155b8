/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/port/tx.h"

#include "base/assert.h"
#include "base/bitmap.h"
#include "base/compiler.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    KEEP_PAGES = PONY_PORT_TX_KEEP_BYTES / PONY_PORT_PAGE_BYTES,
    TRIM_PAGES = PONY_PORT_TX_TRIM_BYTES / PONY_PORT_PAGE_BYTES
};

/* NOLINTNEXTLINE(readability-non-const-parameter): whoever takes a piece writes through it */
enum base_err pony_port_tx_init(struct pony_port_tx *tx, uint8_t *base, uint64_t bytes)
{
    *tx = (struct pony_port_tx){.base = base, .used_end = KEEP_PAGES, .trim_ns = UINT64_MAX};
    uint64_t n_pages = bytes / PONY_PORT_PAGE_BYTES;
    BASE_ENSURE(n_pages > 0 && n_pages <= INT32_MAX, BASE_E_INVALID);
    for (int i = 0; i < PONY_PORT_TX_CLASSES; i++) {
        tx->partial[i] = PONY_PORT_TX_NO_PAGE;
    }
    BASE_TRY(base_pages_init(&tx->pages, (uint32_t)n_pages));
    tx->slabs = calloc(n_pages, sizeof(*tx->slabs));
    if (tx->slabs == NULL) {
        pony_port_tx_fini(tx);
        return BASE_E_NOMEM;
    }
    return BASE_OK;
}

void pony_port_tx_fini(struct pony_port_tx *tx)
{
    base_pages_fini(&tx->pages);
    free(tx->slabs);
    *tx = (struct pony_port_tx){0};
}

static void link_page(struct pony_port_tx *tx, uint8_t class_idx, uint32_t page)
{
    uint32_t head = tx->partial[class_idx];
    tx->slabs[page].prev = PONY_PORT_TX_NO_PAGE;
    tx->slabs[page].next = head;
    if (head != PONY_PORT_TX_NO_PAGE) {
        tx->slabs[head].prev = page;
    }
    tx->partial[class_idx] = page;
}

static void unlink_page(struct pony_port_tx *tx, uint8_t class_idx, uint32_t page)
{
    struct pony_port_tx_page *slab = &tx->slabs[page];
    if (slab->prev != PONY_PORT_TX_NO_PAGE) {
        tx->slabs[slab->prev].next = slab->next;
    } else {
        tx->partial[class_idx] = slab->next;
    }
    if (slab->next != PONY_PORT_TX_NO_PAGE) {
        tx->slabs[slab->next].prev = slab->prev;
    }
}

static enum base_err take_small(struct pony_port_tx *tx, uint8_t class_idx,
                                struct pony_port_span *span)
{
    uint32_t page = tx->partial[class_idx];
    if (page == PONY_PORT_TX_NO_PAGE) {
        int64_t taken = base_pages_take(&tx->pages, 1);
        BASE_ENSURE(taken >= 0, BASE_AGAIN);
        page = (uint32_t)taken;
        tx->slabs[page].free_mask = pony_port_tx_all_free(class_idx);
        link_page(tx, class_idx, page);
    }
    struct pony_port_tx_page *slab = &tx->slabs[page];
    uint32_t piece = (uint32_t)__builtin_ctzll(slab->free_mask);
    slab->free_mask &= slab->free_mask - 1;
    if (slab->free_mask == 0) {
        unlink_page(tx, class_idx, page);
    }
    span->off = (uint64_t)page * PONY_PORT_PAGE_BYTES +
                ((uint64_t)piece * PONY_PORT_TX_SMALLEST << class_idx);
    span->class_idx = class_idx;
    return BASE_OK;
}

static void give_pages(struct pony_port_tx *tx, uint32_t page, uint32_t n)
{
    enum base_err err = base_pages_give(&tx->pages, page, n);
    base_assert(err == BASE_OK);
    if (page + n > KEEP_PAGES) {
        tx->used_end = base_max_u32(tx->used_end, page + n);
        tx->is_in_use = true;
    }
}

static void give_small(struct pony_port_tx *tx, const struct pony_port_span *span)
{
    uint32_t page = (uint32_t)(span->off / PONY_PORT_PAGE_BYTES);
    uint32_t piece =
        (uint32_t)(span->off % PONY_PORT_PAGE_BYTES / PONY_PORT_TX_SMALLEST) >> span->class_idx;
    struct pony_port_tx_page *slab = &tx->slabs[page];
    uint64_t bit = UINT64_C(1) << piece;
    base_assert((slab->free_mask & bit) == 0);
    if (slab->free_mask == 0) {
        link_page(tx, span->class_idx, page);
    }
    slab->free_mask |= bit;
    /* The last slab of its class is kept, so that one message at a time does not take and give a
     * page each time. */
    bool is_only = (slab->prev & slab->next) == PONY_PORT_TX_NO_PAGE;
    if (!is_only && slab->free_mask == pony_port_tx_all_free(span->class_idx)) {
        unlink_page(tx, span->class_idx, page);
        give_pages(tx, page, 1);
    }
}

/* Gives the kept, wholly free slabs back: one of them may lie in the way of a long run. */
static bool give_kept_slabs(struct pony_port_tx *tx)
{
    bool given = false;
    for (unsigned c = 0; c < PONY_PORT_TX_CLASSES; c++) {
        uint32_t page = tx->partial[c];
        if (page != PONY_PORT_TX_NO_PAGE &&
            tx->slabs[page].free_mask == pony_port_tx_all_free((uint8_t)c)) {
            unlink_page(tx, (uint8_t)c, page);
            give_pages(tx, page, 1);
            given = true;
        }
    }
    return given;
}

static enum base_err take_run(struct pony_port_tx *tx, size_t len, struct pony_port_span *span)
{
    uint64_t n = base_div_ceil_u64(len, PONY_PORT_PAGE_BYTES);
    BASE_ENSURE(n <= tx->pages.n_pages, BASE_AGAIN);
    int64_t page = base_pages_take(&tx->pages, (uint32_t)n);
    if (page < 0 && give_kept_slabs(tx)) {
        page = base_pages_take(&tx->pages, (uint32_t)n);
    }
    BASE_ENSURE(page >= 0, BASE_AGAIN);
    *span = (struct pony_port_span){.off = (uint64_t)page * PONY_PORT_PAGE_BYTES,
                                    .n_pages = (uint32_t)n,
                                    .class_idx = PONY_PORT_TX_RUN};
    return BASE_OK;
}

enum base_err pony_port_tx_take_other(struct pony_port_tx *tx, size_t len,
                                      struct pony_port_span *span)
{
    *span = (struct pony_port_span){.class_idx = PONY_PORT_TX_NOTHING};
    if (len == 0) {
        return BASE_OK;
    }
    if (len > PONY_PORT_TX_LARGEST) {
        return take_run(tx, len, span);
    }
    return take_small(tx, pony_port_tx_class(len), span);
}

void pony_port_tx_give_other(struct pony_port_tx *tx, const struct pony_port_span *span)
{
    if (span->class_idx == PONY_PORT_TX_NOTHING) {
        return;
    }
    if (span->class_idx == PONY_PORT_TX_RUN) {
        give_pages(tx, (uint32_t)(span->off / PONY_PORT_PAGE_BYTES), span->n_pages);
    } else {
        give_small(tx, span);
    }
}

/* Failure costs memory, nothing else. */
static void punch(struct pony_port_tx *tx, uint32_t page, uint32_t end)
{
    (void)madvise(tx->base + (size_t)page * PONY_PORT_PAGE_BYTES,
                  (size_t)(end - page) * PONY_PORT_PAGE_BYTES, MADV_REMOVE);
}

/* The free ones of pages [from, used_end). */
static void punch_free(struct pony_port_tx *tx, uint32_t from)
{
    const uint64_t *bits = tx->pages.free_bits;
    uint32_t page = base_bitmap_next_set(bits, tx->used_end, from);
    while (page < tx->used_end) {
        uint32_t end = base_bitmap_next_clear(bits, tx->used_end, page);
        punch(tx, page, end);
        page = base_bitmap_next_set(bits, tx->used_end, end);
    }
}

void pony_port_tx_trim(struct pony_port_tx *tx, uint64_t now_ns)
{
    if (tx->is_in_use) {
        tx->is_in_use = false;
        tx->trim_ns = now_ns + PONY_PORT_TX_IDLE_NS;
    }
    if (now_ns < tx->trim_ns) {
        return;
    }
    (void)give_kept_slabs(tx);
    tx->is_in_use = false; /* by that */
    uint32_t from = base_max_u32(KEEP_PAGES, tx->used_end - base_min_u32(tx->used_end, TRIM_PAGES));
    punch_free(tx, from);
    tx->used_end = from;
    tx->trim_ns = from > KEEP_PAGES ? now_ns : UINT64_MAX;
}
