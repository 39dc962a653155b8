/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BITMAP_H
#define BASE_BITMAP_H

/**
 * Bits in an array of 64-bit words; bit i is words[i / 64] >> (i % 64) & 1.
 * The caller's memory; one owner; indices are not checked.
 */
#include <stdbool.h>
#include <stdint.h>

/** Words that hold `n` bits. */
static inline uint32_t base_bitmap_words(uint32_t n)
{
    return n / 64 + (n % 64 != 0);
}

static inline bool base_bitmap_test(const uint64_t *words, uint32_t i)
{
    return (words[i / 64] >> (i % 64) & 1) != 0;
}

/** Bits [first, last] of a word, 0 <= first <= last <= 63. */
static inline uint64_t base_bitmap_mask(uint32_t first, uint32_t last)
{
    return (UINT64_MAX << first) & (UINT64_MAX >> (63 - last));
}

void base_bitmap_set_run(uint64_t *words, uint32_t first, uint32_t n);
void base_bitmap_clear_run(uint64_t *words, uint32_t first, uint32_t n);

/** The first set (or clear) bit at or after `from`, below n_bits; n_bits when there is none. */
uint32_t base_bitmap_next_set(const uint64_t *words, uint32_t n_bits, uint32_t from);
uint32_t base_bitmap_next_clear(const uint64_t *words, uint32_t n_bits, uint32_t from);

/** Start of the first run of at least `n` set bits (n >= 1) at or after `from`; n_bits: none. */
uint32_t base_bitmap_find_run(const uint64_t *words, uint32_t n_bits, uint32_t from, uint32_t n);

#endif
