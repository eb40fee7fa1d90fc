/*
 * proxy.conf: text to struct settings (design: grammar, inheritance, checks). Called by main
 * for `run` and `check`, by the server at a reload and by tests. No global state; any thread.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"
#include "settings.h"

/* What loading found, in order of file and line. */
struct config_report {
    struct strbuf text; /* ready to print: every message with its line and caret */
    unsigned errors;    /* messages that refuse the file */
    unsigned warnings;  /* messages that do not */
};

/* Reads `path` (and what it includes). NULL when there was any error; then report->errors > 0.
 * The caller owns one reference and frees report->text with strbuf_free(). */
struct settings *config_load(const char *path, struct config_report *report)
    __attribute__((warn_unused_result));

/* The same from memory; `name` stands for the file in messages, includes are relative to the
 * current directory. */
struct settings *config_parse(const char *name, struct str text, struct config_report *report)
    __attribute__((warn_unused_result));

/* Prints the resolved route table of `larder check`. */
void config_print_routes(const struct settings *s, FILE *out);

/* Prints proxy.conf.example, generated from tbl/directives.def. */
void config_print_example(FILE *out);

/* Prints the directive reference (Markdown) for the manual. */
void config_print_reference(FILE *out);

/* Prints proxy.conf(5), the same for man. */
void config_print_man(FILE *out);

#endif
