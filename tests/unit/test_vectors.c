/*
 * The request vectors of tests/vectors/ through what a request passes before it is routed:
 * guard, parser, method, target, Host, body. What is to be refused must be refused by one of
 * them, with the whole vector at once and byte by byte; the others must be read as they are
 * meant. tests/e2e/test_vectors.py sends the same vectors to the program.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/body.h"
#include "http/guard.h"
#include "http/h1.h"
#include "http/target.h"

/* One line of a file. */
struct vector {
    struct str id;
    struct str expected;
    struct str bytes; /* unescaped */
};

/* What became of a vector. */
struct outcome {
    size_t messages; /* complete ones */
    int status;      /* 0, or that of the refusal that ended it */
    const char *why;
    size_t left; /* bytes after the last complete message */
};

static struct str unescape(struct str s, struct arena *a)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\\') {
            out[n++] = s.p[i];
            continue;
        }
        assert_true(i + 1 < s.n);
        char c = s.p[++i];
        if (c == 'x') {
            assert_true(i + 2 < s.n);
            int high = hex_value(s.p[i + 1]), low = hex_value(s.p[i + 2]);
            assert_true(high >= 0 && low >= 0);
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            assert_non_null(strchr("rnt\\", c));
            out[n++] = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : '\\';
        }
    }
    return str_make(out, n);
}

/* RECV of flow/request.c: what is refused before a route is looked for. */
static int check_request(const struct msg *m, struct arena *a, const char **why)
{
    struct target t;
    if (m->method == METHOD_TRACE || m->method == METHOD_CONNECT) {
        *why = "method";
        return 405;
    }
    *why = target_parse(m->target, a, &t);
    if (*why == NULL && ((t.form == TARGET_ASTERISK && m->method != METHOD_OPTIONS) ||
                         t.form == TARGET_AUTHORITY)) {
        *why = "form of the target";
    }
    struct host h, authority;
    struct str value = msg_get(m, FIELD_HOST);
    if (*why == NULL && (value.n > 0 || m->minor == 1) && !host_parse(value, false, a, &h)) {
        *why = "Host";
    }
    if (*why == NULL && t.form == TARGET_ABSOLUTE &&
        (!host_parse(t.authority, false, a, &authority) || !str_eq(authority.name, h.name) ||
         !str_eq(authority.port, h.port))) {
        *why = "authority";
    }
    return *why == NULL ? 0 : 400;
}

/* Reads one message; how it went into *o. Returns the bytes used, 0 when it did not end. */
static size_t read_message(struct str in, struct arena *a, struct outcome *o, bool *keep)
{
    static const struct guard_limits limits = {32768, 8192, 8192, 100};
    struct guard g = {0};
    size_t head_len = 0;
    if (guard_scan(&g, in, &limits, false, &head_len, &o->status, &o->why) != GUARD_DONE) {
        return 0;
    }
    struct msg m;
    struct str head = str_make(in.p + g.start, head_len - g.start);
    struct h1_verdict v = h1_parse_request(head, a, false, &m);
    o->status = v.status;
    o->why = v.why;
    if (o->status == 0) {
        o->status = check_request(&m, a, &o->why);
    }
    if (o->status != 0) {
        return 0;
    }
    *keep = m.keep_alive;
    struct body b;
    body_start(&b, &m);
    size_t at = head_len, used;
    struct str data;
    enum body_result r;
    do {
        r = body_next(&b, str_skip(in, at), &used, &data);
        at += used;
    } while (r == BODY_DATA);
    if (r == BODY_ERROR) {
        o->status = 400;
        o->why = "body";
    }
    return r == BODY_DONE ? at : 0;
}

static struct outcome run(struct str bytes)
{
    struct outcome o = {.why = ""};
    struct arena a;
    arena_init(&a, NULL, 0);
    bool keep = true;
    size_t used = 1;
    while (keep && used > 0 && bytes.n > 0) {
        used = read_message(bytes, &a, &o, &keep);
        bytes = str_skip(bytes, used);
        o.messages += used > 0;
    }
    o.left = bytes.n;
    arena_reset(&a);
    return o;
}

/* The same with every prefix first: a refusal may come earlier, never another outcome. */
static void assert_prefixes_agree(const struct vector *v, const struct outcome *whole)
{
    size_t step = v->bytes.n > 2000 ? 97 : 1;
    for (size_t n = 1; n < v->bytes.n; n += step) {
        char *copy = malloc(n); /* of this size, for ASan */
        memcpy(copy, v->bytes.p, n);
        struct outcome o = run(str_make(copy, n));
        free(copy);
        if (o.messages > whole->messages || (o.status != 0 && whole->status == 0)) {
            fail_msg("%.*s: the first %zu bytes give %zu messages, status %d", STR_ARG(v->id),
                     n, o.messages, o.status);
        }
    }
}

static void check(const struct vector *v)
{
    struct outcome o = run(v->bytes);
    bool ok;
    if (str_eq(v->expected, STR("R400"))) {
        ok = o.messages == 0 && o.status != 0;
    } else if (str_eq(v->expected, STR("R417-or-400"))) {
        ok = o.messages == 0 && (o.status == 417 || o.status == 400);
    } else if (str_eq(v->expected, STR("R400-or-drained"))) {
        ok = o.status != 0 ? o.messages == 0 : o.messages == 1 && o.left == 0;
    } else if (str_eq(v->expected, STR("no-tunnel"))) {
        ok = o.messages > 0 || o.status != 0;
    } else {
        assert_true(str_starts(v->expected, STR("OK")) && v->expected.n <= 3);
        size_t want = v->expected.n == 2 ? 1 : (size_t)(v->expected.p[2] - '0');
        ok = o.status == 0 && o.messages == want;
    }
    if (!ok) {
        fail_msg("%.*s (%.*s): %zu messages, status %d %s, %zu bytes left", STR_ARG(v->id),
                 STR_ARG(v->expected), o.messages, o.status, o.why != NULL ? o.why : "",
                 o.left);
    }
    assert_prefixes_agree(v, &o);
}

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fail_msg("%s: cannot be read; run the tests from the top of the tree", path);
    }
    char *text = malloc(1 << 20);
    *n = fread(text, 1, 1 << 20, f);
    assert_true(*n < 1 << 20);
    fclose(f);
    return text;
}

/* Runs every vector of the file; returns how many. */
static size_t run_file(const char *path)
{
    size_t n, count = 0;
    char *text = read_file(path, &n);
    struct str rest = str_make(text, n);
    while (rest.n > 0) {
        size_t end = str_index(rest, '\n');
        struct str line = str_make(rest.p, end), column[4];
        rest = str_skip(rest, end + 1);
        if (line.n == 0 || line.p[0] == '#' || str_starts(line, STR("id\t"))) {
            continue;
        }
        for (size_t i = 0; i < 4; i++) {
            size_t tab = i < 3 ? str_index(line, '\t') : line.n;
            column[i] = str_make(line.p, tab);
            line = str_skip(line, tab + 1);
        }
        struct arena a;
        arena_init(&a, NULL, 0);
        struct vector v = {column[0], column[2], unescape(column[3], &a)};
        check(&v);
        arena_reset(&a);
        count++;
    }
    free(text);
    return count;
}

static void test_shared_vectors(void **state)
{
    (void)state;
    assert_int_equal(run_file("tests/vectors/requests.tsv"), 72);
}

static void test_own_vectors(void **state)
{
    (void)state;
    assert_true(run_file("tests/vectors/own.tsv") > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_vectors),
        cmocka_unit_test(test_own_vectors),
    };
    field_table_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
