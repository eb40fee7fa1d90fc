/*
 * Arguments of subcommands: `-c FILE`, `--name VALUE`, `--name=VALUE` and flags, with "did you
 * mean" for what is not known. Nothing is allocated; values point into argv.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct config_report;

/* Exit codes of every subcommand. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1, /* the file, the network or the process asked said no */
    EXIT_USAGE = 2,  /* wrong arguments */
};

/* One option that a command knows; --help and -h are known to all. */
struct option_spec {
    const char *name;   /* "--config" */
    char letter;        /* 'c' for -c; 0: none */
    const char **value; /* where its value goes; NULL: a flag */
    bool *flag;         /* set by a flag */
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP,  /* help was asked for and printed: exit 0 */
    OPTIONS_WRONG, /* the error was printed: exit EXIT_USAGE */
};

/* Reads argv[1..] of a command of cli/command.h; specs end with one without a name. A value
 * given twice is an error, so is an argument that is no option. */
enum options_result options_parse(const char *command, int argc, char **argv,
                                  const struct option_spec *specs);

/* Prints "larder: …" and how to get help on stderr. Returns EXIT_USAGE. */
int options_error(const char *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints what reading a configuration found on stderr, and frees it. */
void options_print_report(struct config_report *report);

/* The file of `-c FILE`, or without it ./proxy.conf if that exists, else the system's. */
const char *options_config_path(const char *given);

#endif
