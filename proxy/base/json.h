/*
 * Guard in front of cJSON for JSON that a peer sent (RFC 8259; hardening section 2). cJSON
 * alone keeps duplicate members, cuts strings at \u0000, takes control bytes for whitespace and
 * nests a thousand levels deep. Here a text is checked against the strict grammar and its
 * limits before cJSON builds the tree, and each object's members are checked afterwards.
 *
 * The tree is plain cJSON: read it with json_get() and cJSON's type tests, free it with
 * json_free(). cJSON's Utils and Compare functions must never see such a tree. Any thread.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct cJSON;

#define JSON_MAX_DEPTH 64 /* upper bound of max_depth */

/*
 * Parses one JSON text. Refused (NULL, a constant text in *why, which may be NULL): more than
 * max_bytes; objects and arrays nested deeper than max_depth (a scalar has depth 0, "{}" 1);
 * anything that is not exactly one value by RFC 8259; invalid UTF-8; U+0000 in any spelling; an
 * object with two members of the same name once escapes are resolved. The result is owned by
 * the caller.
 */
struct cJSON *json_parse(struct str text, size_t max_bytes, unsigned max_depth,
                         const char **why) __attribute__((warn_unused_result));

/* Frees a tree; NULL is allowed. */
void json_free(struct cJSON *tree);

/* The member `name` (compared with its case); NULL when `object` is NULL or no object, or has
 * no such member. Borrowed from the tree. */
const struct cJSON *json_get(const struct cJSON *object, struct str name);

/* The bytes of a string, borrowed from the tree (no NUL inside); STR_NULL when `item` is NULL
 * or not a string. An empty string has p != NULL. */
struct str json_string(const struct cJSON *item);

#endif
