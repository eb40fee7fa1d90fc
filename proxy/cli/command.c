/*
 * The rows of tbl/commands.def. Nothing but the table: scripts/check-generated builds this file
 * with the manual alone.
 */
#include "cli/command.h"

#include <string.h>

#define COMMAND_OPTION(...)
#define COMMAND_EXIT(...)
#define COMMAND_EXAMPLE(...)
#define COMMAND(id, arguments, words, brief, text) {#id, arguments, words, brief, text},
const struct command commands[COMMAND_COUNT] = {
#include "tbl/commands.def"
};
#undef COMMAND
#define COMMAND(...)

#undef COMMAND_OPTION
#define COMMAND_OPTION(command, name, letter, value, text) \
    {COMMAND_##command, name, letter, value, text},
const struct command_option command_options[] = {
#include "tbl/commands.def"
};
#undef COMMAND_OPTION
#define COMMAND_OPTION(...)

#undef COMMAND_EXIT
#define COMMAND_EXIT(command, code, text) {COMMAND_##command, code, text},
const struct command_exit command_exits[] = {
#include "tbl/commands.def"
};
#undef COMMAND_EXIT
#define COMMAND_EXIT(...)

#undef COMMAND_EXAMPLE
#define COMMAND_EXAMPLE(command, line, text) {COMMAND_##command, line, text},
const struct command_example command_examples[] = {
#include "tbl/commands.def"
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
const size_t command_n_options = COUNT(command_options);
const size_t command_n_exits = COUNT(command_exits);
const size_t command_n_examples = COUNT(command_examples);

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

const struct command_option *command_option_find(enum command_id id, const char *name)
{
    for (size_t i = 0; i < command_n_options; i++) {
        if (command_options[i].command == id && strcmp(command_options[i].name, name) == 0) {
            return &command_options[i];
        }
    }
    return NULL;
}
