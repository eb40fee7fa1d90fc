/*
 * The check reads files and asks Redis what it is set to; nothing is changed, no listener
 * opened and no key set fetched, so it may run beside the process that serves, and in a build
 * pipeline.
 */
#include <stdio.h>

#include "cli/check_redis.h"
#include "cli/command.h"
#include "cli/options.h"
#include "config.h"

int cli_check(int argc, char **argv)
{
    const char *given = NULL;
    bool quiet = false, offline = false;
    const struct option_spec specs[] = {{.name = "--config", .value = &given},
                                        {.name = "--offline", .flag = &offline},
                                        {.name = "--quiet", .flag = &quiet},
                                        {0}};
    enum options_result r = options_parse(COMMAND_check, argc, argv, specs, NULL);
    if (r != OPTIONS_OK) {
        return options_exit(r);
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
    unsigned warnings = report.warnings + (offline ? 0 : check_redis(s, path));
    fprintf(stderr, "%s: ok, %u warning%s\n", path, warnings, warnings == 1 ? "" : "s");
    settings_unref(s);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
