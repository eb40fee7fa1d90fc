/*
 * Entity-tags, If-None-Match, If-Modified-Since and If-Range. Names in comments are those of
 * the public cache tests (conditional-inm, conditional-lm).
 */
#include "unit.h"

#include "http/conditional.h"

#define EARLIER "Sun, 06 Nov 1994 08:00:00 GMT"
#define THEN    "Sun, 06 Nov 1994 08:49:37 GMT"
#define LATER   "Sun, 06 Nov 1994 09:00:00 GMT"

struct given {
    enum method method;
    const char *if_none_match[2];
    const char *if_modified_since[2];
    const char *etag;
    const char *last_modified;
    const char *date;
};

static enum conditional evaluate(const struct given *g)
{
    struct field fields[5];
    struct msg m = {.method = g->method, .fields = fields, .cap_fields = 5};
    fields[m.n_fields++] = (struct field){STR("Host"), STR("a"), FIELD_HOST};
    for (size_t i = 0; i < 2; i++) {
        if (g->if_none_match[i] != NULL) {
            fields[m.n_fields++] = (struct field){
                STR("If-None-Match"), str_from(g->if_none_match[i]), FIELD_IF_NONE_MATCH};
        }
        if (g->if_modified_since[i] != NULL) {
            fields[m.n_fields++] =
                (struct field){STR("If-Modified-Since"), str_from(g->if_modified_since[i]),
                               FIELD_IF_MODIFIED_SINCE};
        }
    }
    return conditional_evaluate(&m, str_from(g->etag), str_from(g->last_modified),
                                str_from(g->date));
}

#define EVALUATE(...) evaluate(&(struct given){__VA_ARGS__})

static void test_etag_valid(void **state)
{
    (void)state;
    assert_true(etag_valid(STR("\"abc\"")));
    assert_true(etag_valid(STR("\"\"")));
    assert_true(etag_valid(STR("W/\"abc\"")));
    assert_true(etag_valid(STR("\"a,b'\\\"")));
    assert_true(etag_valid(STR("\"abcdef\xc3\xbc\"")));
    assert_false(etag_valid(STR_NULL));
    assert_false(etag_valid(STR("")));
    assert_false(etag_valid(STR("\"")));
    assert_false(etag_valid(STR("abc")));
    assert_false(etag_valid(STR("\"abc")));
    assert_false(etag_valid(STR("abc\"")));
    assert_false(etag_valid(STR("\"a\"b\"")));
    assert_false(etag_valid(STR("\"a b\"")));
    assert_false(etag_valid(STR("\"a\0b\"")));
    assert_false(etag_valid(STR("\"a\x7f\"")));
    assert_false(etag_valid(STR("w/\"abc\"")));
    assert_false(etag_valid(STR("W\"abc\"")));
    assert_false(etag_valid(STR("W/")));
    assert_false(etag_valid(STR("W/abc")));
    assert_false(etag_valid(STR("\"abc\" ")));
}

/* The table of RFC 9110 8.8.3.2. */
static void test_comparison(void **state)
{
    (void)state;
    struct str w1 = STR("W/\"1\""), w2 = STR("W/\"2\""), s1 = STR("\"1\"");
    assert_false(etag_strong_match(w1, w1));
    assert_true(etag_weak_match(w1, w1));
    assert_false(etag_strong_match(w1, w2));
    assert_false(etag_weak_match(w1, w2));
    assert_false(etag_strong_match(w1, s1));
    assert_true(etag_weak_match(w1, s1));
    assert_false(etag_strong_match(s1, w1));
    assert_true(etag_weak_match(s1, w1));
    assert_true(etag_strong_match(s1, s1));
    assert_true(etag_weak_match(s1, s1));
    assert_false(etag_weak_match(STR("1"), STR("1")));
    assert_false(etag_strong_match(STR("1"), STR("1")));
    assert_false(etag_weak_match(s1, STR_NULL));
    assert_false(etag_strong_match(s1, STR_NULL));
}

static void test_lists(void **state)
{
    (void)state;
    struct str tag = STR("\"abcdef\"");
    assert_true(etag_list_match(STR("\"abcdef\""), tag, true));
    assert_true(etag_list_match(STR("\"abcdef\", \"1234\", \"5678\""), tag, false));
    assert_true(etag_list_match(STR("\"1234\", \"abcdef\", \"5678\""), tag, false));
    assert_true(etag_list_match(STR("\"1234\",\"5678\"\t,\"abcdef\""), tag, false));
    assert_true(etag_list_match(STR(" ,, \"abcdef\" ,"), tag, true));
    assert_true(etag_list_match(STR("W/\"abcdef\""), tag, false));
    assert_false(etag_list_match(STR("W/\"abcdef\""), tag, true));
    assert_false(etag_list_match(STR("\"1234\", \"5678\""), tag, false));
    assert_false(etag_list_match(STR(""), tag, false));
    assert_false(etag_list_match(STR(",,"), tag, false));
    assert_false(etag_list_match(STR("\"1234\""), STR_NULL, false));
    assert_true(etag_list_match(STR("\"x\", \"a,b\""), STR("\"a,b\""), true));
    assert_false(etag_list_match(STR("\"a,b\""), STR("\"a\""), true));
}

static void test_star(void **state)
{
    (void)state;
    assert_true(etag_list_match(STR("*"), STR("\"a\""), true));
    assert_true(etag_list_match(STR(" * "), STR_NULL, false));
    assert_false(etag_list_match(STR("*, \"b\""), STR("\"a\""), false));
    assert_false(etag_list_match(STR("\"*\""), STR("\"a\""), false));
}

static void test_malformed_lists(void **state)
{
    (void)state;
    struct str tag = STR("\"a\"");
    assert_true(etag_list_match(STR("\"a\", junk"), tag, false));
    assert_false(etag_list_match(STR("junk, \"a\""), tag, false));
    assert_false(etag_list_match(STR("\"a\" junk"), tag, false));
    assert_false(etag_list_match(STR("\"a\"\"b\""), tag, false));
    assert_false(etag_list_match(STR("\"a"), tag, false));
    assert_false(etag_list_match(STR("a"), tag, false)); /* -quoted-respond-unquoted */
}

/* Homemade origins send ETag: abcdef; what their clients send back is that, byte for byte. */
static void test_malformed_etag_of_the_origin(void **state)
{
    (void)state;
    assert_true(etag_list_match(STR("abcdef"), STR("abcdef"), false));
    assert_true(etag_list_match(STR("w/\"abcdef\""), STR("w/\"abcdef\""), false));
    assert_false(etag_list_match(STR("abcdef"), STR("abcdef"), true));
    assert_false(etag_list_match(STR("\"abcdef\""), STR("abcdef"), false));
    assert_false(etag_list_match(STR(""), STR(""), false));
}

static void test_nothing_asked(void **state)
{
    (void)state;
    assert_int_equal(EVALUATE(.method = METHOD_GET, .etag = "\"a\"", .last_modified = THEN),
                     CONDITIONAL_NONE);
}

static void test_other_methods(void **state)
{
    (void)state;
    assert_int_equal(EVALUATE(.method = METHOD_POST, .if_none_match = {"*"}, .etag = "\"a\""),
                     CONDITIONAL_NONE);
    assert_int_equal(EVALUATE(.method = METHOD_HEAD, .if_none_match = {"*"}, .etag = "\"a\""),
                     CONDITIONAL_NOT_MODIFIED);
}

static void test_if_none_match(void **state)
{
    (void)state;
    assert_int_equal(
        EVALUATE(.method = METHOD_GET, .if_none_match = {"W/\"a\""}, .etag = "\"a\""),
        CONDITIONAL_NOT_MODIFIED);
    assert_int_equal(EVALUATE(.method = METHOD_GET, .if_none_match = {"\"b\""}, .etag = "\"a\"",
                              .last_modified = THEN),
                     CONDITIONAL_SEND);
    assert_int_equal(
        EVALUATE(.method = METHOD_GET, .if_none_match = {"\"b\"", "\"a\""}, .etag = "\"a\""),
        CONDITIONAL_NOT_MODIFIED);
    assert_int_equal(EVALUATE(.method = METHOD_GET, .if_none_match = {""}, .etag = "\"a\""),
                     CONDITIONAL_SEND);
    assert_int_equal(EVALUATE(.method = METHOD_GET, .if_none_match = {"\"a\""}),
                     CONDITIONAL_SEND);
}

/* conditional-etag-precedence, both ways */
static void test_precedence(void **state)
{
    (void)state;
    assert_int_equal(EVALUATE(.method = METHOD_GET, .if_none_match = {"\"b\""},
                              .if_modified_since = {LATER}, .etag = "\"a\"",
                              .last_modified = THEN),
                     CONDITIONAL_SEND);
    assert_int_equal(EVALUATE(.method = METHOD_GET, .if_none_match = {"\"a\""},
                              .if_modified_since = {EARLIER}, .etag = "\"a\"",
                              .last_modified = THEN),
                     CONDITIONAL_NOT_MODIFIED);
}

static void test_if_modified_since(void **state)
{
    (void)state;
    static const struct {
        const char *since, *last_modified, *date;
        enum conditional expected;
    } cases[] = {
        {THEN, THEN, LATER, CONDITIONAL_NOT_MODIFIED},
        {LATER, THEN, LATER, CONDITIONAL_NOT_MODIFIED}, /* conditional-lm-fresh-earlier */
        {EARLIER, THEN, LATER, CONDITIONAL_SEND},
        {"Sunday, 06-Nov-94 08:49:37 GMT", THEN, LATER, CONDITIONAL_NOT_MODIFIED},
        {"Sun Nov  6 08:49:37 1994", THEN, LATER, CONDITIONAL_NOT_MODIFIED},
        {LATER, NULL, THEN, CONDITIONAL_NOT_MODIFIED}, /* Date stands in */
        {EARLIER, NULL, THEN, CONDITIONAL_SEND},
        {LATER, NULL, NULL, CONDITIONAL_SEND},
        {LATER, "yesterday", EARLIER, CONDITIONAL_SEND},
        {"yesterday", THEN, LATER, CONDITIONAL_SEND},
        {"", THEN, LATER, CONDITIONAL_SEND},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum conditional got =
            EVALUATE(.method = METHOD_GET, .if_modified_since = {cases[i].since},
                     .last_modified = cases[i].last_modified, .date = cases[i].date);
        if (got != cases[i].expected) {
            fail_msg("case %zu: %d instead of %d", i, (int)got, (int)cases[i].expected);
        }
    }
}

static void test_if_modified_since_twice(void **state)
{
    (void)state;
    assert_int_equal(EVALUATE(.method = METHOD_GET, .if_modified_since = {LATER, LATER},
                              .last_modified = THEN),
                     CONDITIONAL_SEND);
}

static void test_if_range(void **state)
{
    (void)state;
    struct str then = STR(THEN), later = STR(LATER);
    assert_true(if_range_match(STR_NULL, STR_NULL, STR_NULL, STR_NULL));
    assert_true(if_range_match(STR("\"a\""), STR("\"a\""), STR_NULL, STR_NULL));
    assert_false(if_range_match(STR("\"a\""), STR("\"b\""), then, later));
    assert_false(if_range_match(STR("W/\"a\""), STR("W/\"a\""), then, later));
    assert_false(if_range_match(STR("\"a\""), STR_NULL, then, later));
    assert_false(if_range_match(STR("a"), STR("a"), then, later));
    assert_false(if_range_match(STR(""), STR(""), then, later));
    assert_false(if_range_match(STR("*"), STR("\"a\""), then, later));
    assert_true(if_range_match(then, STR("\"a\""), then, later));
    assert_true(if_range_match(STR("Sun Nov  6 08:49:37 1994"), STR_NULL, then, later));
    assert_false(if_range_match(later, STR_NULL, then, later)); /* exact match only */
    assert_false(if_range_match(then, STR_NULL, then, then));   /* a weak date */
    assert_true(if_range_match(then, STR_NULL, then, STR("Sun, 06 Nov 1994 08:49:38 GMT")));
    assert_false(if_range_match(then, STR_NULL, then, STR_NULL));
    assert_false(if_range_match(then, STR_NULL, STR_NULL, later));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_etag_valid),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_star),
        cmocka_unit_test(test_malformed_lists),
        cmocka_unit_test(test_malformed_etag_of_the_origin),
        cmocka_unit_test(test_nothing_asked),
        cmocka_unit_test(test_other_methods),
        cmocka_unit_test(test_if_none_match),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_if_modified_since),
        cmocka_unit_test(test_if_modified_since_twice),
        cmocka_unit_test(test_if_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
