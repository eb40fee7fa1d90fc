/*
 * The error log: levels, escaping (no peer can forge a line or break the JSON), length, one
 * write per line from several threads, errno, the limit of one line a second.
 */
#include "unit.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

static int real_stderr = -1;
static char path[] = "/tmp/larder-test-log-XXXXXX";

/* Sends what follows to a file. */
static void capture(void)
{
    int fd = open(path, O_RDWR | O_TRUNC | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
}

/* What was logged since capture(); the caller frees it. */
static char *captured(void)
{
    struct strbuf text = {0};
    char piece[4096];
    ssize_t n;
    off_t at = 0;
    while ((n = pread(STDERR_FILENO, piece, sizeof(piece), at)) > 0) {
        strbuf_add(&text, piece, (size_t)n);
        at += n;
    }
    strbuf_add_char(&text, '\0');
    dup2(real_stderr, STDERR_FILENO);
    return text.p;
}

static int setup(void **state)
{
    (void)state;
    real_stderr = dup(STDERR_FILENO);
    int fd = mkstemp(path);
    close(fd);
    return fd < 0 || real_stderr < 0;
}

static int teardown(void **state)
{
    (void)state;
    close(real_stderr);
    return unlink(path);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what)) {
        n++;
    }
    return n;
}

static void test_levels(void **state)
{
    (void)state;
    capture();
    log_setup(LOG_WARN, false);
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_ERROR));
    log_debug("one");
    log_info("two");
    log_warn("three %d", 3);
    log_error("four");
    log_setup(LOG_DEBUG, false);
    log_debug("five");
    log_setup(LOG_INFO, false);
    char *text = captured();
    assert_int_equal(count(text, "\n"), 3);
    assert_non_null(strstr(text, " warn  three 3\n"));
    assert_non_null(strstr(text, " error four\n"));
    assert_non_null(strstr(text, " debug five\n"));
    free(text);
}

/* 2024-05-06T07:08:09.123Z level message */
static void test_line_begins_with_the_time(void **state)
{
    (void)state;
    capture();
    log_info("x");
    char *text = captured();
    static const char shape[] = "0000-00-00T00:00:00.000Z info  x\n";
    assert_int_equal(strlen(text), strlen(shape));
    for (size_t i = 0; shape[i] != '\0'; i++) {
        bool fits = shape[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == shape[i];
        if (!fits) {
            fail_msg("%s at %zu", text, i);
        }
    }
    free(text);
}

static void test_text_escapes(void **state)
{
    (void)state;
    capture();
    log_info("a\nb\r\t\x1b[31m\x7f\x85 \xc2\x85 \xe2\x80\xa8 c\"\\");
    char *text = captured();
    assert_int_equal(count(text, "\n"), 1);
    assert_non_null(strstr(text, "a\\x0ab\\x0d\\x09\\x1b[31m\\x7f\\x85 \\xc2\\x85 "
                                 "\\xe2\\x80\\xa8 c\"\\\n"));
    free(text);
}

/* Every byte, one line each: it must be one JSON object, of ASCII only. */
static void test_json_is_json_whatever_comes(void **state)
{
    (void)state;
    capture();
    log_setup(LOG_INFO, true);
    for (int c = 1; c < 256; c++) {
        log_warn("<%c>\"\\", c);
    }
    log_setup(LOG_INFO, false);
    char *text = captured();
    struct str rest = str_from(text), line;
    for (int c = 1; c < 256; c++) {
        assert_true(str_next(&rest, '\n', &line));
        for (size_t i = 0; i < line.n; i++) {
            assert_in_range(line.p[i], 0x20, 0x7e);
        }
        const char *why = "";
        struct cJSON *tree = json_parse(line, line.n, 1, &why);
        if (tree == NULL) {
            fail_msg("byte 0x%02x: %s: %.*s", (unsigned)c, why, STR_ARG(line));
        }
        assert_true(str_eq(json_string(json_get(tree, STR("level"))), STR("warn")));
        struct str message = json_string(json_get(tree, STR("message")));
        char want[16];
        snprintf(want, sizeof(want), c < 0x20 || c >= 0x7f ? "<\\x%02x>\"\\" : "<%c>\"\\", c);
        if (!str_eq(message, str_from(want))) {
            fail_msg("got %.*s, want %s", STR_ARG(message), want);
        }
        json_free(tree);
    }
    free(text);
}

static void test_long_lines_are_cut_whole(void **state)
{
    (void)state;
    char message[10000];
    for (int json = 0; json < 2; json++) {
        for (int c = 0; c < 2; c++) {
            memset(message, c == 0 ? 'x' : '\x01', sizeof(message) - 1);
            message[sizeof(message) - 1] = '\0';
            capture();
            log_setup(LOG_INFO, json == 1);
            log_info("%s", message);
            log_setup(LOG_INFO, false);
            char *text = captured();
            assert_int_equal(count(text, "\n"), 1);
            struct str line = str_make(text, strlen(text) - 1);
            assert_in_range(line.n, 2000, 4096);
            if (json == 1) {
                struct cJSON *tree = json_parse(line, line.n, 1, NULL);
                assert_non_null(tree);
                json_free(tree);
            }
            free(text);
        }
    }
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    capture();
    errno = ENOENT;
    log_info("%m");
    assert_int_equal(errno, ENOENT);
    close(STDERR_FILENO); /* nowhere to write */
    errno = EPIPE;
    log_info("lost");
    assert_int_equal(errno, EPIPE);
    dup2(real_stderr, STDERR_FILENO);
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 300; i++) {
        log_info("%s", (const char *)arg);
    }
    return NULL;
}

static void test_threads_do_not_mix(void **state)
{
    (void)state;
    char messages[4][200];
    pthread_t threads[4];
    capture();
    for (size_t i = 0; i < 4; i++) {
        memset(messages[i], (int)('a' + i), sizeof(messages[i]) - 1);
        messages[i][sizeof(messages[i]) - 1] = '\0';
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, messages[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    char *text = captured();
    for (size_t i = 0; i < 4; i++) {
        char whole[220];
        snprintf(whole, sizeof(whole), "Z info  %.199s\n", messages[i]);
        assert_int_equal(count(text, whole), 300);
    }
    assert_int_equal(count(text, "\n"), 1200);
    free(text);
}

static void test_limit(void **state)
{
    (void)state;
    static struct log_limit limit, other;
    msec_t before = clock_monotonic();
    assert_true(log_allowed(&limit));
    assert_in_range(atomic_load(&limit.next_ms), before + 1000, clock_monotonic() + 1000);
    atomic_store(&limit.next_ms, clock_monotonic() + 100000); /* however slow this machine is */
    assert_false(log_allowed(&limit));
    assert_true(log_allowed(&other));
    atomic_store(&limit.next_ms, clock_monotonic());
    assert_true(log_allowed(&limit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_line_begins_with_the_time),
        cmocka_unit_test(test_text_escapes),
        cmocka_unit_test(test_json_is_json_whatever_comes),
        cmocka_unit_test(test_long_lines_are_cut_whole),
        cmocka_unit_test(test_errno_is_kept),
        cmocka_unit_test(test_threads_do_not_mix),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
