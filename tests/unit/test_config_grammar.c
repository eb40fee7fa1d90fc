/*
 * config/lexer, parse, env, render: the grammar of proxy.conf, the environment, and how
 * messages look.
 */
#include "config_case.h"

static void test_statements_end_as_written(void **state)
{
    struct settings *s = case_good("\xEF\xBB\xBF"
                                   "memory 1mb;; version a#b\n"
                                   "\n"
                                   "   ;\t;\r\n"
                                   "# a comment ; { \" \\\n"
                                   "workers 3 # another }\n"
                                   "log - \\\n"
                                   "    format=\"{status} {path}\"\n"
                                   "error_log \\\r\n"
                                   " level=debug\n"
                                   "type t { ttl 1m; scope public } route GET /a { type t }\n"
                                   "route GET /{x}/c {\n type t\n key k:{x}\n }\n");

    (void)state;
    assert_int_equal(s->memory, 1 << 20);
    assert_str(s->version, "a#b");
    assert_int_equal(s->workers, 3);
    assert_str(s->log_template, "{status} {path}");
    assert_int_equal(s->log_level, LOG_DEBUG);
    assert_int_equal(s->sites[0].n_routes, 2);
    assert_int_equal(case_route(s, "GET /{x}/c")->line, 11);
    assert_str(case_route(s, "GET /{x}/c")->file, "t.conf");
    settings_unref(s);
}

static void test_words_keep_their_bytes(void **state)
{
    struct settings *s = case_good("version \"a \\\"b\\\" \\\\ c\"\n"
                                   "defaults { header set X-A a=b; header set X-B \"x=y z\" }\n"
                                   "log \"caf\xC3\xA9.log\"\n");

    (void)state;
    assert_str(s->version, "a \"b\" \\ c");
    assert_str(s->log_file, "caf\xC3\xA9.log");
    assert_str(s->sites[0].fallback.headers[0].value, "a=b");
    assert_str(s->sites[0].fallback.headers[1].value, "x=y z");
    settings_unref(s);
}

static void test_grammar_errors(void **state)
{
    static const struct config_case cases[] = {
        {"rout GET /x { ttl 5m }\n",
         "t.conf:1:1: error: unknown directive `rout`\n"
         "    rout GET /x { ttl 5m }\n"
         "    ^~~~\n",
         "did you mean `route`?", 0},
        {"memory 1mb\n  verzion x\n", "t.conf:2:3: error: unknown directive `verzion`",
         "did you mean `version`?", 0},
        {"location /x { }\n", "unknown directive `location`", "did you mean `route`?", 0},
        {"wqxzjk\n", "unknown directive `wqxzjk`", NULL, 0},
        {"version \"a\n", "t.conf:1:9: error: this string has no closing quote", NULL, 0},
        {"version \"a\\\"\n", "this string has no closing quote", NULL, 0},
        {"version \"a\\t\"\n", "t.conf:1:11: error: unknown escape", NULL, 0},
        {"version \"a\"b\n", "t.conf:1:12: error: text directly after a closing quote", NULL,
         0},
        {"version a\"b\"\n", "a quote inside a word", NULL, 0},
        {"error_log level=\"info\n", "t.conf:1:17: error: this string has no closing quote",
         NULL, 0},
        {"defaults {ttl 5m}\n", "t.conf:1:10: error: unpaired brace in this word",
         "put a space on both sides", 2},
        {"defaults { ttl 5m}\n", "t.conf:1:16: error: unpaired brace in this word",
         "stand alone", 0},
        {"type x {}\n", "t.conf:1:8: error: unpaired brace in this word", NULL, 0},
        {"defaults {\n", "t.conf:1:1: error: the block of `defaults` is never closed", NULL, 2},
        {"}\n", "t.conf:1:1: error: this `}` closes nothing", NULL, 0},
        {"defaults { }\n}\n", "t.conf:2:1: error: this `}` closes nothing", NULL, 0},
        {"defaults\n{ stale 5s }\n", "t.conf:2:1: error: a block without a directive",
         "on the same line", 2},
        {"\"memory\" 1mb\n", "a directive is expected here, not `\"memory\"`", NULL, 0},
        {"a=b c\n", "a directive is expected here, not `a=b`", NULL, 0},
        {"version a\x01"
         "b\n",
         "t.conf:1:10: error: control byte 0x01", NULL, 0},
        {"version \"a\rb\"\n", "control byte 0x0d", NULL, 0},
        {"version a\xFF\n", "byte 0xff is not UTF-8", NULL, 0},
        {"version \xC0\xAF\n", "byte 0xc0 is not UTF-8", NULL, 0},
        {"version \xED\xA0\x80\n", "byte 0xed is not UTF-8", NULL, 0},
        {"version \xF4\x90\x80\x80\n", "byte 0xf4 is not UTF-8", NULL, 0},
        {"version a \\ \nmemory 1mb\n", "blanks after the `\\`", NULL, 2},
        {"version a\\ \n", "blanks after the `\\`", NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_nul_byte(void **state)
{
    struct config_report report;
    struct settings *s = config_parse("t.conf", str_make("version a\0b\n", 12), &report);

    (void)state;
    strbuf_add_char(&report.text, '\0');
    assert_null(s);
    assert_non_null(strstr(report.text.p, "t.conf:1:10: error: control byte 0x00"));
    strbuf_free(&report.text);
}

static void test_every_error_is_listed_in_order(void **state)
{
    struct config_report report;
    struct settings *s = case_load("workers 0\n"
                                   "bogus\n"
                                   "defaults { stale x; jitter 99% }\n"
                                   "route GET /x { ttl 5m }\n",
                                   &report);
    static const char *const places[] = {
        "t.conf:1:9:", "t.conf:2:1:", "t.conf:3:18:", "t.conf:3:28:", "t.conf:4:11:"};
    const char *at = report.text.p;

    (void)state;
    assert_null(s);
    assert_int_equal(report.errors, 5);
    for (size_t i = 0; i < 5; i++) {
        at = strstr(at, places[i]);
        assert_non_null(at);
    }
    strbuf_free(&report.text);
}

/* A message of an inherited value comes once, however many routes inherit it. */
static void test_inherited_errors_come_once(void **state)
{
    static const struct config_case cases[] = {
        {"type t { ttl 5x; scope public }\n"
         "route GET /a { type t }\nroute GET /b { type t }\nroute GET /c { type t }\n",
         "t.conf:1:14: error: the units of a duration", NULL, 1},
        {"type unused { ttl 5x }\n", "the units of a duration", NULL, 1},
        {"defaults { retry 99 }\nroute GET /a { }\nroute GET /b { }\n", "out of range", NULL,
         1},
    };

    (void)state;
    case_refused(CASES(cases));
}

/* ---- environment ------------------------------------------------------------------------ */

static void test_environment(void **state)
{
    (void)state;
    setenv("CASE_A", "one ${CASE_B} two; }", 1);
    setenv("CASE_EMPTY", "", 1);
    unsetenv("CASE_NONE");
    struct settings *s = case_good("version x-${CASE_A}-${CASE_NONE:-d}${CASE_EMPTY:-}\n"
                                   "pid_file \"${CASE_NONE:-/run/a b.pid}\"\n"
                                   "redis ${CASE_NONE:-} prefix=p\n");
    /* Replaced once, and never split into words. */
    assert_str(s->version, "x-one ${CASE_B} two; }-d");
    assert_str(s->pid_file, "/run/a b.pid");
    settings_unref(s);
}

static void test_environment_errors(void **state)
{
    static const struct config_case cases[] = {
        {"version ${CASE_NONE}\n",
         "t.conf:1:9: error: the environment variable CASE_NONE is not set",
         "${CASE_NONE:-default}", 0},
        {"version ${CASE_EMPTY}\n", "the environment variable CASE_EMPTY is empty", NULL, 0},
        {"version ${}\n", "malformed reference", NULL, 0},
        {"version ${1A}\n", "malformed reference", NULL, 0},
        {"version ${CASE_A-x}\n", "malformed reference", NULL, 0},
        {"version \"${CASE_A\"\n", "malformed reference", NULL, 0},
        {"version ${CASE_CONTROL}\n", "CASE_CONTROL holds a control byte", NULL, 0},
        /* What came from a variable is no option and no directive. */
        {"error_log ${CASE_OPTION}\n", "is expected, not `${CASE_OPTION}`", NULL, 0},
    };

    (void)state;
    unsetenv("CASE_NONE");
    setenv("CASE_A", "a", 1);
    setenv("CASE_EMPTY", "", 1);
    setenv("CASE_CONTROL", "a\nb", 1);
    setenv("CASE_OPTION", "level=debug", 1);
    case_refused(CASES(cases));
}

/* Whatever is wrong with a line, what a variable holds is not shown. */
static void test_secrets_are_not_shown(void **state)
{
    static const char *const lines[] = {
        "jwt main alg=HS256 secret=${CASE_SECRET}\n",
        "jwt main alg=HS256 secret=${CASE_SECRET} bogus=1\n",
        "jwt ${CASE_SECRET} alg=HS256\n",
        "listen ${CASE_SECRET}\n",
        "memory ${CASE_SECRET}\n",
        "upstream x ${CASE_SECRET}\n",
        "include ${CASE_SECRET}\n",
        "route GET /x { ttl 1m; key ${CASE_SECRET} }\n",
        "route GET /x { type ${CASE_SECRET} }\n",
        "route POST /x { invalidate type:${CASE_SECRET} }\n",
        "route POST /x { invalidate route:${CASE_SECRET} }\n",
        "route GET /x { ttl 1m; scope public; key a; query ${CASE_SECRET} }\n",
        "hash_key value=${CASE_SECRET}\n",
        "route GET /x { header set ${CASE_SECRET} \"a b\" }\n",
        "identity org jwt=${CASE_SECRET} claim=org\n",
        "defaults { client_cache_control ${CASE_SECRET} }\n",
        "defaults { timeout idle=${CASE_SECRET} }\n",
        "hosts ${CASE_SECRET}\n",
    };

    (void)state;
    setenv("CASE_SECRET", "{hunter2}", 1);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct config_report report;
        struct settings *s = case_load(lines[i], &report);

        if (s != NULL || strstr(report.text.p, "hunter2") != NULL) {
            print_message("%s%s", lines[i], report.text.p);
        }
        assert_null(s);
        assert_null(strstr(report.text.p, "hunter2"));
        strbuf_free(&report.text);
    }
}

/* A secret written into the file itself is covered, and the caret stays where it was. */
static void test_literal_secrets_are_covered(void **state)
{
    struct config_report report;

    (void)state;
    assert_null(case_load("jwt m alg=HS256 secret=hunter2 bogus=1\n"
                          "upstream x http://u:hunter2@h:99999\n"
                          "jwt n alg=HS256 secret=\"hunter2\" bogus=1\n"
                          "jwt o alg=HS256 secret=${CASE_KNOWN} bogus=1\n",
                          &report));
    assert_null(strstr(report.text.p, "hunter2"));
    assert_non_null(strstr(report.text.p, "    jwt m alg=HS256 secret=******* bogus=1\n"
                                          "                                   ^~~~~~~\n"));
    assert_non_null(strstr(report.text.p, "secret=${CASE_KNOWN}"));
    strbuf_free(&report.text);
}

/* Whatever stands around it: quotes with blanks in them, other blanks, a longer name. */
static void test_literal_secrets_are_covered_whole(void **state)
{
    static const char *const lines[] = {
        "jwt m alg=HS256 secret=\"a b hunter2\" bogus=1\n",
        "jwt m alg=HS256 \"secret=a b hunter2\" bogus=1\n",
        "jwt m alg=HS256 secret=\"a \\\" hunter2\" bogus=1\n",
        "jwt m alg=HS256 secret=ab\"hunter2 bogus=1\n",
        "jwt m alg=HS256 secret=hunter2}\n",
        "redis redis://:hunter2}@127.0.0.1 prefix=x\n",
        "debug_token  hunter2 more\n",
        "debug_token\thunter2 more\n",
        "debug_token \"a hunter2\" more\n",
        "redis redis://127.0.0.1 prefix=x sentinel_password=hunter2 bogus=1\n",
        "redis redis://:pass/hunter2@127.0.0.1 prefix=x bogus=1\n",
        "alert redis down url=https://hooks.example.com/hunter2 bogus=1\n",
        "alert redis down url=https://hooks.example.com?key=hunter2 bogus=1\n",
        "alert redis down url=https://u:p@hooks.example.com/x?key=hunter2 bogus=1\n",
        "alert redis down url=\"https://hooks.example.com/hunter2\" bogus=1\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct config_report report;

        assert_null(case_load(lines[i], &report));
        if (strstr(report.text.p, "hunter2") != NULL) {
            print_message("%s%s", lines[i], report.text.p);
        }
        assert_null(strstr(report.text.p, "hunter2"));
        strbuf_free(&report.text);
    }
}

/* ---- rendering -------------------------------------------------------------------------- */

static void test_caret_counts_characters(void **state)
{
    static const struct config_case cases[] = {
        {"version \"\xC3\xA9\xE2\x82\xAC\" too many\n",
         "t.conf:1:14: error: `version` has an argument too many\n"
         "    version \"\xC3\xA9\xE2\x82\xAC\" too many\n"
         "                 ^~~\n",
         NULL, 0},
        {"\tversion\ta b\n", "t.conf:1:12: error:", "     version a b\n               ^\n", 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

/* A line of a megabyte is shown around the place only; what a terminal obeys is replaced. */
static void test_long_and_hostile_lines(void **state)
{
    struct strbuf text = {0};
    struct config_report report;

    (void)state;
    strbuf_addf(&text, "version \"\x1b[31m");
    for (size_t i = 0; i < 1000000; i++) {
        strbuf_add_char(&text, 'z');
    }
    strbuf_addf(&text, "\" second\n");
    assert_null(config_parse("t\x1b[0m.conf", strbuf_str(&text), &report));
    strbuf_add_char(&report.text, '\0');
    assert_true(report.text.n < 2000);
    assert_null(strchr(report.text.p, 0x1b));
    assert_non_null(
        strstr(report.text.p, "t?[0m.conf:1:1000017: error: `version` has an argument"));
    assert_non_null(strstr(report.text.p, "zzz\" second\n"));
    strbuf_free(&text);
    strbuf_free(&report.text);
}

static void test_many_errors_stay_readable(void **state)
{
    struct strbuf text = {0};
    struct config_report report;

    (void)state;
    for (size_t i = 0; i < 30000; i++) {
        strbuf_addf(&text, "nonsense%zu\n", i);
    }
    assert_null(config_parse("t.conf", strbuf_str(&text), &report));
    strbuf_add_char(&report.text, '\0');
    assert_true(report.errors >= 20000);
    assert_non_null(strstr(report.text.p, "... and "));
    assert_true(report.text.n < 200000);
    strbuf_free(&text);
    strbuf_free(&report.text);
}

static void test_deep_blocks_are_refused(void **state)
{
    struct strbuf text = {0};
    struct config_report report;

    (void)state;
    for (size_t i = 0; i < 100000; i++) {
        strbuf_add_str(&text, STR("host a {\n"));
    }
    assert_null(config_parse("t.conf", strbuf_str(&text), &report));
    strbuf_add_char(&report.text, '\0');
    assert_non_null(strstr(report.text.p, "blocks are nested too deeply"));
    strbuf_free(&text);
    strbuf_free(&report.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements_end_as_written),
        cmocka_unit_test(test_words_keep_their_bytes),
        cmocka_unit_test(test_grammar_errors),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_every_error_is_listed_in_order),
        cmocka_unit_test(test_inherited_errors_come_once),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_errors),
        cmocka_unit_test(test_secrets_are_not_shown),
        cmocka_unit_test(test_literal_secrets_are_covered),
        cmocka_unit_test(test_literal_secrets_are_covered_whole),
        cmocka_unit_test(test_caret_counts_characters),
        cmocka_unit_test(test_long_and_hostile_lines),
        cmocka_unit_test(test_many_errors_stay_readable),
        cmocka_unit_test(test_deep_blocks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
