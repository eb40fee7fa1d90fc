/*
 * `larder routes`: the routes as the running process has them, from GET /routes. `larder check`
 * prints those of a file.
 */
#include <stdio.h>

#include "base/units.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/member.h"
#include "cli/table.h"
#include "cli/term.h"

static void add_list(struct table *t, const struct cJSON *route, const char *name)
{
    struct strbuf *cell = table_cell(t);
    const struct cJSON *item = member_first(route, name);
    if (item == NULL) {
        strbuf_add_char(cell, '-');
    }
    for (bool first = true; item != NULL; item = member_next(item), first = false) {
        strbuf_add_str(cell, first ? STR("") : STR(" "));
        show_text(cell, member_text(item, ""));
    }
}

static void add_time(struct table *t, double ms)
{
    char text[UNITS_TEXT_MAX] = "-";
    if (ms > 0) {
        duration_text((msec_t)ms, text);
    }
    table_text(t, str_from(text));
}

static void add_ttl(struct table *t, const struct cJSON *route)
{
    if (str_eq(member_text(route, "ttl_mode"), STR("origin"))) {
        table_text(t, STR("origin"));
    } else {
        add_time(t, member_number(route, "ttl_ms"));
    }
}

/* A route of a named site shows whose it is. */
static void add_route(struct table *t, const struct cJSON *route)
{
    const struct cJSON *host = member_first(route, "hosts");
    struct strbuf *cell = table_cell(t);
    show_text(cell, member_text(route, "route"));
    if (host != NULL) {
        strbuf_add_str(cell, STR(" ("));
        show_text(cell, member_text(host, ""));
        strbuf_add_char(cell, ')');
    }
}

static void draw(const struct cJSON *j)
{
    static const struct table_column columns[] = {
        {"ROUTE", false},    {"TYPE", false},        {"SCOPE", false},
        {"TTL", true},       {"STALE", true},        {"KEY", false},
        {"UPSTREAM", false}, {"INVALIDATES", false}, {"DEFINED AT", false}};
    struct table t;
    table_init(&t, columns, 9);
    for (const struct cJSON *r = member_first(j, "routes"); r != NULL; r = member_next(r)) {
        bool cached = member_true(r, "cached");
        add_route(&t, r);
        table_text(&t, member_text(r, "type"));
        if (cached) {
            add_list(&t, r, "scope");
            add_ttl(&t, r);
            add_time(&t, member_number(r, "stale_ms"));
            table_text(&t, member_text(r, "key"));
        } else {
            table_text(&t, STR("not cached"));
            table_text(&t, STR_NULL);
            table_text(&t, STR_NULL);
            table_text(&t, STR_NULL);
        }
        table_text(&t, member_text(r, "upstream"));
        add_list(&t, r, "invalidate");
        table_text(&t, member_text(r, "line"));
    }
    if (table_rows(&t) == 0) {
        fputs("no routes: everything is forwarded and nothing is cached\n", stdout);
    }
    table_print(&t, stdout);
    table_fini(&t);
}

static int show(const struct admin_reply *reply, void *arg)
{
    const bool *json = arg;
    if (*json) {
        term_print_json(stdout, reply->text);
    } else {
        draw(reply->json);
    }
    return EXIT_OK;
}

int cli_routes(int argc, char **argv)
{
    struct admin_options admin = {0};
    bool json = false;
    const struct option_spec specs[] = {
        ADMIN_OPTION_SPECS(&admin), {.name = "--json", .flag = &json}, {0}};
    enum options_result r = options_parse(COMMAND_routes, argc, argv, specs, NULL);
    return r != OPTIONS_OK ? options_exit(r)
                           : admin_client_show(&admin, "/routes", "routes", show, &json);
}
