/*
 * `larder help [COMMAND | example | directives]` and what a wrong command is answered with.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

int cli_help(int argc, char **argv);

/* The list of commands. */
void help_overview(FILE *out);

/* "unknown command X; did you mean Y?" on stderr. Returns EXIT_USAGE. */
int help_unknown(const char *word);

#endif
