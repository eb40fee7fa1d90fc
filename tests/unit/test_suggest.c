/*
 * base/suggest: the distance, the threshold, and who wins.
 */
#include "unit.h"

#include "base/suggest.h"

static unsigned distance(const char *a, const char *b)
{
    return suggest_distance(str_from(a), str_from(b));
}

static void test_distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("abc", ""), 3);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("route", "route"), 0);
    assert_int_equal(distance("Route", "rOUTE"), 0);
    assert_int_equal(distance("rout", "route"), 1);
    assert_int_equal(distance("routes", "route"), 1);
    assert_int_equal(distance("rouve", "route"), 1);
    assert_int_equal(distance("ruote", "route"), 1); /* a swap is one edit */
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("ca", "abc"), 3); /* no edit inside a swap */
}

static void test_distance_of_long_words_is_far(void **state)
{
    char word[SUGGEST_MAX_WORD + 2];

    (void)state;
    memset(word, 'a', sizeof(word));
    struct str edge = str_make(word, SUGGEST_MAX_WORD);
    struct str over = str_make(word, SUGGEST_MAX_WORD + 1);
    assert_int_equal(suggest_distance(edge, edge), 0);
    assert_int_equal(suggest_distance(over, over), SUGGEST_FAR);
    assert_int_equal(suggest_distance(edge, STR("")), SUGGEST_MAX_WORD);
}

/* The distance is a metric: symmetric, and zero only for equal words. */
static void test_distance_is_symmetric(void **state)
{
    static const char *const words[] = {"ttl",     "tls",      "tag", "type",
                                        "timeout", "upstream", "up"};

    (void)state;
    for (size_t i = 0; i < 7; i++) {
        for (size_t k = 0; k < 7; k++) {
            assert_int_equal(distance(words[i], words[k]), distance(words[k], words[i]));
            assert_true((distance(words[i], words[k]) == 0) == (i == k));
        }
    }
}

static bool nearest(const char *word, const char *const *list, size_t n, struct str *best)
{
    struct suggest s;

    suggest_init(&s, str_from(word));
    for (size_t i = 0; i < n; i++) {
        suggest_offer(&s, str_from(list[i]));
    }
    return suggest_result(&s, best);
}

static void test_result_is_near_or_nothing(void **state)
{
    static const char *const list[] = {"upstream", "route", "ttl", "tls"};
    struct str best;

    (void)state;
    assert_true(nearest("upsteram", list, 4, &best));
    assert_true(str_eq(best, STR("upstream")));
    assert_true(nearest("ROUTE", list, 4, &best));
    assert_true(str_eq(best, STR("route")));
    assert_true(nearest("tll", list, 4, &best)); /* the first of two equally near ones */
    assert_true(str_eq(best, STR("ttl")));
    assert_false(nearest("elephant", list, 4, &best));
    assert_false(nearest("x", list, 4, &best));
    assert_false(nearest("ttl", list, 0, &best));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance_counts_edits),
        cmocka_unit_test(test_distance_of_long_words_is_far),
        cmocka_unit_test(test_distance_is_symmetric),
        cmocka_unit_test(test_result_is_near_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
