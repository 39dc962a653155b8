/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_DEVICE_LOOP_H
#define SNAPD_DEVICE_LOOP_H

#include "snapd/device/device.h"
#include "snapd/engine/waker.h"

/**
 * Loop device: packets between engines of one snapd, through memory.
 *
 * Shape    a fabric with one single-producer single-consumer ring of packet buffers per ordered
 *          pair of engines; a device is one engine's side of it. A full ring loses the packet,
 *          as a network would.
 * Address  engines are told apart by udp_port; a packet's `from` has the ip that it was sent to
 * Threads  each device on its engine's thread; rings connect them without locks
 * Order    R1/A1 publish packets, R2/A2 give buffers back (loop.c)
 */
struct snapd_loop_fabric;

struct snapd_loop_config {
    uint32_t n_engines; /**< <= SNAPD_ENGINES_MAX */
    uint32_t mtu_bytes; /**< longest packet */
    uint32_t slots;     /**< per ring, a power of two */
};

BASE_MUST_USE enum base_err snapd_loop_fabric_create(const struct snapd_loop_config *config,
                                                     struct snapd_loop_fabric **fabric);
/** After all its devices were destroyed. */
void snapd_loop_fabric_destroy(struct snapd_loop_fabric *fabric);

/** Engine `idx`'s side. `waker` is that engine's; `port` what peers send to. Before threads start. */
BASE_MUST_USE enum base_err snapd_loop_create(struct snapd_loop_fabric *fabric, uint32_t idx,
                                              uint16_t port, struct snapd_waker *waker,
                                              struct snapd_dev **dev);

/** Is there an engine of this fabric with that port? */
bool snapd_loop_has_port(const struct snapd_dev *dev, uint16_t port);

#endif
