/*
 * `larder completion bash`: the script that completes commands, their options and what those
 * take, made from tbl/commands.def. It asks nothing of a running larder.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/command.h"
#include "cli/options.h"

static const char head[] =
    "# bash completion of larder, made by `larder completion bash`\n"
    "_larder() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev= command= words= files= i\n"
    "    COMPREPLY=()\n"
    "    # --option=value comes as three words\n"
    "    if [ \"$cur\" = = ]; then cur=; prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    elif [ \"$COMP_CWORD\" -gt 2 ] && [ \"${COMP_WORDS[COMP_CWORD-1]}\" = = ]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    else prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    fi\n"
    "    [ \"$COMP_CWORD\" -gt 1 ] && command=${COMP_WORDS[1]}\n"
    "    case $command in\n";

static const char tail[] =
    "    esac\n"
    "    if [ -n \"$files\" ]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        while IFS= read -r i; do COMPREPLY+=(\"$i\"); done < <(compgen -f -- \"$cur\")\n"
    "    else\n"
    "        while IFS= read -r i; do COMPREPLY+=(\"$i\"); done < <(compgen -W \"$words\" -- "
    "\"$cur\")\n"
    "    fi\n"
    "}\n"
    "complete -F _larder larder\n";

static void print_commands(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        printf("%s%s", i > 0 ? " " : "", commands[i].name);
    }
}

/* "@commands example" with the commands put in. */
static void print_words(const char *words)
{
    size_t n = strcspn(words, " ");
    if (n == strlen("@commands") && strncmp(words, "@commands", n) == 0) {
        print_commands();
        words += n;
    }
    fputs(words, stdout);
}

/* The words of "l1|l2"; capitals ("N|all") stand for something else. */
static void print_choices(const char *value)
{
    struct str rest = str_from(value), word;
    bool several = str_index(rest, '|') < rest.n;
    while (several && str_next(&rest, '|', &word)) {
        if (word.n > 0 && islower((unsigned char)word.p[0])) {
            printf("%.*s ", STR_ARG(word));
        }
    }
}

/* The case of one option's value: `-c|--config) files=yes ;;`. */
static void print_value(const struct command_option *o)
{
    fputs("            ", stdout);
    if (o->letter != 0) {
        printf("-%c|", o->letter);
    }
    printf("%s) ", o->name);
    if (strcmp(o->value, "FILE") == 0) {
        fputs("files=yes", stdout);
    } else {
        fputs("words=\"", stdout);
        print_choices(o->value);
        fputs("\"", stdout);
    }
    fputs(" ;;\n", stdout);
}

static void print_case(enum command_id id)
{
    printf("    %s)\n        case $prev in\n", commands[id].name);
    for (size_t i = 0; i < command_n_options; i++) {
        if (command_options[i].command == id && command_options[i].value[0] != '\0') {
            print_value(&command_options[i]);
        }
    }
    fputs("            *) case $cur in\n                -*) words=\"", stdout);
    for (size_t i = 0; i < command_n_options; i++) {
        if (command_options[i].command == id) {
            printf("%s ", command_options[i].name);
        }
    }
    fputs("--help\" ;;\n                *) words=\"", stdout);
    print_words(commands[id].words);
    fputs("\" ;;\n            esac ;;\n        esac ;;\n", stdout);
}

static void print_bash(void)
{
    fputs(head, stdout);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        print_case((enum command_id)i);
    }
    fputs("    \"\") words=\"", stdout);
    print_commands();
    fputs(" --help --version\" ;;\n", stdout);
    fputs(tail, stdout);
}

int cli_completion(int argc, char **argv)
{
    struct option_list words = {.max = 1};
    const struct option_spec none = {.name = NULL};
    enum options_result r = options_parse(COMMAND_completion, argc, argv, &none, &words);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    if (words.n == 0 || strcmp(words.list[0], "bash") != 0) {
        return options_error(COMMAND_completion, "name the shell; bash is known");
    }
    print_bash();
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
