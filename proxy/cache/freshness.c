/*
 * Age and lifetime as RFC 9111 4.2 computes them, in milliseconds. Every time that a peer can
 * name is clamped, so that sums never overflow.
 */
#include "cache/freshness.h"

#include "http/date.h"

#define SECOND 1000
#define DAY    (24 * 60 * 60 * (msec_t)SECOND)

#define DELTA_MAX 2147483648u /* delta-seconds saturate at 2^31 (1.2.2) */

static msec_t at_least_zero(msec_t t)
{
    return t > 0 ? t : 0;
}

/* No lifetime is longer than the largest delta-seconds. */
static msec_t at_most_delta(msec_t t)
{
    const msec_t most = (msec_t)DELTA_MAX * SECOND;
    return t < most ? t : most;
}

/*
 * The first member of the first Age line (5.1: a recipient uses the first value), as 1*DIGIT.
 * Anything else is ignored, as 5.1 wants of an invalid field.
 */
static msec_t age_value(const struct msg *response)
{
    struct str rest = msg_get(response, FIELD_AGE);
    struct str first;
    uint64_t seconds;
    if (!str_next(&rest, ',', &first) || first.n == 0) {
        return 0;
    }
    for (size_t i = 0; i < first.n; i++) {
        if (first.p[i] < '0' || first.p[i] > '9') {
            return 0;
        }
    }
    if (!str_to_u64(first, DELTA_MAX, &seconds)) {
        seconds = DELTA_MAX; /* too large to hold, not invalid */
    }
    return (msec_t)seconds * SECOND;
}

/* 4.2.3 */
static msec_t initial_age(const struct msg *response, msec_t date, msec_t request_time,
                          msec_t response_time)
{
    msec_t apparent_age = at_least_zero(response_time - date);
    msec_t response_delay = at_least_zero(response_time - request_time);
    msec_t corrected_age_value = age_value(response) + response_delay;
    return apparent_age > corrected_age_value ? apparent_age : corrected_age_value;
}

static void read_directives(const struct msg *response, struct arena *a, struct freshness *out,
                            bool *targeted)
{
    struct cachectl plain;
    cachectl_parse(response, a, &plain);
    /* A valid targeted field governs alone: Cache-Control and Expires are ignored (RFC 9213
     * 2.2). no-transform is about the message on its way, not about caching: either counts. */
    *targeted = cachectl_parse_targeted(response, a, &out->cc) != FIELD_OTHER;
    out->no_transform = plain.no_transform || (*targeted && out->cc.no_transform);
    if (!*targeted) {
        out->cc = plain;
    }
}

/* 4.2.1, first match: s-maxage, max-age, Expires. What is there but invalid means stale. */
static void read_lifetime(const struct msg *response, bool targeted, struct freshness *out)
{
    const struct cc_delta *delta =
        out->cc.s_maxage.present ? &out->cc.s_maxage : &out->cc.max_age;
    struct str expires = targeted ? STR_NULL : msg_get(response, FIELD_EXPIRES);
    out->has_lifetime = delta->present || expires.p != NULL;
    out->lifetime = 0;
    if (delta->present) {
        out->lifetime = delta->valid ? delta->seconds * SECOND : 0;
    } else if (expires.p != NULL) {
        msec_t when;
        bool valid = http_date_parse(expires, &when); /* "0" is in the past (5.3) */
        out->lifetime = valid ? at_most_delta(at_least_zero(when - out->date)) : 0;
    }
}

void freshness_read(const struct msg *response, msec_t request_time, msec_t response_time,
                    struct arena *a, struct freshness *out)
{
    bool targeted;
    *out = (struct freshness){.date = response_time};
    read_directives(response, a, out, &targeted);
    struct str date = msg_get(response, FIELD_DATE);
    out->has_date = date.p != NULL && http_date_parse(date, &out->date);
    if (!out->has_date) {
        out->date = response_time;
    }
    out->age = initial_age(response, out->date, request_time, response_time);
    read_lifetime(response, targeted, out);
}

bool freshness_heuristic_status(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501: return true;
    default: return false;
    }
}

msec_t freshness_heuristic(const struct msg *response, const struct freshness *f)
{
    struct str text = msg_get(response, FIELD_LAST_MODIFIED);
    msec_t modified;
    if (text.p == NULL || !http_date_parse(text, &modified) || modified > f->date) {
        return -1;
    }
    msec_t tenth = (f->date - modified) / 10;
    return tenth < DAY ? tenth : DAY;
}
