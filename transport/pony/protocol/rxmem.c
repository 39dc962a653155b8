/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/rxmem.h"

#include <stdlib.h>
#include <string.h>

static uint32_t pages_of(uint32_t len)
{
    return len / PONY_RX_PAGE_BYTES + (len % PONY_RX_PAGE_BYTES != 0);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): messages are written through mem->base */
enum base_err pony_rxmem_init(struct pony_rxmem *mem, uint8_t *base, uint64_t bytes)
{
    *mem = (struct pony_rxmem){.base = base, .current = PONY_RX_NO_PAGE};
    uint64_t n_pages = bytes / PONY_RX_PAGE_BYTES;
    BASE_ENSURE(bytes >= PONY_RX_BYTES_MIN && n_pages <= INT32_MAX, BASE_E_INVALID);
    /* 3/8 for eager messages: of the default 128 MiB that leaves 80 for large ones, so that the
     * largest message (64 MiB by default) fits beside others. */
    uint32_t n_eager = (uint32_t)(n_pages * 3 / 8);
    enum base_err err = base_pages_init(&mem->eager, n_eager);
    if (err == BASE_OK) {
        err = base_pages_init(&mem->large, (uint32_t)n_pages - n_eager);
    }
    mem->live = calloc(n_eager, sizeof(*mem->live));
    if (err == BASE_OK && mem->live == NULL) {
        err = BASE_E_NOMEM;
    }
    if (err != BASE_OK) {
        pony_rxmem_fini(mem);
        return err;
    }
    mem->large_off = (uint64_t)n_eager * PONY_RX_PAGE_BYTES;
    mem->large_bytes = (n_pages - n_eager) * PONY_RX_PAGE_BYTES;
    return BASE_OK;
}

void pony_rxmem_fini(struct pony_rxmem *mem)
{
    base_pages_fini(&mem->eager);
    base_pages_fini(&mem->large);
    free(mem->live);
    *mem = (struct pony_rxmem){0};
}

bool pony_rxmem_next_page(struct pony_rxmem *mem)
{
    int64_t page = base_pages_take(&mem->eager, 1);
    if (page < 0) {
        return false;
    }
    /* The page that is left has live messages: else give_eager() had emptied it. */
    mem->current = (uint32_t)page;
    mem->used = 0;
    return true;
}

void pony_rxmem_on_free_page(struct pony_rxmem *mem, uint32_t page)
{
    if (page == mem->current) {
        mem->used = 0;
    } else {
        enum base_err err = base_pages_give(&mem->eager, page, 1);
        base_assert(err == BASE_OK);
    }
}

bool pony_rxmem_take_large(struct pony_rxmem *mem, uint32_t len, uint64_t *off)
{
    int64_t page = base_pages_take(&mem->large, pages_of(len));
    if (page < 0) {
        return false;
    }
    *off = mem->large_off + (uint64_t)page * PONY_RX_PAGE_BYTES;
    mem->bytes_used += (uint64_t)pages_of(len) * PONY_RX_PAGE_BYTES;
    return true;
}

void pony_rxmem_give_large(struct pony_rxmem *mem, uint64_t off, uint32_t len)
{
    uint32_t page = (uint32_t)((off - mem->large_off) / PONY_RX_PAGE_BYTES);
    enum base_err err = base_pages_give(&mem->large, page, pages_of(len));
    base_assert(err == BASE_OK);
    mem->bytes_used -= (uint64_t)pages_of(len) * PONY_RX_PAGE_BYTES;
}

void pony_rxmem_move_large(struct pony_rxmem *mem, uint32_t len, uint64_t *off)
{
    pony_rxmem_give_large(mem, *off, len);
    bool is_taken = pony_rxmem_take_large(mem, len, off);
    base_assert(is_taken); /* where it was, at the worst */
}

bool pony_rxmem_is_empty(const struct pony_rxmem *mem)
{
    uint32_t current = mem->current == PONY_RX_NO_PAGE ? 0 : 1;
    return mem->bytes_used == 0 && mem->eager.n_free + current == mem->eager.n_pages &&
           mem->large.n_free == mem->large.n_pages;
}
