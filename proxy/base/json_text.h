/*
 * Texts for JSON that is written with cJSON, which takes NUL-terminated strings and copies what
 * is not UTF-8 as it is. Here control bytes and what is not UTF-8 become %XX, so that the
 * result is JSON whatever a peer sent; all else stays byte for byte. Any thread.
 */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include "base/str.h"

struct cJSON;

/* The member `name` with this text; null for STR_NULL (p == NULL). */
void json_add_text(struct cJSON *object, const char *name, struct str text);

/* The same as the next element of an array. */
void json_push_text(struct cJSON *array, struct str text);

/* Appends the text in that form. */
void json_clean_text(struct str text, struct strbuf *out);

#endif
