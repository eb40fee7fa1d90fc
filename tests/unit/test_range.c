/*
 * Byte ranges: RFC 9110 14.1.2 and 14.2, coalescing, and the limits against amplification.
 */
#include "unit.h"

#include <stdio.h>

#include "http/range.h"

/* The verdict and ranges as text: "0-4,10-19", "ignore" or "416". */
static void assert_range(const char *value, uint64_t length, const char *expected)
{
    struct byte_range out[RANGE_MAX];
    size_t n = 77;
    char text[512] = "";
    switch (range_parse(str_from(value), length, out, &n)) {
    case RANGE_IGNORE: snprintf(text, sizeof(text), "ignore"); break;
    case RANGE_UNSATISFIABLE: snprintf(text, sizeof(text), "416"); break;
    case RANGE_SATISFIABLE:
        for (size_t i = 0, at = 0; i < n; i++) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu-%llu", i ? "," : "",
                                   (unsigned long long)out[i].first,
                                   (unsigned long long)out[i].last);
        }
        assert_true(n > 0);
        n = 0;
        break;
    }
    assert_int_equal(n, 0);
    if (strcmp(text, expected) != 0) {
        fail_msg("%s of %llu: %s instead of %s", value, (unsigned long long)length, text,
                 expected);
    }
}

static void test_single(void **state)
{
    (void)state;
    assert_range("bytes=0-1", 11, "0-1");
    assert_range("bytes=1-", 11, "1-10");
    assert_range("bytes=-1", 11, "10-10");
    assert_range("bytes=-5", 10, "5-9");
    assert_range("bytes=-100", 10, "0-9");
    assert_range("bytes=0-0", 1, "0-0");
    assert_range("bytes=5-100", 10, "5-9");
    assert_range("bytes=9-9", 10, "9-9");
    assert_range("bytes=0-", 10, "0-9");
    assert_range("BYTES=0-", 10, "0-9");
    assert_range("bytes=007-0008", 10, "7-8");
}

static void test_unsatisfiable(void **state)
{
    (void)state;
    assert_range("bytes=10-", 10, "416");
    assert_range("bytes=10-20", 10, "416");
    assert_range("bytes=-0", 10, "416");
    assert_range("bytes=-0,99-", 10, "416");
    assert_range("bytes=0-", 0, "416");
    assert_range("bytes=99-,0-1", 10, "0-1");
}

static void test_empty_representation(void **state)
{
    (void)state;
    assert_range("bytes=-5", 0, "ignore");
    assert_range("bytes=-0", 0, "416");
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           "bytes",      "bytes=",     "bytes=,",    "bytes= , ,",   "items=0-1",
        "bytes 0-1",  "bytes =0-1", "bytes=1",    "bytes=-",    "bytes=a-b",    "bytes=5-4",
        "bytes=1-2x", "bytes=+1-2", "bytes=--1",  "bytes=1--2", "bytes=1 - 2",  "bytes=0x1-2",
        "=0-1",       "bytes:0-1",  "bytes=0-1;", "bytes=1- 2", "bytes=0-1 3-4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_range(bad[i], 100, "ignore");
    }
    assert_range("bytes=0-1,zz", 100, "ignore");
    assert_range("bytes=0-1,5-4", 100, "ignore");
}

static void test_huge_numbers(void **state)
{
    (void)state;
    assert_range("bytes=0-99999999999999999999999", 10, "0-9");
    assert_range("bytes=99999999999999999999999-", 10, "416");
    assert_range("bytes=-99999999999999999999999", 10, "0-9");
    assert_range("bytes=18446744073709551615-18446744073709551615", UINT64_MAX, "416");
    assert_range("bytes=0-18446744073709551614", UINT64_MAX, "0-18446744073709551614");
    assert_range("bytes=0-18446744073709551614,0-1", UINT64_MAX, "ignore");
    assert_range("bytes=18446744073709551614-,0-0", UINT64_MAX,
                 "18446744073709551614-18446744073709551614,0-0");
}

static void test_lists(void **state)
{
    (void)state;
    assert_range("bytes=0-1,10-11", 100, "0-1,10-11");
    assert_range("bytes=10-11 , 0-1", 100, "10-11,0-1");
    assert_range("bytes=,0-1,,\t10-11,", 100, "0-1,10-11");
    assert_range("bytes=0-0,-1", 100, "0-0,99-99");
}

static void test_coalescing(void **state)
{
    (void)state;
    assert_range("bytes=0-10,5-20", 100, "0-20");
    assert_range("bytes=0-9,10-19", 100, "0-19");
    assert_range("bytes=10-19,0-9", 100, "0-19");
    assert_range("bytes=0-9,11-19", 100, "0-9,11-19");
    assert_range("bytes=40-49,0-9,20-29,5-25", 100, "40-49,0-29");
    assert_range("bytes=40-49,0-9,10-39", 100, "0-49");
    assert_range("bytes=0-9,20-29,40-49,8-9,60-60", 100, "0-9,20-29,40-49,60-60");
    assert_range("bytes=3-4,3-4", 100, "3-4");
}

static void test_amplification(void **state)
{
    (void)state;
    assert_range("bytes=0-,0-", 100, "ignore");
    assert_range("bytes=0-59,0-59", 100, "ignore");
    assert_range("bytes=0-49,50-99", 100, "0-99");
    assert_range("bytes=0-49,50-99,0-0", 100, "ignore");
    assert_range("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14", 100,
                 "0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14");
    assert_range("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", 100, "ignore");
    assert_range("bytes=200-,200-,200-,200-,200-,200-,200-,200-,200-", 100, "ignore");
}

/* Against a byte map: what is selected is what was asked for, nothing twice, nothing outside.
 */
static void test_property(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 50000; i++) {
        char value[256] = "bytes=";
        size_t at = 6;
        unsigned char asked[64] = {0}, given[64] = {0};
        unsigned sum = 0;
        for (int k = 0; k < 6; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            unsigned first = x % 64, last = first + (x >> 8) % 12;
            at += (size_t)snprintf(value + at, sizeof(value) - at, "%s%u-%u", k ? "," : "",
                                   first, last);
            for (unsigned b = first; b <= last && b < 64; b++) {
                asked[b] = 1;
                sum++;
            }
        }
        struct byte_range out[RANGE_MAX];
        size_t n;
        enum range_verdict verdict = range_parse(str_make(value, at), 64, out, &n);
        assert_int_equal(verdict, sum > 64 ? RANGE_IGNORE : RANGE_SATISFIABLE);
        for (size_t k = 0; k < n; k++) {
            assert_true(out[k].first <= out[k].last && out[k].last < 64);
            for (uint64_t b = out[k].first; b <= out[k].last; b++) {
                assert_int_equal(given[b]++, 0);
            }
        }
        for (size_t k = 0; k < n; k++) { /* nothing is left to coalesce */
            assert_true(out[k].last == 63 || given[out[k].last + 1] == 0);
        }
        assert_true(n == 0 || memcmp(asked, given, sizeof(asked)) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single),       cmocka_unit_test(test_unsatisfiable),
        cmocka_unit_test(test_malformed),    cmocka_unit_test(test_empty_representation),
        cmocka_unit_test(test_huge_numbers), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_coalescing),   cmocka_unit_test(test_amplification),
        cmocka_unit_test(test_property),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
