/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/map.h"

#include "base/table.h"

#include <string.h>

struct gen_map_entry {
    const char *key;
    void *value;
    UT_hash_handle hh;
};

void gen_map_fini(struct gen_map *map)
{
    HASH_CLEAR(hh, map->entries);
}

/* NOLINTNEXTLINE(readability-function-size): uthash is macros */
void *gen_map_get(const struct gen_map *map, const char *key)
{
    struct gen_map_entry *entry = NULL;
    HASH_FIND_STR(map->entries, key, entry);
    return entry == NULL ? NULL : entry->value;
}

/* NOLINTNEXTLINE(readability-function-size): uthash is macros */
void gen_map_put(struct gen_map *map, const char *key, void *value)
{
    struct gen_map_entry *entry = gen_arena_alloc(map->arena, sizeof(*entry));
    entry->key = key;
    entry->value = value;
    HASH_ADD_KEYPTR(hh, map->entries, key, strlen(key), entry);
    if (!base_table_has(entry)) {
        gen_out_of_memory();
    }
}
