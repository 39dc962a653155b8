/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/problems.h"

#include "codegen/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void gen_problems_fini(struct gen_problems *problems)
{
    gen_text_fini(&problems->text);
    problems->n = 0;
}

void gen_problem(struct gen_problems *problems, struct gen_place place, const char *fmt, ...)
{
    struct gen_text *text = &problems->text;
    problems->n++;
    if (problems->n > GEN_PROBLEMS_MAX + 1) {
        return;
    }
    if (problems->n > 1) {
        gen_text_puts(text, "\n");
    }
    if (problems->n > GEN_PROBLEMS_MAX) {
        gen_text_puts(text, "and more: mend these first");
        return;
    }
    if (place.file != NULL && place.line > 0) {
        gen_text_printf(text, "%s:%d:%d: ", place.file, place.line, place.column);
    } else if (place.file != NULL) {
        gen_text_printf(text, "%s: ", place.file);
    }
    char *message = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&message, fmt, args);
    va_end(args);
    if (len < 0) {
        gen_out_of_memory();
    }
    gen_text_puts(text, message);
    free(message);
}
