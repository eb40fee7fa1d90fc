/*
 * Tokens: every byte against the list of RFC 9110 5.6.2.
 */
#include "unit.h"

#include "http/token.h"

static void test_alphabet(void **state)
{
    (void)state;
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789"
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int c = 0; c < 256; c++) {
        bool expected = c != 0 && strchr(tchars, c) != NULL;
        if (token_char((char)c) != expected) {
            fail_msg("byte 0x%02x", (unsigned)c);
        }
    }
}

static void test_valid(void **state)
{
    (void)state;
    assert_true(token_valid(STR("max-age")));
    assert_false(token_valid(STR("")));
    assert_false(token_valid(STR_NULL));
    assert_false(token_valid(STR("max age")));
    assert_false(token_valid(STR("max-age ")));
    assert_false(token_valid(STR("a\0b")));
    assert_false(token_valid(STR("\xc3\xa9")));
}

static void test_span(void **state)
{
    (void)state;
    assert_int_equal(token_span(STR("max-age=5")), 7);
    assert_int_equal(token_span(STR("=5")), 0);
    assert_int_equal(token_span(STR("")), 0);
    assert_int_equal(token_span(STR("all")), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alphabet),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
