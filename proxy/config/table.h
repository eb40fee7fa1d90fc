/*
 * The rows of tbl/directives.def as data: what each directive is called, where it may stand,
 * what it takes and what it says in the manual. The parser, the checks, the example file and
 * the reference all read this one table.
 */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Where a directive may stand. */
enum conf_context {
    IN_TOP = 1 << 0,
    IN_HOST = 1 << 1,
    IN_DEFAULTS = 1 << 2,
    IN_TYPE = 1 << 3,
    IN_ROUTE = 1 << 4,
    IN_SITE = IN_TOP | IN_HOST,
    IN_POLICY = IN_DEFAULTS | IN_TYPE | IN_ROUTE,
    IN_ANY = IN_SITE | IN_POLICY,
};

/* What the one argument of a plain directive, or the value of an option, is. */
enum conf_kind {
    KIND_CUSTOM,         /* its setter reads the arguments */
    KIND_DURATION,       /* msec_t */
    KIND_DURATION_OFF,   /* msec_t; off is -1 */
    KIND_SIZE,           /* 8-byte integer */
    KIND_SIZE_OFF,       /* int64_t; off is -1 */
    KIND_SIZE_UNLIMITED, /* int64_t; off is SETTINGS_UNLIMITED */
    KIND_COUNT,          /* unsigned or size_t */
    KIND_PERCENT,        /* unsigned; written 10% */
    KIND_FLAG,           /* bool; on or off */
    KIND_TEXT,           /* struct str; not empty */
};

enum conf_flag {
    CONF_LIST = 1 << 0,        /* may be repeated in one block; the arguments add up */
    CONF_BLOCK = 1 << 1,       /* takes a block */
    CONF_BLOCK_MAY = 1 << 2,   /* may take a block */
    CONF_MERGE = 1 << 3,       /* options of an outer level stay where the inner says nothing */
    CONF_RESTART = 1 << 4,     /* a reload does not change it */
    CONF_LATER = 1 << 5,       /* known, but not available in this version */
    CONF_ANY_OPTIONS = 1 << 6, /* its setter checks the names of options */
};

#define CONF_ANY_ARGS 0xFFFF

/* One directive. */
struct conf_directive {
    const char *name;  /* as written; two words ("store if"): a form of the first one's */
    const char *form;  /* arguments for the manual */
    unsigned contexts; /* mask of enum conf_context */
    unsigned min_args; /* positional arguments */
    unsigned max_args;
    enum conf_kind kind;
    size_t offset; /* of the field in struct settings or route_settings; kinds but CUSTOM */
    size_t size;   /* of that field; 0: none */
    const char *initial; /* default as it would be written; "": none */
    int64_t min;         /* of numbers, durations (ms) and sizes (bytes) */
    int64_t max;
    unsigned flags;      /* mask of enum conf_flag */
    const char *example; /* lines of proxy.conf.example; starts with #: commented out */
    const char *brief;   /* one line */
    const char *text;    /* the paragraph of the manual */
};

/* One name=value of a directive. */
struct conf_option {
    unsigned directive; /* enum conf_directive_id */
    const char *name;
    const char *form; /* its values for the manual */
    enum conf_kind kind;
    size_t offset; /* of the field in the structure that the directive fills */
    size_t size;   /* 0: its setter reads it */
    const char *initial;
    int64_t min;
    int64_t max;
    unsigned flags;
    const char *text; /* one line of the manual */
};

#define DIRECTIVE(id, ...) DIR_##id,
#define OPTION(...)
enum conf_directive_id {
#include "tbl/directives.def"
    DIRECTIVE_COUNT
};
#undef DIRECTIVE
#undef OPTION

extern const struct conf_directive conf_directives[DIRECTIVE_COUNT];
extern const struct conf_option conf_options[];
extern const size_t conf_n_options;

/* The row of a word in one context, NULL when there is none. */
const struct conf_directive *conf_directive_find(struct str word, unsigned context);

/* The row of a directive's form whose second word this is ("store if"), NULL when there is none
 * in this version. */
const struct conf_directive *conf_directive_form(const struct conf_directive *d,
                                                 struct str second);

/* The row of one option, NULL when the directive has none of this name. */
const struct conf_option *conf_option_find(enum conf_directive_id id, struct str name);

/* Does the directive take name=value? Elsewhere a=b is an ordinary argument. */
bool conf_takes_options(enum conf_directive_id id);

static inline enum conf_directive_id conf_directive_id(const struct conf_directive *d)
{
    return (enum conf_directive_id)(d - conf_directives);
}

#endif
