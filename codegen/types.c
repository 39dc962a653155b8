/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/types.h"

#include "codegen/names.h"

#include <string.h>

/* What the walk over one file carries. */
struct walk {
    struct gen_types *types;
    const struct gen_file *file;
    struct gen_names_taken *taken;
    struct gen_problems *problems;
};

void gen_types_init(struct gen_types *types, struct gen_arena *arena)
{
    *types = (struct gen_types){.by_name.arena = arena};
}

void gen_types_fini(struct gen_types *types)
{
    gen_map_fini(&types->by_name);
}

const struct gen_type *gen_types_find(const struct gen_types *types, const char *name)
{
    return name[0] == '.' ? gen_map_get(&types->by_name, name + 1) : NULL;
}

static struct gen_full_name full_name_in(const struct gen_file *file, const char *name)
{
    return (struct gen_full_name){name, file->package, file->c_package};
}

static bool is_good_name(const struct walk *walk, const char *what, const char *name)
{
    if (name != NULL && gen_name_is_identifier(name)) {
        return true;
    }
    gen_problem(walk->problems, (struct gen_place){.file = walk->file->name},
                "the request is malformed: %s whose name is no identifier", what);
    return false;
}

static bool is_short(const struct walk *walk, const char *full_name)
{
    if (strlen(full_name) <= GEN_FULL_NAME_MAX) {
        return true;
    }
    gen_problem(walk->problems, (struct gen_place){.file = walk->file->name},
                "the name %.60s... is longer than %d bytes", full_name, GEN_FULL_NAME_MAX);
    return false;
}

static char *join(const struct walk *walk, const char *scope, const char *name)
{
    return gen_arena_printf(walk->types->by_name.arena, "%s%s%s", scope,
                            scope[0] == '\0' ? "" : ".", name);
}

/* Names of types, of constants and of functions begin differently, but for odd packages. */
static void claim(const struct walk *walk, const char *what, const char *full_name,
                  const char *c_name)
{
    struct gen_arena *arena = walk->types->by_name.arena;
    struct gen_owner owner = {.what = gen_arena_printf(arena, "%s %s", what, full_name),
                              .place.file = walk->file->name};
    gen_names_claim_quietly(walk->taken, c_name, owner);
}

static void add_enum(const struct walk *walk, const char *scope,
                     const Google__Protobuf__EnumDescriptorProto *proto)
{
    if (!is_good_name(walk, "an enum", proto->name)) {
        return;
    }
    struct gen_arena *arena = walk->types->by_name.arena;
    struct gen_full_name full = full_name_in(walk->file, join(walk, scope, proto->name));
    if (!is_short(walk, full.name)) {
        return;
    }
    claim(walk, "enum", full.name, gen_full_name_camel(arena, full));
    const char *upper = gen_full_name_upper(arena, full);
    for (size_t i = 0; i < proto->n_value; i++) {
        if (is_good_name(walk, "an enum's value", proto->value[i]->name)) {
            claim(walk, "a value of enum", full.name,
                  gen_arena_printf(arena, "%s__%s", upper, proto->value[i]->name));
        }
    }
}

static void add_message(const struct walk *walk, const char *scope,
                        const Google__Protobuf__DescriptorProto *proto)
{
    if (!is_good_name(walk, "a message", proto->name)) {
        return;
    }
    struct gen_map *types = &walk->types->by_name;
    struct gen_full_name full = full_name_in(walk->file, join(walk, scope, proto->name));
    if (!is_short(walk, full.name)) {
        return;
    }
    if (gen_map_get(types, full.name) != NULL) {
        gen_problem(walk->problems, (struct gen_place){.file = walk->file->name},
                    "the request is malformed: message %s is there twice", full.name);
        return;
    }
    struct gen_type *type = gen_arena_alloc(types->arena, sizeof(*type));
    type->camel = gen_full_name_camel(types->arena, full);
    type->lower = gen_full_name_lower(types->arena, full);
    type->file = walk->file;
    gen_map_put(types, full.name, type);
    claim(walk, "message", full.name, type->camel);
    for (size_t i = 0; i < proto->n_nested_type; i++) {
        add_message(walk, full.name, proto->nested_type[i]);
    }
    for (size_t i = 0; i < proto->n_enum_type; i++) {
        add_enum(walk, full.name, proto->enum_type[i]);
    }
}

void gen_types_add_file(struct gen_types *types, const struct gen_file *file,
                        struct gen_names_taken *taken, struct gen_problems *problems)
{
    struct walk walk = {types, file, taken, problems};
    for (size_t i = 0; i < file->proto->n_message_type; i++) {
        add_message(&walk, file->package, file->proto->message_type[i]);
    }
    for (size_t i = 0; i < file->proto->n_enum_type; i++) {
        add_enum(&walk, file->package, file->proto->enum_type[i]);
    }
}
