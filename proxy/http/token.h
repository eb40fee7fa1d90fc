/*
 * Tokens (RFC 9110 section 5.6.2): the alphabet of methods, field names and directives.
 */
#ifndef HTTP_TOKEN_H
#define HTTP_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Is c a tchar? */
bool token_char(char c);

/* Is s 1*tchar? */
bool token_valid(struct str s);

/* Length of the longest token at the start of s; 0 when there is none. */
size_t token_span(struct str s);

#endif
