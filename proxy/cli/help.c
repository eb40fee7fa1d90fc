/*
 * Help of commands and the overview come from tbl/commands.def; `example` and `directives` are
 * generated from tbl/directives.def by config.
 */
#include "cli/help.h"

#include <string.h>

#include "base/str.h"
#include "base/suggest.h"
#include "cli/options.h"
#include "config.h"

#define HELP_WIDTH 80

/* Columns that n bytes of UTF-8 take: every byte that does not continue a character. */
static size_t columns(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += ((unsigned char)p[i] & 0xc0) != 0x80;
    }
    return count;
}

/* Prints a text between column `left` and HELP_WIDTH, from column `at` on. Ends with a newline.
 */
static void print_wrapped(FILE *out, const char *text, size_t left, size_t at)
{
    bool first = true;
    while (*text != '\0') {
        if (*text == '\n') {
            fputs(text[1] == '\n' ? "\n" : "", out);
            text += text[1] == '\n' ? 2 : 1;
            fprintf(out, "\n%*s", (int)left, "");
            at = left;
            first = true;
            continue;
        }
        size_t n = strcspn(text, " \n");
        size_t wide = columns(text, n);
        if (!first && at + 1 + wide > HELP_WIDTH) {
            fprintf(out, "\n%*s", (int)left, "");
            at = left;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)n, text);
        at += wide + !first;
        first = false;
        text += n + (text[n] == ' ');
    }
    fputc('\n', out);
}

void help_overview(FILE *out)
{
    fputs("usage: larder COMMAND [OPTIONS]\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].brief);
    }
    fputs("\n"
          "  larder run --upstream http://127.0.0.1:8000   in front of your service, at once\n"
          "  larder help COMMAND      the options of a command\n"
          "  larder help example      a commented proxy.conf\n"
          "  larder help directives   the reference of proxy.conf\n",
          out);
}

void help_usage(enum command_id id, FILE *out)
{
    const struct command *c = &commands[id];
    fprintf(out, "usage: larder %s%s%s\n", c->name, c->arguments[0] != '\0' ? " " : "",
            c->arguments);
}

static void print_option(FILE *out, char letter, const char *name, const char *value,
                         const char *text)
{
    char head[64], shorter[8] = "    ";
    if (letter != 0) {
        snprintf(shorter, sizeof(shorter), "-%c, ", letter);
    }
    snprintf(head, sizeof(head), "  %s%s%s%s", shorter, name, value[0] != '\0' ? " " : "",
             value);
    size_t wide = columns(head, strlen(head));
    fputs(head, out);
    if (wide > 24) {
        fprintf(out, "\n%*s", 26, "");
    } else {
        fprintf(out, "%*s", (int)(26 - wide), "");
    }
    print_wrapped(out, text, 26, 26);
}

static void print_options(enum command_id id, FILE *out)
{
    fputs("\nOptions:\n", out);
    for (size_t i = 0; i < command_n_options; i++) {
        const struct command_option *o = &command_options[i];
        if (o->command == id) {
            print_option(out, o->letter, o->name, o->value, o->text);
        }
    }
    print_option(out, 'h', "--help", "", "This text.");
}

void help_command(enum command_id id, FILE *out)
{
    help_usage(id, out);
    fputc('\n', out);
    print_wrapped(out, commands[id].text, 0, 0);
    print_options(id, out);
    fputs("\nExit codes:\n", out);
    for (size_t i = 0; i < command_n_exits; i++) {
        if (command_exits[i].command == id) {
            fprintf(out, "  %d  ", command_exits[i].code);
            print_wrapped(out, command_exits[i].text, 5, 5);
        }
    }
    const char *title = "\nExamples:\n";
    for (size_t i = 0; i < command_n_examples; i++) {
        if (command_examples[i].command == id) {
            fprintf(out, "%s  %s\n      ", title, command_examples[i].line);
            print_wrapped(out, command_examples[i].text, 6, 6);
            title = "";
        }
    }
}

int help_unknown(const char *word)
{
    struct suggest s;
    struct str best;
    suggest_init(&s, str_from(word));
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        suggest_offer(&s, str_from(commands[i].name));
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

/* `larder help` and `larder help --help` both show the list: that is what is looked for. */
static bool wants_list(int argc, char **argv)
{
    return argc == 1 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
}

int cli_help(int argc, char **argv)
{
    struct option_list words = {.max = 1};
    const struct option_spec none = {.name = NULL};
    if (wants_list(argc, argv)) {
        help_overview(stdout);
        return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
    }
    enum options_result r = options_parse(COMMAND_help, argc, argv, &none, &words);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    if (strcmp(words.list[0], "example") == 0) {
        config_print_example(stdout);
    } else if (strcmp(words.list[0], "directives") == 0) {
        config_print_reference(stdout);
    } else {
        const struct command *c = command_find(words.list[0]);
        if (c == NULL) {
            return help_unknown(words.list[0]);
        }
        help_command(command_id(c), stdout);
    }
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
