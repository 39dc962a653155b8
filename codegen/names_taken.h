/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_NAMES_TAKEN_H
#define CODEGEN_NAMES_TAKEN_H

#include "codegen/map.h"
#include "codegen/problems.h"

#include <stdbool.h>

/**
 * Names taken: every name in C that the generated code, or protobuf-c's beside it, declares; so
 * that two things of a .proto that get one name are reported and not left to a C compiler.
 */
struct gen_names_taken {
    struct gen_map names; /**< to struct gen_owner */
};

/** Who declares a name. */
struct gen_owner {
    const char *what; /**< "method files.Files/Get"; shown to the user */
    struct gen_place place;
    bool is_generic_service; /**< protobuf-c's service code, which "messages" leaves out */
};

void gen_names_taken_init(struct gen_names_taken *taken, struct gen_arena *arena);

void gen_names_taken_fini(struct gen_names_taken *taken);

/** Takes a name; that somebody has it already is a problem, reported at the second's place. */
void gen_names_claim(struct gen_names_taken *taken, const char *name, struct gen_owner owner,
                     struct gen_problems *problems);

/** Takes a name if it is free. */
void gen_names_claim_quietly(struct gen_names_taken *taken, const char *name,
                             struct gen_owner owner);

#endif
