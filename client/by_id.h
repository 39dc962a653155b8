/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_BY_ID_H
#define CLIENT_BY_ID_H

#include "client/channel.h"

/**
 * A channel's calls in flight by their numbers: here an answer finds its call. The numbers count
 * upwards, so chains are short without a hash.
 *
 * Threads  owner of the loop
 */

/** Calls whose id ends in `idx`, below n_buckets. */
static inline struct snapi_call **snapi_channel_bucket(struct snap_channel *channel, uint64_t idx)
{
    return channel->n_buckets == 1 ? &channel->only_bucket : &channel->buckets[idx];
}

/** Calls among which that of the number `id` is, if there is one. */
static inline struct snapi_call **snapi_channel_bucket_of(struct snap_channel *channel, uint64_t id)
{
    return snapi_channel_bucket(channel, id & (channel->n_buckets - 1));
}

/** The call of that number in flight, or NULL. */
static inline struct snapi_call *snapi_call_find(struct snap_channel *channel, uint64_t id)
{
    struct snapi_call *call = *snapi_channel_bucket_of(channel, id);
    while (call != NULL && call->id != id) {
        call = call->next_in_bucket;
    }
    return call;
}

/** Twice as many buckets. When there is no memory for them, the chains grow instead. */
void snapi_calls_grow(struct snap_channel *channel);

/** A call that begins; it is in no chain yet. */
static inline void snapi_calls_add(struct snap_channel *channel, struct snapi_call *call)
{
    if (channel->n_calls >= channel->n_buckets) {
        snapi_calls_grow(channel);
    }
    struct snapi_call **bucket = snapi_channel_bucket_of(channel, call->id);
    call->next_in_bucket = *bucket;
    *bucket = call;
    channel->n_calls++;
}

/** A call that ends. */
static inline void snapi_calls_del(struct snap_channel *channel, struct snapi_call *call)
{
    struct snapi_call **at = snapi_channel_bucket_of(channel, call->id);
    while (*at != call) {
        at = &(*at)->next_in_bucket;
    }
    *at = call->next_in_bucket;
    channel->n_calls--;
}

#endif
