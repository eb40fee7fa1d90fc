/*
 * What a write invalidates (design section 4, "invalidate"; RFC 9111 section 4.4). Runs after
 * the backend's answer is known and before its head is released, so that whoever has seen the
 * answer can no longer be served what it replaced.
 */
#include <string.h>

#include "base/log.h"
#include "cache/journal_intent.h"
#include "cache/tags.h"
#include "flow/intent.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/request.h"
#include "flow/request_stats.h"
#include "flow/settle.h"
#include "flow/steps.h"
#include "http/target.h"
#include "upstream/fetch.h"

#define RECORDS_MAX 256 /* of one write; more become `all` */

/* Records collected for one write. */
struct records {
    struct request *rq;
    struct record list[RECORDS_MAX];
    size_t n;
    bool all;     /* too many, or said so */
    bool widened; /* something could not be resolved and became "*" */
};

static void add_record(struct records *rs, enum record_kind kind, struct str text, bool soft)
{
    if (kind == RECORD_ALL || rs->n == RECORDS_MAX) {
        rs->all = true;
        return;
    }
    rs->list[rs->n++] = (struct record){.kind = kind, .text = text, .soft = soft};
}

void invalidate_prepare(struct request *rq)
{
    const struct settings *s = config_settings(rq->config);
    uint32_t mask = 0;
    for (size_t i = 0; i < rq->route->n_invalidate; i++) {
        const struct key_template *t = &rq->route->invalidate[i].value;
        for (size_t k = 0; k < t->n; k++) {
            if (t->parts[k].kind == KEY_IDENTITY) {
                mask |= (uint32_t)1 << t->parts[k].index;
            }
        }
    }
    struct key_context *kc = &rq->kc;
    *kc = (struct key_context){.settings = s,
                               .route = rq->route,
                               .request = &rq->msg,
                               .target = &rq->target,
                               .hash_key = rq->worker->node->hash_key};
    memcpy(kc->params, rq->match.params, rq->match.n_params * sizeof(kc->params[0]));
    struct identity_result *ir = arena_zalloc(&rq->arena, sizeof(*ir));
    if (mask != 0) {
        identity_resolve(rq->config->runtime->keys, s, mask, false, &rq->msg, &rq->peer,
                         kc->hash_key, rq->worker->loop->wall, &rq->arena,
                         rq->notes != NULL ? &rq->notes->identity : NULL, ir);
    }
    kc->identities = ir->values;
    rq->identity = ir;
}

static bool identity_missing(const struct request *rq, const struct key_template *t)
{
    for (size_t k = 0; k < t->n; k++) {
        if (t->parts[k].kind == KEY_IDENTITY &&
            !rq->identity->values[t->parts[k].index].known) {
            return true;
        }
    }
    return false;
}

/* The route's own arguments. A redirect for somebody without the identity (a login page) says
 * nothing about the data. */
static void route_records(struct records *rs, int status)
{
    struct request *rq = rs->rq;
    static const enum record_kind kinds[] = {
        [TARGET_GLOB] = RECORD_GLOB,   [TARGET_TYPE] = RECORD_TYPE, [TARGET_TAG] = RECORD_TAG,
        [TARGET_ROUTE] = RECORD_ROUTE, [TARGET_ALL] = RECORD_ALL,
    };
    for (size_t i = 0; i < rq->route->n_invalidate; i++) {
        const struct invalidate_target *t = &rq->route->invalidate[i];
        if (status >= 300 && status < 400 && identity_missing(rq, &t->value)) {
            continue;
        }
        bool widened = false;
        struct str text = key_render_glob(&rq->kc, &t->value, &rq->arena, &widened);
        rs->widened = rs->widened || widened;
        /* Only names are matched as globs: an unresolved tag can be any tag. */
        bool any = widened && t->kind != TARGET_GLOB;
        add_record(rs, any ? RECORD_ALL : kinds[t->kind], text, rq->route->invalidate_soft);
    }
}

/* A name that holds the whole path has the reader's trailing slash and letter case. The write's
 * are no proof that they are the same to the backend: with and without the slash, as received
 * and in lower case are taken. */
static void add_rest_names(struct records *rs, const struct route_settings *route,
                           const struct str *params, struct str rest)
{
    struct arena *a = &rs->rq->arena;
    char *folded = arena_alloc(a, rest.n);
    for (size_t i = 0; i < rest.n; i++) {
        folded[i] = ascii_lower(rest.p[i]);
    }
    struct str forms[] = {rest, str_make(folded, rest.n)};
    for (size_t i = 0; i < (str_eq(forms[0], forms[1]) ? 1 : 2); i++) {
        struct str slashed = arena_printf(a, "%.*s/", STR_ARG(forms[i]));
        add_record(rs, RECORD_GLOB, key_route_glob(route, params, forms[i], a), false);
        add_record(rs, RECORD_GLOB, key_route_glob(route, params, slashed, a), false);
    }
}

static void add_route_names(const struct route_settings *route, const struct str *params,
                            size_t n_params, struct str rest, void *ctx)
{
    struct records *rs = ctx;
    (void)n_params;
    if (rest.n > 0 && key_holds_rest(route)) {
        add_rest_names(rs, route, params, rest);
    } else {
        struct arena *a = &rs->rq->arena;
        add_record(rs, RECORD_GLOB, key_route_glob(route, params, rest, a), false);
    }
}

/* A write to a cached route (`method_body on`) that does not say what it invalidates: all that
 * the route's reads may have left. */
static void own_records(struct records *rs)
{
    const struct request *rq = rs->rq;
    if (rq->route->cached && rq->route->n_invalidate == 0) {
        add_route_names(rq->route, rq->kc.params, rq->match.n_params, STR_NULL, rs);
    }
}

/* Names of the cached routes that a path (canonical) may be stored under. */
static void path_records(struct records *rs, struct str path)
{
    route_each_cached_for_path(rs->rq->config->runtime->routes, rs->rq->site, path,
                               add_route_names, rs);
}

/* Location and Content-Location of the same site (RFC 9111 4.4). */
static void answer_target(struct records *rs, const struct msg *answer, enum field_id id)
{
    struct request *rq = rs->rq;
    struct str value = msg_get(answer, id);
    struct target t;
    if (value.n == 0) {
        return;
    }
    struct str path = str_make(value.p, str_index(value, '#'));
    if (target_parse(path, &rq->arena, &t) != NULL) {
        return;
    }
    if (t.form == TARGET_ABSOLUTE) {
        struct host h;
        if (!host_parse(t.authority, str_eq(t.scheme, STR("https")), &rq->arena, &h) ||
            route_site(rq->config->runtime->routes, h.name) != rq->site) {
            return;
        }
    } else if (t.form != TARGET_ORIGIN) {
        return;
    }
    path_records(rs, t.path);
}

static void answer_records(struct records *rs, const struct msg *answer)
{
    struct tag_set tags;
    answer_target(rs, answer, FIELD_LOCATION);
    answer_target(rs, answer, FIELD_CONTENT_LOCATION);
    tags_invalidated(answer, &rs->rq->arena, &tags);
    rs->all = rs->all || tags.incomplete;
    for (size_t i = 0; i < tags.n; i++) {
        add_record(rs, RECORD_TAG, tags.list[i], false);
    }
}

static void on_appended(void *ctx, enum append_outcome outcome)
{
    struct request *rq = ctx;
    if (redis_tier_settings(rq->worker->node->redis)->causal) {
        struct append_place place;
        journal_append_place(rq->append, &place);
        rq->position = position_text(&place, &rq->arena);
    }
    rq->append = NULL;
    rq->invalidation_pending = outcome == APPEND_PENDING;
    exchange_release_held(rq);
}

/* Into the journal: at once in memory, or through Redis, which the answer waits for. */
static void record_all(struct request *rq, const struct records *rs)
{
    struct worker *w = rq->worker;
    struct journal_link *link = redis_tier_link(w->node->redis);
    if (link == NULL) {
        journal_apply(w->node->journal, rs->list, rs->n);
        return;
    }
    if (rq->intent != 0) {
        rq->append = journal_intent_commit(link, w->loop, rq->intent, rq->redis_spent, rs->list,
                                           rs->n, on_appended, rq);
        rq->intent = 0;
    } else {
        rq->append = journal_link_append(link, w->loop, rs->list, rs->n, on_appended, rq);
    }
    if (rq->client == NULL) {
        journal_append_cancel(rq->append); /* nobody waits for the answer */
        rq->append = NULL;
    }
}

/* The status as far as it says what became of the write; 0: nobody knows. A refusal does not,
 * when the write had been sent before and that attempt's answer was lost: it may be refused
 * because it was carried out (a DELETE repeated is told 404). */
static int known_status(const struct request *rq, const struct msg *answer)
{
    bool lost = answer == NULL || answer->status == 502 || answer->status == 504;
    if (lost || (rq->fetch != NULL && fetch_sent_before(rq->fetch))) {
        return 0;
    }
    return answer->status;
}

static struct records *collect_records(struct request *rq, int status, const struct msg *answer)
{
    struct records *rs = arena_alloc(&rq->arena, sizeof(*rs));
    rs->rq = rq;
    rs->n = 0;
    rs->all = rs->widened = false;
    route_records(rs, status);
    own_records(rs);
    path_records(rs, rq->target.path);
    if (answer != NULL) {
        answer_records(rs, answer);
    }
    return rs;
}

size_t invalidate_preview(struct request *rq, const struct record **list)
{
    if (!rq->unsafe || rq->site == NULL) {
        return 0;
    }
    struct records *rs = collect_records(rq, 200, NULL);
    if (rs->all) {
        rs->list[0] = (struct record){.kind = RECORD_ALL};
        rs->n = 1;
    }
    *list = rs->list;
    return rs->n;
}

uint64_t invalidate_after_write(struct request *rq, const struct msg *answer)
{
    if (!rq->unsafe || rq->invalidated || rq->site == NULL) {
        return 0;
    }
    int status = known_status(rq, answer);
    bool unknown = status == 0;
    if (!unknown && !policy_invalidates(status)) {
        intent_end(rq);
        return 0;
    }
    rq->invalidated = true;
    struct records *rs = collect_records(rq, status, answer);
    if (rs->widened) {
        log_info("invalidation widened: %.*s %.*s names what the write does not resolve",
                 STR_ARG(rq->msg.method_name), STR_ARG(rq->route->label));
    }
    if (rs->all) {
        rs->list[0] = (struct record){.kind = RECORD_ALL};
        rs->n = 1;
    }
    request_stats_add(rq, rs->widened ? STATS_WIDENED : STATS_INVALIDATIONS, rs->n);
    if (rs->n > 0) {
        record_all(rq, rs);
        if (rq->route->settle > 0) {
            settle_later(rq->worker, rs->list, rs->n, rq->route->settle);
        }
    }
    return rs->n;
}
