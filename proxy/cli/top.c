/*
 * `larder top`: what is busiest now, from GET /top. On a terminal it is drawn again every
 * interval; elsewhere once.
 */
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/live.h"
#include "cli/member.h"
#include "cli/table.h"

#define ROWS_DEFAULT 10
#define ROWS_MAX     500

static void finish(struct table *t, const char *nothing, FILE *out)
{
    if (table_rows(t) > 0) {
        table_print(t, out);
    } else {
        fprintf(out, "%s\n", nothing);
    }
    table_fini(t);
}

static void draw_keys(const struct cJSON *j, FILE *out)
{
    static const struct table_column columns[] = {
        {"REQUESTS", true}, {"HOTTEST KEYS", false}, {"ROUTE", false}};
    struct table t;
    table_init(&t, columns, 3);
    for (const struct cJSON *k = member_first(j, "keys"); k != NULL; k = member_next(k)) {
        table_count(&t, member_number(k, "hits"));
        table_text(&t, member_text(k, "name"));
        table_text(&t, member_text(k, "route"));
    }
    finish(&t, "no requests yet", out);
}

static void draw_slow(const struct cJSON *j, FILE *out)
{
    static const struct table_column columns[] = {
        {"TIME", true}, {"SLOWEST MISSES", false}, {"ROUTE", false}, {"AT", false}};
    struct table t;
    table_init(&t, columns, 4);
    for (const struct cJSON *k = member_first(j, "slow"); k != NULL; k = member_next(k)) {
        table_ms(&t, member_number(k, "ms"));
        table_text(&t, member_text(k, "name"));
        table_text(&t, member_text(k, "route"));
        table_text(&t, member_text(k, "at"));
    }
    finish(&t, "no misses yet", out);
}

static void draw_routes(const struct cJSON *j, FILE *out)
{
    static const struct table_column columns[] = {
        {"HIT %", true}, {"REQUESTS", true}, {"WORST ROUTES", false}};
    struct table t;
    table_init(&t, columns, 3);
    for (const struct cJSON *k = member_first(j, "routes"); k != NULL; k = member_next(k)) {
        table_percent(&t, member_number(k, "hit_rate"));
        table_count(&t, member_number(k, "requests"));
        table_text(&t, member_text(k, "route"));
    }
    finish(&t, "no requests of cached routes yet", out);
}

static void draw(const struct cJSON *j, FILE *out, void *arg)
{
    (void)arg;
    draw_keys(j, out);
    fputc('\n', out);
    draw_slow(j, out);
    fputc('\n', out);
    draw_routes(j, out);
}

int cli_top(int argc, char **argv)
{
    struct admin_options admin = {0};
    const char *interval = NULL, *rows = NULL;
    struct live_view view = {
        .ask = {.method = "GET", .expect = "routes"}, .draw = draw, .repeat = true};
    const struct option_spec specs[] = {ADMIN_OPTION_SPECS(&admin),
                                        {.name = "--lines", .value = &rows},
                                        {.name = "--interval", .value = &interval},
                                        {.name = "--json", .flag = &view.json},
                                        {0}};
    enum options_result r = options_parse(COMMAND_top, argc, argv, specs, NULL);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    uint64_t n = ROWS_DEFAULT;
    if (rows != NULL && (!str_to_u64(str_from(rows), ROWS_MAX, &n) || n == 0)) {
        return options_error(COMMAND_top, "--lines wants a number from 1 to %d", ROWS_MAX);
    }
    if (!live_read_interval(interval, &view.interval)) {
        return EXIT_USAGE;
    }
    struct strbuf target = {0};
    strbuf_addf(&target, "/top?n=%u", (unsigned)n);
    view.ask.target = strbuf_str(&target);
    enum exit_code code;
    struct admin_client *c = admin_client_new(&admin, &code);
    int result = c != NULL ? live_run(c, &view) : (int)code;
    admin_client_free(c);
    strbuf_free(&target);
    return result;
}
