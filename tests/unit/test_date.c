/*
 * HTTP dates: the three forms of RFC 9110 5.6.7, what is none of them, and that formatting and
 * parsing are inverse. Names in comments are those of the public cache tests (expires-parse).
 */
#include "unit.h"

#include <stdio.h>
#include <time.h>

#include "http/date.h"

/* 2026-01-01 00:00:00, the "now" of the tests. */
#define NOW 1767225600000

static struct str formatted(msec_t wall, char out[HTTP_DATE_LEN])
{
    http_date_format(wall, out);
    return str_make(out, HTTP_DATE_LEN);
}

static void assert_date(const char *text, msec_t expected)
{
    msec_t wall = -1;
    if (!http_date_parse_at(str_from(text), NOW, &wall)) {
        fail_msg("not accepted: %s", text);
    }
    if (wall != expected) {
        fail_msg("%s: %lld instead of %lld", text, (long long)wall, (long long)expected);
    }
}

static void test_format(void **state)
{
    (void)state;
    char out[HTTP_DATE_LEN];
    assert_true(str_eq(formatted(784111777000, out), STR("Sun, 06 Nov 1994 08:49:37 GMT")));
    assert_true(str_eq(formatted(784111777999, out), STR("Sun, 06 Nov 1994 08:49:37 GMT")));
    assert_true(str_eq(formatted(0, out), STR("Thu, 01 Jan 1970 00:00:00 GMT")));
    assert_true(str_eq(formatted(951782400000, out), STR("Tue, 29 Feb 2000 00:00:00 GMT")));
    assert_true(str_eq(formatted(4107542399000, out), STR("Sun, 28 Feb 2100 23:59:59 GMT")));
    assert_true(str_eq(formatted(4107542400000, out), STR("Mon, 01 Mar 2100 00:00:00 GMT")));
}

static void test_format_clamps(void **state)
{
    (void)state;
    char out[HTTP_DATE_LEN];
    assert_true(str_eq(formatted(-1, out), STR("Thu, 01 Jan 1970 00:00:00 GMT")));
    assert_true(str_eq(formatted(INT64_MIN, out), STR("Thu, 01 Jan 1970 00:00:00 GMT")));
    assert_true(str_eq(formatted(MSEC_MAX, out), STR("Fri, 31 Dec 9999 23:59:59 GMT")));
}

static void test_three_forms(void **state)
{
    (void)state;
    assert_date("Sun, 06 Nov 1994 08:49:37 GMT", 784111777000);
    assert_date("Sunday, 06-Nov-94 08:49:37 GMT", 784111777000);
    assert_date("Sun Nov  6 08:49:37 1994", 784111777000);
    assert_date("Wed Nov 16 08:49:37 1994", 784975777000);
    assert_date("Thu Aug 18 02:01:18 2050", 2544400878000); /* freshness-expires-ansi-c */
    assert_date("Wednesday, 09-Nov-94 08:49:37 GMT", 784370977000);
}

static void test_letter_case(void **state)
{
    (void)state;
    assert_date("SUN, 06 NOV 1994 08:49:37 gMT", 784111777000);
    assert_date("sunday, 06-nov-94 08:49:37 gmt", 784111777000);
    assert_date("sUN nOV  6 08:49:37 1994", 784111777000);
}

/* RFC 9110 5.6.7: more than 50 years ahead means the past. */
static void test_two_digit_years(void **state)
{
    (void)state;
    assert_date("Thursday, 18-Aug-50 02:01:18 GMT",
                2544400878000); /* freshness-expires-rfc850 */
    assert_date("Saturday, 01-Jan-76 00:00:00 GMT", 3345062400000); /* 2076 */
    assert_date("Saturday, 01-Jan-77 00:00:00 GMT", 220924800000);  /* 1977 */
    assert_date("Thursday, 01-Jan-26 00:00:00 GMT", NOW);
    msec_t wall;
    struct str ten = STR("Sunday, 01-Jan-10 00:00:00 GMT");
    assert_true(http_date_parse_at(ten, 3786912000000, &wall)); /* seen in 2090 */
    assert_int_equal(wall, 4417977600000);                      /* 2110-01-01 */
    assert_true(http_date_parse_at(ten, -5, &wall));            /* a clock before 1970 */
    assert_int_equal(wall, 1262304000000);
}

static void test_by_clock(void **state)
{
    (void)state;
    msec_t wall;
    char out[HTTP_DATE_LEN];
    msec_t now = clock_wall() / 1000 * 1000;
    assert_true(http_date_parse(formatted(now, out), &wall));
    assert_int_equal(wall, now);
    char text[64];
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(text, sizeof(text), "%A, %d-%b-%y %H:%M:%S GMT", &tm);
    assert_true(http_date_parse(str_make(text, n), &wall));
    assert_int_equal(wall, now);
}

static void test_far_dates(void **state)
{
    (void)state;
    assert_date("Tue, 19 Jan 2038 14:14:08 GMT", 2147523248000);
    assert_date("Sun, 21 Nov 2286 04:46:39 GMT", 10000039599000);
    assert_date("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799000);
    assert_date("Wed, 31 Dec 1969 23:59:59 GMT", -1000);
    assert_date("Sat, 01 Jan 0000 00:00:00 GMT", -62167219200000);
    assert_date("Tue, 31 Dec 2024 23:59:60 GMT", 1735689599000); /* leap second */
}

static void test_wrong_weekday_is_accepted(void **state)
{
    (void)state;
    assert_date("Mon, 06 Nov 1994 08:49:37 GMT", 784111777000);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0",
        "-1",
        "now",
        ",",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37 UTC",   /* freshness-expires-invalid-utc */
        "Sun, 06 Nov 1994 08:49:37 AEST",  /* -invalid-aest */
        "Sun, 06 Nov 94 08:49:37 GMT",     /* -invalid-2-digit-year */
        "Sun 06 Nov 1994 08:49:37 GMT",    /* -invalid-no-comma */
        "Sun, 06  Nov  1994 08:49:37 GMT", /* -invalid-multiple-spaces */
        "Sun, 06-Nov-1994 08:49:37 GMT",   /* -invalid-date-dashes */
        "Sun, 06 Nov 1994 08.49.37 GMT",   /* -invalid-time-periods */
        "Sun, 06 Nov 1994 8:49:37 GMT",    /* -invalid-1-digit-hour */
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun; 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 06-Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994-08:49:37 GMT",
        "Sun, 0x Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 199x 08:49:37 GMT",
        "Sun, 06 Nov 1994 0x:49:37 GMT",
        "Sun, 06 Nov 1994 08:4x:37 GMT",
        "Sun, 06 Nov 1994 08:49:3x GMT",
        "Sun, 06 Nov 1994 08:49 37 GMT",
        "Sun, 06 Nov 1994 08:49:37-GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Tue, 29 Feb 1994 08:49:37 GMT",
        "Thu, 29 Feb 2100 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 -8:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 UTC",
        "Sunday; 06-Nov-94 08:49:37 GMT",
        "Sunday, 6x-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nox-94 08:49:37 GMT",
        "Sunday, 06-Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-9x 08:49:37 GMT",
        "Sunday, 06-Nov-94-08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49-37 GMT",
        "Sunday,x06-Nov-94 08:49:37 GMT",
        "Funday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 06  8:49:37 1994",
        "Sun Nov  x 08:49:37 1994",
        "Sun Nov  6-08:49:37 1994",
        "Sun Nov  6 08:49:37-1994",
        "Sun Nov  6 08:49:37 199x",
        "Sun Nov- 6 08:49:37 1994",
        "Sun-Nov  6 08:49:37 1994",
        "Sun Nox  6 08:49:37 1994",
        "Xun Nov  6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        msec_t wall;
        if (http_date_parse_at(str_from(bad[i]), NOW, &wall)) {
            fail_msg("accepted: \"%s\"", bad[i]);
        }
    }
}

/* parse(format(t)) == t and the C library agrees, over the whole range. */
static void test_round_trip(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        msec_t t = (msec_t)(x % 253402300800u) * 1000;
        char out[HTTP_DATE_LEN], expected[64];
        struct str s = formatted(t, out);
        time_t seconds = (time_t)(t / 1000);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        msec_t back = -1;
        assert_memory_equal(s.p, expected, HTTP_DATE_LEN);
        assert_true(http_date_parse_at(s, NOW, &back));
        assert_int_equal(back, t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_clamps),
        cmocka_unit_test(test_three_forms),
        cmocka_unit_test(test_letter_case),
        cmocka_unit_test(test_two_digit_years),
        cmocka_unit_test(test_by_clock),
        cmocka_unit_test(test_far_dates),
        cmocka_unit_test(test_wrong_weekday_is_accepted),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
