/*
 * Request heads: framing (hardening F1-F6), Expect (F8), Connection (H2), repetition (H3),
 * underscores (F13) and what is forwarded (H1).
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/guard.h"
#include "http/h1.h"

static struct arena arena;
static struct msg m;
static char *head_copy; /* exactly as long as the head, so that ASan sees a read beyond it */

static int setup(void **state)
{
    (void)state;
    field_table_init();
    arena_init(&arena, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    free(head_copy);
    head_copy = NULL;
    return 0;
}

/* The head between guard and parser, as the program has it. */
static struct str guarded(struct str head)
{
    static const struct guard_limits limits = {65536, 8192, 16384, 200};
    struct guard g = {0};
    size_t n = 0;
    int status = 0;
    const char *why = "";
    if (guard_scan(&g, head, &limits, false, &n, &status, &why) != GUARD_DONE) {
        fail_msg("guard: %d %s: %.*s", status, why, STR_ARG(head));
    }
    assert_int_equal(n, head.n);
    free(head_copy);
    head_copy = malloc(n);
    memcpy(head_copy, head.p, n);
    return str_make(head_copy, n);
}

static struct h1_verdict request(struct str head)
{
    arena_reset(&arena);
    struct h1_verdict v = h1_parse_request(guarded(head), &arena, false, &m);
    assert_int_equal(v.status == 0, v.why == NULL);
    return v;
}

/* POST with these field lines (each with its CRLF). */
static struct h1_verdict post(const char *fields)
{
    char text[2048];
    int n = snprintf(text, sizeof(text), "POST /p HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    return request(str_make(text, (size_t)n));
}

static void assert_str(struct str got, const char *want)
{
    if (!str_eq(got, str_from(want))) {
        fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got), want);
    }
}

static void assert_post_refused(const char *fields, int status)
{
    struct h1_verdict v = post(fields);
    if (v.status != status) {
        fail_msg("got %d (%s), want %d: %s", v.status, v.why, status, fields);
    }
}

static void assert_post_passes(const char *fields)
{
    struct h1_verdict v = post(fields);
    if (v.status != 0) {
        fail_msg("%d %s: %s", v.status, v.why, fields);
    }
}

static void test_request(void **state)
{
    (void)state;
    struct h1_verdict v = request(STR("GET /a?b=c HTTP/1.1\r\nHost: x\r\nempty:\r\n"
                                      "BLANK: \t\r\nX-Y:\tcaf\xe9 z\t \r\n\r\n"));
    assert_int_equal(v.status, 0);
    assert_int_equal(m.method, METHOD_GET);
    assert_str(m.method_name, "GET");
    assert_str(m.target, "/a?b=c");
    assert_int_equal(m.minor, 1);
    assert_int_equal(m.n_fields, 4);
    assert_str(m.fields[1].name, "empty");
    assert_str(m.fields[1].value, "");
    assert_str(m.fields[2].value, "");
    assert_str(m.fields[3].value, "caf\xe9 z");
    assert_int_equal(m.framing, FRAMING_NONE);
    assert_true(m.keep_alive);
    assert_false(m.upgrade);
    assert_false(m.expect_continue);
}

static void test_methods(void **state)
{
    (void)state;
    assert_int_equal(request(STR("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n")).status, 0);
    assert_int_equal(m.method, METHOD_OTHER);
    assert_str(m.method_name, "M-SEARCH");
    assert_int_equal(request(STR("PURGE / HTTP/1.1\r\nHost: a\r\n\r\n")).status, 0);
    assert_int_equal(request(STR("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n")).status, 0);
    assert_int_equal(m.method, METHOD_CONNECT);
    assert_str(m.target, "a:443");
    static const char *const unknown[] = {"get",      "Get",   "GETX",   "GE",      "FOO",
                                          "DESCRIBE", "SETUP", "POSTER", "OPTION",  "PR",
                                          "TEARDOWN", "FLUSH", "!",      "ANNOUNCE"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        char text[64];
        int n = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n\r\n", unknown[i]);
        struct h1_verdict v = request(str_make(text, (size_t)n));
        if (v.status != 501) {
            fail_msg("%s: %d %s", unknown[i], v.status, v.why);
        }
    }
    /* llhttp waits for the rest of HTTP/2's preface and says "fine so far" */
    assert_int_not_equal(request(STR("PRI * HTTP/1.1\r\nHost: a\r\n\r\n")).status, 0);
}

static void test_host(void **state)
{
    (void)state;
    assert_int_equal(request(STR("GET / HTTP/1.1\r\n\r\n")).status, 400);
    assert_int_equal(request(STR("GET / HTTP/1.0\r\n\r\n")).status, 0);
    assert_int_equal(request(STR("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")).status, 400);
    assert_int_equal(request(STR("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n")).status, 400);
    assert_int_equal(request(STR("GET / HTTP/1.1\r\nHost:\r\n\r\n")).status,
                     0); /* host_parse */
}

static void test_content_length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},
                {"5", 5},
                {"\t5 \t", 5},
                {"5\t ", 5},
                {"0000000000000000005", 5},
                {"9223372036854775807", INT64_MAX}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "Content-Length:%s\r\n", good[i].text);
        assert_post_passes(line);
        assert_int_equal(m.framing, FRAMING_LENGTH);
        assert_true(m.content_length == good[i].value);
    }
    static const char *const bad[] = {
        "",
        " ",
        "+5",
        "-5",
        "-0",
        "0x5",
        "5_0",
        "1e1",
        "5 0",
        "5,",
        ",5",
        "5, 5",
        "5,6",
        "5.0",
        "5;",
        "5a",
        "a",
        "\"5\"",
        "5 5",
        "0 x",
        "\xb2",
        "５",
        "5\t5",
        "00000000000000000005",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999",
        "-9223372036854775808",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "Content-Length:%s\r\n", bad[i]);
        assert_post_refused(line, 400);
    }
    assert_post_refused("Content-Length: 5\r\nContent-Length: 5\r\n", 400);
    assert_post_refused("Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n", 400);
    assert_post_refused("Content-Length: 5\r\nContent-Length:\r\n", 400);
}

static void test_transfer_encoding(void **state)
{
    (void)state;
    static const char *const good[] = {"chunked", " chunked ", "\tChunked\t", "CHUNKED"};
    char line[128];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(line, sizeof(line), "Transfer-Encoding:%s\r\n", good[i]);
        assert_post_passes(line);
        assert_int_equal(m.framing, FRAMING_CHUNKED);
    }
    static const char *const bad[] = {"",
                                      " ",
                                      "gzip",
                                      "identity",
                                      "chunked, chunked",
                                      ",chunked",
                                      "chunked,",
                                      "chunked;q=1",
                                      "gzip, chunked",
                                      "chunked, gzip",
                                      "xchunked",
                                      "chunkedx",
                                      "chunk",
                                      "\"chunked\"",
                                      "'chunked'",
                                      "chunked x",
                                      "x chunked",
                                      "chunked\tx",
                                      "\xa0"
                                      "chunked",
                                      "chunked\x85",
                                      "chun ked",
                                      "c hunked",
                                      "chunked ;a",
                                      "chunked=1",
                                      "chunKed, identity",
                                      "compress",
                                      "deflate",
                                      "trailers",
                                      ",",
                                      ";chunked"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "Transfer-Encoding:%s\r\n", bad[i]);
        int status = post(line).status;
        if (status != 400 && status != 501) {
            fail_msg("%d: %s", status, line);
        }
    }
    assert_int_not_equal(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n").status, 0);
    assert_int_not_equal(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n").status, 0);
    assert_int_not_equal(post("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n").status,
                         0);
}

static void test_both_framings(void **state)
{
    (void)state;
    assert_post_refused("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400);
    assert_post_refused("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400);
    assert_post_refused("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400);
    assert_int_not_equal(post("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n").status, 0);
    assert_int_not_equal(post("Transfer-Encoding:\r\nContent-Length: 5\r\n").status, 0);
}

static void test_http_1_0(void **state)
{
    (void)state;
    assert_int_equal(
        request(STR("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")).status, 400);
    assert_int_equal(request(STR("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n")).status, 0);
    assert_int_equal(m.framing, FRAMING_LENGTH);
    assert_false(m.keep_alive);
    assert_int_equal(
        request(STR("POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"))
            .status,
        0);
    assert_false(m.expect_continue); /* RFC 9110 10.1.1: ignored */
}

static void test_keep_alive(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"1.1\r\nHost: a\r\n", true},
        {"1.1\r\nHost: a\r\nConnection: close\r\n", false},
        {"1.1\r\nHost: a\r\nConnection: CLOSE\r\n", false},
        {"1.1\r\nHost: a\r\nConnection: x, close\r\n", false},
        {"1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n", false},
        {"1.1\r\nHost: a\r\nConnection: closed\r\n", true},
        {"1.1\r\nHost: a\r\nConnection:\r\n", true},
        {"1.0\r\n", false},
        {"1.0\r\nConnection: keep-alive\r\n", true},
        {"1.0\r\nConnection: Keep-Alive, close\r\n", false},
        {"1.0\r\nConnection: x\r\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[128];
        int n = snprintf(text, sizeof(text), "GET / HTTP/%s\r\n", cases[i].text);
        assert_int_equal(request(str_make(text, (size_t)n)).status, 0);
        assert_int_equal(m.keep_alive, cases[i].keep);
    }
}

static void test_upgrade(void **state)
{
    (void)state;
    assert_post_passes("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n");
    assert_true(m.upgrade);
    assert_post_passes("Upgrade: websocket\r\n");
    assert_false(m.upgrade);
    assert_post_passes("Connection: upgrade\r\n");
    assert_false(m.upgrade);
    assert_post_passes("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n");
    assert_int_equal(m.framing, FRAMING_LENGTH);
}

static void test_expect(void **state)
{
    (void)state;
    assert_post_passes("Content-Length: 5\r\nExpect: 100-continue\r\n");
    assert_true(m.expect_continue);
    assert_post_passes("Transfer-Encoding: chunked\r\nexpect: 100-Continue\r\n");
    assert_true(m.expect_continue);
    assert_post_passes("Expect: 100-continue\r\n");
    assert_false(m.expect_continue);
    assert_post_passes("Content-Length: 0\r\nExpect: 100-continue\r\n");
    assert_false(m.expect_continue); /* nothing to wait for */
    static const char *const bad[] = {"",
                                      "200-ok",
                                      "100-continue, x",
                                      "y 100-continue",
                                      "100-continue;q=1",
                                      "100-continue\r\nExpect: 100-continue",
                                      "100-continue\r\nExpect: x",
                                      "\"100-continue\""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "Content-Length: 5\r\nExpect: %s\r\n", bad[i]);
        assert_post_refused(line, 417);
    }
}

static void test_connection_may_not_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Authorization",
        "COOKIE",
        "cache-control",
        "Expect",
        "Forwarded",
        "Content-Type",
        "Content-Encoding",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Real-IP",
        "If-None-Match",
        "Range",
        "X-Forwarded-Proto",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "Connection: %s\r\n", names[i]);
        assert_post_refused(line, 400);
        snprintf(line, sizeof(line), "Connection: close\r\nConnection: x,\t%s ,y\r\n",
                 names[i]);
        assert_post_refused(line, 400);
    }
    assert_post_passes("Connection: close, TE, Upgrade, Keep-Alive, X-Custom,, ,\r\n");
    assert_post_passes("Connection: Hos, Hostt, Cookie2\r\n");
}

/* Who reads the request sees what the backend will get: a key made of a field that is not sent
 * on would store one client's answer under another's name. */
static void test_fields_that_connection_names_are_gone(void **state)
{
    (void)state;
    assert_post_passes("Connection: x-region, close\r\nX-Region: eu\r\nX-Regional: a\r\n"
                       "x-REGION: us\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    assert_null(msg_joined_name(&m, STR("X-Region"), &arena).p);
    assert_str(msg_joined_name(&m, STR("X-Regional"), &arena), "a");
    assert_str(msg_joined(&m, FIELD_CONNECTION, &arena), "x-region, close, Upgrade");
    assert_true(m.upgrade);
    assert_false(m.keep_alive);
}

/* Each option is compared with each field: many of both would cost a client nothing and us
 * milliseconds. */
static void test_connection_options_are_limited(void **state)
{
    (void)state;
    struct strbuf fields = {0};
    strbuf_addf(&fields, "Connection: a");
    for (int i = 1; i < 32; i++) {
        strbuf_addf(&fields, i == 16 ? "\r\nConnection: b" : ",b");
    }
    strbuf_addf(&fields, "\r\n");
    strbuf_add_char(&fields, '\0');
    assert_post_passes(fields.p);
    fields.n -= 3;
    strbuf_addf(&fields, ",c\r\n");
    strbuf_add_char(&fields, '\0');
    assert_post_refused(fields.p, 400);
    strbuf_free(&fields);
}

static void test_repeated_fields(void **state)
{
    (void)state;
    static const char *const once[] = {"Authorization", "Content-Type",        "If-Range",
                                       "Range",         "If-Modified-Since",   "Max-Forwards",
                                       "Content-Range", "If-Unmodified-Since", "Host"};
    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
        char lines[128];
        snprintf(lines, sizeof(lines), "%s: a\r\nX: y\r\n%s: a\r\n", once[i], once[i]);
        assert_post_refused(lines, 400);
    }
    assert_post_passes(
        "Cookie: a=1\r\nCookie: b=2\r\nIf-None-Match: \"a\"\r\n"
        "If-None-Match: \"b\"\r\nAge: 1\r\nAge: 2\r\nExpires: a\r\nExpires: b\r\n"
        "Accept: a\r\nAccept: b\r\nX-Custom: 1\r\nX-Custom: 1\r\n");
    assert_int_equal(m.n_fields, 13);
}

static void test_underscores(void **state)
{
    (void)state;
    static const char *const imitations[] = {"Content_Length",  "Transfer_Encoding",
                                             "X_Forwarded_For", "host_",
                                             "Cache_control",   "IF-NONE_MATCH"};
    for (size_t i = 0; i < sizeof(imitations) / sizeof(imitations[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "%s: 5\r\n", imitations[i]);
        int want = strcmp(imitations[i], "host_") == 0 ? 0 : 400;
        assert_post_refused(line, want);
        struct str head = guarded(
            str_make(line, (size_t)snprintf(line, sizeof(line),
                                            "GET / HTTP/1.0\r\n%s: 5\r\n\r\n", imitations[i])));
        arena_reset(&arena);
        assert_int_equal(h1_parse_request(head, &arena, true, &m).status, want);
    }
    assert_post_passes("X_User: 1\r\nY: 2\r\n_: 3\r\n");
    assert_int_equal(m.n_fields, 2); /* dropped */
    assert_str(m.fields[1].name, "Y");
    struct str head = guarded(STR("GET / HTTP/1.0\r\nX_User: 1\r\nY: 2\r\n\r\n"));
    arena_reset(&arena);
    assert_int_equal(h1_parse_request(head, &arena, true, &m).status, 0);
    assert_int_equal(m.n_fields, 2);
    assert_str(m.fields[0].name, "X_User");
}

static void test_forwardable(void **state)
{
    (void)state;
    assert_post_passes("Connection: X-Secret, te, close\r\nX-Secret: 1\r\nX-Other: 2\r\n"
                       "TE: trailers\r\nTrailer: x\r\nKeep-Alive: 5\r\nUpgrade: x\r\n"
                       "Proxy-Connection: x\r\nProxy-Authorization: x\r\nHTTP2-Settings: x\r\n"
                       "Transfer-Encoding: chunked\r\nx-secret: 3\r\nContent-Type: t\r\n");
    char kept[128] = "";
    size_t n = 0;
    for (size_t i = 0; i < m.n_fields; i++) {
        if (h1_forwardable(&m, &m.fields[i])) {
            n += (size_t)snprintf(kept + n, sizeof(kept) - n, "%.*s ",
                                  STR_ARG(m.fields[i].name));
        }
    }
    assert_string_equal(kept, "Host X-Other Content-Type ");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_request),
        T(test_methods),
        T(test_host),
        T(test_content_length),
        T(test_transfer_encoding),
        T(test_both_framings),
        T(test_http_1_0),
        T(test_keep_alive),
        T(test_upgrade),
        T(test_expect),
        T(test_connection_may_not_name),
        T(test_fields_that_connection_names_are_gone),
        T(test_connection_options_are_limited),
        T(test_repeated_fields),
        T(test_underscores),
        T(test_forwardable),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
