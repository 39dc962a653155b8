/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_TYPES_H
#define CODEGEN_TYPES_H

#include "codegen/map.h"
#include "codegen/model.h"
#include "codegen/names_taken.h"

/**
 * Types: all message types of a request by full name, and what they are called in C.
 */
struct gen_types {
    struct gen_map by_name; /**< to struct gen_type; full names, without a leading dot */
};

enum {
    GEN_FULL_NAME_MAX = 4096 /**< bytes in the full name of a message or enum */
};

void gen_types_init(struct gen_types *types, struct gen_arena *arena);

/** Forgets the index; the types themselves stay in the arena. */
void gen_types_fini(struct gen_types *types);

/**
 * Adds the messages of a file, nested ones too, and claims the names that protobuf-c gives to
 * its messages and enums.
 */
void gen_types_add_file(struct gen_types *types, const struct gen_file *file,
                        struct gen_names_taken *taken, struct gen_problems *problems);

/** Finds ".files.GetReply" (as descriptors write it); NULL: not there. */
const struct gen_type *gen_types_find(const struct gen_types *types, const char *name);

#endif
