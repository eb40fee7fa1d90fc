/*
 * config/lint and the other warnings: what is not wrong and still not what was meant. Each is
 * shown where it must come and where it must not.
 */
#include "config_case.h"

#define IDENTITIES "identity org credential\nidentity user credential cookie=u\n"

static void test_globs(void **state)
{
    static const struct config_case cases[] = {
        {IDENTITIES "route GET /a { ttl 1m; key a:list:{org}:{query} }\n"
                    "route POST /a { invalidate a:list:{org}:* }\n",
         "t.conf:4:28: warning: {org} is the writer's own: what others cached stays",
         "write `a:list:*:*`, unless only that tenant", 0},
        {IDENTITIES "route GET /a { ttl 1m; key a:list:{org}:{query} }\n"
                    "route POST /a { invalidate a:list:{org}* }\n",
         "t.conf:4:40: warning: this * continues what stands before it",
         "end it with a separator: `a:list:{org}:*`", 2},
        {IDENTITIES "route GET /a { ttl 1m; key a:list:{org}:{query} }\n"
                    "route POST /a { invalidate a:list:{org}* }\n",
         "{org} is the writer's own", "write `a:list:*`, unless", 2},
        {IDENTITIES "route GET /a { ttl 1m; key a:{org} }\n"
                    "route POST /a { invalidate a:org1* }\n",
         "this * continues what stands before it: it also matches longer words", NULL, 0},
        {IDENTITIES "route GET /a { ttl 1m; key a:{org} }\nroute POST /a { invalidate b:* }\n",
         "t.conf:4:28: warning: `b:*` matches the key of no cached route", NULL, 0},
        {IDENTITIES "route GET /a/{id} { ttl 1m; key a:{org}:{id} }\n"
                    "route PUT /a/{id} { invalidate a:{id} }\n",
         "`a:{id}` matches the key of no cached route", NULL, 0},
        {"route GET /a { ttl 1m; scope public; key a }\nroute POST /a { invalidate a:* }\n",
         "`a:*` matches the key of no cached route", NULL, 0},
        {"route POST /a { invalidate x:* y:? }\n", "`x:*` matches the key of no cached route",
         "`y:?` matches", 2},
    };

    (void)state;
    case_warned(CASES(cases));
}

static void test_collisions(void **state)
{
    static const struct config_case cases[] = {
        {"route GET /a/{id} { ttl 1m; scope public; key a:{id} }\n"
         "route GET /b/{id} { ttl 1m; scope public; key a:{id} }\n",
         "t.conf:2:47: warning: this key and that of GET /a/{id} can produce one name",
         "t.conf:1 says `a:{id}`", 0},
        {"route GET /a/{id} { ttl 1m; scope public; key a:{id} }\n"
         "route GET /a/list { ttl 1m; scope public; key a:list }\n",
         "can produce one name", NULL, 0},
        {"route GET /a { ttl 1m; scope public; key {query} }\n"
         "route GET /b { ttl 1m; scope public; key b }\n",
         "can produce one name", NULL, 0},
        {IDENTITIES
         "route GET /a { ttl 1m; key {org}:a }\nroute GET /b { ttl 1m; key x:{user} }\n",
         "can produce one name", NULL, 0},
        {"route GET /a { ttl 1m; scope public; key a:{path} }\n"
         "route GET /b/{x} { ttl 1m; scope public; key a:{query}/{x} }\n",
         "can produce one name", "begin them differently", 1},
    };

    (void)state;
    case_warned(CASES(cases));
}

static void test_other_warnings(void **state)
{
    static const struct config_case cases[] = {
        {"upstream x https://h tls_verify=off\ndefaults { upstream app }\n",
         "t.conf:1:22: warning: the certificate is not verified", NULL, 0},
        {"upstream x http://h tls_name=a\ndefaults { upstream app }\n",
         "the tls_ options have no effect", NULL, 0},
        {"identity o header=X-O trusted=0.0.0.0/0\n", "everybody is trusted", NULL, 0},
        {"identity o header=X-O trusted=10.0.0.0/8,::/0\n", "everybody is trusted", NULL, 0},
        {"trusted_proxies 0.0.0.0/0\n", "everybody is a trusted proxy", NULL, 0},
        {"tls /proc/self/status /proc/self/status\n", "this certificate is not used", NULL, 0},
        {"redirect https\n", "`redirect https` without a `listen … tls`", NULL, 0},
        {"route GET /a { key a; scope public }\n",
         "t.conf:1:16: warning: `key` has no effect: this route is not cached", "has a `ttl`",
         0},
        {"route POST /a { stale 5s }\n", "`stale` has no effect", NULL, 0},
        {"route POST /a { settle 2s }\n",
         "`settle` has no effect: this route invalidates nothing", NULL, 0},
        {"route GET /a { ttl 1m; scope public; store private }\n",
         "`store private` has no effect: the key names no identity", NULL, 0},
        {"route GET,POST /a { ttl 1m; scope public; method_body on; key a:{body} }\n",
         "the methods of this route share entries: the key lacks {method}", NULL, 0},
    };

    (void)state;
    case_warned(CASES(cases));
}

/* What is as it should be gives no warning. */
static void test_silence(void **state)
{
    static const char *const texts[] = {
        IDENTITIES
        "type t { ttl 1m; scope public }\n"
        "route GET /a { ttl 1m; key a:list:{org}:{query} }\n"
        "route GET /a/{id} { ttl 1m; key a:item:{org}:{id} }\n"
        "route GET /t { type t }\nroute GET /u { type t }\n"
        "route POST /a { invalidate a:list:* t:* all type:t }\n"
        "route PUT /a/{id} { invalidate a:list:* a:item:*:{id} a:[il]*:? a\\:*:* }\n",
        "defaults { stale 1s; query q; settle 2s; store private }\n"
        "route GET /a { }\nroute POST /b { }\n",
        "trusted_proxies 10.0.0.0/8 2001:db8::/96\n",
        /* One name under two sites are two entries. */
        "route GET /a { ttl 1m; scope public; key a }\n"
        "host h { route GET /a { ttl 1m; scope public; key a } }\n",
        "route GET /a/{x} { ttl 1m; scope public; key a:{path} }\n"
        "route GET /a/b { ttl 1m; scope public; key a:{path} }\n",
        "route GET /f/* { ttl 1m; scope public; key f:{path} }\n"
        "route PUT /f/{x} { invalidate f:/f/{x} }\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct config_report report;
        struct settings *s = case_load(texts[i], &report);

        if (s == NULL || report.warnings > 0) {
            print_message("%s---\n%s", texts[i], report.text.p);
        }
        assert_non_null(s);
        assert_int_equal(report.warnings, 0);
        strbuf_free(&report.text);
        settings_unref(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_collisions),
        cmocka_unit_test(test_other_warnings),
        cmocka_unit_test(test_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
