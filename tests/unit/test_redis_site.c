/*
 * flow/redis_site and cache/redis_advice: what a deployment calls itself, and what is said
 * about the figures of its Redis, once.
 */
#include "unit.h"

#include "base/log.h"
#include "cache/redis_advice.h"
#include "config_case.h"
#include "flow/redis_site.h"

static void expect_site(const char *conf, const char *expected)
{
    struct strbuf text = {0};
    struct settings *s = case_good(conf);
    redis_site_text(s, &text);
    strbuf_add_char(&text, '\0');
    assert_string_equal(text.p, expected);
    strbuf_free(&text);
    settings_unref(s);
}

static void test_names(void **state)
{
    (void)state;
    expect_site("", "http://127.0.0.1:8000");
    expect_site("upstream more http://10.0.0.1 http://10.0.0.2:81\n",
                "http://10.0.0.1 http://10.0.0.2:81 http://127.0.0.1:8000");
    expect_site("hosts Shop.example.com www.example.com\n", "shop.example.com www.example.com");
}

/* What does not fit is told apart all the same. */
static void test_long_names(void **state)
{
    (void)state;
    struct strbuf first = {0}, second = {0}, a = {0}, b = {0};
    strbuf_addf(&first, "hosts");
    for (unsigned i = 0; i < 20; i++) {
        strbuf_addf(&first, " host%u.example.com", i);
    }
    strbuf_addf(&second, "%.*s x.example.com", STR_ARG(strbuf_str(&first)));
    strbuf_add_char(&first, '\0');
    strbuf_add_char(&second, '\0');
    struct settings *one = case_good(first.p), *two = case_good(second.p);
    redis_site_text(one, &a);
    redis_site_text(two, &b);
    assert_int_equal(a.n, 120);
    assert_int_equal(b.n, 120);
    assert_true(str_starts(strbuf_str(&a), STR("host0.example.com host1.example.com ")));
    assert_memory_equal(a.p, b.p, 100);
    assert_memory_not_equal(a.p, b.p, 120);
    settings_unref(one);
    settings_unref(two);
    strbuf_free(&first);
    strbuf_free(&second);
    strbuf_free(&a);
    strbuf_free(&b);
}

static void test_advice(void **state)
{
    (void)state;
    struct redis_facts f = {.used_memory = -1, .max_memory = -1, .keys = -1};
    unsigned said = 0;
    log_setup(LOG_ERROR, false);
    assert_int_equal(redis_advise(&f), 0);
    f.max_memory = 0;
    f.eviction = REDIS_EVICTS_ANYTHING;
    assert_int_equal(redis_advise(&f), 1u << REDIS_ADVICE_EVICTS | 1u << REDIS_ADVICE_NO_LIMIT);
    redis_advice_log(&said, &f, STR("shop"));
    assert_int_equal(said, redis_advise(&f));
    f.max_memory = 1;
    f.eviction = REDIS_EVICTS_VOLATILE;
    memcpy(f.other, "b", 2);
    redis_advice_log(&said, &f, STR("shop"));
    assert_int_equal(said, 1u << REDIS_ADVICE_SHARED);
    f.eviction = REDIS_EVICTS_NOTHING;
    f.other[0] = '\0';
    assert_int_equal(redis_advise(&f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
