/*
 * What is wrong, judged from what the tiers, the journal and the upstreams say of themselves. A
 * problem is known by its words: the same words a second later are the same problem.
 */
#include "admin/health_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "admin/admin.h"
#include "admin/table.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cache/journal_link.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/refresh.h"
#include "upstream/origin.h"

#define LOOK_MS      1000
#define WARM_MAX_MS  5000  /* Redis that has not answered by then is a problem, not a start */
#define FETCH_MAX_MS 60000 /* the same for a first scheduled fetch */
#define PROBLEMS_MAX 64

struct problem {
    const char *what; /* constant: "redis", "upstream" */
    char detail[160];
    msec_t since; /* wall time */
    bool seen;    /* in the look under way */
};

struct health_view {
    const struct admin_context *context;
    struct deadline look;
    struct problem problems[PROBLEMS_MAX];
    size_t n;
    enum health_status status;
    msec_t since; /* wall time of its last change */
};

/* ---- problems -----------------------------------------------------------------------------
 */

static void note(struct health_view *h, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void note(struct health_view *h, const char *what, const char *fmt, ...)
{
    char detail[sizeof(h->problems[0].detail)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    for (size_t i = 0; i < h->n; i++) {
        if (strcmp(h->problems[i].what, what) == 0 &&
            strcmp(h->problems[i].detail, detail) == 0) {
            h->problems[i].seen = true;
            return;
        }
    }
    if (h->n < PROBLEMS_MAX) {
        struct problem *p = &h->problems[h->n++];
        *p = (struct problem){.what = what, .since = h->context->loop->wall, .seen = true};
        memcpy(p->detail, detail, sizeof(detail));
    }
}

/* Those that are over go. */
static void drop_unseen(struct health_view *h)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->n; i++) {
        if (h->problems[i].seen) {
            h->problems[kept] = h->problems[i];
            h->problems[kept++].seen = false;
        }
    }
    h->n = kept;
}

/* True while the journal is read for the first time. */
static bool look_at_journal(struct health_view *h)
{
    const struct admin_context *x = h->context;
    const struct journal_link *link = redis_tier_link(x->node->redis);
    struct journal_link_stats stats;
    journal_link_stats_get(link, &stats);
    if (stats.lag < 0 && x->loop->now - x->started_mono < WARM_MAX_MS) {
        return true;
    }
    if (!journal_link_certain(link, x->loop->now)) {
        note(h, "journal", "it is not certain that every invalidation of other nodes is known");
    }
    if (stats.outbox > 0) {
        note(h, "outbox", "invalidations wait to be told to the other nodes");
    }
    return false;
}

static void look_at_redis(struct health_view *h)
{
    struct redis_tier_info info;
    redis_tier_info_get(h->context->node->redis, &info);
    if (strcmp(info.state, "connected") != 0) {
        note(h, "redis", "%s", info.state);
    }
    for (size_t i = 0; i < REDIS_ROLES; i++) {
        if (info.breakers[i].name != NULL && info.breakers[i].state != REDIS_BREAKER_CLOSED) {
            note(h, "breaker", "%s is open", info.breakers[i].name);
        }
    }
    if (info.facts.eviction == REDIS_EVICTS_ANYTHING) {
        note(h, "redis", "maxmemory-policy %s can evict the journal", info.facts.policy);
    }
}

static void look_at_upstreams(struct health_view *h)
{
    const struct admin_context *x = h->context;
    struct origins *origins = (*x->runtime)->origins;
    for (size_t i = 0; i < origins_count(origins); i++) {
        const struct origin *o = origins_get(origins, (unsigned)i);
        size_t down = 0;
        for (size_t k = 0; k < o->n_servers; k++) {
            down += !origin_server_up(&o->servers[k], x->loop->now);
        }
        if (down == o->n_servers) {
            note(h, "upstream", "%.*s: every server is down", STR_ARG(o->settings->name));
            continue;
        }
        for (size_t k = 0; k < o->n_servers && down > 0; k++) {
            if (!origin_server_up(&o->servers[k], x->loop->now)) {
                note(h, "upstream", "%.*s: %.*s is down", STR_ARG(o->settings->name),
                     STR_ARG(o->servers[k].settings->url));
            }
        }
    }
}

/* True while what is fetched on a schedule is fetched for the first time. */
static bool look_at_refresh(struct health_view *h)
{
    const struct admin_context *x = h->context;
    struct refresh_summary summary = {0};
    if (x->refresh != NULL) {
        refresh_summary(x->refresh, &summary);
    }
    if (summary.failed > 0) {
        note(h, "scheduler", "the last refresh of some routes has failed: see /metadata");
    }
    return summary.warming && x->loop->now - x->started_mono < FETCH_MAX_MS;
}

enum health_status health_view_status(struct health_view *h)
{
    const struct node *node = h->context->node;
    bool warming = false;
    if (node->redis != NULL) {
        warming = look_at_journal(h);
        if (!warming) {
            look_at_redis(h);
        }
    }
    look_at_upstreams(h);
    warming = look_at_refresh(h) || warming;
    drop_unseen(h);
    enum health_status status = h->n > 0 ? HEALTH_DEGRADED : HEALTH_HEALTHY;
    status = warming ? HEALTH_WARMING : status;
    status = atomic_load(&node->draining) ? HEALTH_DOWN : status;
    if (status != h->status) {
        h->status = status;
        h->since = h->context->loop->wall;
    }
    return status;
}

static void on_look(struct deadline *d)
{
    struct health_view *h = container_of(d, struct health_view, look);
    (void)health_view_status(h);
    deadline_set(h->context->loop, d, LOOK_MS);
}

/* ---- life ---------------------------------------------------------------------------------
 */

struct health_view *health_view_new(const struct admin_context *context)
{
    struct health_view *h = xcalloc(1, sizeof(*h));
    h->context = context;
    (void)health_view_status(h);
    h->since = context->started;
    deadline_init(&h->look, on_look);
    deadline_set(context->loop, &h->look, LOOK_MS);
    return h;
}

void health_view_free(struct health_view *h)
{
    deadline_cancel(&h->look);
    free(h);
}

/* ---- endpoints ----------------------------------------------------------------------------
 */

const char *health_status_name(enum health_status status)
{
    static const char *const names[] = {[HEALTH_HEALTHY] = "HEALTHY",
                                        [HEALTH_WARMING] = "WARMING",
                                        [HEALTH_DEGRADED] = "DEGRADED",
                                        [HEALTH_DOWN] = "DOWN"};
    return names[status];
}

void health_time(msec_t wall, char out[HEALTH_TIME_MAX])
{
    time_t seconds = (time_t)(wall / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, HEALTH_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, HEALTH_TIME_MAX - n, ".%03dZ", (int)(wall % 1000));
}

static void add_time(cJSON *tree, const char *name, msec_t wall)
{
    char text[HEALTH_TIME_MAX];
    health_time(wall, text);
    cJSON_AddStringToObject(tree, name, text);
}

static void add_scheduler(cJSON *tree, const struct refresh *refresh)
{
    struct refresh_summary summary = {0};
    if (refresh != NULL) {
        refresh_summary(refresh, &summary);
    }
    cJSON *scheduler = cJSON_AddObjectToObject(tree, "scheduler");
    cJSON_AddBoolToObject(scheduler, "running", summary.jobs > 0);
    cJSON_AddNumberToObject(scheduler, "routes", (double)summary.jobs);
    cJSON_AddNumberToObject(scheduler, "failed", (double)summary.failed);
}

void endpoint_health(struct admin_call *call)
{
    struct health_view *h = admin_context(call)->health;
    enum health_status status = health_view_status(h);
    cJSON *tree = cJSON_CreateObject();
    cJSON_AddStringToObject(tree, "status", health_status_name(status));
    add_time(tree, "since", h->since);
    cJSON *list = cJSON_AddArrayToObject(tree, "problems");
    for (size_t i = 0; i < h->n; i++) {
        cJSON *p = cJSON_CreateObject();
        cJSON_AddStringToObject(p, "what", h->problems[i].what);
        cJSON_AddStringToObject(p, "detail", h->problems[i].detail);
        add_time(p, "since", h->problems[i].since);
        cJSON_AddItemToArray(list, p);
    }
    add_scheduler(tree, admin_context(call)->refresh);
    admin_json(call, status == HEALTH_DOWN ? 503 : 200, tree);
}

void endpoint_livez(struct admin_call *call)
{
    admin_text(call, 200, "text/plain; charset=utf-8", STR("ok\n"));
}

void endpoint_readyz(struct admin_call *call)
{
    enum health_status status = health_view_status(admin_context(call)->health);
    if (status == HEALTH_WARMING || status == HEALTH_DOWN) {
        admin_problem(call, 503, "%s", health_status_name(status));
        return;
    }
    admin_text(call, 200, "text/plain; charset=utf-8", STR("ok\n"));
}
