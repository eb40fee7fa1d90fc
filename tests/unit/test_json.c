/*
 * base/json: what the guard lets through to cJSON and what it refuses: the strict grammar,
 * depth and size limits, duplicate members in any spelling, NUL, UTF-8, and trailing bytes.
 */
#include "unit.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/json.h"

#define LIMIT 65536

static void accepts(const char *text)
{
    const char *why = "";
    cJSON *tree = json_parse(str_from(text), LIMIT, 8, &why);
    if (tree == NULL) {
        fail_msg("refused (%s): %s", why, text);
    }
    json_free(tree);
}

static void refuses(const char *text, const char *expected)
{
    const char *why = NULL;
    cJSON *tree = json_parse(str_from(text), LIMIT, 8, &why);
    if (tree != NULL) {
        json_free(tree);
        fail_msg("accepted: %s", text);
    }
    assert_non_null(why);
    if (strstr(why, expected) == NULL) {
        fail_msg("%s: \"%s\" where \"%s\" was expected", text, why, expected);
    }
}

static void test_accepts(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "[]",
        " {} ",
        "\t\r\n[ ]\n",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12.5",
        "1e5",
        "1E-5",
        "1e+5",
        "-1.5e3",
        "\"\"",
        "\"a\"",
        "{\"a\":1}",
        "{\"\":1}",
        "{\"a\":{\"a\":{\"a\":1}}}",
        "[{\"a\":1},{\"a\":2}]",
        "{\"a\":1,\"A\":2}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
        "\"\\ud83d\\ude00\"",
        "\"\xc3\xa9\"",
        "\"\xf0\x9f\x98\x80\"",
        "[[[[[[[[]]]]]]]]",
        "[1 , 2 , 3]",
        "{ \"a\" : [ ] }",
        "\"\x7f\"",
        "{\"a\":1,\"b\":{\"a\":1}}",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        accepts(good[i]);
    }
}

static void test_grammar(void **state)
{
    (void)state;
    static const char *const bad[] = {
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "01",
        "+1",
        "1.",
        ".5",
        "-",
        "1e",
        "1e+",
        "-a",
        "0x10",
        "NaN",
        "Infinity",
        "nul",
        "True",
        "\"",
        "\"abc",
        "\"\\",
        "\"\\x41\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"a\nb\"",
        "\"a\tb\"",
        "\"\x01\"",
        "\x01{}",
        "{}\x01",
        "[1 2]",
        "[1\v]",
        "\f[]",
        "// x\n{}",
        "/* x */{}",
        "\xef\xbb\xbf{}",
        "{} {}",
        "{}x",
        "[][]",
        "1 2",
        "{}\xa0",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refuses(bad[i], "");
    }
    refuses("", "empty");
    assert_null(json_parse(STR_NULL, LIMIT, 8, NULL));
    assert_null(json_parse(str_make("{}\0", 3), LIMIT, 8, NULL));
    assert_null(json_parse(str_make("\0{}", 3), LIMIT, 8, NULL));
    assert_null(json_parse(str_make("\"\0\"", 3), LIMIT, 8, NULL));
}

/* Some versions of cJSON read 63 characters of a number; the rest must not vanish. */
static void test_long_number(void **state)
{
    (void)state;
    char digits[90];
    memset(digits, '1', sizeof(digits));
    assert_null(json_parse(str_make(digits, sizeof(digits)), LIMIT, 8, NULL));
    assert_null(json_parse(str_make(digits, 64), LIMIT, 8, NULL));
    cJSON *tree = json_parse(str_make(digits, 63), LIMIT, 8, NULL);
    assert_non_null(tree);
    json_free(tree);
}

static void test_nul_and_utf8(void **state)
{
    (void)state;
    refuses("\"admin\\u0000x\"", "U+0000");
    refuses("{\"sub\\u0000\":1}", "U+0000");
    static const char *const bad[] = {
        "\"\x80\"",
        "\"\xc3\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xe0\x80\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf0\x80\x80\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"\xe2\x82\"",
        "\"\xc3(\"",
        "{\"\xff\":1}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refuses(bad[i], "UTF-8");
    }
}

static void test_duplicates(void **state)
{
    (void)state;
    refuses("{\"alg\":1,\"alg\":2}", "same name");
    refuses("{\"alg\":1,\"\\u0061lg\":2}", "same name");
    refuses("{\"a/b\":1,\"a\\/b\":2}", "same name");
    refuses("{\"x\":{\"a\":1,\"b\":2,\"a\":3}}", "same name");
    refuses("[[{\"a\":1,\"a\":1}]]", "same name");
    refuses("{\"\":1,\"\":1}", "same name");
}

/* Many members: found in the long list too, and the list costs no quadratic time. */
static void test_many_members(void **state)
{
    (void)state;
    struct strbuf b = {0};
    strbuf_add_char(&b, '{');
    for (int i = 0; i < 5000; i++) {
        strbuf_addf(&b, "%s\"m%d\":%d", i > 0 ? "," : "", i, i);
    }
    size_t before = b.n;
    strbuf_add_char(&b, '}');
    cJSON *tree = json_parse(strbuf_str(&b), 1 << 20, 1, NULL);
    assert_non_null(tree);
    assert_int_equal(json_get(tree, STR("m4999"))->valueint, 4999);
    json_free(tree);
    b.n = before;
    strbuf_addf(&b, ",\"m17\":0}");
    assert_null(json_parse(strbuf_str(&b), 1 << 20, 1, NULL));
    strbuf_free(&b);
}

static void test_limits(void **state)
{
    (void)state;
    refuses("[[[[[[[[[]]]]]]]]]", "deep");
    refuses("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":[]}}}}}}}}", "deep");
    const char *why = NULL;
    assert_null(json_parse(STR("[]"), LIMIT, 0, &why));
    assert_null(json_parse(STR("[1]"), 2, 8, &why));
    assert_string_equal(why, "too long");
    cJSON *one = json_parse(STR("1"), LIMIT, 0, NULL);
    assert_non_null(one);
    json_free(one);

    enum { LEVELS = 200000 };
    char *bomb = malloc(LEVELS);
    assert_non_null(bomb);
    memset(bomb, '[', LEVELS);
    assert_null(json_parse(str_make(bomb, LEVELS), LEVELS, 1000, &why));
    free(bomb);
}

static void test_access(void **state)
{
    (void)state;
    cJSON *tree = json_parse(STR("{\"Sub\":\"x\",\"sub\":\"\\u00e9\",\"e\":\"\",\"n\":5}"),
                             LIMIT, 8, NULL);
    assert_non_null(tree);
    assert_true(str_eq(json_string(json_get(tree, STR("sub"))), STR("\xc3\xa9")));
    assert_true(str_eq(json_string(json_get(tree, STR("Sub"))), STR("x")));
    assert_null(json_get(tree, STR("SUB")));
    assert_null(json_get(tree, STR("su")));
    assert_null(json_get(NULL, STR("sub")));
    assert_null(json_get(json_get(tree, STR("n")), STR("sub")));
    assert_non_null(json_string(json_get(tree, STR("e"))).p);
    assert_null(json_string(json_get(tree, STR("n"))).p);
    assert_null(json_string(NULL).p);
    json_free(tree);
    json_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),     cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_long_number), cmocka_unit_test(test_nul_and_utf8),
        cmocka_unit_test(test_duplicates),  cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_access),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
