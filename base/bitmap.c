/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bitmap.h"

#include "base/compiler.h"

enum {
    WORD_BITS = 64
};

/* Sets or clears [first, first + n) word by word. */
static void fill_run(uint64_t *words, uint32_t first, uint32_t n, bool is_set)
{
    while (n > 0) {
        uint32_t at = first % WORD_BITS;
        uint32_t here = base_min_u32(n, WORD_BITS - at);
        uint64_t mask = base_bitmap_mask(at, at + here - 1);
        if (is_set) {
            words[first / WORD_BITS] |= mask;
        } else {
            words[first / WORD_BITS] &= ~mask;
        }
        first += here;
        n -= here;
    }
}

void base_bitmap_set_run(uint64_t *words, uint32_t first, uint32_t n)
{
    fill_run(words, first, n, true);
}

void base_bitmap_clear_run(uint64_t *words, uint32_t first, uint32_t n)
{
    fill_run(words, first, n, false);
}

/* First bit at or after `from` that is 1 in words ^ flip. */
static uint32_t next_bit(const uint64_t *words, uint32_t n_bits, uint32_t from, uint64_t flip)
{
    if (from >= n_bits) {
        return n_bits;
    }
    uint32_t n_words = base_bitmap_words(n_bits);
    uint32_t w = from / WORD_BITS;
    uint64_t bits = (words[w] ^ flip) & (UINT64_MAX << (from % WORD_BITS));
    while (bits == 0) {
        if (++w == n_words) {
            return n_bits;
        }
        bits = words[w] ^ flip;
    }
    return base_min_u32(w * WORD_BITS + (uint32_t)__builtin_ctzll(bits), n_bits);
}

uint32_t base_bitmap_next_set(const uint64_t *words, uint32_t n_bits, uint32_t from)
{
    return next_bit(words, n_bits, from, 0);
}

uint32_t base_bitmap_next_clear(const uint64_t *words, uint32_t n_bits, uint32_t from)
{
    return next_bit(words, n_bits, from, UINT64_MAX);
}

uint32_t base_bitmap_find_run(const uint64_t *words, uint32_t n_bits, uint32_t from, uint32_t n)
{
    for (;;) {
        uint32_t first = base_bitmap_next_set(words, n_bits, from);
        if (n > n_bits - first) {
            return n_bits;
        }
        if (n == 1) {
            return first;
        }
        /* Look no further than the run that is wanted. */
        uint32_t end = base_bitmap_next_clear(words, first + n, first);
        if (end == first + n) {
            return first;
        }
        from = end;
    }
}
