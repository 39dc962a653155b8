/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spsc.h"

#include <stdlib.h>

enum {
    MAX_CAPACITY = 1 << 30
};

enum base_err base_spsc_init(struct base_spsc *ring, uint32_t capacity)
{
    *ring = (struct base_spsc){0};
    BASE_ENSURE(capacity >= 1 && capacity <= MAX_CAPACITY, BASE_E_INVALID);
    uint32_t n = base_ceil_pow2_u32(capacity);
    ring->slots = calloc(n, sizeof(*ring->slots));
    BASE_ENSURE(ring->slots != NULL, BASE_E_NOMEM);
    ring->mask = n - 1;
    return BASE_OK;
}

void base_spsc_fini(struct base_spsc *ring)
{
    free(ring->slots);
    ring->slots = NULL;
    ring->mask = 0;
}
