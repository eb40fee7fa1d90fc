/*
 * `larder clear`: POST /invalidate-pattern, /invalidate/TYPE or /clear-all. What would clear
 * everything is asked about first; without a terminal to ask at it needs --yes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/member.h"
#include "cli/term.h"

#define WAIT_TIMEOUT "30s" /* beyond what the admin plane itself waits for other nodes */

/* What is to be cleared. */
struct order {
    const char *pattern; /* exactly one of these … */
    const char *key;
    const char *type;
    const char *tag;
    const char *route;
    bool all; /* … or this */
    bool yes;
    bool soft;
    bool wait;
    bool json;
};

/* A pattern of nothing but stars is everything, too. */
static bool is_everything(const struct order *o)
{
    return o->all || (o->pattern != NULL && strspn(o->pattern, "*") == strlen(o->pattern));
}

/* EXIT_OK when it may be done. */
static int confirm(const struct order *o, const struct admin_client *c)
{
    char answer[16] = "";
    if (!is_everything(o) || o->yes) {
        return EXIT_OK;
    }
    if (!isatty(STDIN_FILENO)) {
        return options_error(COMMAND_clear,
                             "this clears everything; nobody can be asked, so --yes is needed");
    }
    fprintf(stderr, "Clear everything that larder at %s has stored? [y/N] ",
            admin_client_address(c));
    if (fgets(answer, sizeof(answer), stdin) == NULL || (answer[0] | 0x20) != 'y') {
        fprintf(stderr, "larder: nothing was cleared\n");
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

static void make_target(const struct order *o, struct strbuf *target)
{
    if (o->all) {
        strbuf_add_str(target, STR("/clear-all"));
    } else if (o->type != NULL) {
        strbuf_add_str(target, STR("/invalidate/"));
        admin_target_segment(target, str_from(o->type));
    } else {
        strbuf_add_str(target, STR("/invalidate-pattern"));
    }
    if (o->soft) {
        admin_target_add(target, "soft", STR("on"));
    }
    if (o->wait) {
        admin_target_add(target, "wait", STR("all"));
    }
}

/* On the heap; NULL: none is sent. */
static char *make_body(const struct order *o)
{
    const char *name = o->pattern != NULL ? "pattern"
                       : o->key != NULL   ? "key"
                       : o->tag != NULL   ? "tag"
                                          : "route";
    const char *value = o->pattern != NULL ? o->pattern
                        : o->key != NULL   ? o->key
                        : o->tag != NULL   ? o->tag
                                           : o->route;
    cJSON *body = value != NULL ? cJSON_CreateObject() : NULL;
    char *text = NULL;
    if (body != NULL && cJSON_AddStringToObject(body, name, value) != NULL) {
        text = cJSON_PrintUnformatted(body);
    }
    cJSON_Delete(body);
    return text;
}

/* What is still to come, and for whom; nothing when it is done. */
static void report_pending(const struct cJSON *j)
{
    double waiting = member_number(j, "applied.waiting");
    double nodes = member_number(j, "applied.nodes");
    if (member_text(j, "position").n == 0) {
        fputs(
            "larder: Redis is away: cleared on this node; the others follow when it is back\n",
            stderr);
    } else if (waiting >= 0) {
        fprintf(stderr, "larder: %.0f of %.0f nodes have not confirmed it yet\n", waiting,
                nodes);
    } else {
        fputs("larder: it is not known yet whether every node has it\n", stderr);
    }
}

static void report(const struct cJSON *j)
{
    struct strbuf line = {0};
    show_text(&line, member_text(j, "cleared"));
    if (member_number(j, "count") >= 0) {
        strbuf_add_str(&line, STR(", entries "));
        show_count(&line, member_number(j, "count"));
    }
    if (member_text(j, "position").n > 0) {
        strbuf_add_str(&line, STR(", journal position "));
        show_text(&line, member_text(j, "position"));
    }
    if (member_number(j, "applied.nodes") > 1 && member_number(j, "applied.waiting") == 0) {
        strbuf_add_str(&line, STR(", nodes "));
        show_count(&line, member_number(j, "applied.nodes"));
    }
    printf("cleared %.*s\n", (int)line.n, line.p);
    strbuf_free(&line);
}

/* With --wait it is a failure when not every node has it (202). */
static int clear(struct admin_client *c, const struct order *o)
{
    struct strbuf target = {0};
    struct admin_reply reply;
    char *body = make_body(o);
    make_target(o, &target);
    const struct admin_ask ask = {.method = "POST",
                                  .target = strbuf_str(&target),
                                  .body = str_from(body),
                                  .expect = "cleared"};
    int code = (int)admin_client_fetch(c, &ask, &reply);
    if (code == EXIT_OK && o->json) {
        term_print_json(stdout, reply.text);
    } else if (code == EXIT_OK) {
        report(reply.json);
    }
    if (code == EXIT_OK && reply.status == 202) {
        report_pending(reply.json);
        code = o->wait ? EXIT_FAILED : EXIT_OK;
    }
    free(body);
    strbuf_free(&target);
    return fflush(stdout) == 0 ? code : EXIT_FAILED;
}

int cli_clear(int argc, char **argv)
{
    struct admin_options admin = {0};
    struct option_list words = {.max = 1};
    struct order o = {0};
    const struct option_spec specs[] = {ADMIN_OPTION_SPECS(&admin),
                                        {.name = "--key", .value = &o.key},
                                        {.name = "--type", .value = &o.type},
                                        {.name = "--tag", .value = &o.tag},
                                        {.name = "--route", .value = &o.route},
                                        {.name = "--all", .flag = &o.all},
                                        {.name = "--yes", .flag = &o.yes},
                                        {.name = "--soft", .flag = &o.soft},
                                        {.name = "--wait", .flag = &o.wait},
                                        {.name = "--json", .flag = &o.json},
                                        {0}};
    enum options_result r = options_parse(COMMAND_clear, argc, argv, specs, &words);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    o.pattern = words.n > 0 ? words.list[0] : NULL;
    int n = (o.pattern != NULL) + (o.key != NULL) + (o.type != NULL) + (o.tag != NULL) +
            (o.route != NULL) + o.all;
    if (n != 1 || (o.pattern != NULL && o.pattern[0] == '\0')) {
        return options_error(COMMAND_clear,
                             "give exactly one of PATTERN, --key, --type, --tag, "
                             "--route and --all");
    }
    if (o.wait && admin.timeout == NULL) {
        admin.timeout = WAIT_TIMEOUT;
    }
    enum exit_code code;
    struct admin_client *c = admin_client_new(&admin, &code);
    if (c == NULL) {
        return code;
    }
    int result = confirm(&o, c);
    result = result == EXIT_OK ? clear(c, &o) : result;
    admin_client_free(c);
    return result;
}
