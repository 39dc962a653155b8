/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_WAKER_H
#define SNAPD_ENGINE_WAKER_H

#include "base/error.h"
#include "base/event.h"
#include "base/fd.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Wakes one engine's thread from other threads, only when it sleeps.
 *
 * Order  W1: the sleeper exchanges is_asleep, then looks at its inputs; W2: others put something
 *        into an input, then read is_asleep by a read-modify-write. The two are ordered one after
 *        the other: if W2 comes first, W1 acquires it and the sleeper sees the input; if W1 comes
 *        first, W2 sees that it sleeps. A plain load in W2 could miss both.
 */
struct snapd_waker {
    _Atomic uint32_t is_asleep;
    int fd; /**< eventfd; only threads of snapd hold it */
};

BASE_MUST_USE static inline enum base_err snapd_waker_init(struct snapd_waker *waker)
{
    atomic_init(&waker->is_asleep, 0);
    return base_eventfd_create(&waker->fd);
}

static inline void snapd_waker_fini(struct snapd_waker *waker)
{
    base_fd_close(&waker->fd);
}

/** Any thread, after it put something where the engine will look. */
static inline void snapd_waker_wake(struct snapd_waker *waker)
{
    /* W2 */
    if (atomic_fetch_or_explicit(&waker->is_asleep, 0, memory_order_acq_rel) != 0) {
        base_eventfd_signal(waker->fd);
    }
}

/** The engine; after true it must look at all inputs once more before it sleeps. */
static inline void snapd_waker_set_asleep(struct snapd_waker *waker, bool is_asleep)
{
    /* W1 */
    (void)atomic_exchange_explicit(&waker->is_asleep, is_asleep ? 1u : 0u, memory_order_acq_rel);
}

#endif
