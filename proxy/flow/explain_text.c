/*
 * The sentence that says what would happen.
 */
#include "base/units.h"
#include "flow/explain_parts.h"

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
        strbuf_addf(out, "; if it succeeds, %zu pattern%s %s invalidated", x->n_records,
                    x->n_records == 1 ? "" : "s", x->n_records == 1 ? "is" : "are");
    }
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
    } else if (x->rq->result == CACHE_STALE) {
        strbuf_addf(out, "the stale answer in %s is sent, because the origin has just failed",
                    tier);
    } else {
        strbuf_addf(out, "the stored answer in %s is sent; it is fresh for another ", tier);
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

static void say_fetch(const struct explanation *x, struct strbuf *out)
{
    const struct request *rq = x->rq;
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
