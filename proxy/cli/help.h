/*
 * Help, printed from the table of commands, and what a wrong command is answered with.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

/* The list of commands. */
void help_overview(FILE *out);

/* "usage: larder check …". */
void help_usage(enum command_id id, FILE *out);

/* All that is known of one command. */
void help_command(enum command_id id, FILE *out);

/* "unknown command X; did you mean Y?" on stderr. Returns EXIT_USAGE. */
int help_unknown(const char *word);

#endif
