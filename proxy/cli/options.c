/*
 * The option parser: long options in both spellings, short ones with the value attached or
 * after it.
 */
#include "cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/suggest.h"
#include "cli/command.h"
#include "config.h"

#define SYSTEM_CONFIG "/etc/larder/proxy.conf"

int options_error(const char *command, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("larder: ", stderr);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nusage: larder %s\n", command_find(command)->usage);
    fprintf(stderr, "larder %s --help says more.\n", command);
    return EXIT_USAGE;
}

static enum options_result unknown(const char *command, struct str word,
                                   const struct option_spec *specs)
{
    struct suggest s;
    struct str best;
    suggest_init(&s, word);
    for (const struct option_spec *o = specs; o->name != NULL; o++) {
        suggest_offer(&s, str_from(o->name));
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

static const struct option_spec *find_long(const struct option_spec *specs, struct str name)
{
    for (; specs->name != NULL; specs++) {
        if (str_eq(str_from(specs->name), name)) {
            return specs;
        }
    }
    return NULL;
}

static const struct option_spec *find_short(const struct option_spec *specs, char letter)
{
    for (; specs->name != NULL; specs++) {
        if (specs->letter != 0 && specs->letter == letter) {
            return specs;
        }
    }
    return NULL;
}

/* Stores an option found; attached: its value in the same argument, or NULL. */
static enum options_result take(const char *command, const struct option_spec *o,
                                const char *attached, int argc, char **argv, int *i)
{
    if (o->value == NULL) {
        if (attached != NULL) {
            options_error(command, "%s takes no value", o->name);
            return OPTIONS_WRONG;
        }
        *o->flag = true;
        return OPTIONS_OK;
    }
    if (attached == NULL && *i + 1 < argc) {
        attached = argv[++*i];
    }
    if (attached == NULL || attached[0] == '\0') {
        options_error(command, "%s needs a value", o->name);
        return OPTIONS_WRONG;
    }
    if (*o->value != NULL) {
        options_error(command, "%s is given twice", o->name);
        return OPTIONS_WRONG;
    }
    *o->value = attached;
    return OPTIONS_OK;
}

static void print_help(const struct command *c)
{
    printf("usage: larder %s\n\n%s\n", c->usage, c->help);
}

/* One argument (and its value, the next one). */
static enum options_result parse_one(const char *command, int argc, char **argv, int *i,
                                     const struct option_spec *specs)
{
    const char *arg = argv[*i];
    if (arg[0] != '-' || arg[1] == '\0') {
        options_error(command, "unexpected argument %s", arg);
        return OPTIONS_WRONG;
    }
    if (arg[1] != '-') {
        const struct option_spec *o = find_short(specs, arg[1]);
        if (o == NULL) {
            return unknown(command, str_from(arg), specs);
        }
        return take(command, o, arg[2] != '\0' ? arg + 2 : NULL, argc, argv, i);
    }
    struct str name = str_from(arg);
    size_t equals = str_index(name, '=');
    const char *attached = equals < name.n ? arg + equals + 1 : NULL;
    name.n = equals;
    const struct option_spec *o = find_long(specs, name);
    return o != NULL ? take(command, o, attached, argc, argv, i)
                     : unknown(command, name, specs);
}

enum options_result options_parse(const char *command, int argc, char **argv,
                                  const struct option_spec *specs)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(command_find(command));
            return OPTIONS_HELP;
        }
    }
    for (int i = 1; i < argc; i++) {
        enum options_result r = parse_one(command, argc, argv, &i, specs);
        if (r != OPTIONS_OK) {
            return r;
        }
    }
    return OPTIONS_OK;
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
