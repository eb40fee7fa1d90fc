/*
 * The check reads files and nothing else: no socket is opened and no key set fetched, so it may
 * run beside the process that serves, and in a build pipeline.
 */
#include "cli/check.h"

#include <stdio.h>

#include "cli/options.h"
#include "config.h"

int cli_check(int argc, char **argv)
{
    const char *given = NULL;
    bool quiet = false;
    const struct option_spec specs[] = {
        {"--config", 'c', &given, NULL}, {"--quiet", 'q', NULL, &quiet}, {NULL, 0, NULL, NULL}};
    switch (options_parse("check", argc, argv, specs)) {
    case OPTIONS_HELP: return EXIT_OK;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_OK: break;
    }
    const char *path = options_config_path(given);
    struct config_report report = {0};
    struct settings *s = config_load(path, &report);
    options_print_report(&report);
    if (s == NULL) {
        fprintf(stderr, "%s: %u error%s, %u warning%s\n", path, report.errors,
                report.errors == 1 ? "" : "s", report.warnings,
                report.warnings == 1 ? "" : "s");
        return EXIT_FAILED;
    }
    if (!quiet) {
        config_print_routes(s, stdout);
    }
    fprintf(stderr, "%s: ok, %u warning%s\n", path, report.warnings,
            report.warnings == 1 ? "" : "s");
    settings_unref(s);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
