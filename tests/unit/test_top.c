/*
 * flow/top: what is asked for most is found among many names, counts are not invented, sampled
 * counts are near the truth, and the slowest misses are the slowest.
 */
#include "unit.h"

#include <stdio.h>

#include "flow/top.h"

static struct top_key keys[TOP_KEYS];
static struct top_slow slow[TOP_SLOW];

static void get(struct top *t, msec_t wall)
{
    top_get(t, wall, keys, slow);
}

static const struct top_key *key_of(const char *name)
{
    for (size_t i = 0; i < TOP_KEYS; i++) {
        if (keys[i].count > 0 &&
            str_eq(str_make(keys[i].name, keys[i].name_n), str_from(name))) {
            return &keys[i];
        }
    }
    return NULL;
}

static void few_requests_are_counted_exactly(void **state)
{
    (void)state;
    struct top *t = top_new();
    for (int i = 0; i < 12; i++) {
        top_count(t, i % 3 == 0 ? STR("a") : STR("b"), 7, 1000 + i);
    }
    get(t, 0);
    assert_int_equal(key_of("a")->count, 4);
    assert_int_equal(key_of("b")->count, 8);
    assert_int_equal(key_of("b")->error, 0);
    assert_int_equal(key_of("b")->label, 7);
    assert_null(key_of("c"));
    top_free(t);
}

static void hot_names_stand_out_of_many(void **state)
{
    (void)state;
    struct top *t = top_new();
    for (int i = 0; i < 20000; i++) {
        char cold[16];
        int n = snprintf(cold, sizeof(cold), "cold:%d", i);
        top_count(t, str_make(cold, (size_t)n), 1, i);
        top_count(t, STR("hot"), 1, i);
        if (i % 4 == 0) {
            top_count(t, STR("warm"), 1, i);
        }
    }
    get(t, 0);
    const struct top_key *hot = key_of("hot"), *warm = key_of("warm");
    assert_non_null(hot);
    assert_non_null(warm);
    assert_true(hot->count - hot->error > 15000 && hot->count - hot->error < 22000);
    assert_true(warm->count - warm->error > 1000 && warm->count - warm->error < 6000);
    for (size_t i = 0; i < TOP_KEYS; i++) {
        bool cold = &keys[i] != hot && &keys[i] != warm;
        assert_true(!cold || keys[i].count - keys[i].error <= 16);
    }
    top_free(t);
}

static void samples_stand_for_sixteen(void **state)
{
    (void)state;
    struct top *t = top_new();
    for (int i = 0; i < 160000; i++) {
        top_count(t, STR("hot"), 1, 1000); /* all within one moment */
    }
    get(t, 0);
    assert_true(key_of("hot")->count > 140000 && key_of("hot")->count < 180000);
    top_free(t);
}

static void counts_fade(void **state)
{
    (void)state;
    struct top *t = top_new();
    for (int i = 0; i < 100; i++) {
        top_count(t, STR("old"), 1, 1000);
    }
    top_count(t, STR("new"), 1, 1000 + 6 * 60000);
    get(t, 0);
    assert_int_equal(key_of("old")->count, 50);
    assert_int_equal(key_of("new")->count, 1);
    top_free(t);
}

static void long_names_are_cut_and_told_apart(void **state)
{
    (void)state;
    struct top *t = top_new();
    char name[400];
    memset(name, 'x', sizeof(name));
    top_count(t, str_make(name, sizeof(name)), 1, 1);
    top_count(t, str_make(name, sizeof(name) - 1), 1, 1);
    get(t, 0);
    assert_int_equal(keys[0].count, 1);
    assert_int_equal(keys[0].name_n, TOP_NAME_MAX);
    assert_int_equal(keys[1].count, 1);
    top_free(t);
}

static void the_slowest_misses_stay(void **state)
{
    (void)state;
    struct top *t = top_new();
    for (int i = 1; i <= 1000; i++) {
        top_miss(t, STR("n"), 1, (i * 7919) % 1000 + 1, 5000 + i);
    }
    get(t, 6000);
    int64_t sum = 0;
    for (size_t i = 0; i < TOP_SLOW; i++) {
        assert_true(slow[i].us > 1000 - TOP_SLOW);
        sum += slow[i].us;
    }
    assert_int_equal(sum, (1000 + 1000 - TOP_SLOW + 1) * TOP_SLOW / 2);
    top_free(t);
}

static void slow_misses_are_forgotten(void **state)
{
    (void)state;
    struct top *t = top_new();
    for (int i = 0; i < TOP_SLOW; i++) {
        top_miss(t, STR("old"), 1, 1000000, 1000);
    }
    msec_t later = 1000 + 11 * 60000;
    top_miss(t, STR("new"), 1, 5, later);
    get(t, later);
    unsigned n = 0;
    for (size_t i = 0; i < TOP_SLOW; i++) {
        n += slow[i].us > 0;
        assert_true(slow[i].us == 0 || slow[i].us == 5);
    }
    assert_int_equal(n, 1);
    top_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_requests_are_counted_exactly),
        cmocka_unit_test(hot_names_stand_out_of_many),
        cmocka_unit_test(samples_stand_for_sixteen),
        cmocka_unit_test(counts_fade),
        cmocka_unit_test(long_names_are_cut_and_told_apart),
        cmocka_unit_test(the_slowest_misses_stay),
        cmocka_unit_test(slow_misses_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
