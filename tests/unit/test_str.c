/*
 * Slices and buffers: bounds, empty and NULL slices, OWS, numbers at the edges of their types.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

static void assert_str(struct str got, const char *want)
{
    if (!str_eq(got, str_from(want))) {
        fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got), want);
    }
}

static void test_make(void **state)
{
    (void)state;
    assert_int_equal(STR("a\0b").n, 3);
    assert_null(str_from(NULL).p);
    assert_int_equal(str_from(NULL).n, 0);
    assert_int_equal(str_from("abc").n, 3);
}

static void test_eq(void **state)
{
    (void)state;
    assert_true(str_eq(STR_NULL, STR("")));
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_false(str_eq(STR("a"), STR("ab")));
    assert_false(str_eq(STR("a"), STR("A")));
}

static void test_ieq_knows_ascii_only(void **state)
{
    (void)state;
    assert_true(str_ieq(STR("Transfer-ENCODING"), STR("transfer-encoding")));
    assert_true(str_ieq(STR_NULL, STR("")));
    assert_false(str_ieq(STR("abc"), STR("ab")));
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            bool letters = (a ^ b) == 0x20 && ((a | 0x20) >= 'a' && (a | 0x20) <= 'z');
            char x = (char)a, y = (char)b;
            if (str_ieq(str_make(&x, 1), str_make(&y, 1)) != (a == b || letters)) {
                fail_msg("0x%02x and 0x%02x", (unsigned)a, (unsigned)b);
            }
        }
    }
}

static void test_cmp(void **state)
{
    (void)state;
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("ab"), STR("a")) > 0);
    assert_true(str_cmp(STR_NULL, STR("")) == 0);
    assert_true(str_cmp(STR_NULL, STR("a")) < 0);
    assert_true(str_cmp(STR("\x7f"), STR("\x80")) < 0); /* bytes are unsigned */
}

static void test_starts(void **state)
{
    (void)state;
    assert_true(str_starts(STR("unix:/x"), STR("unix:")));
    assert_true(str_starts(STR("a"), STR_NULL));
    assert_true(str_starts(STR_NULL, STR("")));
    assert_false(str_starts(STR("un"), STR("unix")));
}

static void test_index(void **state)
{
    (void)state;
    assert_int_equal(str_index(STR("a=b=c"), '='), 1);
    assert_int_equal(str_index(STR("abc"), '='), 3);
    assert_int_equal(str_index(STR_NULL, '='), 0);
    assert_int_equal(str_index(STR("a\0b"), '\0'), 1);
}

static void test_trim_takes_sp_and_htab_only(void **state)
{
    (void)state;
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR(" \t ")), "");
    assert_str(str_trim(STR_NULL), "");
    for (int c = 1; c < 256; c++) {
        char s[3] = {(char)c, 'x', (char)c};
        size_t n = str_trim(str_make(s, 3)).n;
        assert_int_equal(n, c == ' ' || c == '\t' ? 1 : 3);
    }
}

static void test_skip(void **state)
{
    (void)state;
    assert_str(str_skip(STR("abc"), 1), "bc");
    assert_str(str_skip(STR("abc"), 3), "");
    assert_str(str_skip(STR("abc"), SIZE_MAX), "");
    assert_null(str_skip(STR_NULL, 5).p);
}

/* The elements of a list, each in brackets. */
static void assert_elements(struct str list, char sep, const char *want)
{
    char got[128] = "";
    size_t n = 0;
    struct str element;
    while (str_next(&list, sep, &element)) {
        n += (size_t)snprintf(got + n, sizeof(got) - n, "[%.*s]", STR_ARG(element));
    }
    assert_string_equal(got, want);
    assert_false(str_next(&list, sep, &element)); /* stays exhausted */
}

static void test_next(void **state)
{
    (void)state;
    assert_elements(STR("a, b ,c"), ',', "[a][b][c]");
    assert_elements(STR("a"), ',', "[a]");
    assert_elements(STR(""), ',', "[]");
    assert_elements(STR_NULL, ',', "");
    assert_elements(STR(",a,,"), ',', "[][a][][]");
    assert_elements(STR("a;b"), ',', "[a;b]");
    assert_elements(STR(" \t"), ',', "[]");
}

static void test_to_u64(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   "+1", "-1",  " 1",  "1 ",   "0x1",  "1_0",
                                      "1.", "a",  "1e1", "1,2", "\xb2", "1\t5", "1;"};
    uint64_t v = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (str_to_u64(str_from(bad[i]), UINT64_MAX, &v)) {
            fail_msg("accepted \"%s\"", bad[i]);
        }
    }
    assert_false(str_to_u64(STR("1\0"), UINT64_MAX, &v));
    assert_false(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &v));
    assert_false(str_to_u64(STR("18446744073709551621"), UINT64_MAX, &v));
    assert_false(str_to_u64(STR("99999999999999999999999"), UINT64_MAX, &v));
    assert_false(str_to_u64(STR("65536"), 65535, &v));
    assert_int_equal(v, 7); /* untouched on failure */
    assert_true(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    assert_true(str_to_u64(STR("000000000000000000000000000012"), 12, &v));
    assert_int_equal(v, 12);
    assert_true(str_to_u64(STR("0"), 0, &v));
    assert_int_equal(v, 0);
}

static void test_dup(void **state)
{
    (void)state;
    char *copy = str_dup(STR("a\0b"));
    assert_memory_equal(copy, "a\0b", 4);
    free(copy);
    copy = str_dup(STR_NULL);
    assert_string_equal(copy, "");
    free(copy);
}

static void test_hex(void **state)
{
    (void)state;
    static const char digits[] = "0123456789abcdef";
    for (int c = 0; c < 256; c++) {
        char lower = ascii_lower((char)c);
        const char *at = c == 0 ? NULL : strchr(digits, lower);
        assert_int_equal(hex_value((char)c), at != NULL ? (int)(at - digits) : -1);
    }
}

static void test_buffer_grows(void **state)
{
    (void)state;
    struct strbuf b = {0};
    strbuf_add(&b, NULL, 0);
    assert_null(b.p);
    for (int i = 0; i < 1000; i++) {
        strbuf_addf(&b, "%d,", i);
        strbuf_add_char(&b, '\0');
    }
    strbuf_add_str(&b, STR("end"));
    assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4 + 1000 + 3);
    assert_memory_equal(b.p, "0,\0001,\0", 6);
    assert_memory_equal(b.p + b.n - 8, "999,\0end", 8);
    strbuf_free(&b);
    assert_null(b.p);
    assert_int_equal(b.n, 0);
    strbuf_add_char(&b, 'x'); /* usable again */
    assert_str(strbuf_str(&b), "x");
    strbuf_free(&b);
}

static void test_buffer_consume(void **state)
{
    (void)state;
    struct strbuf b = {0};
    strbuf_consume(&b, 0);
    strbuf_add_str(&b, STR("hello world"));
    strbuf_consume(&b, 6);
    assert_str(strbuf_str(&b), "world");
    strbuf_consume(&b, 5);
    assert_int_equal(b.n, 0);
    strbuf_free(&b);
}

static void test_addf_longer_than_the_buffer(void **state)
{
    (void)state;
    struct strbuf b = {0};
    char text[301];
    memset(text, 'x', 300);
    text[300] = '\0';
    strbuf_addf(&b, "%s", "");
    assert_int_equal(b.n, 0);
    strbuf_addf(&b, "%s|%s", text, text);
    assert_int_equal(b.n, 601);
    assert_int_equal(b.p[300], '|');
    strbuf_free(&b);
}

static void test_u64_to_dec(void **state)
{
    (void)state;
    static const uint64_t values[] = {
        0, 9, 10, 4294967295, 10000000000, 9223372036854775807u, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char got[20], want[24];
        size_t n = u64_to_dec(values[i], got);
        snprintf(want, sizeof(want), "%llu", (unsigned long long)values[i]);
        assert_str(str_make(got, n), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_eq),
        cmocka_unit_test(test_ieq_knows_ascii_only),
        cmocka_unit_test(test_cmp),
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_trim_takes_sp_and_htab_only),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_to_u64),
        cmocka_unit_test(test_dup),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_buffer_grows),
        cmocka_unit_test(test_buffer_consume),
        cmocka_unit_test(test_addf_longer_than_the_buffer),
        cmocka_unit_test(test_u64_to_dec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
