/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_REPLAY_WINDOW_H
#define PONY_PROTOCOL_REPLAY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Replay window: which packet numbers were taken already.
 *
 * Shape    a ring of bits, one per number; the 1984 numbers up to the highest taken can be told
 *          apart, older ones count as taken
 * Order    check before opening a packet, take only after its tag was right
 * Memory   inside the flow's secrets; zeroed: nothing was taken
 * Source   RFC 6479; PX-223
 */
enum {
    PONY_REPLAY_WORDS = 32,
    PONY_REPLAY_SPAN = 64 * (PONY_REPLAY_WORDS - 1) /**< numbers that can be told apart */
};

struct pony_replay_window {
    uint64_t next; /**< one above the highest taken; 0: none */
    uint64_t bits[PONY_REPLAY_WORDS];
};

/** May `number` be new? */
static inline bool pony_replay_window_may(const struct pony_replay_window *window, uint64_t number)
{
    if (number >= window->next) {
        return number != UINT64_MAX;
    }
    if (window->next - number > PONY_REPLAY_SPAN) {
        return false;
    }
    return (window->bits[number / 64 % PONY_REPLAY_WORDS] >> (number % 64) & 1) == 0;
}

/** Takes a number that may be new. */
static inline void pony_replay_window_take(struct pony_replay_window *window, uint64_t number)
{
    if (number >= window->next) {
        /* Words that the highest number enters or passes begin empty. */
        uint64_t first = window->next == 0 ? 0 : (window->next - 1) / 64 + 1;
        uint64_t last = number / 64;
        if (last + 1 - first > PONY_REPLAY_WORDS && last >= first) {
            first = last + 1 - PONY_REPLAY_WORDS;
        }
        for (uint64_t word = first; word <= last; word++) {
            window->bits[word % PONY_REPLAY_WORDS] = 0;
        }
        window->next = number + 1;
    }
    window->bits[number / 64 % PONY_REPLAY_WORDS] |= UINT64_C(1) << (number % 64);
}

#endif
