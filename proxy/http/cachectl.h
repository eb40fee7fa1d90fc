/*
 * Cache-Control (RFC 9111 section 5.2), targeted fields (RFC 9213), Pragma and Age as data.
 * Pure functions: no clock, no settings.
 */
#ifndef HTTP_CACHECTL_H
#define HTTP_CACHECTL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/msg.h"

/* Larger delta-seconds are taken as this, so that sums of a few cannot overflow (1.2.2). */
#define CC_DELTA_MAX INT64_C(2147483648)

/* A delta-seconds directive. */
struct cc_delta {
    bool present;    /* the directive is there */
    bool valid;      /* its argument is 1*DIGIT (quoted or not); saturates at 2^31 */
    int64_t seconds; /* 0 when invalid */
};

/*
 * Directives of a request or a response. Unknown ones are ignored (5.2.3). Of a repeated one
 * the most restrictive value counts (4.2.1): the least max-age, the greatest min-fresh, an
 * invalid one over any other. What restricts is honoured however its argument is written
 * (no-store=1, private="), what permits only if it is well-formed.
 */
struct cachectl {
    struct cc_delta max_age;
    struct cc_delta s_maxage;
    struct cc_delta min_fresh;              /* a valid one counts over an invalid one */
    struct cc_delta max_stale;              /* request; without argument CC_DELTA_MAX */
    bool any_stale;                         /* max-stale without argument, nowhere with one */
    struct cc_delta stale_while_revalidate; /* RFC 5861 */
    struct cc_delta stale_if_error;         /* RFC 5861 */
    bool no_cache;                          /* without field names */
    struct str no_cache_fields; /* response, no-cache="a, b": the list, else STR_NULL */
    bool no_store;
    bool no_transform;
    bool only_if_cached;
    bool must_revalidate;
    bool proxy_revalidate;
    bool must_understand;
    bool is_private;           /* without field names */
    struct str private_fields; /* private="a, b"; STR_NULL when is_private */
    bool is_public;
    bool immutable; /* RFC 8246 */
    bool any;       /* at least one Cache-Control field line is there */
};

/* Parses all Cache-Control lines of m. Pragma: no-cache counts on a request without
 * Cache-Control (RFC 9111 5.4); a message without a status is a request. */
void cachectl_parse(const struct msg *m, struct arena *a, struct cachectl *out);

/* The targeted field that governs a response for this cache: Larder-Cache-Control, else
 * CDN-Cache-Control, if it is a valid, non-empty structured-field dictionary (RFC
 * 9213 2.1-2.2); returns its id and fills *out, else FIELD_OTHER (then Cache-Control governs).
 * Values of another type than the directive's are not coerced: a delta is invalid then.
 */
enum field_id cachectl_parse_targeted(const struct msg *m, struct arena *a,
                                      struct cachectl *out);

#endif
