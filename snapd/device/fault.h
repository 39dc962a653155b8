/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_DEVICE_FAULT_H
#define SNAPD_DEVICE_FAULT_H

#include "snapd/config.h"
#include "snapd/device/device.h"

/**
 * Fault device: wraps another and mistreats what is sent through it, for tests.
 *
 * Shape    each packet in turn may be dropped, sent twice, changed in one byte, held back until
 *          others overtook it, or delayed; each with its own probability, from one seeded
 *          generator: the same packets and times meet the same fate
 * Memory   held packets are copies, at most SNAPD_FAULT_HELD; beyond that they go straight on
 */
enum {
    SNAPD_FAULT_HELD = 256,
    SNAPD_FAULT_OVERTAKE = 8,            /**< packets that overtake a reordered one, at most */
    SNAPD_FAULT_REORDER_MAX_NS = 2000000 /**< it goes after this also when no other comes */
};

/** Owns `inner`, also on failure. */
BASE_MUST_USE enum base_err snapd_fault_create(const struct snapd_fault_config *config,
                                               struct snapd_dev *inner, struct snapd_dev **dev);

/** Is any probability not zero? */
bool snapd_fault_is_on(const struct snapd_fault_config *config);

#endif
