/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_ARENA_H
#define CODEGEN_ARENA_H

#include <stddef.h>

/**
 * Arena: memory that lives as long as one run of the plugin.
 *
 * Shape    list of heap blocks, newest first; each allocation is one block
 * Memory   everything is freed by gen_arena_fini(), nothing earlier
 * Errors   out of memory ends the process with a message and status 1: a build tool has nothing
 *          better to do
 * Threads  one
 */
struct gen_arena {
    struct gen_block *blocks;
};

void gen_arena_fini(struct gen_arena *arena);

/** `n` zeroed elements of `size` bytes; never NULL, also for none. */
void *gen_arena_array(struct gen_arena *arena, size_t n, size_t size);

/** A zeroed object of `size` bytes; never NULL. */
void *gen_arena_alloc(struct gen_arena *arena, size_t size);

/** A NUL-ended copy of `len` bytes. */
char *gen_arena_copy(struct gen_arena *arena, const char *bytes, size_t len);

char *gen_arena_printf(struct gen_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** Ends the process: out of memory. */
_Noreturn void gen_out_of_memory(void);

#endif
