/*
 * Cache-Control, targeted fields, Pragma and Age. Names in comments are those of the public
 * cache tests (cc-parse, cc-response, cdn-cache-control, age-parse, pragma).
 */
#include "unit.h"

#include "http/cachectl.h"

static struct arena arena;

static int group_setup(void **state)
{
    (void)state;
    field_table_init();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

/* A message of "Name: value" lines, ended by NULL. */
static struct msg message(int status, const char *const *lines)
{
    struct msg m = {.status = status};
    for (; *lines != NULL; lines++) {
        struct str line = str_from(*lines);
        size_t colon = str_index(line, ':');
        msg_add(&m, &arena, str_make(line.p, colon), str_trim(str_skip(line, colon + 1)));
    }
    return m;
}

#define LINES(...)    ((const char *const[]){__VA_ARGS__, NULL})
#define RESPONSE(...) parse(200, LINES(__VA_ARGS__))
#define REQUEST(...)  parse(0, LINES(__VA_ARGS__))

static struct cachectl parse(int status, const char *const *lines)
{
    struct msg m = message(status, lines);
    struct cachectl cc;
    memset(&cc, 0xee, sizeof(cc));
    cachectl_parse(&m, &arena, &cc);
    return cc;
}

static struct cachectl cc_of(const char *value)
{
    struct msg m = {.status = 200};
    struct cachectl cc;
    msg_add(&m, &arena, STR("cache-control"), str_trim(str_from(value)));
    cachectl_parse(&m, &arena, &cc);
    return cc;
}

/* seconds, -1 when invalid, -2 when absent */
static int64_t delta(struct cc_delta d)
{
    if (!d.valid) {
        assert_int_equal(d.seconds, 0);
    }
    return !d.present ? -2 : d.valid ? d.seconds : -1;
}

static void assert_fields(struct str got, const char *expected)
{
    if (!str_eq(got, str_from(expected)) || (got.p == NULL) != (expected == NULL)) {
        fail_msg("\"%.*s\" instead of %s", STR_ARG(got), expected);
    }
}

/* ---- max-age -------------------------------------------------------------------------------
 */

static void test_max_age_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t expected;
    } cases[] = {
        {"max-age=3600", 3600},
        {"MaX-aGe=3600", 3600},
        {"max-age=0", 0},
        {"max-age=\"3600\"", 3600},   /* freshness-max-age-quoted */
        {"max-age=\"36\\00\"", 3600}, /* a quoted-pair is legal */
        {"max-age='3600'", -1},       /* freshness-max-age-single-quoted */
        {"max-age=003600", 3600},     /* freshness-max-age-leading-zero */
        {"max-age=3600.0", -1},       /* freshness-max-age-decimal-zero */
        {"max-age=3600.5", -1},
        {"max-age =3600", -1}, /* freshness-max-age-space-before-equals */
        {"max-age= 3600", -1},
        {"max-age = 3600", -1},
        {"max-age=a3600", -1},
        {"max-age=3600a", -1},
        {"max-age=-1", -1},
        {"max-age=+1", -1},
        {"max-age=1,5", 1},
        {"max-age", -1},
        {"max-age=", -1},
        {"max-age=\"\"", -1},
        {"max-age=\" 5\"", -1},
        {"max-age=\"5", -1},
        {"max-age=\"5\\\"", -1},
        {"max-age=\"", -1},
        {"max-age=\"5\"x", -1},
        {"max-age=5;x", -1},
        {"max-age=5 6", -1},
        {"max-age:5", -1},
        {"max-age=2147483647", 2147483647},
        {"max-age=2147483648", 2147483648},
        {"max-age=99999999999", 2147483648},
        {"max-age=99999999999999999999999999999999999999", 2147483648},
        {"maxage=5", -2},
        {"xmax-age=5", -2},
        {"=5", -2},
        {"\"max-age=5\"", -2},
        {"", -2},
        {",,", -2},
        {" , max-age=7 ,\t", 7},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t got = delta(cc_of(cases[i].value).max_age);
        if (got != cases[i].expected) {
            fail_msg("%s: %lld", cases[i].value, (long long)got);
        }
    }
}

/* freshness-max-age-ignore-quoted and its kin */
static void test_quoted_strings_hide(void **state)
{
    (void)state;
    assert_int_equal(delta(cc_of("extension=\"max-age=3600\", max-age=1").max_age), 1);
    assert_int_equal(delta(cc_of("max-age=1, extension=\"max-age=3600\"").max_age), 1);
    assert_int_equal(delta(cc_of("extension=\"max-age=3600\", max-age=\"1\"").max_age), 1);
    assert_int_equal(delta(cc_of("x=\"a, max-age=5, b\"").max_age), -2);
    assert_int_equal(delta(cc_of("x=\"a\\\", max-age=5, b\"").max_age), -2);
    assert_int_equal(delta(cc_of("x=\"a\\\\\", max-age=5").max_age), 5);
    assert_false(cc_of("x=\"no-store\"").no_store);
    assert_false(cc_of("x=\"a, no-store, b\"").no_store);
}

/* What is after an unterminated string may restrict, but not permit. */
static void test_unterminated_string(void **state)
{
    (void)state;
    struct cachectl cc = cc_of("max-age=9, x=\"a, s-maxage=5, no-store, public, private");
    assert_int_equal(delta(cc.max_age), 9);
    assert_int_equal(delta(cc.s_maxage), -1);
    assert_true(cc.no_store);
    assert_false(cc.is_public);
    assert_true(cc.is_private);
    cc = RESPONSE("Cache-Control: x=\"a", "Cache-Control: max-age=5");
    assert_int_equal(delta(cc.max_age), 5); /* each line stands for itself */
}

static void test_stray_quotes_hide_nothing(void **state)
{
    (void)state;
    assert_true(cc_of("a\"b, no-store, c\"d").no_store);
    assert_true(cc_of("\"a, no-store, b\"").no_store);
    assert_true(cc_of("x=\"a\"b\", no-store").no_store);
    assert_true(cc_of("no-cache= \"a, b\"").no_cache);
}

/* The most restrictive counts, wherever it stands. */
static void test_repeated(void **state)
{
    (void)state;
    assert_int_equal(delta(cc_of("max-age=1, max-age=1800").max_age), 1);
    assert_int_equal(delta(cc_of("max-age=1800, max-age=1").max_age), 1);
    assert_int_equal(delta(cc_of("max-age=1800, max-age=x").max_age), -1);
    assert_int_equal(delta(cc_of("max-age=x, max-age=1800").max_age), -1);
    assert_int_equal(delta(cc_of("max-age=x, max-age=y").max_age), -1);
    struct cachectl cc = RESPONSE("Cache-Control: max-age=3600", "X: y",
                                  "Cache-Control: max-age=1800, s-maxage=5");
    assert_int_equal(delta(cc.max_age), 1800);
    assert_int_equal(delta(cc.s_maxage), 5);
    assert_int_equal(
        delta(
            cc_of("stale-while-revalidate=5, stale-while-revalidate=3").stale_while_revalidate),
        3);
    assert_int_equal(delta(cc_of("stale-if-error=5").stale_if_error), 5);
}

/* ---- requests ------------------------------------------------------------------------------
 */

static void test_min_fresh(void **state)
{
    (void)state;
    assert_int_equal(delta(cc_of("min-fresh=5").min_fresh), 5);
    assert_int_equal(delta(cc_of("min-fresh=5, min-fresh=9, min-fresh=7").min_fresh), 9);
    assert_int_equal(delta(cc_of("min-fresh=x").min_fresh), -1);
    assert_int_equal(delta(cc_of("min-fresh=x, min-fresh=2").min_fresh), 2);
    assert_int_equal(delta(cc_of("min-fresh=2, min-fresh=x").min_fresh), 2);
}

static void test_max_stale(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t expected;
        bool any;
    } cases[] = {
        {"max-stale", CC_DELTA_MAX, true},
        {"max-stale, max-stale", CC_DELTA_MAX, true},
        {"max-stale=10", 10, false},
        {"max-stale, max-stale=10", 10, false},
        {"max-stale=10, max-stale", 10, false},
        {"max-stale=x", -1, false},
        {"max-stale=x, max-stale", -1, false},
        {"max-stale=", -1, false},
        {"max-age=5", -2, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cachectl cc = cc_of(cases[i].value);
        assert_int_equal(delta(cc.max_stale), cases[i].expected);
        assert_int_equal(cc.any_stale, cases[i].any);
    }
}

static void test_pragma(void **state)
{
    (void)state;
    assert_true(REQUEST("Pragma: no-cache").no_cache);
    assert_true(REQUEST("Pragma: x, NO-CACHE").no_cache);
    assert_false(REQUEST("Pragma: unrecognised-extension").no_cache);
    assert_false(REQUEST("Pragma: no-cache", "Cache-Control: max-age=5").no_cache);
    assert_false(REQUEST("Pragma: no-cache", "Cache-Control:").no_cache);
    assert_false(RESPONSE("Pragma: no-cache").no_cache); /* pragma-response-no-cache */
    assert_false(REQUEST("Pragma: no-cache").any);
}

static void test_request_no_cache_has_no_names(void **state)
{
    (void)state;
    struct cachectl cc = REQUEST("Cache-Control: no-cache=\"a\"");
    assert_true(cc.no_cache);
    assert_null(cc.no_cache_fields.p);
}

/* ---- flags ---------------------------------------------------------------------------------
 */

static void test_flags(void **state)
{
    (void)state;
    assert_true(cc_of("no-store").no_store);
    assert_true(cc_of("nO-StOrE").no_store); /* cc-resp-no-store-case-insensitive */
    assert_true(cc_of("no-transform").no_transform);
    assert_true(cc_of("only-if-cached").only_if_cached);
    assert_true(cc_of("must-revalidate").must_revalidate);
    assert_true(cc_of("proxy-revalidate").proxy_revalidate);
    assert_true(cc_of("must-understand").must_understand);
    assert_true(cc_of("public").is_public);
    assert_true(cc_of("immutable").immutable);
    assert_true(cc_of("private").is_private);
    assert_true(cc_of("No-CaChE").no_cache);
    struct cachectl cc = cc_of("max-age=10000, foo, no-store,must-revalidate , x=y");
    assert_true(cc.no_store && cc.must_revalidate && cc.max_age.valid && cc.any);
    assert_false(cc.is_public || cc.no_cache || cc.is_private || cc.immutable);
}

static void test_nothing(void **state)
{
    (void)state;
    static const struct cachectl empty;
    struct cachectl cc = RESPONSE("Expires: 0");
    assert_false(cc.any);
    assert_int_equal(memcmp(&cc, &empty, sizeof(cc)), 0);
    assert_true(RESPONSE("Cache-Control:").any);
}

static void test_flags_with_arguments(void **state)
{
    (void)state;
    assert_true(cc_of("no-store=1").no_store);
    assert_true(cc_of("no-store=\"a\"").no_store);
    assert_true(cc_of("no-store x").no_store);
    assert_true(cc_of("no-store;x").no_store);
    assert_true(cc_of("must-revalidate=").must_revalidate);
    assert_false(cc_of("public=1").is_public);
    assert_false(cc_of("public x").is_public);
    assert_false(cc_of("immutable=\"x\"").immutable);
    assert_false(cc_of("must-understand=").must_understand);
    assert_false(cc_of("x no-store").no_store);
    assert_false(cc_of("no-storex").no_store);
}

static void test_field_lists(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool all;
        const char *fields;
    } cases[] = {
        {"no-cache=\"a\"", false, "a"},
        {"no-cache=\"a, b\"", false, "a, b"},
        {"no-cache=\" a,,b \"", false, " a,,b "},
        {"no-cache=\"Set\\-Cookie\"", false, "Set-Cookie"},
        {"no-cache=Set-Cookie", false, "Set-Cookie"},
        {"no-cache=\"a\", no-cache=\"b\"", false, "a, b"},
        {"no-cache", true, NULL},
        {"no-cache=\"a\", no-cache", true, NULL},
        {"no-cache, no-cache=\"a\"", true, NULL},
        {"no-cache=\"\"", true, NULL},
        {"no-cache=\",\"", true, NULL},
        {"no-cache=", true, NULL},
        {"no-cache=\"a b\"", true, NULL},
        {"no-cache=\"a\"b", true, NULL},
        {"no-cache=\"a", true, NULL},
        {"max-age=5", false, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cachectl cc = cc_of(cases[i].value);
        assert_int_equal(cc.no_cache, cases[i].all);
        assert_fields(cc.no_cache_fields, cases[i].fields);
    }
    struct cachectl cc = RESPONSE("Cache-Control: private=\"x-user\", no-cache=\"a\"",
                                  "Cache-Control: private=\"y\"");
    assert_fields(cc.private_fields, "x-user, y");
    assert_fields(cc.no_cache_fields, "a");
    assert_false(cc.is_private || cc.no_cache);
}

/* ---- targeted fields -----------------------------------------------------------------------
 */

static enum field_id targeted(const char *const *lines, struct cachectl *cc)
{
    struct msg m = message(200, lines);
    memset(cc, 0xee, sizeof(*cc));
    return cachectl_parse_targeted(&m, &arena, cc);
}

static void test_targeted_choice(void **state)
{
    (void)state;
    struct cachectl cc;
    assert_int_equal(targeted(LINES("CDN-Cache-Control: max-age=3600"), &cc),
                     FIELD_CDN_CACHE_CONTROL);
    assert_int_equal(delta(cc.max_age), 3600);
    assert_true(cc.any);
    assert_int_equal(
        targeted(LINES("CDN-Cache-Control: max-age=3600", "Larder-Cache-Control: no-store"),
                 &cc),
        FIELD_LARDER_CACHE_CONTROL);
    assert_true(cc.no_store);
    assert_false(cc.max_age.present);
    assert_int_equal(
        targeted(LINES("CDN-Cache-Control: max-age=5", "Larder-Cache-Control: &&"), &cc),
        FIELD_CDN_CACHE_CONTROL);
    assert_int_equal(delta(cc.max_age), 5);
    assert_int_equal(
        targeted(LINES("CDN-Cache-Control: max-age=5", "Larder-Cache-Control:"), &cc),
        FIELD_CDN_CACHE_CONTROL);
    assert_int_equal(
        targeted(LINES("CDN-Cache-Control: max-age=5, ext", "CDN-Cache-Control: s-maxage=6"),
                 &cc),
        FIELD_CDN_CACHE_CONTROL);
    assert_int_equal(delta(cc.max_age), 5);
    assert_int_equal(delta(cc.s_maxage), 6);
}

static void test_targeted_invalid(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "CDN-Cache-Control:",
        "CDN-Cache-Control: max-age =100", /* cdn-max-age-space-before-equals */
        "CDN-Cache-Control: max-age= 100",
        "CDN-Cache-Control: MaX-aGe=3600",         /* cdn-max-age-case-insensitive */
        "CDN-Cache-Control: max-age=10000, &&&&&", /* cdn-cc-invalid-sh-type-unknown */
        "CDN-Cache-Control: max-age=10000,",
        "Cache-Control: max-age=5",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cachectl cc;
        if (targeted(LINES(bad[i]), &cc) != FIELD_OTHER) {
            fail_msg("governs: %s", bad[i]);
        }
        assert_false(cc.any || cc.max_age.present);
    }
}

static void test_targeted_deltas(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int64_t expected;
    } cases[] = {
        {"CDN-Cache-Control: max-age=0", 0},
        {"CDN-Cache-Control: max-age=2147483648", 2147483648},
        {"CDN-Cache-Control: max-age=99999999999", 2147483648}, /* cdn-max-age-max-plus */
        {"CDN-Cache-Control: foobar, max-age=3600", 3600},      /* cdn-max-age-extension */
        {"CDN-Cache-Control: max-age=3600;x=y", 3600},
        {"CDN-Cache-Control: max-age=1, max-age=9", 9}, /* the last one, by RFC 8941 */
        {"CDN-Cache-Control: max-age=\"10000\"", -1},   /* cdn-cc-invalid-sh-type-wrong */
        {"CDN-Cache-Control: max-age=1.0", -1},
        {"CDN-Cache-Control: max-age=-1", -1},
        {"CDN-Cache-Control: max-age", -1},
        {"CDN-Cache-Control: max-age=?0", -2},
        {"CDN-Cache-Control: max-age=x", -1},
        {"CDN-Cache-Control: max-age=(1)", -1},
        {"CDN-Cache-Control: max-age=@5", -1},
        {"CDN-Cache-Control: no-store", -2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cachectl cc;
        assert_int_equal(targeted(LINES(cases[i].line), &cc), FIELD_CDN_CACHE_CONTROL);
        if (delta(cc.max_age) != cases[i].expected) {
            fail_msg("%s: %lld", cases[i].line, (long long)delta(cc.max_age));
        }
    }
}

static void test_targeted_flags(void **state)
{
    (void)state;
    struct cachectl cc;
    targeted(LINES("CDN-Cache-Control: private, no-cache, public, must-revalidate=5"), &cc);
    assert_true(cc.is_private && cc.no_cache && cc.is_public && cc.must_revalidate);
    targeted(LINES("CDN-Cache-Control: private=?0, no-store=?0, public=1"), &cc);
    assert_false(cc.is_private || cc.no_store || cc.is_public);
    targeted(LINES("CDN-Cache-Control: private=\"a, b\", no-cache=(\"a\")"), &cc);
    assert_fields(cc.private_fields, "a, b");
    assert_false(cc.is_private);
    assert_true(cc.no_cache);
    targeted(LINES("CDN-Cache-Control: no-cache=Set-Cookie"), &cc);
    assert_true(cc.no_cache); /* a Token is not a list of names (RFC 9213 2.1) */
    targeted(LINES("CDN-Cache-Control: max-stale"), &cc);
    assert_true(cc.any_stale);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_max_age_syntax),
        TEST(test_quoted_strings_hide),
        TEST(test_unterminated_string),
        TEST(test_stray_quotes_hide_nothing),
        TEST(test_repeated),
        TEST(test_min_fresh),
        TEST(test_max_stale),
        TEST(test_pragma),
        TEST(test_request_no_cache_has_no_names),
        TEST(test_flags),
        TEST(test_nothing),
        TEST(test_flags_with_arguments),
        TEST(test_field_lists),
        TEST(test_targeted_choice),
        TEST(test_targeted_invalid),
        TEST(test_targeted_deltas),
        TEST(test_targeted_flags),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
