/*
 * cache/compress: which types, what is worth it, the way back, damage, threads that end.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/compress.h"

static void test_types(void **state)
{
    (void)state;
    static const char *const yes[] = {"text/html",
                                      "text/plain; charset=utf-8",
                                      "TEXT/CSS",
                                      "application/json",
                                      "application/json;charset=utf-8",
                                      " application/JSON ; x=y",
                                      "application/problem+json",
                                      "application/atom+xml",
                                      "image/svg+xml",
                                      "application/javascript",
                                      "application/x-ndjson"};
    static const char *const no[] = {"",
                                     "text",
                                     "text/",
                                     "image/png",
                                     "video/mp4",
                                     "application/octet-stream",
                                     "font/woff2",
                                     ";",
                                     "application/zip",
                                     "+jso",
                                     "text/event-stream",
                                     "text/event-stream; charset=utf-8",
                                     "application/jsonx"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (!compress_type(str_from(yes[i]))) {
            fail_msg("%s is not compressed", yes[i]);
        }
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        if (compress_type(str_from(no[i]))) {
            fail_msg("%s is compressed", no[i]);
        }
    }
    assert_false(compress_type(STR_NULL));
}

/* JSON of some length. */
static struct strbuf sample(unsigned rows)
{
    struct strbuf b = {0};
    for (unsigned i = 0; i < rows; i++) {
        strbuf_addf(&b, "{\"id\":%u,\"name\":\"agent %u\",\"status\":\"active\"},", i,
                    i * 7919);
    }
    return b;
}

static void test_round_trip(void **state)
{
    (void)state;
    for (unsigned rows = 3; rows < 5000; rows *= 3) {
        struct strbuf body = sample(rows);
        struct strbuf gz = {0};
        struct strbuf back = {0};
        strbuf_add_str(&gz, STR("kept"));
        strbuf_add_str(&back, STR("kept"));
        assert_true(compress_gzip(strbuf_str(&body), &gz));
        assert_true(gz.n - 4 <= body.n * 9 / 10);
        assert_memory_equal(gz.p, "kept\x1f\x8b", 6);
        struct str stored = str_skip(strbuf_str(&gz), 4);
        assert_true(compress_inflate(stored, body.n, &back));
        assert_true(str_eq(str_skip(strbuf_str(&back), 4), strbuf_str(&body)));
        assert_memory_equal(back.p, "kept", 4);
        strbuf_free(&body);
        strbuf_free(&gz);
        strbuf_free(&back);
    }
}

static void test_not_worth_it(void **state)
{
    (void)state;
    struct strbuf out = {0};
    strbuf_add_str(&out, STR("kept"));
    char noise[4096];
    unsigned x = 1;
    for (size_t i = 0; i < sizeof(noise); i++) {
        x = x * 1664525 + 1013904223;
        noise[i] = (char)(x >> 24);
    }
    for (size_t n = 0; n <= sizeof(noise); n = n * 2 + 1) {
        assert_false(compress_gzip(str_make(noise, n), &out));
    }
    assert_false(compress_gzip(STR("aaaaaaaaaaaaaaaaaaa"), &out)); /* header and trailer: 18 */
    assert_false(compress_gzip(STR_NULL, &out));
    assert_int_equal(out.n, 4);
    strbuf_free(&out);
}

static bool inflates(struct str gz, size_t length)
{
    struct strbuf out = {0};
    bool ok = compress_inflate(gz, length, &out);
    assert_true(ok || out.n == 0);
    strbuf_free(&out);
    return ok;
}

static void test_damage(void **state)
{
    (void)state;
    struct strbuf body = sample(40);
    struct strbuf gz = {0};
    assert_true(compress_gzip(strbuf_str(&body), &gz));
    assert_true(inflates(strbuf_str(&gz), body.n));
    assert_false(inflates(strbuf_str(&gz), body.n - 1));
    assert_false(inflates(strbuf_str(&gz), body.n + 1));
    assert_false(inflates(strbuf_str(&gz), 0));
    assert_false(inflates(strbuf_str(&gz), SIZE_MAX));
    for (size_t n = 0; n < gz.n; n++) {
        char *copy = xmalloc(n); /* exactly n, so that ASan sees a read beyond */
        memcpy(copy, gz.p, n);
        assert_false(inflates(str_make(copy, n), body.n));
        free(copy);
    }
    for (size_t i = 0; i < gz.n; i++) {
        gz.p[i] = (char)(gz.p[i] ^ 0x10);
        /* Time, extra flags and system (bytes 4 to 9) say nothing about the body. */
        if (i < 4 || i > 9) {
            assert_false(inflates(strbuf_str(&gz), body.n));
        }
        gz.p[i] = (char)(gz.p[i] ^ 0x10);
    }
    strbuf_add_char(&gz, 0);
    assert_false(inflates(strbuf_str(&gz), body.n));
    strbuf_free(&gz);
    strbuf_free(&body);
}

/* A length that cannot be true costs no memory. */
static void test_bomb(void **state)
{
    (void)state;
    char gz[64] = "\x1f\x8b\x08";
    memset(gz + 60, 0xff, 4); /* ISIZE 4 GiB - 1 */
    struct strbuf out = {0};
    assert_false(compress_inflate(str_make(gz, sizeof(gz)), UINT32_MAX, &out));
    assert_int_equal(out.cap, 0);
    strbuf_free(&out);
}

static void *use_once(void *arg)
{
    struct strbuf body = sample(100);
    struct strbuf gz = {0};
    struct strbuf back = {0};
    bool ok = compress_gzip(strbuf_str(&body), &gz) &&
              compress_inflate(strbuf_str(&gz), body.n, &back) &&
              str_eq(strbuf_str(&back), strbuf_str(&body));
    strbuf_free(&body);
    strbuf_free(&gz);
    strbuf_free(&back);
    return ok ? arg : NULL;
}

/* LeakSanitizer says whether their codecs go with them. */
static void test_threads(void **state)
{
    for (int round = 0; round < 8; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, use_once, (void *)state), 0);
        }
        for (int i = 0; i < 4; i++) {
            void *result;
            pthread_join(threads[i], &result);
            assert_ptr_equal(result, (void *)state);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_not_worth_it), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_bomb),         cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
