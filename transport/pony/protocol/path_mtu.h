/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_PATH_MTU_H
#define PONY_PROTOCOL_PATH_MTU_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Path MTU of a flow after its handshake: searched upwards with padded PROBEs, taken back to 1200
 * bytes when large packets vanish where small ones pass.
 *
 * Shape    a search between what is known to pass (lo) and what is not (hi): first the largest
 *          that this host sends, then halves, until they are 32 bytes apart; three tries a size
 * Units    bytes of UDP payload, ns
 * Threads  one engine; pure; inside struct pony_flow
 * Source   RFC 8899 (DPLPMTUD); PX-231, PX-232, PX-233 in docs/protocol.md
 */
enum {
    PONY_PMTU_TRIES = 3,
    PONY_PMTU_STEP = 32, /**< a search ends when lo and hi are that near */
    PONY_PMTU_BLACK = 3  /**< large packets lost by timeout in a row, while small ones passed */
};

/** How long after a search that did not reach the top another one begins. */
#define PONY_PMTU_RAISE_NS UINT64_C(60000000000)

struct pony_path_mtu {
    uint32_t bytes;   /**< largest packet sent: known to pass, or believed to */
    uint32_t max;     /**< never more */
    uint32_t hi;      /**< the least size that did not pass; max + 1 at the beginning */
    uint32_t size;    /**< being tried; 0: no search goes on */
    uint32_t n_tries; /**< of that size */
    uint32_t n_black; /**< large packets lost in a row */
    uint32_t number;  /**< of the last probe: its answer names it */
    uint64_t next_ns; /**< when to try, or to begin the next search; UINT64_MAX: never */
};

/** Of a flow that has just come up: `bytes` passed in its handshake. */
void pony_path_mtu_init(struct pony_path_mtu *pmtu, uint32_t bytes, uint32_t max, uint64_t now_ns);

/** At next_ns: the size of the probe to send now; 0: none. */
uint32_t pony_path_mtu_on_time(struct pony_path_mtu *pmtu, uint64_t now_ns);
/** The probe left; its answer is awaited for `wait_ns`. */
void pony_path_mtu_sent(struct pony_path_mtu *pmtu, uint64_t now_ns, uint64_t wait_ns);
/** An answer. True: larger packets than before pass. */
bool pony_path_mtu_on_answer(struct pony_path_mtu *pmtu, uint32_t number, uint64_t now_ns);
/** A packet of `bytes` timed out though smaller ones got through since it was sent. True: taken
 *  for a black hole, packets are small from here on. */
bool pony_path_mtu_on_loss(struct pony_path_mtu *pmtu, uint32_t bytes, uint64_t now_ns);

/** This host does not send packets of `bytes` there in one piece. True: packets are small from here
 *  on; else it was a probe, or a size that is sent no more. */
bool pony_path_mtu_on_too_long(struct pony_path_mtu *pmtu, uint32_t bytes, uint64_t now_ns);

#endif
