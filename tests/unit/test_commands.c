/*
 * cli/command, cli/manual and base/roff: the rows of tbl/commands.def are sound, and larder(1)
 * in the tree is what they say now.
 */
#include "unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/roff.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/manual.h"

static bool is_sentence(const char *text)
{
    size_t n = strlen(text);
    return n > 1 && text[n - 1] == '.' && text[0] != ' ' && strchr(text, '\t') == NULL;
}

static void test_commands_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = &commands[i];
        assert_ptr_equal(command_find(c->name), c);
        assert_int_equal(command_id(c), i);
        assert_true(strlen(c->name) <= 10);
        assert_true(is_sentence(c->brief) && is_sentence(c->text));
        int last = -1;
        for (size_t k = 0; k < command_n_exits; k++) {
            if (command_exits[k].command == i) {
                assert_true(command_exits[k].code > last);
                assert_true(is_sentence(command_exits[k].text));
                last = command_exits[k].code;
            }
        }
        assert_true(last >= EXIT_USAGE);
    }
    assert_null(command_find("nonsense"));
    assert_null(command_find(""));
}

static void test_options_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < command_n_options; i++) {
        const struct command_option *o = &command_options[i];
        assert_ptr_equal(command_option_find(o->command, o->name), o);
        assert_true(strncmp(o->name, "--", 2) == 0 && strcmp(o->name, "--help") != 0);
        assert_true(o->letter == 0 || (isalpha((unsigned char)o->letter) && o->letter != 'h'));
        assert_true(is_sentence(o->text));
        for (size_t k = 0; k < i && o->letter != 0; k++) {
            assert_false(command_options[k].command == o->command &&
                         command_options[k].letter == o->letter);
        }
    }
    for (size_t i = 0; i < command_n_examples; i++) {
        assert_non_null(strstr(command_examples[i].line, "larder "));
        assert_non_null(
            strstr(command_examples[i].line, commands[command_examples[i].command].name));
    }
}

static void test_manual_is_current(void **state)
{
    char *printed = NULL, *stored = NULL;
    size_t n = 0, cap = 0;
    FILE *out = open_memstream(&printed, &n);
    FILE *f = fopen("docs/man/larder.1", "r");
    (void)state;
    manual_print(out);
    fclose(out);
    if (f == NULL) {
        fail_msg("docs/man/larder.1 is not here: unit tests run in the folder of the Makefile");
    }
    ssize_t got = getdelim(&stored, &cap, '\0', f);
    fclose(f);
    if (got < 0 || strcmp(printed, stored) != 0) {
        fail_msg("docs/man/larder.1 is old; run: scripts/check-generated --write");
    }
    free(printed);
    free(stored);
}

static void check_roff(const char *text, const char *want)
{
    char *printed = NULL;
    size_t n = 0;
    struct roff r = {.out = open_memstream(&printed, &n)};
    roff_text(&r, text);
    roff_break(&r);
    fclose(r.out);
    assert_string_equal(printed, want);
    free(printed);
}

static void test_roff_text_is_no_macro(void **state)
{
    (void)state;
    check_roff("", "");
    check_roff("a `b` c", "a \\fBb\\fP c\n");
    check_roff(".SH x", "\\&.SH x\n");
    check_roff("'x", "\\&\\(aqx\n");
    check_roff("a\\n --all '~^", "a\\en \\-\\-all \\(aq\\(ti\\(ha\n");
    check_roff("one\n\ntwo", "one\n.PP\ntwo\n");
    check_roff("x\xe2\x80\xa6 \xc3\xa4", "x\\[u2026] \\[u00E4]\n");
}

static void test_roff_wraps_between_words(void **state)
{
    char text[400] = "", line[512] = "";
    (void)state;
    for (size_t i = 0; i < 60; i++) {
        text[i * 4] = '.';
        text[i * 4 + 1] = 'a';
        text[i * 4 + 2] = 'b';
        text[i * 4 + 3] = i < 59 ? ' ' : '\0';
    }
    char *printed = NULL;
    size_t n = 0;
    struct roff r = {.out = open_memstream(&printed, &n)};
    roff_text(&r, text);
    roff_break(&r);
    fclose(r.out);
    for (const char *p = printed; sscanf(p, "%500[^\n]", line) == 1; p += strlen(line) + 1) {
        assert_true(strlen(line) <= 81);
        assert_memory_equal(line, "\\&.ab", 5);
    }
    free(printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_are_sound),
        cmocka_unit_test(test_options_are_sound),
        cmocka_unit_test(test_manual_is_current),
        cmocka_unit_test(test_roff_text_is_no_macro),
        cmocka_unit_test(test_roff_wraps_between_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
