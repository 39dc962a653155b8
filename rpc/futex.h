/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_FUTEX_H
#define RPC_FUTEX_H

#include "base/clock.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/**
 * Futex: sleep while a word has a value. Private to the process. Any thread.
 */

/** Sleeps while `*word == value`, at most until deadline_ns (CLOCK_MONOTONIC; UINT64_MAX: none).
 * May return early for no reason. */
static inline void snapi_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(deadline_ns / BASE_NS_PER_S),
        .tv_nsec = (long)(deadline_ns % BASE_NS_PER_S),
    };
    (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                  deadline_ns == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

/** Wakes up to n sleepers. The word's memory may be gone. */
static inline void snapi_futex_wake(_Atomic uint32_t *word, int n)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

#endif
