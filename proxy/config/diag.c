/*
 * Collecting messages. Rendering is in render.c: this half is all that parser and setters need.
 */
#include "config/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

void conf_diags_init(struct conf_diags *d)
{
    *d = (struct conf_diags){0};
    arena_init(&d->arena, NULL, 0);
}

void conf_diags_fini(struct conf_diags *d)
{
    arena_reset(&d->arena);
    free(d->sources);
    free(d->list);
    *d = (struct conf_diags){0};
}

uint32_t conf_diags_add_source(struct conf_diags *d, struct str name, struct str text)
{
    if (d->n_sources == d->cap_sources) {
        d->cap_sources = d->cap_sources == 0 ? 4 : d->cap_sources * 2;
        d->sources = xrealloc(d->sources, d->cap_sources * sizeof(*d->sources));
    }
    d->sources[d->n_sources] = (struct conf_source){name, text};
    return (uint32_t)d->n_sources++;
}

/* A formatted line in the arena, cut at a length that a terminal can bear. */
static struct str format_line(struct conf_diags *d, const char *fmt, va_list args)
{
    char line[512];
    int n = vsnprintf(line, sizeof(line), fmt, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;

    return arena_dup(&d->arena, str_make(line, len));
}

static void report(struct conf_diags *d, struct conf_span at, bool error, const char *fmt,
                   va_list args)
{
    d->failed = d->failed || error;
    if (d->n == CONF_MAX_DIAGS) {
        d->dropped++;
        return;
    }
    if (d->n == d->cap) {
        d->cap = d->cap == 0 ? 16 : d->cap * 2;
        d->list = xrealloc(d->list, d->cap * sizeof(*d->list));
    }
    d->list[d->n] = (struct conf_diag){
        .at = at,
        .error = error,
        .order = d->n,
        .text = format_line(d, fmt, args),
    };
    d->n++;
}

void conf_error(struct conf_diags *d, struct conf_span at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(d, at, true, fmt, args);
    va_end(args);
}

void conf_warn(struct conf_diags *d, struct conf_span at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(d, at, false, fmt, args);
    va_end(args);
}

void conf_hint(struct conf_diags *d, const char *fmt, ...)
{
    va_list args;

    if (d->n == 0 || d->dropped > 0) {
        return;
    }
    struct conf_diag *last = &d->list[d->n - 1];
    va_start(args, fmt);
    struct str line = format_line(d, fmt, args);
    va_end(args);
    last->hints = arena_printf(&d->arena, "%.*s%.*s\n", STR_ARG(last->hints), STR_ARG(line));
}

void conf_hint_nearest(struct conf_diags *d, const struct suggest *s)
{
    struct str best;

    if (suggest_result(s, &best)) {
        conf_hint(d, "did you mean `%.*s`?", STR_ARG(best));
    }
}
