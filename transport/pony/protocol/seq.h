/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_SEQ_H
#define PONY_PROTOCOL_SEQ_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Packet sequence numbers: 32 bits that wrap. Compared by signed difference only, which is right
 * as long as two numbers are less than 2^31 apart; the window keeps them within 1024 (PX-20).
 */

enum {
    PONY_WINDOW_PKTS = 1024 /**< most packets between the cumulative ack and the newest, PX-21 */
};

/** How far `a` lies after `b`; negative: before. */
static inline int32_t pony_seq_diff(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

static inline bool pony_seq_before(uint32_t a, uint32_t b)
{
    return pony_seq_diff(a, b) < 0;
}

/**
 * One bit per sequence number of a window: bit `seq & 1023`. Bits outside the window are 0.
 */
struct pony_seq_bits {
    uint64_t words[PONY_WINDOW_PKTS / 64];
};

static inline bool pony_seq_bits_test(const struct pony_seq_bits *bits, uint32_t seq)
{
    return (bits->words[seq / 64 % 16] >> (seq % 64) & 1) != 0;
}

static inline void pony_seq_bits_set(struct pony_seq_bits *bits, uint32_t seq)
{
    bits->words[seq / 64 % 16] |= UINT64_C(1) << (seq % 64);
}

static inline void pony_seq_bits_clear(struct pony_seq_bits *bits, uint32_t seq)
{
    bits->words[seq / 64 % 16] &= ~(UINT64_C(1) << (seq % 64));
}

/** The 64 bits of seq .. seq+63; bit 0 is seq's. */
static inline uint64_t pony_seq_bits_get64(const struct pony_seq_bits *bits, uint32_t seq)
{
    uint32_t word = seq / 64 % 16;
    uint32_t shift = seq % 64;
    uint64_t low = bits->words[word] >> shift;
    return shift == 0 ? low : low | bits->words[(word + 1) % 16] << (64 - shift);
}

#endif
