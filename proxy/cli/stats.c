/*
 * `larder stats`: GET /stats as tables, once or again and again. While it watches, it also
 * shows what happened since the last look; a restart begins a new count.
 */
#include <math.h>
#include <stdio.h>

#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/live.h"
#include "cli/member.h"
#include "cli/table.h"

#define REASONS_SHOWN 12

/* What was counted at the last look. */
struct last {
    double uptime; /* NAN: there was none */
    double requests;
    double hits;
    double misses;
};

/* "name value" pairs of one line. */
static void pair(struct strbuf *line, const char *name)
{
    strbuf_addf(line, "%s%s ", line->n > 0 ? "   " : "", name);
}

static void end_line(struct strbuf *line, const char *title, FILE *out)
{
    fprintf(out, "%-12s%.*s\n", title, (int)line->n, line->p);
    line->n = 0;
}

static void draw_head(const struct cJSON *j, FILE *out)
{
    struct strbuf line = {0};
    if (member_text(j, "status").n > 0) {
        show_text(&line, member_text(j, "status"));
        strbuf_add_str(&line, STR("   "));
    }
    strbuf_add_str(&line, STR("larder "));
    show_text(&line, member_text(j, "version"));
    strbuf_add_str(&line, STR(", up "));
    show_seconds(&line, member_number(j, "uptime_seconds"));
    strbuf_add_str(&line, STR(", "));
    show_text(&line, member_text(j, "backend"));
    end_line(&line, "status", out);
    strbuf_free(&line);
}

static void draw_counts(const struct cJSON *j, FILE *out)
{
    static const char *const kinds[] = {"misses", "stale",     "revalidated", "bypass",
                                        "pass",   "coalesced", "own_answers", "errors"};
    struct strbuf line = {0};
    show_count(&line, member_number(j, "total_requests"));
    pair(&line, "hits");
    show_count(&line, member_number(j, "hits"));
    pair(&line, "hit ratio");
    show_percent(&line, member_number(j, "hit_rate"));
    end_line(&line, "requests", out);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        pair(&line, kinds[i]);
        show_count(&line, member_number(j, kinds[i]));
    }
    end_line(&line, "", out);
    strbuf_free(&line);
}

/* Since the last look; nothing at the first one. */
static void draw_rates(const struct cJSON *j, struct last *last, FILE *out)
{
    struct last now = {member_number(j, "uptime_seconds"), member_number(j, "total_requests"),
                       member_number(j, "hits"), member_number(j, "misses")};
    double seconds = now.uptime - last->uptime;
    double hits = now.hits - last->hits, misses = now.misses - last->misses;
    if (seconds > 0 && now.requests >= last->requests) {
        struct strbuf line = {0};
        strbuf_addf(&line, "%.1f requests/s", (now.requests - last->requests) / seconds);
        if (hits + misses > 0) {
            pair(&line, "hit ratio");
            show_percent(&line, 100 * hits / (hits + misses));
        }
        end_line(&line, "now", out);
        strbuf_free(&line);
    }
    *last = now;
}

static void draw_tiers(const struct cJSON *j, FILE *out)
{
    struct strbuf line = {0};
    show_bytes(&line, member_number(j, "tiers.l1.bytes"));
    strbuf_add_str(&line, STR(" of "));
    show_bytes(&line, member_number(j, "tiers.l1.capacity"));
    pair(&line, "entries");
    show_count(&line, member_number(j, "tiers.l1.entries"));
    pair(&line, "hits");
    show_count(&line, member_number(j, "tiers.l1.hits"));
    pair(&line, "evictions");
    show_count(&line, member_number(j, "tiers.l1.evictions"));
    end_line(&line, "memory", out);
    if (member_first(j, "redis") != NULL) {
        static const char *const facts[] = {"hits", "misses", "stores", "refused", "errors"};
        strbuf_addf(&line, "%s",
                    member_true(j, "redis_connected") ? "connected" : "NOT CONNECTED");
        for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
            struct strbuf path = {0};
            strbuf_addf(&path, "tiers.l2.%s", facts[i]);
            strbuf_add_char(&path, '\0');
            pair(&line, facts[i]);
            show_count(&line, member_number(j, path.p));
            strbuf_free(&path);
        }
        pair(&line, "keys");
        show_count(&line, member_number(j, "redis_keys"));
        pair(&line, "used");
        show_bytes(&line, member_number(j, "redis_used_memory"));
        end_line(&line, "redis", out);
    }
    strbuf_free(&line);
}

static void draw_traffic(const struct cJSON *j, FILE *out)
{
    struct strbuf line = {0};
    strbuf_add_str(&line, STR("sent "));
    show_bytes(&line, member_number(j, "bytes_sent"));
    pair(&line, "received");
    show_bytes(&line, member_number(j, "bytes_received"));
    pair(&line, "clients");
    show_count(&line, member_number(j, "connections.clients"));
    pair(&line, "to backends");
    show_count(&line, member_number(j, "connections.upstream"));
    end_line(&line, "traffic", out);
    show_count(&line, member_number(j, "saved.requests"));
    strbuf_add_str(&line, STR(" backend requests"));
    pair(&line, "backend time");
    show_seconds(&line, member_number(j, "saved.seconds"));
    if (member_number(j, "saved.money") > 0) {
        pair(&line, "money");
        strbuf_addf(&line, "%.2f", member_number(j, "saved.money"));
    }
    end_line(&line, "saved", out);
    strbuf_free(&line);
}

static void draw_journal(const struct cJSON *j, FILE *out)
{
    struct strbuf line = {0};
    if (member_first(j, "journal") == NULL) {
        return;
    }
    show_text(&line, member_text(j, "journal.position"));
    pair(&line, "patterns");
    show_count(&line, member_number(j, "journal.patterns"));
    if (!isnan(member_number(j, "journal.lag_ms"))) {
        pair(&line, "lag");
        show_ms(&line, member_number(j, "journal.lag_ms"));
    }
    if (member_number(j, "journal.outbox") > 0) {
        pair(&line, "WAITING FOR REDIS");
        show_count(&line, member_number(j, "journal.outbox"));
    }
    if (member_true(j, "journal.uncertain")) {
        strbuf_add_str(&line, STR("   UNCERTAIN"));
    }
    end_line(&line, "journal", out);
    strbuf_free(&line);
}

static void finish(struct table *t, FILE *out)
{
    fputs(table_rows(t) > 0 ? "\n" : "", out);
    table_print(t, out);
    table_fini(t);
}

static void latency_row(struct table *t, const char *name, const struct cJSON *times)
{
    static const char *const marks[] = {"p50", "p90", "p99", "max"};
    if (member_number(times, "count") > 0) {
        table_text(t, str_from(name));
        table_count(t, member_number(times, "count"));
        for (size_t i = 0; i < 4; i++) {
            table_ms(t, member_number(times, marks[i]));
        }
    }
}

static void draw_latency(const struct cJSON *j, FILE *out)
{
    static const struct table_column columns[] = {{"LATENCY", false}, {"COUNT", true},
                                                  {"P50", true},      {"P90", true},
                                                  {"P99", true},      {"MAX", true}};
    struct table t;
    table_init(&t, columns, 6);
    latency_row(&t, "hit", member_find(j, "latency_ms.hit"));
    latency_row(&t, "miss", member_find(j, "latency_ms.miss"));
    latency_row(&t, "backend", member_find(j, "upstream_ms"));
    finish(&t, out);
}

static void draw_routes(const struct cJSON *j, FILE *out)
{
    static const struct table_column columns[] = {
        {"ROUTE", false}, {"HIT %", true},   {"HITS", true},    {"MISSES", true},
        {"STALE", true},  {"REVAL", true},   {"PASS", true},    {"BYPASS", true},
        {"ERRORS", true}, {"HIT P99", true}, {"MISS P99", true}};
    static const char *const counts[] = {"hits", "misses", "stale", "revalidated",
                                         "pass", "bypass", "errors"};
    struct table t;
    table_init(&t, columns, 11);
    for (const struct cJSON *r = member_first(j, "routes"); r != NULL; r = member_next(r)) {
        table_text(&t, member_text(r, "route"));
        table_percent(&t, member_number(r, "hit_rate"));
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
            table_count(&t, member_number(r, counts[i]));
        }
        table_ms(&t, member_number(r, "latency_ms.hit.p99"));
        table_ms(&t, member_number(r, "latency_ms.miss.p99"));
    }
    finish(&t, out);
}

static void draw_servers(const struct cJSON *j, FILE *out)
{
    static const struct table_column columns[] = {{"UPSTREAM", false}, {"SERVER", false},
                                                  {"STATE", false},    {"REQUESTS", true},
                                                  {"FAILURES", true},  {"ACTIVE", true}};
    struct table t;
    table_init(&t, columns, 6);
    for (const struct cJSON *u = member_first(j, "upstreams"); u != NULL; u = member_next(u)) {
        for (const struct cJSON *s = member_first(u, "servers"); s != NULL;
             s = member_next(s)) {
            table_text(&t, member_text(u, "upstream"));
            table_text(&t, member_text(s, "address"));
            table_text(&t, member_text(s, "state"));
            table_count(&t, member_number(s, "requests"));
            table_count(&t, member_number(s, "failures"));
            table_count(&t, member_number(s, "active"));
        }
    }
    finish(&t, out);
}

static void draw_breakers(const struct cJSON *j, FILE *out)
{
    static const struct table_column columns[] = {{"BREAKER", false}, {"STATE", false}};
    struct table t;
    table_init(&t, columns, 2);
    for (const struct cJSON *b = member_first(j, "breakers"); b != NULL; b = member_next(b)) {
        table_text(&t, member_text(b, "name"));
        table_text(&t, member_text(b, "state"));
    }
    finish(&t, out);
}

/* The most frequent reasons, the most frequent first. */
static void draw_reasons(const struct cJSON *j, FILE *out)
{
    static const struct table_column columns[] = {{"REASON", false}, {"REQUESTS", true}};
    const struct cJSON *reasons = member_first(j, "reasons");
    double below = INFINITY;
    struct table t;
    table_init(&t, columns, 2);
    while (table_rows(&t) < REASONS_SHOWN) {
        double most = 0;
        for (const struct cJSON *r = reasons; r != NULL; r = member_next(r)) {
            double n = member_value(r);
            most = n < below && n > most ? n : most;
        }
        if (most == 0) {
            break;
        }
        for (const struct cJSON *r = reasons; r != NULL; r = member_next(r)) {
            if (member_value(r) == most) {
                table_text(&t, member_name(r));
                table_count(&t, most);
            }
        }
        below = most;
    }
    finish(&t, out);
}

static void draw(const struct cJSON *j, FILE *out, void *arg)
{
    draw_head(j, out);
    draw_counts(j, out);
    draw_rates(j, arg, out);
    draw_tiers(j, out);
    draw_traffic(j, out);
    draw_journal(j, out);
    draw_latency(j, out);
    draw_routes(j, out);
    draw_servers(j, out);
    draw_breakers(j, out);
    draw_reasons(j, out);
}

int cli_stats(int argc, char **argv)
{
    struct admin_options admin = {0};
    const char *interval = NULL;
    struct last last = {.uptime = NAN};
    struct live_view view = {
        .ask = {.method = "GET", .target = STR("/stats"), .expect = "hits"},
        .draw = draw,
        .arg = &last,
    };
    const struct option_spec specs[] = {ADMIN_OPTION_SPECS(&admin),
                                        {.name = "--watch", .flag = &view.repeat},
                                        {.name = "--interval", .value = &interval},
                                        {.name = "--json", .flag = &view.json},
                                        {0}};
    enum options_result r = options_parse(COMMAND_stats, argc, argv, specs, NULL);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    if (!live_read_interval(interval, &view.interval)) {
        return EXIT_USAGE;
    }
    enum exit_code code;
    struct admin_client *c = admin_client_new(&admin, &code);
    int result = c != NULL ? live_run(c, &view) : (int)code;
    admin_client_free(c);
    return result;
}
