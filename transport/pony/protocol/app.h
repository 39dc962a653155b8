/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_APP_H
#define PONY_PROTOCOL_APP_H

#include "base/pool.h"
#include "transport/pony/protocol/conn.h"
#include "transport/pony/protocol/engine.h"
#include "transport/pony/protocol/rxmem.h"

/**
 * An application's port as its engine sees it: commands in, completions out, receive memory.
 *
 * Shape    messages that were sent are collected, and named by one SENT when it is full, or before
 *          the round ends or a completion that must not overtake it (any but RECEIVED).
 *          Completions go into the queue while it has room; then into a backlog, which is bounded
 *          by what may be outstanding, and no more commands are taken until it is empty. For each
 *          slot of the queue a private record says which memory its consumption gives back.
 * Bounded  tx messages: PONY_APP_TX_MAX; received ones: by credit and pages
 * Memory   all made at attach; large tables are touched only as far as they are used
 * Threads  one engine
 */

enum {
    PONY_APP_TX_MAX = 4096, /**< messages being sent at once */
    PONY_APP_BATCH = 32,    /**< commands taken from one application in its turn */
    PONY_APP_LISTENERS_MAX = 256,
    PONY_APP_ALIKE_MAX = 32,    /**< connections whose numbers share a place of the table */
    PONY_APP_CONSUME_MAX = 1024 /**< completions whose memory is taken back in a turn */
};

/** What consuming a completion gives back. */
struct pony_cq_rec {
    uint64_t off; /**< PONY_NO_MEMORY: nothing */
    uint32_t len;
    uint32_t conn; /**< number on the wire of the connection whose credit it used */
};

#define PONY_NO_MEMORY UINT64_MAX

struct pony_backlog_item {
    struct shm_completion completion;
    struct pony_cq_rec rec;
};

struct pony_app {
    struct shm_engine_end end;
    struct pony_engine *engine;
    const uint8_t *tx_base;
    uint64_t tx_bytes;
    uint64_t max_message_bytes;
    uint32_t max_conns, n_conns, n_listeners;
    bool is_dead;
    bool is_dirty; /**< completions to publish: in engine->dirty */
    bool has_news; /**< ... and they are worth waking the application */

    struct shm_completion sent; /**< the one that is being collected; zero behind its tags */
    uint32_t n_sent;            /**< messages in it */

    uint32_t n_put;                    /**< completions put in all */
    uint32_t n_consumed;               /**< of them, those whose memory is back */
    struct pony_cq_rec *recs;          /**< [cpl_slots] */
    struct pony_backlog_item *backlog; /**< [backlog_mask + 1] */
    uint32_t backlog_head, backlog_tail, backlog_mask;

    struct base_pool tx_msgs;
    struct pony_rxmem rx;
    struct pony_credit_pool credit;
    struct pony_rx_table rx_msgs;
    struct base_list waiting; /**< large messages that wait for pages, first come first served */

    struct base_list conns, listeners;
    uint32_t *numbers; /**< [numbers_mask + 1] pool indices of connections that the application
                            numbered, chained */
    uint32_t numbers_mask;

    struct base_list link;  /**< engine->apps */
    struct base_list dirty; /**< engine->dirty */
    struct pony_app_config config;
    struct pony_app_info info; /**< counters */
};

BASE_MUST_USE enum base_err pony_app_init(struct pony_app *app, struct pony_engine *engine,
                                          const struct pony_app_config *config);
void pony_app_fini(struct pony_app *app);

/** Hands a completion over whose consumption gives nothing back. Never fails. */
void pony_app_complete(struct pony_app *app, const struct shm_completion *completion);
/** The memory of a message is the application's again. */
void pony_app_sent(struct pony_app *app, uint32_t shm_number, uint64_t tag);
/** Hands over what pony_app_sent() has collected. */
void pony_app_put_sent(struct pony_app *app);
/** A message was received. */
void pony_app_received(struct pony_app *app, const struct pony_conn *conn,
                       const struct pony_rx_facts *facts);

static inline bool pony_app_has_backlog(const struct pony_app *app)
{
    return app->backlog_head != app->backlog_tail;
}

/** Takes memory of consumed completions back, empties the backlog. BASE_E_PEER: it lies. */
BASE_MUST_USE enum base_err pony_app_reap(struct pony_app *app);

/** Memory came back: serves those that wait for it. */
void pony_app_on_memory(struct pony_app *app);
/** Grants more credit to a connection of it, if that is worth it. */
void pony_app_top_up(struct pony_app *app, struct pony_conn *conn);

/** Gives back a received message's memory without it having been handed over. */
void pony_app_give_memory(struct pony_app *app, struct pony_conn *conn, uint64_t off, uint32_t len);

struct pony_conn *pony_app_find_conn(const struct pony_app *app, uint32_t shm_number);
/** Whether PONY_APP_ALIKE_MAX connections have numbers that are looked up at the same place. */
bool pony_app_has_many_alike(const struct pony_app *app, uint32_t shm_number);
/** Fetches what finding it, and a small message, will use. Any number will do. */
void pony_app_prefetch_conn(const struct pony_app *app, uint32_t shm_number);
void pony_app_add_conn(struct pony_app *app, struct pony_conn *conn);
void pony_app_del_conn(struct pony_app *app, struct pony_conn *conn);

/** The application broke the ABI: told once, ended; pony_engine_detach() frees it later. */
void pony_app_fault(struct pony_app *app, enum shm_reason reason, const char *what);

/** The engine stops: everything of it is told and forgotten. No packet refers to its memory. */
void pony_app_shut_down(struct pony_app *app);

/** Takes and carries out at most `budget` commands. Returns how many. commands.c */
uint32_t pony_app_run_commands(struct pony_app *app, uint64_t now_ns, uint32_t budget);

#endif
