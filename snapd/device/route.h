/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_DEVICE_ROUTE_H
#define SNAPD_DEVICE_ROUTE_H

#include "snapd/device/device.h"

/**
 * Route device: gives packets for other engines of this snapd to the loop device, all others to the
 * network's.
 *
 * Local  an address is local when it is one of this host's and the port is a sibling's. An address
 *        missing from the list costs speed, not packets: the kernel brings them round.
 */
/** Owns both devices, also on failure. */
BASE_MUST_USE enum base_err snapd_route_create(struct snapd_dev *net, struct snapd_dev *loop,
                                               struct snapd_dev **dev);

#endif
