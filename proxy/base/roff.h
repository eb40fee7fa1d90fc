/*
 * Writes manual pages (man(7)): running text is escaped and wrapped, so that no word of it can
 * be taken for a macro. Knows nothing of what the pages say.
 */
#ifndef BASE_ROFF_H
#define BASE_ROFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define MANUAL_DATE "2026-11-21" /* of the pages' words; changes with a release */

/* A page under way; out is set by the caller, all else is zero. */
struct roff {
    FILE *out;
    size_t column; /* of the line being written */
    bool code;     /* within `x` */
};

/* A line of its own: a macro with arguments that the caller wrote as roff. */
void roff_macro(struct roff *r, const char *line);

/* Running text, continued from what was written before: `x` is bold, an empty line (\n\n)
 * begins a paragraph, other whitespace is a blank. */
void roff_text(struct roff *r, const char *text);

/* Words in bold (type it so) or italics (put something in its place); no blank before them. */
void roff_bold(struct roff *r, const char *text);
void roff_italic(struct roff *r, const char *text);

/* Ends the line that was begun; nothing when there is none. */
void roff_break(struct roff *r);

#endif
