/*
 * `larder refresh`: has a scheduled route fetched now (POST /refresh), or shows the schedule
 * (GET /metadata).
 */
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/member.h"
#include "cli/table.h"
#include "cli/term.h"

#define RUN_TIMEOUT "30s" /* beyond what the admin plane itself waits for a fetch */

static void draw_schedule(const struct cJSON *j)
{
    static const struct table_column columns[] = {
        {"ROUTE", false},  {"PATH", false},   {"EVERY", true}, {"LAST RUN", false},
        {"RESULT", false}, {"TIME", true},    {"SIZE", true},  {"NEXT RUN", false},
        {"RUNS", true},    {"FAILURES", true}};
    struct table t;
    table_init(&t, columns, 10);
    for (const struct cJSON *r = member_first(j, "routes"); r != NULL; r = member_next(r)) {
        bool running = member_true(r, "running");
        table_text(&t, member_text(r, "route"));
        table_text(&t, member_text(r, "path"));
        table_seconds(&t, member_number(r, "every_seconds"));
        table_text(&t, member_text(r, "last_run"));
        table_text(&t, running ? STR("running") : member_text(r, "last_result"));
        table_ms(&t, member_number(r, "duration_ms"));
        table_bytes(&t, member_number(r, "bytes"));
        table_text(&t, member_text(r, "next_run"));
        table_count(&t, member_number(r, "runs"));
        table_count(&t, member_number(r, "failures"));
    }
    if (table_rows(&t) == 0) {
        fputs("no route has `refresh`\n", stdout);
    }
    table_print(&t, stdout);
    table_fini(&t);
}

static int show_schedule(struct admin_client *c, bool json)
{
    struct admin_reply reply;
    const struct admin_ask ask = {
        .method = "GET", .target = STR("/metadata"), .expect = "routes"};
    enum exit_code code = admin_client_fetch(c, &ask, &reply);
    if (code == EXIT_OK && json) {
        term_print_json(stdout, reply.text);
    } else if (code == EXIT_OK) {
        draw_schedule(reply.json);
    }
    return code;
}

/* {"path": …} for what begins with a slash, else {"route": …}. On the heap. */
static char *make_body(const char *what, const char *host)
{
    cJSON *body = cJSON_CreateObject();
    char *text = NULL;
    bool ok = cJSON_AddStringToObject(body, what[0] == '/' ? "path" : "route", what) != NULL;
    if (host != NULL) {
        ok = ok && cJSON_AddStringToObject(body, "host", host) != NULL;
    }
    if (ok) {
        text = cJSON_PrintUnformatted(body);
    }
    cJSON_Delete(body);
    return text;
}

static void draw_results(const struct cJSON *j)
{
    static const struct table_column columns[] = {{"ROUTE", false},  {"PATH", false},
                                                  {"RESULT", false}, {"REASON", false},
                                                  {"TIME", true},    {"SIZE", true}};
    struct table t;
    table_init(&t, columns, 6);
    for (const struct cJSON *r = member_first(j, "refreshed"); r != NULL; r = member_next(r)) {
        table_text(&t, member_text(r, "route"));
        table_text(&t, member_text(r, "path"));
        table_text(&t, member_text(r, "result"));
        table_text(&t, member_text(r, "reason"));
        table_ms(&t, member_number(r, "duration_ms"));
        table_bytes(&t, member_number(r, "bytes"));
    }
    table_print(&t, stdout);
    table_fini(&t);
}

/* what NULL: all that is on the schedule. */
static int refresh(struct admin_client *c, const char *what, const char *host, bool json)
{
    struct admin_reply reply;
    char *body = what != NULL ? make_body(what, host) : NULL;
    const struct admin_ask ask = {.method = "POST",
                                  .target = STR("/refresh"),
                                  .body = str_from(body),
                                  .expect = "refreshed"};
    enum exit_code code = admin_client_fetch(c, &ask, &reply);
    if (code == EXIT_OK && json) {
        term_print_json(stdout, reply.text);
    } else if (code == EXIT_OK) {
        draw_results(reply.json);
    }
    if (code == EXIT_OK && member_number(reply.json, "running") > 0) {
        fprintf(stderr, "larder: %.0f still running\n", member_number(reply.json, "running"));
        code = EXIT_FAILED;
    }
    if (code == EXIT_OK && member_number(reply.json, "failed") > 0) {
        code = EXIT_FAILED;
    }
    free(body);
    return code;
}

/* EXIT_OK, or EXIT_USAGE after the error was printed. */
static int check_arguments(size_t n_words, bool all, const char *what, const char *host)
{
    if (all && n_words > 0) {
        return options_error(COMMAND_refresh, "give either ROUTE, PATH or --all");
    }
    if (host != NULL && (what == NULL || what[0] != '/')) {
        return options_error(COMMAND_refresh, "--host goes with PATH");
    }
    if (what != NULL && what[0] == '\0') {
        return options_error(COMMAND_refresh, "ROUTE is empty");
    }
    return EXIT_OK;
}

int cli_refresh(int argc, char **argv)
{
    struct admin_options admin = {0};
    struct option_list words = {.max = 1};
    bool json = false, all = false;
    const char *host = NULL;
    const struct option_spec specs[] = {ADMIN_OPTION_SPECS(&admin),
                                        {.name = "--all", .flag = &all},
                                        {.name = "--host", .value = &host},
                                        {.name = "--json", .flag = &json},
                                        {0}};
    enum options_result r = options_parse(COMMAND_refresh, argc, argv, specs, &words);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    const char *what = words.n > 0 ? words.list[0] : NULL;
    if (check_arguments(words.n, all, what, host) != EXIT_OK) {
        return EXIT_USAGE;
    }
    if (admin.timeout == NULL) {
        admin.timeout = RUN_TIMEOUT;
    }
    enum exit_code code;
    struct admin_client *c = admin_client_new(&admin, &code);
    if (c == NULL) {
        return code;
    }
    int result = what != NULL || all ? refresh(c, what, host, json) : show_schedule(c, json);
    admin_client_free(c);
    return fflush(stdout) == 0 ? result : EXIT_FAILED;
}
