/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_RECV_WINDOW_H
#define PONY_PROTOCOL_RECV_WINDOW_H

#include "transport/pony/protocol/seq.h"

/**
 * Receive window: which packets have arrived, so that each is delivered once (PX-22, PX-23).
 *
 * Shape    cumulative edge and 1024 bits from there on
 * Holds    next_seq <= end_seq <= next_seq + 1024; next_seq itself is missing;
 *          end_seq == next_seq: no hole; else end_seq - 1 has arrived
 * Cost     O(1) per packet in order; a filled hole costs a step per 64 packets
 */
struct pony_recv_window {
    uint32_t next_seq; /**< all before it have arrived */
    uint32_t end_seq;  /**< one past the newest that has arrived */
    struct pony_seq_bits got;
};

enum pony_recv_verdict {
    PONY_RECV_NEW,
    PONY_RECV_DUPLICATE,
    PONY_RECV_OUTSIDE /**< beyond the window: the peer broke the protocol, or the past is back */
};

void pony_recv_window_init(struct pony_recv_window *window, uint32_t first_seq);

/** What pony_recv_window_take() would answer; changes nothing. */
enum pony_recv_verdict pony_recv_window_peek(const struct pony_recv_window *window, uint32_t seq);

/** A packet arrived. NEW: it counts as received from here on. */
enum pony_recv_verdict pony_recv_window_take(struct pony_recv_window *window, uint32_t seq);

static inline bool pony_recv_window_has_holes(const struct pony_recv_window *window)
{
    return window->end_seq != window->next_seq;
}

/** SACK words needed: 0..16. */
static inline uint32_t pony_recv_window_n_sack(const struct pony_recv_window *window)
{
    uint32_t span = window->end_seq - window->next_seq; /* 0, or 2..1024 */
    return (span + 62) / 64;
}

/** Fills words[0 .. max-1] at most, bit 0 is next_seq + 1. Returns how many; the last is not 0. */
uint32_t pony_recv_window_sack(const struct pony_recv_window *window, uint64_t *words,
                               uint32_t max);

#endif
