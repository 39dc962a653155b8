/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_TAP_H
#define SNAPD_ENGINE_TAP_H

#include "transport/pony/abi/capture.h"
#include "transport/pony/protocol/packet.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Tap: copies the packets that pass between an engine and its device into a capture's ring.
 *
 * Place    between engine and device: what arrives before the engine judges it, what leaves before
 *          the device (and the faults on purpose, if there are any) has it
 * Cost     off: one branch per batch. On: a copy per packet; nothing waits, nothing allocates.
 * Threads  set by control before the engine gets it, then the engine's until it is taken away
 */
struct snapd_tap_filter {
    bool has_peer; /**< only packets from or to `peer`, or for flow `flow` */
    uint32_t flow; /**< number at this engine */
    struct pony_addr peer;
    uint16_t peer_port; /**< only packets from or to this UDP port of the peer; 0: any */
};

struct snapd_tap {
    struct snapd_tap_filter filter;
    struct shm_capture_writer writer;
};

void snapd_tap_in(struct snapd_tap *tap, const struct pony_packet_in *packets, uint32_t n);
void snapd_tap_out(struct snapd_tap *tap, const struct pony_packet_out *packets, uint32_t n,
                   uint64_t now_ns);

#endif
