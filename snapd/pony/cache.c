/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/pony/cache.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

struct snapd_cache_entry {
    struct base_list in_bucket;
    struct base_list by_age;
    uint64_t expires_ns;
    char *address; /**< behind the target, in the same piece of memory */
    char target[];
};

void snapd_cache_init(struct snapd_cache *cache, uint32_t max, uint64_t ttl_ns)
{
    *cache = (struct snapd_cache){.max = max, .ttl_ns = ttl_ns};
    base_list_init(&cache->by_age);
    for (uint32_t i = 0; i < SNAPD_CACHE_BUCKETS; i++) {
        base_list_init(&cache->buckets[i]);
    }
}

static struct base_list *bucket_of(struct snapd_cache *cache, const char *target)
{
    uint64_t hash = base_hash64(base_hash_seed(), target, strlen(target));
    return &cache->buckets[hash % SNAPD_CACHE_BUCKETS];
}

static void drop(struct snapd_cache *cache, struct snapd_cache_entry *entry)
{
    base_list_del(&entry->in_bucket);
    base_list_del(&entry->by_age);
    cache->n--;
    free(entry);
}

static struct snapd_cache_entry *oldest(const struct snapd_cache *cache)
{
    struct base_list *link = base_list_first(&cache->by_age);
    return link != NULL ? base_list_entry(link, struct snapd_cache_entry, by_age) : NULL;
}

static struct snapd_cache_entry *find(struct snapd_cache *cache, const char *target)
{
    base_list_foreach (it, bucket_of(cache, target)) {
        struct snapd_cache_entry *entry = base_list_entry(it, struct snapd_cache_entry, in_bucket);
        if (strcmp(entry->target, target) == 0) {
            return entry;
        }
    }
    return NULL;
}

void snapd_cache_fini(struct snapd_cache *cache)
{
    base_list_foreach_safe (it, &cache->by_age) {
        drop(cache, base_list_entry(it, struct snapd_cache_entry, by_age));
    }
}

enum base_err snapd_cache_put(struct snapd_cache *cache, const char *target, const char *address,
                              uint64_t now_ns)
{
    size_t target_size = strlen(target) + 1;
    size_t address_size = strlen(address) + 1;
    struct snapd_cache_entry *entry = malloc(sizeof(*entry) + target_size + address_size);
    BASE_ENSURE(entry != NULL, BASE_E_NOMEM);
    memcpy(entry->target, target, target_size);
    entry->address = entry->target + target_size;
    memcpy(entry->address, address, address_size);
    entry->expires_ns = now_ns + cache->ttl_ns;
    snapd_cache_forget(cache, target);
    if (cache->n >= cache->max) {
        drop(cache, oldest(cache));
    }
    base_list_add_head(bucket_of(cache, target), &entry->in_bucket);
    base_list_add_tail(&cache->by_age, &entry->by_age);
    cache->n++;
    return BASE_OK;
}

void snapd_cache_forget(struct snapd_cache *cache, const char *target)
{
    struct snapd_cache_entry *entry = find(cache, target);
    if (entry != NULL) {
        drop(cache, entry);
    }
}

const char *snapd_cache_get(struct snapd_cache *cache, const char *target, uint64_t now_ns)
{
    snapd_cache_expire(cache, now_ns);
    const struct snapd_cache_entry *entry = find(cache, target);
    return entry != NULL ? entry->address : NULL;
}

void snapd_cache_expire(struct snapd_cache *cache, uint64_t now_ns)
{
    base_list_foreach_safe (it, &cache->by_age) {
        struct snapd_cache_entry *entry = base_list_entry(it, struct snapd_cache_entry, by_age);
        if (entry->expires_ns > now_ns) {
            return;
        }
        drop(cache, entry);
    }
}
