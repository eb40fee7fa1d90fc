/*
 * Vary: reading the names, canonical values, and the text of a variant. Names in comments are
 * those of the public cache tests (vary, vary-parse).
 */
#include "unit.h"

#include <stdio.h>

#include "http/vary.h"

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
static struct msg message(const char *const *lines)
{
    struct msg m = {.method = METHOD_GET};
    for (; *lines != NULL; lines++) {
        struct str line = str_from(*lines);
        size_t colon = str_index(line, ':');
        msg_add(&m, &arena, str_make(line.p, colon), str_trim(str_skip(line, colon + 1)));
    }
    return m;
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The names joined with ",", or "*". */
static void assert_names(const char *const *lines, const char *expected)
{
    struct msg m = message(lines);
    struct vary_spec spec, again;
    bool usable = vary_parse(&m, &arena, &spec);
    assert_int_equal(usable, !spec.star);
    struct str list = vary_list(&spec, &arena);
    if (!str_eq(usable ? list : STR("*"), str_from(expected))) {
        fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(list), expected);
    }
    assert_true(usable || spec.n == 0);
    assert_true(vary_parse_list(list, &arena, &again));
    assert_true(str_eq(vary_list(&again, &arena), list));
}

/* Canonical value of the field as text; "(absent)". */
static const char *value_of(const char *name, const char *const *lines)
{
    struct msg m = message(lines);
    struct str v = vary_value(str_from(name), &m, &arena);
    return v.p == NULL ? "(absent)" : arena_dup(&arena, v).p;
}

static void assert_value(const char *name, const char *const *lines, const char *expected)
{
    assert_string_equal(value_of(name, lines), expected);
}

/* ---- names ---------------------------------------------------------------------------------
 */

static void test_names(void **state)
{
    (void)state;
    assert_names(LINES("Date: x"), "");
    assert_names(LINES("Vary:"), "");
    assert_names(LINES("Vary: Foo"), "foo");
    assert_names(LINES("Vary: Foo, Bar,baz"), "bar,baz,foo");
    assert_names(LINES("Vary: Foo", "X: y", "Vary: Bar , foo,, FOO"), "bar,foo");
    assert_names(LINES("Vary: accept-encoding, Accept"), "accept,accept-encoding");
}

static void test_star(void **state)
{
    (void)state;
    assert_names(LINES("Vary: *"), "*");            /* vary-syntax-star */
    assert_names(LINES("Vary: *, *"), "*");         /* -star-star */
    assert_names(LINES("Vary: *", "Vary: *"), "*"); /* -star-star-lines */
    assert_names(LINES("Vary: , *"), "*");          /* -empty-star */
    assert_names(LINES("Vary:", "Vary: *"), "*");   /* -empty-star-lines */
    assert_names(LINES("Vary: *, Foo"), "*");       /* -star-foo */
    assert_names(LINES("Vary: Foo, *"), "*");       /* -foo-star */
    assert_names(LINES("Vary: Foo", "Vary: x,*"), "*");
    assert_names(LINES("Vary: *", "Vary: Foo"), "*");
}

static void test_malformed_names(void **state)
{
    (void)state;
    assert_names(LINES("Vary: Foo Bar"), "*");
    assert_names(LINES("Vary: Foo; Bar"), "*");
    assert_names(LINES("Vary: \"Foo\""), "*");
    assert_names(LINES("Vary: F\xc3\xa9"), "*");
}

static void test_too_many_names(void **state)
{
    (void)state;
    struct strbuf b = {0};
    struct vary_spec spec;
    for (int i = 0; i < VARY_MAX; i++) {
        strbuf_addf(&b, "h%02d, H%02d,", i, i);
    }
    assert_true(vary_parse_list(strbuf_str(&b), &arena, &spec));
    assert_int_equal(spec.n, VARY_MAX);
    assert_true(str_eq(spec.names[0], STR("h00")));
    assert_true(str_eq(spec.names[VARY_MAX - 1], STR("h31")));
    strbuf_addf(&b, "one-more");
    assert_false(vary_parse_list(strbuf_str(&b), &arena, &spec));
    assert_true(spec.star);
    assert_int_equal(spec.n, 0);
    strbuf_free(&b);
}

/* ---- Accept-Encoding -----------------------------------------------------------------------
 */

static void test_accept_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool gzip;
    } cases[] = {
        {"gzip", true},
        {"GZip", true},
        {"x-gzip", true},
        {"gzip, deflate, br, zstd", true},
        {"br;q=1.0, gzip;q=0.8, *;q=0.1", true},
        {"deflate , gzip", true},
        {"*", true},
        {"*;q=0.001", true},
        {"gzip;q=0.5", true},
        {"gzip ; Q=1", true},
        {"gzip;q=1.000", true},
        {"gzip;q=0.", false},
        {"gzip;q=1.", true},
        {"identity, gzip", true},
        {"identity;q=0.5, gzip;q=0.5", true},
        {"identity;q=0, gzip", true},
        {"", false},
        {"br", false},
        {"deflate", false},
        {"identity", false},
        {"gzip;q=0", false},
        {"gzip;q=0.000", false},
        {"*;q=0", false},
        {"*, gzip;q=0", false},
        {"gzip;q=0, gzip", false},
        {"gzip, gzip;q=0", false},
        {"identity;q=1, gzip;q=0.5", false},
        {"identity, *;q=0.5", false},
        {"gzip;q=2", false},
        {"gzip;q=1.001", false},
        {"gzip;q=0.0001", false},
        {"gzip;q=0.5x", false},
        {"gzip;q=x", false},
        {"gzip;q=-1", false},
        {"gzip;q=0,5", false},
        {"gzip;q", false},
        {"gzip;", false},
        {"gzip;q=", false},
        {"gzip;level=9", false},
        {"gzip;q=1.0;x=y", false},
        {"gzip;p=1", false},
        {"gzipx", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msg m = {.method = METHOD_GET};
        msg_add(&m, &arena, STR("Accept-Encoding"), str_from(cases[i].value));
        if (request_accepts_gzip(&m) != cases[i].gzip) {
            fail_msg("%s", cases[i].value);
        }
    }
    assert_value("accept-encoding", LINES("X: y"), "identity");
    assert_value("accept-encoding", LINES("Accept-Encoding: br, gzip"), "gzip");
    assert_value("accept-encoding", LINES("Accept-Encoding: br", "accept-encoding: gzip"),
                 "gzip");
}

/* ---- Accept-Language -----------------------------------------------------------------------
 */

static void test_accept_language(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *expected;
    } cases[] = {
        {"en, de", "de,en"},
        {"de, en", "de,en"},     /* vary-normalise-lang-order */
        {"eN, De", "de,en"},     /* -lang-case */
        {" en ,   de", "de,en"}, /* -lang-space */
        {"en,,de,", "de,en"},
        {"en, de, EN", "de,en"},
        {"", ""},
        {",", ""},
        {"fr;q=0.5, de;q=1.0", "de,fr;q=0.5"},
        {"de, fr ; q=0.50", "de,fr;q=0.5"},
        {"en-US,en;q=0.9,de;q=0.125", "en-us,en;q=0.9,de;q=0.125"},
        {"de;q=0.8, en;q=0.90", "en;q=0.9,de;q=0.8"},
        {"de;q=0.01, en;q=0.010", "de;q=0.01,en;q=0.01"},
        {"*", "*"},
        {"en, *;q=0.1", "en,*;q=0.1"},
        /* what is refused is said only where it would be taken otherwise */
        {"en, de;q=0", "en"},
        {"en, de;q=0.000", "en"},
        {"*, de;q=0", "*,de;q=0"},
        {"en, en-GB;q=0", "en,en-gb;q=0"},
        {"en, english;q=0", "en"},
        {"en, en;q=0", "en,en;q=0"},
        {"*-ch, de-ch;q=0", "*-ch,de-ch;q=0"},
        {"de;q=0, fr;q=0", "de;q=0,fr;q=0"},
        /* not what the RFC says: a plain list */
        {"en;q=2, de", "en;q=2,de"},
        {"en;x=y , de", "en;x=y,de"},
        {"De, en_US", "De,en_US"},
        {"de;q=0.1234", "de;q=0.1234"},
        {";q=1", ";q=1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msg m = {.method = METHOD_GET};
        msg_add(&m, &arena, STR("Accept-Language"), str_trim(str_from(cases[i].value)));
        struct str got = vary_value(STR("accept-language"), &m, &arena);
        if (got.p == NULL || !str_eq(got, str_from(cases[i].expected))) {
            fail_msg("%s: %.*s instead of %s", cases[i].value, STR_ARG(got), cases[i].expected);
        }
        /* a canonical value is its own canonical form */
        m.fields[0].value = got;
        assert_true(str_eq(got, vary_value(STR("accept-language"), &m, &arena)));
    }
    assert_value("accept-language", LINES("Accept-Language: de", "Accept-Language: en"),
                 "de,en");
    assert_value("accept-language", LINES("X: y"), "(absent)");
}

static void test_many_languages(void **state)
{
    (void)state;
    struct strbuf b = {0};
    for (int i = 0; i < 40; i++) {
        strbuf_addf(&b, "%sL%02d", i > 0 ? ", " : "", 39 - i);
    }
    struct msg m = {.method = METHOD_GET};
    msg_add(&m, &arena, STR("Accept-Language"), strbuf_str(&b));
    struct str got = vary_value(STR("accept-language"), &m, &arena);
    assert_true(str_starts(got, STR("L39,L38,")));
    assert_int_equal(got.n, 40 * 4 - 1);
    strbuf_free(&b);
}

static void test_preferred_language(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *expected; /* "": none */
    } cases[] = {
        {"de", "de"},
        {"DE-at", "de-at"},
        {"fr;q=0.5, de;q=1.0", "de"},
        {"fr;q=0.5, en;q=0.6, *;q=0.1", "en"},
        {"de;q=0.1", "de"},
        {"en, de", ""}, /* alike */
        {"en;q=0.5, de;q=0.5", ""},
        {"*", ""},
        {"*, de;q=0.9", ""},
        {"de-*", ""},
        {"de;q=0", ""},
        {"de;q=2", ""}, /* not what the RFC says */
        {"de_AT", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msg m = {.method = METHOD_GET};
        msg_add(&m, &arena, STR("Accept-Language"), str_from(cases[i].value));
        struct str got = request_language(&m, &arena);
        if (!str_eq(got, str_from(cases[i].expected))) {
            fail_msg("%s: \"%.*s\"", cases[i].value, STR_ARG(got));
        }
    }
    struct msg lines = message(LINES("Accept-Language: en;q=0.1", "accept-language: de"));
    assert_true(str_eq(request_language(&lines, &arena), STR("de")));
    struct msg none = message(LINES("X: y"));
    assert_null(request_language(&none, &arena).p);
}

/* ---- other fields --------------------------------------------------------------------------
 */

static void test_lists(void **state)
{
    (void)state;
    assert_value("foo", LINES("Foo: 1,2"), "1,2");
    assert_value("foo", LINES("Foo:  1, 2 "), "1,2");      /* vary-normalise-space */
    assert_value("foo", LINES("Foo: 1", "Foo: 2"), "1,2"); /* vary-normalise-combine */
    assert_value("foo", LINES("FOO: 1", "X: y", "foo: 2\t,3"), "1,2,3");
    assert_value("foo", LINES("Foo: a b ,\t c  d"), "a b,c  d");
    assert_value("foo", LINES("Foo: 1,,2, ,3,"), "1,,2,,3,");
    assert_value("foo", LINES("Foo: A"), "A");
    assert_value("accept", LINES("Accept: text/html , */*;q=0.1"), "text/html,*/*;q=0.1");
}

static void test_absent_and_empty(void **state)
{
    (void)state;
    assert_value("foo", LINES("X: y"), "(absent)");
    assert_value("foo", LINES("Foo:"), "");
    assert_value("foo", LINES("Foo:", "Foo: x"), ",x");
    assert_value("cookie", LINES("X: y"), "(absent)");
    assert_value("cookie", LINES("Cookie:"), "");
}

static void test_quoted_strings_are_kept(void **state)
{
    (void)state;
    assert_value("foo", LINES("Foo: \"a , b\" , c"), "\"a , b\",c");
    assert_value("foo", LINES("Foo: \"a \\\" , b\" , c"), "\"a \\\" , b\",c");
    assert_value("foo", LINES("Foo: x=\"a , b"), "x=\"a , b");
    /* a string that goes on in the next line, as RFC 9110 5.3 combines them */
    assert_value("foo", LINES("Foo: x=\"a", "Foo: b , c\" , d"), "x=\"a, b , c\",d");
    assert_value("foo", LINES("Foo: x=\"a , b\\"), "x=\"a , b\\");
}

/* Commas in these are data, or nobody knows. */
static void test_other_known_fields_stay(void **state)
{
    (void)state;
    assert_value("user-agent", LINES("User-Agent: M (KHTML, like Gecko)"),
                 "M (KHTML, like Gecko)");
    assert_value("cookie", LINES("Cookie: a=1; b=2, 3"), "a=1; b=2, 3");
    assert_value("cookie", LINES("Cookie: a=1", "Cookie: b=2"), "a=1\nb=2");
    assert_value("cookie", LINES("Cookie:", "Cookie: b=2"), "\nb=2");
}

/* ---- the variant's text --------------------------------------------------------------------
 */

static struct str variant(const char *names, const char *const *lines)
{
    struct vary_spec spec;
    struct strbuf b = {0};
    struct msg m = message(lines);
    assert_true(vary_parse_list(str_from(names), &arena, &spec));
    vary_variant_text(&spec, &m, &arena, &b);
    struct str text = arena_dup(&arena, strbuf_str(&b));
    strbuf_free(&b);
    return text;
}

static void test_variant_text(void **state)
{
    (void)state;
    assert_true(str_eq(variant("", LINES("Foo: 1")), STR("")));
    assert_true(str_eq(variant("foo,bar", LINES("Foo: 1, 2")), STR("bar\nfoo=3:1,2\n")));
    assert_true(str_eq(variant("Foo", LINES("Foo:")), STR("foo=0:\n")));
    assert_true(
        str_eq(variant("accept-encoding", LINES("X: y")), STR("accept-encoding=8:identity\n")));
}

static void test_variants_differ(void **state)
{
    (void)state;
    const struct str texts[] = {
        variant("foo", LINES("X: y")),
        variant("foo", LINES("Foo:")),
        variant("foo", LINES("Foo: 1")),
        variant("foo", LINES("Foo: 2")),
        variant("foo", LINES("Foo: 1", "Foo: 2")),
        variant("foo,bar", LINES("Foo: 1")),
        variant("foo,bar", LINES("Bar: 1")),
        variant("foo,bar", LINES("Foo: 1", "Bar:")),
        variant("foo,bar", LINES("Foo: 1=", "Bar: x")),
        variant("foo,bar", LINES("Foo: 1", "Bar: =x")),
        variant("bar", LINES("Bar: 3:1\nfoo=1:1")),
        variant("bar,foo", LINES("Bar: 3:1", "Foo: 1")),
    };
    size_t n = sizeof(texts) / sizeof(texts[0]);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            if (str_eq(texts[i], texts[k])) {
                fail_msg("%zu and %zu are one: %.*s", i, k, STR_ARG(texts[i]));
            }
        }
    }
}

static void test_variants_match(void **state)
{
    (void)state;
    assert_true(str_eq(variant("foo,bar", LINES("Foo: 1", "Bar: a, b", "Other: 2")),
                       variant("Bar, Foo", LINES("bar: a", "Other: 3", "bar: b", "foo: 1"))));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_star),
        TEST(test_malformed_names),
        TEST(test_too_many_names),
        TEST(test_accept_encoding),
        TEST(test_accept_language),
        TEST(test_many_languages),
        TEST(test_preferred_language),
        TEST(test_lists),
        TEST(test_absent_and_empty),
        TEST(test_quoted_strings_are_kept),
        TEST(test_other_known_fields_stay),
        TEST(test_variant_text),
        TEST(test_variants_differ),
        TEST(test_variants_match),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
