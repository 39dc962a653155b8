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

/** A random number that stays the same for the life of the process. Any thread. */
uint64_t base_hash_seed(void);

/** CRC-32C (Castagnoli) of data that follows data with the checksum `seed`; begin with 0. */
uint32_t base_crc32c(uint32_t seed, const void *data, size_t len);

#endif
