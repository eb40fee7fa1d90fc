/*
 * The route table of `larder check`: what each route came to after inheritance.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/units.h"
#include "config.h"

enum column {
    COL_METHODS,
    COL_PATH,
    COL_CACHE,
    COL_SCOPE,
    COL_KEY,
    COL_UPSTREAM,
    COL_INVALIDATES,
    N_COLUMNS,
};

/* The cells of one line, heap. */
struct row {
    struct strbuf cells[N_COLUMNS];
};

static const char *const headings[N_COLUMNS] = {
    "METHODS", "PATH", "CACHE", "SCOPE", "KEY", "UPSTREAM", "INVALIDATES",
};

static void add_list(struct strbuf *out, const struct str_list *list, char separator)
{
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0) {
            strbuf_add_char(out, separator);
        }
        strbuf_add_str(out, list->list[i]);
    }
}

static void add_cache(struct strbuf *out, const struct route_settings *r)
{
    char text[UNITS_TEXT_MAX];

    if (!r->cached) {
        strbuf_add_char(out, '-');
        return;
    }
    if (r->ttl_mode == TTL_ORIGIN) {
        strbuf_add_str(out, STR("origin"));
        return;
    }
    strbuf_add(out, text, duration_text(r->ttl, text));
    if (r->ttl_mode == TTL_FORCE) {
        strbuf_add_str(out, STR(" force"));
    }
}

static void add_scope(struct strbuf *out, const struct settings *s,
                      const struct route_settings *r)
{
    switch (r->scope) {
    case SCOPE_NONE: strbuf_add_char(out, '-'); return;
    case SCOPE_PUBLIC: strbuf_add_str(out, STR("public")); return;
    case SCOPE_AUTHENTICATED: strbuf_add_str(out, STR("authenticated")); return;
    case SCOPE_IDENTITIES: break;
    }
    for (size_t i = 0; i < s->n_identities; i++) {
        if ((r->scope_mask & (UINT32_C(1) << i)) != 0) {
            if (out->n > 0) {
                strbuf_add_char(out, ' ');
            }
            strbuf_add_str(out, s->identities[i].name);
        }
    }
}

static void add_targets(struct strbuf *out, const struct route_settings *r)
{
    static const char *const prefixes[] = {
        [TARGET_GLOB] = "",        [TARGET_TYPE] = "type:", [TARGET_TAG] = "tag:",
        [TARGET_ROUTE] = "route:", [TARGET_ALL] = "all",
    };

    for (size_t i = 0; i < r->n_invalidate; i++) {
        strbuf_addf(out, "%s%s%.*s", i > 0 ? " " : "", prefixes[r->invalidate[i].kind],
                    STR_ARG(r->invalidate[i].value.text));
    }
    if (r->n_invalidate == 0) {
        strbuf_add_char(out, '-');
    } else if (r->invalidate_soft) {
        strbuf_add_str(out, STR(" (soft)"));
    }
}

static void fill_row(struct row *row, const struct settings *s, const struct route_settings *r)
{
    add_list(&row->cells[COL_METHODS], &r->methods, ',');
    strbuf_add_str(&row->cells[COL_PATH], r->path);
    add_cache(&row->cells[COL_CACHE], r);
    add_scope(&row->cells[COL_SCOPE], s, r);
    strbuf_add_str(&row->cells[COL_KEY], r->cached ? r->key.text : STR("-"));
    strbuf_add_str(&row->cells[COL_UPSTREAM],
                   r->upstream != NULL ? r->upstream->name : STR("-"));
    add_targets(&row->cells[COL_INVALIDATES], r);
}

/* Bytes are columns but for UTF-8, of which only the first byte of a character counts. */
static size_t width_of(const struct strbuf *cell)
{
    size_t width = 0;

    for (size_t i = 0; i < cell->n; i++) {
        width += ((unsigned char)cell->p[i] & 0xC0) != 0x80;
    }
    return width;
}

static void print_rows(struct row *rows, size_t n, FILE *out)
{
    size_t widths[N_COLUMNS] = {0};

    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < N_COLUMNS; c++) {
            size_t width = width_of(&rows[i].cells[c]);

            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < N_COLUMNS; c++) {
            const struct strbuf *cell = &rows[i].cells[c];
            size_t pad = c + 1 < N_COLUMNS ? widths[c] - width_of(cell) + 2 : 0;

            fprintf(out, "%.*s%*s", (int)cell->n, cell->n > 0 ? cell->p : "", (int)pad, "");
        }
        fputc('\n', out);
    }
}

static void print_site(const struct settings *s, const struct site_settings *site, FILE *out)
{
    size_t n = site->n_routes + 2;
    struct row *rows = xcalloc(n, sizeof(*rows));

    for (size_t c = 0; c < N_COLUMNS; c++) {
        strbuf_addf(&rows[0].cells[c], "%s", headings[c]);
    }
    for (size_t i = 0; i < site->n_routes; i++) {
        fill_row(&rows[i + 1], s, &site->routes[i]);
    }
    fill_row(&rows[n - 1], s, &site->fallback);
    rows[n - 1].cells[COL_PATH].n = 0;
    strbuf_addf(&rows[n - 1].cells[COL_PATH], "(any other)");
    print_rows(rows, n, out);
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < N_COLUMNS; c++) {
            strbuf_free(&rows[i].cells[c]);
        }
    }
    free(rows);
}

void config_print_routes(const struct settings *s, FILE *out)
{
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct site_settings *site = &s->sites[i];

        if (s->n_sites > 1 || site->hosts.n > 0) {
            struct strbuf names = {0};

            add_list(&names, &site->hosts, ' ');
            if (names.n == 0) {
                strbuf_add_str(&names, STR("(any other)"));
            }
            fprintf(out, "%shost %.*s\n", i > 0 ? "\n" : "", (int)names.n, names.p);
            strbuf_free(&names);
        }
        print_site(s, site, out);
    }
}
