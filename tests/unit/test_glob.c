/*
 * cache/glob: Redis's cases, agreement with a slow reference on random patterns, the parts of a
 * pattern, and the cost of the worst ones.
 */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "cache/glob.h"
#include "glob_reference.h"

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool match;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "x", true},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"abc", "ab", false},
        {"agents:list:org-42:*", "agents:list:org-42:limit=20&page=1", true},
        {"agents:list:org-42:*", "agents:list:org-42:", true},
        {"agents:list:org-42:*", "agents:list:org-421:", false},
        {"agents:list:org1*", "agents:list:org10:x", true},
        {"agents:details:*:42", "agents:details:org-1:42", true},
        {"agents:details:*:42", "agents:details:org-1:421", false},
        {"agents:details:*:42", "agents:details:42", false},
        {"*:x:*", "a:x:b", true},
        {"*:x:*", ":x:", true},
        {"*:x:*", "a:y:b", false},
        {"a*b*c", "abc", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "aXbYcZ", false},
        {"a*bc*c", "abcbc", true},
        {"h?llo", "hello", true},
        {"h?llo", "hllo", false},
        {"?", "", false},
        {"??*", "a", false},
        {"h[ae]llo", "hallo", true},
        {"h[ae]llo", "hillo", false},
        {"h[^e]llo", "hallo", true},
        {"h[^e]llo", "hello", false},
        {"h[a-b]llo", "hbllo", true},
        {"h[b-a]llo", "hallo", true}, /* a reversed range is turned round */
        {"h[a-b]llo", "hcllo", false},
        {"[]", "a", false},
        {"[]", "]", false},
        {"[^]", "a", true},
        {"[", "[", false},
        {"[^", "a", true},
        {"[abc", "b", true}, /* unclosed: the pattern's end closes it */
        {"[a-", "-", true},
        {"[a-]", "]", true}, /* a range up to the bracket, which is taken */
        {"[\\]]", "]", true},
        {"[\\a-c]", "b", false}, /* an escape starts no range */
        {"a\\*b", "a*b", true},
        {"a\\*b", "aXb", false},
        {"a\\", "a\\", true},
        {"\\a", "a", true},
        {"\\", "\\", true},
        {"*a\\", "bba\\", true},
        {"%2A*", "%2Ax", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str p = str_from(rows[i].pattern);
        struct str s = str_from(rows[i].name);
        if (glob_match(p, s) != rows[i].match) {
            fail_msg("%s on %s", rows[i].pattern, rows[i].name);
        }
    }
}

static unsigned rng_state = 12345;

static unsigned rng(unsigned n)
{
    rng_state = rng_state * 1664525 + 1013904223;
    return (rng_state >> 10) % n;
}

static bool reference(struct str p, struct str s)
{
    return glob_reference((const unsigned char *)p.p, p.n, (const unsigned char *)s.p, s.n);
}

/* What glob_parse() says must agree with what matches. */
static void check_parts(struct str p, struct str s, bool match)
{
    struct glob_parts parts;
    glob_parse(p, &parts);
    bool ends = s.n >= parts.tail.n &&
                str_eq(str_skip(s, s.n - parts.tail.n), str_make(parts.tail.p, parts.tail.n));
    bool fits = s.n >= parts.head.n + parts.tail.n && str_starts(s, parts.head) && ends;
    if (match && !(parts.exact || fits)) {
        fail_msg("head or tail: %.*s on %.*s", STR_ARG(p), STR_ARG(s));
    }
    if (parts.simple && match != fits) {
        fail_msg("simple: %.*s on %.*s", STR_ARG(p), STR_ARG(s));
    }
    if (parts.exact) {
        struct strbuf name = {0};
        glob_unescape(p, &name);
        assert_int_equal(str_eq(strbuf_str(&name), s), match);
        strbuf_free(&name);
    }
}

static void test_random(void **state)
{
    (void)state;
    static const char pattern_bytes[] = "ab**?[]^-\\:";
    static const char name_bytes[] = "aab:*-]";
    unsigned matches = 0;
    for (int round = 0; round < 200000; round++) {
        char p[12];
        char s[12];
        size_t pn = rng(sizeof(p) + 1);
        size_t sn = rng(sizeof(s) + 1);
        for (size_t i = 0; i < pn; i++) {
            p[i] = pattern_bytes[rng(sizeof(pattern_bytes) - 1)];
        }
        for (size_t i = 0; i < sn; i++) {
            s[i] = name_bytes[rng(sizeof(name_bytes) - 1)];
        }
        struct str pattern = str_make(p, pn);
        struct str name = str_make(s, sn);
        bool match = glob_match(pattern, name);
        if (match != reference(pattern, name)) {
            fail_msg("%.*s on %.*s", STR_ARG(pattern), STR_ARG(name));
        }
        check_parts(pattern, name, match);
        matches += match;
    }
    assert_in_range(matches, 5000, 100000); /* both answers were tried */
}

/* Long enough for the automaton to take over. */
static void test_random_long(void **state)
{
    (void)state;
    static const char *pieces[] = {"*", "a", "a", "a", "?", "[ab]", "[^b]", "\\a", "aaaa", "b"};
    unsigned matches = 0;
    for (int round = 0; round < 300; round++) {
        struct strbuf p = {0};
        size_t want = 1 + rng(200);
        strbuf_add_char(&p, '*');
        while (p.n < want) {
            strbuf_add_str(&p, str_from(pieces[rng(round % 2 == 0 ? 9 : 10)]));
        }
        char s[1500];
        size_t sn = rng(sizeof(s));
        memset(s, 'a', sn);
        if (sn > 0 && round % 3 == 0) {
            s[rng((unsigned)sn)] = 'b';
        }
        struct str name = str_make(s, sn);
        bool match = glob_match(strbuf_str(&p), name);
        assert_int_equal(match, reference(strbuf_str(&p), name));
        matches += match;
        strbuf_free(&p);
    }
    assert_in_range(matches, 30, 270);
}

static void test_parts(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *head, *tail;
        bool exact, simple;
    } rows[] = {
        {"abc", "abc", "", true, false},     {"", "", "", true, false},
        {"a\\*c", "a", "c", true, false},    {"abc*", "abc", "", false, true},
        {"*", "", "", false, true},          {"**", "", "", false, true},
        {"a:*:b", "a:", ":b", false, true},  {"a:**:b", "a:", ":b", false, true},
        {"a:*:b:*", "a:", "", false, false}, {"a:*x*:b", "a:", ":b", false, false},
        {"a:?:b", "a:", ":b", false, false}, {"a:[xy]b*c", "a:", "c", false, false},
        {"a*b\\*c", "a", "c", false, false}, {"a*b[", "a", "", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct glob_parts parts;
        glob_parse(str_from(rows[i].pattern), &parts);
        assert_true(str_eq(parts.head, str_from(rows[i].head)));
        assert_true(str_eq(parts.tail, str_from(rows[i].tail)));
        assert_int_equal(parts.exact, rows[i].exact);
        assert_int_equal(parts.simple, rows[i].simple);
    }
}

/* CPU time, so that a busy machine does not matter; the bound is generous for sanitizers. */
static void test_worst_case(void **state)
{
    (void)state;
    char name[8192];
    memset(name, 'a', sizeof(name));
    static const char *units[] = {"a", "a*", "?", "[^b]", "[a-ca-ca-ca-c]", "*?"};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        struct strbuf p = {0};
        strbuf_add_char(&p, '*');
        while (p.n + strlen(units[i]) + 1 <= GLOB_MAX) {
            strbuf_add_str(&p, str_from(units[i]));
        }
        strbuf_add_char(&p, 'b');
        clock_t from = clock();
        assert_false(glob_match(strbuf_str(&p), str_make(name, sizeof(name))));
        double us = (double)(clock() - from) * 1e6 / CLOCKS_PER_SEC;
        print_message("%-14s x %zu bytes on 8 KB: %.0f us\n", units[i], p.n, us);
        assert_true(us < 5000);
        strbuf_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),       cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_long), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_worst_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
