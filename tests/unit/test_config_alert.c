/*
 * config/set_alert: conditions in one word and in several, their defaults, receivers, secrets,
 * and what is refused in which words.
 */
#include "config_case.h"

#define URL    " url=https://h.example.com/x"
#define SECRET "0123456789abcdef"

static void test_conditions(void **state)
{
    static const struct {
        const char *line;
        const char *text;
        enum alert_kind kind;
        enum alert_compare compare;
        int64_t limit;
        msec_t window;
    } rows[] = {
        {"hit_rate<50%", "hit_rate<50% for 5m", ALERT_HIT_RATE, ALERT_BELOW, 50, 300000},
        {"hit_rate <= 5% for 10m", "hit_rate<=5% for 10m", ALERT_HIT_RATE, ALERT_AT_MOST, 5,
         600000},
        {"errors>10", "errors>10 for 1m", ALERT_ERRORS, ALERT_ABOVE, 10, 60000},
        {"errors >=1 for 1s", "errors>=1 for 1s", ALERT_ERRORS, ALERT_AT_LEAST, 1, 1000},
        {"journal_lag> 5s", "journal_lag>5s for 10s", ALERT_JOURNAL_LAG, ALERT_ABOVE, 5000,
         10000},
        {"redis down", "redis down for 10s", ALERT_REDIS_DOWN, ALERT_BELOW, 0, 10000},
        {"breaker open for 2m", "breaker open for 2m", ALERT_BREAKER_OPEN, ALERT_BELOW, 0,
         120000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[256];

        snprintf(line, sizeof(line), "alert %s" URL "\n", rows[i].line);
        struct settings *s = case_good(line);
        assert_int_equal(s->n_alerts, 1);
        const struct alert_settings *a = &s->alerts[0];
        assert_str(a->text, rows[i].text);
        assert_int_equal(a->kind, rows[i].kind);
        assert_int_equal(a->compare, rows[i].compare);
        assert_int_equal(a->limit, rows[i].limit);
        assert_int_equal(a->window, rows[i].window);
        assert_str(a->url, "https://h.example.com/x");
        assert_int_equal(a->secret.n, 0);
        assert_int_equal(a->repeat, -1);
        assert_int_equal(a->requests, 20);
        settings_unref(s);
    }
}

static void test_options(void **state)
{
    struct settings *s =
        case_good("alert hit_rate<50% secret=" SECRET " repeat=1h requests=100" URL "\n"
                  "alert hit_rate<50% url=http://127.0.0.1:9/y?z=1&u=2\n"
                  "alert redis down" URL "\n");

    (void)state;
    assert_int_equal(s->n_alerts, 3);
    assert_str(s->alerts[0].secret, SECRET);
    assert_int_equal(s->alerts[0].repeat, 3600 * 1000);
    assert_int_equal(s->alerts[0].requests, 100);
    assert_str(s->alerts[1].url, "http://127.0.0.1:9/y?z=1&u=2");
    settings_unref(s);
}

static void test_errors(void **state)
{
    static const struct config_case cases[] = {
        {"alert\n", "`alert` lacks an argument", "usage: alert CONDITION", 0},
        {"alert hitrate<50%" URL "\n", "t.conf:1:7: error: `hit_rate`, `errors`",
         "did you mean `hit_rate`?", 0},
        {"alert <50%" URL "\n", "`hit_rate`, `errors`", NULL, 0},
        {"alert hit_rate" URL "\n", "t.conf:1:7: error: `<`, `<=`, `>` or `>=` and a limit",
         "example: alert hit_rate<50%", 0},
        {"alert hit_rate=50%" URL "\n", "`alert` has no option `hit_rate`", NULL, 2},
        {"alert hit_rate<50" URL "\n", "a percentage from 0% to 100%", NULL, 0},
        {"alert hit_rate < 101%" URL "\n", "t.conf:1:18: error: a percentage from 0%", NULL, 0},
        {"alert errors>ten" URL "\n", "a whole number is expected", "errors>10", 0},
        {"alert errors>" URL "\n", "a whole number is expected", NULL, 0},
        {"alert errors>1 errors>2" URL "\n", "a whole number is expected", NULL, 0},
        {"alert journal_lag>5" URL "\n", "unit", NULL, 0},
        {"alert journal_lag>2d" URL "\n", "out of range", NULL, 0},
        {"alert redis" URL "\n", "`redis down` is expected", NULL, 0},
        {"alert redis up" URL "\n", "t.conf:1:13: error: `redis down` is expected", NULL, 0},
        {"alert redis down now" URL "\n", "`redis down` is expected", NULL, 0},
        {"alert breaker>1" URL "\n", "`breaker open` is expected", NULL, 0},
        {"alert for 5m" URL "\n", "a condition is expected before `for`", NULL, 0},
        {"alert redis down for" URL "\n", "a duration is expected behind `for`", NULL, 0},
        {"alert redis down for 10ms" URL "\n", "out of range: from 1s to 1h", NULL, 0},
        {"alert redis down for 2h" URL "\n", "out of range: from 1s to 1h", NULL, 0},
        {"alert redis down for 5m please" URL "\n", "nothing may follow `for DURATION`", NULL,
         0},
        {"alert redis down\n", "`alert` needs url=", NULL, 0},
        {"alert redis down url=ftp://a/b\n", "a URL begins with https:// or http://", NULL, 0},
        {"alert redis down url=https://\n", "this is no URL", NULL, 0},
        {"alert redis down url=https:///x\n", "this is no URL", NULL, 0},
        {"alert redis down \"url=https://a/b c\"\n", "`redis down` is expected", NULL, 2},
        {"alert redis down url=\"https://a/b c\"\n", "this is no URL", NULL, 0},
        {"alert redis down secret=short" URL "\n", "the secret has 5 bytes; at least 16", NULL,
         0},
        {"alert redis down secret_file=/nonexistent" URL "\n", "cannot read this file", NULL,
         0},
        {"alert redis down secret=" SECRET " secret_file=/x" URL "\n", "one secret is enough",
         NULL, 0},
        {"alert redis down repeat=10s" URL "\n", "out of range: from 1m to 7d", NULL, 0},
        {"alert redis down requests=10" URL "\n", "`requests=` belongs to hit_rate", NULL, 0},
        {"alert redis down every=10s" URL "\n", "`alert` has no option `every`", NULL, 0},
        {"alert redis down" URL "\nalert redis down for 10s" URL "\n",
         "this alert is given twice", NULL, 0},
        {"defaults { alert redis down" URL " }\n", "`alert` does not belong here", NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_open_http(void **state)
{
    struct config_report report;
    struct settings *s =
        case_load("alert redis down url=http://hooks.example.com/x\n", &report);

    (void)state;
    assert_non_null(s);
    assert_int_equal(report.warnings, 1);
    assert_non_null(strstr(report.text.p, "over plain http"));
    strbuf_free(&report.text);
    settings_unref(s);
}

/* What GET /config shows of a receiver is its host: the rest of such URLs is often a secret. */
static void test_urls_are_not_shown(void **state)
{
    static const char *const urls[] = {
        "https://hooks.example.com/hunter2", "https://hooks.example.com?key=hunter2",
        "https://hooks.example.com#hunter2", "https://u:hunter2@hooks.example.com/x",
        "https://u:a/hunter2@hooks.example.com?x"};

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct strbuf text = {0};
        strbuf_addf(&text, "alert redis down url=%s%c", urls[i], '\0');
        struct settings *s = case_good(text.p);
        assert_null(strstr(s->text.p, "hunter2"));
        assert_non_null(strstr(s->text.p, "hooks.example.com/***"));
        settings_unref(s);
        strbuf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_open_http),
        cmocka_unit_test(test_urls_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
