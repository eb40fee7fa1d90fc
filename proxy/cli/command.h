/*
 * The table of commands, tbl/commands.def as data: what main runs, what help, the manual and
 * the completion print, and what the option parser knows. A command's options and exit codes
 * are rows of their own that name it.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stddef.h>

/* Exit codes of every command; what else one may mean stands in its rows. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,      /* the file, the process or the server asked said no */
    EXIT_USAGE = 2,       /* wrong arguments */
    EXIT_UNREACHABLE = 3, /* the admin plane could not be asked, or did not accept the token */
};

#define COMMAND(id, ...) COMMAND_##id,
#define COMMAND_OPTION(...)
#define COMMAND_EXIT(...)
#define COMMAND_EXAMPLE(...)
enum command_id {
#include "tbl/commands.def"
    COMMAND_COUNT
};
#undef COMMAND

/* cli_NAME of each command: argv[0] is the command's name; returns the exit code. All are in
 * cli/NAME.c but cli_run, which is in main.c, because the server is above this layer. */
#define COMMAND(id, ...) int cli_##id(int argc, char **argv);
#include "tbl/commands.def"
#undef COMMAND
#undef COMMAND_OPTION
#undef COMMAND_EXIT
#undef COMMAND_EXAMPLE

/* One command. */
struct command {
    const char *name;
    const char *arguments; /* "[-c FILE]" */
    const char *words;     /* what may stand as an argument, for completion */
    const char *brief;     /* one line */
    const char *text;      /* paragraphs */
};

/* One option of a command; --help and -h are known to all. */
struct command_option {
    enum command_id command;
    const char *name;  /* "--config" */
    char letter;       /* 'c' for -c; 0: none */
    const char *value; /* "FILE", "hit|miss"; "": a flag */
    const char *text;  /* one line */
};

/* What an exit code of a command means. */
struct command_exit {
    enum command_id command;
    int code;
    const char *text;
};

/* A command line to learn from. */
struct command_example {
    enum command_id command;
    const char *line;
    const char *text;
};

extern const struct command commands[COMMAND_COUNT];
extern const struct command_option command_options[];
extern const size_t command_n_options;
extern const struct command_exit command_exits[];
extern const size_t command_n_exits;
extern const struct command_example command_examples[];
extern const size_t command_n_examples;

/* The command of this name, or NULL. */
const struct command *command_find(const char *name);

/* The option of this name ("--config"), or NULL. */
const struct command_option *command_option_find(enum command_id id, const char *name);

static inline enum command_id command_id(const struct command *c)
{
    return (enum command_id)(c - commands);
}

#endif
