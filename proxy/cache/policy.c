/*
 * May a stored response be used (RFC 9111 section 4), and does a write invalidate (4.4). The
 * decision to store is policy_store.c's.
 */
#include "cache/policy.h"

#include "http/range.h"

#define SECOND 1000

static bool has_body(const struct msg *request)
{
    return request->framing == FRAMING_CHUNKED || request->framing == FRAMING_CLOSE ||
           (request->framing == FRAMING_LENGTH && request->content_length > 0);
}

/* Section 4, "the request method associated with the stored response allows it": GET's entry
 * serves GET and HEAD; with method_body also the methods whose body is part of the key. */
static bool method_allows(const struct route_settings *route, const struct msg *request)
{
    if (request->method == METHOD_GET || request->method == METHOD_HEAD) {
        return true;
    }
    return route->method_body &&
           (request->method == METHOD_POST || str_eq(request->method_name, STR("QUERY")));
}

static void refuse(struct lookup_verdict *out, enum reason reason)
{
    out->lookup = false;
    out->store = false;
    out->reason = reason;
}

/* Section 5.2.1, on routes that honour it. */
static void apply_directives(struct lookup_verdict *out)
{
    const struct cachectl *cc = &out->cc;
    /* 5.2.1.4; max-age=0 (5.2.1.1) asks for the same, an invalid max-age for nothing */
    if (cc->no_cache || (cc->max_age.valid && cc->max_age.seconds == 0)) {
        out->revalidate = true;
        out->reason = REASON_CLIENT_NO_CACHE;
    }
    /* 5.2.1.5: forbids to store, not to use what is there */
    if (cc->no_store) {
        out->store = false;
        out->reason = REASON_CLIENT_NO_STORE;
    }
    out->only_if_cached = cc->only_if_cached; /* 5.2.1.7 */
}

void policy_lookup(const struct route_settings *route, const struct msg *request,
                   struct arena *a, struct lookup_verdict *out)
{
    *out = (struct lookup_verdict){.lookup = true, .store = true, .reason = REASON_NONE};
    if (!route->cached) {
        refuse(out, REASON_NOT_CACHED);
        return;
    }
    if (!method_allows(route, request)) {
        refuse(out, REASON_METHOD);
        return;
    }
    bool body_is_keyed = request->method != METHOD_GET && request->method != METHOD_HEAD;
    if (has_body(request) && !body_is_keyed) {
        refuse(out, REASON_BODY); /* an origin may read it, and no key holds it (K9) */
        return;
    }
    /* RFC 9110 14.2: Range is for GET. Some APIs page by units of their own: the origin's. */
    if (request->has_range && request->method == METHOD_GET &&
        !range_is_bytes(msg_get(request, FIELD_RANGE))) {
        refuse(out, REASON_RANGE);
        return;
    }
    if (route->honor_client_cc) {
        cachectl_parse(request, a, &out->cc);
        apply_directives(out);
    }
}

/* The route's windows hold for entries that may be served stale at all (4.2.4). */
static enum reuse reuse_stale(const struct entry *e, const struct lookup_verdict *lv,
                              msec_t staleness)
{
    if ((e->flags & ENTRY_MUST_REVALIDATE) != 0) {
        return REUSE_VALIDATE_STRICT; /* 5.2.2.2, 5.2.2.8, 5.2.2.10 */
    }
    if (staleness < entry_stale(e)) {
        return REUSE_STALE; /* RFC 5861 section 3 */
    }
    const struct cc_delta *max_stale = &lv->cc.max_stale;
    if (lv->cc.any_stale || (max_stale->valid && staleness <= max_stale->seconds * SECOND)) {
        return REUSE_STALE; /* 5.2.1.2: the client takes it */
    }
    if (staleness < entry_stale_if_error(e)) {
        return REUSE_VALIDATE; /* RFC 5861 section 4 */
    }
    return REUSE_NONE;
}

/* Does the client want something fresher than what it would get (5.2.1.1, 5.2.1.3, 5.2.1.4)? */
static bool client_declines(const struct entry *e, const struct lookup_verdict *lv, msec_t age)
{
    const struct cachectl *cc = &lv->cc;
    bool immutable = (e->flags & ENTRY_IMMUTABLE) != 0 && age < entry_lifetime(e);
    if (lv->revalidate && (!immutable || cc->no_cache || !cc->max_age.present)) {
        return true; /* a reload (max-age=0) of what cannot change changes nothing (RFC 8246) */
    }
    if (cc->max_age.valid && cc->max_age.seconds > 0 && age > cc->max_age.seconds * SECOND) {
        return true;
    }
    return cc->min_fresh.valid && entry_lifetime(e) - age < cc->min_fresh.seconds * SECOND;
}

enum reuse policy_reuse(const struct entry *e, const struct lookup_verdict *lv, bool soft,
                        msec_t now)
{
    if ((e->flags & (ENTRY_VARY_MARKER | ENTRY_HIT_FOR_MISS)) != 0) {
        return REUSE_NONE; /* no response */
    }
    if ((e->flags & ENTRY_NO_CACHE) != 0) {
        return REUSE_VALIDATE_STRICT; /* 5.2.2.4 */
    }
    msec_t age = entry_age(e, now);
    bool fresh = age < entry_lifetime(e); /* 4.2 */
    enum reuse r = REUSE_FRESH;
    if (!fresh || soft) {
        r = reuse_stale(e, lv, fresh ? 0 : age - entry_lifetime(e));
    }
    bool at_once = r == REUSE_FRESH || r == REUSE_STALE;
    return at_once && client_declines(e, lv, age) ? REUSE_VALIDATE : r;
}

bool policy_invalidates(int status)
{
    return status >= 200 && status < 400; /* 4.4: a non-error response */
}
