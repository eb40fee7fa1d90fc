/*
 * config_load, config/file, include: reading of files, relative paths, globs, cycles, secrets
 * in files, and what happens when a file is not what it should be.
 */
#include "config_case.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/tmp/larder-config-XXXXXX"

/* Each test has a folder of its own; its path is the state. */
static int folder_open(void **state)
{
    char *path = malloc(sizeof(FOLDER));

    assert_non_null(path);
    memcpy(path, FOLDER, sizeof(FOLDER));
    *state = path;
    return mkdtemp(path) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int folder_close(void **state)
{
    int rc = nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);

    free(*state);
    return rc;
}

static const char *in(void **state, const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", (const char *)*state, name);
    return path;
}

static void write_file(void **state, const char *name, const char *text)
{
    FILE *f = fopen(in(state, name), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void make_folder(void **state, const char *name)
{
    assert_int_equal(mkdir(in(state, name), 0700), 0);
}

/* Loads main.conf, which must be refused in these words (%s: the folder). */
static void refused(void **state, const char *says)
{
    struct config_report report;
    char expected[512];
    struct settings *s = config_load(in(state, "main.conf"), &report);

    strbuf_add_char(&report.text, '\0');
    snprintf(expected, sizeof(expected), "%s", says);
    if (strstr(report.text.p, expected) == NULL) {
        print_message("--- should say: %s\n--- says\n%s", expected, report.text.p);
    }
    assert_null(s);
    assert_true(report.errors > 0);
    assert_non_null(strstr(report.text.p, expected));
    strbuf_free(&report.text);
}

static struct settings *accepted(void **state)
{
    struct config_report report;
    struct settings *s = config_load(in(state, "main.conf"), &report);

    strbuf_add_char(&report.text, '\0');
    if (s == NULL) {
        print_message("%s", report.text.p);
    }
    assert_non_null(s);
    strbuf_free(&report.text);
    return s;
}

static void test_includes(void **state)
{
    make_folder(state, "conf.d");
    make_folder(state, "conf.d/deep");
    write_file(state, "main.conf",
               "include conf.d/*.conf none.d/*.conf\n"
               "type t { include conf.d/deep/ttl }\n"
               "include conf.d/deep/more\n");
    write_file(state, "conf.d/10-up.conf", "upstream app http://127.0.0.1:1\n");
    write_file(state, "conf.d/20-route.conf", "route GET /a { type t }\ninclude deep/b");
    write_file(state, "conf.d/ignored", "nonsense\n");
    write_file(state, "conf.d/deep/b", "route GET /b { type t }");
    write_file(state, "conf.d/deep/ttl", "ttl 5m; scope public\n");
    write_file(state, "conf.d/deep/more", "memory 3mb");
    struct settings *s = accepted(state);
    assert_int_equal(s->memory, 3 << 20);
    assert_int_equal(s->sites[0].n_routes, 2);
    assert_int_equal(case_route(s, "GET /a")->ttl, 300000);
    assert_str(case_route(s, "GET /b")->file, in(state, "conf.d/deep/b"));
    assert_int_equal(case_route(s, "GET /b")->line, 1);
    settings_unref(s);
}

/* Messages name the included file and its own lines; files come in the order of reading. */
static void test_errors_in_includes(void **state)
{
    struct config_report report;

    write_file(state, "main.conf", "include a.conf\nbogus1\n");
    write_file(state, "a.conf", "\n  bogus2\n");
    assert_null(config_load(in(state, "main.conf"), &report));
    strbuf_add_char(&report.text, '\0');
    const char *first =
        strstr(report.text.p, "main.conf:2:1: error: unknown directive `bogus1`");
    const char *second = strstr(report.text.p, "a.conf:2:3: error: unknown directive `bogus2`");
    assert_true(first != NULL && second != NULL && first < second);
    strbuf_free(&report.text);
}

/* A block never spans files. */
static void test_blocks_stay_in_their_file(void **state)
{
    write_file(state, "main.conf", "defaults {\n include a.conf\n");
    write_file(state, "a.conf", "stale 1s }\n");
    refused(state, "a.conf:1:10: error: this `}` closes nothing");
    refused(state, "main.conf:1:1: error: the block of `defaults` is never closed");
}

static void test_include_errors(void **state)
{
    write_file(state, "main.conf", "include missing.conf\n");
    refused(state, "missing.conf: no such file");
    write_file(state, "main.conf", "include .\n");
    refused(state, "it is a folder");
    write_file(state, "main.conf", "include main.conf\n");
    refused(state, "main.conf includes itself");
    write_file(state, "main.conf", "include a.conf\n");
    write_file(state, "a.conf", "include ./main.conf\n");
    refused(state, "main.conf includes itself");
    write_file(state, "main.conf", "include\n");
    refused(state, "include takes one or more paths");
    write_file(state, "main.conf", "include a.conf { }\n");
    refused(state, "include takes one or more paths and no block");
    write_file(state, "main.conf", "include \"\"\n");
    refused(state, "include needs a path");
    write_file(state, "main.conf", "include fifo\n");
    assert_int_equal(mkfifo(in(state, "fifo"), 0600), 0);
    refused(state, "it is not a regular file");
}

/* A chain of different files is bounded as well. */
static void test_include_depth(void **state)
{
    for (int i = 0; i < 40; i++) {
        char name[16];
        char text[32];
        snprintf(name, sizeof(name), i == 0 ? "main.conf" : "f%d", i);
        snprintf(text, sizeof(text), "include f%d\n", i + 1);
        write_file(state, name, text);
    }
    refused(state, "too many included files");
}

static void test_unreadable_main_file(void **state)
{
    struct config_report report;

    assert_null(config_load(in(state, "none.conf"), &report));
    strbuf_add_char(&report.text, '\0');
    assert_int_equal(report.errors, 1);
    assert_non_null(strstr(report.text.p, "none.conf: no such file"));
    strbuf_free(&report.text);
    make_folder(state, "main.conf");
    refused(state, "it is a folder");
}

static void test_huge_file(void **state)
{
    FILE *f = fopen(in(state, "main.conf"), "w");

    assert_non_null(f);
    assert_int_equal(fseek(f, 17l << 20, SEEK_SET), 0);
    fputc('x', f);
    assert_int_equal(fclose(f), 0);
    refused(state, "the file is too large");
}

/* A pipe may be the configuration itself: larder check -c <(generate). */
static void test_pipe_as_main_file(void **state)
{
    int fds[2];
    char path[32];
    struct config_report report;
    static const char text[] = "upstream app http://127.0.0.1:1\n";

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, sizeof(text) - 1), sizeof(text) - 1);
    close(fds[1]);
    snprintf(path, sizeof(path), "/dev/fd/%d", fds[0]);
    struct settings *s = config_load(path, &report);
    close(fds[0]);
    assert_non_null(s);
    assert_int_equal(s->n_upstreams, 1);
    settings_unref(s);
    strbuf_free(&report.text);
}

/* One newline at the end of a secret file is the editor's, not the secret's. */
static void test_secret_files(void **state)
{
    char text[512];

    snprintf(text, sizeof(text),
             "upstream a http://h\n"
             "jwt m alg=HS256 secret_file=%s\nhash_key file=%s\n",
             in(state, "jwt"), in(state, "hash"));
    write_file(state, "main.conf", text);
    write_file(state, "jwt", "0123456789abcdef0123456789abcd \n\n");
    write_file(state, "hash", "0123456789abcdef\r\n");
    struct settings *s = accepted(state);
    assert_str(s->jwts[0].secret, "0123456789abcdef0123456789abcd \n");
    assert_str(s->hash_key, "0123456789abcdef");
    settings_unref(s);
    write_file(state, "jwt", "\n");
    refused(state, "this file is empty");
    write_file(state, "jwt", "short\n");
    refused(state, "the secret has 5 bytes");
    write_file(state, "jwt", "0123456789abcdef0123456789abcdef");
    write_file(state, "hash", "short");
    refused(state, "the key has 5 bytes");
    assert_int_equal(unlink(in(state, "jwt")), 0);
    make_folder(state, "jwt");
    refused(state, "cannot read this file: it is a folder");
}

static void test_certificates_must_be_there(void **state)
{
    char text[1024];

    write_file(state, "cert", "x");
    write_file(state, "key", "x");
    snprintf(text, sizeof(text),
             "upstream a http://h\nlisten 127.0.0.1:1 tls\ntls %s %s\n"
             "host h { tls %s %s }\n",
             in(state, "cert"), in(state, "key"), in(state, "cert"), in(state, "key"));
    write_file(state, "main.conf", text);
    struct settings *s = accepted(state);
    assert_true(s->listens[0].tls);
    assert_int_equal(s->sites[0].n_certs, 1);
    assert_str(s->sites[1].certs[0].key_file, in(state, "key"));
    settings_unref(s);
    assert_int_equal(unlink(in(state, "key")), 0);
    refused(state, "main.conf:3:");
}

int main(void)
{
#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_open, folder_close)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_includes),
        IN_FOLDER(test_errors_in_includes),
        IN_FOLDER(test_blocks_stay_in_their_file),
        IN_FOLDER(test_include_errors),
        IN_FOLDER(test_include_depth),
        IN_FOLDER(test_unreadable_main_file),
        IN_FOLDER(test_huge_file),
        IN_FOLDER(test_pipe_as_main_file),
        IN_FOLDER(test_secret_files),
        IN_FOLDER(test_certificates_must_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
