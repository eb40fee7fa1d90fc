/*
 * RFC 9111 as pure functions with a named verdict: may a request be looked up, may an answer be
 * stored and for how long, may an entry be reused. No clock, no I/O: the caller passes time.
 */
#ifndef CACHE_POLICY_H
#define CACHE_POLICY_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cache/entry.h"
#include "cache/reason.h"
#include "http/cachectl.h"
#include "http/msg.h"
#include "http/vary.h"
#include "settings.h"

/* Whether a request may be answered from the cache, and stored. */
struct lookup_verdict {
    bool lookup; /* a stored answer may be used */
    bool store;  /* the answer may be stored */
    bool
        revalidate; /* a stored answer must be validated first (no-cache, max-age=0 honoured) */
    bool only_if_cached; /* 504 on a miss (RFC 9111 5.2.1.7, honoured) */
    enum reason reason;  /* why not, when lookup or store is false */
    struct cachectl cc;  /* the request's directives; all empty when the route ignores them */
};

/* Judges a request on a cached route by its method, body, Range and Cache-Control. Identities
 * and the query are judged elsewhere. */
void policy_lookup(const struct route_settings *route, const struct msg *request,
                   struct arena *a, struct lookup_verdict *out);

/* What the name of an entry holds of the caller (bits). */
enum keyed {
    KEYED_IDENTITY = 1 << 0,      /* some identity */
    KEYED_AUTHORIZATION = 1 << 1, /* one that came from Authorization, or that field itself */
    KEYED_COOKIE = 1 << 2,        /* one that came from a cookie, or a cookie */
};

/* The bits of enum keyed for a route; a constant of the route. */
unsigned policy_keyed(const struct settings *settings, const struct route_settings *route);

/* Whether and how an answer is stored. */
struct store_verdict {
    bool store;
    enum reason reason; /* why not */
    unsigned flags;     /* enum entry_flag */
    msec_t age;         /* corrected initial age (4.2.3) */
    msec_t lifetime;    /* freshness lifetime, without jitter; the route's own ttl counts from
                           the receipt, so it includes `age` then */
    msec_t stale;       /* windows after expiry */
    msec_t stale_if_error;
    struct vary_spec vary;  /* Vary of the answer, names in the arena; without those that the
                               key answers for (Cookie, Authorization) */
    struct str omit_fields; /* comma-separated names that must not enter the entry
                               (no-cache="…", private="…"; 5.2.2.4, 5.2.2.7); STR_NULL: none */
    bool no_transform;      /* the body may not be recoded (RFC 9110 7.7) */
};

/*
 * Judges a complete response head for storage (RFC 9111 section 3). request is what was sent to
 * the origin: whether it holds Authorization decides by 3.5. request_time and response_time are
 * wall times of the fetch (4.2.3). keyed: policy_keyed() of the route. After a 304 the caller
 * passes the freshened head of the stored response (4.3.4).
 *
 * A POST on a route without method_body is storable for GET only with explicit freshness and a
 * Content-Location equal to its target (RFC 9110 9.3.3); the caller compares the two.
 */
void policy_store(const struct route_settings *route, const struct msg *request,
                  const struct msg *response, msec_t request_time, msec_t response_time,
                  unsigned keyed, struct arena *a, struct store_verdict *out);

enum reuse {
    REUSE_FRESH,           /* send it */
    REUSE_STALE,           /* send it, refresh in the background */
    REUSE_VALIDATE,        /* ask the origin first; it may serve if the origin fails */
    REUSE_VALIDATE_STRICT, /* ask the origin first; never serve it unvalidated */
    REUSE_NONE,            /* of no use but as a validator */
};

/* May this valid entry answer this request at `now` (wall; RFC 9111 section 4)? Takes the
 * request's directives when honoured (max-age, max-stale, min-fresh), the entry's flags and
 * windows. `soft`: the journal made it stale; then its windows count as begun just now, unless
 * it had expired before. */
enum reuse policy_reuse(const struct entry *e, const struct lookup_verdict *lv, bool soft,
                        msec_t now);

/* Did an answer to an unsafe request succeed, so that it invalidates (2xx, 3xx; RFC 9111 4.4)?
 */
bool policy_invalidates(int status);

#endif
