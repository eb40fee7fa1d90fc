/*
 * Arguments of commands: `-c FILE`, `--name VALUE`, `--name=VALUE`, flags and words, with "did
 * you mean" for what is not known. Letters and value names come from the command's rows in
 * tbl/commands.def: a command binds each of its rows, no more and no less. Nothing is
 * allocated; values point into argv.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/command.h"

struct config_report;

#define OPTION_LIST_MAX 64

/* Words, or the values of an option that may be repeated. */
struct option_list {
    const char *list[OPTION_LIST_MAX];
    size_t n;
    size_t max; /* set by the caller: more is wrong; at most OPTION_LIST_MAX */
};

/* Where an option's value goes: one of the three is set. */
struct option_spec {
    const char *name;           /* "--config", as in tbl/commands.def */
    const char **value;         /* its value; NULL before */
    bool *flag;                 /* set by a flag */
    struct option_list *values; /* for an option that may be repeated */
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP,  /* help was asked for and printed: exit 0 */
    OPTIONS_WRONG, /* the error was printed: exit EXIT_USAGE */
};

/* Reads argv[1..]; specs end with one without a name. Arguments that are no option go to
 * *words (NULL: there may be none), as does all behind `--`. A value given twice is an error
 * unless it has a list. Aborts when the specs and the command's rows differ. */
enum options_result options_parse(enum command_id command, int argc, char **argv,
                                  const struct option_spec *specs, struct option_list *words);

/* The exit code after OPTIONS_HELP or OPTIONS_WRONG. */
static inline int options_exit(enum options_result r)
{
    return r == OPTIONS_HELP ? EXIT_OK : EXIT_USAGE;
}

/* Prints "larder: …" and how to get help on stderr. Returns EXIT_USAGE. */
int options_error(enum command_id command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints what reading a configuration found on stderr, and frees it. */
void options_print_report(struct config_report *report);

/* The file of `-c FILE`, or without it ./proxy.conf if that exists, else the system's. */
const char *options_config_path(const char *given);

#endif
