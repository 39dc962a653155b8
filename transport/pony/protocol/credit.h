/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_CREDIT_H
#define PONY_PROTOCOL_CREDIT_H

#include "base/compiler.h"
#include "base/list.h"
#include "transport/pony/protocol/rxmem.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Credit: how many bytes of eager messages the peers of one application may have on their way.
 *
 * Shape    per connection two counts that only grow (modulo 2^32): `limit`, what was granted, and
 *          `used`, what arrived; the peer may send while its own count of charges stays <= limit.
 *          Per application the sums, and a list of connections that could not be given enough.
 * Holds    unused (sum of limit - used) <= potential of the receive memory: a message that has
 *          credit has memory (PX-72). A grant is the only thing that raises `unused`, and it is
 *          cut to potential - unused.
 * Shares   every connection has a floor, fixed at open: two messages of its eager_max. Beyond its
 *          floor a connection may hold (granted or not yet consumed) an eighth of what is spare:
 *          few connections get much, many get little (dynamic thresholds, Choudhury and Hahne
 *          1998), and no connection can take the floors of others:
 *          floors + excess + floors reserved for connections to come <= cap.
 *          When all its messages are consumed, at least half of the floor is granted again: the
 *          largest eager message can always be sent in the end.
 * Threads  one engine
 */

enum {
    PONY_CREDIT_FLOOR_MIN = 2048,
    PONY_CREDIT_FLOOR_MAX = 32 * 1024,
    PONY_CREDIT_SHARE_MAX = 256 * 1024
};

struct pony_credit_pool {
    uint64_t cap;             /**< potential of the empty receive memory */
    uint64_t unused;          /**< granted and not arrived, all connections */
    uint64_t floors;          /**< of open connections */
    uint64_t excess;          /**< held beyond floors */
    struct base_list waiting; /**< struct pony_credit.wait: had less than half a floor, no memory */
    uint32_t n_conns, max_conns;
    uint32_t n_reserved; /**< connections whose floor is kept free before they come; at most 3/4
                              of cap: 13,824 connections with the default 128 MiB */
    uint32_t n_low;      /**< connections whose peer may have run dry */
};

/** Of one connection, at the receiving side. */
struct pony_credit {
    struct base_list wait;
    uint32_t limit; /**< granted in all, modulo 2^32 */
    uint32_t used;  /**< arrived in all, modulo 2^32 */
    uint32_t floor;
    uint32_t in_use; /**< arrived and not consumed */
};

void pony_credit_pool_init(struct pony_credit_pool *pool, uint64_t cap, uint32_t max_conns);

/** A new connection. Grants what it can of `potential`. False: not even a floor is left for it. */
bool pony_credit_open(struct pony_credit_pool *pool, struct pony_credit *credit,
                      uint64_t potential);
/** Forgets what is granted. Messages of it that arrived are accounted for until consumed. */
void pony_credit_close(struct pony_credit_pool *pool, struct pony_credit *credit);

/** Grants more if that is worth a frame. True: `limit` has grown, tell the peer. */
bool pony_credit_grant(struct pony_credit_pool *pool, struct pony_credit *credit,
                       uint64_t potential);
/** The connection that has waited longest, if its turn can come with this potential; or NULL. */
struct pony_credit *pony_credit_next_waiting(struct pony_credit_pool *pool, uint64_t potential);

/* For each message: inline. */

static inline uint32_t pony_credit_left(const struct pony_credit *credit)
{
    return credit->limit - credit->used;
}

/** Granted, or not consumed. */
static inline uint64_t pony_credit_held(const struct pony_credit *credit)
{
    return (uint64_t)pony_credit_left(credit) + credit->in_use;
}

static inline uint64_t pony_credit_excess(const struct pony_credit *credit)
{
    return base_sub_sat_u64(pony_credit_held(credit), credit->floor);
}

static inline bool pony_credit_is_low(const struct pony_credit *credit)
{
    return pony_credit_left(credit) < credit->floor / 2;
}

/** Largest message that the connection takes eagerly: charge(this) * 2 <= floor. */
static inline uint32_t pony_credit_eager_max(const struct pony_credit *credit)
{
    return base_min_u32(credit->floor / 2, PONY_EAGER_MAX_BYTES);
}

/** A message arrived. False: the peer had no credit for it, nothing changed. */
static inline bool pony_credit_charge(struct pony_credit_pool *pool, struct pony_credit *credit,
                                      uint32_t charge)
{
    if (charge > pony_credit_left(credit)) {
        return false;
    }
    /* What it holds, and so the excess, stays as it is. */
    bool was_low = pony_credit_is_low(credit);
    credit->used += charge;
    credit->in_use += charge;
    pool->unused -= charge;
    pool->n_low += pony_credit_is_low(credit) && !was_low;
    return true;
}

/** The application consumed it, or it was dropped. */
static inline void pony_credit_consume(struct pony_credit_pool *pool, struct pony_credit *credit,
                                       uint32_t charge)
{
    /* What is left, and so whether it is low, stays as it is. */
    pool->excess -= pony_credit_excess(credit);
    credit->in_use -= charge;
    pool->excess += pony_credit_excess(credit);
}

#endif
