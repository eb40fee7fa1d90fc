/*
 * The options that every command of the admin plane has are explained once, in a section of
 * their own. Depends on the table and base/roff only: scripts/check-generated builds it alone.
 */
#include "cli/manual.h"

#include <stdbool.h>
#include <string.h>

#include "base/roff.h"
#include "cli/command.h"

static const char description[] =
    "Larder is a reverse caching proxy for APIs: it stands in front of a service, answers from "
    "memory or Redis what it may, and forwards the rest. It is one program; its first argument "
    "says what it is to do. `larder run` serves; every other command looks at a configuration "
    "or talks to a running larder.";

static const char admin_text[] =
    "These commands ask the admin plane of a running larder: the address that the `admin` "
    "directive of proxy.conf(5) names.";

/* Has the command the options of ADMIN_OPTIONS? */
static bool asks_admin(enum command_id id)
{
    return command_option_find(id, "--admin") != NULL;
}

static bool is_common(const struct command_option *o)
{
    static const char *const names[] = {"--config", "--admin", "--token-file", "--timeout"};
    for (size_t i = 0; i < 4 && asks_admin(o->command); i++) {
        if (strcmp(o->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void print_option(struct roff *r, const struct command_option *o)
{
    roff_macro(r, ".TP");
    if (o->letter != 0) {
        char shorter[] = {'-', o->letter, '\0'};
        roff_bold(r, shorter);
        roff_text(r, ", ");
    }
    roff_bold(r, o->name);
    if (o->value[0] != '\0') {
        roff_text(r, " ");
        roff_italic(r, o->value);
    }
    roff_break(r);
    roff_text(r, o->text);
    roff_break(r);
}

static void print_exit(struct roff *r, int code, const char *text)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", code);
    roff_macro(r, ".TP");
    roff_bold(r, number);
    roff_break(r);
    roff_text(r, text);
    roff_break(r);
}

static void print_command(struct roff *r, enum command_id id)
{
    const struct command *c = &commands[id];
    fprintf(r->out, ".SS %s\n", c->name);
    roff_bold(r, "larder ");
    roff_bold(r, c->name);
    if (c->arguments[0] != '\0') {
        roff_text(r, " ");
        roff_italic(r, c->arguments);
    }
    roff_macro(r, ".PP");
    roff_text(r, c->text);
    roff_break(r);
    for (size_t i = 0; i < command_n_options; i++) {
        const struct command_option *o = &command_options[i];
        if (o->command == id && !is_common(o)) {
            print_option(r, o);
        }
    }
    if (asks_admin(id)) {
        roff_macro(r, ".PP");
        roff_text(r, "And those under `ADMIN PLANE` below.");
    }
    roff_macro(r, ".PP");
    roff_text(r, "Exit codes:");
    for (size_t i = 0; i < command_n_exits; i++) {
        const struct command_exit *e = &command_exits[i];
        if (e->command == id && e->code < EXIT_USAGE) {
            print_exit(r, e->code, e->text);
        }
    }
}

static void print_admin(struct roff *r)
{
    roff_macro(r, ".SH ADMIN PLANE");
    roff_text(r, admin_text);
    roff_break(r);
    for (size_t i = 0; i < command_n_options; i++) {
        if (command_options[i].command == COMMAND_health && is_common(&command_options[i])) {
            print_option(r, &command_options[i]);
        }
    }
}

static void print_exits(struct roff *r)
{
    roff_macro(r, ".SH EXIT STATUS");
    print_exit(r, EXIT_OK, "Done.");
    print_exit(
        r, EXIT_FAILED,
        "Refused or failed; the reason is on standard error. What it means for a command "
        "stands there.");
    print_exit(r, EXIT_USAGE, "Wrong arguments.");
    print_exit(
        r, EXIT_UNREACHABLE,
        "The admin plane could not be reached, did not answer in time, or did not accept "
        "the token.");
}

static void print_environment(struct roff *r)
{
    roff_macro(r, ".SH ENVIRONMENT");
    roff_macro(r, ".TP");
    roff_bold(r, "LARDER_TOKEN");
    roff_break(r);
    roff_text(r, "The token of the admin plane, unless `--token-file` gives one.");
    roff_break(r);
    roff_macro(r, ".PP");
    roff_text(r, "A configuration may name any variable as `${NAME}`.");
    roff_macro(r, ".SH FILES");
    roff_macro(r, ".TP");
    roff_bold(r, "./proxy.conf");
    roff_text(r, ", ");
    roff_bold(r, "/etc/larder/proxy.conf");
    roff_break(r);
    roff_text(r, "The configuration, where `--config` names none: the first that exists.");
    roff_break(r);
}

static void print_examples(struct roff *r)
{
    roff_macro(r, ".SH EXAMPLES");
    for (size_t i = 0; i < command_n_examples; i++) {
        roff_macro(r, ".TP");
        roff_bold(r, command_examples[i].line);
        roff_break(r);
        roff_text(r, command_examples[i].text);
        roff_break(r);
    }
}

void manual_print(FILE *out)
{
    struct roff r = {.out = out};
    roff_macro(&r, ".\\\" Generated from proxy/tbl/commands.def by scripts/check-generated.");
    roff_macro(&r, ".TH LARDER 1 \"" MANUAL_DATE "\" \"Larder " LARDER_VERSION "\"");
    roff_macro(&r, ".SH NAME");
    roff_macro(&r, "larder \\- reverse caching proxy for APIs");
    roff_macro(&r, ".SH SYNOPSIS");
    roff_bold(&r, "larder ");
    roff_italic(&r, "COMMAND");
    roff_text(&r, " [");
    roff_italic(&r, "OPTIONS");
    roff_text(&r, "]");
    roff_macro(&r, ".SH DESCRIPTION");
    roff_text(&r, description);
    roff_macro(&r, ".SH COMMANDS");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        print_command(&r, (enum command_id)i);
    }
    print_admin(&r);
    print_exits(&r);
    print_environment(&r);
    print_examples(&r);
    roff_macro(&r, ".SH SEE ALSO");
    roff_macro(&r, ".BR proxy.conf (5)");
    fflush(out);
}
