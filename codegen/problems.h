/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_PROBLEMS_H
#define CODEGEN_PROBLEMS_H

#include "codegen/text.h"

#include <stddef.h>

/** Where something stands in a .proto. */
struct gen_place {
    const char *file; /**< NULL: nowhere in particular */
    int line;         /**< from 1; 0: not known */
    int column;       /**< from 1 */
};

/**
 * Problems: what cannot be generated, one line each, in protoc's form "file:line:column: message".
 *
 * All are collected, so that one run shows them all; past GEN_PROBLEMS_MAX they are only counted.
 */
struct gen_problems {
    struct gen_text text; /**< lines joined by newlines, none at the end */
    size_t n;
};

enum {
    GEN_PROBLEMS_MAX = 100
};

void gen_problems_fini(struct gen_problems *problems);

void gen_problem(struct gen_problems *problems, struct gen_place place, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
