/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_MESSAGE_H
#define PONY_PROTOCOL_MESSAGE_H

#include "base/error.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Messages on their way: those an application sends, and those that arrive and cannot be handed
 * over yet.
 *
 * Shape    a tx message is in one queue of its connection, by state. An rx message exists only
 *          while a message is incomplete, waits for memory or for its turn in its stream; one that
 *          arrives whole and in its turn never has one.
 * Memory   from tables made at attach; no heap per message
 * Threads  one engine
 */
struct pony_conn;

enum pony_tx_state {
    PONY_TX_EAGER,   /**< in conn->eager */
    PONY_TX_BLOCKED, /**< in cold->blocked: eager, behind a large one of its lane without GRANT */
    PONY_TX_RTS,     /**< in cold->rts: has not asked for memory yet */
    PONY_TX_ASKED,   /**< in cold->asked: waits for GRANT */
    PONY_TX_GRANTED, /**< in cold->granted: being sent */
    PONY_TX_FLYING   /**< in no queue: all handed over, or given up; waits for packets' release */
};

struct pony_tx_msg {
    struct base_list link;
    struct pony_conn *conn;
    const uint8_t *bytes; /**< in the application's tx region: may change, nothing depends on it */
    uint64_t tag;
    uint32_t len;
    uint32_t sent_bytes; /**< put into packets so far */
    uint32_t n_packets;  /**< that refer to `bytes` */
    uint32_t msg_no;
    uint32_t stream;
    uint32_t seq;
    uint8_t state; /**< enum pony_tx_state */
    bool is_ordered;
};

enum pony_rx_state {
    PONY_RX_EARLY,   /**< in cold->early: an RTS before its turn */
    PONY_RX_WAITING, /**< in app->waiting: for a run of pages */
    PONY_RX_PARTIAL, /**< has memory, bytes are missing; found by msg_no */
    PONY_RX_HELD     /**< whole, not its turn; found by lane and seq */
};

struct pony_rx_msg {
    struct base_list link; /**< cold->rx_msgs */
    struct base_list turn; /**< cold->early, app->waiting, or cold->grants (GRANT to be sent) */
    struct pony_conn *conn;
    uint64_t off;  /**< in the rx region */
    uint32_t next; /**< in the hash chain or the free list */
    uint32_t key_a, key_b;
    uint32_t msg_no;
    uint32_t len;
    uint32_t received_bytes;
    uint32_t stream;
    uint32_t seq;
    uint32_t rts_no;
    uint8_t state; /**< enum pony_rx_state */
    bool is_large;
    bool is_ordered;
};

/** What is told of a message that has arrived whole. */
struct pony_rx_facts {
    uint64_t off; /**< in the rx region */
    uint32_t len;
    uint32_t stream;
    uint32_t seq;
    bool is_ordered;
};

/** All rx messages of an application, found by connection and number in O(1). */
struct pony_rx_table {
    struct pony_rx_msg *slots; /**< [n_max], memory touched only as far as it was ever used */
    uint32_t *buckets;
    uint32_t n_max, n_fresh, n_taken, free, mask;
};

BASE_MUST_USE enum base_err pony_rx_table_init(struct pony_rx_table *table, uint32_t n_max);
void pony_rx_table_fini(struct pony_rx_table *table);

/** NULL: all taken. The message is linked into conn's list, not yet findable. */
struct pony_rx_msg *pony_rx_take(struct pony_rx_table *table, struct pony_conn *conn);
/** Unlinks from everything. */
void pony_rx_give(struct pony_rx_table *table, struct pony_rx_msg *msg);

/** PARTIAL by msg_no, HELD by lane and seq. */
void pony_rx_put_partial(struct pony_rx_table *table, struct pony_rx_msg *msg);
void pony_rx_put_held(struct pony_rx_table *table, struct pony_rx_msg *msg);
struct pony_rx_msg *pony_rx_find_partial(const struct pony_rx_table *table,
                                         const struct pony_conn *conn, uint32_t msg_no);
struct pony_rx_msg *pony_rx_find_held(const struct pony_rx_table *table,
                                      const struct pony_conn *conn, uint32_t lane, uint32_t seq);
/** No longer findable. */
void pony_rx_hide(struct pony_rx_table *table, struct pony_rx_msg *msg);

#endif
