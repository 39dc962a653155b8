/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_SERVICES_H
#define CODEGEN_SERVICES_H

#include "codegen/model.h"
#include "codegen/names_taken.h"
#include "codegen/types.h"

/**
 * Services: the part of the model that code is made from. Works out the names of the services and
 * methods of one file, and reports what cannot be generated: streams, types without C, names that
 * meet another's.
 */
struct gen_services_context {
    struct gen_arena *arena;
    const struct gen_types *types;
    struct gen_names_taken *taken;
    struct gen_problems *problems;
    bool has_generic_services; /**< protobuf-c's service code will stand beside ours */
};

/** Fills file->services and file->includes. */
void gen_services_fill(const struct gen_services_context *context, struct gen_file *file);

#endif
