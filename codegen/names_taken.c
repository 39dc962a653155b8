/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/names_taken.h"

#include "base/table.h"

#include <string.h>

struct gen_name_entry {
    const char *name;
    struct gen_owner owner;
    UT_hash_handle hh;
};

void gen_names_taken_fini(struct gen_names_taken *taken)
{
    HASH_CLEAR(hh, taken->entries);
}

/* Adds a name; returns the entry that has it already, or NULL. */
static const struct gen_name_entry *add(struct gen_names_taken *taken, const char *name,
                                        struct gen_owner owner)
{
    struct gen_name_entry *entry = NULL;
    HASH_FIND_STR(taken->entries, name, entry);
    if (entry != NULL) {
        return entry;
    }
    entry = gen_arena_alloc(taken->arena, sizeof(*entry));
    entry->name = name;
    entry->owner = owner;
    HASH_ADD_KEYPTR(hh, taken->entries, name, strlen(name), entry);
    if (!base_table_has(entry)) {
        gen_out_of_memory();
    }
    return NULL;
}

void gen_names_claim_quietly(struct gen_names_taken *taken, const char *name,
                             struct gen_owner owner)
{
    (void)add(taken, name, owner);
}

void gen_names_claim(struct gen_names_taken *taken, const char *name, struct gen_owner owner,
                     struct gen_problems *problems)
{
    const struct gen_name_entry *other = add(taken, name, owner);
    if (other == NULL) {
        return;
    }
    const struct gen_place *there = &other->owner.place;
    const char *line = there->file != NULL && there->line > 0
                           ? gen_arena_printf(taken->arena, " (%s:%d)", there->file, there->line)
                           : "";
    bool is_avoidable = owner.is_generic_service || other->owner.is_generic_service;
    gen_problem(problems, owner.place, "%s and %s%s are both named \"%s\" in C; rename one%s",
                owner.what, other->owner.what, line, name,
                is_avoidable ? ", or use --snaprpc_opt=messages instead of protoc-c" : "");
}
