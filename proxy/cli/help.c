/*
 * Help is printed from the table of commands; `example` and `directives` are generated from
 * tbl/directives.def by config.
 */
#include "cli/help.h"

#include <string.h>

#include "base/str.h"
#include "base/suggest.h"
#include "cli/command.h"
#include "cli/options.h"
#include "config.h"

void help_overview(FILE *out)
{
    fputs("usage: larder COMMAND [OPTIONS]\n\n", out);
    for (const struct command *c = commands; c->name != NULL; c++) {
        fprintf(out, "  %-8s %s\n", c->name, c->brief);
    }
    fputs("\n"
          "  larder run --upstream http://127.0.0.1:8000   in front of your service, at once\n"
          "  larder help COMMAND      the options of a command\n"
          "  larder help example      a commented proxy.conf\n"
          "  larder help directives   the reference of proxy.conf\n",
          out);
}

int help_unknown(const char *word)
{
    struct suggest s;
    struct str best;
    suggest_init(&s, str_from(word));
    for (const struct command *c = commands; c->name != NULL; c++) {
        suggest_offer(&s, str_from(c->name));
    }
    if (suggest_result(&s, &best)) {
        fprintf(stderr, "larder: unknown command %s; did you mean %.*s?\n\n", word,
                STR_ARG(best));
    } else {
        fprintf(stderr, "larder: unknown command %s\n\n", word);
    }
    help_overview(stderr);
    return EXIT_USAGE;
}

int cli_help(int argc, char **argv)
{
    if (argc > 2) {
        return options_error("help", "one word is enough");
    }
    const char *word = argc == 2 ? argv[1] : NULL;
    if (word == NULL || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help_overview(stdout);
    } else if (strcmp(word, "example") == 0) {
        config_print_example(stdout);
    } else if (strcmp(word, "directives") == 0) {
        config_print_reference(stdout);
    } else {
        const struct command *c = command_find(word);
        if (c == NULL) {
            return help_unknown(word);
        }
        printf("usage: larder %s\n\n%s\n", c->usage, c->help);
    }
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
