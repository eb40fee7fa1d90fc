/* config/check_intent: what `redis … intent=` says, refuses and warns about, and deadlines. */
#include "config_case.h"

#include "cache/journal_wire.h"

#define REDIS "redis redis://127.0.0.1:1 prefix=p "

static void test_refused(void **state)
{
    static const struct config_case cases[] = {
        {REDIS "intent=maybe\n", "`off`, `on` or `strict` is expected", NULL, 0},
        {REDIS "intent=on intent_deadline=5\n", "intent_deadline", NULL, 0},
        {REDIS "intent=on intent_deadline=999ms\n", "intent_deadline", NULL, 0},
        {REDIS "intent=on intent_deadline=30s\nroute POST /a { invalidate all }\n",
         "t.conf:1:46: error: POST /a waits 30s for its answer",
         "at least intent_deadline=31s, or a shorter", 0},
        {REDIS "intent=on intent_deadline=30s\n", "a path without a route waits 30s", NULL, 0},
        {REDIS "intent=on\nroute POST /a { timeout first_byte=off; invalidate all }\n",
         "a write to POST /a may take for ever: first_byte=off and total=off",
         "or say intent_deadline=DURATION", 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_warned(void **state)
{
    static const struct config_case cases[] = {
        {"redis prefix=p intent=on\n", "nothing is announced without Redis", NULL, 0},
        {"redis prefix=p intent=strict\n", "nothing is announced without Redis", NULL, 0},
    };

    (void)state;
    case_warned(CASES(cases));
}

static const struct route_settings *first_route(const struct settings *s)
{
    return &s->sites[0].routes[0];
}

static void test_off(void **state)
{
    (void)state;
    struct settings *s = case_good(REDIS "\nroute POST /a { invalidate all }\n");
    assert_int_equal(s->redis.intent, INTENT_OFF);
    assert_int_equal(first_route(s)->intent_deadline, 0);
    settings_unref(s);
    s = case_good(REDIS "intent=off\nroute POST /a { timeout first_byte=off }\n");
    assert_int_equal(first_route(s)->intent_deadline, 0);
    settings_unref(s);
}

static void test_deadlines(void **state)
{
    static const struct {
        const char *option, *timeout;
        msec_t deadline, renew;
    } cases[] = {
        {"", "", 40000, 5000},
        {"", "timeout first_byte=5s", 15000, 5000},
        {"", "timeout first_byte=off total=7s", 17000, 5000},
        {"", "timeout first_byte=20s total=7s", 17000, 5000},
        {"", "timeout first_byte=20s total=60s", 30000, 5000},
        {"", "timeout first_byte=24h", 86410000, 5000},
        {"", "timeout first_byte=off total=7d", 604810000, 5000},
        {"intent_deadline=31s", "", 31000, 500},
        {"intent_deadline=1m", "timeout first_byte=off", 60000, 30000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 REDIS "intent=strict %s\nroute PUT,GET /a { %s }\nroute GET /b { }\n",
                 cases[i].option, cases[i].timeout);
        struct settings *s = case_good(text);
        assert_int_equal(s->redis.intent, INTENT_STRICT);
        assert_int_equal(first_route(s)->intent_deadline, cases[i].deadline);
        assert_int_equal(first_route(s)->intent_renew, cases[i].renew);
        /* Else the nodes cannot read the announcement, nor know which one has ended. */
        assert_true(cases[i].deadline <= JOURNAL_INTENT_DEADLINE);
        assert_int_equal(s->sites[0].routes[1].intent_deadline, 0);
        assert_true(s->sites[0].fallback.intent_deadline > 0);
        settings_unref(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_warned),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
