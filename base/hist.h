/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

/**
 * Latency histogram: fixed memory, any 64-bit value, relative error at most 1/32.
 *
 * Shape    log-linear: values below 32 exactly, then 32 buckets per power of two
 * Units    whatever the caller records; ns by custom
 * Memory   about 15 KB; never allocates. All zero bytes is an empty histogram.
 * Threads  one owner; merge copies to compare across threads
 */
#include <stdint.h>

enum {
    BASE_HIST_SUB_BITS = 5,
    BASE_HIST_BUCKETS = (64 - BASE_HIST_SUB_BITS + 1) << BASE_HIST_SUB_BITS
};

struct base_hist {
    uint64_t count;
    uint64_t sum; /**< sticks at UINT64_MAX */
    uint64_t min; /**< of all; meaningless while count is 0 */
    uint64_t max;
    uint64_t buckets[BASE_HIST_BUCKETS];
};

void base_hist_init(struct base_hist *hist);
void base_hist_record(struct base_hist *hist, uint64_t value);
void base_hist_record_n(struct base_hist *hist, uint64_t value, uint64_t n);
void base_hist_merge(struct base_hist *into, const struct base_hist *from);

/**
 * The value below or at which `pct` percent (0..100) of the records lie: at least the exact one, at
 * most 1/32 more, and never more than max. 0 when empty.
 */
uint64_t base_hist_percentile(const struct base_hist *hist, double pct);

double base_hist_mean(const struct base_hist *hist);  /**< 0 when empty */
uint64_t base_hist_min(const struct base_hist *hist); /**< 0 when empty */
uint64_t base_hist_max(const struct base_hist *hist); /**< 0 when empty */

#endif
