/*
 * HTTP dates (RFC 9110 section 5.6.7): IMF-fixdate out; IMF-fixdate, RFC 850 and asctime in.
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/str.h"

#define HTTP_DATE_LEN 29

/* Writes "Sun, 06 Nov 1994 08:49:37 GMT", exactly HTTP_DATE_LEN bytes, no NUL. Times outside
 * the years 1970-9999 are clamped. */
void http_date_format(msec_t wall, char out[HTTP_DATE_LEN]);

/* Parses any of the three forms; false when malformed. Result in ms since 1970, may be
 * negative. */
bool http_date_parse(struct str s, msec_t *wall);

#endif
