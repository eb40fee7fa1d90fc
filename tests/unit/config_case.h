/*
 * Helpers of the test_config*.c files: load a text, look into the report. The text of a case
 * comes first, so that its line numbers count from 1; one upstream is added behind it.
 */
#ifndef TESTS_UNIT_CONFIG_CASE_H
#define TESTS_UNIT_CONFIG_CASE_H

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "config.h"

#define CASE_UPSTREAM "\nupstream app http://127.0.0.1:8000\n"

/* A configuration that is refused, or warned about, in these words. */
struct config_case {
    const char *text;
    const char *says;  /* must be in the report */
    const char *hint;  /* must be too; NULL: nothing further */
    unsigned messages; /* how many errors (or warnings); 0 stands for one */
};

/* Loads text with the upstream; the report's text is NUL-terminated and freed by the caller. */
static inline struct settings *case_load(const char *text, struct config_report *report)
{
    struct strbuf whole = {0};

    strbuf_addf(&whole, "%s%s", text, CASE_UPSTREAM);
    struct settings *s = config_parse("t.conf", strbuf_str(&whole), report);
    strbuf_free(&whole);
    strbuf_add_char(&report->text, '\0');
    return s;
}

/* Loads what must be right; shows the report when it is not. */
static inline struct settings *case_good(const char *text)
{
    struct config_report report;
    struct settings *s = case_load(text, &report);

    if (s == NULL) {
        print_message("%s", report.text.p);
    }
    assert_non_null(s);
    assert_int_equal(report.errors, 0);
    strbuf_free(&report.text);
    return s;
}

static inline void case_check(const struct config_case *c, const struct config_report *report,
                              unsigned counted)
{
    unsigned expected = c->messages == 0 ? 1 : c->messages;

    if (strstr(report->text.p, c->says) == NULL ||
        (c->hint != NULL && strstr(report->text.p, c->hint) == NULL) || counted != expected) {
        print_message("--- case\n%s\n--- should say: %s\n--- hint: %s\n--- says\n%s", c->text,
                      c->says, c->hint != NULL ? c->hint : "-", report->text.p);
    }
    assert_non_null(strstr(report->text.p, c->says));
    if (c->hint != NULL) {
        assert_non_null(strstr(report->text.p, c->hint));
    }
    assert_int_equal(counted, expected);
}

/* Every case is an error, said as expected and with nothing following from it. */
static inline void case_refused(const struct config_case *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct config_report report;
        struct settings *s = case_load(list[i].text, &report);

        case_check(&list[i], &report, report.errors);
        assert_null(s);
        strbuf_free(&report.text);
    }
}

/* Every case loads, with exactly the warnings expected. */
static inline void case_warned(const struct config_case *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct config_report report;
        struct settings *s = case_load(list[i].text, &report);

        case_check(&list[i], &report, report.warnings);
        assert_non_null(s);
        strbuf_free(&report.text);
        settings_unref(s);
    }
}

#define CASES(list) (list), sizeof(list) / sizeof((list)[0])

static inline void assert_str(struct str actual, const char *expected)
{
    struct str want = str_from(expected);

    if (!str_eq(actual, want)) {
        print_message("is `%.*s`, expected `%.*s`\n", STR_ARG(actual), STR_ARG(want));
    }
    assert_true(str_eq(actual, want));
}

/* The route with this label or "METHODS path"; fails when there is none. */
static inline const struct route_settings *case_route(const struct settings *s,
                                                      const char *label)
{
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].n_routes; k++) {
            if (str_eq(s->sites[i].routes[k].label, str_from(label))) {
                return &s->sites[i].routes[k];
            }
        }
    }
    fail_msg("no route %s", label);
    return NULL;
}

#endif
