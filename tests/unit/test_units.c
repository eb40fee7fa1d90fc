/*
 * base/units: durations and sizes in, out, and out of range.
 */
#include "unit.h"

#include "base/units.h"

static void test_duration_reads_every_unit(void **state)
{
    static const struct {
        const char *text;
        msec_t value;
    } good[] = {
        {"0", 0},          {"0s", 0},
        {"250ms", 250},    {"30s", 30000},
        {"5m", 300000},    {"1h", 3600000},
        {"2d", 172800000}, {"1w", 604800000},
        {"007s", 7000},    {"9223372036854775807ms", INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        msec_t value = -1;
        const char *why = NULL;
        assert_true(duration_parse(str_from(good[i].text), &value, &why));
        assert_int_equal(value, good[i].value);
    }
}

static void test_duration_refuses_the_rest(void **state)
{
    static const char *const bad[] = {
        "",
        "s",
        "30",
        "-1s",
        "+1s",
        "1.5s",
        "1S",
        "1 s",
        "1sec",
        "0x1s",
        "1h30m",
        "1s ",
        " 1s",
        "1kb",
        "9223372036854775808ms",
        "9223372036854775s1",
        "153722867280913w",
        "99999999999999999999s",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        msec_t value = -7;
        const char *why = NULL;
        assert_false(duration_parse(str_from(bad[i]), &value, &why));
        assert_non_null(why);
        assert_int_equal(value, -7);
    }
}

static void test_size_reads_every_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"0", 0},
        {"512", 512},
        {"512b", 512},
        {"1kb", 1024},
        {"1k", 1024},
        {"2mb", 2097152},
        {"2M", 2097152},
        {"1GB", 1073741824},
        {"3g", INT64_C(3221225472)},
        {"1tb", INT64_C(1099511627776)},
        {"9223372036854775807", INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t value = -1;
        const char *why = NULL;
        assert_true(size_parse(str_from(good[i].text), &value, &why));
        assert_int_equal(value, good[i].value);
    }
}

static void test_size_refuses_the_rest(void **state)
{
    static const char *const bad[] = {
        "",          "kb",
        "-1kb",      "1.5mb",
        "1 kb",      "1kib",
        "1s",        "1kbb",
        "1bk",       "9223372036854775808",
        "8388608tb", "99999999999999999999gb",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t value = -7;
        const char *why = NULL;
        assert_false(size_parse(str_from(bad[i]), &value, &why));
        assert_non_null(why);
        assert_int_equal(value, -7);
    }
}

static void test_text_is_short_and_exact(void **state)
{
    static const struct {
        msec_t value;
        const char *text;
    } durations[] = {
        {0, "0s"},      {1, "1ms"},      {1500, "1500ms"},  {60000, "1m"},
        {90000, "90s"}, {3600000, "1h"}, {604800000, "7d"}, {-1, "off"},
    };
    static const struct {
        int64_t value;
        const char *text;
    } sizes[] = {
        {0, "0"},         {1023, "1023b"}, {1024, "1kb"},      {1536, "1536b"},
        {2097152, "2mb"}, {-1, "off"},     {INT64_MAX, "off"}, {INT64_C(1) << 40, "1tb"},
    };
    char text[UNITS_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        assert_int_equal(duration_text(durations[i].value, text), strlen(durations[i].text));
        assert_string_equal(text, durations[i].text);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(size_text(sizes[i].value, text), strlen(sizes[i].text));
        assert_string_equal(text, sizes[i].text);
    }
}

/* What is printed is read back as the same value. */
static void test_round_trip(void **state)
{
    uint64_t x = 1;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        char text[UNITS_TEXT_MAX];
        const char *why;
        int64_t back;
        x = x * 6364136223846793005u + 1442695040888963407u;
        int64_t value = (int64_t)(x >> (1 + i % 60));
        if (value == INT64_MAX) {
            continue;
        }
        size_t n = duration_text(value, text);
        assert_true(duration_parse(str_make(text, n), &back, &why));
        assert_int_equal(back, value);
        n = size_text(value, text);
        assert_true(size_parse(str_make(text, n), &back, &why));
        assert_int_equal(back, value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration_reads_every_unit),
        cmocka_unit_test(test_duration_refuses_the_rest),
        cmocka_unit_test(test_size_reads_every_unit),
        cmocka_unit_test(test_size_refuses_the_rest),
        cmocka_unit_test(test_text_is_short_and_exact),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
