/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_PACKET_POOL_H
#define PONY_PROTOCOL_PACKET_POOL_H

#include "base/error.h"
#include "transport/pony/protocol/packet.h"

/**
 * Pool of the packets that flows retain until they are acknowledged.
 *
 * Shape    a stack: the packet given back last, whose head is in the cache, is taken first
 * Memory   all at creation; heads are touched (and so backed by memory) only as they are used
 * Threads  one engine
 */

enum pony_packet_place {
    PONY_PACKET_NOWHERE,
    PONY_PACKET_INFLIGHT, /**< sent; neither acknowledged nor thought lost */
    PONY_PACKET_LOST      /**< to be sent again */
};

/** A retained packet with what only the flow layer needs. */
struct pony_tx_packet {
    struct pony_packet packet; /**< first: fill() sees this part */
    uint64_t serial;           /**< number of its last transmission in the flow */
    uint32_t frames_len;       /**< bytes of frames as filled: what the CRC covers */
    uint8_t place;             /**< enum pony_packet_place */
};

struct pony_packet_pool {
    struct pony_tx_packet *packets;
    uint8_t *heads;
    struct pony_tx_packet **free_packets; /**< [n_free] */
    uint32_t n_free, n_packets;
};

/** n_packets 1..2^20. Errors: BASE_E_INVALID, BASE_E_NOMEM */
BASE_MUST_USE enum base_err pony_packet_pool_init(struct pony_packet_pool *pool,
                                                  uint32_t n_packets);
void pony_packet_pool_fini(struct pony_packet_pool *pool); /**< accepts a zeroed one */

/** An empty packet: head_len is PONY_HEAD_ROOM, no payload, no owner. NULL when all are out. */
struct pony_tx_packet *pony_packet_pool_take(struct pony_packet_pool *pool);
void pony_packet_pool_give(struct pony_packet_pool *pool, struct pony_tx_packet *packet);

/** The packet whose list link this is. */
static inline struct pony_tx_packet *pony_tx_packet_of(struct base_list *link)
{
    return base_list_entry(link, struct pony_tx_packet, packet.link);
}

#endif
