/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_PONY_REGION_H
#define SNAPD_PONY_REGION_H

#include "base/error.h"
#include "transport/pony/abi/shm.h"

#include <stdint.h>

/**
 * The memory of one port: four sealed memfds, mapped here, and descriptors of them for the
 * application.
 *
 * Shape    see transport/pony/abi/shm.h. The descriptors of what snapd writes are opened read-only.
 * Memory   pages cost nothing until they are used; all go back when both sides have unmapped
 * Trust    the application cannot change a size (seals); it writes only into the client area and
 *          the tx region. Our own indices are private, so that even an application which gets at
 *          the engine area for writing (same user, /proc) fools nobody but itself.
 */
struct snapd_region_sizes {
    uint32_t cmd_slots, cpl_slots; /**< powers of two, within SHM_SLOTS_MIN..MAX */
    uint64_t tx_bytes, rx_bytes;   /**< multiples of the page size */
};

struct snapd_region {
    struct snapd_region_sizes sizes;
    const void *client; /**< mapped read-only */
    void *engine;
    const uint8_t *tx; /**< mapped read-only */
    uint8_t *rx;
    int fds[4]; /**< for the application; -1 once closed */
};

/** Makes, seals and maps; magic, version and sizes stand in the engine area.
 *  Errors  BASE_E_NOMEM, BASE_E_LIMIT, BASE_E_IO; the note says which. */
BASE_MUST_USE enum base_err snapd_region_init(struct snapd_region *region,
                                              const struct snapd_region_sizes *sizes);

/** After they were passed on: closes the four descriptors, the memory stays mapped. */
void snapd_region_close_fds(struct snapd_region *region);

/** Unmaps and closes. Accepts a zeroed region and what a failed init left. */
void snapd_region_fini(struct snapd_region *region);

#endif
