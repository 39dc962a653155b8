/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_POLLER_RUN_H
#define RPC_POLLER_RUN_H

#include "rpc/poller.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * The side of the poller that the loop sees: making it, and waiting on it.
 *
 * Shape    one epoll set; at most SNAPI_POLLER_ROUND_MAX events are fetched and given out per round,
 *          what is left is reported by the next one (level-triggered)
 * Threads  one at a time
 * Memory   none from the heap
 */
enum {
    SNAPI_POLLER_ROUND_MAX = 128
};

#define SNAPI_POLLER_FOREVER UINT64_MAX

struct snapi_poller_round;

struct snapi_poller {
    int epoll_fd;                     /**< readable when a source is ready; -1: not made */
    struct snapi_poller_round *round; /**< being given out now; innermost first */
    bool is_expecting;                /**< snapi_poller_expect() was called; the loop clears it */
};

/** Errors: BASE_E_LIMIT out of descriptors, BASE_E_NOMEM. `poller` may be finished then. */
BASE_MUST_USE enum base_err snapi_poller_init(struct snapi_poller *poller);

/** The owners have deleted their sources before. Accepts what a failed init leaves. */
void snapi_poller_fini(struct snapi_poller *poller);

/**
 * Waits until a source is ready, at most `timeout_ns` (0: only looks; SNAPI_POLLER_FOREVER), then
 * calls on_ready of each ready source once. A signal ends the wait early.
 *
 * @param n_ready  how many on_ready were called
 *
 * Blocks  at most timeout_ns; the only function of the library that sleeps
 * Errors  BASE_E_IO, which means the epoll descriptor was closed by someone else
 */
BASE_MUST_USE enum base_err snapi_poller_wait(struct snapi_poller *poller, uint64_t timeout_ns,
                                              uint32_t *n_ready);

#endif
