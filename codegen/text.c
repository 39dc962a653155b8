/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/text.h"

#include "codegen/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gen_text_fini(struct gen_text *text)
{
    free(text->data);
    *text = (struct gen_text){0};
}

/* Makes room for `more` bytes and a NUL; false: that would pass the bound. */
static bool reserve(struct gen_text *text, size_t more)
{
    if (text->is_cut || more > GEN_TEXT_MAX - text->len) {
        text->is_cut = true;
        return false;
    }
    size_t needed = text->len + more + 1;
    if (needed <= text->capacity) {
        return true;
    }
    size_t capacity = text->capacity < 256 ? 256 : text->capacity;
    while (capacity < needed) {
        capacity *= 2;
    }
    char *data = realloc(text->data, capacity);
    if (data == NULL) {
        gen_out_of_memory();
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void gen_text_put(struct gen_text *text, const void *bytes, size_t len)
{
    if (len == 0 || !reserve(text, len)) {
        return;
    }
    memcpy(text->data + text->len, bytes, len);
    text->len += len;
    text->data[text->len] = '\0';
}

void gen_text_puts(struct gen_text *text, const char *string)
{
    gen_text_put(text, string, strlen(string));
}

void gen_text_printf(struct gen_text *text, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) { /* longer than INT_MAX */
        text->is_cut = true;
        return;
    }
    if (!reserve(text, (size_t)len)) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(text->data + text->len, (size_t)len + 1, fmt, args);
    va_end(args);
    text->len += (size_t)len;
}

const char *gen_text_string(const struct gen_text *text)
{
    return text->data == NULL ? "" : text->data;
}
