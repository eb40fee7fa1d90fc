/*
 * Cells lie one behind the other in one buffer; widths are counted when it is printed.
 */
#include "cli/table.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cli/member.h"
#include "cli/term.h"

void table_init(struct table *t, const struct table_column *columns, size_t n_columns)
{
    *t = (struct table){.columns = columns, .n_columns = n_columns};
}

void table_fini(struct table *t)
{
    strbuf_free(&t->text);
    free(t->ends);
    *t = (struct table){0};
}

static void close_cell(struct table *t)
{
    if (t->open == NULL) {
        return;
    }
    if (t->n_cells == t->cells_cap) {
        t->cells_cap = t->cells_cap > 0 ? 2 * t->cells_cap : 64;
        t->ends = xrealloc(t->ends, t->cells_cap * sizeof(*t->ends));
    }
    t->ends[t->n_cells++] = t->text.n;
    t->open = NULL;
}

struct strbuf *table_cell(struct table *t)
{
    close_cell(t);
    t->open = &t->text;
    return t->open;
}

void table_text(struct table *t, struct str text)
{
    show_text(table_cell(t), text);
}

void table_count(struct table *t, double n)
{
    show_count(table_cell(t), n);
}

void table_percent(struct table *t, double n)
{
    show_percent(table_cell(t), n);
}

void table_ms(struct table *t, double ms)
{
    show_ms(table_cell(t), ms);
}

void table_bytes(struct table *t, double n)
{
    show_bytes(table_cell(t), n);
}

void table_seconds(struct table *t, double s)
{
    show_seconds(table_cell(t), s);
}

size_t table_rows(const struct table *t)
{
    return (t->n_cells + (t->open != NULL)) / t->n_columns;
}

static struct str cell_at(const struct table *t, size_t i)
{
    size_t from = i > 0 ? t->ends[i - 1] : 0;
    return str_make(t->text.p + from, t->ends[i] - from);
}

static void print_cell(const struct table *t, size_t column, struct str text, size_t width,
                       FILE *out)
{
    int blanks = (int)(width - term_columns(text));
    bool last = column + 1 == t->n_columns;
    if (t->columns[column].right) {
        fprintf(out, "%*s%.*s", blanks, "", STR_ARG(text));
    } else {
        fprintf(out, "%.*s%*s", STR_ARG(text), last ? 0 : blanks, "");
    }
    fputs(last ? "\n" : "  ", out);
}

void table_print(struct table *t, FILE *out)
{
    size_t widths[TABLE_MAX_COLUMNS];
    close_cell(t);
    if (t->n_cells < t->n_columns) {
        return;
    }
    for (size_t c = 0; c < t->n_columns; c++) {
        widths[c] = term_columns(str_from(t->columns[c].title));
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t wide = term_columns(cell_at(t, i));
        size_t c = i % t->n_columns;
        widths[c] = wide > widths[c] ? wide : widths[c];
    }
    for (size_t c = 0; c < t->n_columns; c++) {
        print_cell(t, c, str_from(t->columns[c].title), widths[c], out);
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        print_cell(t, i % t->n_columns, cell_at(t, i), widths[i % t->n_columns], out);
    }
}
