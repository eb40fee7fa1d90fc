/*
 * Rendering. A family is complete before the next one begins: HELP, TYPE, then the lines of
 * every route. Only routes that have been asked for are there; those that are show their
 * zeroes, so that a rate has something to begin with.
 */
#include "admin/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/alert.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "flow/node.h"
#include "flow/redis_tier.h"

#define PIECE      (32u * 1024u) /* bytes rendered before the loop gets its turn */
#define LOW_BUCKET 4             /* `le` from 2^4 us … */
#define TOP_BUCKET 25            /* … to 2^25 us, each twice the one before */

enum metric_type {
    TYPE_COUNTER,
    TYPE_GAUGE,
    TYPE_HISTOGRAM,
};

enum metric_id {
#define METRIC(id, name, type, unit, labels, help) METRIC_##id,
#include "tbl/counters.def"
    METRICS
};

static const struct {
    const char *name;
    enum metric_type type;
    const char *help;
} metrics[METRICS] = {
#define METRIC(id, name, type, unit, labels, help) {name, TYPE_##type, help},
#include "tbl/counters.def"
};

enum row_kind {
    ROW_ROUTE,
    ROW_WORKER,
    ROW_VALUE,
    ROW_HOOK,
};

static const struct row {
    enum row_kind kind;
    enum metric_id metric;
    unsigned index; /* into the enum of its kind */
    const char *label, *value;
} rows[] = {
#define ROUTE(id, name, metric, label, value, help) \
    {ROW_ROUTE, METRIC_##metric, STATS_##id, label, value},
#define WORKER(id, name, metric, label, value, help) \
    {ROW_WORKER, METRIC_##metric, STATS_WORKER_##id, label, value},
#define VALUE(id, name, metric, label, value, help) \
    {ROW_VALUE, METRIC_##metric, STATS_VALUE_##id, label, value},
#define HOOK(id, name, metric, label, value, help) \
    {ROW_HOOK, METRIC_##metric, ALERT_HOOK_##id, label, value},
#include "tbl/counters.def"
};

struct metrics_page {
    struct stats_source from;
    const struct stats *stats;
    const struct alert *alert;
    double values[STATS_VALUES];
    struct strbuf out;
    unsigned metric; /* the family under way */
    uint32_t label;  /* the next of its labels */
};

/* ---- text -------------------------------------------------------------------------------- */

void metrics_put_value(struct strbuf *out, struct str value)
{
    for (size_t i = 0; i < value.n;) {
        unsigned char c = (unsigned char)value.p[i];
        uint32_t code;
        size_t n = 1;
        if (c >= 0x80) {
            n = utf8_sequence((const unsigned char *)value.p + i, value.n - i, &code);
            strbuf_add_str(out, n > 0 ? str_make(value.p + i, n) : STR("\xef\xbf\xbd"));
            n = n > 0 ? n : 1;
        } else if (c == '\n') {
            strbuf_add_str(out, STR("\\n"));
        } else {
            if (c == '\\' || c == '"') {
                strbuf_add_char(out, '\\');
            }
            strbuf_add_char(out, (char)c);
        }
        i += n;
    }
}

/* One more label; `{` or `,` before it. */
static void put_label(struct strbuf *out, bool *any, const char *name, struct str value)
{
    if (name[0] == '\0' || value.n == 0) {
        return;
    }
    strbuf_addf(out, "%c%s=\"", *any ? ',' : '{', name);
    metrics_put_value(out, value);
    strbuf_add_char(out, '"');
    *any = true;
}

static void put_route(struct strbuf *out, bool *any, const struct stats_label *l)
{
    put_label(out, any, "route", l->label);
    put_label(out, any, "site", l->site);
    put_label(out, any, "type", l->type);
}

static void put_count(struct strbuf *out, bool any, uint64_t value)
{
    strbuf_addf(out, "%s %llu\n", any ? "}" : "", (unsigned long long)value);
}

/* Integers without a fraction, others with what a double can tell. */
static void put_number(struct strbuf *out, bool any, double value)
{
    bool whole = value == floor(value) && fabs(value) < 1e15;
    strbuf_addf(out, whole ? "%s %.0f\n" : "%s %.9g\n", any ? "}" : "", value);
}

/* ---- by route ---------------------------------------------------------------------------- */

static void put_counter(struct metrics_page *p, const struct row *row)
{
    const struct stats_label *l = stats_label(p->stats, p->label);
    uint64_t n = stats_route_sum(p->stats, p->label, (enum stats_route_counter)row->index);
    bool any = false;
    if (row->index == STATS_SAVED_MICROS && n == 0) {
        return; /* most routes have no cost */
    }
    strbuf_addf(&p->out, "%s", metrics[row->metric].name);
    put_route(&p->out, &any, l);
    put_label(&p->out, &any, row->label, str_from(row->value));
    if (row->index == STATS_SAVED_MICROS) {
        put_number(&p->out, any, (double)n / 1e6);
    } else {
        put_count(&p->out, any, n);
    }
}

static void put_reasons(struct metrics_page *p)
{
    for (unsigned i = 0; i < STATS_REASONS; i++) {
        uint64_t n = stats_reason_sum(p->stats, p->label, i);
        bool any = false;
        if (n > 0) {
            strbuf_addf(&p->out, "%s", metrics[METRIC_REASONS].name);
            put_route(&p->out, &any, stats_label(p->stats, p->label));
            put_label(&p->out, &any, "reason", stats_reason_word(p->stats, i));
            put_count(&p->out, any, n);
        }
    }
}

static void put_bucket(struct metrics_page *p, enum metric_id m, const char *le, uint64_t n)
{
    bool any = false;
    strbuf_addf(&p->out, "%s_bucket", metrics[m].name);
    put_route(&p->out, &any, stats_label(p->stats, p->label));
    put_label(&p->out, &any, "le", str_from(le));
    put_count(&p->out, any, n);
}

static void put_times(struct metrics_page *p, enum metric_id m, enum stats_time which)
{
    struct histogram h = {0};
    bool any = false;
    if (!stats_times_sum(p->stats, p->label, which, &h)) {
        return;
    }
    for (unsigned i = LOW_BUCKET; i <= TOP_BUCKET; i++) {
        char le[24];
        snprintf(le, sizeof(le), "%.6f", (double)(1u << i) / 1e6);
        put_bucket(p, m, le, histogram_below(&h, UINT64_C(1) << i));
    }
    put_bucket(p, m, "+Inf", histogram_count(&h));
    strbuf_addf(&p->out, "%s_sum", metrics[m].name);
    put_route(&p->out, &any, stats_label(p->stats, p->label));
    strbuf_addf(&p->out, "%s %.6f\n", any ? "}" : "", (double)counter_get(&h.sum) / 1e6);
    any = false;
    strbuf_addf(&p->out, "%s_count", metrics[m].name);
    put_route(&p->out, &any, stats_label(p->stats, p->label));
    put_count(&p->out, any, histogram_count(&h));
}

static void put_saved_seconds(struct metrics_page *p)
{
    struct histogram h = {0};
    bool any = false;
    if (stats_times_sum(p->stats, p->label, STATS_TIME_UPSTREAM, &h)) {
        strbuf_addf(&p->out, "%s", metrics[METRIC_SAVED_SECONDS].name);
        put_route(&p->out, &any, stats_label(p->stats, p->label));
        put_number(&p->out, any, stats_saved_seconds(p->stats, p->label, &h));
    }
}

static bool of_routes(enum metric_id m)
{
    bool found = m == METRIC_REASONS || m == METRIC_SAVED_SECONDS;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        found = found || (rows[i].metric == m && rows[i].kind == ROW_ROUTE);
    }
    return found || metrics[m].type == TYPE_HISTOGRAM;
}

/* What one label has of the family. */
static void put_of_route(struct metrics_page *p, enum metric_id m)
{
    switch (m) {
    case METRIC_REASONS: put_reasons(p); return;
    case METRIC_SAVED_SECONDS: put_saved_seconds(p); return;
#define HISTOGRAM(id, name, metric, help) \
    case METRIC_##metric:                 \
        put_times(p, m, STATS_TIME_##id); \
        return;
#include "tbl/counters.def"
    default: break;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].metric == m) {
            put_counter(p, &rows[i]);
        }
    }
}

/* ---- of the process ---------------------------------------------------------------------- */

static void put_server(struct metrics_page *p, enum metric_id m, const struct origin_server *s,
                       double value)
{
    bool any = false;
    strbuf_addf(&p->out, "%s", metrics[m].name);
    put_label(&p->out, &any, "upstream", s->origin->settings->name);
    put_label(&p->out, &any, "server", s->settings->url);
    put_number(&p->out, any, value);
}

static double server_value(const struct origin_server *s, enum metric_id m, msec_t now)
{
    switch (m) {
    case METRIC_SERVER_UP: return origin_server_up(s, now);
    case METRIC_SERVER_ACTIVE: return atomic_load_explicit(&s->in_flight, memory_order_relaxed);
    case METRIC_SERVER_REQUESTS:
        return (double)atomic_load_explicit(&s->counts->requests, memory_order_relaxed);
    default: return (double)atomic_load_explicit(&s->counts->failures, memory_order_relaxed);
    }
}

static void put_servers(struct metrics_page *p, enum metric_id m)
{
    struct origins *all = p->from.runtime->origins;
    for (size_t i = 0; i < origins_count(all); i++) {
        const struct origin *o = origins_get(all, (unsigned)i);
        for (size_t k = 0; k < o->n_servers; k++) {
            const struct origin_server *s = &o->servers[k];
            put_server(p, m, s, server_value(s, m, p->from.now));
        }
    }
}

static void put_breakers(struct metrics_page *p)
{
    static const int numbers[] = {
        [REDIS_BREAKER_CLOSED] = 0, [REDIS_BREAKER_HALF_OPEN] = 1, [REDIS_BREAKER_OPEN] = 2};
    struct redis_tier_info info;
    if (p->from.node->redis == NULL || redis_tier_link(p->from.node->redis) == NULL) {
        return;
    }
    redis_tier_info_get(p->from.node->redis, &info);
    for (int i = 0; i < REDIS_ROLES; i++) {
        bool any = false;
        strbuf_addf(&p->out, "%s", metrics[METRIC_BREAKER].name);
        put_label(&p->out, &any, "breaker", str_from(info.breakers[i].name));
        put_number(&p->out, any, numbers[info.breakers[i].state]);
    }
}

/* One line for each condition, whatever number of receivers is told of it. */
static void put_alerts(struct metrics_page *p)
{
    size_t n;
    const struct alert_rule *rules = alert_rules(p->alert, &n);
    for (size_t i = 0; i < n; i++) {
        struct str text = rules[i].settings->text;
        bool first = true, firing = false, any = false;
        for (size_t k = 0; k < n; k++) {
            bool same = str_eq(rules[k].settings->text, text);
            first = first && !(same && k < i);
            firing = firing || (same && rules[k].firing);
        }
        if (first) {
            strbuf_addf(&p->out, "%s", metrics[METRIC_ALERT_FIRING].name);
            put_label(&p->out, &any, "alert", text);
            put_number(&p->out, any, firing);
        }
    }
}

static double row_value(const struct metrics_page *p, const struct row *row)
{
    switch (row->kind) {
    case ROW_WORKER:
        return (double)stats_worker_sum(p->stats, (enum stats_worker_counter)row->index);
    case ROW_HOOK: return (double)alert_count(p->alert, (enum alert_hook_counter)row->index);
    default: return p->values[row->index];
    }
}

static void put_row(struct metrics_page *p, const struct row *row)
{
    double value = row_value(p, row);
    bool any = false;
    if (isnan(value)) {
        return;
    }
    strbuf_addf(&p->out, "%s", metrics[row->metric].name);
    put_label(&p->out, &any, row->label, str_from(row->value));
    put_number(&p->out, any, value);
}

static void put_of_process(struct metrics_page *p, enum metric_id m)
{
    switch (m) {
    case METRIC_BUILD:
        strbuf_addf(&p->out, "%s{version=\"" LARDER_VERSION "\"} 1\n", metrics[m].name);
        break;
    case METRIC_BREAKER: put_breakers(p); break;
    case METRIC_ALERT_FIRING: put_alerts(p); break;
#define SERVER(id, name, metric, help) case METRIC_##metric:
#include "tbl/counters.def"
        put_servers(p, m);
        break;
    default: break;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].metric == m) {
            put_row(p, &rows[i]);
        }
    }
}

/* ---- the page ---------------------------------------------------------------------------- */

struct metrics_page *metrics_page_new(const struct stats_source *from,
                                      const struct alert *alert)
{
    struct metrics_page *p = xcalloc(1, sizeof(*p));
    p->from = *from;
    p->stats = from->node->stats;
    p->alert = alert;
    /* The runtime's references are counted; nothing else of it changes. */
    runtime_ref((struct runtime *)(uintptr_t)from->runtime);
    stats_values(from, p->values);
    return p;
}

void metrics_page_free(struct metrics_page *p)
{
    runtime_unref((struct runtime *)(uintptr_t)p->from.runtime);
    strbuf_free(&p->out);
    free(p);
}

static void put_header(struct metrics_page *p, enum metric_id m)
{
    static const char *const types[] = {
        [TYPE_COUNTER] = "counter", [TYPE_GAUGE] = "gauge", [TYPE_HISTOGRAM] = "histogram"};
    strbuf_addf(&p->out, "# HELP %s %s\n# TYPE %s %s\n", metrics[m].name, metrics[m].help,
                metrics[m].name, types[metrics[m].type]);
}

bool metrics_page_more(struct metrics_page *p)
{
    size_t start = p->out.n;
    while (p->metric < METRICS && p->out.n - start < PIECE) {
        enum metric_id m = (enum metric_id)p->metric;
        if (p->label == 0) {
            put_header(p, m);
        }
        if (!of_routes(m)) {
            put_of_process(p, m);
            p->metric++;
            continue;
        }
        if (stats_label_used(p->stats, p->label)) {
            put_of_route(p, m);
        }
        if (++p->label == stats_labels(p->stats)) {
            p->label = 0;
            p->metric++;
        }
    }
    return p->metric < METRICS;
}

struct str metrics_page_text(const struct metrics_page *p)
{
    return strbuf_str(&p->out);
}
