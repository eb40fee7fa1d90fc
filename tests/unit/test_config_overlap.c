/*
 * config/overlap: when two templates can produce one name, and what a glob can match.
 */
#include "config_case.h"

#include "config/overlap.h"

/* "a:{i}:{q}" to parts: {i} identity, {q} query, {p} path; other text literal. */
static struct key_template make(struct arena *a, const char *text)
{
    struct str s = str_from(text);
    struct key_template t = {.text = s};

    s = arena_dup(a, s);

    t.parts = arena_zalloc(a, (s.n + 1) * sizeof(*t.parts));
    for (size_t i = 0; i < s.n;) {
        struct str rest = str_skip(s, i);

        if (s.p[i] == '{') {
            enum key_part_kind kind = s.p[i + 1] == 'q'   ? KEY_QUERY
                                      : s.p[i + 1] == 'p' ? KEY_PATH
                                                          : KEY_IDENTITY;
            t.parts[t.n++] = (struct key_part){.kind = kind};
            i += 3;
        } else {
            size_t n = str_index(rest, '{');
            t.parts[t.n++] = (struct key_part){.kind = KEY_LITERAL, .text = {rest.p, n}};
            i += n;
        }
    }
    return t;
}

struct pair {
    const char *a;
    const char *b;
    bool overlap;
};

static void check(const struct pair *list, size_t n, bool glob)
{
    for (size_t i = 0; i < n; i++) {
        struct arena arena;
        arena_init(&arena, NULL, 0);
        struct key_template a = make(&arena, list[i].a);
        struct key_template b = make(&arena, list[i].b);

        if (conf_overlap(&a, glob, &b) != list[i].overlap) {
            print_message("%s against %s\n", list[i].a, list[i].b);
        }
        assert_true(conf_overlap(&a, glob, &b) == list[i].overlap);
        if (!glob) {
            assert_true(conf_overlap(&b, false, &a) == list[i].overlap);
        }
        arena_reset(&arena);
    }
}

static void test_templates(void **state)
{
    static const struct pair pairs[] = {
        {"", "", true},
        {"a", "a", true},
        {"a", "b", false},
        {"a", "aa", false},
        {"a:{i}", "a:{i}", true},
        {"a:{i}", "a:list", true},
        {"a:{i}", "b:{i}", false},
        {"a:{i}", "a:{i}:{i}", false}, /* a value holds no colon */
        {"a:{i}", "a:x/y", false},
        {"a:{p}", "a:x/y", true},
        {"a:{i}", "a:x=y", false},
        {"a:{q}", "a:x=y&z", true},
        {"{i}{i}", "abc", true},
        {"{i}", "", true},
        {"{i}:{i}", "a:b:c", false},
        {"x{i}y{i}z", "xyz", true},
        {"x{i}y", "xz", false},
        {"a:{i}:list", "a:x:{i}", true},
        {"a:{i}:list", "a:{i}:item", false},
        {"{q}", "{p}", true},
        {"a{i}", "{i}b", true},
        {"*", "x", false},
    };

    (void)state;
    check(CASES(pairs), false);
}

static void test_globs(void **state)
{
    static const struct pair pairs[] = {
        {"*", "", true},
        {"*", "a:{i}", true},
        {"a:*", "a:{i}", true},
        {"a:*", "a", false},
        {"a:*", "b:{i}", false},
        {"a:?", "a:b", true},
        {"a:?", "a:", false},
        {"a:?", "a:bb", false},
        {"a:[bc]", "a:c", true},
        {"a:[bc]", "a:d", false},
        {"a:[^bc]", "a:c", false},
        {"a:[^bc]", "a:d", true},
        {"a:[b-d]", "a:c", true},
        {"a:[d-b]", "a:c", true},
        {"a:[\\]]", "a:]", true},
        {"a:\\*", "a:*", true},
        {"a:\\*", "a:b", false},
        {"*:item:*", "a:{i}:{i}", true},
        {"*:/x", "a:{i}", false},
        {"*:/x", "a:{p}", true},
        {"a:{i}:*", "a:{i}:{q}", true},
        {"a:{i}", "a:{i}:{i}", false},
        {"**", "x", true},
        {"[!]", "!", true},
        {"a*b*c", "a:{i}:c", true},
        {"a*b*c", "a::c", false},
    };

    (void)state;
    check(CASES(pairs), true);
}

static void test_heads(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 0);
    struct key_template t = make(&a, "a:b*:{i}");
    assert_str(conf_literal_head(&t, false), "a:b*:");
    assert_str(conf_literal_head(&t, true), "a:b");
    t = make(&a, "{i}:a");
    assert_str(conf_literal_head(&t, true), "");
    arena_reset(&a);
}

/* Texts at the limit are compared in a moment, longer ones are left alone. */
static void test_long_templates(void **state)
{
    struct strbuf stars = {0};
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 0);
    for (int i = 0; i < 500; i++) {
        strbuf_add_str(&stars, STR("*a"));
    }
    strbuf_add_char(&stars, '\0');
    struct key_template glob = make(&a, stars.p);
    memset(stars.p, 'a', stars.n - 1);
    struct key_template name = make(&a, stars.p);
    assert_true(conf_overlap(&glob, true, &name));
    stars.p[stars.n - 2] = 'b';
    name = make(&a, stars.p);
    assert_false(conf_overlap(&glob, true, &name));
    stars.n--;
    for (int i = 0; i < 500; i++) {
        strbuf_add_char(&stars, 'a');
    }
    strbuf_add_char(&stars, '\0');
    name = make(&a, stars.p);
    assert_false(conf_overlap(&name, false, &name));
    strbuf_free(&stars);
    arena_reset(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_long_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
