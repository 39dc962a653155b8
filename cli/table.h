/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/**
 * A table of text whose columns are as wide as their widest cell.
 *
 * Shape    cells row by row, the first row is the head; a column whose cells are all numbers (or
 *          numbers with a unit) is aligned to the right
 * Memory   cells are copied; fini frees them. When memory is out, cells are missing at the end.
 */
enum {
    CLI_TABLE_COLUMNS_MAX = 16
};

struct cli_table {
    size_t n_columns;
    size_t n_cells;
    size_t capacity;
    char **cells;
};

void cli_table_init(struct cli_table *table, size_t n_columns);
void cli_table_fini(struct cli_table *table);
void cli_table_add(struct cli_table *table, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/** Prints under a title; nothing when there are no rows but the head. */
void cli_table_print(const struct cli_table *table, const char *title, FILE *out);

/** "12 ms", "3.4 us"; [size] */
void cli_format_ns(double ns, char *text, size_t size);
/** "1.5 MB" (powers of 1000); [size] */
void cli_format_count(double value, char *text, size_t size);

#endif
