/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

/**
 * Hashes and checksums, from xxHash and ISA-L. Pure; any thread.
 */
#include <stddef.h>
#include <stdint.h>

/** XXH3 64. Where strangers choose the data, give a random seed. */
uint64_t base_hash64(uint64_t seed, const void *data, size_t len);

/**
 * Two words at once, for tables whose keys are a pair of numbers: a few instructions where a call of
 * base_hash64() takes a hundred. Where strangers choose one of them, give a random seed.
 *
 * Source  multiply and fold, as in wyhash (Wang Yi): the seed hides which pairs collide
 */
static inline uint64_t base_hash_pair(uint64_t seed, uint64_t a, uint64_t b)
{
    const uint64_t odd_a = UINT64_C(0xa0761d6478bd642f);
    const uint64_t odd_b = UINT64_C(0xe7037ed1a0b428db);
    unsigned __int128 product =
        (unsigned __int128)(a ^ seed ^ odd_a) * (b ^ (seed >> 32) ^ (seed << 32) ^ odd_b);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/** A random number that stays the same for the life of the process. Any thread. */
uint64_t base_hash_seed(void);

/** CRC-32C (Castagnoli) of data that follows data with the checksum `seed`; begin with 0. */
uint32_t base_crc32c(uint32_t seed, const void *data, size_t len);

#endif
