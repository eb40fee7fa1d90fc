/*
 * What the cache learns from exchanges that do not fill it:
 *
 *   HEAD  a 200 freshens the stored response to GET that it describes, or shows that it is out
 *         of date (RFC 9111 4.3.5). Such a HEAD is sent like a fill, so that nothing of one
 *         client can colour what is stored.
 *   POST  a 200 that names its own URI in Content-Location and says how long it is fresh serves
 *         later GETs (RFC 9110 9.3.3), on public routes that follow the origin.
 *
 * Called by flow/exchange. The stamp is taken before the request goes out, as for a fill; a
 * POST's own invalidation must not count against what it stores, every other one must.
 */
#include <string.h>

#include "cache/tags.h"
#include "flow/forward.h"
#include "flow/node.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "http/conditional.h"
#include "http/h1.h"

/* In the request's arena, but for the body. */
struct learning {
    struct stamp stamp; /* before the request went out */

    /* POST: the GET route of its path and the entry in the making */
    const struct route_settings *route;
    struct key_context kc;
    struct key_query query;
    struct str name;
    uint32_t scope;
    struct stamp stored_stamp; /* after the POST's own invalidation */
    msec_t received;           /* wall time of the answer's head */
    struct store_verdict sv;
    struct tag_set tags;
    struct str head, etag, last_modified, date;
    bool keeping;       /* the answer is being collected */
    struct strbuf body; /* what has come of it */
};

/* ---- before the request ------------------------------------------------------------------ */

/* A conditional HEAD is the client's own affair; so is one for a range. */
static bool head_teaches(const struct request *rq)
{
    return rq->msg.method == METHOD_HEAD && rq->route->cached && rq->base_name.n > 0 &&
           rq->lookup.lookup && rq->lookup.store && !msg_is_conditional(&rq->msg) &&
           !rq->msg.has_range;
}

/* Is what goes out what a fill of this name would send, so that the name accounts for it? */
static bool sends_as_keyed(struct request *rq, const struct key_query *q)
{
    const struct str_list *hosts = &rq->site->hosts;
    struct str query = rq->target.query;
    bool same_query = query.n == 0 ? q->forward.n == 0 : str_eq(query, q->forward);
    bool same_host =
        hosts->n == 0 || str_eq(host_authority(&rq->host, &rq->arena), hosts->list[0]);
    return !q->pass && !q->too_many && same_query && same_host;
}

/* The GET route whose names an answer to this POST may go under; NULL: none. */
static const struct route_settings *post_route(struct request *rq, struct route_match *match)
{
    if (rq->msg.method != METHOD_POST || rq->route->cached || rq->target.semicolon) {
        return NULL;
    }
    route_find(rq->config->runtime->routes, rq->site, STR("GET"), rq->target.path, match);
    const struct route_settings *route = match->route;
    bool follows = route != NULL && route->cached && route->scope == SCOPE_PUBLIC &&
                   route->ttl_mode == TTL_ORIGIN && !route->method_body;
    return follows ? route : NULL;
}

static struct learning *learn_new(struct request *rq)
{
    struct learning *l = arena_zalloc(&rq->arena, sizeof(*l));
    l->stamp = journal_stamp(rq->worker->node->journal);
    return l;
}

static struct learning *post_begin(struct request *rq)
{
    struct route_match match;
    const struct route_settings *route = post_route(rq, &match);
    if (route == NULL) {
        return NULL;
    }
    struct learning *l = learn_new(rq);
    l->route = route;
    l->kc = (struct key_context){.settings = config_settings(rq->config),
                                 .route = route,
                                 .request = &rq->msg,
                                 .target = &rq->target,
                                 .hash_key = rq->worker->node->hash_key};
    memcpy(l->kc.params, match.params, match.n_params * sizeof(match.params[0]));
    key_query_build(&l->kc, &rq->arena, &l->query);
    bool usable =
        sends_as_keyed(rq, &l->query) && key_render(&l->kc, &l->query, &rq->arena, &l->name);
    return usable ? l : NULL;
}

bool learn_begin(struct request *rq)
{
    if (head_teaches(rq)) {
        rq->learning = learn_new(rq);
        return true;
    }
    rq->learning = post_begin(rq);
    return false;
}

void learn_end(struct request *rq)
{
    if (rq->learning != NULL) {
        strbuf_free(&rq->learning->body);
        rq->learning = NULL;
    }
}

/* ---- HEAD -------------------------------------------------------------------------------- */

enum comparison {
    SAME,
    DIFFERENT,
    UNKNOWN, /* nothing to compare: it may be either */
};

static bool other_length(const struct entry *e, const struct msg *m)
{
    struct str text = msg_get(m, FIELD_CONTENT_LENGTH);
    uint64_t length;
    return text.p != NULL &&
           (!str_to_u64(text, UINT64_MAX, &length) || length != e->body_length);
}

/* 4.3.5, but nothing is taken for the same without a validator that says so. */
static enum comparison compare(const struct entry *e, const struct msg *m)
{
    struct str etag = msg_get(m, FIELD_ETAG);
    struct str modified = msg_get(m, FIELD_LAST_MODIFIED);
    bool own = (e->flags & ENTRY_OWN_ETAG) != 0;
    if ((etag.p != NULL && !own && !etag_weak_match(etag, entry_etag(e))) ||
        (modified.p != NULL && !str_eq(modified, entry_last_modified(e))) ||
        other_length(e, m)) {
        return DIFFERENT;
    }
    return (etag.p != NULL && !own) || modified.p != NULL ? SAME : UNKNOWN;
}

/* The stored response to GET that this HEAD would have got; a reference, or NULL. */
static struct entry *described(struct request *rq)
{
    const struct node *node = rq->worker->node;
    struct entry *e = l1_get(node->l1, rq->hash, rq->name, rq->site_key);
    if (e == NULL) {
        return NULL;
    }
    bool usable = (e->flags & (ENTRY_VARY_MARKER | ENTRY_HIT_FOR_MISS)) == 0 &&
                  e->status == 200 && e->scope == lookup_scope(rq) &&
                  journal_check(node->journal, e) == JOURNAL_VALID;
    if (!usable) {
        entry_unref(e);
        return NULL;
    }
    return e;
}

static void learn_from_head(struct request *rq, const struct msg *m)
{
    struct entry *e = m->status == 200 ? described(rq) : NULL;
    struct entry *newer = NULL;
    struct store_verdict sv;
    if (e == NULL) {
        return;
    }
    enum comparison c = compare(e, m);
    if (c == SAME) {
        struct msg *as_get = arena_alloc(&rq->arena, sizeof(*as_get));
        *as_get = *forward_view(rq);
        as_get->method = METHOD_GET;
        as_get->method_name = STR("GET");
        rq->view = as_get;
        newer = freshen_entry(rq, e, m, &rq->learning->stamp, &sv);
    }
    if (newer != NULL && sv.store) {
        (void)l1_put(rq->worker->node->l1, newer);
        redis_path_store(rq, newer);
    } else if (c != UNKNOWN) {
        l1_remove(rq->worker->node->l1, e);
    }
    if (newer != NULL) {
        entry_unref(newer);
    }
    entry_unref(e);
}

/* ---- POST -------------------------------------------------------------------------------- */

/* Is the answer a representation of what was posted to? */
static bool names_its_target(struct request *rq, const struct msg *m)
{
    struct target t;
    if (msg_count(m, FIELD_CONTENT_LOCATION) != 1 ||
        target_parse(msg_get(m, FIELD_CONTENT_LOCATION), &rq->arena, &t) != NULL) {
        return false;
    }
    if (t.form == TARGET_ABSOLUTE) {
        struct host h;
        if (!host_parse(t.authority, str_eq(t.scheme, STR("https")), &rq->arena, &h) ||
            !str_eq(h.name, rq->host.name) || !str_eq(h.port, rq->host.port) ||
            str_eq(t.scheme, STR("https")) != rq->tls) {
            return false;
        }
    } else if (t.form != TARGET_ORIGIN) {
        return false;
    }
    return str_eq(t.path, rq->target.path) && str_eq(t.query, rq->target.query) &&
           (t.query.p == NULL) == (rq->target.query.p == NULL);
}

/* May the answer go under the GET route's name, whoever else writes? Renders its head. */
static bool judge_post(struct request *rq, const struct msg *m, struct learning *l)
{
    const struct route_settings *own = rq->route;
    struct strbuf *out = &rq->worker->build;
    if (m->status != 200 || !names_its_target(rq, m)) {
        return false;
    }
    rq->route = l->route; /* the answer is judged and rendered as one of that route */
    fill_judge(rq, m, &l->sv);
    if (l->sv.store) {
        out->n = 0;
        h1_write_status_line(out, m->status, m->reason);
        reply_render_stored_fields(rq, m, l->sv.omit_fields, out);
        l->head = arena_dup(&rq->arena, strbuf_str(out));
        l->scope = lookup_scope(rq);
        out->n = 0;
    }
    rq->route = own;
    /* What a fill would have sent in the place of the client's Accept-Encoding is not known. */
    return l->sv.store && l->sv.vary.n == 0 && msg_find(m, FIELD_CONTENT_ENCODING) == NULL;
}

static void learn_from_post(struct request *rq, const struct msg *m)
{
    struct learning *l = rq->learning;
    struct journal *journal = rq->worker->node->journal;
    bool good = judge_post(rq, m, l);
    if (good) {
        tags_collect(&l->kc, &l->query, m, &rq->arena, &l->tags);
        good = !l->tags.incomplete;
    }
    struct stamp before = journal_stamp(journal);
    good =
        good && journal_check_stamp(journal, &l->stamp, l->name, l->route->type, l->route->name,
                                    tags_join(&l->tags, &rq->arena)) == JOURNAL_VALID;
    uint64_t own = invalidate_after_write(rq, m);
    l->stored_stamp = journal_stamp(journal);
    /* Somebody else's record among our own could be about what the answer shows. */
    l->keeping = good && l->stored_stamp.epoch == before.epoch &&
                 l->stored_stamp.local - before.local == own;
    l->received = rq->worker->loop->wall;
    l->etag = msg_get(m, FIELD_ETAG);
    l->last_modified = msg_get(m, FIELD_LAST_MODIFIED);
    l->date = msg_get(m, FIELD_DATE);
}

void learn_head(struct request *rq, const struct msg *m)
{
    if (rq->learning == NULL) {
        (void)invalidate_after_write(rq, m);
    } else if (rq->learning->route != NULL) {
        learn_from_post(rq, m);
    } else {
        learn_from_head(rq, m);
    }
}

void learn_data(struct request *rq, struct str piece)
{
    struct learning *l = rq->learning;
    if (l == NULL || !l->keeping) {
        return;
    }
    int64_t most = l->route->max_object;
    if (most >= 0 && l->body.n + piece.n > (uint64_t)most) {
        l->keeping = false;
        strbuf_free(&l->body);
        return;
    }
    strbuf_add_str(&l->body, piece);
}

void learn_done(struct request *rq)
{
    struct learning *l = rq->learning;
    if (l == NULL || !l->keeping || fetch_surplus(rq->fetch)) {
        return;
    }
    const struct entry_spec spec = {
        .name = l->name,
        .host = lookup_site_key(rq),
        .scope = l->scope,
        .stamp = l->stored_stamp,
        .flags = l->sv.flags | ENTRY_HAS_DATE,
        .status = 200,
        .stored_at = l->received,
        .age_at_store = l->sv.age,
        .lifetime = l->sv.lifetime,
        .stale = l->sv.stale,
        .stale_if_error = l->sv.stale_if_error,
        .etag = l->etag,
        .last_modified = l->last_modified,
        .date = l->date,
        .type = l->route->type,
        .route = l->route->name,
        .tags = tags_join(&l->tags, &rq->arena),
        .head = l->head,
        .body_length = l->body.n,
        .body = strbuf_str(&l->body),
    };
    struct entry *e = entry_new(&spec);
    if (e != NULL) {
        (void)l1_put(rq->worker->node->l1, e);
        entry_unref(e);
    }
}
