/*
 * proxy.conf.example and the directive reference, printed from the table, so that neither can
 * say anything else than the parser does. Depends on the table and the units only:
 * scripts/check-generated builds it alone.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/units.h"
#include "config.h"
#include "config/manual_parts.h"
#include "config/table.h"

const char *const manual_group_titles[MANUAL_GROUPS] = {
    "The process",
    "Sites: top level and `host`",
    "Rules: `defaults`, `type` and `route`",
};

enum manual_group manual_group_of(const struct conf_directive *d)
{
    if ((d->contexts & IN_ANY) == IN_ANY) {
        return d == &conf_directives[DIR_include] ? MANUAL_PROCESS : MANUAL_RULES;
    }
    if ((d->contexts & IN_POLICY) != 0) {
        return MANUAL_RULES;
    }
    return (d->contexts & IN_HOST) != 0 || d == &conf_directives[DIR_host] ||
                   d == &conf_directives[DIR_hosts]
               ? MANUAL_SITE
               : MANUAL_PROCESS;
}

bool manual_is_later(unsigned flags)
{
    return (flags & CONF_LATER) != 0;
}

/* ---- values ----------------------------------------------------------------------------- */

static void print_bound(FILE *out, enum conf_kind kind, int64_t value)
{
    char text[UNITS_TEXT_MAX];

    switch (kind) {
    case KIND_DURATION:
    case KIND_DURATION_OFF: duration_text(value, text); break;
    case KIND_SIZE:
    case KIND_SIZE_OFF:
    case KIND_SIZE_UNLIMITED: size_text(value, text); break;
    default:
        snprintf(text, sizeof(text), "%" PRId64 "%s", value, kind == KIND_PERCENT ? "%" : "");
    }
    fputs(text, out);
}

bool manual_has_range(enum conf_kind kind, int64_t min, int64_t max)
{
    return kind != KIND_CUSTOM && kind != KIND_TEXT && kind != KIND_FLAG &&
           (min != 0 || max != 0);
}

void manual_print_range(FILE *out, const char *before, enum conf_kind kind, int64_t min,
                        int64_t max)
{
    fputs(before, out);
    print_bound(out, kind, min);
    fputs(" to ", out);
    print_bound(out, kind, max);
}

void manual_print_contexts(FILE *out, unsigned contexts)
{
    static const char *const names[] = {"top level", "host", "defaults", "type", "route"};
    const char *separator = "";

    for (unsigned i = 0; i < 5; i++) {
        if ((contexts & (1u << i)) != 0) {
            fprintf(out, "%s%s", separator, names[i]);
            separator = ", ";
        }
    }
}

/* ---- proxy.conf.example ------------------------------------------------------------------ */

/* Prints text with `indent` in front of each line. */
static void print_lines(FILE *out, const char *indent, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");

        fprintf(out, "%s%.*s\n", indent, (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void print_example(FILE *out, const char *indent, const struct conf_directive *d)
{
    fprintf(out, "%s# %s%s%s\n", indent, d->name, d->form[0] != '\0' ? " " : "", d->form);
    fprintf(out, "%s#   %s", indent, d->brief);
    if (manual_is_later(d->flags)) {
        fputs(" (not available in this version)", out);
    } else if (d->initial[0] != '\0') {
        fprintf(out, " Default: %s", d->initial);
    }
    fputc('\n', out);
    print_lines(out, indent, d->example);
    fputc('\n', out);
}

static const char example_head[] =
    "# proxy.conf.example: every directive of Larder, with its default. Generated from\n"
    "# proxy/tbl/directives.def; change that, then run scripts/check-generated --write.\n"
    "#\n"
    "#   larder check -c proxy.conf    prints the routes, or every error\n"
    "#   larder run -c proxy.conf      serves them\n"
    "#\n"
    "# A hit skips the backend's authorization: `scope public` is for answers that everybody\n"
    "# may read; name an identity in the key of every other.\n\n";

static const char example_routes[] =
    "type catalogue { ttl 10m; scope public }\n"
    "\n"
    "# Cached for everybody; the parameters that are listed are part of the key.\n"
    "route GET  /api/products      { type catalogue; key products:list:{query}; query page "
    "limit }\n"
    "route GET  /api/products/{id} { type catalogue; key products:item:{id} }\n"
    "# A write makes what it changed invalid before its answer is released.\n"
    "route POST /api/products      { invalidate products:list:* }\n"
    "route PUT,DELETE /api/products/{id} { invalidate products:list:* products:item:{id} }\n"
    "\n"
    "# Cached for each organization, with `identity org` above:\n"
    "# route GET /api/agents { ttl 5m; key agents:list:{org}:{query}; query page limit }\n"
    "\n"
    "route GET  /ws     { upgrade websocket }\n"
    "route POST /upload { max_body 2gb }\n";

static void print_top(FILE *out)
{
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct conf_directive *d = &conf_directives[i];

        if (manual_group_of(d) != MANUAL_RULES && d->example[0] != '\0' && i != DIR_host) {
            print_example(out, "", d);
        }
    }
}

/* What may stand in `defaults` goes there; the rest is named in front of the types. */
static void print_rules(FILE *out)
{
    fputs("# What holds for every route; a type and a route may say the same and come first.\n"
          "defaults {\n",
          out);
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct conf_directive *d = &conf_directives[i];

        if (manual_group_of(d) == MANUAL_RULES && (d->contexts & IN_DEFAULTS) != 0 &&
            d->example[0] != '\0') {
            print_example(out, "    ", d);
        }
    }
    fputs("}\n\n# In types and routes also:\n", out);
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct conf_directive *d = &conf_directives[i];

        if (manual_group_of(d) == MANUAL_RULES && (d->contexts & IN_POLICY) != 0 &&
            ((d->contexts & IN_DEFAULTS) == 0 || d->example[0] == '\0')) {
            fprintf(out, "#   %s%s%s\n#       %s%s\n", d->name, d->form[0] != '\0' ? " " : "",
                    d->form, d->brief,
                    manual_is_later(d->flags) ? " (not available in this version)" : "");
        }
    }
    fputc('\n', out);
}

void config_print_example(FILE *out)
{
    fputs(example_head, out);
    print_top(out);
    print_rules(out);
    fputs(example_routes, out);
    fputc('\n', out);
    print_example(out, "", &conf_directives[DIR_host]);
}

/* ---- docs/directives.md ------------------------------------------------------------------ */

static const char reference_head[] =
    "# Directives of proxy.conf\n"
    "\n"
    "Generated from `proxy/tbl/directives.def`; change that, then run\n"
    "`scripts/check-generated --write`.\n"
    "\n"
    "A statement is a word, its arguments, and a newline, a `;` or a block. `{` and `}` count "
    "only "
    "as\n"
    "words of their own, `\"…\"` holds blanks, `\\` at the end of a line continues it, `#` at "
    "the "
    "start of a\n"
    "word begins a comment. `${NAME}` and `${NAME:-default}` come from the environment. "
    "Durations "
    "are\n"
    "written `250ms 30s 5m 1h 2d`, sizes `512b 1kb 256mb 2gb` (1kb is 1024 bytes).\n"
    "\n"
    "A hit skips the backend's authorization. That is why a cached route has to say who shares "
    "its\n"
    "answers: by an identity in its key, or by `scope`.\n";

static void print_options(FILE *out, size_t id)
{
    bool first = true;

    for (size_t i = 0; i < conf_n_options; i++) {
        const struct conf_option *o = &conf_options[i];

        if (o->directive != id) {
            continue;
        }
        fprintf(out, "%s- `%s=` %s: %s", first ? "\n" : "", o->name, o->form, o->text);
        first = false;
        if (o->initial[0] != '\0') {
            fprintf(out, " Default `%s`.", o->initial);
        }
        if (manual_has_range(o->kind, o->min, o->max)) {
            manual_print_range(out, " From ", o->kind, o->min, o->max);
            fputc('.', out);
        }
        fputc('\n', out);
    }
}

static void print_directive(FILE *out, size_t id)
{
    const struct conf_directive *d = &conf_directives[id];

    fprintf(out, "\n### %s\n\n", d->name);
    fprintf(out, "    %s%s%s\n\n", d->name, d->form[0] != '\0' ? " " : "", d->form);
    fprintf(out, "%s %s\n\n", d->brief, d->text);
    fputs("- stands in: ", out);
    manual_print_contexts(out, d->contexts);
    fputc('\n', out);
    if (manual_is_later(d->flags)) {
        fputs("- not available in this version\n", out);
        return;
    }
    if (d->initial[0] != '\0') {
        fprintf(out, "- default: `%s`\n", d->initial);
    }
    if (manual_has_range(d->kind, d->min, d->max)) {
        manual_print_range(out, "- range: ", d->kind, d->min, d->max);
        fputc('\n', out);
    }
    if ((d->flags & CONF_LIST) != 0) {
        fputs("- may be repeated: the statements of one block add up\n", out);
    }
    if ((d->flags & CONF_RESTART) != 0) {
        fputs("- a change needs a restart\n", out);
    }
    print_options(out, id);
}

void config_print_reference(FILE *out)
{
    fputs(reference_head, out);
    for (unsigned group = 0; group < MANUAL_GROUPS; group++) {
        fprintf(out, "\n## %s\n", manual_group_titles[group]);
        for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
            if (manual_group_of(&conf_directives[i]) == group) {
                print_directive(out, i);
            }
        }
    }
}
