/*
 * Replies from bytes: every type, split at each byte, hostile lengths, counts and depths, and
 * error lines by name.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "cache/redis_decoder.h"

#define MAX_VALUE 1000

static struct redis_decoder *d;

static int setup(void **state)
{
    (void)state;
    d = redis_decoder_new(MAX_VALUE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redis_decoder_free(d);
    return 0;
}

/* The tree in words, to compare it at one look. */
static void describe(const struct redis_reply *r, struct strbuf *out)
{
    switch (r->type) {
    case REDIS_NIL: strbuf_addf(out, "nil"); break;
    case REDIS_STRING: strbuf_addf(out, "\"%.*s\"", STR_ARG(r->text)); break;
    case REDIS_STATUS: strbuf_addf(out, "+%.*s", STR_ARG(r->text)); break;
    case REDIS_INTEGER: strbuf_addf(out, "%lld", (long long)r->integer); break;
    case REDIS_ERROR: strbuf_addf(out, "-%s", redis_error_name(r->error)); break;
    case REDIS_ARRAY:
        strbuf_addf(out, "[");
        for (size_t i = 0; i < r->n_items; i++) {
            strbuf_addf(out, i > 0 ? " " : "%s", "");
            describe(r->items[i], out);
        }
        strbuf_addf(out, "]");
        break;
    }
}

/* Drains the decoder into words; how it ended. */
static enum redis_decode drain(struct strbuf *out)
{
    struct redis_reply *reply;
    enum redis_decode what;
    while ((what = redis_decoder_next(d, &reply)) == REDIS_DECODE_REPLY) {
        describe(reply, out);
        strbuf_addf(out, ";");
        redis_reply_free(reply);
    }
    return what;
}

static void expect(const char *wire, const char *words, enum redis_decode end)
{
    size_t n = strlen(wire);
    for (size_t piece = 1; piece <= n; piece++) {
        struct strbuf out = {0};
        enum redis_decode what = REDIS_DECODE_MORE;
        redis_decoder_free(d);
        d = redis_decoder_new(MAX_VALUE);
        for (size_t at = 0; at < n; at += piece) {
            redis_decoder_feed(d, wire + at, n - at < piece ? n - at : piece);
            what = drain(&out);
        }
        if (!str_eq(strbuf_str(&out), str_from(words)) || what != end) {
            fail_msg("%s in pieces of %zu: %.*s, %d", wire, piece, STR_ARG(strbuf_str(&out)),
                     what);
        }
        strbuf_free(&out);
    }
}

static void test_types(void **state)
{
    (void)state;
    expect("+OK\r\n", "+OK;", REDIS_DECODE_MORE);
    expect("+\r\n", "+;", REDIS_DECODE_MORE);
    expect("-ERR no\r\n", "-other;", REDIS_DECODE_MORE);
    expect(":0\r\n:-12\r\n:42\r\n", "0;-12;42;", REDIS_DECODE_MORE);
    expect(":9223372036854775807\r\n", "9223372036854775807;", REDIS_DECODE_MORE);
    expect("$5\r\na\r\nb:\r\n", "\"a\r\nb:\";", REDIS_DECODE_MORE);
    expect("$0\r\n\r\n", "\"\";", REDIS_DECODE_MORE);
    expect("$-1\r\n*-1\r\n", "nil;nil;", REDIS_DECODE_MORE);
    expect("*0\r\n", "[];", REDIS_DECODE_MORE);
    expect("*3\r\n:1\r\n$-1\r\n*2\r\n+a\r\n*0\r\n+next\r\n", "[1 nil [+a []]];+next;",
           REDIS_DECODE_MORE);
    expect("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:7\r\n", "[[[[[[[7]]]]]]];",
           REDIS_DECODE_MORE);
    expect("*2\r\n-MOVED 1 a:1\r\n:1\r\n", "[-MOVED 1];", REDIS_DECODE_MORE);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\n",
        "\r\n",
        "\n",
        "%1\r\n", /* RESP3 */
        "_\r\n",  /* RESP3 nil */
        "#t\r\n", /* RESP3 boolean */
        ",1.5\r\n",
        ">1\r\n",
        "~1\r\n",
        "(1\r\n",
        "=1\r\n",
        "!1\r\n",
        "|1\r\n",
        "+a\n",
        "+a\rb\r\n",
        ":\r\n",
        ":-\r\n",
        ":--1\r\n",
        ":1-\r\n",
        ":+1\r\n",
        ":1 \r\n",
        ": 1\r\n",
        ":1\n",
        ":9223372036854775808\r\n",
        ":-9223372036854775809\r\n",
        ":99999999999999999999\r\n",
        "$-2\r\n",
        "$-0\r\n",
        "$a\r\n",
        "$0x5\r\n",
        "$1\r\nab\r\n",
        "$1\r\na\n\n",
        "$1\r\na\r\r",
        "$0\r\na\r\n",
        "$18446744073709551616\r\n",
        "$99999999999999999999\r\n",
        "*-2\r\n",
        "*1e1\r\n",
        "*18446744073709551617\r\n",
        "*2\r\n+a\r\n\r\n",
        "*1\r\nx\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char wire[200];
        expect(bad[i], "", REDIS_DECODE_MALFORMED);
        /* What came before stands; what comes after is not believed. */
        snprintf(wire, sizeof(wire), "+a\r\n%s+b\r\n", bad[i]);
        expect(wire, "+a;", REDIS_DECODE_MALFORMED);
    }
}

static void test_too_large(void **state)
{
    (void)state;
    static const char *const large[] = {
        "$1001\r\n",
        "$536870912\r\n",
        "$9223372036854775807\r\n",
        "$9999999999999999999\r\n",
        "*65537\r\n",
        "*2147483648\r\n",
        "*4294967297\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:7\r\n",
        "*1\r\n$1001\r\n",
    };
    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
        char wire[200];
        snprintf(wire, sizeof(wire), ":1\r\n%s", large[i]);
        expect(wire, "1;", REDIS_DECODE_TOO_LARGE);
    }
    /* Just within. */
    char *wire = malloc(2000);
    assert_non_null(wire);
    int n = snprintf(wire, 2000, "$1000\r\n%01000d\r\n", 0);
    redis_decoder_free(d);
    d = redis_decoder_new(MAX_VALUE);
    redis_decoder_feed(d, wire, (size_t)n);
    struct redis_reply *reply;
    assert_int_equal(redis_decoder_next(d, &reply), REDIS_DECODE_REPLY);
    assert_int_equal(reply->text.n, 1000);
    redis_reply_free(reply);
    free(wire);
}

static void feed_text(const char *text)
{
    redis_decoder_feed(d, text, strlen(text));
}

/* Many small things that together are too much: lines, values, bytes. */
static void test_sum_limits(void **state)
{
    (void)state;
    struct redis_reply *reply;
    feed_text("+");
    char line[1024];
    memset(line, 'a', sizeof(line));
    for (unsigned i = 0; i < REDIS_MAX_LINE / sizeof(line); i++) {
        redis_decoder_feed(d, line, sizeof(line));
        assert_int_equal(redis_decoder_next(d, &reply), REDIS_DECODE_MORE);
    }
    feed_text("a");
    assert_int_equal(redis_decoder_next(d, &reply), REDIS_DECODE_TOO_LARGE);

    teardown(NULL);
    setup(NULL);
    feed_text("*65536\r\n");
    for (unsigned i = 0; i < 5; i++) { /* 5 x 65536 > REDIS_MAX_NODES */
        feed_text("*65536\r\n");
        for (unsigned k = 0; k < 65536; k++) {
            feed_text(":1\r\n");
        }
    }
    assert_int_equal(redis_decoder_next(d, &reply), REDIS_DECODE_TOO_LARGE);

    teardown(NULL);
    d = redis_decoder_new(8 * 1024 * 1024); /* a whole reply: 32 MiB */
    feed_text("*65536\r\n");
    char *value = calloc(1, 1024 * 1024);
    unsigned taken = 0;
    while (taken < 100 && redis_decoder_next(d, &reply) == REDIS_DECODE_MORE) {
        feed_text("$1048576\r\n");
        redis_decoder_feed(d, value, 1024 * 1024);
        feed_text("\r\n");
        taken++;
    }
    assert_in_range(taken, 31, 33);
    free(value);
}

static void test_nothing_after_the_end(void **state)
{
    (void)state;
    struct redis_reply *reply;
    feed_text("x");
    assert_int_equal(redis_decoder_next(d, &reply), REDIS_DECODE_MALFORMED);
    assert_string_equal(redis_decoder_why(d), "an unknown type of reply");
    feed_text("+OK\r\n");
    assert_int_equal(redis_decoder_next(d, &reply), REDIS_DECODE_MALFORMED);
    assert_null(reply);
}

static void test_item(void **state)
{
    (void)state;
    struct redis_reply *reply;
    feed_text("*2\r\n$1\r\na\r\n:1\r\n");
    assert_int_equal(redis_decoder_next(d, &reply), REDIS_DECODE_REPLY);
    assert_non_null(redis_reply_item(reply, 0, REDIS_STRING));
    assert_null(redis_reply_item(reply, 0, REDIS_INTEGER));
    assert_non_null(redis_reply_item(reply, 1, REDIS_INTEGER));
    assert_null(redis_reply_item(reply, 2, REDIS_INTEGER));
    assert_null(redis_reply_item(reply->items[0], 0, REDIS_STRING));
    assert_null(redis_reply_item(NULL, 0, REDIS_STRING));
    redis_reply_free(reply);
}

static void test_error_names(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum redis_error error;
        enum redis_remedy remedy;
    } lines[] = {
        {"LOADING Redis is loading the dataset in memory", REDIS_E_LOADING, REDIS_R_WAIT},
        {"BUSY Redis is busy running a script.", REDIS_E_BUSY, REDIS_R_WAIT},
        {"MASTERDOWN Link with MASTER is down", REDIS_E_MASTERDOWN, REDIS_R_FAILOVER},
        {"READONLY You can't write against a read only replica.", REDIS_E_READONLY,
         REDIS_R_FAILOVER},
        {"UNBLOCKED force unblock from blocking operation, instance state changed",
         REDIS_E_UNBLOCKED, REDIS_R_FAILOVER},
        {"NOREPLICAS Not enough good replicas to write.", REDIS_E_NOREPLICAS, REDIS_R_READ},
        {"MOVED 3999 127.0.0.1:6381", REDIS_E_MOVED, REDIS_R_REDIRECT},
        {"ASK 3999 127.0.0.1:6381", REDIS_E_ASK, REDIS_R_REDIRECT},
        {"TRYAGAIN Multiple keys request during rehashing of slot", REDIS_E_TRYAGAIN,
         REDIS_R_REDIRECT},
        {"CLUSTERDOWN The cluster is down", REDIS_E_CLUSTERDOWN, REDIS_R_WAIT},
        {"CROSSSLOT Keys in request don't hash to the same slot", REDIS_E_CROSSSLOT,
         REDIS_R_NONE},
        {"OOM command not allowed when used memory > 'maxmemory'.", REDIS_E_OOM, REDIS_R_READ},
        {"MISCONF Redis is configured to save RDB snapshots", REDIS_E_MISCONF, REDIS_R_READ},
        {"NOAUTH Authentication required.", REDIS_E_NOAUTH, REDIS_R_OPERATOR},
        {"WRONGPASS invalid username-password pair or user is disabled.", REDIS_E_WRONGPASS,
         REDIS_R_OPERATOR},
        {"ERR invalid password", REDIS_E_WRONGPASS, REDIS_R_OPERATOR},
        {"ERR AUTH <password> called without any password configured for the default user.",
         REDIS_E_WRONGPASS, REDIS_R_OPERATOR},
        {"NOPERM this user has no permissions to run the 'get' command", REDIS_E_NOPERM,
         REDIS_R_OPERATOR},
        {"ERR max number of clients reached", REDIS_E_MAXCLIENTS, REDIS_R_WAIT},
        {"DENIED Redis is running in protected mode because…", REDIS_E_PROTECTED,
         REDIS_R_OPERATOR},
        {"NOSCRIPT No matching script. Please use EVAL.", REDIS_E_NOSCRIPT, REDIS_R_NONE},
        {"WRONGTYPE Operation against a key holding the wrong kind of value", REDIS_E_WRONGTYPE,
         REDIS_R_NONE},
        {"ERR This instance has cluster support disabled", REDIS_E_NOTCLUSTER,
         REDIS_R_OPERATOR},
        {"ERR Error running script (call to f_12): @user_script:1: -OOM command not allowed",
         REDIS_E_OOM, REDIS_R_READ},
        {"ERR Error running script (call to f_12): @user_script:1: @user_script: 1: x",
         REDIS_E_OTHER, REDIS_R_NONE},
        {"OOMPH", REDIS_E_OTHER, REDIS_R_NONE},
        {"ASKING", REDIS_E_OTHER, REDIS_R_NONE},
        {"BUSYGROUP Consumer Group name already exists", REDIS_E_OTHER, REDIS_R_NONE},
        {"ERR unknown command", REDIS_E_OTHER, REDIS_R_NONE},
        {"", REDIS_E_OTHER, REDIS_R_NONE},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        enum redis_error e = redis_error_classify(str_from(lines[i].line));
        if (e != lines[i].error || redis_error_remedy(e) != lines[i].remedy) {
            fail_msg("%s: %s", lines[i].line, redis_error_name(e));
        }
    }
    for (int e = 0; e < REDIS_ERRORS; e++) {
        assert_non_null(redis_error_name((enum redis_error)e));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sum_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_after_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_item, setup, teardown),
        cmocka_unit_test(test_error_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
