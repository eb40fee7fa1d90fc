/*
 * The option parser: long options in both spellings, short ones with the value attached or
 * after it.
 */
#include "cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/suggest.h"
#include "cli/help.h"
#include "config.h"

#define SYSTEM_CONFIG "/etc/larder/proxy.conf"

/* A parse under way. */
struct parse {
    enum command_id command;
    int argc;
    char **argv;
    int i; /* the argument looked at */
    const struct option_spec *specs;
    struct option_list *words;
};

int options_error(enum command_id command, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("larder: ", stderr);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    help_usage(command, stderr);
    fprintf(stderr, "larder %s --help says more.\n", commands[command].name);
    return EXIT_USAGE;
}

static enum options_result unknown(enum command_id command, struct str word)
{
    struct suggest s;
    struct str best;
    suggest_init(&s, word);
    for (size_t i = 0; i < command_n_options; i++) {
        if (command_options[i].command == command) {
            suggest_offer(&s, str_from(command_options[i].name));
        }
    }
    suggest_offer(&s, STR("--help"));
    if (suggest_result(&s, &best)) {
        options_error(command, "unknown option %.*s; did you mean %.*s?", STR_ARG(word),
                      STR_ARG(best));
    } else {
        options_error(command, "unknown option %.*s", STR_ARG(word));
    }
    return OPTIONS_WRONG;
}

static const struct option_spec *find(const struct option_spec *specs, struct str name)
{
    for (; specs->name != NULL; specs++) {
        if (str_eq(str_from(specs->name), name)) {
            return specs;
        }
    }
    return NULL;
}

static const struct option_spec *find_short(const struct parse *p, char letter)
{
    for (size_t i = 0; i < command_n_options; i++) {
        const struct command_option *o = &command_options[i];
        if (o->command == p->command && o->letter != 0 && o->letter == letter) {
            return find(p->specs, str_from(o->name));
        }
    }
    return NULL;
}

/* What help says and what the command understands is the same, or the program is wrong. */
static void check_specs(enum command_id command, const struct option_spec *specs)
{
    size_t rows = 0, bound = 0;
    for (size_t i = 0; i < command_n_options; i++) {
        rows += command_options[i].command == command;
    }
    for (const struct option_spec *s = specs; s->name != NULL; s++, bound++) {
        const struct command_option *row = command_option_find(command, s->name);
        if (row == NULL || (row->value[0] == '\0') != (s->flag != NULL)) {
            fprintf(stderr, "larder: tbl/commands.def knows %s of %s otherwise\n", s->name,
                    commands[command].name);
            abort();
        }
    }
    if (rows != bound) {
        fprintf(stderr, "larder: tbl/commands.def lists %zu options of %s, not %zu\n", rows,
                commands[command].name, bound);
        abort();
    }
}

/* Stores an option found; attached: its value in the same argument, or NULL. */
static enum options_result take(struct parse *p, const struct option_spec *o,
                                const char *attached)
{
    if (o->flag != NULL) {
        if (attached != NULL) {
            options_error(p->command, "%s takes no value", o->name);
            return OPTIONS_WRONG;
        }
        *o->flag = true;
        return OPTIONS_OK;
    }
    if (attached == NULL && p->i + 1 < p->argc) {
        attached = p->argv[++p->i];
    }
    if (attached == NULL || attached[0] == '\0') {
        options_error(p->command, "%s needs a value", o->name);
        return OPTIONS_WRONG;
    }
    if (o->values != NULL && o->values->n < o->values->max) {
        o->values->list[o->values->n++] = attached;
        return OPTIONS_OK;
    }
    if (o->values != NULL || *o->value != NULL) {
        options_error(p->command, "%s is given %s", o->name,
                      o->values != NULL ? "too often" : "twice");
        return OPTIONS_WRONG;
    }
    *o->value = attached;
    return OPTIONS_OK;
}

static enum options_result take_word(struct parse *p, const char *word)
{
    if (p->words == NULL || p->words->n >= p->words->max) {
        options_error(p->command, "unexpected argument %s", word);
        return OPTIONS_WRONG;
    }
    p->words->list[p->words->n++] = word;
    return OPTIONS_OK;
}

/* One argument (and its value, the next one). */
static enum options_result parse_one(struct parse *p)
{
    const char *arg = p->argv[p->i];
    if (arg[0] != '-' || arg[1] == '\0') {
        return take_word(p, arg);
    }
    if (arg[1] != '-') {
        const struct option_spec *o = find_short(p, arg[1]);
        return o != NULL ? take(p, o, arg[2] != '\0' ? arg + 2 : NULL)
                         : unknown(p->command, str_from(arg));
    }
    struct str name = str_from(arg);
    size_t equals = str_index(name, '=');
    const char *attached = equals < name.n ? arg + equals + 1 : NULL;
    name.n = equals;
    const struct option_spec *o = find(p->specs, name);
    return o != NULL ? take(p, o, attached) : unknown(p->command, name);
}

/* `--help` counts wherever it stands, also behind something wrong. */
static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

enum options_result options_parse(enum command_id command, int argc, char **argv,
                                  const struct option_spec *specs, struct option_list *words)
{
    check_specs(command, specs);
    if (wants_help(argc, argv)) {
        help_command(command, stdout);
        return OPTIONS_HELP;
    }
    struct parse p = {command, argc, argv, 1, specs, words};
    enum options_result r = OPTIONS_OK;
    for (; p.i < argc && strcmp(argv[p.i], "--") != 0 && r == OPTIONS_OK; p.i++) {
        r = parse_one(&p);
    }
    for (p.i++; p.i < argc && r == OPTIONS_OK; p.i++) {
        r = take_word(&p, argv[p.i]);
    }
    return r;
}

const char *options_config_path(const char *given)
{
    if (given != NULL) {
        return given;
    }
    return access("proxy.conf", F_OK) == 0 ? "proxy.conf" : SYSTEM_CONFIG;
}

void options_print_report(struct config_report *report)
{
    if (report->text.n > 0) {
        fwrite(report->text.p, 1, report->text.n, stderr);
    }
    strbuf_free(&report->text);
}
