/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_KTCP_FEED_H
#define TESTS_SUPPORT_KTCP_FEED_H

#include "base/rng.h"
#include "transport/tcp/rx.h"

/**
 * Feeds bytes to a receiver as a socket would: for tests and fuzzers.
 *
 * @param shared  KTCP_RX_SHARED_BYTES
 * @param rng     chooses how much each read brings; NULL: as much as fits
 * @param n_fed   bytes that were given before it stopped
 *
 * Stops at an error, at the end frame and when a sink said stop. What was planned and not read is
 * filled with a pattern, so that nothing can depend on it.
 */
enum base_err ktcp_feed(struct ktcp_rx *rx, uint8_t *shared, const uint8_t *bytes, size_t len,
                        struct base_rng *rng, size_t *n_fed);

#endif
