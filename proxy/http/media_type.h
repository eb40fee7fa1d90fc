/*
 * Content-Type values (RFC 9110 section 8.3.1): the type without its parameters, one parameter,
 * and a canonical form for keys. Pure functions.
 */
#ifndef HTTP_MEDIA_TYPE_H
#define HTTP_MEDIA_TYPE_H

#include <stdbool.h>

#include "base/str.h"

/* "type/subtype" as sent, without parameters and OWS; a slice of the value. */
struct str media_type_essence(struct str content_type);

/* Is it application/json or anything ending in +json? */
bool media_type_is_json(struct str essence);

/* The first parameter of this name (any case), quotes removed but escapes kept; STR_NULL when
 * there is none. */
struct str media_type_param(struct str content_type, struct str name);

/* Appends one spelling of what means the same: type and names of parameters in lower case, no
 * blanks, empty parameters dropped, and so charset=utf-8 for JSON, which has no other (RFC 8259
 * section 8.1). Values and the order of parameters stay. */
void media_type_canonical(struct str content_type, struct strbuf *out);

#endif
