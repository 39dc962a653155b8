/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gen_block {
    struct gen_block *next;
    alignas(max_align_t) unsigned char bytes[];
};

_Noreturn void gen_out_of_memory(void)
{
    fputs("protoc-gen-snaprpc: out of memory\n", stderr);
    exit(1);
}

void gen_arena_fini(struct gen_arena *arena)
{
    while (arena->blocks != NULL) {
        struct gen_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

void *gen_arena_alloc(struct gen_arena *arena, size_t size)
{
    if (size > SIZE_MAX - sizeof(struct gen_block)) {
        gen_out_of_memory();
    }
    struct gen_block *block = calloc(1, sizeof(struct gen_block) + size);
    if (block == NULL) {
        gen_out_of_memory();
    }
    block->next = arena->blocks;
    arena->blocks = block;
    return block->bytes;
}

void *gen_arena_array(struct gen_arena *arena, size_t n, size_t size)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        gen_out_of_memory();
    }
    return gen_arena_alloc(arena, bytes);
}

char *gen_arena_copy(struct gen_arena *arena, const char *bytes, size_t len)
{
    char *copy = gen_arena_array(arena, len + 1, 1);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

char *gen_arena_printf(struct gen_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        gen_out_of_memory();
    }
    char *text = gen_arena_alloc(arena, (size_t)len + 1);
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}
