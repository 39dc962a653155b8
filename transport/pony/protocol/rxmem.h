/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_RXMEM_H
#define PONY_PROTOCOL_RXMEM_H

#include "base/assert.h"
#include "base/error.h"
#include "base/pages.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Receive memory of one application: where arriving messages are put.
 *
 * Shape    64 KiB pages. The lower part of the region is for eager messages: each is put behind the
 *          one before it in the current page (bump); a page whose messages are all consumed is
 *          used again, the current one at once, so that a light load stays in cache. The upper
 *          part is for large messages: one run of pages each.
 * Holds    potential() falls by at most what a take_eager() asked for (rounded), whatever the
 *          order in which messages are given back. So as long as the credit that peers hold is
 *          <= potential(), take_eager() cannot fail: fragmentation only delays new credit.
 *          (A page that is left counts as PAGE - EAGER_MAX when taken, and it is left only when
 *          less than EAGER_MAX of it is free.)
 * Memory   private; the region itself is never read, and written only where messages go
 * Threads  one engine
 */

enum {
    PONY_RX_PAGE_BYTES = 64 * 1024,
    PONY_EAGER_MAX_BYTES = 16 * 1024,
    PONY_RX_ALIGN = 64,
    PONY_CHARGE_MIN = 128, /**< what the smallest message costs */
    PONY_RX_PAGE_USABLE = PONY_RX_PAGE_BYTES - PONY_EAGER_MAX_BYTES,
    PONY_RX_BYTES_MIN = 8 * PONY_RX_PAGE_BYTES
};

#define PONY_RX_NO_PAGE UINT32_MAX

struct pony_rxmem {
    uint8_t *base;
    struct base_pages eager;
    struct base_pages large;
    uint32_t *live;       /**< [eager.n_pages] messages in it that are not given back */
    uint32_t current;     /**< eager page of the bump, or PONY_RX_NO_PAGE */
    uint32_t used;        /**< bytes of it */
    uint64_t large_off;   /**< where the upper part begins */
    uint64_t large_bytes; /**< the largest message that can ever be taken */
    uint64_t bytes_used;  /**< in messages, for status */
};

/** Errors  BASE_E_INVALID: bytes < PONY_RX_BYTES_MIN; BASE_E_NOMEM. */
BASE_MUST_USE enum base_err pony_rxmem_init(struct pony_rxmem *mem, uint8_t *base, uint64_t bytes);
void pony_rxmem_fini(struct pony_rxmem *mem);

/** What a message of `len` bytes (<= PONY_EAGER_MAX_BYTES) costs of a connection's credit. */
static inline uint32_t pony_charge(uint32_t len)
{
    uint32_t bytes = (len + PONY_RX_ALIGN - 1) & ~(uint32_t)(PONY_RX_ALIGN - 1);
    return bytes < PONY_CHARGE_MIN ? PONY_CHARGE_MIN : bytes;
}

/** Bytes of credit that can be honoured now, whatever their pattern. */
static inline uint64_t pony_rxmem_potential(const struct pony_rxmem *mem)
{
    uint64_t bytes = (uint64_t)mem->eager.n_free * PONY_RX_PAGE_USABLE;
    uint32_t left = mem->current == PONY_RX_NO_PAGE ? 0 : PONY_RX_PAGE_BYTES - mem->used;
    return left > PONY_EAGER_MAX_BYTES ? bytes + left - PONY_EAGER_MAX_BYTES : bytes;
}

/** What an eager message of `len` bytes occupies. */
static inline uint32_t pony_rxmem_rounded(uint32_t len)
{
    return len == 0 ? PONY_RX_ALIGN : (len + PONY_RX_ALIGN - 1) & ~(uint32_t)(PONY_RX_ALIGN - 1);
}

/** For take_eager(): the bump goes on in a free page. False: there is none. */
bool pony_rxmem_next_page(struct pony_rxmem *mem);
/** For give_eager(): no message is left in that page. */
void pony_rxmem_on_free_page(struct pony_rxmem *mem, uint32_t page);

/** Room for `len` <= PONY_EAGER_MAX_BYTES. False: none, which credit makes impossible. */
static inline bool pony_rxmem_take_eager(struct pony_rxmem *mem, uint32_t len, uint64_t *off)
{
    uint32_t bytes = pony_rxmem_rounded(len);
    bool fits = mem->current != PONY_RX_NO_PAGE && bytes <= PONY_RX_PAGE_BYTES - mem->used;
    if (!fits && !pony_rxmem_next_page(mem)) {
        return false;
    }
    *off = (uint64_t)mem->current * PONY_RX_PAGE_BYTES + mem->used;
    mem->used += bytes;
    mem->live[mem->current]++;
    mem->bytes_used += bytes;
    return true;
}

/** Returns true when a whole page became free. */
static inline bool pony_rxmem_give_eager(struct pony_rxmem *mem, uint64_t off, uint32_t len)
{
    uint32_t page = (uint32_t)(off / PONY_RX_PAGE_BYTES);
    base_assert(page < mem->eager.n_pages && mem->live[page] > 0);
    mem->bytes_used -= pony_rxmem_rounded(len);
    if (--mem->live[page] > 0) {
        return false;
    }
    pony_rxmem_on_free_page(mem, page);
    return true;
}

/** One run for `len` >= 1. False: not now (or never, if len > large_bytes). */
bool pony_rxmem_take_large(struct pony_rxmem *mem, uint32_t len, uint64_t *off);
void pony_rxmem_give_large(struct pony_rxmem *mem, uint64_t off, uint32_t len);

/** Moves a run in which nothing is written yet to the lowest place that is free now: memory that was
 * given back meanwhile is still in the caches, and the region does not wander through them. */
void pony_rxmem_move_large(struct pony_rxmem *mem, uint32_t len, uint64_t *off);

/** True when nothing is taken. */
bool pony_rxmem_is_empty(const struct pony_rxmem *mem);

#endif
