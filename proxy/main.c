/*
 * Arguments: `larder COMMAND …`. Every command but `run` lives in cli/; tbl/commands.def lists
 * them all.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/run_options.h"
#include "server.h"

int cli_run(int argc, char **argv)
{
    struct run_options options;
    int code;
    server_hold_reloads();
    if (!run_options_read(argc, argv, &options, &code)) {
        return code;
    }
    code = server_run(options.settings, options.path);
    settings_unref(options.settings);
    return code;
}

#define COMMAND(id, ...) cli_##id,
#define COMMAND_OPTION(...)
#define COMMAND_EXIT(...)
#define COMMAND_EXAMPLE(...)
static int (*const runners[COMMAND_COUNT])(int argc, char **argv) = {
#include "tbl/commands.def"
};

int main(int argc, char **argv)
{
    if (argc < 2) {
        help_overview(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help_overview(stdout);
        return EXIT_OK;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        return cli_version(1, argv + 1);
    }
    const struct command *c = command_find(word);
    if (c == NULL) {
        return help_unknown(word);
    }
    return runners[command_id(c)](argc - 1, argv + 1);
}
