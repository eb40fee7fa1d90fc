/*
 * Members of an answer of the admin plane, and how numbers are shown to people. What is missing
 * or null reads as NAN or an empty text and is shown as "-".
 */
#ifndef CLI_MEMBER_H
#define CLI_MEMBER_H

#include <stdbool.h>

#include "base/str.h"

struct cJSON;

/* A member by its path: "tiers.l1.bytes"; an empty path is `json` itself. NULL when any part is
 * missing. */
const struct cJSON *member_find(const struct cJSON *json, const char *path);

/* NAN when it is no number. */
double member_number(const struct cJSON *json, const char *path);

/* Empty when it is no string; borrowed from the tree. */
struct str member_text(const struct cJSON *json, const char *path);

/* False when it is not true. */
bool member_true(const struct cJSON *json, const char *path);

/* First element of an array or object; NULL when it is neither or empty. */
const struct cJSON *member_first(const struct cJSON *json, const char *path);
const struct cJSON *member_next(const struct cJSON *item);

/* Of a member found so: its number (NAN: it is none) and its name (empty: of an array). */
double member_value(const struct cJSON *item);
struct str member_name(const struct cJSON *item);

/* All below append to *out. */
void show_count(struct strbuf *out, double n);       /* "12345" */
void show_bytes(struct strbuf *out, double n);       /* "12.5 MB" */
void show_percent(struct strbuf *out, double n);     /* "81.0 %" */
void show_ms(struct strbuf *out, double ms);         /* "0.12 ms", "1.2 s" */
void show_seconds(struct strbuf *out, double s);     /* "3h 12m" */
void show_text(struct strbuf *out, struct str text); /* made safe for a terminal */

#endif
