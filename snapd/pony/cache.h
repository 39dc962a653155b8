/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_PONY_CACHE_H
#define SNAPD_PONY_CACHE_H

#include "base/error.h"
#include "base/list.h"

#include <stdint.h>

/**
 * What one user's channels learnt: target, as the channel was given it, to Pony address.
 *
 * Shape    buckets by a seeded hash, and a list by age; the oldest entry goes when max is reached,
 *          and every one after its time to live
 * Threads  the control thread
 */
enum {
    SNAPD_CACHE_BUCKETS = 128
};

struct snapd_cache {
    struct base_list buckets[SNAPD_CACHE_BUCKETS]; /**< of struct snapd_cache_entry */
    struct base_list by_age;                       /**< oldest first */
    uint32_t n, max;
    uint64_t ttl_ns;
};

void snapd_cache_init(struct snapd_cache *cache, uint32_t max, uint64_t ttl_ns);
void snapd_cache_fini(struct snapd_cache *cache);

/** Remembers, or renews. Errors  BASE_E_NOMEM */
BASE_MUST_USE enum base_err snapd_cache_put(struct snapd_cache *cache, const char *target,
                                            const char *address, uint64_t now_ns);

void snapd_cache_forget(struct snapd_cache *cache, const char *target);

/** NULL: not known, or too old. Valid until the next call. */
const char *snapd_cache_get(struct snapd_cache *cache, const char *target, uint64_t now_ns);

/** Drops what is too old. */
void snapd_cache_expire(struct snapd_cache *cache, uint64_t now_ns);

#endif
