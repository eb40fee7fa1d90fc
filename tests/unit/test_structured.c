/*
 * Structured fields: the grammar of RFC 8941 and RFC 9651 member by member, what is invalid,
 * and the limits.
 */
#include "unit.h"

#include <stdio.h>

#include "http/structured.h"

static struct arena arena;

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

/* A value as text that shows its type: i5 d1500 "s" t:tok y:base64 b1 @5 (…). */
static void describe(struct strbuf *b, const struct sf_value *v)
{
    switch (v->type) {
    case SF_INTEGER: strbuf_addf(b, "i%lld", (long long)v->number); break;
    case SF_DECIMAL: strbuf_addf(b, "d%lld", (long long)v->number); break;
    case SF_BOOLEAN: strbuf_addf(b, "b%lld", (long long)v->number); break;
    case SF_DATE: strbuf_addf(b, "@%lld", (long long)v->number); break;
    case SF_STRING: strbuf_addf(b, "\"%.*s\"", STR_ARG(v->text)); break;
    case SF_TOKEN: strbuf_addf(b, "t:%.*s", STR_ARG(v->text)); break;
    case SF_BYTES: strbuf_addf(b, "y:%.*s", STR_ARG(v->text)); break;
    case SF_INNER_LIST:
        strbuf_add_char(b, '(');
        for (size_t i = 0; i < v->n_items; i++) {
            strbuf_add_str(b, i > 0 ? STR(" ") : STR(""));
            describe(b, &v->items[i]);
        }
        strbuf_add_char(b, ')');
        break;
    }
}

static void assert_dictionary(struct str value, const char *expected)
{
    struct strbuf b = {0};
    struct sf_member *members;
    int n = sf_dictionary_parse(value, &arena, &members);
    if (n < 0) {
        strbuf_addf(&b, "invalid");
    }
    for (int i = 0; i < n; i++) {
        strbuf_addf(&b, "%s%.*s=", i > 0 ? " " : "", STR_ARG(members[i].key));
        describe(&b, &members[i].value);
    }
    bool same = str_eq(strbuf_str(&b), str_from(expected));
    if (!same) {
        print_error("%.*s: %.*s instead of %s\n", STR_ARG(value), STR_ARG(strbuf_str(&b)),
                    expected);
    }
    strbuf_free(&b);
    assert_true(same);
}

static void assert_invalid(struct str value)
{
    assert_dictionary(value, "invalid");
}

static void test_empty(void **state)
{
    (void)state;
    assert_dictionary(STR(""), "");
    assert_dictionary(STR_NULL, "");
    assert_dictionary(STR("   "), "");
}

static void test_numbers(void **state)
{
    (void)state;
    assert_dictionary(STR("a=0, b=-5, c=007"), "a=i0 b=i-5 c=i7");
    assert_dictionary(STR("a=999999999999999"), "a=i999999999999999");
    assert_dictionary(STR("a=-999999999999999"), "a=i-999999999999999");
    assert_dictionary(STR("a=1.5, b=-0.25, c=0.001, d=999999999999.999"),
                      "a=d1500 b=d-250 c=d1 d=d999999999999999");
    assert_invalid(STR("a=1000000000000000"));
    assert_invalid(STR("a=1."));
    assert_invalid(STR("a=.5"));
    assert_invalid(STR("a=1.2345"));
    assert_invalid(STR("a=1234567890123.0"));
    assert_invalid(STR("a=-"));
    assert_invalid(STR("a=--1"));
    assert_invalid(STR("a=+1"));
    assert_invalid(STR("a=- 1"));
    assert_invalid(STR("a=1.2.3"));
    assert_invalid(STR("a=1x"));
}

static void test_strings(void **state)
{
    (void)state;
    assert_dictionary(STR("a=\"\", b=\"x, y\""), "a=\"\" b=\"x, y\"");
    assert_dictionary(STR("a=\"q\\\"b\\\\s\", b=\"~ \""), "a=\"q\"b\\s\" b=\"~ \"");
    assert_dictionary(STR("a=\"\\\"\""), "a=\"\"\"");
    assert_invalid(STR("a=\""));
    assert_invalid(STR("a=\"x"));
    assert_invalid(STR("a=\"x\\"));
    assert_invalid(STR("a=\"x\\n\""));
    assert_invalid(STR("a=\"x\ty\""));
    assert_invalid(STR("a=\"x\x7f\""));
    assert_invalid(STR("a=\"\xc3\xa9\""));
    assert_invalid(STR("a='x'"));
}

static void test_tokens_bytes_booleans_dates(void **state)
{
    (void)state;
    assert_dictionary(STR("a=foo, b=*, c=A/b:c!#$%&'*+-.^_`|~9"),
                      "a=t:foo b=t:* c=t:A/b:c!#$%&'*+-.^_`|~9");
    assert_dictionary(STR("a=:aGVsbG8=:, b=::, c=:+/:"), "a=y:aGVsbG8= b=y: c=y:+/");
    assert_dictionary(STR("a=?1, b=?0, c"), "a=b1 b=b0 c=b1");
    assert_dictionary(STR("a=@1659578233, b=@-5"), "a=@1659578233 b=@-5");
    assert_invalid(STR("a=:aGVs"));
    assert_invalid(STR("a=:aG Vs:"));
    assert_invalid(STR("a=:a_:"));
    assert_invalid(STR("a=?"));
    assert_invalid(STR("a=?2"));
    assert_invalid(STR("a=?true"));
    assert_invalid(STR("a=@1.5"));
    assert_invalid(STR("a=@"));
    assert_invalid(STR("a=%\"x\""));
}

static void test_inner_lists(void **state)
{
    (void)state;
    assert_dictionary(STR("a=(), b=( ), c=(1 \"x\"  t )"), "a=() b=() c=(i1 \"x\" t:t)");
    assert_dictionary(STR("a=(1;q=5 2;r);s=?0, b"), "a=(i1 i2) b=b1");
    assert_dictionary(STR("a=(1 2 3 4 5 6 7 8 9 10)"), "a=(i1 i2 i3 i4 i5 i6 i7 i8 i9 i10)");
    assert_invalid(STR("a=("));
    assert_invalid(STR("a=(1"));
    assert_invalid(STR("a=(1 "));
    assert_invalid(STR("a=(1,2)"));
    assert_invalid(STR("a=(1\t2)"));
    assert_invalid(STR("a=(\"x\"\"y\")"));
    assert_invalid(STR("a=((1))"));
    assert_invalid(STR("a=(1;)"));
    assert_invalid(STR("a=(1);"));
    assert_invalid(STR("a=)"));
}

static void test_parameters(void **state)
{
    (void)state;
    assert_dictionary(STR("a=1;x;y=2; z=\"s\";*k=:YQ==:, b;q=1.5"), "a=i1 b=b1");
    assert_invalid(STR("a=1;"));
    assert_invalid(STR("a=1;X=1"));
    assert_invalid(STR("a=1;x="));
    assert_invalid(STR("a=1;x=(1)"));
    assert_invalid(STR("a=1 ;x"));
    assert_invalid(STR("a=1;\tx"));
    assert_invalid(STR("a;"));
}

static void test_keys_and_commas(void **state)
{
    (void)state;
    assert_dictionary(STR("max-age=5,*a_b-c.d*9=1"), "max-age=i5 *a_b-c.d*9=i1");
    assert_dictionary(STR(" a=1 \t,\t b=2 "), "a=i1 b=i2");
    assert_dictionary(STR("a=1, b=2, a=3"), "a=i3 b=i2");
    assert_dictionary(STR("a=1, b=2, a"), "a=b1 b=i2");
    assert_invalid(STR("A=1"));
    assert_invalid(STR("MaX-aGe=3600")); /* cdn-max-age-case-insensitive */
    assert_invalid(STR("1a"));
    assert_invalid(STR("-a"));
    assert_invalid(STR("a=1,"));
    assert_invalid(STR("a=1, "));
    assert_invalid(STR(",a=1"));
    assert_invalid(STR("a=1,,b=2"));
    assert_invalid(STR("a=1 b=2"));
    assert_invalid(STR("a=1;b=2 c"));
    assert_invalid(STR("a ="));
    assert_invalid(STR("max-age =100")); /* cdn-max-age-space-before-equals */
    assert_invalid(STR("max-age= 100")); /* cdn-max-age-space-after-equals */
    assert_invalid(STR("a="));
    assert_invalid(STR("a=1\0"));
    assert_invalid(STR("\ta=1"));
    assert_invalid(STR("max-age=10000, &&&&&")); /* cdn-cc-invalid-sh-type-unknown */
}

static void test_member_limit(void **state)
{
    (void)state;
    struct strbuf b = {0};
    struct sf_member *members;
    for (int i = 0; i < SF_MAX_MEMBERS; i++) {
        strbuf_addf(&b, "%sk%d=%d", i > 0 ? "," : "", i, i);
    }
    assert_int_equal(sf_dictionary_parse(strbuf_str(&b), &arena, &members), SF_MAX_MEMBERS);
    assert_int_equal(members[SF_MAX_MEMBERS - 1].value.number, SF_MAX_MEMBERS - 1);
    size_t full = b.n;
    strbuf_addf(&b, ",k7=70");
    assert_int_equal(sf_dictionary_parse(strbuf_str(&b), &arena, &members), SF_MAX_MEMBERS);
    assert_int_equal(members[7].value.number, 70);
    b.n = full;
    strbuf_addf(&b, ",k%d", SF_MAX_MEMBERS);
    assert_int_equal(sf_dictionary_parse(strbuf_str(&b), &arena, &members), -1);

    b.n = 0;
    strbuf_addf(&b, "a=(");
    for (int i = 0; i < SF_MAX_MEMBERS; i++) {
        strbuf_addf(&b, "1 ");
    }
    strbuf_addf(&b, ")");
    assert_int_equal(sf_dictionary_parse(strbuf_str(&b), &arena, &members), 1);
    assert_int_equal(members[0].value.n_items, SF_MAX_MEMBERS);
    b.n--;
    strbuf_addf(&b, "1)");
    assert_int_equal(sf_dictionary_parse(strbuf_str(&b), &arena, &members), -1);
    strbuf_free(&b);
}

/* The strings joined with "|", or "invalid". */
static void assert_strings(struct str value, const char *expected)
{
    struct str *strings;
    char text[256] = "invalid";
    int n = sf_string_list_parse(value, &arena, &strings);
    size_t at = 0;
    text[0] = n < 0 ? 'i' : '\0';
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s", i > 0 ? "|" : "",
                               STR_ARG(strings[i]));
    }
    if (strcmp(text, expected) != 0) {
        fail_msg("%.*s: %s instead of %s", STR_ARG(value), text, expected);
    }
}

static void test_string_list(void **state)
{
    (void)state;
    assert_strings(STR(""), "");
    assert_strings(STR("\"a\""), "a");
    assert_strings(STR("\"a\", \"b c\";x=1 ,\"\", \"a\""), "a|b c||a");
    assert_strings(STR("\"scripts\\\"\""), "scripts\"");
    assert_strings(STR("a"), "invalid");
    assert_strings(STR("\"a\", 1"), "invalid");
    assert_strings(STR("(\"a\")"), "invalid");
    assert_strings(STR("\"a\","), "invalid");
    assert_strings(STR("\"a\" \"b\""), "invalid");
    assert_strings(STR("\"a"), "invalid");
    assert_strings(STR("\"a\";"), "invalid");
    struct strbuf b = {0};
    struct str *strings;
    for (int i = 0; i < SF_MAX_MEMBERS; i++) {
        strbuf_addf(&b, "%s\"\"", i > 0 ? "," : "");
    }
    assert_int_equal(sf_string_list_parse(strbuf_str(&b), &arena, &strings), SF_MAX_MEMBERS);
    strbuf_addf(&b, ",\"\"");
    assert_int_equal(sf_string_list_parse(strbuf_str(&b), &arena, &strings), -1);
    strbuf_free(&b);
}

static void test_write(void **state)
{
    (void)state;
    struct strbuf b = {0};
    sf_string_write(&b, STR("no-org"));
    sf_string_write(&b, STR(""));
    sf_string_write(&b, STR("a\"b\\c\r\n\0\x7f\xe9"));
    assert_true(str_eq(strbuf_str(&b), STR("\"no-org\"\"\"\"a\\\"b\\\\c?????\"")));
    strbuf_free(&b);
}

/* What is written is read back. */
static void test_round_trip(void **state)
{
    (void)state;
    struct str text = STR(" !\"#\\\\\"x, y;z=(~");
    struct strbuf b = {0};
    struct str *strings;
    sf_string_write(&b, text);
    assert_int_equal(sf_string_list_parse(strbuf_str(&b), &arena, &strings), 1);
    assert_true(str_eq(strings[0], text));
    strbuf_free(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_empty),           TEST(test_numbers),
        TEST(test_strings),         TEST(test_tokens_bytes_booleans_dates),
        TEST(test_inner_lists),     TEST(test_parameters),
        TEST(test_keys_and_commas), TEST(test_member_limit),
        TEST(test_string_list),     TEST(test_write),
        TEST(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
