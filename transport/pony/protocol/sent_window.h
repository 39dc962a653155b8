/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_SENT_WINDOW_H
#define PONY_PROTOCOL_SENT_WINDOW_H

#include "base/list.h"
#include "transport/pony/protocol/packet_pool.h"
#include "transport/pony/protocol/seq.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Sent window: packets that were sent and are not known to have arrived, and which of them are
 * lost (PX-24..PX-29).
 *
 * Shape    slots by sequence number; a list of what is in flight, in the order of the last
 *          transmission; a list of what is lost, waiting to be sent again
 * Holds    una_seq..next_seq-1 were sent; a slot in there is NULL if and only if its packet was
 *          acknowledged selectively; each packet is in exactly one of the lists
 * Loss     by time, as RACK: a packet is lost when one sent after it has arrived and the round
 *          trip that this one took, and the reordering guard, have passed since it was sent
 * Cost     ack: a step per packet newly acknowledged and per SACK word; loss: a step per packet
 *          newly lost
 * Source   RFC 8985 (without tail loss probe: the RTO floor is about as short)
 */
struct pony_sent_window {
    struct pony_tx_packet **slots; /**< [slot_mask + 1] */
    uint32_t slot_mask;
    uint32_t una_seq;  /**< oldest that the peer has not acknowledged cumulatively */
    uint32_t next_seq; /**< of the next new packet */
    uint32_t n_inflight, n_lost;
    uint32_t n_sacked; /**< NULL slots in the window */
    struct base_list inflight, lost;
    struct pony_seq_bits sacked;
    uint64_t next_serial;
    uint64_t rack_serial;     /**< newest transmission known to have arrived; 0: none */
    uint64_t rack_rtt_ns;     /**< the time it took */
    uint64_t reo_deadline_ns; /**< when to look for losses again; UINT64_MAX: no need */
};

/** An acknowledgement as it came in a header. */
struct pony_acked_seqs {
    uint32_t ack; /**< all before it */
    uint32_t n_sack;
    const uint64_t *sack; /**< [n_sack], the last not 0 */
};

/** What an acknowledgement did. */
struct pony_sent_ack {
    uint32_t n_acked;   /**< packets newly acknowledged, now in the caller's list */
    bool was_reordered; /**< a packet never sent again arrived after a later one */
};

/** `slots` has room for a power of two, at least the largest window. */
void pony_sent_window_init(struct pony_sent_window *window, struct pony_tx_packet **slots,
                           uint32_t n_slots, uint32_t first_seq);

/** Packets between the oldest unacknowledged and the next one. */
static inline uint32_t pony_sent_window_span(const struct pony_sent_window *window)
{
    return window->next_seq - window->una_seq;
}

/** Nothing waits for an acknowledgement. */
static inline bool pony_sent_window_is_idle(const struct pony_sent_window *window)
{
    return window->n_inflight + window->n_lost == 0;
}

/** A new packet is sent: it gets the next number. The caller keeps span < n_slots. */
void pony_sent_window_push(struct pony_sent_window *window, struct pony_tx_packet *packet,
                           uint64_t now_ns);

/** The first of the lost, or NULL. */
struct pony_tx_packet *pony_sent_window_next_lost(struct pony_sent_window *window);
/** It is sent again. */
void pony_sent_window_resent(struct pony_sent_window *window, struct pony_tx_packet *packet,
                             uint64_t now_ns);

/** May this acknowledgement be true? Only then may it be worked on. A past one may. */
bool pony_sent_window_may_ack(const struct pony_sent_window *window,
                              const struct pony_acked_seqs *seqs);

/**
 * Works on an acknowledgement that may be true.
 *
 * @param min_rtt_ns  a retransmission "acknowledged" in less was not what arrived
 * @param acked       packets newly acknowledged are appended; the caller's now
 */
struct pony_sent_ack pony_sent_window_ack(struct pony_sent_window *window,
                                          const struct pony_acked_seqs *seqs, uint64_t now_ns,
                                          uint64_t min_rtt_ns, struct base_list *acked);

/** Moves what is lost by now to the lost list; sets reo_deadline_ns. Returns how many. */
uint32_t pony_sent_window_find_lost(struct pony_sent_window *window, uint64_t now_ns,
                                    uint64_t reo_ns);

/** Timeout: the one sent longest ago counts as lost. False: nothing is in flight. */
bool pony_sent_window_timeout(struct pony_sent_window *window);

/** All packets that are left, to `out`: the flow is dying. */
void pony_sent_window_drain(struct pony_sent_window *window, struct base_list *out);

#endif
