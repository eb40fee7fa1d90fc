/*
 * admin/alert_rule: when alerts begin and end, on a clock of the test's own, one sample a
 * second; windows, quiet times, wavering figures, counters that start anew, late ticks.
 */
#include "unit.h"

#include "admin/alert_rule.h"

/* A running test: its history, its rule and the figures so far. */
struct scene {
    struct alert_history *h;
    struct alert_settings settings;
    struct alert_rule rule;
    struct alert_sample now;
};

static void scene_init(struct scene *s, enum alert_kind kind, enum alert_compare compare,
                       int64_t limit, msec_t window)
{
    *s = (struct scene){
        .h = alert_history_new(),
        .settings = {.kind = kind,
                     .compare = compare,
                     .limit = limit,
                     .window = window,
                     .requests = 20,
                     .repeat = -1},
        .now = {.at = 1000000, .journal_lag = -1},
    };
    s->rule.settings = &s->settings;
}

static enum alert_change tick(struct scene *s)
{
    s->now.at += 1000;
    alert_history_add(s->h, &s->now);
    return alert_rule_step(&s->rule, s->h);
}

/* Seconds of `hits` and `misses` each; the first change, and in *after how many it took. */
static enum alert_change run(struct scene *s, unsigned seconds, unsigned hits, unsigned misses,
                             unsigned *after)
{
    for (unsigned i = 1; i <= seconds; i++) {
        s->now.hits += hits;
        s->now.misses += misses;
        enum alert_change change = tick(s);
        if (change != ALERT_SAME) {
            *after = i;
            return change;
        }
    }
    return ALERT_SAME;
}

static void test_hit_rate(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_HIT_RATE, ALERT_BELOW, 50, 10000);
    /* Cold at the start: the window is not whole yet. */
    assert_int_equal(run(&s, 10, 0, 5, &after), ALERT_SAME);
    assert_int_equal(run(&s, 1, 0, 5, &after), ALERT_FIRING);
    assert_float_equal(s.rule.value, 0, 0.01);
    assert_string_equal(s.rule.detail, "0 hits of 50 requests");
    assert_int_equal(run(&s, 100, 0, 5, &after), ALERT_SAME);
    /* The rate is 50 % after 5 s, and has to stay so for the window. */
    assert_int_equal(run(&s, 100, 5, 0, &after), ALERT_RESOLVED);
    assert_int_equal(after, 5 + 10);
    assert_float_equal(s.rule.value, 100, 0.01);
    assert_int_equal(run(&s, 100, 5, 0, &after), ALERT_SAME);
    assert_int_equal(run(&s, 100, 0, 5, &after), ALERT_FIRING);
    assert_int_equal(after, 6);
    alert_history_free(s.h);
}

static void test_quiet(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_HIT_RATE, ALERT_BELOW, 50, 10000);
    assert_int_equal(run(&s, 30, 0, 1, &after), ALERT_SAME); /* ten requests say nothing */
    assert_int_equal(run(&s, 30, 0, 2, &after), ALERT_FIRING);
    assert_int_equal(after, 10);
    /* Nor do they say that it is over. */
    assert_int_equal(run(&s, 100, 0, 0, &after), ALERT_SAME);
    assert_true(s.rule.firing);
    assert_int_equal(run(&s, 100, 1, 0, &after), ALERT_SAME);
    assert_int_equal(run(&s, 100, 2, 0, &after), ALERT_RESOLVED);
    alert_history_free(s.h);
}

static void test_wavering(void **state)
{
    struct scene s;
    unsigned changes = 0;

    (void)state;
    scene_init(&s, ALERT_HIT_RATE, ALERT_BELOW, 50, 10000);
    for (unsigned i = 0; i < 600; i++) {
        unsigned after;
        /* Now just below, now just above the limit, every few seconds. */
        changes += run(&s, 1, i / 3 % 2 ? 7 : 2, i / 3 % 2 ? 2 : 7, &after) != ALERT_SAME;
    }
    assert_int_equal(changes, 1);
    assert_true(s.rule.firing);
    alert_history_free(s.h);
}

static void test_errors(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_ERRORS, ALERT_ABOVE, 10, 60000);
    s.now.errors = 500; /* before we looked */
    assert_int_equal(tick(&s), ALERT_SAME);
    s.now.errors += 10;
    assert_int_equal(tick(&s), ALERT_SAME);
    s.now.errors += 1;
    assert_int_equal(tick(&s), ALERT_FIRING); /* at once: the window need not be whole */
    assert_float_equal(s.rule.value, 11, 0.01);
    assert_string_equal(s.rule.detail, "11 errors");
    assert_int_equal(run(&s, 300, 0, 0, &after), ALERT_RESOLVED);
    /* 10 errors leave the window after 59 s; it must be calm for another minute. */
    assert_int_equal(after, 59 + 60);
    assert_string_equal(s.rule.detail, "0 errors");
    alert_history_free(s.h);
}

static void test_lasting(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_REDIS_DOWN, ALERT_BELOW, 0, 10000);
    assert_int_equal(tick(&s), ALERT_SAME);
    s.now.redis_down = true;
    assert_int_equal(run(&s, 9, 0, 0, &after), ALERT_SAME);
    s.now.redis_down = false; /* a blink starts anew */
    assert_int_equal(tick(&s), ALERT_SAME);
    s.now.redis_down = true;
    msec_t began = s.now.at + 1000;
    assert_int_equal(run(&s, 100, 0, 0, &after), ALERT_FIRING);
    assert_int_equal(after, 11);
    assert_int_equal(s.rule.fired_at, began);
    s.now.redis_down = false;
    assert_int_equal(run(&s, 100, 0, 0, &after), ALERT_RESOLVED);
    assert_int_equal(after, 11);
    alert_history_free(s.h);
}

static void test_breakers(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_BREAKER_OPEN, ALERT_BELOW, 0, 1000);
    s.now.breakers = 2;
    memcpy(s.now.detail, "redis-data redis-journal", 25);
    assert_int_equal(run(&s, 10, 0, 0, &after), ALERT_FIRING);
    assert_int_equal(after, 2);
    assert_string_equal(s.rule.detail, "redis-data redis-journal");
    assert_float_equal(s.rule.value, 2, 0.01);
    s.now.breakers = 1; /* still one: the same alert */
    assert_int_equal(run(&s, 10, 0, 0, &after), ALERT_SAME);
    s.now.breakers = 0;
    assert_int_equal(run(&s, 10, 0, 0, &after), ALERT_RESOLVED);
    assert_string_equal(s.rule.detail, "all closed");
    alert_history_free(s.h);
}

static void test_lag(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_JOURNAL_LAG, ALERT_ABOVE, 5000, 3000);
    assert_int_equal(run(&s, 10, 0, 0, &after), ALERT_SAME); /* no Redis, no lag */
    s.now.journal_lag = 5000;
    assert_int_equal(run(&s, 10, 0, 0, &after), ALERT_SAME);
    s.now.journal_lag = 5001;
    assert_int_equal(run(&s, 10, 0, 0, &after), ALERT_FIRING);
    assert_int_equal(after, 4);
    assert_string_equal(s.rule.detail, "5001 ms behind");
    alert_history_free(s.h);
}

static void test_operators(void **state)
{
    static const struct {
        enum alert_compare compare;
        bool at_9, at_10, at_11;
    } rows[] = {
        {ALERT_BELOW, true, false, false},
        {ALERT_AT_MOST, true, true, false},
        {ALERT_ABOVE, false, false, true},
        {ALERT_AT_LEAST, false, true, true},
    };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const bool expected[] = {rows[i].at_9, rows[i].at_10, rows[i].at_11};
        for (unsigned k = 0; k < 3; k++) {
            struct scene s;
            scene_init(&s, ALERT_ERRORS, rows[i].compare, 10, 60000);
            s.settings.repeat = -1;
            (void)tick(&s);
            s.rule = (struct alert_rule){.settings = &s.settings};
            s.now.errors += 9 + k;
            assert_int_equal(tick(&s) == ALERT_FIRING, expected[k]);
            alert_history_free(s.h);
        }
    }
}

static void test_repeat(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_REDIS_DOWN, ALERT_BELOW, 0, 1000);
    s.settings.repeat = 60000;
    s.now.redis_down = true;
    assert_int_equal(run(&s, 10, 0, 0, &after), ALERT_FIRING);
    msec_t since = s.rule.fired_at;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(run(&s, 100, 0, 0, &after), ALERT_REPEATED);
        assert_int_equal(after, 60);
    }
    assert_int_equal(s.rule.fired_at, since);
    s.now.redis_down = false;
    assert_int_equal(run(&s, 100, 0, 0, &after), ALERT_RESOLVED);
    assert_int_equal(run(&s, 100, 0, 0, &after), ALERT_SAME);
    alert_history_free(s.h);
}

static void test_restart_of_counters(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_HIT_RATE, ALERT_BELOW, 50, 10000);
    assert_int_equal(run(&s, 100, 10, 0, &after), ALERT_SAME);
    s.now.hits = 0; /* what counts began anew: no window across that */
    assert_int_equal(run(&s, 10, 0, 10, &after), ALERT_SAME);
    assert_int_equal(run(&s, 10, 0, 10, &after), ALERT_FIRING);
    assert_int_equal(after, 1);
    alert_history_free(s.h);
}

static void test_late_ticks(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, ALERT_ERRORS, ALERT_ABOVE, 10, 10000);
    (void)tick(&s);
    s.now.errors += 8;
    (void)tick(&s);
    s.now.at += 60000; /* the machine slept */
    s.now.errors += 8;
    assert_int_equal(tick(&s), ALERT_SAME); /* 8 in the window, not 16 */
    assert_float_equal(s.rule.value, 8, 0.01);
    alert_history_free(s.h);
}

/* More than the ring holds: the longest window still finds its start. */
static void test_full_ring(void **state)
{
    struct scene s;
    unsigned after = 0;

    (void)state;
    scene_init(&s, ALERT_HIT_RATE, ALERT_BELOW, 50, 3600 * 1000);
    assert_int_equal(run(&s, 3 * ALERT_HISTORY, 1, 0, &after), ALERT_SAME);
    assert_int_equal(run(&s, ALERT_HISTORY, 0, 1, &after), ALERT_FIRING);
    assert_int_equal(after, 1801);
    assert_string_equal(s.rule.detail, "1799 hits of 3600 requests");
    alert_history_free(s.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hit_rate),   cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_wavering),   cmocka_unit_test(test_errors),
        cmocka_unit_test(test_lasting),    cmocka_unit_test(test_breakers),
        cmocka_unit_test(test_lag),        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_repeat),     cmocka_unit_test(test_restart_of_counters),
        cmocka_unit_test(test_late_ticks), cmocka_unit_test(test_full_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
