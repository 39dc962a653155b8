/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/names_taken.h"

void gen_names_taken_init(struct gen_names_taken *taken, struct gen_arena *arena)
{
    *taken = (struct gen_names_taken){.names.arena = arena};
}

void gen_names_taken_fini(struct gen_names_taken *taken)
{
    gen_map_fini(&taken->names);
}

/* Adds a name; returns who has it already, or NULL. */
static const struct gen_owner *add(struct gen_names_taken *taken, const char *name,
                                   struct gen_owner owner)
{
    const struct gen_owner *other = gen_map_get(&taken->names, name);
    if (other == NULL) {
        struct gen_owner *copy = gen_arena_alloc(taken->names.arena, sizeof(*copy));
        *copy = owner;
        gen_map_put(&taken->names, name, copy);
    }
    return other;
}

void gen_names_claim_quietly(struct gen_names_taken *taken, const char *name,
                             struct gen_owner owner)
{
    (void)add(taken, name, owner);
}

void gen_names_claim(struct gen_names_taken *taken, const char *name, struct gen_owner owner,
                     struct gen_problems *problems)
{
    const struct gen_owner *other = add(taken, name, owner);
    if (other == NULL) {
        return;
    }
    const struct gen_place *there = &other->place;
    const char *line =
        there->file != NULL && there->line > 0
            ? gen_arena_printf(taken->names.arena, " (%s:%d)", there->file, there->line)
            : "";
    bool is_avoidable = owner.is_generic_service || other->is_generic_service;
    gen_problem(problems, owner.place, "%s and %s%s are both named \"%s\" in C; rename one%s",
                owner.what, other->what, line, name,
                is_avoidable ? ", or use --snaprpc_opt=messages instead of protoc-c" : "");
}
