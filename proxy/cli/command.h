/*
 * The table of subcommands: what main runs and `larder help` prints.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

/* One subcommand. */
struct command {
    const char *name;
    const char *usage; /* "check [-c FILE]" */
    const char *brief; /* one line */
    const char *help;  /* what --help prints below the usage */
    /* argv[0] is the command's name; returns the exit code. NULL: `run`, which main starts,
     * because the server is above this layer. */
    int (*run)(int argc, char **argv);
};

/* All of them, ended by one without a name. */
extern const struct command commands[];

/* The command of this name, or NULL. */
const struct command *command_find(const char *name);

#endif
