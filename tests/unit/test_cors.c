/*
 * flow/cors: which origins are allowed, byte by byte, and which answer fields are replaced.
 */
#include "unit.h"

#include "flow/cors.h"

static struct str origins[] = {
    {"https://app.example.com", 23},
    {"http://localhost:3000", 21},
};

static struct cors_pattern patterns[] = {
    {{"https://", 8}, {".example.org", 12}},
    {{"http://", 7}, {".dev.local:8080", 15}},
};

static const struct cors_settings cors = {
    .origins = {origins, 2},
    .patterns = patterns,
    .n_patterns = 2,
};

static void test_allowed(void **state)
{
    static const char *const good[] = {
        "https://app.example.com",     "http://localhost:3000",   "https://a.example.org",
        "https://a.b-c.9.example.org", "http://x.dev.local:8080",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(cors_allows(&cors, str_from(good[i])));
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "*",
        "https://app.example.co",
        "https://app.example.com.evil.test",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "http://app.example.com",
        "HTTPS://APP.EXAMPLE.COM",
        "https://example.org",
        "https://.example.org",
        "https://a..example.org.evil.test",
        "https://evil.test/.example.org",
        "https://evil.test?.example.org",
        "https://evil.test#.example.org",
        "https://user@a.example.org",
        "https://a:1.example.org",
        "https://evilexample.org",
        "https://a.example.org:443",
        "http://a.example.org",
        "https://a.example.org ",
        "https://a.example.org, https://b.example.org",
        "https://A.example.org",
        "http://x.dev.local",
        "http://x.dev.local:80800",
        "https://.",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cors_allows(&cors, str_from(bad[i]))) {
            fail_msg("%s is allowed", bad[i]);
        }
    }
    assert_false(cors_allows(&cors, STR_NULL));
    assert_false(cors_allows(&cors, str_make("https://a\0.example.org", 22)));
}

static void test_any(void **state)
{
    const struct cors_settings any = {.any = true};
    (void)state;
    assert_true(cors_allows(&any, STR("https://wherever.test")));
    assert_true(cors_allows(&any, STR("null")));
}

static void test_fields(void **state)
{
    (void)state;
    assert_true(cors_field(STR("Access-Control-Allow-Origin")));
    assert_true(cors_field(STR("ACCESS-CONTROL-EXPOSE-HEADERS")));
    assert_true(cors_field(STR("access-control-allow-private-network")));
    assert_false(cors_field(STR("Access-Control-")));
    assert_false(cors_field(STR("Access-Controls")));
    assert_false(cors_field(STR("Accept")));
    assert_false(cors_field(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
