/*
 * Writing canonical names (design section 4): a text that grows in an arena, and the one
 * encoding of values. Private to cache/key*.c.
 *
 *   value     bytes outside [A-Za-z0-9._-] as %XX, upper case; an empty value is the mark ~e
 *   recoded   the same for text that is percent-encoded already (parts of a target)
 *
 * "~" is always encoded, so no value can look like a mark.
 */
#ifndef CACHE_KEY_TEXT_H
#define CACHE_KEY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

#define KEY_EMPTY  STR("~e") /* a value of no bytes */
#define KEY_ABSENT STR("~a") /* no value at all */
#define KEY_BARE   STR("~b") /* a query parameter without "=" */

struct key_text {
    struct arena *arena;
    char *p;
    size_t n;
    size_t cap;
};

/* An empty text with room for `room` bytes; it grows when that is not enough. */
void key_text_init(struct key_text *t, struct arena *a, size_t room);

/* Text as it stands. */
void key_text_add(struct key_text *t, struct str s);

/* Raw bytes as a value. */
void key_text_add_value(struct key_text *t, struct str raw);

/*
 * Percent-encoded text of a target, decoded and encoded again; nothing for empty text. With
 * keep_plus a "+" stays one: in a query it means a space to most backends and is not "%2B".
 */
void key_text_add_recoded(struct key_text *t, struct str encoded, bool keep_plus);

/* A path segment or other percent-encoded value; ~e when empty. */
void key_text_add_recoded_value(struct key_text *t, struct str encoded);

/* A canonical path: "/" stands, each segment is recoded. */
void key_text_add_path(struct key_text *t, struct str path);

/*
 * {query.NAME}: the values of one parameter in their order, recoded and joined with "&"; a
 * parameter without "=" is ~b, an empty value ~e. False when the query does not hold it. `name`
 * is compared with the decoded names.
 */
bool key_query_value(struct str query, struct str name, struct arena *a, struct str *value);

static inline struct str key_text_str(const struct key_text *t)
{
    return str_make(t->p, t->n);
}

#endif
