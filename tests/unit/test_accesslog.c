/*
 * The access log: lines that nobody can forge or fill with secrets, and their way to a file, a
 * pipe or a full disk.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "flow/accesslog.h"
#include "flow/accesslog_line.h"

static char dir[64];

static const struct access_record sample = {
    .time = 1769860800123, /* 2026-01-31T12:00:00.123Z */
    .id = STR("01HZX"),
    .client = STR("203.0.113.7"),
    .method = STR("GET"),
    .host = STR("api.example.com"),
    .path = STR("/api/agents?page=1&limit=20"),
    .route = STR("GET /api/agents"),
    .cache = STR("HIT"),
    .reason = STR("-"),
    .tier = STR("l1"),
    .status = 200,
    .bytes = 1234567890123,
    .request_bytes = 321,
    .total_us = 12345,
    .upstream_us = -1,
    .protocol = STR("HTTP/1.1"),
    .agent = STR("curl/8"),
    .tls = true,
};

/* ---- lines ---- */

static char line[ACCESS_LINE_MAX + 1];

static const char *render(const struct access_format *f, const struct access_record *r)
{
    static struct access_clock clock;
    memset(line, '#', sizeof(line));
    size_t n = access_line_render(f, &clock, r, line);
    assert_in_range(n, 1, ACCESS_LINE_MAX);
    assert_int_equal(line[n], '#');
    assert_int_equal(line[n - 1], '\n');
    assert_ptr_equal(memchr(line, '\n', n), line + n - 1); /* one line, whatever came in */
    for (size_t i = 0; i + 1 < n; i++) {
        assert_in_range(line[i], 0x20, 0x7e);
    }
    line[n] = '\0';
    return line;
}

static const char *render_json(const struct access_record *r)
{
    static const struct access_format json = {.json = true};
    return render(&json, r);
}

static const char *render_text(const char *template, const struct access_record *r)
{
    static struct access_format f;
    const char *why = "";
    if (!access_format_compile(&f, str_from(template), &why)) {
        fail_msg("%s: %s", template, why);
    }
    return render(&f, r);
}

static void test_json(void **state)
{
    (void)state;
    assert_string_equal(render_json(&sample),
                        "{\"time\":\"2026-01-31T12:00:00.123Z\",\"id\":\"01HZX\","
                        "\"client\":\"203.0.113.7\",\"method\":\"GET\","
                        "\"host\":\"api.example.com\",\"path\":\"/api/agents?page=1&limit=20\","
                        "\"route\":\"GET /api/agents\",\"cache\":\"HIT\",\"reason\":\"-\","
                        "\"tier\":\"l1\",\"status\":200,\"bytes\":1234567890123,"
                        "\"request_bytes\":321,\"ms\":12.345,\"upstream_ms\":null,"
                        "\"upstream\":null,\"protocol\":\"HTTP/1.1\",\"agent\":\"curl/8\","
                        "\"tls\":true}\n");
    struct access_record r = {.upstream_us = 7, .upstream = STR("[::1]:80"), .time = 1};
    assert_string_equal(render_json(&r),
                        "{\"time\":\"1970-01-01T00:00:00.001Z\",\"id\":null,\"client\":null,"
                        "\"method\":null,\"host\":null,\"path\":null,\"route\":null,"
                        "\"cache\":null,\"reason\":null,\"tier\":null,\"status\":0,\"bytes\":0,"
                        "\"request_bytes\":0,\"ms\":0.000,\"upstream_ms\":0.007,"
                        "\"upstream\":\"[::1]:80\",\"protocol\":null,\"agent\":null,"
                        "\"tls\":false}\n");
}

static void test_time_moves(void **state)
{
    (void)state;
    struct access_record r = sample;
    assert_non_null(strstr(render_json(&r), "\"2026-01-31T12:00:00.123Z\""));
    r.time += 5;
    assert_non_null(strstr(render_json(&r), "\"2026-01-31T12:00:00.128Z\""));
    r.time += 1000;
    assert_non_null(strstr(render_json(&r), "\"2026-01-31T12:00:01.128Z\""));
    r.time -= 86400000;
    assert_non_null(strstr(render_json(&r), "\"2026-01-30T12:00:01.128Z\""));
}

static void expect_agent(struct str agent, const char *escaped)
{
    struct access_record r = sample;
    r.agent = agent;
    char expected[400];
    snprintf(expected, sizeof(expected), "\"agent\":\"%s\",\"tls\"", escaped);
    if (strstr(render_json(&r), expected) == NULL) {
        fail_msg("%s not in %s", expected, line);
    }
    cJSON *json = cJSON_Parse(line);
    assert_non_null(json);
    cJSON_Delete(json);
}

static void test_escapes(void **state)
{
    (void)state;
    expect_agent(STR("a\r\n{\"status\":200}"), "a\\u000d\\u000a{\\\"status\\\":200}");
    expect_agent(STR("\x1b[31mred\x7f"), "\\u001b[31mred\\u007f");
    expect_agent(STR("a\0b"), "a\\u0000b");
    expect_agent(STR("C:\\x"), "C:\\\\x");
    expect_agent(STR("\xc3\xa9"), "\\u00e9");
    expect_agent(STR("\xe2\x80\xa8"), "\\u2028");
    expect_agent(STR("\xc2\x9b"), "\\u009b"); /* CSI as one character */
    expect_agent(STR("\xf0\x9f\x8d\xaf"), "\\ud83c\\udf6f");
    expect_agent(STR("\xf4\x8f\xbf\xbf"), "\\udbff\\udfff");
    /* Not UTF-8: overlong, surrogate, beyond the end, cut, stray. */
    expect_agent(STR("\xc0\xaf"), "\\ufffd\\ufffd");
    expect_agent(STR("\xe0\x80\xaf"), "\\ufffd\\ufffd\\ufffd");
    expect_agent(STR("\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd");
    expect_agent(STR("\xf4\x90\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd");
    expect_agent(STR("\xe2\x82"), "\\ufffd\\ufffd");
    expect_agent(STR("\xff"
                     "a"),
                 "\\ufffda");

    struct access_record r = sample;
    r.agent = STR("\"\\\n\xc3\xa9 x");
    assert_string_equal(render_text("\"{agent}\"", &r), "\"\\\"\\\\\\x0a\\xc3\\xa9 x\"\n");
}

/* Any bytes anywhere: one line of valid JSON within the limit. */
static void test_any_bytes(void **state)
{
    (void)state;
    static char noise[9000];
    unsigned seed = 7;
    for (unsigned round = 0; round < 300; round++) {
        for (size_t i = 0; i < sizeof(noise); i++) {
            seed = seed * 1103515245u + 12345u;
            noise[i] = (char)(seed >> 16);
            if (round % 3 == 1) {
                noise[i] = (char)(noise[i] & 0x1f);
            } else if (round % 3 == 2) {
                noise[i] = "?&;=tokenkey[%"[(unsigned char)noise[i] % 14];
            }
        }
        size_t n = round % 2 == 0 ? sizeof(noise) : seed % 300;
        struct str s = str_make(noise, n);
        struct access_record r = {.id = s,
                                  .client = s,
                                  .method = s,
                                  .host = s,
                                  .path = s,
                                  .route = s,
                                  .cache = s,
                                  .reason = s,
                                  .tier = s,
                                  .upstream = s,
                                  .protocol = s,
                                  .agent = s,
                                  .time = 253402300799999,
                                  .status = 2147483647,
                                  .bytes = UINT64_MAX,
                                  .request_bytes = UINT64_MAX,
                                  .total_us = INT64_MAX,
                                  .upstream_us = INT64_MAX};
        cJSON *json = cJSON_Parse(render_json(&r));
        if (json == NULL) {
            fail_msg("round %u: %s", round, line);
        }
        assert_int_equal(cJSON_GetArraySize(json), 19);
        const char *agent = cJSON_GetObjectItem(json, "agent")->valuestring;
        if (n > 0 && agent != NULL) {
            assert_in_range(strlen(agent), 0, 256);
        }
        cJSON_Delete(json);
        render_text("{agent}{path}{path}{path} {host}{host}", &r);
    }
}

static void test_redaction(void **state)
{
    (void)state;
    static const struct {
        const char *path, *logged;
    } cases[] = {
        {"/a", "/a"},
        {"/a?", "/a?"},
        {"/token=abc", "/token=abc"}, /* a path, not a parameter */
        {"/a?token=abc", "/a?token=***"},
        {"/a?x=1&Access_Token=abc&y=2", "/a?x=1&Access_Token=***&y=2"},
        {"/a?api_key=1;apikey=2&key=3", "/a?api_key=***;apikey=***&key=***"},
        {"/a?password=p=q&secret=", "/a?password=***&secret=***"},
        {"/a?sig=1&signature=2&signatures=3", "/a?sig=***&signature=***&signatures=3"},
        {"/a?t%6Fken=abc&to%zzken=1", "/a?t%6Fken=***&to%zzken=1"},
        {"/a?token[]=a&token%5B0%5D=b", "/a?token[]=***&token%5B0%5D=***"},
        {"/a?token&keys=1&monkey=2", "/a?token&keys=1&monkey=2"},
        {"/a?b=/?token=x", "/a?b=/?token=x"}, /* the value of b */
        {"http://me:pw@host/a?token=1@b", "http://***@host/a?token=***"},
        {"http://a@b@host?x=@", "http://***@host?x=@"},
        {"http://host/a@b", "http://host/a@b"},
        {"/http://me:pw@host/", "/http://me:pw@host/"},
        {"*", "*"},
        {"host:443", "host:443"},
        {"/a?&&=&key=1&", "/a?&&=&key=***&"},
        {"/a?a_very_long_name_that_is_no_secret_at_all=1", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct access_record r = sample;
        r.path = str_from(cases[i].path);
        char expected[100];
        snprintf(expected, sizeof(expected), "%s\n",
                 cases[i].logged != NULL ? cases[i].logged : cases[i].path);
        assert_string_equal(render_text("{path}", &r), expected);
    }
}

static void test_formats(void **state)
{
    (void)state;
    assert_string_equal(
        render_text("{client} - [{time}] \"{method} {path} {protocol}\" {status} "
                    "{bytes} {ms} {upstream_ms} {upstream}",
                    &sample),
        "203.0.113.7 - [2026-01-31T12:00:00.123Z] \"GET /api/agents?page=1&limit=20 "
        "HTTP/1.1\" 200 1234567890123 12.345 - -\n");
    assert_string_equal(render_text("{{{tls}}} {{x", &sample), "{true}} {x\n");
    assert_string_equal(render_text("plain", &sample), "plain\n");
    assert_string_equal(
        render_text("{id}{host}{route}{cache}{reason}{tier}{request_bytes}{agent}", &sample),
        "01HZXapi.example.comGET /api/agentsHIT-l1321curl/8\n");
}

static void test_format_check(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_true(accesslog_format_check(STR("{status}\t{path}"), &why));
    static const struct {
        const char *template, *why;
    } cases[] = {
        {"", "empty"},
        {"{status", "without its }"},
        {"a {", "without its }"},
        {"{authorization}", "unknown {placeholder}"},
        {"{}", "unknown {placeholder}"},
        {"{Status}", "unknown {placeholder}"},
        {"a\nb", "control character"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_false(accesslog_format_check(str_from(cases[i].template), &why));
        assert_non_null(strstr(why, cases[i].why));
    }
    char big[ACCESS_TEMPLATE_MAX + 1];
    memset(big, 'x', sizeof(big));
    assert_true(accesslog_format_check(str_make(big, ACCESS_TEMPLATE_MAX), &why));
    assert_false(accesslog_format_check(str_make(big, ACCESS_TEMPLATE_MAX + 1), &why));
    for (size_t i = 0; i + 4 <= sizeof(big); i += 4) {
        memcpy(big + i, "{id}", 4);
    }
    assert_false(accesslog_format_check(str_make(big, 1000), &why));
    assert_non_null(strstr(why, "too many"));
}

/* ---- files ---- */

static msec_t fake_now;

static msec_t fake_clock(void)
{
    return fake_now;
}

static struct loop *l;
static struct accesslog *log_file;
static struct accesslog_writer *writer;

static const char *path(const char *name)
{
    static char buf[4][120];
    static unsigned next;
    char *p = buf[next++ % 4];
    snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
    return p;
}

static int setup(void **state)
{
    (void)state;
    l = loop_new();
    if (l == NULL) {
        return -1;
    }
    fake_now = l->now;
    l->clock = fake_clock;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    accesslog_writer_free(writer);
    accesslog_unref(log_file);
    writer = NULL;
    log_file = NULL;
    loop_free(l);
    return 0;
}

static void open_log(const char *file, const char *template)
{
    char error[200] = "";
    log_file =
        accesslog_new(str_from(file), template != NULL ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON,
                      str_from(template), error, sizeof(error));
    if (log_file == NULL) {
        fail_msg("%s", error);
    }
    writer = accesslog_writer_new(log_file, l);
}

/* Moves the loop's time on and fires its timers. */
static void advance(msec_t by)
{
    fake_now += by;
    event_active(&l->timer, EV_TIMEOUT, 0);
    loop_turn(l, false);
}

static size_t file_size(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 ? (size_t)st.st_size : 0;
}

static size_t lines_in(const char *file)
{
    FILE *f = fopen(file, "r");
    size_t lines = 0;
    for (int c; f != NULL && (c = getc(f)) != EOF;) {
        lines += c == '\n';
    }
    if (f != NULL) {
        fclose(f);
    }
    return lines;
}

static void test_gathers(void **state)
{
    (void)state;
    const char *file = path("gathers.log");
    open_log(file, "{status} {path}");
    accesslog_write(writer, &sample);
    accesslog_write(writer, &sample);
    advance(500);
    assert_int_equal(file_size(file), 0);
    advance(520);
    assert_int_equal(lines_in(file), 2);
    assert_int_equal(l->timer_at, MSEC_MAX); /* idle: no timer */
    accesslog_write(writer, &sample);
    accesslog_flush(writer);
    assert_int_equal(lines_in(file), 3);
    for (unsigned i = 0; i < 2000; i++) {
        accesslog_write(writer, &sample);
    }
    size_t size = file_size(file); /* at 32 KiB without waiting */
    assert_true(size >= 32768 && size < (size_t)2003 * 33);
    accesslog_writer_free(writer);
    writer = NULL;
    assert_int_equal(lines_in(file), 2003);
    assert_int_equal(accesslog_lost(log_file), 0);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0027, 0);
    unlink(file);
}

static void test_reopen(void **state)
{
    (void)state;
    const char *file = path("rotated.log"), *old = path("rotated.log.1");
    open_log(file, "{status}");
    accesslog_write(writer, &sample);
    accesslog_flush(writer);
    assert_int_equal(rename(file, old), 0);
    accesslog_write(writer, &sample);
    accesslog_flush(writer);
    assert_int_equal(lines_in(old), 2);
    accesslog_reopen(log_file);
    accesslog_write(writer, &sample);
    accesslog_flush(writer);
    assert_int_equal(lines_in(old), 2);
    assert_int_equal(lines_in(file), 1);

    unlink(file); /* in the way of the next opening: the present file stays in use */
    assert_int_equal(mkdir(file, 0700), 0);
    accesslog_reopen(log_file);
    accesslog_write(writer, &sample);
    accesslog_flush(writer);
    assert_int_equal(accesslog_lost(log_file), 0);
    rmdir(file);
    unlink(old);
}

static void test_open_errors(void **state)
{
    (void)state;
    char error[200];
    assert_null(accesslog_new(str_from(path("none/a.log")), LOG_FORMAT_JSON, STR_NULL, error,
                              sizeof(error)));
    assert_non_null(strstr(error, "none/a.log: No such file"));
    assert_null(accesslog_new(str_from(path("a.log")), LOG_FORMAT_TEXT, STR("{x}"), error,
                              sizeof(error)));
    assert_non_null(strstr(error, "unknown {placeholder}"));
    assert_int_equal(access(path("a.log"), F_OK), -1);
}

static void test_full_disk(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        skip();
    }
    open_log("/dev/full", NULL);
    for (unsigned i = 0; i < 1000; i++) {
        accesslog_write(writer, &sample);
    }
    accesslog_flush(writer);
    assert_int_equal(accesslog_lost(log_file), 1000);
    advance(2000);
    accesslog_write(writer, &sample);
    advance(2000);
    assert_int_equal(accesslog_lost(log_file), 1001);
}

/* Reads all that a pipe holds now; returns the whole lines, checks that each begins as ours. */
static size_t drain_pipe(int fd, struct strbuf *all)
{
    char buf[8192];
    ssize_t n;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        strbuf_add(all, buf, (size_t)n);
    }
    size_t lines = 0;
    for (size_t i = 0; i < all->n; i++) {
        if (all->p[i] == '\n') {
            lines++;
        }
        if (i == 0 || all->p[i - 1] == '\n') {
            assert_int_equal(all->p[i], '{');
        }
    }
    return lines;
}

/* stdout as a pipe whose reader is slow: nothing blocks, lines are whole, the rest is counted;
 * our own stdout stays blocking for whoever shares it. */
static void test_slow_pipe(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    fflush(stdout);
    int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    dup2(fd[1], STDOUT_FILENO);
    char error[200];
    log_file = accesslog_new(STR("-"), LOG_FORMAT_JSON, STR_NULL, error, sizeof(error));
    dup2(saved, STDOUT_FILENO);
    close(saved);
    assert_non_null(log_file);
    assert_false(fcntl(fd[1], F_GETFL) & O_NONBLOCK);
    writer = accesslog_writer_new(log_file, l);
    enum { LINES = 3000 };
    for (unsigned i = 0; i < LINES; i++) {
        accesslog_write(writer, &sample);
    }
    size_t lost = (size_t)accesslog_lost(log_file);
    assert_in_range(lost, 1, LINES - 1);
    struct strbuf all = {0};
    size_t lines = drain_pipe(fd[0], &all);
    assert_in_range(lines, 1, LINES - lost);
    for (unsigned i = 0; i < 100 && lines < LINES - lost; i++) {
        advance(200); /* the retry */
        lines = drain_pipe(fd[0], &all);
    }
    assert_int_equal(lines, LINES - lost);
    assert_int_equal(all.p[all.n - 1], '\n');

    close(fd[0]); /* the reader dies */
    accesslog_write(writer, &sample);
    accesslog_flush(writer);
    assert_int_equal(accesslog_lost(log_file), lost + 1);
    close(fd[1]);
    strbuf_free(&all);
}

/* A socket may take part of a line: the next thing written begins on a line of its own. */
static void test_socket(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    fflush(stdout);
    dup2(fd[1], STDOUT_FILENO);
    char error[200];
    log_file = accesslog_new(STR_NULL, LOG_FORMAT_JSON, STR_NULL, error, sizeof(error));
    dup2(saved, STDOUT_FILENO);
    close(saved);
    assert_non_null(log_file);
    writer = accesslog_writer_new(log_file, l);
    for (unsigned i = 0; i < 3000; i++) {
        accesslog_write(writer, &sample);
    }
    struct strbuf all = {0};
    size_t lines = 0;
    for (unsigned i = 0; i < 100; i++) {
        lines = drain_pipe(fd[0], &all);
        advance(200);
    }
    lines = drain_pipe(fd[0], &all);
    assert_true(lines > 0);
    assert_int_equal(lines + accesslog_lost(log_file), 3000);
    close(fd[0]);
    close(fd[1]);
    strbuf_free(&all);
}

/* ---- threads ---- */

enum { THREADS = 4, EACH = 3000 };

static _Atomic bool writing;

static void *writer_main(void *arg)
{
    struct access_record r = sample;
    char id[2] = {(char)('a' + (int)(uintptr_t)arg), '\0'};
    r.id = str_from(id);
    struct loop *own = loop_new();
    struct accesslog_writer *w = accesslog_writer_new(log_file, own);
    for (unsigned i = 0; i < EACH; i++) {
        accesslog_write(w, &r);
    }
    accesslog_writer_free(w);
    loop_free(own);
    return NULL;
}

static void *reopener_main(void *arg)
{
    (void)arg;
    while (atomic_load(&writing)) {
        accesslog_reopen(log_file);
    }
    return NULL;
}

/* Workers write while another thread reopens the file again and again. */
static void test_threads(void **state)
{
    (void)state;
    const char *file = path("threads.log");
    open_log(file, "{id} {status} {path} end");
    log_setup(LOG_WARN, false);
    atomic_store(&writing, true);
    pthread_t threads[THREADS], reopener;
    assert_int_equal(pthread_create(&reopener, NULL, reopener_main, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, writer_main, (void *)i), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&writing, false);
    pthread_join(reopener, NULL);
    log_setup(LOG_INFO, false);

    unsigned count[THREADS] = {0};
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    char text[200];
    while (fgets(text, sizeof(text), f) != NULL) {
        assert_in_range(text[0], 'a', 'a' + THREADS - 1);
        assert_string_equal(text + 1, " 200 /api/agents?page=1&limit=20 end\n");
        count[text[0] - 'a']++;
    }
    fclose(f);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(count[i], EACH);
    }
    assert_int_equal(accesslog_lost(log_file), 0);
    unlink(file);
}

static int group_setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/larder-test-accesslog.XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    return rmdir(dir);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the server does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_time_moves),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_redaction),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_format_check),
        cmocka_unit_test_setup_teardown(test_gathers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
