/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/message.h"

#include "base/compiler.h"
#include "transport/pony/protocol/conn.h"

#include <stdlib.h>

enum {
    NO_SLOT = -1,
    BUCKETS_MAX = 16384,
    KEY_PARTIAL = 0xffffffff /* key_a of partial messages; held ones have their lane there */
};

enum base_err pony_rx_table_init(struct pony_rx_table *table, uint32_t n_max)
{
    *table = (struct pony_rx_table){.n_max = n_max, .free = (uint32_t)NO_SLOT};
    uint32_t n_buckets = base_min_u32(base_ceil_pow2_u32(n_max), BUCKETS_MAX);
    table->slots = calloc(n_max, sizeof(*table->slots));
    table->buckets = malloc(n_buckets * sizeof(*table->buckets));
    if (table->slots == NULL || table->buckets == NULL) {
        pony_rx_table_fini(table);
        return BASE_E_NOMEM;
    }
    for (uint32_t i = 0; i < n_buckets; i++) {
        table->buckets[i] = (uint32_t)NO_SLOT;
    }
    table->mask = n_buckets - 1;
    return BASE_OK;
}

void pony_rx_table_fini(struct pony_rx_table *table)
{
    free(table->slots);
    free(table->buckets);
    *table = (struct pony_rx_table){0};
}

struct pony_rx_msg *pony_rx_take(struct pony_rx_table *table, struct pony_conn *conn)
{
    uint32_t idx = table->free;
    if (idx != (uint32_t)NO_SLOT) {
        table->free = table->slots[idx].next;
    } else if (table->n_fresh < table->n_max) {
        idx = table->n_fresh++;
    } else {
        return NULL;
    }
    struct pony_rx_msg *msg = &table->slots[idx];
    *msg = (struct pony_rx_msg){.conn = conn, .next = (uint32_t)NO_SLOT};
    base_list_init(&msg->turn);
    base_list_init(&msg->link);
    base_list_add_tail(&conn->cold->rx_msgs, &msg->link);
    table->n_taken++;
    return msg;
}

static uint32_t *bucket(const struct pony_rx_table *table, const struct pony_conn *conn,
                        uint32_t key_a, uint32_t key_b)
{
    uint64_t h = ((uint64_t)conn->number << 32 | key_b) ^ (uint64_t)key_a << 13;
    h *= 0x9e3779b97f4a7c15u;
    return &table->buckets[(h >> 40) & table->mask];
}

static bool is_findable(const struct pony_rx_msg *msg)
{
    return msg->state == PONY_RX_PARTIAL || msg->state == PONY_RX_HELD;
}

static void show(struct pony_rx_table *table, struct pony_rx_msg *msg, uint32_t key_a,
                 uint32_t key_b)
{
    uint32_t *at = bucket(table, msg->conn, key_a, key_b);
    msg->key_a = key_a;
    msg->key_b = key_b;
    msg->next = *at;
    *at = (uint32_t)(msg - table->slots);
}

void pony_rx_hide(struct pony_rx_table *table, struct pony_rx_msg *msg)
{
    uint32_t idx = (uint32_t)(msg - table->slots);
    uint32_t *at = bucket(table, msg->conn, msg->key_a, msg->key_b);
    while (*at != (uint32_t)NO_SLOT && *at != idx) {
        at = &table->slots[*at].next;
    }
    if (*at == idx) {
        *at = msg->next;
    }
    msg->next = (uint32_t)NO_SLOT;
}

void pony_rx_give(struct pony_rx_table *table, struct pony_rx_msg *msg)
{
    if (is_findable(msg)) {
        pony_rx_hide(table, msg);
    }
    base_list_del(&msg->link);
    base_list_del(&msg->turn);
    msg->conn = NULL;
    msg->next = table->free;
    table->free = (uint32_t)(msg - table->slots);
    table->n_taken--;
}

static struct pony_rx_msg *find(const struct pony_rx_table *table, const struct pony_conn *conn,
                                uint32_t key_a, uint32_t key_b)
{
    uint32_t idx = *bucket(table, conn, key_a, key_b);
    while (idx != (uint32_t)NO_SLOT) {
        struct pony_rx_msg *msg = &table->slots[idx];
        if (msg->conn == conn && msg->key_a == key_a && msg->key_b == key_b) {
            return msg;
        }
        idx = msg->next;
    }
    return NULL;
}

void pony_rx_put_partial(struct pony_rx_table *table, struct pony_rx_msg *msg)
{
    msg->state = PONY_RX_PARTIAL;
    show(table, msg, KEY_PARTIAL, msg->msg_no);
}

void pony_rx_put_held(struct pony_rx_table *table, struct pony_rx_msg *msg)
{
    msg->state = PONY_RX_HELD;
    show(table, msg, msg->stream % PONY_LANES, msg->seq);
}

struct pony_rx_msg *pony_rx_find_partial(const struct pony_rx_table *table,
                                         const struct pony_conn *conn, uint32_t msg_no)
{
    return find(table, conn, KEY_PARTIAL, msg_no);
}

struct pony_rx_msg *pony_rx_find_held(const struct pony_rx_table *table,
                                      const struct pony_conn *conn, uint32_t lane, uint32_t seq)
{
    return find(table, conn, lane, seq);
}
