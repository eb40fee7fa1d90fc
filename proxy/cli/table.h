/*
 * A table for people: columns as wide as their widest cell, a heading of capitals. Cells are
 * made safe for a terminal when they are added.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdio.h>

#include "base/str.h"

#define TABLE_MAX_COLUMNS 16

/* A column. */
struct table_column {
    const char *title; /* "ROUTE" */
    bool right;        /* numbers stand right */
};

/* Rows under way; the columns must outlive it. */
struct table {
    const struct table_column *columns;
    size_t n_columns;
    struct strbuf text;  /* all cells, one behind the other */
    size_t *ends;        /* end of each cell in text */
    size_t n_cells;      /* complete ones */
    size_t cells_cap;    /* allocated */
    struct strbuf *open; /* text, between table_cell and the next one */
};

void table_init(struct table *t, const struct table_column *columns, size_t n_columns);
void table_fini(struct table *t);

/* Begins the next cell, from left to right, row by row: what is appended to the buffer until
 * the next cell begins or the table is printed is its text. It must be safe (show_* of
 * cli/member.h). */
struct strbuf *table_cell(struct table *t);

/* Cells in one call. */
void table_text(struct table *t, struct str text);
void table_count(struct table *t, double n);
void table_percent(struct table *t, double n);
void table_ms(struct table *t, double ms);
void table_bytes(struct table *t, double n);
void table_seconds(struct table *t, double s);

size_t table_rows(const struct table *t);

/* Heading and rows; nothing when there is no row. */
void table_print(struct table *t, FILE *out);

#endif
