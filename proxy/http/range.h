/*
 * Byte ranges (RFC 9110 section 14). Pure functions.
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define RANGE_MAX 8 /* more ranges than this in one request: the whole representation */

struct byte_range {
    uint64_t first; /* inclusive */
    uint64_t last;  /* inclusive */
};

enum range_verdict {
    RANGE_IGNORE,        /* malformed, another unit, or too many: send 200 */
    RANGE_SATISFIABLE,   /* out[0..*n) */
    RANGE_UNSATISFIABLE, /* 416 */
};

/* Does a Range value ask for bytes? Other units are the origin's business (RFC 9110 14.2). */
bool range_is_bytes(struct str value);

/* Parses a Range value against a representation of `length` bytes. Overlapping and adjacent
 * ranges are coalesced, otherwise the client's order is kept; a set whose sum exceeds the
 * representation is ignored. *n is 0 unless satisfiable. The caller has looked at the method
 * (GET), If-Range and the number of Range lines. */
enum range_verdict range_parse(struct str value, uint64_t length,
                               struct byte_range out[RANGE_MAX], size_t *n);

#endif
