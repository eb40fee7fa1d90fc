/*
 * Answers' heads: framing, what has no body, repeated fields, statuses (hardening F21).
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
    if (guard_scan(&g, head, &limits, true, &n, &status, &why) != GUARD_DONE) {
        fail_msg("guard: %d %s: %.*s", status, why, STR_ARG(head));
    }
    assert_int_equal(n, head.n);
    free(head_copy);
    head_copy = malloc(n);
    memcpy(head_copy, head.p, n);
    return str_make(head_copy, n);
}

static struct h1_verdict response(const char *start, const char *fields, enum method method)
{
    char text[2048];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%s\r\n", start, fields);
    arena_reset(&arena);
    struct str head = guarded(str_make(text, (size_t)n));
    struct h1_verdict v = h1_parse_response(head, method, &arena, &m);
    assert_true(v.status == 0 || (v.status == 502 && v.why != NULL));
    return v;
}

static void assert_str(struct str got, const char *want)
{
    if (!str_eq(got, str_from(want))) {
        fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got), want);
    }
}

static void test_response(void **state)
{
    (void)state;
    assert_int_equal(
        response("200 caf\xe9", "A: b\r\nContent-Length: 7\r\n", METHOD_GET).status, 0);
    assert_int_equal(m.status, 200);
    assert_str(m.reason, "caf\xe9");
    assert_int_equal(m.framing, FRAMING_LENGTH);
    assert_int_equal(m.content_length, 7);
    assert_true(m.keep_alive);
    assert_int_equal(response("999", "", METHOD_GET).status, 0);
    assert_int_equal(m.status, 999);
    assert_int_equal(m.reason.n, 0);
    assert_int_equal(response("404 ", "Content-Length: 0\r\n", METHOD_GET).status, 0);
    assert_int_equal(m.reason.n, 0);
}

static void test_response_until_close(void **state)
{
    (void)state;
    assert_int_equal(response("200 OK", "Connection: keep-alive\r\n", METHOD_GET).status, 0);
    assert_int_equal(m.framing, FRAMING_CLOSE);
    assert_false(m.keep_alive);
}

static void test_response_without_body(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        enum method method;
        size_t fields; /* of Content-Length and X that stay */
    } cases[] = {
        {"200 OK", METHOD_HEAD, 2},      {"404 NF", METHOD_HEAD, 2},
        {"304 NM", METHOD_GET, 2},       {"204 NC", METHOD_GET, 1},
        {"100 Continue", METHOD_GET, 1}, {"103 Early Hints", METHOD_GET, 1},
        {"101 SP", METHOD_GET, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *fields = "Content-Length: 5\r\nX: y\r\n";
        assert_int_equal(response(cases[i].start, fields, cases[i].method).status, 0);
        assert_int_equal(m.framing, FRAMING_NONE);
        assert_true(m.keep_alive);
        /* RFC 9110 8.6: a length says something in HEAD and 304, nothing in 1xx and 204 */
        assert_int_equal(m.n_fields, cases[i].fields);
        fields = "Transfer-Encoding: chunked\r\nX: y\r\n";
        assert_int_equal(response(cases[i].start, fields, cases[i].method).status, 0);
        assert_int_equal(m.framing, FRAMING_NONE);
    }
    assert_int_equal(response("205 RC", "Content-Length: 5\r\n", METHOD_GET).status, 0);
    assert_int_equal(m.framing, FRAMING_LENGTH);
}

static void test_response_bad_framing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    };
    static const char *const starts[] = {"200 OK", "304 NM", "404 NF"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (size_t k = 0; k < sizeof(starts) / sizeof(starts[0]); k++) {
            if (response(starts[k], bad[i], METHOD_GET).status != 502 ||
                response(starts[k], bad[i], METHOD_HEAD).status != 502) {
                fail_msg("accepted %s with %s", starts[k], bad[i]);
            }
        }
    }
    struct str head = guarded(STR("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_int_equal(h1_parse_response(head, METHOD_GET, &arena, &m).status, 502);
}

/* An origin's doubled validators are its own affair: kept in order, the first is read. */
static void test_response_repeated_fields(void **state)
{
    (void)state;
    const char *fields =
        "ETag: \"a\"\r\nETag: \"b\"\r\nDate: x\r\nDate: y\r\nAge: 1\r\nAge: 2\r\n"
        "Last-Modified: x\r\nLast-Modified: y\r\nExpires: 0\r\nExpires: 1\r\n"
        "Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n";
    assert_int_equal(response("200 OK", fields, METHOD_GET).status, 0);
    assert_int_equal(m.n_fields, 13);
    assert_str(msg_get(&m, FIELD_ETAG), "\"a\"");
    assert_str(msg_get(&m, FIELD_AGE), "1");
    assert_int_equal(msg_count(&m, FIELD_SET_COOKIE), 2);
}

static void test_response_connection_options_are_limited(void **state)
{
    (void)state;
    char fields[128] = "Connection: a";
    size_t n = strlen(fields);
    for (int i = 0; i < 31; i++) {
        n += (size_t)snprintf(fields + n, sizeof(fields) - n, ",b");
    }
    snprintf(fields + n, sizeof(fields) - n, "\r\n");
    assert_int_equal(response("200 OK", fields, METHOD_GET).status, 0);
    snprintf(fields + n, sizeof(fields) - n, ",c\r\n");
    assert_int_equal(response("200 OK", fields, METHOD_GET).status, 502);
}

static void test_response_upgrade(void **state)
{
    (void)state;
    const char *fields = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    assert_int_equal(response("101 SP", fields, METHOD_GET).status, 0);
    assert_true(m.upgrade);
    fields = "Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 5\r\n";
    assert_int_equal(response("200 OK", fields, METHOD_GET).status, 0);
    assert_int_equal(m.framing, FRAMING_LENGTH);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_response),
        T(test_response_until_close),
        T(test_response_without_body),
        T(test_response_bad_framing),
        T(test_response_repeated_fields),
        T(test_response_connection_options_are_limited),
        T(test_response_upgrade),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
