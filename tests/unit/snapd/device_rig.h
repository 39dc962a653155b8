/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_SNAPD_DEVICE_RIG_H
#define TESTS_UNIT_SNAPD_DEVICE_RIG_H

#include "snapd/device/udp.h"

/**
 * What the tests of packet devices share. What goes wrong fails the test.
 */

/** Opens a UDP device. */
struct snapd_dev *device_open(const struct snapd_udp_config *config);

/** Its address, when it listens at 127.0.0.1 or everywhere. */
struct pony_addr device_address(const struct snapd_dev *dev);

uint64_t device_counter(const struct snapd_dev *dev, const char *name);

/** Waits until packets are there. */
uint32_t device_receive(struct snapd_dev *dev, struct pony_packet_in *in, uint32_t max);

#endif
