/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/rng.h"

#include <isa-l/crc.h>
#include <stdatomic.h>
#include <xxhash.h>

uint64_t base_hash64(uint64_t seed, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

/* 0: not drawn yet. */
static _Atomic uint64_t process_seed;

static uint64_t draw_seed(void)
{
    uint64_t seed = 0;
    if (base_random_bytes(&seed, sizeof(seed)) != BASE_OK) {
        seed = base_clock_now_ns();
    }
    seed |= 1;
    uint64_t none = 0;
    /* Whoever is first wins; the number itself is all that is published, so relaxed is enough. */
    return atomic_compare_exchange_strong_explicit(&process_seed, &none, seed, memory_order_relaxed,
                                                   memory_order_relaxed)
               ? seed
               : none;
}

uint64_t base_hash_seed(void)
{
    uint64_t seed = atomic_load_explicit(&process_seed, memory_order_relaxed);
    return BASE_LIKELY(seed != 0) ? seed : draw_seed();
}

uint32_t base_crc32c(uint32_t seed, const void *data, size_t len)
{
    /* ISA-L counts in int, and its argument only lacks the const. It leaves out the inversion
     * before and after that CRC-32C is defined with. */
    unsigned char *at = (unsigned char *)data;
    uint32_t crc = ~seed;
    while (len > 0) {
        size_t here = base_min_size(len, INT32_MAX / 2);
        crc = crc32_iscsi(at, (int)here, crc);
        at += here;
        len -= here;
    }
    return ~crc;
}
