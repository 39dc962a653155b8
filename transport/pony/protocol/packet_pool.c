/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/packet_pool.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_PACKETS = 1u << 20
};

_Static_assert(PONY_HEAD_BYTES % 64 == 0, "heads are cache-line aligned");

enum base_err pony_packet_pool_init(struct pony_packet_pool *pool, uint32_t n_packets)
{
    memset(pool, 0, sizeof(*pool));
    BASE_ENSURE(n_packets > 0 && n_packets <= MAX_PACKETS, BASE_E_INVALID);
    pool->packets = calloc(n_packets, sizeof(*pool->packets));
    pool->free_packets = calloc(n_packets, sizeof(struct pony_tx_packet *));
    pool->heads = aligned_alloc(64, (size_t)n_packets * PONY_HEAD_BYTES);
    if (pool->packets == NULL || pool->free_packets == NULL || pool->heads == NULL) {
        pony_packet_pool_fini(pool);
        return BASE_E_NOMEM;
    }
    pool->n_packets = n_packets;
    for (uint32_t i = 0; i < n_packets; i++) {
        struct pony_tx_packet *packet = &pool->packets[i];
        packet->packet.head = pool->heads + (size_t)i * PONY_HEAD_BYTES;
        base_list_init(&packet->packet.link);
        pool->free_packets[n_packets - 1 - i] = packet;
    }
    pool->n_free = n_packets;
    return BASE_OK;
}

void pony_packet_pool_fini(struct pony_packet_pool *pool)
{
    free(pool->packets);
    free(pool->free_packets);
    free(pool->heads);
    memset(pool, 0, sizeof(*pool));
}

struct pony_tx_packet *pony_packet_pool_take(struct pony_packet_pool *pool)
{
    if (pool->n_free == 0) {
        return NULL;
    }
    struct pony_tx_packet *packet = pool->free_packets[--pool->n_free];
    struct pony_packet *p = &packet->packet;
    p->sent_ns = 0;
    p->seq = 0;
    p->head_len = PONY_HEAD_ROOM;
    p->n_sent = 0;
    p->payload_len = 0;
    p->payload = NULL;
    p->owner = NULL;
    packet->serial = 0;
    packet->frames_len = 0;
    packet->place = PONY_PACKET_NOWHERE;
    return packet;
}

void pony_packet_pool_give(struct pony_packet_pool *pool, struct pony_tx_packet *packet)
{
    base_assert(pool->n_free < pool->n_packets);
    base_assert(!base_list_is_linked(&packet->packet.link));
    pool->free_packets[pool->n_free++] = packet;
}
