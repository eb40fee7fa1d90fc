/*
 * The guard in front of the parser (hardening F9-F13, F19, F20, H5): what passes, what does not
 * and with which status, each limit at its border, and the same verdict however the bytes are
 * split.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/guard.h"

static const struct guard_limits roomy = {32768, 8192, 8192, 100};

struct verdict {
    enum guard_result result;
    int status;
    size_t start;
    size_t head_len;
};

static struct verdict scan_whole(struct str bytes, const struct guard_limits *limits,
                                 bool response)
{
    struct guard g = {0};
    struct verdict v = {.status = 0};
    const char *why = NULL;
    v.result = guard_scan(&g, bytes, limits, response, &v.head_len, &v.status, &why);
    v.start = g.start;
    if (v.result == GUARD_REFUSE) {
        assert_non_null(why);
        assert_true(v.status == 400 || v.status == 414 || v.status == 431 || v.status == 505);
    }
    return v;
}

/* One byte more with each call, each time in a block of exactly that size, so that ASan sees a
 * read beyond what has arrived. */
static struct verdict scan_by_bytes(struct str bytes, const struct guard_limits *limits,
                                    bool response)
{
    struct guard g = {0};
    struct verdict v = {.result = GUARD_MORE};
    const char *why;
    for (size_t n = 0; n <= bytes.n && v.result == GUARD_MORE; n++) {
        char *copy = malloc(n > 0 ? n : 1);
        memcpy(copy, bytes.p, n);
        v.result =
            guard_scan(&g, str_make(copy, n), limits, response, &v.head_len, &v.status, &why);
        free(copy);
    }
    v.start = g.start;
    return v;
}

static struct verdict scan(struct str bytes, const struct guard_limits *limits, bool response)
{
    struct verdict whole = scan_whole(bytes, limits, response);
    struct verdict split = scan_by_bytes(bytes, limits, response);
    if (whole.result != split.result) {
        fail_msg("whole %d, split %d: %.*s", (int)whole.result, (int)split.result,
                 STR_ARG(bytes));
    }
    if (whole.result == GUARD_DONE) {
        assert_int_equal(whole.head_len, split.head_len);
        assert_int_equal(whole.start, split.start);
    }
    return whole;
}

static void assert_passes(struct str bytes, bool response)
{
    struct verdict v = scan(bytes, &roomy, response);
    if (v.result != GUARD_DONE || v.head_len != bytes.n) {
        fail_msg("result %d, status %d: %.*s", (int)v.result, v.status, STR_ARG(bytes));
    }
}

static void assert_refused(struct str bytes, bool response, int status)
{
    struct verdict v = scan(bytes, &roomy, response);
    if (v.result != GUARD_REFUSE || v.status != status) {
        fail_msg("result %d, status %d: %.*s", (int)v.result, v.status, STR_ARG(bytes));
    }
}

#define GOOD(text) assert_passes(STR(text), false)
#define BAD(text)  assert_refused(STR(text), false, 400)

static void test_good_requests(void **state)
{
    (void)state;
    GOOD("GET / HTTP/1.1\r\n\r\n");
    GOOD("GET / HTTP/1.0\r\n\r\n");
    GOOD("M-SEARCH * HTTP/1.1\r\nHost: a\r\n\r\n");
    GOOD("!#$%&'*+-.^_`|~ / HTTP/1.1\r\n\r\n");
    GOOD("GET /x HTTP/1.1\r\nHost:a\r\nEmpty:\r\nBlank: \t \r\nTab:\ta\tb\r\n\r\n");
    GOOD("GET /x HTTP/1.1\r\nObs: caf\xe9 \x80\xff\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n");
    GOOD("GET /x HTTP/1.1\r\nX: a:b: c\r\n\r\n");
    GOOD("\r\nGET / HTTP/1.1\r\n\r\n");
}

static void test_the_head_ends_at_the_first_empty_line(void **state)
{
    (void)state;
    struct str two = STR("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    struct verdict v = scan(two, &roomy, false);
    assert_int_equal(v.result, GUARD_DONE);
    assert_int_equal(v.start, 2);
    assert_int_equal(v.head_len, 2 + 16 + 9 + 2);
}

static void test_every_prefix_is_incomplete(void **state)
{
    (void)state;
    struct str all = STR("GET /a HTTP/1.1\r\nHost: a\r\nX: \xe9 y\r\n\r\n");
    for (size_t n = 0; n < all.n; n++) {
        assert_int_equal(scan(str_make(all.p, n), &roomy, false).result, GUARD_MORE);
    }
}

static void test_empty_lines_before(void **state)
{
    (void)state;
    BAD("\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    BAD("\nGET / HTTP/1.1\r\n\r\n");
    BAD("\r\n\nGET / HTTP/1.1\r\n\r\n");
    BAD("\rGET / HTTP/1.1\r\n\r\n");
    BAD(" \r\nGET / HTTP/1.1\r\n\r\n");
    assert_refused(STR("\r\nHTTP/1.1 200 OK\r\n\r\n"), true, 400);
}

static void test_request_lines(void **state)
{
    (void)state;
    BAD("GET  / HTTP/1.1\r\n\r\n");
    BAD("GET /  HTTP/1.1\r\n\r\n");
    BAD("GET / HTTP/1.1 \r\n\r\n");
    BAD(" GET / HTTP/1.1\r\n\r\n");
    BAD("GET / a HTTP/1.1\r\n\r\n");
    BAD("GET /\r\n\r\n"); /* HTTP/0.9 */
    BAD("GET\r\n\r\n");
    BAD("GET / \r\n\r\n");
    BAD("GET\t/ HTTP/1.1\r\n\r\n");
    BAD("GET /\tHTTP/1.1\r\n\r\n");
    BAD("GET /\x0b HTTP/1.1\r\n\r\n");
    BAD("GET /\xc3\xa9 HTTP/1.1\r\n\r\n");
    BAD("G\x80T / HTTP/1.1\r\n\r\n");
    BAD("G@T / HTTP/1.1\r\n\r\n");
    BAD("GET: / HTTP/1.1\r\n\r\n");
    BAD("\"GET\" / HTTP/1.1\r\n\r\n");
    BAD("G\0T / HTTP/1.1\r\n\r\n");
    BAD("GET /\0 HTTP/1.1\r\n\r\n");
    BAD("GET / HTTP/1.1\0\r\n\r\n");
    BAD("GET /\x7f HTTP/1.1\r\n\r\n");
}

static void test_versions(void **state)
{
    (void)state;
    static const char *const other[] = {"HTTP/0.9", "HTTP/1.2",  "HTTP/1.10", "HTTP/1.",
                                        "HTTP/1",   "HTTP/",     "HTTP/2.0",  "HTTP/2",
                                        "HTTP/3",   "HTTP/+1.1", "HTTP/01.1", "HTTP/1.1X",
                                        "HTTP/1,1", "HTTP/11.1", "HTTP/1.1.1"};
    static const char *const none[] = {"http/1.1", "Http/1.1", "HTTPS/1.1", "RTSP/1.0",
                                       "ICE/1.0",  "1.1",      "HTTP1.1",   "XHTTP/1.1",
                                       "HTT",      "/x",       "HTTP\\1.1"};
    char text[64];
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        snprintf(text, sizeof(text), "GET /x %s\r\nHost: a\r\n\r\n", other[i]);
        assert_refused(str_from(text), false, 505);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        snprintf(text, sizeof(text), "GET /x %s\r\nHost: a\r\n\r\n", none[i]);
        assert_refused(str_from(text), false, 400);
    }
    assert_refused(STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), false, 505);
    assert_refused(STR("OPTIONS * RTSP/1.0\r\nHost: a\r\n\r\n"), false, 400);
    assert_refused(STR("SOURCE /x ICE/1.0\r\nHost: a\r\n\r\n"), false, 400);
}

static void test_field_lines(void **state)
{
    (void)state;
#define LINE(text) BAD("GET / HTTP/1.1\r\nHost: a\r\n" text "\r\nZ: z\r\n\r\n")
    LINE(": v");
    LINE(":");
    LINE("novalue");
    LINE("Name : v");
    LINE("Name\t: v");
    LINE(" Name: v");
    LINE("\tName: v");
    LINE("A B: c");
    LINE("A\xef: b");
    LINE("A\x01: b");
    LINE("A\0: b");
    LINE("\0");
    LINE("(a): b");
    LINE("\"a\": b");
    LINE("a/b: c");
    LINE("a[]: c");
    LINE("a{}: c");
    LINE("A: b\0c");
    LINE("A: b\x0b");
    LINE("A: b\x7f");
    LINE("A: \x08");
    LINE("A: \x1b[31m");
    LINE("A: b\r\n c"); /* obs-fold */
    LINE("A:\r\n\tc");
#undef LINE
    BAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n");
    BAD("GET / HTTP/1.1\r\n\tX\r\n\r\n");
}

/* Each byte in each place of a head: exactly the grammar's alphabet passes. */
static void test_alphabet_of_each_place(void **state)
{
    (void)state;
    static const char head[] = "GET /x HTTP/1.1\r\nHost: a\r\nNm: va\r\n\r\n";
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789"
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char text[sizeof(head)];
    for (int c = 0; c < 256; c++) {
        bool tchar = c != 0 && strchr(tchars, c) != NULL;
        bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
        memcpy(text, head, sizeof(head));
        text[1] = (char)c; /* method */
        bool ok = scan(str_make(text, sizeof(head) - 1), &roomy, false).result == GUARD_DONE;
        assert_int_equal(ok, tchar);
        memcpy(text, head, sizeof(head));
        text[5] = (char)c; /* target */
        ok = scan(str_make(text, sizeof(head) - 1), &roomy, false).result == GUARD_DONE;
        assert_int_equal(ok, c > 0x20 && c < 0x7f);
        memcpy(text, head, sizeof(head));
        text[27] = (char)c; /* field name */
        ok = scan(str_make(text, sizeof(head) - 1), &roomy, false).result == GUARD_DONE;
        assert_int_equal(ok, tchar || c == ':'); /* "N: : va" is a name and a value */
        memcpy(text, head, sizeof(head));
        text[31] = (char)c; /* field value */
        ok = scan(str_make(text, sizeof(head) - 1), &roomy, false).result == GUARD_DONE;
        assert_int_equal(ok, value);
    }
}

/* F10: each CRLF of a head replaced by LF, CR, CRCRLF, LFCR. */
static void test_each_line_ending(void **state)
{
    (void)state;
    struct str good = STR("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nBODY");
    static const char *const endings[] = {"\n", "\r", "\r\r\n", "\n\r", "\r \n"};
    for (size_t at = 0; at + 1 < good.n; at++) {
        if (good.p[at] != '\r') {
            continue;
        }
        for (size_t e = 0; e < sizeof(endings) / sizeof(endings[0]); e++) {
            char text[64];
            int n = snprintf(text, sizeof(text), "%.*s%s%s", (int)at, good.p, endings[e],
                             good.p + at + 2);
            struct verdict v = scan(str_make(text, (size_t)n), &roomy, false);
            assert_int_equal(v.result, GUARD_REFUSE);
            assert_int_equal(v.status, 400);
        }
    }
}

/* Nobody may stream at us what can never become a head. */
static void test_refuses_early(void **state)
{
    (void)state;
    BAD("\x16\x03\x01\x02\x00\x01"); /* a TLS ClientHello on a plain port */
    BAD("\x80");
    BAD(" ");
    BAD("GET / HTTP/1.1\rX");
    BAD("GET / HTTP/1.1\r\nA: b\rc");
    BAD("GET / HTTP/1.1\r\n A");
    BAD("GET / HTTP/1.1\r\n:");
    assert_refused(STR("X"), true, 400);
    assert_refused(STR("\r"), true, 400);
}

static struct str repeat(char *out, const char *start, char c, size_t n, const char *end)
{
    size_t a = strlen(start), b = strlen(end);
    memcpy(out, start, a);
    memset(out + a, c, n);
    memcpy(out + a + n, end, b);
    return str_make(out, a + n + b);
}

static void test_limits_at_their_borders(void **state)
{
    (void)state;
    static const struct guard_limits tight = {200, 60, 40, 3};
    char text[600];
    struct str s;
    /* start line: "GET /" + n + " HTTP/1.1" = n + 14 */
    s = repeat(text, "GET /", 'x', 46, " HTTP/1.1\r\n\r\n");
    assert_int_equal(scan(s, &tight, false).result, GUARD_DONE);
    s = repeat(text, "GET /", 'x', 47, " HTTP/1.1\r\n\r\n");
    assert_int_equal(scan(s, &tight, false).status, 414);
    s = repeat(text, "GET /", 'x', 500, ""); /* no end in sight */
    assert_int_equal(scan(s, &tight, false).status, 414);
    /* field line: "N:" + n = n + 2 */
    s = repeat(text, "GET / HTTP/1.1\r\nN:", 'x', 38, "\r\n\r\n");
    assert_int_equal(scan(s, &tight, false).result, GUARD_DONE);
    s = repeat(text, "GET / HTTP/1.1\r\nN:", 'x', 39, "\r\n\r\n");
    assert_int_equal(scan(s, &tight, false).status, 431);
    s = repeat(text, "GET / HTTP/1.1\r\n", 'x', 39, ":\r\n\r\n"); /* all of it name */
    assert_int_equal(scan(s, &tight, false).result, GUARD_DONE);
    s = repeat(text, "GET / HTTP/1.1\r\n", 'x', 500, "");
    assert_int_equal(scan(s, &tight, false).status, 431);
    /* count */
    s = STR("GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\n\r\n");
    assert_int_equal(scan(s, &tight, false).result, GUARD_DONE);
    s = STR("GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n");
    assert_int_equal(scan(s, &tight, false).status, 431);
}

static void test_limit_of_the_whole_head(void **state)
{
    (void)state;
    char text[600];
    for (size_t n = 0; n < 60; n++) {
        static const struct guard_limits small = {80, 70, 70, 100};
        struct str s = repeat(text, "GET / HTTP/1.1\r\nA: b\r\nN:", 'x', n, "\r\n\r\n");
        struct verdict v = scan(s, &small, false);
        assert_int_equal(v.result, s.n <= 80 ? GUARD_DONE : GUARD_REFUSE);
        assert_int_equal(v.status, s.n <= 80 ? 0 : 431);
    }
}

static void test_status_lines(void **state)
{
    (void)state;
#define R_GOOD(text) assert_passes(STR(text "\r\nA: b\r\n\r\n"), true)
#define R_BAD(text)  assert_refused(STR(text "\r\nA: b\r\n\r\n"), true, 400)
    R_GOOD("HTTP/1.1 200 OK");
    R_GOOD("HTTP/1.0 200 OK");
    R_GOOD("HTTP/1.1 200 ");
    R_GOOD("HTTP/1.1 200"); /* wrong, but common and clear */
    R_GOOD("HTTP/1.1 100 Continue");
    R_GOOD("HTTP/1.1 999 x");
    R_GOOD("HTTP/1.1 200 caf\xe9\tau lait");
    R_BAD("HTTP/1.1 099 x");
    R_BAD("HTTP/1.1 99 x");
    R_BAD("HTTP/1.1 0200 x");
    R_BAD("HTTP/1.1 1000 x");
    R_BAD("HTTP/1.1 200OK");
    R_BAD("HTTP/1.1 200\tOK");
    R_BAD("HTTP/1.1  200 OK");
    R_BAD("HTTP/1.1 +20 OK");
    R_BAD("HTTP/1.1 2 00 OK");
    R_BAD("HTTP/1.1 200-OK");
    R_BAD("HTTP/1.1 ");
    R_BAD("HTTP/1.1");
    R_BAD("HTTP/1.1\t200 OK");
    R_BAD("HTTP/1.2 200 OK");
    R_BAD("HTTP/2.0 200 OK");
    R_BAD("HTTP/2 200");
    R_BAD("HTTP/0.9 200 OK");
    R_BAD("http/1.1 200 OK");
    R_BAD("RTSP/1.0 200 OK");
    R_BAD("ICY 200 OK");
    R_BAD(" HTTP/1.1 200 OK");
    R_BAD("HTTP/1.1 200 O\0K");
    R_BAD("HTTP/1.1 200 O\x1bK");
    R_BAD("HTTP/1.1 200 O\rK");
#undef R_GOOD
#undef R_BAD
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_requests),
        cmocka_unit_test(test_the_head_ends_at_the_first_empty_line),
        cmocka_unit_test(test_every_prefix_is_incomplete),
        cmocka_unit_test(test_empty_lines_before),
        cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_field_lines),
        cmocka_unit_test(test_alphabet_of_each_place),
        cmocka_unit_test(test_each_line_ending),
        cmocka_unit_test(test_refuses_early),
        cmocka_unit_test(test_limits_at_their_borders),
        cmocka_unit_test(test_limit_of_the_whole_head),
        cmocka_unit_test(test_status_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
