/*
 * base/base64url: the RFC 4648 vectors, round trips of every length, and the spellings that a
 * lenient decoder would take for the same bytes.
 */
#include "unit.h"

#include "base/base64url.h"

static void decodes(const char *text, const char *bytes)
{
    uint8_t out[64];
    size_t n = 99;
    assert_true(base64url_decode(str_from(text), out, sizeof(out), &n));
    assert_int_equal(n, strlen(bytes));
    assert_memory_equal(out, bytes, n);
    char back[96];
    size_t back_n = base64url_encode(out, n, back);
    assert_int_equal(back_n, strlen(text));
    assert_int_equal(back_n, BASE64URL_ENCODED(n));
    assert_memory_equal(back, text, back_n);
}

static void test_vectors(void **state)
{
    (void)state;
    decodes("", "");
    decodes("Zg", "f");
    decodes("Zm8", "fo");
    decodes("Zm9v", "foo");
    decodes("Zm9vYg", "foob");
    decodes("Zm9vYmE", "fooba");
    decodes("Zm9vYmFy", "foobar");
    decodes("-_-_", "\xfb\xff\xbf");
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z",    "Zg==", "Zm8=",   "Zm9v=",  "=",       "Zm9vY",  "Zh",    "Zm9",  "Zm9vYh",
        "Zm+v", "Zm/v", " Zm9v",  "Zm9v ",  "Zm9v\n",  "Zm\n9v", "Zm9v.", "Zm9*", "\xff\xff",
        "Z g",  "A===", "Zm9v\t", "Zm9v\r", "Zm8\x80", "____-",  "{}{}",  "A",    "AB",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t out[64];
        size_t n = 99;
        if (base64url_decode(str_from(bad[i]), out, sizeof(out), &n)) {
            fail_msg("accepted: \"%s\"", bad[i]);
        }
        assert_int_equal(n, 0);
    }
    size_t n;
    uint8_t out[8];
    assert_false(base64url_decode(str_make("Zm9\0", 4), out, sizeof(out), &n));
}

/* Exactly one of the 64 last characters of a short group is canonical for each bit pattern. */
static void test_trailing_bits(void **state)
{
    (void)state;
    uint8_t out[4];
    size_t n;
    unsigned two = 0;
    unsigned three = 0;
    for (int c = 0; c < 256; c++) {
        char text[3] = {'A', (char)c, 0};
        two += base64url_decode(str_make(text, 2), out, sizeof(out), &n);
        char longer[3] = {'A', 'A', (char)c};
        three += base64url_decode(str_make(longer, 3), out, sizeof(out), &n);
    }
    assert_int_equal(two, 4);
    assert_int_equal(three, 16);
}

static void test_room(void **state)
{
    (void)state;
    uint8_t out[3] = {7, 7, 7};
    size_t n;
    assert_false(base64url_decode(STR("Zm9vYg"), out, 3, &n));
    assert_false(base64url_decode(STR("Zm9v"), out, 2, &n));
    assert_int_equal(out[2], 7);
    assert_true(base64url_decode(STR("Zm9v"), out, 3, &n));
    assert_int_equal(n, 3);
}

static void test_round_trip(void **state)
{
    (void)state;
    uint8_t bytes[260];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        char text[BASE64URL_ENCODED(sizeof(bytes))];
        uint8_t back[BASE64URL_DECODED_MAX(sizeof(text))];
        size_t n = base64url_encode(bytes, length, text);
        size_t back_n;
        assert_true(n <= sizeof(text));
        assert_true(base64url_decode(str_make(text, n), back, sizeof(back), &back_n));
        assert_int_equal(back_n, length);
        assert_memory_equal(back, bytes, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_trailing_bits), cmocka_unit_test(test_room),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
