/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_TEXT_H
#define CODEGEN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Text: bytes that grow at their end, up to a bound.
 *
 * Shape    one heap buffer, doubled when full; `data` is always ended by a NUL that `len` does not
 *          count; a zeroed struct is an empty text
 * Bound    GEN_TEXT_MAX bytes; what does not fit sets `is_cut` and is left out, and the caller
 *          reports it once at the end
 * Errors   out of memory ends the process, as in arena.h
 */
struct gen_text {
    char *data; /**< NULL while nothing was put */
    size_t len;
    size_t capacity;
    bool is_cut; /**< something did not fit: the text must not be used */
};

enum {
    GEN_TEXT_MAX = 256 * 1024 * 1024
};

void gen_text_fini(struct gen_text *text);

void gen_text_put(struct gen_text *text, const void *bytes, size_t len);

void gen_text_puts(struct gen_text *text, const char *string);

void gen_text_printf(struct gen_text *text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** The text as a string: "" when nothing was put. Valid until the next put. */
const char *gen_text_string(const struct gen_text *text);

#endif
