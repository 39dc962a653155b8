/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_PACKET_H
#define PONY_PROTOCOL_PACKET_H

#include "base/list.h"
#include "transport/pony/protocol/addr.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Packets as they stand in an engine.
 *
 * Shape    head: our bytes (packet header, frames, small payloads), in the packet; payload: at most
 *          one run of bytes in an application's tx region, last in the packet
 * Memory   taken from the engine's pool, kept until acknowledged, sent again from the same bytes
 */

enum {
    PONY_MTU_MAX = 9216, /**< UDP payload bytes */
    PONY_MTU_MIN = 1200,
    PONY_HEAD_ROOM = 176, /**< before the frames: for the packet header, written last */
    PONY_HEAD_BYTES = PONY_MTU_MAX + 128, /**< of a head buffer: PONY_HEAD_ROOM and a whole body */
    PONY_TX_BATCH_MAX = 64 /**< packets handed to a device before it must have sent them */
};

struct pony_tx_msg; /**< the operation layer's: what a payload belongs to */

struct pony_packet {
    struct base_list link;
    uint64_t sent_ns; /**< last transmission */
    uint32_t seq;
    uint16_t head_len; /**< bytes used in head, PONY_HEAD_ROOM of them before the frames */
    uint16_t n_sent;   /**< transmissions so far */
    uint32_t payload_len;
    const uint8_t *payload;    /**< may change under us: nothing depends on its value */
    struct pony_tx_msg *owner; /**< told when the packet is acknowledged or dropped; or NULL */
    uint8_t *head;             /**< [PONY_HEAD_BYTES], 64-aligned */
};

/** What a device is to send: valid until the next call into the engine other than next_packet. */
struct pony_packet_out {
    struct pony_addr to;
    const uint8_t *head;
    const uint8_t *payload;
    uint32_t head_len;
    uint32_t payload_len;
    bool is_whole;          /**< in one piece or not at all: it shows what the path carries */
    uint16_t src_port_hint; /**< re-pathing: a device with several source ports takes hint % n */
};

/** What a device received. */
struct pony_packet_in {
    struct pony_addr from;
    const uint8_t *data;
    uint32_t len;
    uint64_t rx_ns; /**< when it reached this host, as well as the device knows; else now */
    uint8_t ttl;    /**< 0: not known */
    uint8_t ecn;    /**< IP's two bits */
};

#endif
