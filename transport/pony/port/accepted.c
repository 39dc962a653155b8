/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/port/accepted.h"

#include "base/assert.h"

#include <stdbool.h>
#include <stdlib.h>

enum {
    BITS_MIN = 6,
    BITS_MAX = 31
};

struct pony_port_accepted_slot {
    struct pony_port_entry *entry;
    uint32_t number; /* 0: free */
};

/* Where the search for a number begins. The engine's numbers end in the places of its own pool: those
 * of one time differ there and are close to each other, so their slots share cache lines and pages. */
static uint32_t home_of(const struct pony_port_accepted *table, uint32_t number)
{
    return number & ((UINT32_C(1) << table->bits) - 1);
}

static uint32_t next_of(const struct pony_port_accepted *table, uint32_t idx)
{
    return (idx + 1) & ((UINT32_C(1) << table->bits) - 1);
}

/* Its slot, or the free one where it belongs. */
static uint32_t slot_of(const struct pony_port_accepted *table, uint32_t number)
{
    uint32_t idx = home_of(table, number);
    while (table->slots[idx].number != number && table->slots[idx].number != 0) {
        idx = next_of(table, idx);
    }
    return idx;
}

static enum base_err grow(struct pony_port_accepted *table)
{
    struct pony_port_accepted old = *table;
    uint32_t bits = old.slots == NULL ? BITS_MIN : old.bits + 1;
    BASE_ENSURE(bits <= BITS_MAX, BASE_E_NOMEM);
    struct pony_port_accepted_slot *slots = calloc((size_t)1 << bits, sizeof(*slots));
    BASE_ENSURE(slots != NULL, BASE_E_NOMEM);
    table->slots = slots;
    table->bits = bits;
    for (size_t i = 0; old.slots != NULL && i < (size_t)1 << old.bits; i++) {
        if (old.slots[i].number != 0) {
            slots[slot_of(table, old.slots[i].number)] = old.slots[i];
        }
    }
    free(old.slots);
    return BASE_OK;
}

enum base_err pony_port_accepted_put(struct pony_port_accepted *table, uint32_t number,
                                     struct pony_port_entry *entry)
{
    base_assert(number != 0);
    if (table->slots == NULL || table->n >= UINT32_C(1) << table->bits >> 1) {
        BASE_TRY(grow(table));
    }
    uint32_t idx = slot_of(table, number);
    base_assert(table->slots[idx].number == 0);
    table->slots[idx] = (struct pony_port_accepted_slot){.entry = entry, .number = number};
    table->n++;
    return BASE_OK;
}

struct pony_port_entry *pony_port_accepted_look_up(struct pony_port_accepted *table,
                                                   uint32_t number)
{
    struct pony_port_entry *entry =
        table->slots == NULL ? NULL : table->slots[slot_of(table, number)].entry;
    if (entry != NULL) {
        table->last = number;
        table->last_entry = entry;
    }
    return entry;
}

void pony_port_accepted_del(struct pony_port_accepted *table, uint32_t number)
{
    uint32_t mask = (UINT32_C(1) << table->bits) - 1;
    uint32_t hole = slot_of(table, number);
    base_assert(table->slots[hole].number == number);
    table->last = 0;
    table->n--;
    /* Those behind it that were put there because it was taken move up: no search ends too soon. */
    for (uint32_t idx = next_of(table, hole); table->slots[idx].number != 0;
         idx = next_of(table, idx)) {
        uint32_t home = home_of(table, table->slots[idx].number);
        if (((idx - home) & mask) >= ((idx - hole) & mask)) {
            table->slots[hole] = table->slots[idx];
            hole = idx;
        }
    }
    table->slots[hole] = (struct pony_port_accepted_slot){0};
}

void pony_port_accepted_clear(struct pony_port_accepted *table)
{
    free(table->slots);
    *table = (struct pony_port_accepted){0};
}
