/*
 * `larder log`: the last requests from GET /log, filtered by the server, and on a terminal (or
 * with --follow) those that come, by asking again from the cursor that it gave. After a restart
 * of larder it goes on with what the new process has, and says so.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/suggest.h"
#include "cache/reason.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/live.h"
#include "cli/member.h"
#include "cli/term.h"

#define LINES_DEFAULT 20
#define LINES_MAX     1000
#define POLL_MS       500

/* What is asked for, and how far it was shown. */
struct tail {
    const char *route;
    const char *result;
    const char *reason;
    uint64_t lines; /* of the first look */
    bool json;
    bool lost;            /* there was no answer the last time */
    struct strbuf cursor; /* "next" of the last answer; empty: none yet */
    struct strbuf target; /* of the request under way */
};

static void make_target(struct tail *t)
{
    struct strbuf *out = &t->target;
    out->n = 0;
    strbuf_addf(out, "/log?n=%u", (unsigned)(t->cursor.n > 0 ? LINES_MAX : t->lines));
    if (t->route != NULL) {
        admin_target_add(out, "route", str_from(t->route));
    }
    if (t->result != NULL) {
        admin_target_add(out, "cache", str_from(t->result));
    }
    if (t->reason != NULL) {
        admin_target_add(out, "reason", str_from(t->reason));
    }
    if (t->cursor.n > 0) {
        admin_target_add(out, "after", strbuf_str(&t->cursor));
    }
}

/* One cell of at least `width` columns, and a blank. */
static void cell(struct strbuf *line, struct str text, int width)
{
    struct strbuf safe = {0};
    show_text(&safe, text);
    int blanks = width - (int)term_columns(strbuf_str(&safe));
    strbuf_addf(line, "%.*s%*s ", (int)safe.n, safe.p, blanks > 0 ? blanks : 0, "");
    strbuf_free(&safe);
}

static void print_line(const struct cJSON *r)
{
    struct strbuf line = {0}, ms = {0};
    cell(&line, member_text(r, "time"), 24);
    strbuf_addf(&line, "%3.0f ", member_number(r, "status"));
    cell(&line, member_text(r, "cache"), 11);
    cell(&line, member_text(r, "reason"), 12);
    show_ms(&ms, member_number(r, "ms"));
    strbuf_addf(&line, "%8.*s ", (int)ms.n, ms.p);
    cell(&line, member_text(r, "method"), 4);
    cell(&line, member_text(r, "path"), 0);
    struct str route = member_text(r, "route");
    bool none = str_starts(route, STR("(")); /* "(no route)" */
    strbuf_add_str(&line, none ? STR("") : STR("("));
    show_text(&line, route);
    printf("%.*s%s\n", (int)line.n, line.p, none ? "" : ")");
    strbuf_free(&line);
    strbuf_free(&ms);
}

static void print_json(const struct cJSON *r)
{
    char *text = cJSON_PrintUnformatted(r);
    if (text != NULL) {
        term_print_json(stdout, str_from(text));
    }
    free(text);
}

/* The cursor may be a text or a number. */
static void keep_cursor(struct tail *t, const struct cJSON *answer)
{
    struct str text = member_text(answer, "next");
    double number = member_number(answer, "next");
    t->cursor.n = 0;
    strbuf_add_str(&t->cursor, text);
    if (!isnan(number)) {
        strbuf_addf(&t->cursor, "%.0f", number);
    }
}

/* What has happened since the last answer. */
static void say_again(const struct tail *t, const struct cJSON *answer)
{
    bool restarted = member_true(answer, "restarted");
    if (t->lost || restarted) {
        fprintf(stderr, "larder: %s%s%s\n", t->lost ? "connected again" : "",
                t->lost && restarted ? "; " : "", restarted ? "it was restarted" : "");
    }
}

static enum exit_code look(struct tail *t, struct admin_client *c, struct admin_reply *reply)
{
    make_target(t);
    const struct admin_ask ask = {
        .method = "GET", .target = strbuf_str(&t->target), .expect = "requests"};
    enum exit_code code = admin_client_ask(c, &ask, reply);
    if (code != EXIT_OK) {
        return code;
    }
    say_again(t, reply->json);
    const struct cJSON *r = member_first(reply->json, "requests");
    for (; r != NULL; r = member_next(r)) {
        if (t->json) {
            print_json(r);
        } else {
            print_line(r);
        }
    }
    if (member_number(reply->json, "missed") > 0) {
        fprintf(stderr, "larder: more came than could be shown; missed: %.0f\n",
                member_number(reply->json, "missed"));
    }
    keep_cursor(t, reply->json);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static bool is_result(const char *word)
{
    static const char *const known[] = {"hit",         "miss",   "stale",
                                        "revalidated", "bypass", "pass"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (str_ieq(str_from(word), str_from(known[i]))) {
            return true;
        }
    }
    return false;
}

/* EXIT_OK, or EXIT_USAGE after the error was printed. A missing identity's word has its name.
 */
static int check_reason(const char *word)
{
    struct suggest s;
    struct str best;
    if (word == NULL || strncmp(word, "no-", 3) == 0) {
        return EXIT_OK;
    }
    suggest_init(&s, str_from(word));
    for (int r = 0; r < REASON_COUNT; r++) {
        suggest_offer(&s, reason_word((enum reason)r));
        if (str_eq(reason_word((enum reason)r), str_from(word))) {
            return EXIT_OK;
        }
    }
    bool near = suggest_result(&s, &best);
    return options_error(COMMAND_log, "there is no reason %s%s%.*s%s", word,
                         near ? "; did you mean " : "", near ? (int)best.n : 0,
                         near ? best.p : "", near ? "?" : "");
}

static void follow(struct tail *t, struct admin_client *c, struct live *l)
{
    struct admin_reply reply;
    while (live_wait(l, POLL_MS)) {
        enum exit_code code = look(t, c, &reply);
        if (ferror(stdout)) {
            break;
        }
        if (code == EXIT_FAILED) {
            t->cursor.n = 0; /* it does not know its own any more: begin anew */
        }
        if (code != EXIT_OK && !t->lost && live_wait(l, 0)) {
            fprintf(stderr, "larder: %s (trying again)\n", admin_client_why(c));
        }
        t->lost = code != EXIT_OK;
    }
}

/* Ctrl-C is the end, and no failure, from the first question on. */
static int run(struct tail *t, struct admin_client *c, bool following)
{
    struct admin_reply reply;
    struct live l;
    if (following) {
        live_init(&l);
        admin_client_stop_on(c, l.signal_fd);
    }
    enum exit_code code = look(t, c, &reply);
    if (following && !live_wait(&l, 0)) {
        code = EXIT_OK;
    } else if (code != EXIT_OK) {
        fprintf(stderr, "larder: %s\n", admin_client_why(c));
    } else if (following) {
        follow(t, c, &l);
    }
    if (following) {
        live_fini(&l);
    }
    strbuf_free(&t->cursor);
    strbuf_free(&t->target);
    return code;
}

int cli_log(int argc, char **argv)
{
    struct admin_options admin = {0};
    struct tail t = {.lines = LINES_DEFAULT};
    const char *lines = NULL;
    bool following = false;
    const struct option_spec specs[] = {ADMIN_OPTION_SPECS(&admin),
                                        {.name = "--route", .value = &t.route},
                                        {.name = "--result", .value = &t.result},
                                        {.name = "--reason", .value = &t.reason},
                                        {.name = "--lines", .value = &lines},
                                        {.name = "--follow", .flag = &following},
                                        {.name = "--json", .flag = &t.json},
                                        {0}};
    enum options_result r = options_parse(COMMAND_log, argc, argv, specs, NULL);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    if (lines != NULL && (!str_to_u64(str_from(lines), LINES_MAX, &t.lines) || t.lines == 0)) {
        return options_error(COMMAND_log, "--lines wants a number from 1 to %d", LINES_MAX);
    }
    if (t.result != NULL && !is_result(t.result)) {
        return options_error(COMMAND_log,
                             "--result wants hit, miss, stale, revalidated, bypass "
                             "or pass");
    }
    if (check_reason(t.reason) != EXIT_OK) {
        return EXIT_USAGE;
    }
    enum exit_code code;
    struct admin_client *c = admin_client_new(&admin, &code);
    int result = c != NULL ? run(&t, c, following || live_is_terminal()) : (int)code;
    admin_client_free(c);
    return result;
}
