/*
 * cache/tags: where tags come from, how each source separates them, and the bounds beyond which
 * an answer may not be stored.
 */
#include "unit.h"

#include <stdio.h>

#include "base/arena.h"
#include "cache/tags.h"

static char room[65536];
static struct arena arena;
static struct route_settings route;
static struct settings settings;
static struct target target;
static struct msg request;
static struct key_context kc;
static const struct key_query no_query = {.canonical = {"", 0}};

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, room, sizeof(room));
    memset(&route, 0, sizeof(route));
    kc = (struct key_context){
        .settings = &settings, .route = &route, .request = &request, .target = &target};
    kc.params[0] = STR("7:8");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static struct msg make_response(const char *text)
{
    struct msg m = {.status = 200, .minor = 1};
    struct str rest = str_from(text);
    struct str line;
    while (str_next(&rest, '\n', &line)) {
        size_t colon = str_index(line, ':');
        if (line.n > 0) {
            msg_add(&m, &arena, str_make(line.p, colon), str_trim(str_skip(line, colon + 1)));
        }
    }
    return m;
}

/* The tags with "|" between them. */
static const char *text_of(const struct tag_set *tags)
{
    static char out[8192];
    struct str joined = tags_join(tags, &arena);
    assert_true(joined.n < sizeof(out));
    for (size_t i = 0; i < joined.n; i++) {
        out[i] = joined.p[i] != '\0' ? joined.p[i] : '|';
    }
    out[joined.n] = '\0';
    return out;
}

static void assert_tags(const char *response, const char *expected)
{
    struct msg m = make_response(response);
    struct tag_set tags;
    tags_collect(&kc, &no_query, &m, &arena, &tags);
    assert_false(tags.incomplete);
    assert_string_equal(text_of(&tags), expected);
}

static void every_source_has_its_separator(void **state)
{
    (void)state;
    assert_tags("", "");
    assert_tags("Surrogate-Key: a b,c  d\te ", "a|b,c|d|e");
    assert_tags("Surrogate-Key: a b\nSurrogate-Key: c a", "a|b|c");
    assert_tags("Cache-Tag: a b, c ,,d", "a b|c|d");
    assert_tags("Cache-Groups: \"a, b\", \"c\\\"d\";x=1", "a, b|c\"d");
    assert_tags("Cache-Groups: \"a\"\nCache-Groups: \"b\"", "a|b");
    assert_tags("Cache-Groups: \"a\", b", ""); /* a token: the whole field is invalid */
    assert_tags("Cache-Groups: \"a", "");
    assert_tags("Cache-Tag: x, y\nSurrogate-Key: y z\nCache-Groups: \"z\", \"w\"", "x|y|z|w");
    assert_tags("Cache-Tag: A, a", "A|a"); /* letter case counts */
}

static void templates_of_the_route(void **state)
{
    (void)state;
    struct key_part parts[] = {{KEY_LITERAL, STR("item:"), 0}, {KEY_PARAM, STR_NULL, 0}};
    struct key_part org[] = {{KEY_LITERAL, STR("org:"), 0}, {KEY_IDENTITY, STR_NULL, 0}};
    struct key_template templates[] = {
        {.parts = parts, .n = 1}, {.parts = parts, .n = 2}, {.parts = org, .n = 2}};
    struct identity_value who = {true, STR("o 1")};
    route.tags = templates;
    route.n_tags = 3;
    kc.identities = &who;
    assert_tags("Cache-Tag: item:, more", "item:|item:7%3A8|org:o%201|more");
    /* what cannot be rendered would be missed by its invalidation */
    who.known = false;
    struct msg m = make_response("");
    struct tag_set tags;
    tags_collect(&kc, &no_query, &m, &arena, &tags);
    assert_true(tags.incomplete);
}

static void bounds(void **state)
{
    (void)state;
    char line[8192] = "Surrogate-Key:";
    for (int i = 0; i < TAGS_MAX; i++) {
        size_t n = strlen(line);
        snprintf(line + n, sizeof(line) - n, " t%d t%d", i, i);
    }
    struct msg m = make_response(line);
    struct tag_set tags;
    tags_collect(&kc, &no_query, &m, &arena, &tags);
    assert_int_equal(tags.n, TAGS_MAX);
    assert_false(tags.incomplete);
    msg_add(&m, &arena, STR("Cache-Tag"), STR("t3"));
    tags_collect(&kc, &no_query, &m, &arena, &tags);
    assert_false(tags.incomplete);
    msg_add(&m, &arena, STR("Cache-Tag"), STR("one more"));
    tags_collect(&kc, &no_query, &m, &arena, &tags);
    assert_int_equal(tags.n, TAGS_MAX);
    assert_true(tags.incomplete);

    char tag[TAG_LENGTH_MAX + 1];
    memset(tag, 'x', sizeof(tag));
    m = make_response("");
    msg_add(&m, &arena, STR("Surrogate-Key"), str_make(tag, TAG_LENGTH_MAX));
    tags_collect(&kc, &no_query, &m, &arena, &tags);
    assert_int_equal(tags.n, 1);
    assert_false(tags.incomplete);
    m.fields[0].value.n = TAG_LENGTH_MAX + 1;
    tags_collect(&kc, &no_query, &m, &arena, &tags);
    assert_int_equal(tags.n, 0);
    assert_true(tags.incomplete);
}

static void groups_that_a_write_invalidates(void **state)
{
    (void)state;
    struct tag_set tags;
    struct msg m = make_response("Cache-Group-Invalidation: \"eurovision\", \"kylie\"\n"
                                 "Cache-Groups: \"other\"\nCache-Tag: other");
    tags_invalidated(&m, &arena, &tags);
    assert_string_equal(text_of(&tags), "eurovision|kylie");
    m = make_response("Cache-Group-Invalidation: eurovision");
    tags_invalidated(&m, &arena, &tags);
    assert_int_equal(tags.n, 0);
    assert_false(tags.incomplete);
    m = make_response("");
    tags_invalidated(&m, &arena, &tags);
    assert_int_equal(tags.n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    field_table_init();
    const struct CMUnitTest tests[] = {
        TEST(every_source_has_its_separator),
        TEST(templates_of_the_route),
        TEST(bounds),
        TEST(groups_that_a_write_invalidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
