/*
 * Messages about a configuration: collected while it is read, printed once, in order of file
 * and line, each with its source line and a caret. Owns the texts of the files, because a
 * message shows the file's own line: what `${VAR}` stands for is never printed.
 */
#ifndef CONFIG_DIAG_H
#define CONFIG_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/suggest.h"

struct config_report;

/* A place in a file. */
struct conf_span {
    uint32_t source; /* index of the file in conf_diags */
    uint32_t offset; /* bytes from its start */
    uint32_t len;    /* bytes marked by the caret */
    uint32_t line;   /* from 1; 0: the file as a whole */
};

/* A file that was read. */
struct conf_source {
    struct str name; /* as shown in messages */
    struct str text; /* its bytes */
};

/* One message. */
struct conf_diag {
    struct conf_span at;
    bool error;       /* refuses the file; otherwise a warning */
    size_t order;     /* position of arrival, keeps equal places in order */
    struct str text;  /* one line */
    struct str hints; /* further lines, each ending in \n; may be empty */
};

struct conf_diags {
    struct arena arena;          /* owns names, texts and messages */
    struct conf_source *sources; /* heap */
    size_t n_sources;
    size_t cap_sources;
    struct conf_diag *list; /* heap */
    size_t n;
    size_t cap;
    size_t dropped; /* messages beyond CONF_MAX_DIAGS */
    bool failed;    /* an error was reported */
};

/* More messages than this are counted but not kept. */
#define CONF_MAX_DIAGS 20000
/* More than this are not printed: nobody reads them, and the file is not a configuration. */
#define CONF_MAX_PRINTED 500

void conf_diags_init(struct conf_diags *d);
void conf_diags_fini(struct conf_diags *d);

/* Registers a file; the texts must live in d->arena. Returns its index. */
uint32_t conf_diags_add_source(struct conf_diags *d, struct str name, struct str text);

/* Reports one error or warning. Never quote an expanded value in fmt: quote what the file says
 * (conf_arg.raw). */
void conf_error(struct conf_diags *d, struct conf_span at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warn(struct conf_diags *d, struct conf_span at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a line below the message reported last. */
void conf_hint(struct conf_diags *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds "did you mean" to the message reported last, when something is near enough. */
void conf_hint_nearest(struct conf_diags *d, const struct suggest *s);

/* Sorts, drops repetitions (an inherited value is checked once for each route) and prints into
 * report->text; sets the counts. */
void conf_diags_render(struct conf_diags *d, struct config_report *report);

/* At most 60 bytes of a text, for quoting in a message. */
static inline struct str conf_clip(struct str s)
{
    return s.n > 60 ? (struct str){s.p, 60} : s;
}

#endif
