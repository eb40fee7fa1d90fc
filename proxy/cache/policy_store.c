/*
 * May a response be stored, and for how long (RFC 9111 section 3). The checks stand in one
 * table, in the order in which their reasons are the most telling; each says where the rule
 * comes from. Nothing here looks at the target: what is cached follows from the route and the
 * answer's own head, never from a file extension (hardening K6).
 *
 * Over the origin's word (cache/freshness) the route's ttl mode is laid:
 *
 *   ttl D         D where the origin gives no s-maxage, max-age, Expires or no-cache
 *   ttl D force   D; the origin's freshness, no-cache and must-revalidate do not count
 *   ttl origin    the origin's; heuristics (4.2.2) where `heuristic on`
 *
 * no-store is honoured in each of them (but for must-understand, 5.2.2.3), and so is private
 * unless the key holds an identity and the route says `store private`. Field-name forms are
 * honoured by leaving the fields out.
 */
#include "cache/policy.h"

#include "cache/freshness.h"

#define OWN_TTL_AGE_MAX (365 * 24 * 3600 * (msec_t)1000)

/* What every check reads. */
struct judged {
    const struct route_settings *route;
    const struct msg *request;
    const struct msg *response;
    unsigned keyed;          /* enum keyed */
    struct freshness f;      /* what the origin says */
    bool force;              /* ttl D force */
    msec_t status_ttl;       /* ttl for this status from the route; -1: none */
    struct store_verdict *v; /* filled on the way */
    struct arena *a;
};

/* ---- keyed ------------------------------------------------------------------------------- */

unsigned policy_keyed(const struct settings *settings, const struct route_settings *route)
{
    unsigned keyed = 0;
    for (size_t i = 0; i < settings->n_identities; i++) {
        const struct identity_settings *id = &settings->identities[i];
        if ((route->scope_mask >> i & 1) == 0) {
            continue;
        }
        keyed |= KEYED_IDENTITY;
        if (id->source == IDENTITY_JWT) {
            bool cookie = id->jwt != NULL && id->jwt->from_cookie.n > 0;
            keyed |= cookie ? KEYED_COOKIE : KEYED_AUTHORIZATION;
        } else if (id->source == IDENTITY_CREDENTIAL) {
            keyed |= id->cookie.n > 0 ? KEYED_COOKIE : KEYED_AUTHORIZATION;
        }
    }
    for (size_t i = 0; i < route->key.n; i++) {
        const struct key_part *part = &route->key.parts[i];
        if (part->kind == KEY_HEADER && str_ieq(part->text, STR("authorization"))) {
            keyed |= KEYED_AUTHORIZATION;
        } else if (part->kind == KEY_COOKIE ||
                   (part->kind == KEY_HEADER && str_ieq(part->text, STR("cookie")))) {
            keyed |= KEYED_COOKIE;
        }
    }
    return keyed;
}

/* ---- may it be stored -------------------------------------------------------------------- */

/* Section 3: "the request method is understood by the cache". */
static enum reason check_method(struct judged *j)
{
    const struct msg *request = j->request;
    if (!j->route->cached) {
        return REASON_NOT_CACHED;
    }
    if (request->method == METHOD_GET) {
        return REASON_NONE;
    }
    if (j->route->method_body &&
        (request->method == METHOD_POST || str_eq(request->method_name, STR("QUERY")))) {
        return REASON_NONE;
    }
    /* RFC 9110 9.3.3: a POST's answer, for later GETs, with explicit freshness */
    bool post_for_get = request->method == METHOD_POST && j->f.has_lifetime &&
                        msg_find(j->response, FIELD_CONTENT_LOCATION) != NULL;
    return post_for_get ? REASON_NONE : REASON_METHOD;
}

/* Statuses of RFC 9110 section 15 whose caching requirements are met here. */
static bool status_understood(int status)
{
    if (status == 206 || status == 304) {
        return false;
    }
    return (status >= 200 && status <= 205) || (status >= 300 && status <= 308) ||
           (status >= 400 && status <= 417) || status == 421 || status == 422 ||
           status == 426 || (status >= 500 && status <= 505);
}

/* Section 3: the status is final; a 206 or 304 is no representation to store as it is. */
static enum reason check_status(struct judged *j)
{
    int status = j->response->status;
    if (status == 206) {
        return REASON_PARTIAL;
    }
    if (status < 200 || status == 304) {
        return REASON_STATUS;
    }
    if (j->f.cc.must_understand && !status_understood(status)) {
        return REASON_STATUS; /* 5.2.2.3 */
    }
    if (j->route->n_statuses == 0) {
        /* the default of a configured ttl; with `ttl origin` check_explicit() decides */
        return j->route->ttl_mode == TTL_ORIGIN || status == 200 ? REASON_NONE : REASON_STATUS;
    }
    for (size_t i = 0; i < j->route->n_statuses; i++) {
        if (j->route->statuses[i].status == status) {
            j->status_ttl = j->route->statuses[i].ttl;
            return REASON_NONE;
        }
    }
    return REASON_STATUS;
}

/* text/event-stream with any parameters (lesson 12). */
static bool is_event_stream(const struct msg *response)
{
    struct str type = msg_get(response, FIELD_CONTENT_TYPE);
    return str_ieq(str_trim(str_make(type.p, str_index(type, ';'))), STR("text/event-stream"));
}

static enum reason check_body(struct judged *j)
{
    const struct msg *response = j->response;
    if (is_event_stream(response)) {
        return REASON_STREAM;
    }
    if (response->framing == FRAMING_CLOSE) {
        return REASON_NO_LENGTH; /* 3.3: it may be incomplete, and nobody could tell (C12) */
    }
    if (response->framing == FRAMING_LENGTH && j->route->max_object >= 0 &&
        response->content_length > (uint64_t)j->route->max_object) {
        return REASON_TOO_LARGE;
    }
    return REASON_NONE;
}

static enum reason check_no_store(struct judged *j)
{
    /* 5.2.2.3: a cache that understands the status ignores the no-store beside
     * must-understand, which is there for those that do not. check_status() came before. */
    return j->f.cc.no_store && !j->f.cc.must_understand ? REASON_NO_STORE : REASON_NONE;
}

static void omit(struct judged *j, struct str fields)
{
    struct str *have = &j->v->omit_fields;
    *have = have->p == NULL ? fields
                            : arena_printf(j->a, "%.*s, %.*s", STR_ARG(*have), STR_ARG(fields));
}

static enum reason check_private(struct judged *j)
{
    const struct cachectl *cc = &j->f.cc;
    if (j->route->store_private && (j->keyed & KEYED_IDENTITY) != 0) {
        return REASON_NONE; /* the entry is one user's: not shared (3, 5.2.2.7) */
    }
    /* An empty list of names is no list: the whole response is meant. */
    if (cc->is_private || (cc->private_fields.p != NULL && cc->private_fields.n == 0)) {
        return REASON_PRIVATE;
    }
    if (cc->private_fields.n > 0) {
        omit(j, cc->private_fields);
    }
    return REASON_NONE;
}

/* 3.5. Where the key holds an identity the entry is not shared beyond it, and a route that says
 * `scope authenticated` has decided; other modes than `ttl origin` do not send Authorization on
 * public routes. */
static enum reason check_authorization(struct judged *j)
{
    const struct cachectl *cc = &j->f.cc;
    if (j->route->ttl_mode != TTL_ORIGIN || j->route->scope == SCOPE_AUTHENTICATED ||
        (j->keyed & (KEYED_IDENTITY | KEYED_AUTHORIZATION)) != 0 ||
        msg_find(j->request, FIELD_AUTHORIZATION) == NULL) {
        return REASON_NONE;
    }
    bool allowed = cc->is_public || cc->must_revalidate || cc->s_maxage.valid;
    return allowed ? REASON_NONE : REASON_AUTHORIZATION;
}

static enum reason check_set_cookie(struct judged *j)
{
    bool sets = msg_find(j->response, FIELD_SET_COOKIE) != NULL;
    return sets && !j->route->store_set_cookie ? REASON_SET_COOKIE : REASON_NONE;
}

/* 4.1. A variant for each Cookie or Authorization would be an entry for each client: such an
 * answer is stored only where the key holds what came from that field, and then it is enough.
 */
static enum reason check_vary(struct judged *j)
{
    struct vary_spec *vary = &j->v->vary;
    if (!vary_parse(j->response, j->a, vary)) {
        return REASON_VARY; /* "*", or more than a variant can be made of */
    }
    size_t kept = 0;
    for (size_t i = 0; i < vary->n; i++) {
        enum field_id id = field_lookup(vary->names[i]);
        if (id == FIELD_COOKIE || id == FIELD_AUTHORIZATION) {
            unsigned needed = id == FIELD_COOKIE ? KEYED_COOKIE : KEYED_AUTHORIZATION;
            if ((j->keyed & needed) == 0) {
                return REASON_VARY;
            }
            continue;
        }
        vary->names[kept++] = vary->names[i];
    }
    vary->n = kept;
    return REASON_NONE;
}

/* Section 3, last item, which binds `ttl origin`; the other modes are the operator's word. */
static enum reason check_explicit(struct judged *j)
{
    if (j->route->ttl_mode != TTL_ORIGIN || j->f.has_lifetime || j->f.cc.is_public ||
        j->status_ttl >= 0 || freshness_heuristic_status(j->response->status)) {
        return REASON_NONE;
    }
    return REASON_STATUS;
}

/* ---- for how long ------------------------------------------------------------------------ */

/* The route's own ttl, counted from the receipt: the entry's age is compared with it. An origin
 * whose clock stands in 1970 must not use up what an entry can hold. */
static msec_t own_ttl(struct judged *j)
{
    msec_t ttl = j->status_ttl >= 0 ? j->status_ttl : j->route->ttl;
    j->f.age = j->f.age < OWN_TTL_AGE_MAX ? j->f.age : OWN_TTL_AGE_MAX;
    return j->f.age + ttl;
}

/* -1: nobody gives a lifetime. */
static msec_t choose_lifetime(struct judged *j)
{
    const struct freshness *f = &j->f;
    if (j->force) {
        return own_ttl(j);
    }
    if (f->has_lifetime) {
        return f->lifetime;
    }
    if (f->cc.no_cache) {
        return -1;
    }
    if (j->route->ttl_mode == TTL_FALLBACK || j->status_ttl >= 0) {
        return own_ttl(j);
    }
    /* 4.2.2; check_explicit() has let through only what a heuristic is allowed for */
    return j->route->heuristic ? freshness_heuristic(j->response, f) : -1;
}

static msec_t longer(msec_t route, const struct cc_delta *origin)
{
    msec_t window = origin->valid ? origin->seconds * 1000 : 0;
    return window > route ? window : route;
}

static bool has_validator(const struct msg *response)
{
    return msg_find(response, FIELD_ETAG) != NULL ||
           msg_find(response, FIELD_LAST_MODIFIED) != NULL;
}

static unsigned choose_flags(const struct judged *j)
{
    const struct cachectl *cc = &j->f.cc;
    unsigned flags = j->f.has_date ? ENTRY_HAS_DATE : 0;
    flags |= cc->immutable ? ENTRY_IMMUTABLE : 0;
    if (j->force) {
        return flags;
    }
    /* 5.2.2.2, 5.2.2.8; s-maxage includes proxy-revalidate (5.2.2.10) */
    if (cc->must_revalidate || cc->proxy_revalidate || cc->s_maxage.present) {
        flags |= ENTRY_MUST_REVALIDATE;
    }
    return flags | (cc->no_cache ? ENTRY_NO_CACHE : 0);
}

/* no-cache="a, b": these fields may not be sent without validation (5.2.2.4). */
static void apply_no_cache_fields(struct judged *j)
{
    struct str fields = j->f.cc.no_cache_fields;
    if (fields.p == NULL || j->force) {
        return;
    }
    if (fields.n == 0) {
        j->f.cc.no_cache = true; /* an empty list of names is no list */
    } else {
        omit(j, fields);
    }
}

/* What is never usable without the origin, and has nothing to validate it with, is not worth
 * its place. */
static enum reason decide_lifetime(struct judged *j)
{
    struct store_verdict *v = j->v;
    apply_no_cache_fields(j);
    msec_t lifetime = choose_lifetime(j);
    v->flags = choose_flags(j);
    v->age = j->f.age;
    v->lifetime = lifetime > 0 ? lifetime : 0;
    bool never_stale = (v->flags & (ENTRY_MUST_REVALIDATE | ENTRY_NO_CACHE)) != 0;
    if (!never_stale && lifetime >= 0) {
        v->stale = longer(j->route->stale, &j->f.cc.stale_while_revalidate);
        v->stale_if_error = longer(j->route->stale_if_error, &j->f.cc.stale_if_error);
    }
    msec_t last_use = v->lifetime;
    last_use += v->stale > v->stale_if_error ? v->stale : v->stale_if_error;
    bool usable = last_use > v->age && (v->flags & ENTRY_NO_CACHE) == 0;
    return usable || has_validator(j->response) ? REASON_NONE : REASON_NO_TTL;
}

void policy_store(const struct route_settings *route, const struct msg *request,
                  const struct msg *response, msec_t request_time, msec_t response_time,
                  unsigned keyed, struct arena *a, struct store_verdict *out)
{
    static enum reason (*const checks[])(struct judged *) = {
        check_method,        check_status,     check_body, check_no_store, check_private,
        check_authorization, check_set_cookie, check_vary, check_explicit, decide_lifetime,
    };
    *out = (struct store_verdict){.omit_fields = STR_NULL};
    struct judged j = {
        .route = route,
        .request = request,
        .response = response,
        .keyed = keyed,
        .force = route->ttl_mode == TTL_FORCE,
        .status_ttl = -1,
        .v = out,
        .a = a,
    };
    freshness_read(response, request_time, response_time, a, &j.f);
    out->no_transform = j.f.no_transform;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        out->reason = checks[i](&j);
        if (out->reason != REASON_NONE) {
            return;
        }
    }
    out->store = true;
}
