/*
 * config/set_refresh: schedules and the credentials that they fetch with; what a schedule
 * cannot do without a caller is an error.
 */
#include "config_case.h"

#define SITE "hosts a.test\n"
#define ORG                                                        \
    "jwt main alg=HS256 secret=0123456789abcdef0123456789abcdef\n" \
    "identity org jwt=main claim=org\n"

static void test_values(void **state)
{
    struct settings *s = case_good(
        SITE ORG "credential service value=\"Bearer abc\"\n"
                 "credential key value=s3cret header=X-Api-Key\n"
                 "type slow { ttl 1h; refresh 5m }\n"
                 "route GET /a { scope public; ttl 1h; refresh 2m }\n"
                 "route GET /b/{id} { scope public; ttl 1h; refresh 30s /b/1 /b/2?x=%20 }\n"
                 "route GET /c { key c:{org}; ttl 1h; refresh 2m credential=service }\n"
                 "route GET /d { type slow; scope public; ttl 1h }\n"
                 "route GET /e { scope public; ttl 1h }\n");
    (void)state;
    assert_int_equal(s->n_credentials, 2);
    assert_str(s->credentials[0].header, "Authorization");
    assert_str(s->credentials[0].value, "Bearer abc");
    assert_str(s->credentials[1].header, "X-Api-Key");
    const struct route_settings *a = case_route(s, "GET /a");
    assert_int_equal(a->refresh, 120000);
    assert_int_equal(a->refresh_targets.n, 1);
    assert_str(a->refresh_targets.list[0], "/a");
    assert_null(a->credential);
    const struct route_settings *b = case_route(s, "GET /b/{id}");
    assert_int_equal(b->refresh_targets.n, 2);
    assert_str(b->refresh_targets.list[1], "/b/2?x=%20");
    assert_ptr_equal(case_route(s, "GET /c")->credential, &s->credentials[0]);
    assert_int_equal(case_route(s, "GET /d")->refresh, 300000);
    assert_str(case_route(s, "GET /d")->refresh_targets.list[0], "/d");
    assert_int_equal(case_route(s, "GET /e")->refresh, 0);
    settings_unref(s);
}

static void test_errors(void **state)
{
    static const struct config_case cases[] = {
        {"credential c\n", "`credential` needs value= or file=", NULL, 0},
        {"credential c value=a file=b\n", "`credential` needs value= or file=", NULL, 0},
        {"credential c value=\"\"\n", "the value is empty", NULL, 0},
        {"credential c value=\"a\tb\"\n", "holds a control character", NULL, 0},
        {"credential c value=x header=\"a b\"\n", "the name of a request field is expected",
         NULL, 0},
        {"credential c value=x\ncredential c value=y\n", "`c` is defined twice", NULL, 0},
        {"credential a:b value=x\n", "the name of a credential has 1 to 64 of", NULL, 0},
        {SITE "route GET /a { refresh 2m }\n", "for cached routes", NULL, 0},
        {SITE "route GET /a { scope public; ttl 1h; refresh 10ms }\n", "1s", NULL, 0},
        {SITE "route GET /a { scope public; ttl 1h; refresh often }\n", "a duration",
         "usage: refresh", 0},
        {SITE "route GET /a { scope public; ttl 1h; refresh 2m nowhere }\n",
         "a path to fetch is expected", NULL, 0},
        {SITE "route GET /a { scope public; ttl 1h; refresh 2m \"/a b\" }\n",
         "a path to fetch is expected", NULL, 0},
        {SITE "route GET /a/{id} { scope public; ttl 1h; refresh 2m }\n",
         "`refresh` needs paths", "name those to fetch", 0},
        {SITE "route GET /a/* { scope public; ttl 1h; refresh 2m }\n", "`refresh` needs paths",
         NULL, 0},
        {"route GET /a { scope public; ttl 1h; refresh 2m }\n", "`refresh` needs `hosts`",
         "add a line like", 0},
        {SITE ORG "route GET /a { key a:{org}; ttl 1h; refresh 2m }\n",
         "`refresh` needs a credential", "credential=NAME", 0},
        {SITE ORG "credential service value=x\n"
                  "route GET /a { key a:{org}; ttl 1h; refresh 2m credential=servise }\n",
         "no credential is called `servise`", "did you mean `service`?", 0},
    };
    (void)state;
    case_refused(CASES(cases));
}

static void test_warnings(void **state)
{
    static const struct config_case cases[] = {
        {SITE "route GET /a { scope public; ttl 1m; refresh 2m }\n",
         "`ttl` is shorter than `refresh`", NULL, 0},
    };
    (void)state;
    case_warned(CASES(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
