/*
 * Globs over names as Redis's stringmatchlen() has them: `*` any bytes, `?` any one byte,
 * `[a-z]` and `[^a-z]` classes, `\x` the byte x. Pure functions; no recursion, and the worst
 * pattern costs what its length times the name's length in machine words does.
 */
#ifndef CACHE_GLOB_H
#define CACHE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Beyond this length the worst case is pattern * name bytes; the journal keeps none of these.
 */
#define GLOB_MAX 512

/* Does the whole name match? Redis's oddities are kept (an unclosed class is closed by the
 * pattern's end, reversed ranges are turned round) but for one: `*` matches the empty name. */
bool glob_match(struct str pattern, struct str name);

/* The parts of a pattern. */
struct glob_parts {
    bool exact;      /* no wildcard in it: it stands for one name */
    struct str head; /* literal bytes before the first special byte */
    struct str tail; /* literal bytes after the last wildcard, class or escape */
    bool simple;     /* nothing but `*` between head and tail */
};
void glob_parse(struct str pattern, struct glob_parts *out);

/* The name that an exact pattern stands for, appended to out. */
void glob_unescape(struct str pattern, struct strbuf *out);

#endif
