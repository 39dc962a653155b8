/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_PLACE_H
#define SNAPD_ENGINE_PLACE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Place: what the kernel's scheduler is told about an engine's thread.
 *
 * Threads  the engine's own, all of it
 * Blocks   not for longer than a system call takes
 */
struct snapd_place {
    uint32_t priority; /**< steps of nice(2) that heavy is above normal; 0: never, or not allowed */
    int nice_normal;   /**< what the process was started with */
    bool leads_session; /**< its autogroup is its own, and weight counts there */
    bool is_heavy;      /**< now */
};

/** `leads`: this engine sets the weight of the process's autogroup, if that is its own. */
void snapd_place_init(struct snapd_place *place, uint32_t priority, bool leads);

/** Whether this process may run there. Errors  BASE_E_INVALID, with the remedy in the note */
BASE_MUST_USE enum base_err snapd_place_check(uint32_t cpu);

/** The calling thread runs on this processor only, if that may still be. */
void snapd_place_on(uint32_t cpu);

/** Where that is not permitted nothing happens, now and later. */
void snapd_place_set_heavy(struct snapd_place *place, bool is_heavy);

/** How often others have run in the place of the calling thread. */
uint64_t snapd_place_switches(void);

#endif
