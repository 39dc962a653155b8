/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include "base/compiler.h"

#include <isa-l/crc.h>
#include <xxhash.h>

uint64_t base_hash64(uint64_t seed, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, seed);
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
