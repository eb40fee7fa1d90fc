/*
 * The parser: one function for each rule of the grammar. A statement with something wrong in
 * it is kept and marked, so that its block is still read and reported on.
 */
#include "config/parse.h"

#include <glob.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/env.h"
#include "config/lexer.h"

/* Reading one file. */
struct reader {
    struct conf_parser *p;
    struct conf_lexer lx;
    struct conf_token token; /* the next one */
    size_t depth;            /* open blocks */
};

/* A growing list of statements. */
struct stmt_list {
    struct conf_stmt *first;
    struct conf_stmt **end;
};

static void advance(struct reader *r)
{
    r->token = conf_lexer_next(&r->lx);
}

/* Appends the statement, and all that follow it in a list. */
static void append(struct stmt_list *list, struct conf_stmt *s)
{
    *list->end = s;
    while (*list->end != NULL) {
        list->end = &(*list->end)->next;
    }
}

/* The token as an argument; marks the statement bad when it cannot be used. */
static struct conf_arg make_arg(struct reader *r, struct conf_stmt *s)
{
    const struct conf_token *t = &r->token;
    struct conf_arg a = {.at = t->at, .raw = t->raw, .quoted = t->quoted};
    size_t prefix = t->name_len > 0 ? t->name_len + 1 : 0;

    if (t->bad || !conf_env_expand(r->p->d, t->at, t->text, r->p->keep, &a.text)) {
        s->bad = true;
        return a;
    }
    a.name = str_make(a.text.p, t->name_len);
    a.value = str_skip(a.text, prefix);
    return a;
}

static void parse_args(struct reader *r, struct conf_stmt *s)
{
    struct conf_arg *list = NULL;
    size_t cap = 0;

    for (; r->token.kind == TOKEN_WORD; advance(r)) {
        if (s->n_args == cap) {
            cap = cap == 0 ? 8 : cap * 2;
            list = xrealloc(list, cap * sizeof(*list));
        }
        list[s->n_args++] = make_arg(r, s);
    }
    if (s->n_args > 0) {
        s->args = arena_alloc(r->p->scratch, s->n_args * sizeof(*list));
        memcpy(s->args, list, s->n_args * sizeof(*list));
    }
    free(list);
}

static struct conf_stmt *parse_statements(struct reader *r);

static void parse_block(struct reader *r, struct conf_stmt *s)
{
    struct conf_span open = r->token.at;

    advance(r);
    s->has_block = true;
    r->depth++;
    if (r->depth > CONF_MAX_BLOCKS) {
        conf_error(r->p->d, open, "blocks are nested too deeply");
        /* Nothing below can mean anything: stop reading this file. */
        r->lx.pos = r->lx.text.n;
        advance(r);
        r->depth--;
        return;
    }
    s->block = parse_statements(r);
    r->depth--;
    if (r->token.kind == TOKEN_CLOSE) {
        advance(r);
    } else {
        conf_error(r->p->d, s->at, "the block of `%.*s` is never closed",
                   STR_ARG(conf_clip(s->word)));
    }
}

static struct conf_stmt *parse_statement(struct reader *r)
{
    struct conf_stmt *s = arena_zalloc(r->p->scratch, sizeof(*s));

    s->at = r->token.at;
    s->word = r->token.raw;
    s->bad = r->token.bad;
    advance(r);
    parse_args(r, s);
    if (r->token.kind == TOKEN_OPEN) {
        parse_block(r, s);
    } else if (r->token.kind == TOKEN_END) {
        advance(r);
    }
    return s;
}

/* ---- include ---------------------------------------------------------------------------- */

/* The pattern as it is opened: relative to the folder of the file that includes it. */
static struct str resolve_path(const struct reader *r, struct str pattern)
{
    struct str name = r->p->d->sources[r->lx.source].name;
    size_t n = name.n;

    while (n > 0 && name.p[n - 1] != '/') {
        n--;
    }
    if (str_starts(pattern, STR("/")) || n == 0) {
        return pattern;
    }
    return arena_printf(r->p->scratch, "%.*s%.*s", (int)n, name.p, STR_ARG(pattern));
}

static struct conf_stmt *include_file(struct reader *r, const struct conf_arg *arg,
                                      struct str path);

static void include_pattern(struct reader *r, const struct conf_arg *arg,
                            struct stmt_list *list)
{
    struct str path = resolve_path(r, arg->text);
    glob_t found;

    if (arg->text.n == 0 || memchr(path.p, '\0', path.n) != NULL) {
        conf_error(r->p->d, arg->at, "include needs a path");
        return;
    }
    if (path.n == strcspn(path.p, "*?[")) {
        append(list, include_file(r, arg, path));
        return;
    }
    int rc = glob(path.p, 0, NULL, &found);
    if (rc == GLOB_NOMATCH) {
        return; /* an empty conf.d is fine */
    }
    if (rc != 0) {
        conf_error(r->p->d, arg->at, "cannot list the files of `%.*s`",
                   STR_ARG(conf_clip(arg->raw)));
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        append(list, include_file(r, arg, str_from(found.gl_pathv[i])));
    }
    globfree(&found);
}

static void parse_include(struct reader *r, const struct conf_stmt *s, struct stmt_list *list)
{
    if (s->bad) {
        return;
    }
    if (s->n_args == 0 || s->has_block) {
        conf_error(r->p->d, s->at, "include takes one or more paths and no block");
        return;
    }
    for (size_t i = 0; i < s->n_args; i++) {
        include_pattern(r, &s->args[i], list);
    }
}

/* ---- blocks and files ------------------------------------------------------------------- */

/* A { or a quoted word where a directive should be. */
static void refuse_token(struct reader *r)
{
    struct conf_diags *d = r->p->d;

    if (r->token.kind == TOKEN_OPEN) {
        conf_error(d, r->token.at, "a block without a directive");
        conf_hint(d, "the `{` stands on the same line as its directive");
        struct conf_stmt nobody = {.at = r->token.at, .word = STR("{")};
        parse_block(r, &nobody);
        return;
    }
    conf_error(d, r->token.at, "a directive is expected here, not `%.*s`",
               STR_ARG(conf_clip(r->token.raw)));
    struct conf_stmt nobody = {.at = r->token.at, .word = r->token.raw};
    parse_args(r, &nobody);
    if (r->token.kind == TOKEN_OPEN) {
        parse_block(r, &nobody);
    }
}

/* Statements up to the } of this block (which stays the next token) or the end of the file. */
static struct conf_stmt *parse_statements(struct reader *r)
{
    struct stmt_list list = {NULL, &list.first};

    while (r->token.kind != TOKEN_EOF) {
        if (r->token.kind == TOKEN_END) {
            advance(r);
        } else if (r->token.kind == TOKEN_CLOSE) {
            if (r->depth > 0) {
                break;
            }
            conf_error(r->p->d, r->token.at, "this `}` closes nothing");
            advance(r);
        } else if (r->token.kind == TOKEN_OPEN || r->token.quoted || r->token.name_len > 0) {
            refuse_token(r);
        } else {
            struct conf_stmt *s = parse_statement(r);

            if (str_eq(s->word, STR("include"))) {
                parse_include(r, s, &list);
            } else {
                append(&list, s);
            }
        }
    }
    return list.first;
}

static struct conf_stmt *parse_source(struct conf_parser *p, uint32_t source)
{
    struct reader r = {.p = p};

    conf_lexer_init(&r.lx, p->d, source);
    advance(&r);
    return parse_statements(&r);
}

/* Reads, registers and parses one file; messages about opening it go to `from` and call it
 * `shown`. */
static struct conf_stmt *parse_path(struct conf_parser *p, struct str path, struct str shown,
                                    struct conf_span from, bool any_kind)
{
    struct conf_file_id id;
    struct str text;

    if (p->n_open == CONF_MAX_INCLUDES || p->n_files >= CONF_MAX_FILES) {
        conf_error(p->d, from, "too many included files");
        return NULL;
    }
    const char *why = conf_file_read(path.p, CONF_MAX_FILE, any_kind, &p->d->arena, &text, &id);
    if (why != NULL) {
        conf_error(p->d, from, "cannot read %.*s: %s", STR_ARG(shown), why);
        return NULL;
    }
    for (size_t i = 0; i < p->n_open; i++) {
        if (p->open[i].dev == id.dev && p->open[i].ino == id.ino) {
            conf_error(p->d, from, "%.*s includes itself", STR_ARG(shown));
            return NULL;
        }
    }
    p->open[p->n_open++] = id;
    p->n_files++;
    struct str name = arena_dup(&p->d->arena, path);
    struct conf_stmt *list = parse_source(p, conf_diags_add_source(p->d, name, text));
    p->n_open--;
    return list;
}

static struct conf_stmt *include_file(struct reader *r, const struct conf_arg *arg,
                                      struct str path)
{
    bool expanded = memmem(arg->raw.p, arg->raw.n, "${", 2) != NULL;

    return parse_path(r->p, path, expanded ? STR("this file") : path, arg->at, false);
}

struct conf_stmt *conf_parse_file(struct conf_parser *p, struct str path)
{
    return parse_path(p, path, path, (struct conf_span){.source = UINT32_MAX}, true);
}

struct conf_stmt *conf_parse_text(struct conf_parser *p, struct str name, struct str text)
{
    struct str kept_name = arena_dup(&p->d->arena, name);
    struct str kept = arena_dup(&p->d->arena, text);

    if (text.n > CONF_MAX_FILE) {
        conf_error(p->d, (struct conf_span){.source = UINT32_MAX}, "the text is too large");
        return NULL;
    }
    return parse_source(p, conf_diags_add_source(p->d, kept_name, kept));
}
