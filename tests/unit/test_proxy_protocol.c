/*
 * flow/proxy_protocol: both versions, every way to cut them into pieces, and what is no header.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "flow/proxy_protocol.h"

#define V2(rest) "\r\n\r\n\0\r\nQUIT\n" rest

static void assert_addr(const struct addr *a, const char *expected)
{
    char text[ADDR_TEXT_MAX];
    addr_text(a, text);
    assert_string_equal(text, expected);
}

/* A copy of exactly these bytes, so that a sanitizer sees every read beyond them. */
static enum pp_result parse_copy(struct str bytes, struct addr *src, struct addr *dst,
                                 size_t *used)
{
    char *copy = malloc(bytes.n > 0 ? bytes.n : 1);
    assert_non_null(copy);
    memcpy(copy, bytes.p, bytes.n);
    memset(src, 0, sizeof(*src));
    memset(dst, 0, sizeof(*dst));
    *used = 12345;
    enum pp_result r = pp_parse(str_make(copy, bytes.n), src, dst, used);
    free(copy);
    return r;
}

/* Every proper prefix needs more; the header alone and with bytes after it give the result. */
static void assert_header(struct str header, enum pp_result expected, const char *from,
                          const char *to)
{
    struct addr src;
    struct addr dst;
    size_t used;
    char followed[PP_V2_MAX + 64];
    for (size_t n = 0; n < header.n; n++) {
        assert_int_equal(parse_copy(str_make(header.p, n), &src, &dst, &used), PP_NEED_MORE);
        assert_int_equal(used, 0);
    }
    memcpy(followed, header.p, header.n);
    memcpy(followed + header.n, "GET / HTTP/1.1\r\n\r\n", 18);
    for (size_t extra = 0; extra <= 18; extra += 9) {
        struct str bytes = str_make(followed, header.n + extra);
        assert_int_equal(parse_copy(bytes, &src, &dst, &used), expected);
        assert_int_equal(used, header.n);
        if (expected == PP_OK) {
            assert_addr(&src, from);
            assert_addr(&dst, to);
        }
    }
}

static void version_1(void **state)
{
    (void)state;
    assert_header(STR("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"), PP_OK,
                  "192.0.2.1:56324", "198.51.100.7:443");
    assert_header(STR("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n"), PP_OK,
                  "255.255.255.255:65535", "0.0.0.0:0");
    assert_header(STR("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), PP_OK, "[2001:db8::1]:1",
                  "[::1]:2");
    assert_header(STR("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), PP_OK, "192.0.2.1:1",
                  "[::1]:2");
    assert_header(STR("PROXY UNKNOWN\r\n"), PP_LOCAL, NULL, NULL);
    assert_header(STR("PROXY UNKNOWN whatever it says\r\n"), PP_LOCAL, NULL, NULL);
    /* 107 bytes, the longest that the specification knows */
    assert_header(STR("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
                  PP_LOCAL, NULL, NULL);
    assert_header(STR("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65534\r\n"),
                  PP_OK, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65534");
}

static void version_2(void **state)
{
    (void)state;
    assert_header(STR(V2("\x21\x11\x00\x0c"
                         "\xc0\x00\x02\x01"
                         "\xc6\x33\x64\x07"
                         "\xdc\x04\x01\xbb")),
                  PP_OK, "192.0.2.1:56324", "198.51.100.7:443");
    assert_header(STR(V2("\x21\x21\x00\x24"
                         "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                         "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
                         "\x00\x01\x00\x02")),
                  PP_OK, "[2001:db8::1]:1", "[::1]:2");
    /* TLVs (here 0x04 NOOP of two bytes and 0x20 SSL) are skipped */
    assert_header(STR(V2("\x21\x11\x00\x19"
                         "\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"
                         "\x04\x00\x02xx"
                         "\x20\x00\x05\x01\x00\x00\x00\x00")),
                  PP_OK, "192.0.2.1:56324", "198.51.100.7:443");
    /* LOCAL: whatever addresses stand there */
    assert_header(STR(V2("\x20\x00\x00\x00")), PP_LOCAL, NULL, NULL);
    assert_header(STR(V2("\x20\x11\x00\x0c"
                         "\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb")),
                  PP_LOCAL, NULL, NULL);
    assert_header(STR(V2("\x20\xff\x00\x03zzz")), PP_LOCAL, NULL, NULL);
    /* PROXY with UNSPEC */
    assert_header(STR(V2("\x21\x00\x00\x00")), PP_LOCAL, NULL, NULL);
    assert_header(STR(V2("\x21\x00\x00\x04zzzz")), PP_LOCAL, NULL, NULL);
}

static void version_2_of_unix_sockets(void **state)
{
    (void)state;
    char header[16 + 216];
    memcpy(header, V2("\x21\x31\x00\xd8"), 16);
    memset(header + 16, 0, 216);
    memcpy(header + 16, "/run/a", 6);
    memset(header + 16 + 108, 'x', 108); /* a path that fills its place has no NUL */
    struct addr src;
    struct addr dst;
    size_t used;
    assert_int_equal(parse_copy(str_make(header, sizeof(header)), &src, &dst, &used), PP_OK);
    assert_int_equal(used, sizeof(header));
    assert_int_equal(src.u.sa.sa_family, AF_UNIX);
    assert_string_equal(src.u.un.sun_path, "/run/a");
    assert_int_equal(strlen(dst.u.un.sun_path), 107);
    struct cidr local;
    assert_true(cidr_parse(STR("unix"), &local));
    assert_true(cidr_match(&(struct cidr_set){&local, 1}, &src));
}

static void what_is_no_header(void **state)
{
    (void)state;
    static const struct str bad[] = {
        {"GET / HTTP/1.1\r\n", 16},
        {" PROXY", 6},
        {"proxy TCP4 ", 11},
        {"PROXY\t", 6},
        {"PROXYTCP4", 9},
        {"PROXY \r\n", 8},
        {"PROXY\r\n", 7},
        {"PROXY TCP4\r\n", 12},
        {"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", 37},
        {"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", 37},
        {"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", 37},
        {"PROXY UNKNOWN1\r\n", 16},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", 35},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", 39},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", 38},
        {"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", 38},
        {"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", 38},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", 41},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", 38},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", 38},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", 38},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 0x1 2\r\n", 39},
        {"PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n", 36},
        {"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", 35},
        {"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", 39},
        {"PROXY TCP4 localhost 192.0.2.2 1 2\r\n", 37},
        {"PROXY TCP4 ::1 ::1 1 2\r\n", 24},
        {"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", 37},
        {"PROXY TCP6 [::1] [::1] 1 2\r\n", 28},
        {"PROXY TCP6 ::1%1 ::1 1 2\r\n", 26},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", 36},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX", 37},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\0", 36},
        {"PROXY UNKNOWN \x80\r\n", 17},
        {"PROXY UNKNOWN a\nb\r\n", 19},
        {"\r\n\r\n\0\r\nQUIT\r", 12},
        {"\r\n\r\nGET", 7},
        {"\rX", 2},
        {V2("\x01\x11\x00\x0c"), 16},
        {V2("\x11\x11\x00\x0c"), 16},
        {V2("\x22\x11\x00\x0c"), 16},
        {V2("\x31"), 13},
        {V2("\x21\x12\x00\x0c"
            "aaaabbbbcdef"),
         28}, /* UDP */
        {V2("\x21\x41\x00\x00"), 16},
        {V2("\x21\x01\x00\x00"), 16},
        {V2("\x21\x11\x00\x0b"
            "aaaabbbbcde"),
         27}, /* shorter than its addresses */
        {V2("\x21\x21\x00\x0c"
            "aaaabbbbcdef"),
         28},
        {V2("\x21\x31\x00\x0c"
            "aaaabbbbcdef"),
         28},
        {V2("\x21\x11\x0f\xf1"), 16}, /* 4,097 bytes in all */
        {V2("\x20\x11\xff\xff"), 16},
    };
    struct addr src;
    struct addr dst;
    size_t used;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse_copy(bad[i], &src, &dst, &used) != PP_BAD || used != 0) {
            fail_msg("case %zu: %.*s", i, STR_ARG(bad[i]));
        }
    }
}

static void limits(void **state)
{
    (void)state;
    struct addr src;
    struct addr dst;
    size_t used;
    char line[256];
    /* a line without an end is given up where it can no longer end in time */
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    for (size_t n = 1; n <= sizeof(line); n++) {
        enum pp_result expected = n <= 105 ? PP_NEED_MORE : PP_BAD;
        assert_int_equal(parse_copy(str_make(line, n), &src, &dst, &used), expected);
    }
    memcpy(line + 106, "\r\n", 2); /* 108 bytes */
    assert_int_equal(parse_copy(str_make(line, 108), &src, &dst, &used), PP_BAD);

    static char header[PP_V2_MAX];
    memcpy(header, V2("\x21\x11\x0f\xf0"), 16);
    assert_int_equal(parse_copy(str_make(header, sizeof(header) - 1), &src, &dst, &used),
                     PP_NEED_MORE);
    assert_int_equal(parse_copy(str_make(header, sizeof(header)), &src, &dst, &used), PP_OK);
    assert_int_equal(used, PP_V2_MAX);
}

/* Bytes changed at random: never a read too far, and a decision never changes with more bytes.
 */
static void decisions_are_final(void **state)
{
    (void)state;
    static const struct str seeds[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", 46},
        {"PROXY UNKNOWN\r\n", 15},
        {V2("\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"), 28},
    };
    uint64_t x = 7;
    for (int round = 0; round < 20000; round++) {
        char bytes[64];
        const struct str *seed = &seeds[round % 3];
        memset(bytes, 'G', sizeof(bytes));
        memcpy(bytes, seed->p, seed->n);
        for (int k = 0; k < 2; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            bytes[(x >> 33) % seed->n] = (char)(x >> 56);
        }
        struct addr src;
        struct addr dst;
        enum pp_result decided = PP_NEED_MORE;
        size_t decided_used = 0;
        for (size_t n = 0; n <= sizeof(bytes); n++) {
            size_t used;
            enum pp_result r = parse_copy(str_make(bytes, n), &src, &dst, &used);
            assert_true(used <= n);
            if (decided != PP_NEED_MORE) {
                assert_int_equal(r, decided);
                assert_int_equal(used, decided_used);
            }
            decided = r;
            decided_used = used;
        }
    }
}

/* Read in steps that pp_safe_read() allows, a header takes not one byte of what follows it. */
static void nothing_behind_the_header_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } headers[] = {
        {"PROXY UNKNOWN\r\n", 15},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 36},
        {V2("\x20\x00\x00\x00"), 16},
        {V2("\x21\x11\x00\x0c"
            "aaaabbbbccdd"),
         28},
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct addr src, dst;
        size_t have = 0, consumed = 0;
        enum pp_result r = PP_NEED_MORE;
        while (r == PP_NEED_MORE) {
            size_t step = pp_safe_read(str_make(headers[i].text, have));
            assert_true(step >= 1 && have + step <= headers[i].n);
            have += step;
            r = pp_parse(str_make(headers[i].text, have), &src, &dst, &consumed);
        }
        assert_true(r == PP_OK || r == PP_LOCAL);
        assert_int_equal(consumed, headers[i].n);
        assert_int_equal(have, headers[i].n);
    }
    /* In any other steps it is never zero either. */
    for (size_t n = 0; n < headers[3].n; n++) {
        assert_in_range(pp_safe_read(str_make(headers[3].text, n)), 1, headers[3].n - n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),
        cmocka_unit_test(version_2),
        cmocka_unit_test(version_2_of_unix_sockets),
        cmocka_unit_test(what_is_no_header),
        cmocka_unit_test(limits),
        cmocka_unit_test(decisions_are_final),
        cmocka_unit_test(nothing_behind_the_header_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
