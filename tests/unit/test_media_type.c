/*
 * http/media_type: the type without parameters, one parameter, and one spelling for keys.
 */
#include "unit.h"

#include "base/str.h"
#include "http/media_type.h"

static void assert_text(struct str actual, const char *expected)
{
    struct str want = expected != NULL ? str_from(expected) : STR_NULL;
    if (!str_eq(actual, want) || (actual.p == NULL) != (expected == NULL)) {
        print_message("is `%.*s`, expected `%.*s`\n", STR_ARG(actual), STR_ARG(want));
    }
    assert_true(str_eq(actual, want));
    assert_int_equal(actual.p == NULL, expected == NULL);
}

static void test_essence(void **state)
{
    (void)state;
    assert_text(media_type_essence(STR("text/html")), "text/html");
    assert_text(media_type_essence(STR(" Text/HTML \t; charset=x")), "Text/HTML");
    assert_int_equal(media_type_essence(STR_NULL).n, 0);
    assert_int_equal(media_type_essence(STR(";")).n, 0);
    assert_true(media_type_is_json(STR("application/json")));
    assert_true(media_type_is_json(STR("Application/JSON")));
    assert_true(media_type_is_json(STR("application/problem+Json")));
    assert_false(media_type_is_json(STR("application/jsonp")));
    assert_false(media_type_is_json(STR("+json")));
    assert_false(media_type_is_json(STR("")));
}

static void test_param(void **state)
{
    static const struct {
        const char *type, *value;
    } cases[] = {
        {"a/b", NULL},
        {"a/b;charset=utf-8", "utf-8"},
        {"a/b; x=y ; CharSet=\"U;8\"", "U;8"},
        {"a/b; x=\"charset=1;charset=2\"; charset=3", "3"},
        {"a/b; x=\"\\\";charset=1\"", NULL},
        {"a/b; x=\"open;charset=1", NULL},
        {"a/b; charset", ""},
        {"a/b; charset=1; charset=2", "1"},
        {"charset=1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_text(media_type_param(str_from(cases[i].type), STR("charset")), cases[i].value);
    }
    assert_text(media_type_param(STR_NULL, STR("charset")), NULL);
}

static void test_canonical(void **state)
{
    static const struct {
        const char *type, *canonical;
    } cases[] = {
        {"application/json", "application/json"},
        {"Application/JSON; Charset=UTF-8", "application/json"},
        {"application/json;charset=\"utf-8\";;", "application/json"},
        {"application/json; charset=utf-16", "application/json;charset=utf-16"},
        {"text/plain; charset=utf-8", "text/plain;charset=utf-8"},
        {"Text/Plain ;A=B; c=\"D; E\"", "text/plain;a=B;c=\"D; E\""},
        {"a/b; c=1; d=2", "a/b;c=1;d=2"},
        {"a/b; d=2; c=1", "a/b;d=2;c=1"},
        {"a/b; x", "a/b;x"},
        {"a\";B;c=\"D; E\"", "a\";b;c=\"D; E\""}, /* no quotes before the first ";" */
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct strbuf out = {0};
        media_type_canonical(str_from(cases[i].type), &out);
        strbuf_add_char(&out, '\0');
        assert_string_equal(out.p, cases[i].canonical);
        strbuf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_essence),
        cmocka_unit_test(test_param),
        cmocka_unit_test(test_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
