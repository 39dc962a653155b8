/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_OPTIONS_H
#define CODEGEN_OPTIONS_H

#include "codegen/arena.h"
#include "codegen/problems.h"

#include <stdbool.h>

/** What `--snaprpc_opt=` may say: words joined by commas. */
struct gen_options {
    bool with_messages;       /**< "messages": make foo.pb-c.[ch] too, without services */
    const char *protoc_gen_c; /**< "messages=PROGRAM"; else "protoc-gen-c", found in PATH */
};

/** Reads the plugin's parameter ("" and NULL: none); an unknown word is a problem. */
struct gen_options gen_options_parse(struct gen_arena *arena, const char *parameter,
                                     struct gen_problems *problems);

#endif
