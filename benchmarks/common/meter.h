/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_COMMON_METER_H
#define BENCHMARKS_COMMON_METER_H

#include "benchmarks/common/options.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Meter: counts calls, and keeps the window full. The same for every system that is measured, so that
 * none gets another warm-up, another end or another clock.
 *
 * Units    ns of the monotonic clock; bytes of payload received
 * Threads  one at a time; a peer whose callbacks come from several threads locks around it
 */
struct base_hist;

struct bench_meter {
    struct base_hist *rtt; /**< ns, full round trips */
    uint64_t calls, failed;
    uint64_t lost; /**< datagrams or calls that never came back; bare UDP only */
    uint64_t bytes;
    uint64_t elapsed_ns;
    uint64_t end_ns;    /**< no call is started after this */
    uint32_t in_flight; /**< calls not ended */
    bool is_counting;   /**< past the warm-up */
    char error[256];    /**< the first failure */
};

/** How a system does calls. */
struct bench_driver {
    /* Starts one call in the place `slot`, 0..in_flight-1. */
    void (*start)(void *arg, uint32_t slot);
    /* Waits until something ended (100 ms at most, or until meter->in_flight is 0). */
    void (*drive)(void *arg);
    void *arg;
};

uint64_t bench_now_ns(void);

bool bench_meter_init(struct bench_meter *meter);
void bench_meter_fini(struct bench_meter *meter);

/** A call ended. True: start another in its place; false: the window closes. */
bool bench_call_ok(struct bench_meter *meter, uint64_t started_ns, uint64_t bytes);
bool bench_call_failed(struct bench_meter *meter, const char *why);

/** Warms up, then measures: keeps options->in_flight calls going for options->seconds. */
void bench_measure(struct bench_options *options, struct bench_meter *meter,
                   const struct bench_driver *driver);

double bench_pct_us(const struct bench_meter *meter, double pct);

#ifdef __cplusplus
}
#endif

#endif
