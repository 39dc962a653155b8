/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_RXMEM_H
#define PONY_PROTOCOL_RXMEM_H

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

struct pony_rxmem {
    uint8_t *base;
    struct base_pages eager;
    struct base_pages large;
    uint32_t *live;       /**< [eager.n_pages] messages in it that are not given back */
    uint32_t current;     /**< eager page of the bump; UINT32_MAX: none */
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
uint64_t pony_rxmem_potential(const struct pony_rxmem *mem);

/** Room for `len` <= PONY_EAGER_MAX_BYTES. False: none, which credit makes impossible. */
bool pony_rxmem_take_eager(struct pony_rxmem *mem, uint32_t len, uint64_t *off);
/** Returns true when a whole page became free. */
bool pony_rxmem_give_eager(struct pony_rxmem *mem, uint64_t off, uint32_t len);

/** One run for `len` >= 1. False: not now (or never, if len > large_bytes). */
bool pony_rxmem_take_large(struct pony_rxmem *mem, uint32_t len, uint64_t *off);
void pony_rxmem_give_large(struct pony_rxmem *mem, uint64_t off, uint32_t len);

/** Moves a run in which nothing is written yet to the lowest place that is free now: memory that was
 * given back meanwhile is still in the caches, and the region does not wander through them. */
void pony_rxmem_move_large(struct pony_rxmem *mem, uint32_t len, uint64_t *off);

/** True when nothing is taken. */
bool pony_rxmem_is_empty(const struct pony_rxmem *mem);

#endif
