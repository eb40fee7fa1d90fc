/*
 * `larder keys`: names of stored entries, page by page from GET /keys, or one entry in full.
 * The pages are joined: a scan of Redis may give empty ones before it is done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/member.h"
#include "cli/table.h"
#include "cli/term.h"

#define LIMIT_DEFAULT 1000
#define PAGE          500

/* A listing under way. */
struct listing {
    const char *pattern; /* NULL: all */
    const char *tier;    /* NULL: both */
    const char *host;    /* of one entry; NULL: any site's */
    uint64_t limit;      /* names that are wanted; UINT64_MAX: all */
    uint64_t n;          /* names so far */
    bool json;
    bool more;            /* the limit was reached before the end */
    char missing[200];    /* what the plane could not list, and why; empty: nothing */
    struct table table;   /* unless json */
    struct strbuf cursor; /* where the next page begins; empty: the first */
};

static const struct table_column list_columns[] = {
    {"NAME", false}, {"TIER", false}, {"STATE", false}, {"AGE", true},
    {"TTL", true},   {"SIZE", true},  {"HITS", true},   {"TAGS", false}};

static void add_tags(struct table *t, const struct cJSON *key)
{
    struct strbuf *cell = table_cell(t);
    const struct cJSON *tag = member_first(key, "tags");
    if (tag == NULL) {
        strbuf_add_char(cell, '-');
    }
    for (bool first = true; tag != NULL; tag = member_next(tag), first = false) {
        strbuf_add_str(cell, first ? STR("") : STR(" "));
        show_text(cell, member_text(tag, ""));
    }
}

static void add_row(struct table *t, const struct cJSON *key)
{
    table_text(t, member_text(key, "name"));
    table_text(t, member_text(key, "tier"));
    table_text(t, member_text(key, "state"));
    table_seconds(t, member_number(key, "age_seconds"));
    table_seconds(t, member_number(key, "ttl_seconds"));
    table_bytes(t, member_number(key, "bytes"));
    table_count(t, member_number(key, "hits"));
    add_tags(t, key);
}

static void print_key_json(const struct cJSON *key, bool first)
{
    char *text = cJSON_PrintUnformatted(key);
    if (text != NULL) {
        fputs(first ? "\n" : ",\n", stdout);
        struct strbuf line = {0};
        term_add_json(&line, str_from(text));
        fwrite(line.p, 1, line.n, stdout);
        strbuf_free(&line);
    }
    free(text);
}

static void take_page(struct listing *l, const struct cJSON *page)
{
    struct str missing = member_text(page, "missing");
    if (missing.n > 0) {
        struct strbuf safe = {0};
        show_text(&safe, missing);
        snprintf(l->missing, sizeof(l->missing), "%.*s", (int)safe.n, safe.p);
        strbuf_free(&safe);
    }
    const struct cJSON *key = member_first(page, "keys");
    for (; key != NULL && l->n < l->limit; key = member_next(key)) {
        if (l->json) {
            print_key_json(key, l->n == 0);
        } else {
            add_row(&l->table, key);
        }
        l->n++;
    }
    struct str cursor = member_text(page, "cursor");
    l->more = key != NULL || (l->n >= l->limit && cursor.n > 0);
    struct strbuf next = {0};
    strbuf_add_str(&next, l->more ? STR("") : cursor);
    strbuf_free(&l->cursor);
    l->cursor = next;
}

static void make_target(const struct listing *l, struct strbuf *target)
{
    uint64_t left = l->limit - l->n;
    target->n = 0;
    strbuf_add_str(target, STR("/keys"));
    if (l->pattern != NULL) {
        admin_target_add(target, "pattern", str_from(l->pattern));
    }
    if (l->tier != NULL) {
        admin_target_add(target, "tier", str_from(l->tier));
    }
    if (l->cursor.n > 0) {
        admin_target_add(target, "cursor", strbuf_str(&l->cursor));
    }
    strbuf_addf(target, "%climit=%u",
                str_index(strbuf_str(target), '?') < target->n ? '&' : '?',
                (unsigned)(left < PAGE ? left : PAGE));
}

static int list(struct admin_client *c, struct listing *l)
{
    struct strbuf target = {0};
    struct admin_reply reply;
    enum exit_code code;
    table_init(&l->table, list_columns, 8);
    do {
        make_target(l, &target);
        code = admin_client_fetch(c,
                                  &(struct admin_ask){.method = "GET",
                                                      .target = strbuf_str(&target),
                                                      .expect = "keys"},
                                  &reply);
        if (code == EXIT_OK) {
            fputs(l->json && l->n == 0 && l->cursor.n == 0 ? "{\"keys\":[" : "", stdout);
            take_page(l, reply.json);
        }
    } while (code == EXIT_OK && l->cursor.n > 0);
    if (l->json && code == EXIT_OK) {
        printf("],\"complete\":%s}\n", l->more || l->missing[0] != '\0' ? "false" : "true");
    }
    table_print(&l->table, stdout);
    if (code == EXIT_OK && !l->json && l->more) {
        fprintf(stderr, "larder: there are more; --limit all lists them all\n");
    }
    if (code == EXIT_OK && !l->json && l->n == 0) {
        fprintf(stderr, "larder: %s\n",
                l->pattern != NULL ? "no name matches" : "nothing is stored");
    }
    if (code == EXIT_OK && l->missing[0] != '\0') {
        fprintf(stderr, "larder: the list lacks %s\n", l->missing);
    }
    table_fini(&l->table);
    strbuf_free(&l->cursor);
    strbuf_free(&target);
    return fflush(stdout) == 0 ? (int)code : EXIT_FAILED;
}

/* ---- one entry --------------------------------------------------------------------------- */

static void fact(const char *name, struct strbuf *value)
{
    printf("%-8s %.*s\n", name, (int)value->n, value->p);
    value->n = 0;
}

/* The state of a tier, and which of them is shown. */
static void show_tier(const struct cJSON *j, const char *tier, const char *name)
{
    const struct cJSON *t = member_find(j, tier);
    struct strbuf v = {0};
    if (str_eq(member_text(t, "state"), STR("not-asked"))) {
        return;
    }
    show_text(&v, member_text(t, "state"));
    if (str_eq(member_text(j, "tier"), str_from(tier))) {
        strbuf_add_str(&v, STR(" (shown here)"));
    } else if (member_text(t, "why").n > 0) {
        strbuf_add_str(&v, STR(": "));
        show_text(&v, member_text(t, "why"));
    }
    fact(name, &v);
    strbuf_free(&v);
}

static void show_facts(const struct cJSON *j)
{
    struct strbuf v = {0};
    show_text(&v, member_text(j, "name"));
    fact("name", &v);
    if (member_text(j, "route").n > 0) {
        show_text(&v, member_text(j, "route"));
        fact("route", &v);
    }
    show_tier(j, "l1", "memory");
    show_tier(j, "l2", "redis");
    show_seconds(&v, member_number(j, "age_seconds"));
    if (str_eq(member_text(j, "state"), STR("fresh"))) {
        strbuf_add_str(&v, STR(", fresh for "));
        show_seconds(&v, member_number(j, "ttl_seconds"));
    }
    fact("age", &v);
    show_bytes(&v, member_number(j, "bytes"));
    fact("size", &v);
    const struct cJSON *tag = member_first(j, "tags");
    for (; tag != NULL; tag = member_next(tag)) {
        strbuf_add_str(&v, v.n > 0 ? STR(" ") : STR(""));
        show_text(&v, member_text(tag, ""));
    }
    if (v.n > 0) {
        fact("tags", &v);
    }
    show_count(&v, member_number(j, "hits"));
    fact("hits", &v);
    strbuf_free(&v);
}

/* A name that holds no answer. */
static void show_mark(const struct cJSON *j)
{
    if (member_text(j, "vary").n == 0) {
        fputs("(a mark: the last answer could not be stored)\n", stdout);
        return;
    }
    fputs("(a mark: the answers vary on ", stdout);
    term_print(stdout, member_text(j, "vary"));
    fputs(" and have names of their own; larder keys '", stdout);
    term_print(stdout, member_text(j, "name"));
    fputs("' lists them)\n", stdout);
}

static void show_content(const struct cJSON *j)
{
    struct strbuf status = {0};
    show_count(&status, member_number(j, "status"));
    printf("\n%.*s\n", (int)status.n, status.p);
    strbuf_free(&status);
    for (const struct cJSON *h = member_first(j, "headers"); h != NULL; h = member_next(h)) {
        const struct cJSON *name = member_first(h, "");
        if (name != NULL && member_next(name) != NULL) {
            term_print(stdout, member_text(name, ""));
            fputs(": ", stdout);
            term_print(stdout, member_text(member_next(name), ""));
            fputc('\n', stdout);
        }
    }
    struct str body = member_text(j, "body");
    fputc('\n', stdout);
    if (str_eq(member_text(j, "state"), STR("marker"))) {
        show_mark(j);
    } else if (body.n > 0) {
        term_print_text(stdout, body);
        fputs(body.p[body.n - 1] != '\n' ? "\n" : "", stdout);
    } else if (member_text(j, "body_base64").n > 0) {
        fputs("(the body is not text; --json has it in base64)\n", stdout);
    }
    if (member_find(j, "body_complete") != NULL && !member_true(j, "body_complete")) {
        fprintf(stderr, "larder: this is only the beginning of its %.0f bytes\n",
                member_number(j, "body_bytes"));
    }
}

static int show_one(struct admin_client *c, const char *name, const struct listing *l)
{
    struct strbuf target = {0};
    struct admin_reply reply;
    strbuf_add_str(&target, STR("/keys/"));
    admin_target_segment(&target, str_from(name));
    if (l->host != NULL) {
        admin_target_add(&target, "host", str_from(l->host));
    }
    if (l->tier != NULL) {
        admin_target_add(&target, "tier", str_from(l->tier));
    }
    const struct admin_ask ask = {
        .method = "GET", .target = strbuf_str(&target), .expect = "name"};
    enum exit_code code = admin_client_ask(c, &ask, &reply);
    if (code != EXIT_OK) {
        fprintf(stderr, "larder: %s\n", admin_client_why(c));
    } else if (l->json) {
        term_print_json(stdout, reply.text);
    } else {
        show_facts(reply.json);
        show_content(reply.json);
    }
    strbuf_free(&target);
    return fflush(stdout) == 0 ? (int)code : EXIT_FAILED;
}

/* ---- arguments --------------------------------------------------------------------------- */

/* EXIT_OK, or EXIT_USAGE after the error was printed. */
static int check_arguments(const char *limit, const char *name, size_t n_words,
                           struct listing *l)
{
    l->limit = LIMIT_DEFAULT;
    if (name != NULL && (n_words > 0 || limit != NULL)) {
        return options_error(COMMAND_keys, "--show takes one NAME, and neither PATTERN nor "
                                           "--limit");
    }
    if (name == NULL && l->host != NULL) {
        return options_error(COMMAND_keys, "--host goes with --show");
    }
    if (l->tier != NULL && strcmp(l->tier, "l1") != 0 && strcmp(l->tier, "l2") != 0) {
        return options_error(COMMAND_keys, "--tier wants l1 (memory) or l2 (Redis)");
    }
    if (limit != NULL && strcmp(limit, "all") == 0) {
        l->limit = UINT64_MAX;
    } else if (limit != NULL &&
               (!str_to_u64(str_from(limit), UINT32_MAX, &l->limit) || l->limit == 0)) {
        return options_error(COMMAND_keys, "--limit wants a number above 0, or all");
    }
    return EXIT_OK;
}

int cli_keys(int argc, char **argv)
{
    struct admin_options admin = {0};
    struct option_list words = {.max = 1};
    struct listing l = {0};
    const char *limit = NULL, *name = NULL;
    const struct option_spec specs[] = {ADMIN_OPTION_SPECS(&admin),
                                        {.name = "--show", .value = &name},
                                        {.name = "--tier", .value = &l.tier},
                                        {.name = "--host", .value = &l.host},
                                        {.name = "--limit", .value = &limit},
                                        {.name = "--json", .flag = &l.json},
                                        {0}};
    enum options_result r = options_parse(COMMAND_keys, argc, argv, specs, &words);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    if (check_arguments(limit, name, words.n, &l) != EXIT_OK) {
        return EXIT_USAGE;
    }
    l.pattern = words.n > 0 ? words.list[0] : NULL;
    enum exit_code code;
    struct admin_client *c = admin_client_new(&admin, &code);
    if (c == NULL) {
        return code;
    }
    int result = name != NULL ? show_one(c, name, &l) : list(c, &l);
    admin_client_free(c);
    return result;
}
