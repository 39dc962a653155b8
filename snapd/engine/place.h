/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_PLACE_H
#define SNAPD_ENGINE_PLACE_H

#include "base/error.h"
#include "snapd/engine/weight.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Place: what the kernel's scheduler is told about an engine's thread, and what it says of it.
 *
 * Threads  the engine's own, all of it; the session's part is shared by all engines of the process
 * Blocks   not for longer than a system call takes
 */

enum {
    SNAPD_PLACE_RETRY_NS = 100000000
};

/** The weight of the process's session (autogroup), where it leads one: heavy while any engine is. */
struct snapd_place_session {
    _Atomic bool is_ours; /**< and we may weigh it */
    int nice_normal;      /**< what it had */
    _Atomic int nice;     /**< as the kernel was told last */
    _Atomic uint32_t n_heavy;
    atomic_flag is_being_told;
};

struct snapd_place {
    uint32_t priority; /**< steps of nice(2) that heavy is above normal; 0: never, or not allowed */
    int nice_normal;   /**< what the process was started with */
    bool is_heavy;     /**< now */
    int waits_fd;
    struct snapd_place_session *session;
};

/** Before the engines start. */
void snapd_place_session_init(struct snapd_place_session *session);

/** `session` outlives it. */
void snapd_place_init(struct snapd_place *place, uint32_t priority,
                      struct snapd_place_session *session);

/** The thread has its normal weight again, and no part in the session's. */
void snapd_place_fini(struct snapd_place *place);

/** Whether this process may run there. Errors  BASE_E_INVALID, with the remedy in the note */
BASE_MUST_USE enum base_err snapd_place_check(uint32_t cpu);

/** The calling thread runs on this processor only, if that may still be. */
void snapd_place_on(uint32_t cpu);

/** Where that is not permitted nothing happens, now and later. */
void snapd_place_set_heavy(struct snapd_place *place, bool is_heavy);

/** Weighs the session by its engines, if it is not yet. The kernel takes that once in
 *  SNAPD_PLACE_RETRY_NS from who is not privileged. False: not done yet, call it again. */
bool snapd_place_weigh_session(struct snapd_place *place);

/** What the calling thread has waited. False: the kernel does not say; then the thread has its
 *  normal weight, priority is 0 from now on, and `waits` is nothing. */
bool snapd_place_waits(struct snapd_place *place, struct snapd_waits *waits);

#endif
