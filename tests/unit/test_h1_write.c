/*
 * The writer of heads (hardening H4): what it writes, and that nothing it writes can be split.
 */
#include "unit.h"

#include <stdlib.h>

#include "http/h1.h"

static void assert_str(struct str got, const char *want)
{
    if (!str_eq(got, str_from(want))) {
        fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got), want);
    }
}

static void test_writer(void **state)
{
    (void)state;
    struct strbuf b = {0};
    h1_write_request_line(&b, STR("GET"), STR("/a?b"));
    h1_write_field(&b, STR("Host"), STR("x"));
    h1_write_field(&b, STR("Empty"), STR(""));
    h1_write_u64_field(&b, STR("Content-Length"), UINT64_MAX);
    h1_write_end(&b);
    assert_str(strbuf_str(&b), "GET /a?b HTTP/1.1\r\nHost: x\r\nEmpty: \r\n"
                               "Content-Length: 18446744073709551615\r\n\r\n");
    b.n = 0;
    h1_write_status_line(&b, 200, STR("OK"));
    h1_write_status_line(&b, 299, STR_NULL);
    h1_write_status_line(&b, 404, STR("caf\xe9"));
    assert_str(strbuf_str(&b), "HTTP/1.1 200 OK\r\nHTTP/1.1 299 \r\nHTTP/1.1 404 caf\xe9\r\n");
    strbuf_free(&b);
}

/* H4: a line break or NUL anywhere, at any length, never reaches the wire. */
static void test_writer_never_splits(void **state)
{
    (void)state;
    static const char breaks[] = {'\r', '\n', '\0'};
    struct strbuf b = {0};
    char text[40];
    memset(text, 'v', sizeof(text));
    for (size_t n = 1; n <= sizeof(text); n++) {
        for (size_t at = 0; at < n; at++) {
            for (size_t k = 0; k < sizeof(breaks); k++) {
                char *exact = malloc(n); /* for ASan: nothing may be read beyond */
                memset(exact, 'v', n);
                exact[at] = breaks[k];
                h1_write_field(&b, STR("Name"), str_make(exact, n));
                h1_write_field(&b, str_make(exact, n), STR("value"));
                assert_int_equal(b.n, 0);
                h1_write_status_line(&b, 200, str_make(exact, n));
                assert_str(strbuf_str(&b), "HTTP/1.1 200 \r\n");
                b.n = 0;
                free(exact);
            }
        }
        h1_write_field(&b, STR("N"), str_make(text, n));
        assert_int_equal(b.n, n + 5);
        b.n = 0;
    }
    for (int c = 0; c < 256; c++) { /* alone among bytes that look alike */
        memset(text, c ^ 0x80, 16);
        text[7] = (char)c;
        bool breaks_line =
            c == '\r' || c == '\n' || c == 0 || c == 0x8d || c == 0x8a || c == 0x80;
        h1_write_field(&b, STR("N"), str_make(text, 16));
        assert_int_equal(b.n == 0, breaks_line);
        b.n = 0;
    }
    strbuf_free(&b);
}

/* A target or method is checked long before; should one come here with such a byte, the line
 * stays one line of three parts. */
static void test_writer_request_line_never_splits(void **state)
{
    (void)state;
    struct strbuf b = {0};
    h1_write_request_line(&b, STR("GET"), STR("/a b\r\nX: y\0\x7f\xe9"));
    assert_str(strbuf_str(&b), "GET /a%20b%0D%0AX:%20y%00%7F%E9 HTTP/1.1\r\n");
    b.n = 0;
    h1_write_request_line(&b, STR("G T\n"), STR("/"));
    assert_str(strbuf_str(&b), "G%20T%0A / HTTP/1.1\r\n");
    strbuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_writer_never_splits),
        cmocka_unit_test(test_writer_request_line_never_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
