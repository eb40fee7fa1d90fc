/*
 * Request targets, hosts and queries: hardening K1-K7, the reqline vectors (their ids are in
 * comments), and properties of the canonical form over pseudo-random inputs.
 */
#include "unit.h"

#include <stdio.h>

#include "http/target.h"

static char first_chunk[1 << 16] __attribute__((aligned(16)));
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, first_chunk, sizeof(first_chunk));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void assert_str(struct str got, const char *expected, const char *what)
{
    if (!str_eq(got, str_from(expected)) || (got.p == NULL) != (expected == NULL)) {
        fail_msg("%s: \"%.*s\" instead of \"%s\"", what, STR_ARG(got),
                 expected != NULL ? expected : "(absent)");
    }
}

/* Parses and compares; an expected query of NULL means that there was no "?". */
static void assert_target(const char *raw, const char *path, const char *query)
{
    struct target t;
    const char *why = target_parse(str_from(raw), &arena, &t);
    if (why != NULL) {
        fail_msg("%s: refused (%s)", raw, why);
    }
    assert_str(t.path, path, raw);
    assert_str(t.query, query, raw);
}

static void assert_refused(struct str raw, const char *reason)
{
    struct target t;
    const char *why = target_parse(raw, &arena, &t);
    if (why == NULL || strcmp(why, reason) != 0) {
        fail_msg("%.*s: %s instead of %s", STR_ARG(raw), why != NULL ? why : "accepted",
                 reason);
    }
}

/* ---- forms ---------------------------------------------------------------------------------
 */

static void test_origin_form(void **state)
{
    (void)state;
    assert_target("/", "/", NULL);
    assert_target("/x", "/x", NULL);
    assert_target("/x?", "/x", "");
    assert_target("/x?a=1&b=2", "/x", "a=1&b=2");
    assert_target("/x?a=1?b", "/x", "a=1?b");
    assert_target("/?/../x", "/", "/../x");
    assert_target("/a/b/", "/a/b/", NULL);
}

/* A path that is canonical already is not copied. */
static void test_canonical_is_not_copied(void **state)
{
    (void)state;
    struct str raw = STR("/api/users/42?x=1");
    struct target t;
    assert_null(target_parse(raw, &arena, &t));
    assert_ptr_equal(t.path.p, raw.p);
    assert_ptr_equal(t.query.p, raw.p + 14);
    assert_int_equal(t.form, TARGET_ORIGIN);
    assert_false(t.semicolon);
}

/* K3: never an authority. */
static void test_double_slash(void **state)
{
    (void)state;
    struct target t;
    assert_target("//admin.internal/x", "//admin.internal/x", NULL);
    assert_target("//", "//", NULL);
    assert_target("/a//b", "/a//b", NULL);
    assert_target("/.//a", "//a", NULL);
    assert_null(target_parse(STR("//h/x"), &arena, &t));
    assert_int_equal(t.form, TARGET_ORIGIN);
    assert_null(t.authority.p);
}

/* K2 */
static void test_absolute_form(void **state)
{
    (void)state;
    struct target t;
    assert_null(target_parse(STR("http://Evil.example:80/x?q"), &arena, &t)); /* V170 */
    assert_int_equal(t.form, TARGET_ABSOLUTE);
    assert_str(t.scheme, "http", "scheme");
    assert_str(t.authority, "Evil.example:80", "authority");
    assert_str(t.path, "/x", "path");
    assert_str(t.query, "q", "query");
    assert_null(target_parse(STR("HTTPS://h"), &arena, &t));
    assert_str(t.scheme, "https", "scheme");
    assert_str(t.path, "/", "empty path");
    assert_str(t.query, NULL, "no query");
    assert_target("http://h?a", "/", "a");
    assert_target("http://h/%41/../b", "/b", NULL);
    assert_target("http://[::1]:8080//x", "//x", NULL);
}

static void test_absolute_form_refused(void **state)
{
    (void)state;
    assert_refused(STR("ftp://a/x"), "unsupported scheme"); /* V171 */
    assert_refused(STR("file:///etc/passwd"), "unsupported scheme");
    assert_refused(STR("httpx://a/x"), "unsupported scheme");
    assert_refused(STR("http:///x"), "no authority");
    assert_refused(STR("http://"), "no authority");
    assert_refused(STR("http://?x"), "no authority");
    assert_refused(STR("http://u@h/"), "userinfo");
    assert_refused(STR("http://h/%zz"), "bad percent-encoding");
    assert_refused(STR("http://h?%zz"), "bad percent-encoding");
    assert_refused(STR("http://h/.."), "escapes root");
    assert_refused(STR("http:/h"), "not a path");
    assert_refused(STR("http:h"), "not a path");
    assert_refused(STR("://h"), "not a path");
    assert_refused(STR("javascript:alert(1)"), "not a path");
}

/* K4 */
static void test_asterisk_and_authority_form(void **state)
{
    (void)state;
    struct target t;
    assert_null(target_parse(STR("*"), &arena, &t));
    assert_int_equal(t.form, TARGET_ASTERISK);
    assert_str(t.path, "*", "path");
    assert_null(target_parse(STR("example.com:443"), &arena, &t));
    assert_int_equal(t.form, TARGET_AUTHORITY);
    assert_str(t.authority, "example.com:443", "authority");
    assert_str(t.path, "", "path");
    assert_null(target_parse(STR("[::1]:443"), &arena, &t));
    assert_int_equal(t.form, TARGET_AUTHORITY);
}

static void test_no_form(void **state)
{
    (void)state;
    static const char *const bad[] = {"x", /* V154 */
                                      "**",  "*/",      "?x",    "x/y",   ":443",  "a:",
                                      "a:x", "a:70000", "a/b:1", "a?b:1", "u@a:1", "%2Fx"};
    assert_refused(STR(""), "empty target");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(str_from(bad[i]), "not a path");
    }
}

/* ---- K5: one spelling ----------------------------------------------------------------------
 */

static void test_escapes(void **state)
{
    (void)state;
    assert_target("/%7Eu/%41", "/~u/A", NULL); /* V177 */
    assert_target("/%41%5a%61%7A%30%39%2D%2e%5F%7e", "/AZaz09-._~", NULL);
    assert_target("/%c3%a9", "/%C3%A9", NULL);
    assert_target("/a%20b%3ac", "/a%20b%3Ac", NULL);
    assert_target("/%25", "/%25", NULL);
    assert_target("/%2541", "/%2541", NULL); /* decoded once only */
    assert_target("/%252e%252e/x", "/%252e%252e/x", NULL);
    assert_target("/%23%3f", "/%23%3F", NULL);
    assert_target("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,=", NULL);
    assert_target("/%26%3d", "/%26%3D", NULL);
}

static void test_raw_bytes_are_encoded(void **state)
{
    (void)state;
    assert_target("/{id}|^[x]\"<>`", "/%7Bid%7D%7C%5E%5Bx%5D%22%3C%3E%60", NULL);
    assert_target("/x?{id}|^[x]\"<>`", "/x", "{id}|^[x]\"<>`");
}

static void test_dot_segments(void **state)
{
    (void)state;
    assert_target("/.", "/", NULL);
    assert_target("/./", "/", NULL);
    assert_target("/a/.", "/a/", NULL);
    assert_target("/a/..", "/", NULL);
    assert_target("/a/../", "/", NULL);
    assert_target("/a/b/..", "/a/", NULL);
    assert_target("/a/b/../c", "/a/c", NULL);
    assert_target("/a/b/c/./../../g", "/a/g", NULL); /* RFC 3986 5.2.4 */
    assert_target("/a//../b", "/a/b", NULL);
    assert_target("//..", "/", NULL);
    assert_target("/a/%2e%2E/b", "/b", NULL);
    assert_target("/a/.%2e", "/", NULL);
    assert_target("/%2e/b", "/b", NULL);
    assert_target("/...", "/...", NULL);
    assert_target("/.a/..b/c..", "/.a/..b/c..", NULL);
    assert_target("/.well-known/x", "/.well-known/x", NULL);
    assert_target("/a/..?x", "/", "x");
}

static void test_escapes_root(void **state)
{
    (void)state;
    assert_refused(STR("/.."), "escapes root");
    assert_refused(STR("/../x"), "escapes root");
    assert_refused(STR("/a/../.."), "escapes root");
    assert_refused(STR("/a/../../etc/passwd"), "escapes root");
    assert_refused(STR("/%2e%2e/%2e%2e/x"), "escapes root");
    assert_refused(STR("/./.."), "escapes root");
}

static void test_refused_escapes(void **state)
{
    (void)state;
    assert_refused(STR("/%zz"), "bad percent-encoding"); /* V157 */
    assert_refused(STR("/%"), "bad percent-encoding");
    assert_refused(STR("/%4"), "bad percent-encoding");
    assert_refused(STR("/%4?1"), "bad percent-encoding");
    assert_refused(STR("/%4g"), "bad percent-encoding");
    assert_refused(STR("/%%41"), "bad percent-encoding");
    assert_refused(STR("/%u0041"), "bad percent-encoding");
    assert_refused(STR("/a%00b"), "NUL"); /* V158 */
    assert_refused(STR("/a%2Fb"), "encoded slash");
    assert_refused(STR("/a%2fb"), "encoded slash");
    assert_refused(STR("/a%5Cb"), "encoded backslash");
    assert_refused(STR("/a%5cb"), "encoded backslash");
    assert_refused(STR("/a%0ab"), "encoded control byte");
    assert_refused(STR("/a%0D%0aX:%20y"), "encoded control byte");
    assert_refused(STR("/a%09b"), "encoded control byte");
    assert_refused(STR("/a%1fb"), "encoded control byte");
    assert_refused(STR("/a%7fb"), "encoded control byte");
}

static void test_refused_bytes(void **state)
{
    (void)state;
    assert_refused(STR("/\xe9"), "non-ASCII byte"); /* V156 */
    assert_refused(STR("/\x80?"), "non-ASCII byte");
    assert_refused(STR("/x?\xc3\xa9"), "non-ASCII byte");
    assert_refused(STR("/a\\b"), "backslash"); /* V160 */
    assert_refused(STR("/x?a\\b"), "backslash");
    assert_refused(STR("/a#b"), "fragment");
    assert_refused(STR("/x?a#b"), "fragment");
    assert_refused(STR("http://h#b"), "fragment");
    assert_refused(STR("/a\0b"), "NUL");
    assert_refused(STR("/a b"), "control byte or space");
    assert_refused(STR("/a\tb"), "control byte or space");
    assert_refused(STR("/a\r\nb"), "control byte or space");
    assert_refused(STR("/a\x7f"), "control byte or space");
}

static void test_query_bytes(void **state)
{
    (void)state;
    assert_target("/x?u=a%2Fb%5Cc%0Ad%c3%a9", "/x", "u=a%2Fb%5Cc%0Ad%c3%a9");
    assert_refused(STR("/x?a%"), "bad percent-encoding");
    assert_refused(STR("/x?a%2"), "bad percent-encoding");
    assert_refused(STR("/x?a%g0"), "bad percent-encoding");
    assert_refused(STR("/x?a%00"), "NUL");
}

static void test_semicolon(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        bool semicolon;
    } cases[] = {{"/a;x=1", true}, {"/account;.css", true}, {"/a%3bx", true},
                 {"/a%3Bx", true}, {"/a/;", true},          {"/a?b;c", false},
                 {"/a", false},    {"/a%253Bx", false},     {"/;/../b", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct target t;
        assert_null(target_parse(str_from(cases[i].raw), &arena, &t));
        if (t.semicolon != cases[i].semicolon) {
            fail_msg("%s", cases[i].raw);
        }
    }
    assert_refused(STR("/a/..;/b"), "dot segment with parameters");
    assert_refused(STR("/a/.;x/b"), "dot segment with parameters");
    assert_refused(STR("/a/%2e%2e;x"), "dot segment with parameters");
}

/* ---- properties ----------------------------------------------------------------------------
 */

static uint64_t random_state = 88172645463325252u;

static unsigned next_random(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 32) % below;
}

/* A target out of the pieces that parsers disagree on. */
static struct str random_target(char *out, size_t size)
{
    static const char *const pieces[] = {
        "/",   "/",   "/",    "a",   "b",   "c", ".", "..",  "%2e", "%2E",  "%41",
        "%7e", "%c3", "%C3",  "%2F", ";",   "?", "=", "&",   "%",   "%%",   "%3b",
        "%3f", "%23", "%25",  "%2",  "{",   "|", "^", "//",  "/./", "/../", ":",
        "@",   "~",   "-",    "_",   "%20", "+", "*", "%5C", "\\",  "%00",  "\x80",
        "#",   "%0a", "http", "://", "h",   "[", "]", "'"};
    size_t n = 0;
    if (next_random(8) != 0) {
        out[n++] = '/';
    }
    for (unsigned k = next_random(12); k > 0; k--) {
        const char *piece = pieces[next_random(sizeof(pieces) / sizeof(pieces[0]))];
        size_t length = strlen(piece);
        if (n + length < size) {
            memcpy(out + n, piece, length);
            n += length;
        }
    }
    return str_make(out, n);
}

static bool is_unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '.' || c == '_' || c == '~';
}

/* What a canonical path may look like, said without the code under test. */
static void assert_canonical(struct str path)
{
    char text[512];
    snprintf(text, sizeof(text), "%.*s/", STR_ARG(path));
    assert_int_equal(text[0], '/');
    assert_null(strstr(text, "/./"));
    assert_null(strstr(text, "/../"));
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (c != '%') {
            assert_true(is_unreserved(c) || strchr("/:@!$&'()*+,;=", c) != NULL);
            continue;
        }
        char hex[3] = {path.p[i + 1], path.p[i + 2], 0};
        unsigned value;
        assert_int_equal(strspn(hex, "0123456789ABCDEF"), 2);
        assert_int_equal(sscanf(hex, "%x", &value), 1);
        assert_false(is_unreserved((int)value));
        assert_true(value != 0 && value != '/' && value != '\\');
        i += 2;
    }
}

static void test_idempotent(void **state)
{
    (void)state;
    unsigned accepted = 0;
    for (int i = 0; i < 300000; i++) {
        char raw[256], again[1024];
        struct target t, u;
        arena_reset(&arena);
        struct str input = random_target(raw, sizeof(raw));
        if (target_parse(input, &arena, &t) != NULL || t.form == TARGET_ASTERISK ||
            t.form == TARGET_AUTHORITY) {
            continue;
        }
        accepted++;
        assert_canonical(t.path);
        int n = snprintf(again, sizeof(again), "%.*s%s%.*s", STR_ARG(t.path),
                         t.query.p != NULL ? "?" : "", STR_ARG(t.query));
        if (target_parse(str_make(again, (size_t)n), &arena, &u) != NULL ||
            !str_eq(t.path, u.path) || !str_eq(t.query, u.query) ||
            (t.query.p == NULL) != (u.query.p == NULL) || t.semicolon != u.semicolon) {
            fail_msg("%.*s -> %s -> %.*s", STR_ARG(input), again, STR_ARG(u.path));
        }
    }
    assert_true(accepted > 50000);
}

/* Another spelling of a canonical path: escapes where none are needed, lower-case hex, and
 * detours through dot segments. */
static struct str respell(struct str path, char *out, size_t size)
{
    struct strbuf b = {0};
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (c == '/' && next_random(4) == 0) {
            strbuf_add_str(&b, next_random(2) ? STR("/.") : STR("/x/%2e%2E"));
        }
        if (c == '%') {
            bool lower = next_random(2) == 0;
            strbuf_add_char(&b, c);
            for (size_t end = i + 2; i < end;) {
                c = path.p[++i];
                strbuf_add_char(&b, lower ? ascii_lower(c) : c);
            }
        } else if (is_unreserved(c) && next_random(3) == 0) {
            strbuf_addf(&b, next_random(2) ? "%%%02x" : "%%%02X", (unsigned)c);
        } else {
            strbuf_add_char(&b, c);
        }
    }
    assert_true(b.n <= size);
    memcpy(out, b.p, b.n);
    struct str spelled = str_make(out, b.n);
    strbuf_free(&b);
    return spelled;
}

static void test_equivalence(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        char raw[256], other[4096];
        struct target t, u;
        arena_reset(&arena);
        if (target_parse(random_target(raw, sizeof(raw)), &arena, &t) != NULL ||
            t.form != TARGET_ORIGIN) {
            continue;
        }
        struct str spelled = respell(t.path, other, sizeof(other));
        const char *why = target_parse(spelled, &arena, &u);
        if (why != NULL || !str_eq(t.path, u.path)) {
            fail_msg("%.*s -> %.*s -> %s", STR_ARG(t.path), STR_ARG(spelled),
                     why != NULL ? why : "another path");
        }
    }
}

/* ---- K1: host ------------------------------------------------------------------------------
 */

static void assert_host(const char *value, bool tls, const char *name, const char *port)
{
    struct host h;
    if (!host_parse(str_from(value), tls, &arena, &h)) {
        fail_msg("refused: %s", value);
    }
    assert_str(h.name, name, value);
    assert_str(h.port, port, value);
}

static void test_host(void **state)
{
    (void)state;
    assert_host("a", false, "a", NULL);
    assert_host("A:80", false, "a", NULL); /* V177 */
    assert_host("A:80", true, "a", "80");
    assert_host("a:443", true, "a", NULL);
    assert_host("a:443", false, "a", "443");
    assert_host("Example.COM", false, "example.com", NULL);
    assert_host("example.com.", false, "example.com", NULL);
    assert_host("example.com.:8080", false, "example.com", "8080");
    assert_host("my_service-1:3000", false, "my_service-1", "3000");
    assert_host("127.0.0.1:8080", false, "127.0.0.1", "8080");
    assert_host("a:", false, "a", NULL);
    assert_host("a:0080", false, "a", NULL);
    assert_host("a:08080", false, "a", "8080");
    assert_host("a:65535", false, "a", "65535");
    assert_host("xn--bcher-kva.example", false, "xn--bcher-kva.example", NULL);
}

static void test_host_ipv6(void **state)
{
    (void)state;
    assert_host("[::1]", false, "[::1]", NULL);
    assert_host("[::1]:8080", false, "[::1]", "8080");
    assert_host("[::1]:", false, "[::1]", NULL);
    assert_host("[2001:DB8:0:0:0:0:0:1]:443", true, "[2001:db8::1]", NULL);
    assert_host("[::ffff:1.2.3.4]", false, "[::ffff:1.2.3.4]", NULL);
}

static void test_host_refused(void **state)
{
    (void)state;
    static const struct str bad[] = {
        STR(""),
        STR(":"),
        STR(":80"),
        STR("."),
        STR(".."),
        STR("a..b"),
        STR(".a"),
        STR("a.."),
        STR("a:99999"), /* V168 */
        STR("a:65536"),
        STR("a:0"),
        STR("a:-1"),
        STR("a:+80"),
        STR("a:8 0"),
        STR("a:80x"),
        STR("a:80:80"),
        STR("a b"),
        STR("a,b"),
        STR("u@a"),
        STR("u:p@a"),
        STR("a/b"),
        STR("a?b"),
        STR("a#b"),
        STR("a\\b"),
        STR("a%41"),
        STR("a\0b"),
        STR("\xc3\xa9"),
        STR("a\tb"),
        STR(" a"),
        STR("a;b"),
        STR("a~b"),
        STR("http://a"),
        STR("*"),
        STR("[]"),
        STR("["),
        STR("[::1"),
        STR("[::1]x"),
        STR("[::1]80"),
        STR("[::1]x80"),
        STR("[::1]:x"),
        STR("[::g]"),
        STR("[1.2.3.4]"),
        STR("[fe80::1%25]"),
        STR("[v1.a]"),
        STR("[::1\0]"),
        STR("::1"),
        STR("[::1]]"),
        STR("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct host h;
        if (host_parse(bad[i], false, &arena, &h)) {
            fail_msg("accepted: %.*s", STR_ARG(bad[i]));
        }
    }
    struct host h;
    assert_false(host_parse(STR_NULL, false, &arena, &h));
}

static void test_host_lengths(void **state)
{
    (void)state;
    char text[260];
    struct host h;
    memset(text, 'a', sizeof(text));
    assert_true(host_parse(str_make(text, 63), false, &arena, &h));
    assert_false(host_parse(str_make(text, 64), false, &arena, &h));
    for (size_t i = 49; i < sizeof(text); i += 50) {
        text[i] = '.';
    }
    assert_true(host_parse(str_make(text, 253), false, &arena, &h));
    assert_false(host_parse(str_make(text, 254), false, &arena, &h));
}

static void test_host_authority(void **state)
{
    (void)state;
    struct host h;
    assert_true(host_parse(STR("A:8080"), false, &arena, &h));
    assert_str(host_authority(&h, &arena), "a:8080", "authority");
    assert_true(host_parse(STR("[::1]:80"), false, &arena, &h));
    assert_str(host_authority(&h, &arena), "[::1]", "authority");
}

/* ---- K7: query -----------------------------------------------------------------------------
 */

/* "name=value|name|…" of the decoded parameters, or "too many". */
static void assert_query(struct str query, size_t max, const char *expected)
{
    struct query_param *params;
    char text[512] = "";
    int n = query_split(query, max, &arena, &params);
    if (n < 0) {
        snprintf(text, sizeof(text), "too many");
    }
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s%s%.*s", i > 0 ? "|" : "",
                               STR_ARG(params[i].name), params[i].has_value ? "=" : "",
                               STR_ARG(params[i].value));
    }
    if (strcmp(text, expected) != 0) {
        fail_msg("%.*s: %s instead of %s", STR_ARG(query), text, expected);
    }
}

static void test_query_split(void **state)
{
    (void)state;
    assert_query(STR_NULL, 8, "");
    assert_query(STR(""), 8, "");
    assert_query(STR("a=1&b=2"), 8, "a=1|b=2");
    assert_query(STR("a"), 8, "a");
    assert_query(STR("a="), 8, "a=");
    assert_query(STR("=1"), 8, "=1");
    assert_query(STR("="), 8, "=");
    assert_query(STR("a=1=2"), 8, "a=1=2");
    assert_query(STR("a=1&a=2"), 8, "a=1|a=2");
    assert_query(STR("&&a&&b&"), 8, "a|b");
    assert_query(STR("a=1&utm=x;a=2"), 8, "a=1|utm=x;a=2");
    assert_query(STR("a=1?b"), 8, "a=1?b");
    assert_query(STR("a%26b=c%3Dd&%61=%62"), 8, "a&b=c=d|a=b");
    assert_query(STR("a=b+c%2B"), 8, "a=b+c+");
    assert_query(STR("a=%zz%4"), 8, "a=%zz%4");
}

static void test_query_limit(void **state)
{
    (void)state;
    assert_query(STR("a&b"), 2, "a|b");
    assert_query(STR("a&b&c"), 2, "too many");
    assert_query(STR("a&&&&b"), 2, "a|b");
    assert_query(STR("a"), 0, "too many");
    assert_query(STR(""), 0, "");
}

static void test_tracking(void **state)
{
    (void)state;
    assert_true(query_is_tracking(STR("utm_source")));
    assert_true(query_is_tracking(STR("utm_anything_else")));
    assert_true(query_is_tracking(STR("fbclid")));
    assert_true(query_is_tracking(STR("gclid")));
    assert_true(query_is_tracking(STR("yclid")));
    assert_false(query_is_tracking(STR("utm")));
    assert_false(query_is_tracking(STR("page")));
    assert_false(query_is_tracking(STR("")));
    assert_false(query_is_tracking(STR("fbclid2")));
}

static void test_percent_encode(void **state)
{
    (void)state;
    struct strbuf b = {0};
    percent_encode(&b, STR("AZaz09._-"));
    strbuf_add_char(&b, ' ');
    percent_encode(&b, STR("~e a/b:*?[]\\{}=&%\0\xff.x"));
    percent_encode(&b, STR_NULL);
    assert_str(strbuf_str(&b),
               "AZaz09._- %7Ee%20a%2Fb%3A%2A%3F%5B%5D%5C%7B%7D%3D%26%25%00%FF.x", "encoded");
    strbuf_free(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_origin_form),
        TEST(test_canonical_is_not_copied),
        TEST(test_double_slash),
        TEST(test_absolute_form),
        TEST(test_absolute_form_refused),
        TEST(test_asterisk_and_authority_form),
        TEST(test_no_form),
        TEST(test_escapes),
        TEST(test_raw_bytes_are_encoded),
        TEST(test_dot_segments),
        TEST(test_escapes_root),
        TEST(test_refused_escapes),
        TEST(test_refused_bytes),
        TEST(test_query_bytes),
        TEST(test_semicolon),
        TEST(test_idempotent),
        TEST(test_equivalence),
        TEST(test_host),
        TEST(test_host_ipv6),
        TEST(test_host_refused),
        TEST(test_host_lengths),
        TEST(test_host_authority),
        TEST(test_query_split),
        TEST(test_query_limit),
        TEST(test_tracking),
        TEST(test_percent_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
