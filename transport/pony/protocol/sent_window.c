/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/sent_window.h"

#include "base/assert.h"
#include "base/compiler.h"

#include <string.h>

void pony_sent_window_init(struct pony_sent_window *window, struct pony_tx_packet **slots,
                           uint32_t n_slots, uint32_t first_seq)
{
    memset(window, 0, sizeof(*window));
    window->slots = slots;
    window->slot_mask = n_slots - 1;
    window->una_seq = first_seq;
    window->next_seq = first_seq;
    window->next_serial = 1;
    window->reo_deadline_ns = UINT64_MAX;
    base_list_init(&window->inflight);
    base_list_init(&window->lost);
}

static void mark_sent(struct pony_sent_window *window, struct pony_tx_packet *packet,
                      uint64_t now_ns)
{
    packet->place = PONY_PACKET_INFLIGHT;
    packet->serial = window->next_serial++;
    packet->packet.sent_ns = now_ns;
    if (packet->packet.n_sent < UINT16_MAX) {
        packet->packet.n_sent++;
    }
    base_list_add_tail(&window->inflight, &packet->packet.link);
    window->n_inflight++;
}

void pony_sent_window_push(struct pony_sent_window *window, struct pony_tx_packet *packet,
                           uint64_t now_ns)
{
    base_assert(pony_sent_window_span(window) <= window->slot_mask);
    packet->packet.seq = window->next_seq;
    window->slots[window->next_seq & window->slot_mask] = packet;
    window->next_seq++;
    mark_sent(window, packet, now_ns);
}

struct pony_tx_packet *pony_sent_window_next_lost(struct pony_sent_window *window)
{
    struct base_list *link = base_list_first(&window->lost);
    return link != NULL ? pony_tx_packet_of(link) : NULL;
}

void pony_sent_window_resent(struct pony_sent_window *window, struct pony_tx_packet *packet,
                             uint64_t now_ns)
{
    base_assert(packet->place == PONY_PACKET_LOST);
    base_list_del(&packet->packet.link);
    window->n_lost--;
    mark_sent(window, packet, now_ns);
}

bool pony_sent_window_may_ack(const struct pony_sent_window *window,
                              const struct pony_acked_seqs *seqs)
{
    if (pony_seq_before(window->next_seq, seqs->ack)) {
        return false;
    }
    if (seqs->n_sack == 0) {
        return true;
    }
    uint32_t n_zeros = (uint32_t)__builtin_clzll(seqs->sack[seqs->n_sack - 1]);
    return pony_seq_before(seqs->ack + 64 * seqs->n_sack - n_zeros, window->next_seq);
}

/* What one acknowledgement is worked on with. */
struct ack_job {
    uint64_t now_ns;
    uint64_t min_rtt_ns;
    uint64_t rack_before; /* rack_serial before it */
    struct pony_sent_ack result;
    struct base_list *acked;
};

/* The packet in this slot has arrived. */
static void take_acked(struct pony_sent_window *window, struct pony_tx_packet **slot,
                       struct ack_job *job)
{
    struct pony_tx_packet *packet = *slot;
    *slot = NULL;
    base_list_del(&packet->packet.link);
    if (packet->place == PONY_PACKET_INFLIGHT) {
        window->n_inflight--;
    } else {
        window->n_lost--;
    }
    packet->place = PONY_PACKET_NOWHERE;
    bool is_first = packet->packet.n_sent == 1;
    uint64_t took_ns = base_sub_sat_u64(job->now_ns, packet->packet.sent_ns);
    if (packet->serial > window->rack_serial && (is_first || took_ns >= job->min_rtt_ns)) {
        window->rack_serial = packet->serial;
        window->rack_rtt_ns = took_ns;
    }
    job->result.was_reordered |= is_first && packet->serial < job->rack_before;
    job->result.n_acked++;
    base_list_add_tail(job->acked, &packet->packet.link);
}

static void ack_up_to(struct pony_sent_window *window, uint32_t ack, struct ack_job *job)
{
    for (; window->una_seq != ack; window->una_seq++) {
        struct pony_tx_packet **slot = &window->slots[window->una_seq & window->slot_mask];
        if (*slot != NULL) {
            take_acked(window, slot, job);
        } else {
            pony_seq_bits_clear(&window->sacked, window->una_seq);
            window->n_sacked--;
        }
    }
}

/* Bits `fresh` of the 64 packets from `first` on are newly known to have arrived. */
static void ack_word(struct pony_sent_window *window, uint32_t first, uint64_t fresh,
                     struct ack_job *job)
{
    for (; fresh != 0; fresh &= fresh - 1) {
        uint32_t seq = first + (uint32_t)__builtin_ctzll(fresh);
        struct pony_tx_packet **slot = &window->slots[seq & window->slot_mask];
        base_assert(*slot != NULL); /* in the window (may_ack), not acknowledged before */
        take_acked(window, slot, job);
        pony_seq_bits_set(&window->sacked, seq);
        window->n_sacked++;
    }
}

struct pony_sent_ack pony_sent_window_ack(struct pony_sent_window *window,
                                          const struct pony_acked_seqs *seqs, uint64_t now_ns,
                                          uint64_t min_rtt_ns, struct base_list *acked)
{
    struct ack_job job = {.now_ns = now_ns,
                          .min_rtt_ns = min_rtt_ns,
                          .rack_before = window->rack_serial,
                          .acked = acked};
    if (pony_seq_before(seqs->ack, window->una_seq)) {
        return job.result; /* from the past: all it says is known */
    }
    ack_up_to(window, seqs->ack, &job);
    for (uint32_t i = 0; i < seqs->n_sack; i++) {
        uint32_t first = seqs->ack + 1 + 64 * i;
        ack_word(window, first, seqs->sack[i] & ~pony_seq_bits_get64(&window->sacked, first), &job);
    }
    return job.result;
}

/* PX-27 */
uint32_t pony_sent_window_find_lost(struct pony_sent_window *window, uint64_t now_ns,
                                    uint64_t reo_ns)
{
    uint32_t n = 0;
    window->reo_deadline_ns = UINT64_MAX;
    struct base_list *link;
    while ((link = base_list_first(&window->inflight)) != NULL) {
        struct pony_tx_packet *packet = pony_tx_packet_of(link);
        if (packet->serial > window->rack_serial) {
            break;
        }
        uint64_t late_ns = packet->packet.sent_ns + window->rack_rtt_ns + reo_ns;
        if (now_ns < late_ns) {
            window->reo_deadline_ns = late_ns;
            break;
        }
        base_list_del(link);
        base_list_add_tail(&window->lost, link);
        packet->place = PONY_PACKET_LOST;
        window->n_inflight--;
        window->n_lost++;
        n++;
    }
    return n;
}

/* PX-33 */
bool pony_sent_window_timeout(struct pony_sent_window *window)
{
    struct base_list *link = base_list_take_first(&window->inflight);
    if (link == NULL) {
        return false;
    }
    base_list_add_head(&window->lost, link);
    pony_tx_packet_of(link)->place = PONY_PACKET_LOST;
    window->n_inflight--;
    window->n_lost++;
    return true;
}

void pony_sent_window_drain(struct pony_sent_window *window, struct base_list *out)
{
    base_list_splice_tail(out, &window->inflight);
    base_list_splice_tail(out, &window->lost);
    window->n_inflight = 0;
    window->n_lost = 0;
    for (uint32_t seq = window->una_seq; seq != window->next_seq; seq++) {
        window->slots[seq & window->slot_mask] = NULL;
    }
    window->una_seq = window->next_seq;
}
