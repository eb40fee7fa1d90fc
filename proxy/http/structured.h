/*
 * The part of Structured Fields (RFC 8941, RFC 9651) that Larder reads and writes: Dictionaries
 * for targeted cache control (RFC 9213), Lists of Strings for cache groups (RFC 9875), Strings
 * for Cache-Status (RFC 9211). Strict: any syntax error makes the whole field invalid.
 * Parameters are checked and dropped; Display Strings (RFC 9651 3.3.8) are not known. Several
 * lines of a field are joined by the caller (msg_joined). Pure functions.
 */
#ifndef HTTP_STRUCTURED_H
#define HTTP_STRUCTURED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

#define SF_MAX_MEMBERS 1024 /* of a Dictionary or List; more make it invalid */

enum sf_type {
    SF_INTEGER,
    SF_DECIMAL,
    SF_STRING,
    SF_TOKEN,
    SF_BYTES,
    SF_BOOLEAN,
    SF_DATE,
    SF_INNER_LIST,
};

/* An Item or Inner List, without its parameters. */
struct sf_value {
    enum sf_type type;
    int64_t number;  /* SF_INTEGER, SF_DATE (seconds since 1970); SF_DECIMAL in thousandths;
                        SF_BOOLEAN 0 or 1 */
    struct str text; /* SF_STRING unescaped; SF_TOKEN; SF_BYTES still in base64 */
    const struct sf_value *items; /* SF_INNER_LIST: n_items of them, none an SF_INNER_LIST */
    size_t n_items;
};

struct sf_member {
    struct str key; /* unique */
    struct sf_value value;
};

/* Parses a Dictionary (4.2.2). -1 when invalid, else the number of members with *out in the
 * arena; 0 for an empty field. Of a repeated key the last value counts. */
int sf_dictionary_parse(struct str value, struct arena *a, struct sf_member **out);

/* Parses a List whose members are all Strings (4.2.1). -1 when invalid or when a member is
 * anything else, else the number of strings with *out in the arena. */
int sf_string_list_parse(struct str value, struct arena *a, struct str **out);

/* Appends s as a String (4.1.6). Bytes that a String cannot hold become '?'. */
void sf_string_write(struct strbuf *out, struct str s);

#endif
