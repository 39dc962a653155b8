/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_MAP_H
#define CODEGEN_MAP_H

#include "codegen/arena.h"

/**
 * Map: from strings to pointers.
 *
 * Shape    uthash table, its entries in the arena
 * Memory   keys and values are the caller's and must outlive the map
 */
struct gen_map {
    struct gen_arena *arena;
    struct gen_map_entry *entries; /**< NULL: empty */
};

/** Frees the table; the entries go with the arena. */
void gen_map_fini(struct gen_map *map);

/** NULL: not there. */
void *gen_map_get(const struct gen_map *map, const char *key);

/** Puts a key that is not there yet. */
void gen_map_put(struct gen_map *map, const char *key, void *value);

#endif
