/*
 * Making the tree. Names of fields are fixed (design section 9); what a figure means is said in
 * tbl/counters.def and docs/metrics.md.
 */
#include "admin/stats_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/mem.h"
#include "flow/node.h"
#include "flow/redis_tier.h"

/* Sums of one type. */
struct type_sum {
    struct str type;
    struct stats_sum sum;
};

/* What is gathered on one walk over the labels. */
struct totals {
    struct stats_sum all;
    uint64_t reasons[STATS_REASONS];
    struct type_sum *types;
    size_t n_types;
    uint32_t *labels;   /* in use, most requests first once sorted */
    uint64_t *requests; /* by label */
    size_t n_labels;
};

/* ---- small things ------------------------------------------------------------------------ */

static void put_str(cJSON *to, const char *name, struct str value)
{
    char *text = str_dup(value);
    cJSON_AddStringToObject(to, name, text);
    free(text);
}

static void put_text_or_null(cJSON *to, const char *name, struct str value)
{
    if (value.n > 0) {
        put_str(to, name, value);
    } else {
        cJSON_AddNullToObject(to, name);
    }
}

static void put_number(cJSON *to, const char *name, double value)
{
    if (isnan(value)) {
        cJSON_AddNullToObject(to, name);
    } else {
        cJSON_AddNumberToObject(to, name, value);
    }
}

/* Three decimals are enough for a person and short on the wire. */
static double rounded(double v)
{
    return round(v * 1000) / 1000;
}

static void put_times(cJSON *to, const char *name, const struct histogram *h)
{
    static const struct {
        const char *name;
        double part;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
    cJSON *o = cJSON_AddObjectToObject(to, name);
    uint64_t n = histogram_count(h);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        put_number(o, quantiles[i].name,
                   n > 0 ? rounded(histogram_quantile(h, quantiles[i].part) / 1000)
                         : (double)NAN);
    }
    put_number(o, "max", n > 0 ? (double)counter_get(&h->max) / 1000 : (double)NAN);
    put_number(o, "count", (double)n);
}

/* ---- sums -------------------------------------------------------------------------------- */

static struct stats_sum *type_sum(struct totals *t, struct str type)
{
    for (size_t i = 0; i < t->n_types; i++) {
        if (str_eq(t->types[i].type, type)) {
            return &t->types[i].sum;
        }
    }
    t->types = xrealloc(t->types, (t->n_types + 1) * sizeof(*t->types));
    t->types[t->n_types] = (struct type_sum){.type = type};
    return &t->types[t->n_types++].sum;
}

static void gather(struct totals *t, const struct stats *s)
{
    uint32_t n = stats_labels(s);
    t->labels = xcalloc(n, sizeof(*t->labels));
    t->requests = xcalloc(n, sizeof(*t->requests));
    for (uint32_t i = 0; i < n; i++) {
        if (!stats_label_used(s, i)) {
            continue;
        }
        struct str type = stats_label(s, i)->type;
        t->labels[t->n_labels++] = i;
        t->requests[i] = stats_requests(s, i);
        stats_sum_add(&t->all, s, i);
        if (type.n > 0) {
            stats_sum_add(type_sum(t, type), s, i);
        }
        for (unsigned k = 0; k < STATS_REASONS; k++) {
            t->reasons[k] += stats_reason_sum(s, i, k);
        }
    }
}

static int by_requests(const void *a, const void *b, void *ctx)
{
    const uint64_t *requests = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (requests[x] != requests[y]) {
        return requests[x] > requests[y] ? -1 : 1;
    }
    return x < y ? -1 : x > y;
}

/* ---- parts ------------------------------------------------------------------------------- */

/* Counters of tbl/counters.def under their own names. */
static void put_counters(cJSON *to, const struct stats_sum *sum,
                         const enum stats_route_counter *list, size_t n)
{
    static const char *const names[STATS_ROUTE_COUNTERS] = {
#define ROUTE(id, name, metric, label, value, help) name,
#include "tbl/counters.def"
    };
    for (size_t i = 0; i < n; i++) {
        cJSON_AddNumberToObject(to, names[list[i]], (double)sum->counts[list[i]]);
    }
}

static void put_saved(cJSON *to, const struct stats_sum *sum)
{
    cJSON *o = cJSON_AddObjectToObject(to, "saved");
    uint64_t micros = sum->counts[STATS_SAVED_MICROS];
    cJSON_AddNumberToObject(o, "requests", (double)sum->counts[STATS_SAVED]);
    cJSON_AddNumberToObject(o, "seconds", rounded(sum->saved_seconds));
    put_number(o, "money", micros > 0 ? (double)micros / 1e6 : (double)NAN);
}

/* What totals, types and routes have in common. */
static void put_sum(cJSON *to, const struct stats_sum *sum)
{
    static const enum stats_route_counter list[] = {
        STATS_HIT,    STATS_MISS,      STATS_ERRORS, STATS_STALE,     STATS_REVALIDATED,
        STATS_BYPASS, STATS_PASS,      STATS_OWN,    STATS_ABANDONED, STATS_COALESCED,
        STATS_STORED, STATS_REFRESHES, STATS_SENT,   STATS_RECEIVED,  STATS_UPSTREAM_REQUESTS,
    };
    put_counters(to, sum, list, sizeof(list) / sizeof(list[0]));
    cJSON_AddNumberToObject(to, "total_requests", (double)stats_sum_requests(sum));
    cJSON_AddNumberToObject(
        to, "hit_rate",
        rounded(stats_hit_rate(sum->counts[STATS_HIT], sum->counts[STATS_MISS])));
    cJSON *latency = cJSON_AddObjectToObject(to, "latency_ms");
    put_times(latency, "hit", &sum->times[STATS_TIME_HIT]);
    put_times(latency, "miss", &sum->times[STATS_TIME_MISS]);
    put_times(to, "upstream_ms", &sum->times[STATS_TIME_UPSTREAM]);
    put_saved(to, sum);
}

static void put_tiers(cJSON *to, const struct stats_sum *sum, const double *v)
{
    cJSON *tiers = cJSON_AddObjectToObject(to, "tiers");
    cJSON *l1 = cJSON_AddObjectToObject(tiers, "l1");
    cJSON *l2 = cJSON_AddObjectToObject(tiers, "l2");
    put_number(l1, "hits", (double)sum->counts[STATS_HIT_L1]);
    put_number(l1, "bytes", v[STATS_VALUE_L1_BYTES]);
    put_number(l1, "capacity", v[STATS_VALUE_L1_CAPACITY]);
    put_number(l1, "entries", v[STATS_VALUE_L1_ENTRIES]);
    put_number(l1, "evictions", v[STATS_VALUE_L1_EVICTIONS]);
    put_number(l2, "hits", (double)sum->counts[STATS_HIT_L2]);
    put_number(l2, "misses", v[STATS_VALUE_L2_MISSES] + v[STATS_VALUE_L2_OTHERS]);
    put_number(l2, "errors",
               v[STATS_VALUE_L2_FAILED] + v[STATS_VALUE_L2_DAMAGED] +
                   v[STATS_VALUE_L2_WRITE_ERRORS]);
    put_number(l2, "stores", v[STATS_VALUE_L2_WRITES]);
    put_number(l2, "refused", v[STATS_VALUE_L2_TOO_LARGE]);
}

static void put_reasons(cJSON *to, const struct totals *t, const struct stats *s)
{
    cJSON *o = cJSON_AddObjectToObject(to, "reasons");
    for (unsigned i = REASON_NONE + 1; i < STATS_REASONS; i++) {
        struct str word = stats_reason_word(s, i);
        if (t->reasons[i] > 0 && word.n > 0) {
            char *name = str_dup(word);
            cJSON_AddNumberToObject(o, name, (double)t->reasons[i]);
            free(name);
        }
    }
}

static void put_routes(cJSON *to, struct totals *t, const struct stats *s)
{
    cJSON *list = cJSON_AddArrayToObject(to, "routes");
    qsort_r(t->labels, t->n_labels, sizeof(*t->labels), by_requests, t->requests);
    for (size_t i = 0; i < t->n_labels && i < STATS_JSON_ROUTES; i++) {
        const struct stats_label *l = stats_label(s, t->labels[i]);
        struct stats_sum *sum = xcalloc(1, sizeof(*sum));
        cJSON *o = cJSON_CreateObject();
        stats_sum_add(sum, s, t->labels[i]);
        put_str(o, "route", l->label);
        put_text_or_null(o, "site", l->site);
        put_text_or_null(o, "type", l->type);
        put_sum(o, sum);
        cJSON_AddItemToArray(list, o);
        free(sum);
    }
}

static void put_types(cJSON *to, const struct totals *t)
{
    cJSON *list = cJSON_AddArrayToObject(to, "types");
    for (size_t i = 0; i < t->n_types; i++) {
        cJSON *o = cJSON_CreateObject();
        put_str(o, "type", t->types[i].type);
        put_sum(o, &t->types[i].sum);
        cJSON_AddItemToArray(list, o);
    }
}

static cJSON *server_tree(const struct origin_server *s, msec_t now)
{
    cJSON *o = cJSON_CreateObject();
    put_str(o, "address", s->settings->url);
    cJSON_AddStringToObject(o, "state", origin_server_up(s, now) ? "up" : "down");
    put_number(o, "requests", (double)atomic_load(&s->counts->requests));
    put_number(o, "failures", (double)atomic_load(&s->counts->failures));
    put_number(o, "active", (double)atomic_load(&s->in_flight));
    return o;
}

static void put_upstreams(cJSON *to, const struct stats_source *from)
{
    struct origins *all = from->runtime->origins;
    cJSON *list = cJSON_AddArrayToObject(to, "upstreams");
    for (size_t i = 0; i < origins_count(all); i++) {
        const struct origin *origin = origins_get(all, (unsigned)i);
        cJSON *o = cJSON_CreateObject();
        put_str(o, "upstream", origin->settings->name);
        cJSON *servers = cJSON_AddArrayToObject(o, "servers");
        for (size_t k = 0; k < origin->n_servers; k++) {
            cJSON_AddItemToArray(servers, server_tree(&origin->servers[k], from->now));
        }
        cJSON_AddItemToArray(list, o);
    }
}

/* ---- Redis and the journal --------------------------------------------------------------- */

static void put_leases(cJSON *to, const double *v)
{
    static const char *const names[STATS_VALUES] = {
#define VALUE(id, name, metric, label, value, help) [STATS_VALUE_##id] = name,
#include "tbl/counters.def"
    };
    cJSON *o = cJSON_AddObjectToObject(to, "leases");
    for (int i = STATS_VALUE_LEASES_TAKEN; i <= STATS_VALUE_LEASE_WAITS_SILENT; i++) {
        put_number(o, names[i], v[i]);
    }
}

static void put_redis(cJSON *to, const struct stats_source *from, const double *v)
{
    static const char *const states[] = {[REDIS_BREAKER_CLOSED] = "closed",
                                         [REDIS_BREAKER_OPEN] = "open",
                                         [REDIS_BREAKER_HALF_OPEN] = "half-open"};
    struct redis_tier_info info;
    cJSON *breakers = cJSON_AddArrayToObject(to, "breakers");
    if (from->node->redis == NULL || redis_tier_link(from->node->redis) == NULL) {
        cJSON_AddNullToObject(to, "redis");
        return;
    }
    redis_tier_info_get(from->node->redis, &info);
    for (int i = 0; i < REDIS_ROLES; i++) {
        cJSON *b = cJSON_CreateObject();
        cJSON_AddStringToObject(b, "name", info.breakers[i].name);
        cJSON_AddStringToObject(b, "state", states[info.breakers[i].state]);
        cJSON_AddItemToArray(breakers, b);
    }
    cJSON *o = cJSON_AddObjectToObject(to, "redis");
    cJSON_AddBoolToObject(o, "connected", info.connected);
    cJSON_AddStringToObject(o, "state", info.state);
    put_number(o, "used_memory", v[STATS_VALUE_REDIS_MEMORY]);
    put_number(o, "keys", v[STATS_VALUE_REDIS_KEYS]);
    cJSON_AddStringToObject(o, "policy", info.facts.policy);
    put_leases(o, v);
}

static void put_journal(cJSON *to, const struct stats_source *from, const double *v)
{
    cJSON *o = cJSON_AddObjectToObject(to, "journal");
    char text[24];
    snprintf(text, sizeof(text), "%016llx",
             (unsigned long long)journal_stamp(from->node->journal).epoch);
    cJSON_AddStringToObject(o, "epoch", text);
    snprintf(text, sizeof(text), "%.0f", v[STATS_VALUE_JOURNAL_POSITION]);
    cJSON_AddStringToObject(o, "position", text);
    put_number(o, "lag_ms", v[STATS_VALUE_JOURNAL_LAG] * 1000);
    put_number(o, "patterns", v[STATS_VALUE_JOURNAL_PATTERNS]);
    put_number(o, "shapes", v[STATS_VALUE_JOURNAL_SHAPES]);
    put_number(o, "outbox", v[STATS_VALUE_JOURNAL_OUTBOX]);
    put_number(o, "nodes", v[STATS_VALUE_JOURNAL_NODES]);
    put_number(o, "intents", v[STATS_VALUE_JOURNAL_INTENTS]);
    put_number(o, "healed", v[STATS_VALUE_JOURNAL_HEALED]);
    put_number(o, "unannounced", v[STATS_VALUE_JOURNAL_UNANNOUNCED]);
    cJSON_AddBoolToObject(o, "uncertain", v[STATS_VALUE_JOURNAL_UNCERTAIN] > 0);
    cJSON_AddBoolToObject(o, "alone", v[STATS_VALUE_JOURNAL_NODES] <= 1);
}

static void put_connections(cJSON *to, const struct stats *s, const double *v)
{
    cJSON *o = cJSON_AddObjectToObject(to, "connections");
    put_number(o, "clients", v[STATS_VALUE_CLIENTS]);
    put_number(o, "upstream", v[STATS_VALUE_UPSTREAM_CONNECTIONS]);
    put_number(o, "accepted", (double)stats_worker_sum(s, STATS_WORKER_ACCEPTED));
    put_number(o, "refused", (double)stats_worker_sum(s, STATS_WORKER_REFUSED));
}

/* The fields that the five teams' own /stats had (requirements). */
static void put_summary(cJSON *to, const double *v)
{
    bool redis = v[STATS_VALUE_REDIS_CONNECTED] > 0;
    cJSON_AddStringToObject(to, "version", LARDER_VERSION);
    cJSON_AddNumberToObject(to, "uptime_seconds", rounded(v[STATS_VALUE_UPTIME]));
    cJSON_AddBoolToObject(to, "is_available", true);
    cJSON_AddStringToObject(to, "backend", redis ? "redis+memory" : "memory");
    cJSON_AddBoolToObject(to, "redis_connected", redis);
    put_number(to, "redis_used_memory", v[STATS_VALUE_REDIS_MEMORY]);
    put_number(to, "redis_keys", v[STATS_VALUE_REDIS_KEYS]);
    put_number(to, "memory_cache_size", v[STATS_VALUE_L1_ENTRIES]);
    put_number(to, "keys", v[STATS_VALUE_L1_ENTRIES]);
    put_number(to, "memory", v[STATS_VALUE_L1_BYTES]);
    put_number(to, "log_lost", v[STATS_VALUE_LOG_LOST]);
}

struct cJSON *stats_json(const struct stats_source *from)
{
    const struct stats *s = from->node->stats;
    struct totals *t = xcalloc(1, sizeof(*t));
    cJSON *root = cJSON_CreateObject();
    double values[STATS_VALUES];
    stats_values(from, values);
    gather(t, s);
    put_summary(root, values);
    put_sum(root, &t->all);
    put_tiers(root, &t->all, values);
    put_reasons(root, t, s);
    put_routes(root, t, s);
    put_types(root, t);
    put_upstreams(root, from);
    put_redis(root, from, values);
    put_journal(root, from, values);
    put_connections(root, s, values);
    free(t->labels);
    free(t->requests);
    free(t->types);
    free(t);
    return root;
}
