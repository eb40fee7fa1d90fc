/*
 * What explain says in words, and what it shares with the debug fields of live answers.
 */
#include "base/units.h"
#include "cache/jwk.h"
#include "cache/tags.h"
#include "flow/explain_parts.h"

/* ---- facts --------------------------------------------------------------------------------
 */

void explain_identity_how(const struct identity_settings *id, unsigned alg, struct strbuf *out)
{
    switch (id->source) {
    case IDENTITY_JWT:
        strbuf_addf(out, "jwt %.*s", STR_ARG(id->jwt->name));
        if (alg != 0) {
            strbuf_addf(out, " (%.*s)", STR_ARG(jwk_alg_name(alg)));
        }
        for (size_t i = 0; i < id->claim.n; i++) {
            strbuf_addf(out, "%s%.*s", i == 0 ? ", claim " : ".", STR_ARG(id->claim.list[i]));
        }
        return;
    case IDENTITY_HEADER:
        strbuf_addf(out, "field %.*s of a trusted peer", STR_ARG(id->header));
        return;
    case IDENTITY_CREDENTIAL:
        if (id->cookie.n > 0) {
            strbuf_addf(out, "keyed hash of the cookie %.*s", STR_ARG(id->cookie));
        } else {
            strbuf_add_str(out, STR("keyed hash of Authorization"));
        }
        return;
    }
}

const char *explain_identity_state(enum reason reason)
{
    return reason == REASON_NONE ? "ok" : reason == REASON_NO_IDENTITY ? "missing" : "invalid";
}

/* Tags as an entry keeps them. */
static size_t split_tags(struct str rest, struct arena *a, struct str **list)
{
    size_t n = 0;
    *list = arena_alloc(a, (TAGS_MAX + 1) * sizeof(**list));
    while (rest.n > 0 && n < TAGS_MAX) {
        struct str tag = str_make(rest.p, str_index(rest, '\0'));
        (*list)[n++] = tag;
        rest = str_skip(rest, tag.n + 1);
    }
    return n;
}

size_t explain_tags(struct request *rq, const struct entry *e, struct str **list)
{
    if (e != NULL && (e->flags & (ENTRY_HIT_FOR_MISS | ENTRY_VARY_MARKER)) == 0) {
        return split_tags(entry_tags(e), &rq->arena, list);
    }
    const struct msg none = {.status = 200};
    struct tag_set *tags = arena_alloc(&rq->arena, sizeof(*tags));
    tags->n = 0;
    if (rq->base_name.n > 0) {
        tags_collect(&rq->kc, &rq->query, &none, &rq->arena, tags);
    }
    *list = tags->list;
    return tags->n;
}

static void add_duration(struct strbuf *out, msec_t value)
{
    char text[UNITS_TEXT_MAX];
    /* Whole seconds are what people count in; below that the exact value matters. */
    strbuf_add(out, text, duration_text(value >= 1000 ? value - value % 1000 : value, text));
}

/* "to upstream api" */
static void add_upstream(const struct explanation *x, const char *verb, struct strbuf *out)
{
    const struct upstream_settings *up = x->rq->up;
    strbuf_addf(out, "%s %.*s", verb, STR_ARG(up != NULL ? up->name : STR("-")));
}

void explain_ttl(const struct route_settings *r, struct strbuf *out)
{
    static const char *const modes[] = {
        [TTL_NONE] = "none",
        [TTL_FALLBACK] = " where the origin gives none",
        [TTL_FORCE] = " whatever the origin gives",
        [TTL_ORIGIN] = "as the origin says",
    };
    if (r->ttl_mode == TTL_FALLBACK || r->ttl_mode == TTL_FORCE) {
        add_duration(out, r->ttl);
    }
    strbuf_addf(out, "%s", modes[r->ttl_mode]);
    if (r->stale > 0) {
        strbuf_add_str(out, STR("; stale "));
        add_duration(out, r->stale);
    }
    if (r->stale_if_error > 0) {
        strbuf_add_str(out, STR("; stale_if_error "));
        add_duration(out, r->stale_if_error);
    }
}

/* ---- what would happen --------------------------------------------------------------------
 */

static void say_answered(const struct explanation *x, struct strbuf *out)
{
    const struct request *rq = x->rq;
    const char *detail = rq->notes->problem;
    strbuf_addf(out, "answered by Larder itself with %d", rq->status);
    if (rq->status == 308) {
        strbuf_add_str(out, STR(": a redirect to https"));
    } else if (detail != NULL) {
        strbuf_addf(out, ": %s", detail);
    }
}

static void say_forward(const struct explanation *x, struct strbuf *out)
{
    add_upstream(x, "forwarded to upstream", out);
    strbuf_add_str(out, STR(", unchanged; nothing is looked up or stored"));
    if (x->n_records > 0) {
        strbuf_add_str(out, STR("; if it succeeds, what `invalidates` lists is invalidated"));
    }
}

static void say_since(const struct explanation *x, const char *words, struct strbuf *out)
{
    strbuf_addf(out, "%s since %lld ms", words, (long long)x->fetch.flight.since);
}

static void say_serve(const struct explanation *x, struct strbuf *out)
{
    const struct entry *e = x->used;
    msec_t age = entry_age(e, x->rq->worker->loop->wall);
    msec_t left = entry_lifetime(e) - age;
    const char *tier = e == x->l1.entry ? "memory" : "Redis";
    if (x->choice.way == LOOKUP_SERVE_STALE) {
        strbuf_addf(out, "the stale answer in %s is sent at once, and refreshed from ", tier);
        add_upstream(x, "upstream", out);
        strbuf_add_str(out, STR(" in the background"));
        if (x->fetch.under_way) {
            say_since(x, ", which is under way", out);
        }
    } else if (x->rq->result == CACHE_STALE) {
        strbuf_addf(out, "the stale answer in %s is sent, because the origin has just failed",
                    tier);
    } else if (x->rq->status == 304) {
        strbuf_addf(out, "a 304: what the client has is what %s has; it is fresh for another ",
                    tier);
        add_duration(out, left);
    } else {
        strbuf_addf(out, "%s in %s is sent; it is fresh for another ",
                    x->rq->status == 206 ? "the part that was asked for of the stored answer"
                                         : "the stored answer",
                    tier);
        add_duration(out, left);
    }
}

/* Has the origin something to confirm it by? */
static bool can_validate(const struct entry *e)
{
    bool etag = entry_etag(e).n > 0 && (e->flags & ENTRY_OWN_ETAG) == 0;
    return e->status == 200 && (etag || entry_last_modified(e).n > 0);
}

static void say_stored_for(const struct route_settings *r, struct strbuf *out)
{
    switch (r->ttl_mode) {
    case TTL_FORCE:
        strbuf_add_str(out, STR("kept for "));
        add_duration(out, r->ttl);
        return;
    case TTL_FALLBACK:
        strbuf_add_str(out, STR("kept for as long as it says, else for "));
        add_duration(out, r->ttl);
        return;
    case TTL_ORIGIN:
    case TTL_NONE: strbuf_add_str(out, STR("kept for as long as it says")); return;
    }
}

/* Nothing more is asked of the origin. */
static void say_join(const struct explanation *x, struct strbuf *out)
{
    if (x->fetch.lease == SEEN_HELD) {
        strbuf_add_str(out, STR("another node is fetching it: its answer is waited for"));
    } else if (x->fetch.flight.held) {
        strbuf_add_str(out,
                       STR("this node waits for another one that is fetching it: waits too"));
    } else {
        say_since(x, "joins the fetch under way", out);
    }
}

static void say_fetch(const struct explanation *x, struct strbuf *out)
{
    const struct request *rq = x->rq;
    if (x->fetch.under_way || x->fetch.lease == SEEN_HELD) {
        say_join(x, out);
        return;
    }
    if (x->used != NULL && rq->msg.method == METHOD_GET && can_validate(x->used)) {
        add_upstream(x, "upstream", out);
        strbuf_add_str(out, STR(" is asked whether the stored answer is still right"));
    } else {
        add_upstream(x, "upstream", out);
        strbuf_add_str(out, STR(" is asked"));
    }
    if (!rq->lookup.store) {
        strbuf_addf(out, "; its answer is not stored: %.*s",
                    STR_ARG(reason_help(rq->lookup.reason)));
    } else if (rq->msg.method == METHOD_HEAD) {
        strbuf_add_str(out, STR("; an answer to HEAD is not stored"));
    } else {
        strbuf_add_str(out, STR("; its answer, if it may be stored, is "));
        say_stored_for(rq->route, out);
    }
    if (x->used != NULL && x->choice.ok) {
        strbuf_add_str(out, STR("; if it fails, the stale answer is sent"));
    }
}

void explain_would(const struct explanation *x, struct strbuf *out)
{
    switch (x->end) {
    case EXPLAIN_ANSWERED: say_answered(x, out); break;
    case EXPLAIN_FORWARD: say_forward(x, out); break;
    case EXPLAIN_LOOKUP:
        strbuf_add_str(out, STR("looked up under this name; what the caches hold is not known "
                                "here, because no running larder was asked"));
        break;
    case EXPLAIN_SERVE: say_serve(x, out); break;
    case EXPLAIN_FETCH: say_fetch(x, out); break;
    }
}
