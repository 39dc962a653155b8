/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PORT_TX_H
#define PONY_PORT_TX_H

#include "base/assert.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Transmit memory: gives out pieces of the tx region, which snapd reads.
 *
 * Shape    pieces of up to 2 KiB come from slabs of one page with pieces of 64, 128, ... 2048 bytes;
 *          larger ones are runs of pages. All 64-aligned and contiguous. The slab and the run at
 *          the lowest address that were used last are used first, so that lines stay hot.
 * Memory   what is free is remembered in private memory; nothing in the region is ever read.
 *          Pages above the first PONY_PORT_TX_KEEP_BYTES go back to the system when none of them
 *          became free for PONY_PORT_TX_IDLE_NS: a page fault for each page of each message costs
 *          more than all that is done with it.
 * Threads  one owner
 */
enum {
    PONY_PORT_PAGE_BYTES = 4096,
    PONY_PORT_TX_SMALLEST = 64,
    PONY_PORT_TX_CLASSES = 6, /**< PONY_PORT_TX_SMALLEST << class bytes */
    PONY_PORT_TX_LARGEST = PONY_PORT_TX_SMALLEST << (PONY_PORT_TX_CLASSES - 1), /**< of a slab */
    PONY_PORT_TX_RUN = PONY_PORT_TX_CLASSES,
    PONY_PORT_TX_NOTHING, /**< a message of no bytes has no memory */
    PONY_PORT_TX_KEEP_BYTES = 16 << 20,
    PONY_PORT_TX_TRIM_BYTES = 4 << 20 /**< looked at in one trim */
};

#define PONY_PORT_TX_IDLE_NS UINT64_C(1000000000)

#define PONY_PORT_TX_NO_PAGE UINT32_MAX

/** tx.c's, but for the inline functions below. */
struct pony_port_tx_page {
    uint64_t free_mask; /**< bit per piece */
    uint32_t prev, next;
};

struct pony_port_tx {
    uint8_t *base;
    struct base_pages pages;
    struct pony_port_tx_page *slabs;        /**< [pages.n_pages]; used where a page is a slab */
    uint32_t partial[PONY_PORT_TX_CLASSES]; /**< page with free pieces, head of a list */
    uint32_t used_end; /**< free pages from here on have no memory; at least what is kept */
    bool is_in_use;    /**< a page above what is kept became free since the last trim */
    uint64_t trim_ns;  /**< when to trim next; UINT64_MAX: nothing to do */
};

/** A piece that was given out. */
struct pony_port_span {
    uint64_t off;     /**< in the region */
    uint32_t n_pages; /**< of a run */
    uint8_t class_idx;
};

/** @param bytes  of the region; at least one page. Errors  BASE_E_INVALID, BASE_E_NOMEM */
BASE_MUST_USE enum base_err pony_port_tx_init(struct pony_port_tx *tx, uint8_t *base,
                                              uint64_t bytes);
void pony_port_tx_fini(struct pony_port_tx *tx); /**< accepts a zeroed one */

/** pony_port_tx_take() and give() where a slab is taken into use or out of it, or a run of pages. */
BASE_MUST_USE enum base_err pony_port_tx_take_other(struct pony_port_tx *tx, size_t len,
                                                    struct pony_port_span *span);
void pony_port_tx_give_other(struct pony_port_tx *tx, const struct pony_port_span *span);

/** The class of a piece of 1 to PONY_PORT_TX_LARGEST bytes. */
static inline uint8_t pony_port_tx_class(size_t len)
{
    return (uint8_t)(58 - __builtin_clzll((len - 1) | (PONY_PORT_TX_SMALLEST - 1)));
}

/** The mask of a slab whose pieces are all free. */
static inline uint64_t pony_port_tx_all_free(uint8_t class_idx)
{
    return UINT64_MAX >> (64 - (PONY_PORT_PAGE_BYTES / PONY_PORT_TX_SMALLEST >> class_idx));
}

/** Takes `len` bytes (0 is fine). BASE_AGAIN: not so much in a row is free now. */
BASE_MUST_USE static inline enum base_err pony_port_tx_take(struct pony_port_tx *tx, size_t len,
                                                            struct pony_port_span *span)
{
    uint8_t class_idx = 0;
    uint32_t page = PONY_PORT_TX_NO_PAGE;
    if (len - 1 < PONY_PORT_TX_LARGEST) {
        class_idx = pony_port_tx_class(len);
        page = tx->partial[class_idx];
    }
    if (page == PONY_PORT_TX_NO_PAGE) {
        return pony_port_tx_take_other(tx, len, span);
    }
    uint64_t mask = tx->slabs[page].free_mask;
    uint64_t left = mask & (mask - 1);
    if (left == 0) {
        return pony_port_tx_take_other(tx, len, span);
    }
    tx->slabs[page].free_mask = left;
    span->off = (uint64_t)page * PONY_PORT_PAGE_BYTES +
                ((uint64_t)__builtin_ctzll(mask) * PONY_PORT_TX_SMALLEST << class_idx);
    span->class_idx = class_idx;
    return BASE_OK;
}

static inline void pony_port_tx_give(struct pony_port_tx *tx, const struct pony_port_span *span)
{
    uint8_t class_idx = span->class_idx;
    if (class_idx >= PONY_PORT_TX_CLASSES) {
        pony_port_tx_give_other(tx, span);
        return;
    }
    struct pony_port_tx_page *slab = &tx->slabs[span->off / PONY_PORT_PAGE_BYTES];
    uint64_t piece = span->off % PONY_PORT_PAGE_BYTES / PONY_PORT_TX_SMALLEST >> class_idx;
    uint64_t mask = slab->free_mask | UINT64_C(1) << piece;
    base_assert(mask != slab->free_mask);
    if (slab->free_mask == 0 || mask == pony_port_tx_all_free(class_idx)) {
        pony_port_tx_give_other(tx, span);
    } else {
        slab->free_mask = mask;
    }
}

/** Gives memory that was not needed for a while back to the system, some of it. Call often, and at
 *  tx->trim_ns. */
void pony_port_tx_trim(struct pony_port_tx *tx, uint64_t now_ns);

/** When to trim, as of now. */
static inline uint64_t pony_port_tx_trim_ns(const struct pony_port_tx *tx, uint64_t now_ns)
{
    return tx->is_in_use ? now_ns + PONY_PORT_TX_IDLE_NS : tx->trim_ns;
}

#endif
