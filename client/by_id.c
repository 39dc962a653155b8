/* SPDX-License-Identifier: Apache-2.0 */
#include "client/by_id.h"

#include <stdlib.h>

enum {
    BUCKETS_MIN = 8 /* of a table on the heap */
};

void snapi_calls_grow(struct snap_channel *channel)
{
    uint32_t n = base_max_u32(BUCKETS_MIN, channel->n_buckets * 2);
    struct snapi_call **bigger = calloc(n, sizeof(struct snapi_call *));
    if (bigger == NULL) {
        return;
    }
    for (uint32_t i = 0; i < channel->n_buckets; i++) {
        struct snapi_call *call = *snapi_channel_bucket(channel, i);
        while (call != NULL) {
            struct snapi_call *next = call->next_in_bucket;
            call->next_in_bucket = bigger[call->id & (n - 1)];
            bigger[call->id & (n - 1)] = call;
            call = next;
        }
    }
    if (channel->n_buckets > 1) {
        free((void *)channel->buckets);
    }
    channel->buckets = bigger;
    channel->n_buckets = n;
}
