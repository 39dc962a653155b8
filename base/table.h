/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

/**
 * uthash, as the project uses it. Include this, never <uthash.h>.
 *
 * Hash     base_hash64 with a seed that differs from process to process, so that a peer that
 *          chooses keys cannot choose collisions. Iteration goes in order of insertion and does not
 *          depend on the seed: simulations stay repeatable.
 * Memory   the table and its buckets come from the heap (control paths only). Where there is none,
 *          uthash's own way is exit(); here the element is simply not added. Ask base_table_has
 *          after every HASH_ADD*:
 *
 *     HASH_ADD_KEYPTR(hh, table, entry->name, strlen(entry->name), entry);
 *     BASE_ENSURE(base_table_has(entry), BASE_E_NOMEM);
 *
 * Threads  a table has one owner
 */
#include "base/hash.h"

#include <stdbool.h>
#include <string.h>

#ifdef UTHASH_H
#    error "include base/table.h instead of uthash.h"
#endif

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(keyptr, len, hashv) \
    ((hashv) = (unsigned)base_hash64(base_hash_seed(), (keyptr), (len)))

#include <uthash.h> /* IWYU pragma: export */

/** After HASH_ADD*(hh, table, ..., entry): is it in? */
#define base_table_has(entry) ((entry)->hh.tbl != NULL)

#endif
