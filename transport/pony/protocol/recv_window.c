/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/recv_window.h"

#include "base/compiler.h"

#include <string.h>

void pony_recv_window_init(struct pony_recv_window *window, uint32_t first_seq)
{
    memset(window, 0, sizeof(*window));
    window->next_seq = first_seq;
    window->end_seq = first_seq;
}

/* next_seq has just arrived: moves the edge over all that follow it without a gap. */
static void advance(struct pony_recv_window *window)
{
    for (;;) {
        uint64_t run = ~pony_seq_bits_get64(&window->got, window->next_seq);
        uint32_t n = run == 0 ? 64 : (uint32_t)__builtin_ctzll(run);
        for (uint32_t i = 0; i < n; i++) {
            pony_seq_bits_clear(&window->got, window->next_seq + i);
        }
        window->next_seq += n;
        if (n < 64) {
            break;
        }
    }
}

enum pony_recv_verdict pony_recv_window_peek(const struct pony_recv_window *window, uint32_t seq)
{
    int32_t ahead = pony_seq_diff(seq, window->next_seq);
    if (ahead < 0) {
        return PONY_RECV_DUPLICATE;
    }
    if (ahead >= PONY_WINDOW_PKTS) {
        return PONY_RECV_OUTSIDE;
    }
    return pony_seq_bits_test(&window->got, seq) ? PONY_RECV_DUPLICATE : PONY_RECV_NEW;
}

enum pony_recv_verdict pony_recv_window_take(struct pony_recv_window *window, uint32_t seq)
{
    enum pony_recv_verdict verdict = pony_recv_window_peek(window, seq);
    if (verdict != PONY_RECV_NEW) {
        return verdict;
    }
    int32_t ahead = pony_seq_diff(seq, window->next_seq);
    if (ahead == 0 && !pony_recv_window_has_holes(window)) {
        window->next_seq++;
        window->end_seq++;
        return PONY_RECV_NEW;
    }
    pony_seq_bits_set(&window->got, seq);
    if (pony_seq_before(window->end_seq, seq + 1)) {
        window->end_seq = seq + 1;
    }
    if (ahead == 0) {
        advance(window);
    }
    return PONY_RECV_NEW;
}

uint32_t pony_recv_window_sack(const struct pony_recv_window *window, uint64_t *words, uint32_t max)
{
    uint32_t n = base_min_u32(pony_recv_window_n_sack(window), max);
    for (uint32_t i = 0; i < n; i++) {
        words[i] = pony_seq_bits_get64(&window->got, window->next_seq + 1 + 64 * i);
    }
    while (n > 0 && words[n - 1] == 0) { /* only where `max` cut it */
        n--;
    }
    return n;
}
