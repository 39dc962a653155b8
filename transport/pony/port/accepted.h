/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PORT_ACCEPTED_H
#define PONY_PORT_ACCEPTED_H

#include "base/compiler.h"
#include "base/error.h"

#include <stdint.h>

/**
 * Connections by the numbers that the engine chose for them.
 *
 * Shape    open addressing, a look-up mostly reads one cache line and no connection: each message
 *          of another connection would wait for one more line for every element of a chain
 * Memory   from the heap, at most half of it in use; only when a connection is accepted
 * Trust    numbers are snapd's. One that chose them to collide would slow down its own application,
 *          which it can do without that, too
 * Threads  one owner
 */
struct pony_port_entry;

struct pony_port_accepted {
    struct pony_port_accepted_slot *slots; /**< [1 << bits]; NULL: none yet */
    uint32_t bits;
    uint32_t n;
    uint32_t last; /**< number that was found last; 0: none, or it was taken out */
    struct pony_port_entry *last_entry; /**< its connection */
};

/** @param number  not 0, not in the table. Errors  BASE_E_NOMEM */
BASE_MUST_USE enum base_err pony_port_accepted_put(struct pony_port_accepted *table,
                                                   uint32_t number, struct pony_port_entry *entry);
/** pony_port_accepted_find() of a number that is not the last one found. */
struct pony_port_entry *pony_port_accepted_look_up(struct pony_port_accepted *table,
                                                   uint32_t number);

/** NULL: not there. A number that is asked for again and again is found without the table. */
static inline struct pony_port_entry *pony_port_accepted_find(struct pony_port_accepted *table,
                                                              uint32_t number)
{
    return BASE_LIKELY(number == table->last && number != 0)
               ? table->last_entry
               : pony_port_accepted_look_up(table, number);
}

/** One that is there. */
void pony_port_accepted_del(struct pony_port_accepted *table, uint32_t number);
/** Empties it and frees its memory. Accepts a zeroed one. */
void pony_port_accepted_clear(struct pony_port_accepted *table);

#endif
