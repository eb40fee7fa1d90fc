/*
 * config/set_condition: `bypass if` and `store if`, what they come to and how they are refused.
 */
#include "config_case.h"

static void assert_condition(const struct condition *c, enum condition_kind kind, bool negated,
                             const char *name, const char *value)
{
    assert_int_equal(c->kind, kind);
    assert_int_equal(c->negated, negated);
    assert_str(c->name, name);
    if (value == NULL) {
        assert_int_equal(c->match, CONDITION_PRESENT);
    } else {
        assert_str(c->value, value);
    }
}

static void test_bypass(void **state)
{
    struct settings *s =
        case_good("route GET /a { ttl 1m; scope public\n"
                  " bypass if header X-Preview; bypass if cookie session cookie Role=admin\n"
                  " bypass if query nocache=1; bypass if not header X-Env ~ \"prod*\"\n"
                  " bypass if ! query a = \"\" !cookie b; bypass if not !header c }\n");
    const struct condition_list *l = &case_route(s, "GET /a")->bypass;

    (void)state;
    assert_int_equal(l->n, 8);
    assert_condition(&l->list[0], CONDITION_HEADER, false, "x-preview", NULL);
    assert_condition(&l->list[1], CONDITION_COOKIE, false, "session", NULL);
    assert_condition(&l->list[2], CONDITION_COOKIE, false, "Role", "admin");
    assert_int_equal(l->list[2].match, CONDITION_EQUALS);
    assert_condition(&l->list[3], CONDITION_QUERY, false, "nocache", "1");
    assert_condition(&l->list[4], CONDITION_HEADER, true, "x-env", "prod*");
    assert_int_equal(l->list[4].match, CONDITION_GLOB);
    assert_condition(&l->list[5], CONDITION_QUERY, true, "a", "");
    assert_int_equal(l->list[5].match, CONDITION_EQUALS);
    assert_condition(&l->list[6], CONDITION_COOKIE, true, "b", NULL);
    assert_condition(&l->list[7], CONDITION_HEADER, false, "c", NULL);
    settings_unref(s);
}

static void test_store(void **state)
{
    struct settings *s = case_good(
        "route GET /a { ttl 1m; scope public; status 200 203 404; store set-cookie\n"
        " store if status 200 203; store if header Content-Type ~ application/json\n"
        " store if not cookie beta; store if size < 100kb; store if size >= 1b }\n"
        "route GET /b { ttl 1m; scope public; store if size <= 10b size > 4b }\n"
        "route GET /c { ttl 1m; scope public; store if not size >= 10b }\n"
        "route GET /d { ttl 1m; scope public; store if not size < 10b }\n"
        "route GET /e { ttl 1m; scope public; store if size < 9b size < 8b size < 9b }\n"
        "route GET /f { ttl 1m; scope public; store set-cookie }\n");
    const struct route_settings *r = case_route(s, "GET /a");
    static const struct {
        const char *route;
        int64_t least, below;
    } bounds[] = {{"GET /a", 1, 102400}, {"GET /b", 5, 11}, {"GET /c", 0, 10},
                  {"GET /d", 10, 0},     {"GET /e", 0, 8},  {"GET /f", 0, 0}};

    (void)state;
    assert_int_equal(r->store_if.n, 3);
    assert_true(r->store_set_cookie);
    assert_int_equal(r->store_if.list[0].kind, CONDITION_STATUS);
    assert_int_equal(r->store_if.list[0].n_statuses, 2);
    assert_int_equal(r->store_if.list[0].statuses[1], 203);
    assert_condition(&r->store_if.list[1], CONDITION_HEADER, false, "content-type",
                     "application/json");
    assert_condition(&r->store_if.list[2], CONDITION_COOKIE, true, "beta", NULL);
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        assert_int_equal(case_route(s, bounds[i].route)->store_least, bounds[i].least);
        assert_int_equal(case_route(s, bounds[i].route)->store_below, bounds[i].below);
    }
    settings_unref(s);
}

/* Each of the two forms of `store` is inherited on its own. */
static void test_inheritance(void **state)
{
    struct settings *s =
        case_good("defaults { store if size < 1kb; bypass if header a }\n"
                  "type t { store if status 200 }\n"
                  "route GET /a { ttl 1m; scope public; store set-cookie }\n"
                  "route GET /b { ttl 1m; scope public; type t; bypass if header b }\n"
                  "route POST /c { }\n");

    (void)state;
    assert_int_equal(case_route(s, "GET /a")->store_below, 1024);
    assert_true(case_route(s, "GET /a")->store_set_cookie);
    assert_int_equal(case_route(s, "GET /b")->store_below, 0);
    assert_int_equal(case_route(s, "GET /b")->store_if.n, 1);
    assert_int_equal(case_route(s, "GET /b")->bypass.n, 1);
    assert_str(case_route(s, "GET /b")->bypass.list[0].name, "b");
    settings_unref(s);
}

static void test_errors(void **state)
{
    static const struct config_case cases[] = {
        {"defaults { bypass }\n", "`bypass` lacks an argument", "usage: bypass if CONDITION",
         0},
        {"defaults { bypass header x }\n", "t.conf:1:19: error: `if` is expected",
         "usage: bypass if CONDITION", 0},
        {"defaults { bypass if }\n", "t.conf:1:19: error: a condition is expected behind this",
         NULL, 0},
        {"defaults { bypass if not }\n", "t.conf:1:22: error: a condition is expected behind",
         NULL, 0},
        {"defaults { bypass if heder x }\n",
         "t.conf:1:22: error: `header`, `cookie` or `query` is expected, not `heder`",
         "did you mean `header`?", 0},
        {"defaults { bypass if status 200 }\n", "is expected, not `status`",
         "status and size are those of an answer: say `store if`", 0},
        {"defaults { bypass if size < 1kb }\n", "is expected, not `size`", "say `store if`", 0},
        {"defaults { bypass if !foo x }\n", "is expected, not `!foo`", NULL, 0},
        {"defaults { bypass if header }\n", "t.conf:1:22: error: `header` needs a name", NULL,
         0},
        {"defaults { bypass if header \"X A\" }\n", "the name of a header is expected", NULL,
         0},
        {"defaults { bypass if cookie =1 }\n", "the name of a cookie is expected", NULL, 0},
        {"defaults { bypass if query a&b }\n", "the name of a query parameter is expected",
         NULL, 0},
        {"defaults { bypass if header x = }\n",
         "t.conf:1:31: error: a value is expected behind", NULL, 0},
        {"defaults { bypass if header x=1 = 2 }\n", "this condition has a value already", NULL,
         0},
        {"defaults { bypass if header x y }\n", "is expected, not `y`", NULL, 0},
        {"defaults { bypass if header ${X:-} }\n", "the name of a header is expected", NULL, 0},
        {"defaults { store if }\n", "`store if` lacks an argument", "usage: store if CONDITION",
         0},
        {"defaults { store if status }\n", "`status` needs at least one code", NULL, 0},
        {"defaults { store if status 99 }\n", "t.conf:1:28: error: a status from 200 to 599",
         NULL, 0},
        {"defaults { store if status 206 }\n", "206 is never stored", NULL, 0},
        {"defaults { store if size }\n", "a bound is expected, like `size < 100kb`", NULL, 0},
        {"defaults { store if size < }\n", "a bound is expected, like `size < 100kb`", NULL, 0},
        {"defaults { store if size = 1kb }\n", "is expected, not `=`", NULL, 0},
        {"defaults { store if size < 1x }\n", "t.conf:1:28: error: the units of a size", NULL,
         0},
        {"defaults { store if size < 2tb }\n", "out of range: from 0b to 1tb", NULL, 0},
        {"defaults { store if size < 0b }\n", "no body has such a size", NULL, 0},
        {"defaults { store if size > 1kb size < 1kb }\n", "no body has such a size", NULL, 0},
        {"defaults { store set-cookie if }\n",
         "`private`, `set-cookie` or `surplus` is expected", NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_bounds(void **state)
{
    struct strbuf text = {0};
    struct config_report report;

    (void)state;
    strbuf_addf(&text, "defaults { bypass if");
    for (int i = 0; i < 65; i++) {
        strbuf_addf(&text, " header x%d", i);
    }
    strbuf_addf(&text, " }\n");
    strbuf_add_char(&text, '\0');
    struct settings *s = case_load(text.p, &report);
    assert_null(s);
    assert_non_null(strstr(report.text.p, "too many conditions; at most 64"));
    assert_int_equal(report.errors, 1);
    strbuf_free(&report.text);
    strbuf_free(&text);
}

static void test_warnings(void **state)
{
    static const struct config_case cases[] = {
        {"route GET /a { bypass if header x }\n", "`bypass` has no effect", NULL, 0},
        {"route GET /a { store if status 200 }\n", "`store if` has no effect", NULL, 0},
    };

    (void)state;
    case_warned(CASES(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bypass),      cmocka_unit_test(test_store),
        cmocka_unit_test(test_inheritance), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bounds),      cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
