/*
 * Invalidation by hand: by type, pattern, key, tag or route, and all. One record in the journal
 * whatever it matches, so the cost does not depend on the number of entries (design section 6).
 *
 * The answer comes when the record is true on this node; with `wait=all` when every node that
 * is alive has applied it. 202 says that something is still to come: Redis is away and the
 * others will be told later, or not every node has applied it in time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "admin/call.h"
#include "admin/table.h"
#include "base/json.h"
#include "base/mem.h"
#include "cache/journal_link.h"
#include "flow/node.h"
#include "flow/redis_tier.h"

#define WAIT_MS 10000 /* for the other nodes */

/* One invalidation until its answer. */
struct clearing {
    struct admin_call *call;
    struct journal_append *append; /* under way; NULL */
    struct journal_wait *wait;     /* under way; NULL */
    struct append_place place;     /* epoch empty: not in a stream, or not yet */
    char *what;                    /* "products:*", "type:product" */
    uint64_t position;
    bool pending; /* the others have not been told */
    bool wait_all;
};

static struct journal_link *link_of(const struct clearing *c)
{
    return redis_tier_link(admin_context(c->call)->node->redis);
}

static void clearing_free(struct clearing *c)
{
    free(c->what);
    free(c);
}

/* ---- the answer ---------------------------------------------------------------------------
 */

static void add_position(const struct clearing *c, cJSON *tree)
{
    const struct journal *j = admin_context(c->call)->node->journal;
    char position[24], epoch[24];
    bool streamed = c->place.epoch[0] != '\0';
    snprintf(position, sizeof(position), "%" PRIu64, streamed ? c->place.seq : c->position);
    snprintf(epoch, sizeof(epoch), "%016" PRIx64, journal_stamp(j).epoch);
    cJSON_AddStringToObject(tree, "position", position);
    cJSON_AddStringToObject(tree, "epoch", streamed ? c->place.epoch : epoch);
}

/* waiting < 0: not known. */
static void finish(struct clearing *c, uint64_t nodes, int64_t waiting)
{
    struct admin_call *call = c->call;
    bool open = c->pending || (c->wait_all && waiting != 0);
    cJSON *tree = cJSON_CreateObject();
    cJSON_AddBoolToObject(tree, "success", 1);
    cJSON_AddStringToObject(tree, "cleared", c->what);
    if (!c->pending) {
        add_position(c, tree);
    }
    cJSON_AddNullToObject(tree, "count");
    if (open) {
        cJSON_AddBoolToObject(tree, "pending", 1);
    }
    cJSON *applied = cJSON_AddObjectToObject(tree, "applied");
    cJSON_AddBoolToObject(applied, "here", 1);
    cJSON_AddNumberToObject(applied, "nodes", (double)nodes);
    if (waiting < 0) {
        cJSON_AddNullToObject(applied, "waiting");
    } else {
        cJSON_AddNumberToObject(applied, "waiting", (double)waiting);
    }
    admin_audit(call, "cleared %s%s", c->what, c->pending ? ", pending for other nodes" : "");
    clearing_free(c);
    admin_json(call, open ? 202 : 200, tree);
}

static void on_gone(void *ctx)
{
    struct clearing *c = ctx;
    if (c->append != NULL) {
        journal_append_cancel(c->append);
    }
    if (c->wait != NULL) {
        journal_wait_cancel(c->wait);
    }
    clearing_free(c);
}

static void on_waited(void *ctx, uint64_t nodes, uint64_t waiting)
{
    struct clearing *c = ctx;
    c->wait = NULL;
    finish(c, nodes, nodes > 0 ? (int64_t)waiting : -1);
}

static void on_appended(void *ctx, enum append_outcome outcome)
{
    struct clearing *c = ctx;
    struct journal_link_stats stats;
    journal_append_place(c->append, &c->place);
    c->append = NULL;
    c->pending = outcome == APPEND_PENDING;
    if (!c->pending && c->wait_all) {
        c->wait = journal_link_wait(link_of(c), admin_context(c->call)->loop, &c->place,
                                    WAIT_MS, on_waited, c);
        return;
    }
    journal_link_stats_get(link_of(c), &stats);
    finish(c, stats.nodes, stats.alone && !c->pending ? 0 : -1);
}

/* ---- the record ---------------------------------------------------------------------------
 */

static const char *const prefixes[] = {
    [RECORD_NAME] = "",    [RECORD_GLOB] = "",        [RECORD_TYPE] = "type:",
    [RECORD_TAG] = "tag:", [RECORD_ROUTE] = "route:", [RECORD_ALL] = "all",
};

/* Reads `wait` and `soft`, and invalidates. */
static void clear(struct admin_call *call, enum record_kind kind, struct str text)
{
    struct record record = {.kind = kind, .text = text};
    const struct admin_context *x = admin_context(call);
    const char *wait = admin_query(call, "wait");
    if (!admin_query_flag(call, "soft", &record.soft)) {
        return;
    }
    if (wait != NULL && strcmp(wait, "all") != 0) {
        admin_problem(call, 400, "`wait` can only be all");
        return;
    }
    struct clearing *c = xcalloc(1, sizeof(*c));
    struct strbuf what = {0};
    strbuf_addf(&what, "%s%.*s", prefixes[kind], STR_ARG(text));
    c->what = str_dup(strbuf_str(&what));
    strbuf_free(&what);
    c->call = call;
    c->wait_all = wait != NULL;
    struct journal_link *link = redis_tier_link(x->node->redis);
    if (link == NULL) {
        c->position = journal_apply(x->node->journal, &record, 1);
        finish(c, 1, 0);
        return;
    }
    admin_keep(call, on_gone, c);
    c->append = c->wait_all
                    ? journal_link_append_watched(link, x->loop, &record, 1, on_appended, c)
                    : journal_link_append(link, x->loop, &record, 1, on_appended, c);
}

/* ---- what is meant ------------------------------------------------------------------------
 */

static bool has_type(const struct settings *s, struct str type)
{
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].n_routes; k++) {
            if (str_eq(s->sites[i].routes[k].type, type)) {
                return true;
            }
        }
    }
    return false;
}

/* A type that no route has is a mistake, not a success that cleared nothing. */
static void clear_type(struct admin_call *call, struct str type)
{
    if (!has_type((*admin_context(call)->runtime)->settings, type)) {
        admin_problem(call, 404, "no route has the type `%.*s`", STR_ARG(type));
        return;
    }
    clear(call, RECORD_TYPE, type);
}

/* One value of a known kind; text is not empty. */
static void clear_kind(struct admin_call *call, enum record_kind kind, struct str text)
{
    static const struct {
        struct str prefix;
        enum record_kind kind;
    } words[] = {
        {{"type:", 5}, RECORD_TYPE}, {{"tag:", 4}, RECORD_TAG}, {{"route:", 6}, RECORD_ROUTE}};
    if (text.n > GLOB_MAX) {
        admin_problem(call, 400, "more than %d bytes", GLOB_MAX);
        return;
    }
    /* As in proxy.conf; no name begins so. */
    for (size_t i = 0; i < 3 && kind == RECORD_GLOB; i++) {
        if (str_starts(text, words[i].prefix) && text.n > words[i].prefix.n) {
            kind = words[i].kind;
            text = str_skip(text, words[i].prefix.n);
        }
    }
    if (kind == RECORD_TYPE) {
        clear_type(call, text);
    } else {
        clear(call, kind, text);
    }
}

/* ---- endpoints ----------------------------------------------------------------------------
 */

void endpoint_invalidate_type(struct admin_call *call)
{
    clear_type(call, admin_rest(call));
}

void endpoint_delete_key(struct admin_call *call)
{
    /* The variants of a name go together. */
    struct str name = entry_base_name(admin_rest(call));
    if (name.n == 0) {
        admin_problem(call, 400, "a name does not begin with #");
        return;
    }
    clear_kind(call, RECORD_NAME, name);
}

/* Members of the body and parameters of DELETE /cache, of which one says what is meant. */
static const struct {
    const char *name;
    enum record_kind kind;
} subjects[] = {
    {"pattern", RECORD_GLOB}, {"key", RECORD_NAME},    {"type", RECORD_TYPE},
    {"tag", RECORD_TAG},      {"route", RECORD_ROUTE},
};
#define N_SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

static const enum record_kind *subject_kind(const char *name)
{
    for (size_t i = 0; i < N_SUBJECTS; i++) {
        if (strcmp(subjects[i].name, name) == 0) {
            return &subjects[i].kind;
        }
    }
    return NULL;
}

void endpoint_invalidate_pattern(struct admin_call *call)
{
    const cJSON *body = admin_body_object(call, false);
    if (body == NULL) {
        return;
    }
    const cJSON *member = body->child;
    const enum record_kind *kind = member != NULL ? subject_kind(member->string) : NULL;
    if (kind == NULL || member->next != NULL) {
        admin_problem(call, 400,
                      "the body has exactly one of pattern, key, type, tag, route: "
                      "{\"pattern\":\"products:*\"}");
        return;
    }
    struct str text = json_string(member);
    if (text.n == 0) {
        admin_problem(call, 400, "`%s` is a string that is not empty", member->string);
        return;
    }
    clear_kind(call, *kind, text);
}

/* Nothing is meant but everything: a body that names something is a mistake. */
void endpoint_clear_all(struct admin_call *call)
{
    const cJSON *body = admin_body_object(call, true);
    if (body != NULL && body->child != NULL) {
        admin_problem(call, 400, "this clears everything and takes no members");
        return;
    }
    clear(call, RECORD_ALL, STR_NULL);
}

/* The subject among the parameters; NULL for none. False when answered: more than one. */
static bool query_subject(struct admin_call *call, const char **text, enum record_kind *kind)
{
    *text = NULL;
    for (size_t i = 0; i < N_SUBJECTS; i++) {
        const char *value = admin_query(call, subjects[i].name);
        if (value == NULL) {
            continue;
        }
        if (*text != NULL) {
            admin_problem(call, 400, "only one of pattern, key, type, tag, route can be given");
            return false;
        }
        *text = value;
        *kind = subjects[i].kind;
    }
    return true;
}

void endpoint_delete_cache(struct admin_call *call)
{
    const char *text;
    enum record_kind kind = RECORD_ALL;
    const char *all = admin_query(call, "all");
    if (!query_subject(call, &text, &kind)) {
        return;
    }
    if (text != NULL && all == NULL) {
        clear_kind(call, kind, str_from(text));
    } else if (text == NULL && all != NULL && strcmp(all, "yes") == 0) {
        clear(call, RECORD_ALL, STR_NULL);
    } else {
        admin_problem(call, 400,
                      "say what: pattern=…, key=…, type=…, tag=…, route=… or all=yes");
    }
}

/* As the applications had it: without a pattern everything goes. */
void endpoint_delete_all(struct admin_call *call)
{
    const char *pattern = admin_query(call, "pattern");
    if (pattern != NULL) {
        clear_kind(call, RECORD_GLOB, str_from(pattern));
    } else {
        clear(call, RECORD_ALL, STR_NULL);
    }
}
