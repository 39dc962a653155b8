/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hist.h"

#include "base/compiler.h"

#include <string.h>

enum {
    SUB_COUNT = 1 << BASE_HIST_SUB_BITS
};

static uint32_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT) {
        return (uint32_t)value;
    }
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(value) - BASE_HIST_SUB_BITS;
    uint32_t sub = (uint32_t)(value >> exponent) - SUB_COUNT;
    return ((exponent + 1) << BASE_HIST_SUB_BITS) + sub;
}

/* Largest value that falls into the bucket. */
static uint64_t bucket_top(uint32_t bucket)
{
    if (bucket < SUB_COUNT) {
        return bucket;
    }
    uint32_t exponent = (bucket >> BASE_HIST_SUB_BITS) - 1;
    uint64_t sub = (bucket & (SUB_COUNT - 1)) + SUB_COUNT;
    return (sub << exponent) + ((UINT64_C(1) << exponent) - 1);
}

void base_hist_init(struct base_hist *hist)
{
    memset(hist, 0, sizeof(*hist));
}

void base_hist_record(struct base_hist *hist, uint64_t value)
{
    base_hist_record_n(hist, value, 1);
}

void base_hist_record_n(struct base_hist *hist, uint64_t value, uint64_t n)
{
    if (n == 0) {
        return;
    }
    hist->min = hist->count == 0 ? value : base_min_u64(hist->min, value);
    hist->max = base_max_u64(hist->max, value);
    uint64_t product;
    if (__builtin_mul_overflow(value, n, &product)) {
        product = UINT64_MAX;
    }
    hist->sum = base_add_sat_u64(hist->sum, product);
    hist->count += n;
    hist->buckets[bucket_of(value)] += n;
}

void base_hist_merge(struct base_hist *into, const struct base_hist *from)
{
    if (from->count == 0) {
        return;
    }
    into->min = into->count == 0 ? from->min : base_min_u64(into->min, from->min);
    into->max = base_max_u64(into->max, from->max);
    into->sum = base_add_sat_u64(into->sum, from->sum);
    into->count += from->count;
    for (uint32_t i = 0; i < BASE_HIST_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t base_hist_percentile(const struct base_hist *hist, double pct)
{
    if (hist->count == 0) {
        return 0;
    }
    /* The rank that is looked for: ceil(pct / 100 * count), at least the first record. */
    double exact = pct / 100.0 * (double)hist->count;
    uint64_t rank = hist->count;
    if (!(exact > 0)) {
        rank = 1;
    } else if (exact < (double)hist->count) {
        rank = (uint64_t)exact;
        rank += (double)rank < exact;
    }
    uint64_t seen = 0;
    for (uint32_t i = 0; i < BASE_HIST_BUCKETS; i++) {
        seen += hist->buckets[i];
        if (seen >= rank) {
            return base_min_u64(bucket_top(i), hist->max);
        }
    }
    return hist->max;
}

double base_hist_mean(const struct base_hist *hist)
{
    return hist->count == 0 ? 0 : (double)hist->sum / (double)hist->count;
}

uint64_t base_hist_min(const struct base_hist *hist)
{
    return hist->count == 0 ? 0 : hist->min;
}

uint64_t base_hist_max(const struct base_hist *hist)
{
    return hist->max;
}
