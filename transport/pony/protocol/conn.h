/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_CONN_H
#define PONY_PROTOCOL_CONN_H

#include "base/list.h"
#include "base/pool.h"
#include "transport/pony/abi/shm.h"
#include "transport/pony/protocol/class.h"
#include "transport/pony/protocol/credit.h"
#include "transport/pony/protocol/message.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Connection: message streams between two applications; one end of it.
 *
 * Shape    remote (over the link of a flow) or local (`peer` is the other end, same engine). Both
 *          run the same code: frames go into packets, or straight into the peer's handler.
 * Numbers  `number` is ours on the wire: pool index below, generation above. `shm_number` is the
 *          application's name for it.
 * Life     OPENING/ACCEPTING -> OPEN -> CLOSING -> ENDED; see the table in docs/protocol.md.
 *          ENDED: over for the peer and for new commands; the struct stays until frames that
 *          must still be sent (RESET, CLOSE_OK) are in a packet and no packet refers to the
 *          application's memory. ABORTING: over for the application, but the peer's number, which
 *          RESET needs, is not known yet.
 * Order    streams share 64 lanes (stream modulo 64): ordered messages of a lane are handed over
 *          in order. Constant memory, and no head-of-line blocking between 64 streams.
 * Memory   two parts, hot and cold, from the engine's pools; below 2 KiB together (static assert)
 * Threads  one engine
 */
struct pony_app;
struct pony_conn_cold;
struct pony_engine;
struct pony_link;

enum {
    PONY_LANES = 64,
    PONY_RTS_MAX = 4,          /**< large messages of a connection that wait for GRANT at once */
    PONY_CONN_HOT_LINES = 3,   /**< cache lines that small messages use */
    PONY_AT_ONCE_BYTES = 1024, /**< local messages up to here need not wait for their turn */
    PONY_CONN_BYTES_MAX = 2048
};

enum pony_conn_state {
    PONY_CONN_OPENING,   /**< OPEN is to be sent or was; only OPEN_OK, REFUSE, RESET may come */
    PONY_CONN_ACCEPTING, /**< nothing but OPEN_OK or RESET may be sent until the opener is heard:
                              it knows our number then */
    PONY_CONN_OPEN,
    PONY_CONN_CLOSING,  /**< our application closed; CLOSE follows the last message */
    PONY_CONN_ABORTING, /**< given up while OPENING: RESET goes out when OPEN_OK comes */
    PONY_CONN_ENDED,
    PONY_CONN_N_STATES
};

/** Frames to be sent. */
enum {
    PONY_CTL_OPEN = 1u << 0,
    PONY_CTL_OPEN_OK = 1u << 1,
    PONY_CTL_CREDIT = 1u << 2,
    PONY_CTL_CLOSE_OK = 1u << 3,
    PONY_CTL_RESET = 1u << 4
};

/** How the peer is told of the end. */
enum pony_tell {
    PONY_TELL_NOTHING,
    PONY_TELL_RESET,
    PONY_TELL_CLOSE_OK
};

/*
 * With thousands of connections each message finds the memory of its connection cold, and pays for
 * each line of it: less where those lines lie side by side, as prefetchers bring neighbours, too. So
 * what every small message needs stands in this part (behind the pool's header, which is looked at
 * whenever a connection is found by its number), three lines in all, and the parts of all connections
 * stand in a pool of their own, one behind the other. The rest is in another: `cold`. See "What many
 * connections cost" in docs/benchmarks.md.
 */
struct pony_conn {
    /* Line 0: whose it is. */
    struct pony_engine *engine;
    struct pony_app *app;   /**< NULL: gone */
    struct pony_link *link; /**< NULL: local, or the flow is dead */
    uint32_t number;
    uint32_t peer_number;
    uint32_t shm_number;
    uint8_t state;  /**< enum pony_conn_state; written by conn.c only */
    uint8_t ctl;    /**< PONY_CTL_* */
    uint8_t reason; /**< enum shm_reason of the end */
    uint8_t class;  /**< enum pony_class; never changes once on a link */
    bool is_local : 1;
    bool is_close_sent : 1;
    bool is_told : 1;     /**< the application has its CLOSED */
    bool was_open : 1;    /**< the application may have got messages through */
    bool is_flushing : 1; /**< closed while OPENING: goes on to CLOSING once open */
    bool has_close : 1;   /**< the peer's CLOSE came */
    bool may_ask : 1;     /**< there may be something in `rts` or `grants`; cleared late */
    int32_t small_left;   /**< bytes left of this turn in the small round */

    /* Line 1: sending. */
    struct base_list eager;      /**< by enum pony_tx_state, as those below */
    struct base_list small_link; /**< in the link's (or engine's) list of those with small things */
    uint32_t tx_limit;           /**< credit that the peer granted in all, modulo 2^32 */
    uint32_t tx_used;            /**< charges of eager messages begun, modulo 2^32 */
    uint32_t tx_eager_max;
    uint32_t n_tx;          /**< tx messages that exist */
    uint64_t sent_msgs;     /**< begun; modulo 2^32 the number of the next one */
    struct pony_conn *peer; /**< local: the other end; NULL: remote, or gone */

    /* Line 2: receiving. */
    struct pony_credit credit;
    uint64_t received_msgs; /**< handed over */
    uint64_t received_bytes;
    uint64_t sent_bytes;         /**< of messages begun */
    struct pony_conn_cold *cold; /**< the rest; lives as long as this part */
};

/** The part that small unordered messages of an open connection do not need. */
struct pony_conn_cold {
    struct pony_conn *conn; /**< whose it is */

    /* Large messages. */
    uint32_t rx_rts_no; /**< the next RTS whose turn it is */
    uint32_t n_granted;
    uint32_t next_rts_no;
    uint32_t n_asked;                     /**< messages in `asked` */
    struct base_list blocked, rts, asked; /**< by enum pony_tx_state, as `eager` */
    struct base_list granted;
    struct base_list large_link; /**< in the link's list of those with granted messages */
    struct base_list rx_msgs;    /**< all struct pony_rx_msg of it */
    struct base_list early;      /**< RTS that came before their turn */
    struct base_list grants;     /**< GRANT to be sent */
    int32_t large_left;          /**< bytes left of this turn in the large round */

    /* Life. */
    uint32_t hash_next;   /**< in the application's table, if the application numbered it */
    uint32_t n_peer_msgs; /**< how many the peer sent, modulo 2^32, if has_close */
    struct base_list app_link, link_link;
    uint64_t expected_instance; /**< of the peer's snapd; 0: any */
    uint64_t service;

    /* Ordered messages. */
    uint32_t tx_seq[PONY_LANES];     /**< next number of an ordered message */
    uint16_t lane_waits[PONY_LANES]; /**< ordered: large ones without GRANT, and blocked ones */
    uint32_t rx_seq[PONY_LANES];
};

static_assert(sizeof(struct pony_conn) + sizeof(struct pony_conn_cold) <= PONY_CONN_BYTES_MAX,
              "idle connections are cheap");

/* Whether `field` begins line `n` of its slot of the pool. */
#define PONY_CONN_BEGINS(field, n) \
    (BASE_POOL_HEADER_BYTES + offsetof(struct pony_conn, field) == (size_t)(n)*BASE_CACHE_LINE)

static_assert(PONY_CONN_BEGINS(eager, 1) && PONY_CONN_BEGINS(credit, 2) &&
                  BASE_POOL_HEADER_BYTES + sizeof(struct pony_conn) ==
                      (size_t)PONY_CONN_HOT_LINES * BASE_CACHE_LINE,
              "hot lines lie side by side, nothing between them");

/** A new connection of `app` (its credit is opened). NULL: a limit. */
struct pony_conn *pony_conn_create(struct pony_engine *engine, struct pony_app *app);

/** By our number on the wire. NULL: gone. */
struct pony_conn *pony_conn_find(const struct pony_engine *engine, uint32_t number);

/** Fetches what finding it, and a small message in either direction, will use. Any number will do. */
void pony_conn_prefetch(const struct pony_engine *engine, uint32_t number);

/** A new connection that answers an OPEN: sends OPEN_OK. */
void pony_conn_set_accepting(struct pony_conn *conn);
/** What the peer granted and takes eagerly; sorts messages that were sent before it was known. */
void pony_conn_on_peer_limits(struct pony_conn *conn, uint32_t limit, uint32_t eager_max);
/** OPEN_OK for one that was given up: now the peer can be told. */
void pony_conn_on_late_open(struct pony_conn *conn, uint32_t peer_number);
/** The peer says that it is over, or cannot be asked any more. May free the connection. */
void pony_conn_is_over(struct pony_conn *conn, enum shm_reason reason);

/** It becomes usable: OPENED is reported, messages may flow. */
void pony_conn_on_open(struct pony_conn *conn);

/** The application closes in order: CLOSE goes out after the last message. */
void pony_conn_close(struct pony_conn *conn);

/**
 * The end. Messages that did not arrive whole are dropped, tx memory is given back as soon as no
 * packet refers to it, CLOSED follows. The connection may be freed when this returns.
 */
void pony_conn_end(struct pony_conn *conn, enum shm_reason reason, enum pony_tell tell);

/** Frees it, or tells its application, if it is time. Call after ctl or n_tx went down. */
void pony_conn_settle(struct pony_conn *conn);

/** The flow is gone: nothing can be sent any more. */
void pony_conn_on_link_down(struct pony_conn *conn, enum shm_reason reason);

/** Forgets an application: tx messages too; the caller has seen that nothing refers to them. */
void pony_conn_forget_app(struct pony_conn *conn);

/** There is something small (frames, eager messages) or large (granted ones) to send. */
void pony_conn_wake_small(struct pony_conn *conn);
void pony_conn_wake_large(struct pony_conn *conn);

/** True: CLOSE may go out now. */
bool pony_conn_may_send_close(const struct pony_conn *conn);

/** Its credit grew: the peer is told, at once where that is here. */
void pony_conn_grant_credit(struct pony_conn *conn);

/** Starts a message of the application; `bytes` is checked. */
void pony_conn_send(struct pony_conn *conn, struct pony_tx_msg *msg);
/**
 * Starts a short message on a local connection and hands it over in one go, where nothing that its
 * engine has to move locally is before it. False: nothing was done, pony_conn_send() is to be used.
 *
 * @param bytes  of the SEND `command`; checked
 */
bool pony_conn_send_at_once(struct pony_conn *conn, const struct shm_command *command,
                            const uint8_t *bytes);
/** A message that asked for memory has it. */
void pony_tx_on_grant(struct pony_tx_msg *msg);
/** All of it is in packets. The message may be freed. */
void pony_tx_handed_over(struct pony_tx_msg *msg);
/** A packet that refers to it was acknowledged or dropped. */
void pony_tx_released(struct pony_tx_msg *msg);

const char *pony_conn_state_name(uint8_t state);

#endif
