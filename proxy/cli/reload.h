/*
 * `larder reload`: has a running process read its configuration again. Validates the file
 * first, so that errors are seen where the command was typed and not only in the log.
 */
#ifndef CLI_RELOAD_H
#define CLI_RELOAD_H

int cli_reload(int argc, char **argv);

#endif
