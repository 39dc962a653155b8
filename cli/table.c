/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void cli_table_init(struct cli_table *table, size_t n_columns)
{
    *table = (struct cli_table){
        .n_columns = n_columns < CLI_TABLE_COLUMNS_MAX ? n_columns : CLI_TABLE_COLUMNS_MAX};
}

void cli_table_fini(struct cli_table *table)
{
    for (size_t i = 0; i < table->n_cells; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    *table = (struct cli_table){.n_columns = 0};
}

void cli_table_add(struct cli_table *table, const char *fmt, ...)
{
    if (table->n_cells == table->capacity) {
        size_t capacity = table->capacity * 2 + 64;
        char **cells = realloc(table->cells, capacity * sizeof(*cells));
        if (cells == NULL) {
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    if (vasprintf(&text, fmt, args) >= 0) {
        table->cells[table->n_cells++] = text;
    }
    va_end(args);
}

static bool is_number(const char *text)
{
    return isdigit((unsigned char)text[0]) != 0 || strcmp(text, "-") == 0;
}

static void measure(const struct cli_table *table, size_t column, size_t *width, bool *is_right)
{
    *width = 0;
    *is_right = true;
    for (size_t i = column; i < table->n_cells; i += table->n_columns) {
        size_t len = strlen(table->cells[i]);
        *width = len > *width ? len : *width;
        *is_right = *is_right && (i == column || is_number(table->cells[i]));
    }
}

void cli_table_print(const struct cli_table *table, const char *title, FILE *out)
{
    size_t widths[CLI_TABLE_COLUMNS_MAX];
    bool rights[CLI_TABLE_COLUMNS_MAX];
    if (table->n_columns == 0 || table->n_cells <= table->n_columns) {
        return;
    }
    for (size_t c = 0; c < table->n_columns; c++) {
        measure(table, c, &widths[c], &rights[c]);
    }
    (void)fprintf(out, "\n%s\n", title);
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t c = i % table->n_columns;
        bool is_last = c + 1 == table->n_columns || i + 1 == table->n_cells;
        int pad = (int)widths[c];
        if (rights[c]) {
            (void)fprintf(out, "  %*s", pad, table->cells[i]);
        } else {
            /* No spaces at the end of a line. */
            (void)fprintf(out, "  %-*s", is_last ? 0 : pad, table->cells[i]);
        }
        if (is_last) {
            (void)fputc('\n', out);
        }
    }
}

static void format_unit(double value, const char *const *units, char *text, size_t size)
{
    size_t i = 0;
    while (value >= 1000 && units[i + 1] != NULL) {
        value /= 1000;
        i++;
    }
    (void)snprintf(text, size, value < 10 && i > 0 ? "%.1f%s" : "%.0f%s", value, units[i]);
}

void cli_format_ns(double ns, char *text, size_t size)
{
    static const char *const units[] = {" ns", " us", " ms", " s", NULL};
    format_unit(ns, units, text, size);
}

void cli_format_count(double value, char *text, size_t size)
{
    static const char *const units[] = {"", " k", " M", " G", " T", NULL};
    format_unit(value, units, text, size);
}
