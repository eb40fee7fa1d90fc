/*
 * What a response says about its own freshness (RFC 9111 sections 4.2 and 5.2.2): directives,
 * age, lifetime. No settings here; cache/policy_store lays the route's over it. Private to
 * cache/policy*.c.
 */
#ifndef CACHE_FRESHNESS_H
#define CACHE_FRESHNESS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/clock.h"
#include "http/cachectl.h"
#include "http/msg.h"

struct freshness {
    struct cachectl cc; /* the directives that govern: a targeted field's or Cache-Control's */
    bool no_transform;  /* in the governing field or in Cache-Control */
    bool has_date;      /* the response has a valid Date */
    msec_t date;        /* that, or the time of receipt (RFC 9110 6.6.1) */
    msec_t age;         /* corrected initial age (4.2.3) */
    bool has_lifetime;  /* s-maxage, max-age or Expires is there */
    msec_t lifetime;    /* 0 also when what is there is invalid (4.2.1) */
};

/* Reads a response head; request_time and response_time are wall times of the exchange. */
void freshness_read(const struct msg *response, msec_t request_time, msec_t response_time,
                    struct arena *a, struct freshness *out);

/* Is this status heuristically cacheable (RFC 9110 15.1)? 206 is not, for a cache that never
 * stores it. */
bool freshness_heuristic_status(int status);

/* Lifetime by Last-Modified (4.2.2): a tenth of the time since, at most a day; -1 when the
 * response gives no ground for one. */
msec_t freshness_heuristic(const struct msg *response, const struct freshness *f);

#endif
