/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/**
 * Time from the system. Only threads' outermost loops call this; everything below takes `now_ns`.
 * Any thread; never blocks (vDSO).
 */
#include <stdint.h>
#include <time.h>

enum {
    BASE_NS_PER_US = 1000,
    BASE_NS_PER_MS = 1000000,
    BASE_NS_PER_S = 1000000000
};

static inline uint64_t base_clock_read_ns(clockid_t id)
{
    struct timespec ts = {0};
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * BASE_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/** Nanoseconds since an arbitrary start, the same for all processes of a host; never goes back. */
static inline uint64_t base_clock_now_ns(void)
{
    return base_clock_read_ns(CLOCK_MONOTONIC);
}

/** CPU time of the calling thread. A system call: not per packet. */
static inline uint64_t base_clock_thread_cpu_ns(void)
{
    return base_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

#endif
