/*
 * proxy.conf(5): the rows of tbl/directives.def as a manual page. As config/manual.c it depends
 * on the table, the units and base/roff only.
 */
#include "base/roff.h"
#include "config.h"
#include "config/manual_parts.h"
#include "config/table.h"

static const char description[] =
    "The configuration of larder(1). `larder check` prints every error of a file with its "
    "line, "
    "or the routes that it makes; `larder help example` prints a commented file."
    "\n\n"
    "A statement is a word, its arguments, and a newline, a `;` or a block. `{` and `}` count "
    "only as words of their own, `\"…\"` holds blanks, `\\` at the end of a line continues it, "
    "`#` at the start of a word begins a comment. `${NAME}` and `${NAME:-default}` come from "
    "the "
    "environment. Durations are written `250ms 30s 5m 1h 2d`, sizes `512b 1kb 256mb 2gb` (1kb "
    "is "
    "1024 bytes)."
    "\n\n"
    "A hit skips the backend's authorization. That is why a cached route has to say who shares "
    "its answers: by an identity in its key, or by `scope`.";

static const char example[] =
    "listen   127.0.0.1:8080\n"
    "upstream api http://127.0.0.1:8000\n"
    "defaults { upstream api; stale 60s }\n"
    "route GET  /api/products/{id} { ttl 2h; scope public; key products:item:{id} }\n"
    "route POST /api/products      { invalidate products:* }\n";

static const char *const titles[MANUAL_GROUPS] = {
    ".SH THE PROCESS",
    ".SH SITES",
    ".SH RULES",
};

static void print_options(struct roff *r, size_t id)
{
    bool any = false;
    for (size_t i = 0; i < conf_n_options; i++) {
        const struct conf_option *o = &conf_options[i];
        if (o->directive != id) {
            continue;
        }
        if (!any) {
            roff_macro(r, ".RS");
            any = true;
        }
        roff_macro(r, ".TP");
        roff_bold(r, o->name);
        roff_bold(r, "=");
        roff_text(r, o->form);
        roff_break(r);
        roff_text(r, o->text);
        if (o->initial[0] != '\0') {
            roff_text(r, " Default ");
            roff_bold(r, o->initial);
            roff_text(r, ".");
        }
        if (manual_has_range(o->kind, o->min, o->max)) {
            manual_print_range(r->out, " From ", o->kind, o->min, o->max);
            roff_text(r, ".");
        }
        roff_break(r);
    }
    if (any) {
        roff_macro(r, ".RE");
    }
}

static void print_facts(struct roff *r, const struct conf_directive *d)
{
    roff_text(r, "Stands in: ");
    manual_print_contexts(r->out, d->contexts);
    roff_text(r, ".");
    if (d->initial[0] != '\0') {
        roff_text(r, " Default: ");
        roff_bold(r, d->initial);
        roff_text(r, ".");
    }
    if (manual_has_range(d->kind, d->min, d->max)) {
        manual_print_range(r->out, " From ", d->kind, d->min, d->max);
        roff_text(r, ".");
    }
    roff_text(r, (d->flags & CONF_LIST) != 0 ? " May be repeated: the statements add up." : "");
    roff_text(r, (d->flags & CONF_RESTART) != 0 ? " A change needs a restart." : "");
    roff_break(r);
}

static void print_directive(struct roff *r, size_t id)
{
    const struct conf_directive *d = &conf_directives[id];
    roff_macro(r, ".TP");
    roff_bold(r, d->name);
    roff_text(r, d->form[0] != '\0' ? " " : "");
    roff_text(r, d->form);
    roff_break(r);
    roff_text(r, d->brief);
    roff_text(r, " ");
    roff_text(r, d->text);
    if (manual_is_later(d->flags)) {
        roff_text(r, " Not available in this version.");
        roff_break(r);
        return;
    }
    /* A paragraph within the item. */
    roff_macro(r, ".IP");
    print_facts(r, d);
    print_options(r, id);
}

/* Lines as they stand. */
static void print_example(struct roff *r)
{
    roff_macro(r, ".SH EXAMPLES");
    roff_macro(r, ".EX");
    for (const char *p = example; *p != '\0'; p++) {
        if (*p == '\n') {
            roff_break(r);
        } else {
            fputs(*p == '\\' ? "\\e" : "", r->out);
            fputc(*p, r->out);
            r->column++;
        }
    }
    roff_macro(r, ".EE");
}

void config_print_man(FILE *out)
{
    struct roff r = {.out = out};
    roff_macro(&r, ".\\\" Generated from proxy/tbl/directives.def by scripts/check-generated.");
    roff_macro(&r, ".TH PROXY.CONF 5 \"" MANUAL_DATE "\" \"Larder " LARDER_VERSION "\"");
    roff_macro(&r, ".SH NAME");
    roff_macro(&r, "proxy.conf \\- configuration of larder");
    roff_macro(&r, ".SH DESCRIPTION");
    roff_text(&r, description);
    for (unsigned group = 0; group < MANUAL_GROUPS; group++) {
        roff_macro(&r, titles[group]);
        for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
            if (manual_group_of(&conf_directives[i]) == group) {
                print_directive(&r, i);
            }
        }
    }
    print_example(&r);
    roff_macro(&r, ".SH SEE ALSO");
    roff_macro(&r, ".BR larder (1)");
}
