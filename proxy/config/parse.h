/*
 * proxy.conf to a tree of statements, with `include` resolved and ${NAME} replaced. Knows the
 * grammar and nothing of directives. Called by config.c.
 */
#ifndef CONFIG_PARSE_H
#define CONFIG_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/diag.h"
#include "config/file.h"

struct conf_directive;

/* One argument of a statement. */
struct conf_arg {
    struct conf_span at;
    struct str raw;   /* as in the file: what messages quote */
    struct str text;  /* without quotes, ${NAME} replaced; NUL-terminated, in the kept arena */
    struct str name;  /* of name=value; empty: positional */
    struct str value; /* of name=value; the whole text otherwise */
    bool quoted;      /* "…" */
};

/* word arg… [{ … }] */
struct conf_stmt {
    struct conf_span at; /* the word */
    struct str word;
    struct conf_arg *args; /* all; after conf_block_check() the positional ones */
    size_t n_args;
    struct conf_arg *opts; /* the name=value ones, after conf_block_check() */
    size_t n_opts;
    bool has_block;
    struct conf_stmt *block;         /* first statement inside, when has_block */
    struct conf_stmt *next;          /* in the same block */
    struct conf_stmt *same;          /* next of the same directive in its block */
    const struct conf_directive *is; /* set by conf_block_check(); NULL: unknown */
    bool bad;                        /* a message was given: not to be applied */
};

#define CONF_MAX_INCLUDES 16   /* files inside files */
#define CONF_MAX_FILES    1000 /* files in all */
#define CONF_MAX_BLOCKS   16   /* blocks inside blocks */

/* Parsing of one configuration. */
struct conf_parser {
    struct conf_diags *d;
    struct arena *scratch; /* statements; freed after loading */
    struct arena *keep;    /* texts that the settings refer to */
    struct conf_file_id open[CONF_MAX_INCLUDES];
    size_t n_open;  /* files being read, outermost first */
    size_t n_files; /* files read so far */
};

/* The statements of a file or of a text; NULL when there are none. Reports everything wrong
 * and returns what was right. */
struct conf_stmt *conf_parse_file(struct conf_parser *p, struct str path);
struct conf_stmt *conf_parse_text(struct conf_parser *p, struct str name, struct str text);

#endif
