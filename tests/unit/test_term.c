/*
 * cli/term: what may reach a terminal, and how wide it is there.
 */
#include "unit.h"

#include <stdlib.h>

#include "cli/term.h"

static void check(const char *in, size_t n, const char *want)
{
    struct strbuf out = {0};
    term_add(&out, str_make(in, n));
    strbuf_add_char(&out, '\0');
    assert_string_equal(out.p, want);
    strbuf_free(&out);
}

#define CHECK(in, want) check(in, sizeof(in) - 1, want)

static void test_plain_text_stays(void **state)
{
    (void)state;
    CHECK("", "");
    CHECK("agents:list:org-42:limit=20&page=1 ~\\", "agents:list:org-42:limit=20&page=1 ~\\");
    CHECK("K\xc3\xa4se \xe2\x82\xac \xf0\x9f\x98\x80",
          "K\xc3\xa4se \xe2\x82\xac \xf0\x9f\x98\x80");
}

static void test_controls_are_escaped(void **state)
{
    (void)state;
    CHECK("\x1b[2J", "\\x1b[2J");
    CHECK("a\nb\tc\rd\x7f", "a\\x0ab\\x09c\\x0dd\\x7f");
    CHECK("a\0b", "a\\x00b");
    CHECK("\xc2\x9b"
          "31m",
          "\\u009b31m");
    CHECK("\xe2\x80\xaegnp.exe", "\\u202egnp.exe");
    CHECK("\xef\xbb\xbfx\xe2\x80\x8b", "\\ufeffx\\u200b");
    CHECK("\xf3\xa0\x80\x81", "\\udb40\\udc01");
}

static void test_what_is_not_utf8_is_escaped(void **state)
{
    (void)state;
    CHECK("\x9b", "\\x9b");
    CHECK("\xc3", "\\xc3");
    CHECK("\xc0\xaf", "\\xc0\\xaf");
    CHECK("\xed\xa0\x80", "\\xed\\xa0\\x80");
    CHECK("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
    CHECK("\xe2\x82x", "\\xe2\\x82x");
}

typedef void printer(FILE *out, struct str s);

static void check_print(printer *print, const char *in, const char *want)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    print(out, str_from(in));
    fclose(out);
    assert_string_equal(text, want);
    free(text);
}

static void test_text_keeps_its_lines(void **state)
{
    (void)state;
    check_print(term_print_text, "a\n\tb\x1b\r\n", "a\n\tb\\x1b\\x0d\n");
}

static void test_json_is_one_line_and_stays_json(void **state)
{
    (void)state;
    check_print(term_print_json, "{\n \"a\": \"\x7f\xc2\x9b\"\n}\n",
                "{  \"a\": \"\\u007f\\u009b\" }\n");
}

static void test_columns_are_characters(void **state)
{
    (void)state;
    struct str s = STR("a\xc3\xa4\xe2\x82\xac!");
    assert_int_equal(term_columns(s), 4);
    assert_int_equal(term_head(s, 2).n, 3);
    assert_int_equal(term_head(s, 4).n, s.n);
    assert_int_equal(term_head(s, 9).n, s.n);
    assert_int_equal(term_head(s, 0).n, 0);
}

/* CJK and emoji take two columns, combining marks none; no character is cut in two. */
static void test_wide_characters(void **state)
{
    (void)state;
    struct str wide = STR("\xe6\x97\xa5\xe6\x9c\xac\xf0\x9f\x98\x80"); /* 日本😀 */
    assert_int_equal(term_columns(wide), 6);
    assert_int_equal(term_head(wide, 3).n, 3);
    assert_int_equal(term_head(wide, 4).n, 6);
    assert_int_equal(term_head(wide, 1).n, 0);
    struct str marked = STR("e\xcc\x81x"); /* e and an acute accent */
    assert_int_equal(term_columns(marked), 2);
    assert_int_equal(term_head(marked, 1).n, 3);
    assert_int_equal(term_columns(STR("\xea\xb0\x80\xef\xbc\xa1")), 4); /* 가Ａ */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text_stays),
        cmocka_unit_test(test_controls_are_escaped),
        cmocka_unit_test(test_what_is_not_utf8_is_escaped),
        cmocka_unit_test(test_text_keeps_its_lines),
        cmocka_unit_test(test_json_is_one_line_and_stays_json),
        cmocka_unit_test(test_columns_are_characters),
        cmocka_unit_test(test_wide_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
