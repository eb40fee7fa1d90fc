/*
 * What was found out about a request, as the JSON of POST /explain. Names and values of the
 * request that end up in it have passed through the key's encoding or json_add_text().
 */
#include <cjson/cJSON.h>

#include "base/json_text.h"
#include "flow/explain_parts.h"
#include "flow/reply.h"

/* ---- route ------------------------------------------------------------------------------ */

static void add_route(cJSON *root, const struct request *rq)
{
    const struct route_settings *r = rq->route;
    if (r == NULL) {
        cJSON_AddNullToObject(root, "route");
        return;
    }
    cJSON *route = cJSON_AddObjectToObject(root, "route");
    bool listed = r->line > 0;
    json_add_text(route, "label", r->label);
    json_add_text(route, "file", listed ? r->file : STR_NULL);
    cJSON_AddItemToObject(route, "line",
                          listed ? cJSON_CreateNumber(r->line) : cJSON_CreateNull());
    json_add_text(route, "type", r->type.n > 0 ? r->type : STR_NULL);
    json_add_text(route, "upstream", rq->up != NULL ? rq->up->name : STR_NULL);
    cJSON_AddBoolToObject(route, "cached", r->cached);
}

/* ---- identities ------------------------------------------------------------------------- */

static struct str detail_of(const struct identity_note *note)
{
    return note->why != NULL                      ? str_from(note->why)
           : note->reason == REASON_IDENTITY_KEYS ? reason_help(REASON_IDENTITY_KEYS)
                                                  : STR_NULL;
}

static void add_identity(cJSON *list, struct str name, const struct identity_note *note,
                         struct str how)
{
    cJSON *item = cJSON_CreateObject();
    json_add_text(item, "name", name);
    cJSON_AddStringToObject(item, "state", explain_identity_state(note->reason));
    json_add_text(item, "how", how);
    json_add_text(item, "detail", detail_of(note));
    cJSON_AddItemToArray(list, item);
}

static void add_identities(cJSON *root, const struct request *rq)
{
    cJSON *list = cJSON_AddArrayToObject(root, "identities");
    const struct settings *s = config_settings(rq->config);
    const struct identity_notes *notes = &rq->notes->identity;
    struct strbuf how = {0};
    if (rq->identity == NULL) {
        return;
    }
    for (size_t i = 0; i < s->n_identities; i++) {
        if ((notes->mask >> i & 1) != 0) {
            how.n = 0;
            explain_identity_how(&s->identities[i], notes->each[i].alg, &how);
            add_identity(list, s->identities[i].name, &notes->each[i], strbuf_str(&how));
        }
    }
    strbuf_free(&how);
    if (rq->route->scope == SCOPE_AUTHENTICATED) {
        struct identity_note note = notes->anybody;
        note.reason = rq->identity->reason;
        add_identity(list, STR("(authenticated)"), &note,
                     STR("any valid jwt, or identity field of a trusted peer"));
    }
}

/* ---- key, tags, ttl --------------------------------------------------------------------- */

static void add_names(cJSON *object, const char *name, const struct str *list, size_t n)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    for (size_t i = 0; i < n && i < KEY_NOTES_MAX; i++) {
        json_push_text(array, list[i]);
    }
}

static void add_key(cJSON *root, struct request *rq)
{
    const struct key_notes *notes = &rq->notes->key;
    const struct redis_settings *redis = &config_settings(rq->config)->redis;
    struct str redis_name = STR_NULL;
    if (redis->on && rq->name.n > 0) {
        redis_name = l2_redis_name(redis->prefix, rq->name, &rq->arena);
    }
    cJSON *key = cJSON_AddObjectToObject(root, "key");
    json_add_text(key, "name", rq->name);
    json_add_text(key, "redis", redis_name);
    json_add_text(key, "template",
                  rq->route != NULL && rq->route->cached ? rq->route->key.text : STR_NULL);
    add_names(key, "dropped", notes->dropped, notes->n_dropped);
    add_names(key, "unlisted", notes->unlisted, notes->n_unlisted);
    json_add_text(key, "vary", rq->vary_names.n > 0 ? rq->vary_names : STR_NULL);
}

static void add_tags(cJSON *root, const struct explanation *x)
{
    struct str *list;
    size_t n = explain_tags(x->rq, x->l1.entry != NULL ? x->l1.entry : x->l2.entry, &list);
    cJSON *array = cJSON_AddArrayToObject(root, "tags");
    for (size_t i = 0; i < n; i++) {
        json_push_text(array, list[i]);
    }
}

static void add_ttl(cJSON *root, const struct request *rq)
{
    static const char *const modes[] = {
        [TTL_NONE] = "none",
        [TTL_FALLBACK] = "fallback",
        [TTL_FORCE] = "force",
        [TTL_ORIGIN] = "origin",
    };
    const struct route_settings *r = rq->route;
    if (r == NULL || !r->cached) {
        cJSON_AddNullToObject(root, "ttl");
        return;
    }
    cJSON *ttl = cJSON_AddObjectToObject(root, "ttl");
    bool own = r->ttl_mode == TTL_FALLBACK || r->ttl_mode == TTL_FORCE;
    cJSON_AddStringToObject(ttl, "mode", modes[r->ttl_mode]);
    cJSON_AddItemToObject(ttl, "ms",
                          own ? cJSON_CreateNumber((double)r->ttl) : cJSON_CreateNull());
    cJSON_AddNumberToObject(ttl, "stale_ms", (double)r->stale);
    cJSON_AddNumberToObject(ttl, "stale_if_error_ms", (double)r->stale_if_error);
}

/* ---- tiers ------------------------------------------------------------------------------ */

static void add_tier(cJSON *root, const char *name, const struct explanation *x,
                     const struct explain_tier *tier)
{
    static const char *const words[] = {
        [TIER_NOT_ASKED] = "not-asked", [TIER_UNAVAILABLE] = "unavailable",
        [TIER_UNKNOWN] = "unknown",     [TIER_NONE] = "none",
        [TIER_OTHER] = "other",         [TIER_DAMAGED] = "damaged",
        [TIER_MARKER] = "marker",       [TIER_INVALIDATED] = "invalidated",
        [TIER_EXPIRED] = "expired",     [TIER_STALE] = "stale",
        [TIER_FRESH] = "fresh",
    };
    cJSON *object = cJSON_AddObjectToObject(root, name);
    cJSON_AddStringToObject(object, "state", words[tier->state]);
    const struct entry *e = tier->entry;
    if (e == NULL) {
        return;
    }
    msec_t age = entry_age(e, x->rq->worker->loop->wall);
    cJSON_AddNumberToObject(object, "age_seconds", (double)(age / 1000));
    cJSON_AddNumberToObject(object, "ttl_seconds", (double)((entry_lifetime(e) - age) / 1000));
    cJSON_AddNumberToObject(object, "bytes", (double)entry_size(e));
    cJSON_AddNumberToObject(object, "status", e->status);
}

/* ---- who fetches ------------------------------------------------------------------------ */

static void add_fetch(cJSON *root, const struct explain_fetch *f)
{
    static const char *const words[] = {
        [SEEN_NOT_ASKED] = "not-asked",
        [SEEN_UNAVAILABLE] = "unavailable",
        [SEEN_NONE] = "none",
        [SEEN_HELD] = "held",
    };
    if (f->under_way) {
        cJSON *flight = cJSON_AddObjectToObject(root, "flight");
        const char *state = f->flight.held ? "held" : f->flight.length > 0 ? "body" : "waiting";
        cJSON_AddStringToObject(flight, "state", state);
        cJSON_AddNumberToObject(flight, "since_ms", (double)f->flight.since);
        cJSON_AddNumberToObject(flight, "readers", (double)f->flight.readers);
        cJSON_AddNumberToObject(flight, "bytes", (double)f->flight.length);
    } else {
        cJSON_AddNullToObject(root, "flight");
    }
    cJSON *lease = cJSON_AddObjectToObject(root, "lease");
    cJSON_AddStringToObject(lease, "state", words[f->lease]);
    if (f->lease == SEEN_HELD) {
        cJSON_AddNumberToObject(lease, "left_ms", (double)f->lease_left);
    }
}

/* ---- what follows ----------------------------------------------------------------------- */

/* A write's own pattern and its path's are often the same. */
static bool said_before(const struct record *list, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (list[k].kind == list[i].kind && str_eq(list[k].text, list[i].text)) {
            return true;
        }
    }
    return false;
}

static void add_invalidates(cJSON *root, const struct explanation *x)
{
    static const char *const kinds[] = {
        [RECORD_GLOB] = "",    [RECORD_NAME] = "",        [RECORD_TYPE] = "type:",
        [RECORD_TAG] = "tag:", [RECORD_ROUTE] = "route:", [RECORD_ALL] = "all",
    };
    cJSON *list = cJSON_AddArrayToObject(root, "invalidates");
    struct strbuf text = {0};
    for (size_t i = 0; i < x->n_records; i++) {
        if (said_before(x->records, i)) {
            continue;
        }
        text.n = 0;
        strbuf_addf(&text, "%s%.*s", kinds[x->records[i].kind], STR_ARG(x->records[i].text));
        json_push_text(list, strbuf_str(&text));
    }
    strbuf_free(&text);
}

static const char *outcome_word(const struct explanation *x)
{
    if (x->end == EXPLAIN_LOOKUP) {
        return "LOOKUP";
    }
    struct str word = reply_result_word(x->rq->result);
    return word.n > 0 ? word.p : "OWN";
}

static void add_request(cJSON *root, const struct explanation *x)
{
    struct request *rq = x->rq;
    cJSON *request = cJSON_AddObjectToObject(root, "request");
    json_add_text(request, "method", rq->msg.method_name);
    json_add_text(request, "path", rq->target.path);
    struct str host = STR_NULL;
    if (rq->host.name.n > 0) {
        host = host_authority(&rq->host, &rq->arena);
    }
    json_add_text(request, "host", host);
    cJSON_AddBoolToObject(request, "host_assumed", x->host_assumed);
}

cJSON *explain_json(struct explanation *x)
{
    struct request *rq = x->rq;
    struct strbuf would = {0};
    cJSON *root = cJSON_CreateObject();
    add_request(root, x);
    add_route(root, rq);
    add_identities(root, rq);
    add_key(root, rq);
    add_tags(root, x);
    add_ttl(root, rq);
    add_tier(root, "l1", x, &x->l1);
    add_tier(root, "l2", x, &x->l2);
    add_fetch(root, &x->fetch);
    add_invalidates(root, x);
    cJSON_AddStringToObject(root, "outcome", outcome_word(x));
    bool known = x->end == EXPLAIN_ANSWERED || x->end == EXPLAIN_SERVE;
    cJSON_AddItemToObject(root, "status",
                          known ? cJSON_CreateNumber(rq->status) : cJSON_CreateNull());
    json_add_text(root, "reason", x->end == EXPLAIN_LOOKUP ? STR("-") : rq->reason_text);
    json_add_text(root, "reason_help",
                  x->end == EXPLAIN_LOOKUP ? STR("it depends on what the caches hold")
                                           : reason_help(rq->reason));
    explain_would(x, &would);
    json_add_text(root, "would", strbuf_str(&would));
    strbuf_free(&would);
    return root;
}
