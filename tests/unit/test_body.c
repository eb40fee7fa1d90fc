/*
 * The body decoder (hardening F14-F17): each framing, every way to split the bytes, chunk
 * sizes, extensions and trailers at their limits, and what follows the message.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/body.h"

/* What came out of a decoder. */
struct outcome {
    enum body_result result;
    size_t used;
    struct strbuf payload;
    bool complete; /* body_complete_at_eof() */
};

/* Feeds `bytes` in pieces of `step`, each in a block of its own size for ASan. */
static struct outcome decode(const struct msg *m, struct str bytes, size_t step)
{
    struct outcome o = {.result = BODY_MORE};
    struct body b;
    body_start(&b, m);
    bool ended = false;
    while (!ended) {
        size_t n = bytes.n - o.used < step ? bytes.n - o.used : step;
        char *piece = malloc(n > 0 ? n : 1);
        memcpy(piece, bytes.p + o.used, n);
        size_t taken = 0;
        do {
            size_t used;
            struct str data;
            o.result = body_next(&b, str_make(piece + taken, n - taken), &used, &data);
            assert_true(used <= n - taken);
            assert_true(data.n == 0 || o.result == BODY_DATA);
            assert_true(o.result != BODY_DATA || data.n > 0);
            strbuf_add_str(&o.payload, data);
            taken += used;
        } while (o.result == BODY_DATA);
        free(piece);
        o.used += taken;
        assert_true(o.result != BODY_MORE || taken == n); /* all is used, or it ends */
        ended = o.result != BODY_MORE || o.used == bytes.n;
    }
    assert_int_equal(b.received, o.payload.n);
    o.complete = body_complete_at_eof(&b);
    /* the end stays the end */
    size_t used;
    struct str data;
    if (o.result != BODY_MORE) {
        assert_int_equal(body_next(&b, STR("x"), &used, &data), o.result);
        assert_int_equal(used, 0);
    }
    return o;
}

static const struct msg chunked = {.framing = FRAMING_CHUNKED};

/* Decodes in one piece and in pieces of every size; all must agree. */
static struct outcome decode_all_ways(const struct msg *m, struct str bytes)
{
    struct outcome whole = decode(m, bytes, bytes.n > 0 ? bytes.n : 1);
    for (size_t step = 1; step < bytes.n && step < 80; step++) {
        struct outcome split = decode(m, bytes, step);
        if (split.result != whole.result || split.complete != whole.complete ||
            (whole.result == BODY_DONE && split.used != whole.used) ||
            !str_eq(strbuf_str(&split.payload), strbuf_str(&whole.payload))) {
            fail_msg("split by %zu differs: %.*s", step, STR_ARG(bytes));
        }
        strbuf_free(&split.payload);
    }
    return whole;
}

static void assert_body(const struct msg *m, struct str bytes, const char *payload, size_t left)
{
    struct outcome o = decode_all_ways(m, bytes);
    if (o.result != BODY_DONE || !str_eq(strbuf_str(&o.payload), str_from(payload)) ||
        bytes.n - o.used != left) {
        fail_msg("result %d, %zu bytes left: %.*s", (int)o.result, bytes.n - o.used,
                 STR_ARG(bytes));
    }
    assert_true(o.complete);
    strbuf_free(&o.payload);
}

static void assert_broken(struct str bytes)
{
    struct outcome o = decode_all_ways(&chunked, bytes);
    if (o.result != BODY_ERROR) {
        fail_msg("result %d: %.*s", (int)o.result, STR_ARG(bytes));
    }
    assert_false(o.complete);
    strbuf_free(&o.payload);
}

#define GOOD(text, payload) assert_body(&chunked, STR(text), payload, 0)
#define BAD(text)           assert_broken(STR(text))

static void test_none(void **state)
{
    (void)state;
    struct msg m = {.framing = FRAMING_NONE};
    assert_body(&m, STR("GET /next"), "", 9);
    assert_body(&m, STR(""), "", 0);
}

static void test_length(void **state)
{
    (void)state;
    struct msg m = {.framing = FRAMING_LENGTH, .content_length = 5};
    assert_body(&m, STR("hello"), "hello", 0);
    assert_body(&m, STR("helloGET /"), "hello", 5);
    struct outcome o = decode_all_ways(&m, STR("hell"));
    assert_int_equal(o.result, BODY_MORE);
    assert_false(o.complete);
    strbuf_free(&o.payload);
    m.content_length = 0;
    assert_body(&m, STR("GET /"), "", 5);
}

static void test_close(void **state)
{
    (void)state;
    struct msg m = {.framing = FRAMING_CLOSE};
    struct outcome o = decode_all_ways(&m, STR("0\r\n\r\nany bytes \0"));
    assert_int_equal(o.result, BODY_MORE);
    assert_true(o.complete);
    assert_int_equal(o.payload.n, 16);
    strbuf_free(&o.payload);
}

static void test_chunked(void **state)
{
    (void)state;
    GOOD("0\r\n\r\n", "");
    GOOD("5\r\nhello\r\n0\r\n\r\n", "hello");
    GOOD("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
    GOOD("A\r\n0123456789\r\na\r\n0123456789\r\n00\r\n\r\n", "01234567890123456789");
    GOOD("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello");
    GOOD("2\r\n\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n");
    assert_body(&chunked, STR("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), "x", 16);
    assert_body(&chunked, STR("0\r\n\r\n\r\n"), "", 2);
}

/* Every proper prefix is incomplete: neither done nor broken, and not complete at its end. */
static void test_truncation(void **state)
{
    (void)state;
    struct str all = STR("5;a=\"b\"\r\nhello\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n");
    for (size_t n = 0; n < all.n; n++) {
        struct outcome o = decode_all_ways(&chunked, str_make(all.p, n));
        assert_int_equal(o.result, BODY_MORE);
        assert_false(o.complete);
        strbuf_free(&o.payload);
    }
    assert_body(&chunked, all, "hello!", 0);
}

static void test_chunk_sizes(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0x5",
        "0X5",
        "x5",
        "+5",
        "-5",
        "-0",
        " 5",
        "\t5",
        "5 ",
        "5\t",
        "5 ;a",
        "0_5",
        "5_0",
        "5.0",
        "5,5",
        "5h",
        "g",
        "\"5\"",
        "\xb2",
        "5\x0b",
        "\x0b"
        "5",
        "5\x85",
        "５",
        "%35",
        "5:",
        "5 5",
        "00000000000000005",
        "FFFFFFFFFFFFFFFF",
        "8000000000000000",
        "10000000000000000",
        "FFFFFFFFFFFFFFFFFFFFFFFF",
        "{5}",
        "(5)",
        "5'",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[80];
        int n = snprintf(text, sizeof(text), "%s\r\nhello\r\n0\r\n\r\n", bad[i]);
        assert_broken(str_make(text, (size_t)n));
    }
    BAD("\0"
        "5\r\nhello\r\n0\r\n\r\n");
    BAD("5\0\r\nhello\r\n0\r\n\r\n");
    /* the largest that is taken: more than anybody sends, but no overflow */
    struct outcome o = decode_all_ways(&chunked, STR("7FFFFFFFFFFFFFFF\r\nhello"));
    assert_int_equal(o.result, BODY_MORE);
    assert_int_equal(o.payload.n, 5);
    strbuf_free(&o.payload);
}

/* F10: CRLF and nothing else at the end of each line and of the data. */
static void test_each_line_ending(void **state)
{
    (void)state;
    struct str good = STR("5\r\nhello\r\n3;a\r\nxyz\r\n0;b\r\nT: v\r\nU:\r\n\r\n");
    assert_body(&chunked, good, "helloxyz", 0);
    static const char *const endings[] = {"\n", "\r", "\r\r\n", "\n\r", "\r \n", "XX", ""};
    for (size_t at = 0; at + 1 < good.n; at++) {
        if (good.p[at] != '\r') {
            continue;
        }
        for (size_t e = 0; e < sizeof(endings) / sizeof(endings[0]); e++) {
            char text[80];
            int n = snprintf(text, sizeof(text), "%.*s%s%s", (int)at, good.p, endings[e],
                             good.p + at + 2);
            struct outcome o = decode_all_ways(&chunked, str_make(text, (size_t)n));
            bool harmless = at + 2 == good.n ? o.result == BODY_MORE : /* the end is missing */
                                strcmp(endings[e], "XX") == 0 || endings[e][0] == '\0';
            if (o.result != BODY_ERROR && !harmless) {
                fail_msg("accepted: %s", text);
            }
            strbuf_free(&o.payload);
        }
    }
    BAD("5\r\nhelloXX0\r\n\r\n"); /* CVE-2025-43859 */
    BAD("5\r\nhelloo\r\n0\r\n\r\n");
    BAD("5\r\nhell\r\n0\r\n\r\n");
    BAD("5\r\nhello0\r\n\r\n");
    BAD("0\r\n\nX");
    BAD("0\r\n\rX");
    BAD("0\r\r\n\r\n");
}

static void test_extensions(void **state)
{
    (void)state;
    GOOD("5;a\r\nhello\r\n0;last\r\n\r\n", "hello");
    GOOD("5;a=b;c=\"d;e\"\r\nhello\r\n0\r\n\r\n", "hello");
    GOOD("5; a = b\r\nhello\r\n0\r\n\r\n", "hello");
    GOOD("5;\r\nhello\r\n0\r\n\r\n", "hello");
    GOOD("5;caf\xe9\r\nhello\r\n0\r\n\r\n", "hello");
    BAD("5;a=\"b\r\nhello\r\n0\r\n\r\n"); /* a quote that does not end */
    BAD("5;a\nb\r\nhello\r\n0\r\n\r\n");
    BAD("5;a\rb\r\nhello\r\n0\r\n\r\n");
    BAD("5;\0\r\nhello\r\n0\r\n\r\n");
    BAD("5;a\x7f\r\nhello\r\n0\r\n\r\n");
    BAD("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n");
    BAD("5,a\r\nhello\r\n0\r\n\r\n");
}

/* `count` chunks of one byte with extensions of n bytes after the semicolon. */
static struct outcome extended(size_t count, size_t n)
{
    struct strbuf b = {0};
    for (size_t i = 0; i < count; i++) {
        strbuf_add_str(&b, STR("1;"));
        for (size_t k = 0; k < n; k++) {
            strbuf_add_char(&b, 'e');
        }
        strbuf_add_str(&b, STR("\r\nx\r\n"));
    }
    strbuf_add_str(&b, STR("0\r\n\r\n"));
    struct outcome o = decode(&chunked, strbuf_str(&b), 1000);
    strbuf_free(&b);
    strbuf_free(&o.payload);
    return o;
}

/* F16: 256 bytes for one chunk, 4096 for a message; chunks without are not limited by it. */
static void test_extensions_are_limited(void **state)
{
    (void)state;
    assert_int_equal(extended(1, 256).result, BODY_DONE);
    assert_int_equal(extended(1, 257).result, BODY_ERROR);
    assert_int_equal(extended(16, 256).result, BODY_DONE);
    assert_int_equal(extended(17, 256).result, BODY_ERROR);
    assert_int_equal(extended(4096, 1).result, BODY_DONE);
    assert_int_equal(extended(4097, 1).result, BODY_ERROR);
    assert_int_equal(extended(10000, 0).result, BODY_DONE);
}

static void test_trailers(void **state)
{
    (void)state;
    GOOD("0\r\nContent-Length: 5\r\nHost: evil\r\nX:\r\n\r\n", "");
    GOOD("0\r\nT:\t\xe9 v \r\n\r\n", "");
    BAD("0\r\nT : v\r\n\r\n");
    BAD("0\r\n T: v\r\n\r\n");
    BAD("0\r\nT: v\r\n w\r\n\r\n"); /* obs-fold */
    BAD("0\r\n: v\r\n\r\n");
    BAD("0\r\nnovalue\r\n\r\n");
    BAD("0\r\nA B: v\r\n\r\n");
    BAD("0\r\nT: \0\r\n\r\n");
    BAD("0\r\nT\0: v\r\n\r\n");
    BAD("0\r\nT: v\n\r\n");
    BAD("0\r\nGET / HTTP/1.1\r\n\r\n");
}

static void test_trailers_are_limited(void **state)
{
    (void)state;
    for (size_t n = 8180; n < 8200; n++) {
        struct strbuf b = {0};
        strbuf_add_str(&b, STR("0\r\nT:"));
        for (size_t i = 0; i < n - 6; i++) { /* all of "T:" … "\r\n\r\n" is n bytes */
            strbuf_add_char(&b, 'v');
        }
        strbuf_add_str(&b, STR("\r\n\r\n"));
        struct outcome o = decode(&chunked, strbuf_str(&b), 1000);
        assert_int_equal(o.result, n <= 8192 ? BODY_DONE : BODY_ERROR);
        strbuf_free(&o.payload);
        strbuf_free(&b);
    }
}

/* Chunks of 0 to 300 bytes (few of them large) in reads of any size, as runs and one by one. */
static void test_runs(void **state)
{
    (void)state;
    srandom(4711);
    for (int round = 0; round < 300; round++) {
        struct strbuf wire = {0}, payload = {0}, got = {0};
        for (long i = random() % 40; i > 0; i--) {
            size_t n = (size_t)(random() % (random() % 4 == 0 ? 300 : 3)) + 1;
            char line[32], byte = (char)('a' + random() % 26);
            strbuf_add(&wire, line, (size_t)snprintf(line, sizeof(line), "%zx;e=1\r\n", n));
            for (size_t k = 0; k < n; k++) {
                strbuf_add_char(&wire, byte);
                strbuf_add_char(&payload, byte);
            }
            strbuf_add_str(&wire, STR("\r\n"));
        }
        strbuf_add_str(&wire, STR("0\r\nX: 1\r\n\r\nrest"));
        struct body b;
        body_start(&b, &chunked);
        size_t at = 0, reads = 0, runs = 0;
        enum body_result r = BODY_MORE;
        while (r != BODY_DONE) {
            size_t n = (size_t)(random() % 200) + 1;
            n = n < wire.n - at ? n : wire.n - at;
            char *read = malloc(n);
            memcpy(read, wire.p + at, n);
            size_t taken = 0;
            do {
                size_t used;
                struct str data;
                r = body_next_run(&b, str_make(read + taken, n - taken), &used, &data);
                strbuf_add_str(&got, data);
                taken += used;
                runs += r == BODY_DATA;
            } while (r == BODY_DATA);
            free(read);
            at += taken;
            reads++;
        }
        assert_int_equal(wire.n - at, 4);
        assert_true(runs <= reads);
        assert_true(str_eq(strbuf_str(&got), strbuf_str(&payload)));
        strbuf_free(&wire);
        strbuf_free(&payload);
        strbuf_free(&got);
    }
}

/* What was right before a fault is handed out, then the fault is told. */
static void test_run_before_an_error(void **state)
{
    (void)state;
    char wire[] = "3\r\nabc\r\n2\r\nde\r\nx\r\n";
    struct str in = str_make(wire, sizeof(wire) - 1);
    struct body b;
    struct str data;
    size_t used;
    body_start(&b, &chunked);
    assert_int_equal(body_next_run(&b, in, &used, &data), BODY_DATA);
    assert_true(str_eq(data, STR("abcde")));
    assert_int_equal(body_next_run(&b, str_skip(in, used), &used, &data), BODY_ERROR);
    assert_int_equal(data.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_chunk_sizes),
        cmocka_unit_test(test_each_line_ending),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_extensions_are_limited),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_trailers_are_limited),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_run_before_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
