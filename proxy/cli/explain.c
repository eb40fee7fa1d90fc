/*
 * `larder explain`: asks the running larder, which knows what the caches hold; without one the
 * configuration alone says how far it can be known.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/json_text.h"
#include "base/mem.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/explain_offline.h"
#include "cli/member.h"
#include "cli/term.h"
#include "config.h"

/* What was asked for. */
struct question {
    struct admin_options admin;
    struct explain_query query;
    const char *peer;
    bool offline, json;
};

/* ---- printing --------------------------------------------------------------------------- */

static void print_fact(const char *name, struct strbuf *value)
{
    if (value->n > 0) {
        printf("  %-11s %.*s\n", name, (int)value->n, value->p);
    }
    value->n = 0;
}

/* Nothing for an empty text. */
static void print_text(const struct cJSON *answer, const char *path, const char *name)
{
    struct strbuf v = {0};
    struct str text = member_text(answer, path);
    if (text.n > 0) {
        show_text(&v, text);
    }
    print_fact(name, &v);
    strbuf_free(&v);
}

static void print_list(const struct cJSON *answer, const char *path, const char *name)
{
    struct strbuf v = {0};
    for (const struct cJSON *i = member_first(answer, path); i != NULL; i = member_next(i)) {
        strbuf_add_str(&v, v.n > 0 ? STR("  ") : STR(""));
        show_text(&v, member_text(i, ""));
    }
    print_fact(name, &v);
    strbuf_free(&v);
}

static void print_route(const struct cJSON *answer, struct strbuf *v)
{
    show_text(v, member_text(answer, "route.label"));
    if (!isnan(member_number(answer, "route.line"))) {
        strbuf_add_str(v, STR(" ("));
        show_text(v, member_text(answer, "route.file"));
        strbuf_addf(v, ":%.0f)", member_number(answer, "route.line"));
    }
    if (member_text(answer, "route.type").n > 0) {
        strbuf_add_str(v, STR(", type "));
        show_text(v, member_text(answer, "route.type"));
    }
    print_fact("route", v);
    if (member_text(answer, "request.host").n > 0) {
        show_text(v, member_text(answer, "request.host"));
        strbuf_add_str(v, member_true(answer, "request.host_assumed")
                              ? STR(" (assumed: no Host was given)")
                              : STR(""));
    }
    print_fact("host", v);
}

static void print_identities(const struct cJSON *answer, struct strbuf *v)
{
    const struct cJSON *i = member_first(answer, "identities");
    for (; i != NULL; i = member_next(i)) {
        show_text(v, member_text(i, "name"));
        strbuf_add_str(v, STR(" is "));
        show_text(v, member_text(i, "state"));
        strbuf_add_str(v, STR(": "));
        show_text(v, member_text(i, "how"));
        if (member_text(i, "detail").n > 0) {
            strbuf_add_str(v, STR("; "));
            show_text(v, member_text(i, "detail"));
        }
        print_fact("identity", v);
    }
}

static void print_ttl(const struct cJSON *answer, struct strbuf *v)
{
    if (member_text(answer, "ttl.mode").n == 0) {
        return;
    }
    show_text(v, member_text(answer, "ttl.mode"));
    if (!isnan(member_number(answer, "ttl.ms"))) {
        strbuf_add_char(v, ' ');
        show_seconds(v, member_number(answer, "ttl.ms") / 1000);
    }
    strbuf_add_str(v, STR(", stale "));
    show_seconds(v, member_number(answer, "ttl.stale_ms") / 1000);
    strbuf_add_str(v, STR(", stale_if_error "));
    show_seconds(v, member_number(answer, "ttl.stale_if_error_ms") / 1000);
    print_fact("ttl", v);
}

static void print_tier(const struct cJSON *tier, const char *name, struct strbuf *v)
{
    struct str state = member_text(tier, "state");
    if (str_eq(state, STR("not-asked"))) {
        return;
    }
    show_text(v, state);
    if (!isnan(member_number(tier, "bytes"))) {
        strbuf_add_str(v, STR(", "));
        show_seconds(v, member_number(tier, "age_seconds"));
        strbuf_add_str(v, STR(" old, lifetime left "));
        show_seconds(v, member_number(tier, "ttl_seconds"));
        strbuf_add_str(v, STR(", "));
        show_bytes(v, member_number(tier, "bytes"));
    }
    print_fact(name, v);
}

/* Who fetches it already. */
static void print_fetch(const struct cJSON *answer, struct strbuf *v)
{
    const struct cJSON *f = member_find(answer, "flight");
    if (member_text(f, "state").n > 0) {
        strbuf_addf(v, "under way here since %.0f ms, requests %.0f, body so far ",
                    member_number(f, "since_ms"), member_number(f, "readers"));
        show_bytes(v, member_number(f, "bytes"));
        print_fact("fetch", v);
    } else if (str_eq(member_text(answer, "lease.state"), STR("held"))) {
        strbuf_addf(v, "under way on another node; its lease runs out in %.0f ms",
                    member_number(answer, "lease.left_ms"));
        print_fact("fetch", v);
    }
}

static void print_answer(const struct cJSON *answer)
{
    struct strbuf v = {0};
    print_route(answer, &v);
    print_identities(answer, &v);
    print_text(answer, "key.name", "key");
    print_text(answer, "key.redis", "redis key");
    print_list(answer, "key.dropped", "dropped");
    print_list(answer, "key.unlisted", "unlisted");
    print_text(answer, "key.vary", "vary");
    print_list(answer, "tags", "tags");
    print_ttl(answer, &v);
    print_tier(member_find(answer, "l1"), "memory", &v);
    print_tier(member_find(answer, "l2"), "redis", &v);
    print_fetch(answer, &v);
    print_list(answer, "invalidates", "invalidates");
    show_text(&v, member_text(answer, "outcome"));
    if (!str_eq(member_text(answer, "reason"), STR("-"))) {
        strbuf_add_str(&v, STR(", "));
        show_text(&v, member_text(answer, "reason"));
        strbuf_add_str(&v, STR(": "));
        show_text(&v, member_text(answer, "reason_help"));
    }
    print_fact("outcome", &v);
    show_text(&v, member_text(answer, "would"));
    print_fact("so", &v);
    strbuf_free(&v);
}

static int print(const struct cJSON *answer, bool json)
{
    if (json) {
        char *text = cJSON_PrintUnformatted(answer);
        term_print_json(stdout, str_from(text));
        free(text);
    } else {
        print_answer(answer);
    }
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- asking ----------------------------------------------------------------------------- */

/* The body of POST /explain, on the heap. */
static char *make_body(const struct question *q)
{
    cJSON *body = cJSON_CreateObject();
    json_add_text(body, "method", q->query.method);
    json_add_text(body, "target", q->query.target);
    cJSON *headers = cJSON_AddArrayToObject(body, "headers");
    for (size_t i = 0; i < q->query.n_fields; i++) {
        cJSON *pair = cJSON_CreateArray();
        json_push_text(pair, q->query.fields[i].name);
        json_push_text(pair, q->query.fields[i].value);
        cJSON_AddItemToArray(headers, pair);
    }
    if (q->query.body.n > 0) {
        json_add_text(body, "body", q->query.body);
    }
    cJSON_AddBoolToObject(body, "tls", q->query.tls);
    json_add_text(body, "peer", str_from(q->peer));
    char *text = cJSON_PrintUnformatted(body);
    cJSON_Delete(body);
    return text;
}

/* *nobody: there is none to ask where the configuration says; that is no failure yet. */
static enum exit_code ask_running(const struct question *q, bool *nobody)
{
    enum exit_code code;
    struct admin_reply reply;
    struct admin_client *c = admin_client_new(&q->admin, &code);
    if (c == NULL) {
        return code;
    }
    char *body = make_body(q);
    const struct admin_ask ask = {.method = "POST",
                                  .target = STR("/explain"),
                                  .body = str_from(body),
                                  .expect = "outcome"};
    code = admin_client_ask(c, &ask, &reply);
    *nobody = code == EXIT_UNREACHABLE && reply.status == 0 && q->admin.admin == NULL;
    if (code == EXIT_OK) {
        code = (enum exit_code)print(reply.json, q->json);
    } else {
        fprintf(stderr, "larder: %s%s\n", admin_client_why(c),
                *nobody ? "; explained from the configuration alone" : "");
    }
    free(body);
    admin_client_free(c);
    return code;
}

/* Settings of the file; NULL after its errors were printed. */
static struct settings *load(const struct question *q)
{
    struct config_report report = {0};
    const char *path = options_config_path(q->admin.config);
    struct settings *s = config_load(path, &report);
    if (s == NULL) {
        options_print_report(&report);
        fprintf(stderr, "larder: %s is not usable\n", path);
    } else {
        strbuf_free(&report.text); /* warnings are for `check` */
    }
    return s;
}

static int explain(struct question *q)
{
    struct settings *s = NULL;
    if (q->admin.admin == NULL) {
        s = load(q);
        if (s == NULL) {
            return EXIT_FAILED;
        }
        q->offline = q->offline || !s->admin.on;
    }
    enum exit_code code = EXIT_OK;
    if (!q->offline) {
        code = ask_running(q, &q->offline);
    }
    if (q->offline && s != NULL) {
        q->query.offline = true;
        struct cJSON *answer = explain_offline(s, &q->query);
        code = answer != NULL ? (enum exit_code)print(answer, q->json) : EXIT_FAILED;
        cJSON_Delete(answer);
    }
    if (s != NULL) {
        settings_unref(s);
    }
    return (int)code;
}

/* ---- arguments -------------------------------------------------------------------------- */

/* "Name: value" */
static bool add_header(struct explain_query *q, const char *text)
{
    struct str line = str_from(text);
    size_t colon = str_index(line, ':');
    if (colon == 0 || colon == line.n || q->n_fields == EXPLAIN_FIELDS_MAX) {
        return false;
    }
    q->fields[q->n_fields++] =
        (struct explain_field){str_make(line.p, colon), str_trim(str_skip(line, colon + 1))};
    return true;
}

/* A path, a whole URL, or that of OPTIONS for a server. */
static bool is_target(struct str s)
{
    return s.n > 0 && (s.p[0] == '/' || str_eq(s, STR("*")) || strstr(s.p, "://") != NULL);
}

/* EXIT_OK, or EXIT_USAGE after the error was printed. */
static int take_arguments(struct question *q, const struct option_list *words,
                          const struct option_list *headers, const char *body)
{
    if (words->n == 0) {
        return options_error(COMMAND_explain, "explain what? METHOD and a path, or a path");
    }
    q->query.method = words->n == 2 ? str_from(words->list[0]) : STR("GET");
    q->query.target = str_from(words->list[words->n - 1]);
    if (!is_target(q->query.target)) {
        return options_error(COMMAND_explain, "a path begins with a slash, not as %s does",
                             q->query.target.p);
    }
    q->query.body = body != NULL ? str_from(body) : STR("");
    q->peer = q->peer != NULL ? q->peer : "127.0.0.1";
    for (size_t i = 0; i < headers->n; i++) {
        if (!add_header(&q->query, headers->list[i])) {
            return options_error(COMMAND_explain, "--header wants 'Name: value', not %s",
                                 headers->list[i]);
        }
    }
    if (strcmp(q->peer, "unix") == 0) {
        q->query.peer.u.sa.sa_family = AF_UNIX;
        q->query.peer.len = sizeof(sa_family_t);
    } else if (!addr_from_ip(str_from(q->peer), &q->query.peer)) {
        return options_error(COMMAND_explain, "--peer wants an IP address, not %s", q->peer);
    }
    if (q->offline && q->admin.admin != NULL) {
        return options_error(COMMAND_explain, "--offline asks nobody, also not --admin");
    }
    return EXIT_OK;
}

int cli_explain(int argc, char **argv)
{
    struct question *q = xcalloc(1, sizeof(*q));
    struct option_list words = {.max = 2};
    struct option_list headers = {.max = OPTION_LIST_MAX};
    const char *body = NULL;
    const struct option_spec specs[] = {
        ADMIN_OPTION_SPECS(&q->admin),         {.name = "--header", .values = &headers},
        {.name = "--data", .value = &body},    {.name = "--tls", .flag = &q->query.tls},
        {.name = "--peer", .value = &q->peer}, {.name = "--offline", .flag = &q->offline},
        {.name = "--json", .flag = &q->json},  {0}};
    enum options_result r = options_parse(COMMAND_explain, argc, argv, specs, &words);
    int code = options_exit(r);
    if (r == OPTIONS_OK) {
        code = take_arguments(q, &words, &headers, body);
        code = code == EXIT_OK ? explain(q) : code;
    }
    free(q);
    return code;
}
