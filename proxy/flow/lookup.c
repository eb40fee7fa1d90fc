/*
 * From a routed request to a name and what the memory tier has under it. Fails closed: without
 * every identity that the route needs, the request is forwarded, never looked up, never stored,
 * never joined with another (design D6).
 */
#include <string.h>

#include "cache/condition.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "http/vary.h"

/* Forwarded without the cache, saying why. */
static enum step_result bypass(struct request *rq, enum reason reason)
{
    request_decide(rq, CACHE_BYPASS, reason);
    rq->step = STEP_PASS;
    return STEP_MORE;
}

/* The identities that a route's entries are kept by. */
static uint32_t needed_identities(const struct route_settings *route)
{
    return route->scope == SCOPE_IDENTITIES ? route->scope_mask : 0;
}

/* Resolves the route's identities; false after deciding for BYPASS. */
static bool resolve_identities(struct request *rq)
{
    const struct settings *s = config_settings(rq->config);
    const struct node *node = rq->worker->node;
    uint32_t mask = needed_identities(rq->route);
    bool authenticated = rq->route->scope == SCOPE_AUTHENTICATED;
    if (mask == 0 && !authenticated) {
        return true;
    }
    struct identity_result *ir = arena_alloc(&rq->arena, sizeof(*ir));
    identity_resolve(rq->config->runtime->keys, s, mask, authenticated, &rq->msg, &rq->peer,
                     node->hash_key, rq->worker->loop->wall, &rq->arena,
                     rq->notes != NULL ? &rq->notes->identity : NULL, ir);
    rq->identity = ir;
    if (ir->reason == REASON_NONE) {
        return true;
    }
    bypass(rq, ir->reason);
    if (ir->reason == REASON_NO_IDENTITY && ir->missing < s->n_identities) {
        rq->reason_text =
            arena_printf(&rq->arena, "no-%.*s", STR_ARG(s->identities[ir->missing].name));
    }
    return false;
}

static void fill_key_context(struct request *rq)
{
    struct key_context *kc = &rq->kc;
    kc->settings = config_settings(rq->config);
    kc->route = rq->route;
    kc->request = &rq->msg;
    kc->target = &rq->target;
    memcpy(kc->params, rq->match.params, rq->match.n_params * sizeof(kc->params[0]));
    kc->identities = rq->identity != NULL ? rq->identity->values : NULL;
    kc->body_hash = rq->body_hash;
    kc->hash_key = rq->worker->node->hash_key;
    kc->notes = rq->notes != NULL ? &rq->notes->key : NULL;
}

/* Aliases of one site share its entries; without `hosts` each Host has its own, port included,
 * because that is what the backend is told and may build links from. */
struct str lookup_site_key(struct request *rq)
{
    return rq->site->hosts.n > 0 ? rq->site->hosts.list[0]
                                 : host_authority(&rq->host, &rq->arena);
}

enum step_result step_key(struct request *rq)
{
    policy_lookup(rq->route, &rq->msg, &rq->arena, &rq->lookup);
    if (!rq->lookup.lookup && !rq->lookup.store) {
        return bypass(rq, rq->lookup.reason);
    }
    if (condition_bypasses(rq->route, &rq->msg, &rq->target, &rq->arena)) {
        return bypass(rq, REASON_CONDITION);
    }
    if (!resolve_identities(rq)) {
        return STEP_MORE;
    }
    fill_key_context(rq);
    key_query_build(&rq->kc, &rq->arena, &rq->query);
    if (rq->query.too_many) {
        rq->close = true;
        reply_problem(rq, 400, REASON_LIMIT, "too many query parameters");
        return STEP_DONE;
    }
    if (rq->query.pass) {
        return bypass(rq, REASON_QUERY);
    }
    if (!key_render(&rq->kc, &rq->query, &rq->arena, &rq->base_name)) {
        return bypass(rq, REASON_NO_IDENTITY);
    }
    rq->name = rq->base_name;
    rq->site_key = lookup_site_key(rq);
    rq->hash = entry_hash(rq->name, rq->site_key);
    rq->step = position_shown(rq) ? STEP_POSITION : STEP_LOOKUP;
    return STEP_MORE;
}

uint32_t lookup_scope(const struct request *rq)
{
    const struct route_settings *route = rq->route;
    /* Entries hold the backend's CORS fields or do not: a reload may change that. */
    uint32_t cors = route->cors != NULL ? 0x85ebca6bu : 0;
    return route->scope_id + cors + rq->config->runtime->version;
}

void lookup_select_variant(struct request *rq, const struct vary_spec *spec,
                           const struct msg *as)
{
    struct strbuf *text = &rq->worker->build;
    text->n = 0;
    vary_variant_text(spec, as, &rq->arena, text);
    rq->name = key_variant(rq->base_name, strbuf_str(text), &rq->arena);
    rq->hash = entry_hash(rq->name, rq->site_key);
    text->n = 0;
}

bool lookup_is_fresh(struct request *rq, struct entry *e)
{
    return (e->flags & (ENTRY_VARY_MARKER | ENTRY_HIT_FOR_MISS)) == 0 &&
           e->scope == lookup_scope(rq) &&
           journal_check(rq->worker->node->journal, e) == JOURNAL_VALID &&
           policy_reuse(e, &rq->lookup, false, rq->worker->loop->wall) == REUSE_FRESH &&
           trust_in(rq, e) == TRUST;
}

/* What is resident under the request's name. What is only explained is not a use of it. */
static struct entry *find_named(const struct request *rq)
{
    struct l1 *l1 = rq->worker->node->l1;
    return rq->explained ? l1_peek(l1, rq->hash, rq->name, rq->site_key)
                         : l1_get(l1, rq->hash, rq->name, rq->site_key);
}

struct entry *lookup_find(struct request *rq)
{
    struct entry *e = find_named(rq);
    if (e == NULL || (e->flags & ENTRY_VARY_MARKER) == 0) {
        return e;
    }
    struct vary_spec spec;
    rq->vary_names = arena_dup(&rq->arena, entry_vary(e));
    bool usable = vary_parse_list(rq->vary_names, &rq->arena, &spec);
    entry_unref(e);
    if (!usable) {
        return NULL;
    }
    lookup_select_variant(rq, &spec, &rq->msg);
    e = find_named(rq);
    return e != NULL ? e : variant_by_language(rq, &spec);
}

struct entry *lookup_fresh(struct request *rq)
{
    struct entry *e = NULL;
    if (rq->lookup.lookup) {
        e = l1_get(rq->worker->node->l1, rq->hash, rq->name, rq->site_key);
    }
    if (e != NULL && !lookup_is_fresh(rq, e)) {
        entry_unref(e);
        return NULL;
    }
    return e;
}

static enum step_result serve(struct request *rq, struct entry *e)
{
    request_decide(rq, rq->result, trust_mark(rq, rq->reason));
    reply_entry(rq, e);
    return STEP_DONE;
}

/* Keeps an entry that may serve or validate later; takes over the reference. */
static void keep_stale(struct request *rq, struct entry *e, bool ok)
{
    if (rq->stale != NULL) {
        entry_unref(rq->stale);
    }
    rq->stale = e;
    rq->stale_ok = ok;
}

/* Served stale: the client has its answer, and the request goes on in the background to refresh
 * the entry (once per name: the flight sees to that). */
static enum step_result serve_stale(struct request *rq, struct entry *e)
{
    keep_stale(rq, entry_ref(e), rq->stale_ok); /* one that memory held may be there already */
    request_decide(rq, rq->result, trust_mark(rq, rq->reason));
    reply_entry(rq, e);
    if (!join_refresh(rq, false)) {
        return STEP_DONE;
    }
    request_finish(rq, false);
    return STEP_WAIT;
}

/* May an entry that nobody but the origin can confirm serve if the origin fails? Only where the
 * route says `stale_if_error … unverified`. */
static bool may_serve_unverified(const struct request *rq, const struct entry *e)
{
    if (!rq->route->stale_unverified) {
        return false;
    }
    enum reuse r = policy_reuse(e, &rq->lookup, true, rq->worker->loop->wall);
    return r == REUSE_STALE || r == REUSE_VALIDATE;
}

/* What the uncertain state makes of an entry; false: nothing, it is judged as usual. */
static bool choose_uncertain(struct request *rq, const struct entry *e, struct lookup_choice *c)
{
    switch (trust_in(rq, e)) {
    case TRUST: return false;
    case TRUST_BYPASS:
        *c = (struct lookup_choice){LOOKUP_BYPASS, CACHE_BYPASS, REASON_UNCERTAIN, false};
        return true;
    case TRUST_VALIDATE: break;
    }
    *c = (struct lookup_choice){LOOKUP_KEEP, CACHE_MISS, REASON_UNCERTAIN,
                                may_serve_unverified(rq, e)};
    return true;
}

/* A mark that answers of this name could not be stored lately. */
static void choose_marked(const struct request *rq, struct lookup_choice *c)
{
    *c = (struct lookup_choice){LOOKUP_ALONE, CACHE_MISS, REASON_HIT_FOR_MISS, false};
    if (rq->msg.has_range && rq->msg.method == METHOD_GET) {
        *c = (struct lookup_choice){LOOKUP_PASS, CACHE_PASS, REASON_RANGE, false};
    }
}

void lookup_choose(struct request *rq, struct entry *e, struct lookup_choice *c)
{
    *c = (struct lookup_choice){LOOKUP_NOTHING, CACHE_MISS, REASON_MISS, false};
    if (e == NULL) {
        return;
    }
    if (e->flags & ENTRY_HIT_FOR_MISS) {
        if (entry_freshness(e, rq->worker->loop->wall) == ENTRY_FRESH) {
            choose_marked(rq, c);
        }
        return;
    }
    enum journal_verdict valid = journal_check(rq->worker->node->journal, e);
    if (valid == JOURNAL_INVALID || e->scope != lookup_scope(rq)) {
        c->reason = REASON_INVALIDATED;
        return;
    }
    if (valid == JOURNAL_UNVERIFIED) {
        /* Redis lost or changed its journal: nobody can say whether this is current but the
         * origin. */
        *c = (struct lookup_choice){LOOKUP_KEEP, CACHE_MISS, REASON_UNCERTAIN,
                                    may_serve_unverified(rq, e)};
        return;
    }
    if (choose_uncertain(rq, e, c)) {
        return;
    }
    enum reuse reuse =
        policy_reuse(e, &rq->lookup, valid == JOURNAL_SOFT, rq->worker->loop->wall);
    bool failing = backoff_active(&rq->worker->node->backoff, rq->hash, rq->worker->loop->now);
    if (reuse == REUSE_FRESH) {
        *c = (struct lookup_choice){LOOKUP_SERVE, CACHE_HIT, REASON_NONE, false};
    } else if (reuse == REUSE_STALE && !failing) {
        *c = (struct lookup_choice){LOOKUP_SERVE_STALE, CACHE_STALE, REASON_STALE, false};
    } else if (failing && (reuse == REUSE_STALE || reuse == REUSE_VALIDATE)) {
        *c = (struct lookup_choice){LOOKUP_SERVE, CACHE_STALE, REASON_STALE_ERROR, false};
    } else {
        /* What is fresh by itself is not to be used because the client says so. */
        bool asked =
            valid == JOURNAL_VALID && entry_freshness(e, rq->worker->loop->wall) == ENTRY_FRESH;
        *c = (struct lookup_choice){LOOKUP_KEEP, CACHE_MISS,
                                    asked ? REASON_CLIENT_NO_CACHE : REASON_EXPIRED,
                                    reuse == REUSE_VALIDATE};
    }
}

/* Does what was chosen; takes over the reference. STEP_MORE: rq->step says where to go on. */
static enum step_result act(struct request *rq, struct entry *e, const struct lookup_choice *c)
{
    request_decide(rq, c->result, c->reason);
    switch (c->way) {
    case LOOKUP_SERVE: return serve(rq, e);
    case LOOKUP_SERVE_STALE: return serve_stale(rq, e);
    case LOOKUP_KEEP: keep_stale(rq, e, c->ok); return STEP_MORE;
    case LOOKUP_ALONE: rq->joins = JOIN_ALONE; break;
    case LOOKUP_BYPASS:
    case LOOKUP_PASS: rq->step = STEP_PASS; break;
    case LOOKUP_NOTHING: break;
    }
    if (e != NULL) {
        entry_unref(e);
    }
    return STEP_MORE;
}

enum step_result lookup_judge(struct request *rq, struct entry *e)
{
    struct lookup_choice choice;
    lookup_choose(rq, e, &choice);
    return act(rq, e, &choice);
}

enum step_result step_lookup(struct request *rq)
{
    rq->step = STEP_REDIS;
    return lookup_judge(rq, rq->lookup.lookup ? lookup_find(rq) : NULL);
}

enum step_result step_fetch(struct request *rq)
{
    if (rq->lookup.only_if_cached) {
        reply_problem(rq, 504, REASON_ONLY_IF_CACHED, "there is no stored answer");
        return STEP_DONE;
    }
    if (!rq->lookup.store && rq->reason == REASON_MISS) {
        request_decide(rq, rq->result, rq->lookup.reason);
    }
    if (rq->msg.method == METHOD_HEAD || !rq->lookup.store) {
        rq->step = STEP_PASS;
        return STEP_MORE;
    }
    rq->step = STEP_JOIN;
    return STEP_MORE;
}
