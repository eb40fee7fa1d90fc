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

/* Parses any of the three forms, letters in any case (RFC 9111 4.2), GMT only; false when
 * malformed. Result in ms since 1970, may be negative. The two-digit year of an RFC 850 date is
 * read by the wall clock. */
bool http_date_parse(struct str s, msec_t *wall);

/* The same with the present time given: pure. */
bool http_date_parse_at(struct str s, msec_t now, msec_t *wall);

#endif
