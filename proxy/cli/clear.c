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

/* What is to be cleared. */
struct order {
    const char *pattern; /* exactly one of these … */
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
    const char *name = o->pattern != NULL ? "pattern" : o->tag != NULL ? "tag" : "route";
    const char *value = o->pattern != NULL ? o->pattern : o->tag != NULL ? o->tag : o->route;
    cJSON *body = value != NULL ? cJSON_CreateObject() : NULL;
    char *text = NULL;
    if (body != NULL && cJSON_AddStringToObject(body, name, value) != NULL) {
        text = cJSON_PrintUnformatted(body);
    }
    cJSON_Delete(body);
    return text;
}

/* EXIT_FAILED when every node was to be waited for and not all have it. */
static int report(const struct order *o, const struct cJSON *j, long status)
{
    struct strbuf line = {0};
    bool pending = status == 202 || member_true(j, "pending");
    double waiting = member_number(j, "applied.waiting");
    show_text(&line, member_text(j, "cleared"));
    const char *what = o->pattern != NULL ? o->pattern
                       : o->type != NULL  ? o->type
                       : o->tag != NULL   ? o->tag
                                          : o->route;
    if (what != NULL) {
        strbuf_add_char(&line, ' ');
        term_add(&line, str_from(what));
    }
    if (member_number(j, "count") >= 0) {
        strbuf_add_str(&line, STR(", entries: "));
        show_count(&line, member_number(j, "count"));
    }
    strbuf_add_str(&line, STR(", journal "));
    show_text(&line, member_text(j, "position"));
    if (member_number(j, "applied.nodes") > 1) {
        strbuf_addf(&line, ", nodes %.0f", member_number(j, "applied.nodes"));
    }
    printf("cleared %.*s\n", (int)line.n, line.p);
    strbuf_free(&line);
    if (pending) {
        fprintf(stderr,
                "larder: Redis is away: cleared on this node, the others follow when it "
                "is back\n");
    } else if (waiting > 0) {
        fprintf(stderr, "larder: %.0f nodes have not confirmed it yet\n", waiting);
    }
    return o->wait && (pending || waiting > 0) ? EXIT_FAILED : EXIT_OK;
}

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
        bool everywhere =
            reply.status != 202 && !(member_number(reply.json, "applied.waiting") > 0);
        code = o->wait && !everywhere ? EXIT_FAILED : EXIT_OK;
    } else if (code == EXIT_OK) {
        code = report(o, reply.json, reply.status);
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
    const struct option_spec specs[] = {
        ADMIN_OPTION_SPECS(&admin),          {.name = "--type", .value = &o.type},
        {.name = "--tag", .value = &o.tag},  {.name = "--route", .value = &o.route},
        {.name = "--all", .flag = &o.all},   {.name = "--yes", .flag = &o.yes},
        {.name = "--soft", .flag = &o.soft}, {.name = "--wait", .flag = &o.wait},
        {.name = "--json", .flag = &o.json}, {0}};
    enum options_result r = options_parse(COMMAND_clear, argc, argv, specs, &words);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    o.pattern = words.n > 0 ? words.list[0] : NULL;
    int n =
        (o.pattern != NULL) + (o.type != NULL) + (o.tag != NULL) + (o.route != NULL) + o.all;
    if (n != 1 || (o.pattern != NULL && o.pattern[0] == '\0')) {
        return options_error(COMMAND_clear, "give exactly one of PATTERN, --type, --tag, "
                                            "--route and --all");
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
