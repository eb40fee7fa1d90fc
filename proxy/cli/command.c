/*
 * The subcommands of this version.
 */
#include "cli/command.h"

#include <stddef.h>
#include <string.h>

#include "cli/check.h"
#include "cli/help.h"
#include "cli/reload.h"
#include "cli/version.h"

static const char run_help[] =
    "Serves until SIGTERM or SIGINT, then finishes what runs and exits with 0.\n"
    "\n"
    "  -c, --config FILE      default: ./proxy.conf, else /etc/larder/proxy.conf\n"
    "  -u, --upstream URL     no file: cache what this service declares cacheable for all\n"
    "  -l, --listen ADDRESS   with --upstream; default 127.0.0.1:8080\n"
    "\n"
    "SIGHUP reads the file again, SIGUSR1 reopens the access log, a second SIGTERM ends at "
    "once.\n"
    "Exit codes: 1 the configuration or the start failed, 2 wrong arguments.";

static const char check_help[] =
    "Prints the route table, or every error with its line. Opens no socket.\n"
    "\n"
    "  -c, --config FILE   default: ./proxy.conf, else /etc/larder/proxy.conf\n"
    "  -q, --quiet         no route table\n"
    "\n"
    "Exit codes: 0 the file is usable (there may be warnings), 1 it is not, 2 wrong arguments.";

static const char reload_help[] =
    "Checks the file, then has the running process read it again (SIGHUP). A file with errors\n"
    "changes nothing.\n"
    "\n"
    "  -c, --config FILE     the file with the pid_file directive\n"
    "  -p, --pid-file FILE   signals without checking a file first\n"
    "\n"
    "Exit codes: 0 the process was told, 1 the file or the process is not usable, 2 wrong "
    "arguments.";

static const char version_help[] = "  --json   one JSON object";

static const char help_help[] =
    "  larder help COMMAND      the options of a command\n"
    "  larder help example      a commented proxy.conf with every directive\n"
    "  larder help directives   the reference of proxy.conf (Markdown)";

const struct command commands[] = {
    {"run", "run [-c FILE | --upstream URL [--listen ADDRESS]]", "serve", run_help, NULL},
    {"check", "check [-c FILE] [-q]", "validate a proxy.conf and print its routes", check_help,
     cli_check},
    {"reload", "reload [-c FILE | --pid-file FILE]",
     "have a running larder read its file again", reload_help, cli_reload},
    {"version", "version [--json]", "print versions", version_help, cli_version},
    {"help", "help [COMMAND | example | directives]", "explain", help_help, cli_help},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}
