/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PORT_MAP_H
#define PONY_PORT_MAP_H

#include "base/error.h"
#include "transport/pony/abi/control.h"
#include "transport/pony/abi/ring.h"

#include <stddef.h>
#include <stdint.h>

/**
 * The memory and eventfds of one attach, checked and mapped. Numbers here are private copies: what
 * snapd writes later cannot change them.
 *
 * Threads  one owner
 */
enum {
    PONY_PORT_N_MAPS = 4
};

struct pony_port_map {
    struct shm_client_end end;
    uint8_t *tx;
    const uint8_t *rx;
    uint64_t tx_bytes, rx_bytes;
    uint64_t max_message_bytes; /**< fits into tx and rx */
    uint64_t instance;          /**< of this snapd */
    uint16_t udp_port;
    int doorbell, notification; /**< non-blocking; -1: not open */
    void *maps[PONY_PORT_N_MAPS];
    size_t map_bytes[PONY_PORT_N_MAPS];
};

/**
 * Checks everything that docs/shm-abi.md lists under "Attach", step 4, and maps.
 *
 * @param fds  [SHM_N_FDS] the eventfds become the map's (their entries -1) on success; the others
 *             stay the caller's to close
 *
 * Errors  BASE_E_PEER, BASE_E_VERSION, BASE_E_NOMEM...: the note says what is wrong; nothing is kept
 */
BASE_MUST_USE enum base_err pony_port_map_open(struct pony_port_map *map,
                                               const Pony__Control__Attached *attached, int *fds);

/** Unmaps and closes. Accepts what pony_port_map_init() left, and a closed one. */
void pony_port_map_close(struct pony_port_map *map);
void pony_port_map_init(struct pony_port_map *map);

#endif
