/*
 * config/set_cors: origins as browsers send them, lists, what `*` cannot stand beside, and the
 * levels that a route inherits it from.
 */
#include "config_case.h"

static void test_values(void **state)
{
    struct settings *s =
        case_good("route GET /a { cors https://App.example.com http://localhost:3000 "
                  "https://*.example.org:8443 capacitor://localhost http://[::1]:3000 \\\n"
                  " methods=GET,PUT headers=X-A,Content-Type expose=Link credentials=on "
                  "max_age=2h }\n"
                  "route GET /b { cors * }\n"
                  "route GET /c { cors * methods=* headers=* expose=* max_age=0s }\n"
                  "route GET /d { cors null }\n"
                  "route GET /e { }\n");
    const struct cors_settings *c = case_route(s, "GET /a")->cors;

    (void)state;
    assert_non_null(c);
    assert_false(c->any);
    assert_int_equal(c->origins.n, 4);
    assert_str(c->origins.list[0], "https://app.example.com");
    assert_str(c->origins.list[3], "http://[::1]:3000");
    assert_int_equal(c->n_patterns, 1);
    assert_str(c->patterns[0].before, "https://");
    assert_str(c->patterns[0].after, ".example.org:8443");
    assert_str(c->methods, "GET, PUT");
    assert_str(c->headers, "X-A, Content-Type");
    assert_true(c->credentials);
    assert_int_equal(c->max_age, 2 * 3600 * 1000);
    assert_str(c->lines, "Access-Control-Allow-Credentials: true\r\n"
                         "Access-Control-Expose-Headers: Link\r\n");
    c = case_route(s, "GET /b")->cors;
    assert_true(c->any);
    assert_int_equal(c->methods.n, 0);
    assert_int_equal(c->max_age, 600 * 1000);
    assert_str(c->lines, "Access-Control-Allow-Origin: *\r\n");
    c = case_route(s, "GET /c")->cors;
    assert_str(c->methods, "*");
    assert_str(c->lines, "Access-Control-Allow-Origin: *\r\n"
                         "Access-Control-Expose-Headers: *\r\n");
    assert_int_equal(c->max_age, 0);
    c = case_route(s, "GET /d")->cors;
    assert_str(c->origins.list[0], "null");
    assert_null(case_route(s, "GET /e")->cors);
    assert_null(s->sites[0].fallback.cors);
    settings_unref(s);
}

/* The origin that a route came to; "" for none. */
static const char *origin_of(const struct cors_settings *c)
{
    static char text[64];

    snprintf(text, sizeof(text), "%.*s", c != NULL ? (int)c->origins.list[0].n : 0,
             c != NULL ? c->origins.list[0].p : "");
    return text;
}

static void test_levels(void **state)
{
    struct settings *s = case_good("cors http://top\n"
                                   "type t { cors http://type }\n"
                                   "type off { cors off }\n"
                                   "route GET /top { }\n"
                                   "route GET /type { type t }\n"
                                   "route GET /off { type off }\n"
                                   "route GET /own { type t; cors http://own }\n"
                                   "host a { cors http://host; route GET /a { } }\n"
                                   "host b { cors http://host; defaults { cors http://inner }\n"
                                   "         route GET /b { } }\n"
                                   "host c { route GET /c { } }\n");

    (void)state;
    assert_string_equal(origin_of(case_route(s, "GET /top")->cors), "http://top");
    assert_string_equal(origin_of(case_route(s, "GET /type")->cors), "http://type");
    assert_string_equal(origin_of(case_route(s, "GET /own")->cors), "http://own");
    assert_null(case_route(s, "GET /off")->cors);
    assert_string_equal(origin_of(s->sites[0].fallback.cors), "http://top");
    assert_string_equal(origin_of(s->sites[1].routes[0].cors), "http://host");
    assert_string_equal(origin_of(s->sites[1].fallback.cors), "http://host");
    assert_string_equal(origin_of(s->sites[2].routes[0].cors), "http://inner");
    assert_string_equal(origin_of(s->sites[3].routes[0].cors), "http://top");
    settings_unref(s);
    s = case_good("cors http://top\ndefaults { cors http://file }\n"
                  "host a { route GET /a { } }\n"
                  "host b { cors http://host; route GET /b { } }\n");
    assert_string_equal(origin_of(s->sites[0].fallback.cors), "http://file");
    assert_string_equal(origin_of(s->sites[1].routes[0].cors), "http://file");
    assert_string_equal(origin_of(s->sites[2].routes[0].cors), "http://host");
    settings_unref(s);
}

#define AS_SENT "an origin is written as browsers send it: https://app.example.com"

static void test_errors(void **state)
{
    static const struct config_case cases[] = {
        {"cors\n", "`cors` lacks an argument", NULL, 0},
        {"cors app.example.com\n", "an origin begins with a scheme", AS_SENT, 0},
        {"cors //app.example.com\n", "an origin begins with a scheme", NULL, 0},
        {"cors https://app.example.com/\n", "t.conf:1:6: error: an origin has no path", AS_SENT,
         0},
        {"cors https://app.example.com/x\n", "an origin has no path", NULL, 0},
        {"cors https://\n", "this is no host name", NULL, 0},
        {"cors https://a_b!c\n", "this is no host name", NULL, 0},
        {"cors https://.example.com\n", "this is no host name", NULL, 0},
        {"cors https://user@example.com\n", "this is no host name", NULL, 0},
        {"cors https://example.com:\n", "this is no host name", NULL, 0},
        {"cors https://example.com:443\n", "browsers leave the scheme's own port out", NULL, 0},
        {"cors http://example.com:80\n", "browsers leave the scheme's own port out", NULL, 0},
        {"cors https://a.*.com\n", "`*` stands for the first labels of a name", NULL, 0},
        {"cors https://*\n", "`*` stands for the first labels of a name", NULL, 0},
        {"cors https://*x.example.com\n", "`*` stands for the first labels", NULL, 0},
        {"cors https://*.com\n", "a whole top-level domain", NULL, 0},
        {"cors * credentials=on\n", "`*` cannot be combined with credentials=on",
         "any page could then act as your users", 0},
        {"cors null credentials=on\n", "`null` cannot be combined with credentials=on", NULL,
         0},
        {"cors http://a *\n", "nothing can stand beside it", NULL, 0},
        {"cors * http://a\n", "nothing can stand beside it", NULL, 0},
        {"cors http://a off\n", "`cors off` takes nothing else", NULL, 0},
        {"cors off max_age=1m\n", "`cors off` takes nothing else", NULL, 0},
        {"cors http://a methods=GET,,PUT\n", "`methods=` takes names separated by commas", NULL,
         0},
        {"cors http://a headers=\"X A\"\n", "`headers=` takes names", NULL, 0},
        {"cors http://a expose=\"\"\n", "the value is empty", NULL, 0},
        {"cors http://a headers=* credentials=on\n", "browsers take `*` for a name",
         "leave `headers=` out", 0},
        {"cors http://a max_age=2d\n", "max_age", NULL, 0},
        {"cors http://a max-age=2h\n", "an origin begins with a scheme", NULL, 0},
        {"cors http://a maxage=2h\n", "`cors` has no option `maxage`", "max_age", 0},
        {"cors http://a\ncors http://b\n", "`cors` is given twice", NULL, 0},
        {"cors bad other\nroute GET /a { }\nroute GET /b { }\n", "begins with a scheme", NULL,
         2},
        {"route GET /a { cors *; header set Access-Control-Allow-Origin x }\n",
         "`header` changes Access-Control-Allow-Origin, which `cors` sets on this route",
         "say `cors off` here", 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
