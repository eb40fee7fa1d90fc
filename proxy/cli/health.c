/*
 * `larder health`: the state in one word, and what is wrong and since when. Its exit code is
 * made for scripts and container health checks: 0 while requests are served.
 */
#include <stdio.h>

#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/member.h"
#include "cli/term.h"

static void draw(const struct cJSON *j)
{
    struct strbuf line = {0};
    show_text(&line, member_text(j, "status"));
    strbuf_add_str(&line, STR(" since "));
    show_text(&line, member_text(j, "since"));
    strbuf_add_char(&line, '\n');
    for (const struct cJSON *p = member_first(j, "problems"); p != NULL; p = member_next(p)) {
        strbuf_add_str(&line, STR("  "));
        show_text(&line, member_text(p, "what"));
        strbuf_add_str(&line, STR(": "));
        show_text(&line, member_text(p, "detail"));
        strbuf_add_str(&line, STR(" (since "));
        show_text(&line, member_text(p, "since"));
        strbuf_add_str(&line, STR(")\n"));
    }
    if (member_number(j, "scheduler.routes") > 0) {
        strbuf_addf(&line, "  refresh: %s, routes %.0f, failed %.0f\n",
                    member_true(j, "scheduler.running") ? "running" : "not running",
                    member_number(j, "scheduler.routes"), member_number(j, "scheduler.failed"));
    }
    fwrite(line.p, 1, line.n, stdout);
    strbuf_free(&line);
}

static int exit_of(struct str status, bool strict)
{
    if (str_eq(status, STR("HEALTHY"))) {
        return EXIT_OK;
    }
    return str_eq(status, STR("DEGRADED")) && !strict ? EXIT_OK : EXIT_FAILED;
}

/* How it is to be said. */
struct manner {
    bool json, strict, quiet;
};

/* DOWN comes with 503. */
static int show(const struct admin_reply *reply, void *arg)
{
    const struct manner *m = arg;
    if (m->json) {
        term_print_json(stdout, reply->text);
    } else if (!m->quiet) {
        draw(reply->json);
    }
    return exit_of(member_text(reply->json, "status"), m->strict);
}

int cli_health(int argc, char **argv)
{
    struct admin_options admin = {0};
    struct manner m = {0};
    const struct option_spec specs[] = {ADMIN_OPTION_SPECS(&admin),
                                        {.name = "--strict", .flag = &m.strict},
                                        {.name = "--quiet", .flag = &m.quiet},
                                        {.name = "--json", .flag = &m.json},
                                        {0}};
    enum options_result r = options_parse(COMMAND_health, argc, argv, specs, NULL);
    return r != OPTIONS_OK ? options_exit(r)
                           : admin_client_show(&admin, "/health", "scheduler", show, &m);
}
