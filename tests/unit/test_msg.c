/*
 * Reading message heads: methods, lists over several lines, cookies, adding and removing.
 */
#include "unit.h"

#include "http/msg.h"

static struct arena arena;
static struct msg m;

static int setup(void **state)
{
    (void)state;
    field_table_init();
    arena_init(&arena, NULL, 0);
    m = (struct msg){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void add(const char *name, const char *value)
{
    msg_add(&m, &arena, str_from(name), str_from(value));
}

static void assert_str(struct str got, const char *want)
{
    if (got.p == NULL || !str_eq(got, str_from(want))) {
        fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got), want);
    }
}

static void test_methods_are_case_sensitive(void **state)
{
    (void)state;
    assert_int_equal(method_lookup(STR("GET")), METHOD_GET);
    assert_int_equal(method_lookup(STR("CONNECT")), METHOD_CONNECT);
    assert_int_equal(method_lookup(STR("get")), METHOD_OTHER);
    assert_int_equal(method_lookup(STR("GETX")), METHOD_OTHER);
    assert_int_equal(method_lookup(STR("GE")), METHOD_OTHER);
    assert_int_equal(method_lookup(STR_NULL), METHOD_OTHER);
    assert_int_equal(method_lookup(STR("M-SEARCH")), METHOD_OTHER);
}

static void test_method_properties(void **state)
{
    (void)state;
    static const enum method safe[] = {METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_TRACE};
    for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++) {
        assert_true(method_is_safe(safe[i]));
        assert_true(method_is_idempotent(safe[i]));
    }
    assert_true(method_is_idempotent(METHOD_PUT) && method_is_idempotent(METHOD_DELETE));
    static const enum method unsafe[] = {METHOD_OTHER, METHOD_POST,   METHOD_PUT,
                                         METHOD_PATCH, METHOD_DELETE, METHOD_CONNECT};
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++) {
        assert_false(method_is_safe(unsafe[i]));
    }
    assert_false(method_is_idempotent(METHOD_POST) || method_is_idempotent(METHOD_PATCH) ||
                 method_is_idempotent(METHOD_OTHER));
}

static void test_get(void **state)
{
    (void)state;
    assert_null(msg_find(&m, FIELD_HOST));
    assert_null(msg_get(&m, FIELD_HOST).p);
    add("Age", "1");
    add("AGE", "2");
    add("x-custom", "3");
    assert_str(msg_get(&m, FIELD_AGE), "1");
    assert_int_equal(msg_count(&m, FIELD_AGE), 2);
    assert_str(msg_get_name(&m, STR("X-CUSTOM")), "3");
    assert_null(msg_get_name(&m, STR("X-Custo")).p);
    assert_int_equal(m.fields[2].id, FIELD_OTHER);
}

static void test_joined(void **state)
{
    (void)state;
    assert_null(msg_joined(&m, FIELD_VARY, &arena).p);
    add("Vary", "a");
    assert_ptr_equal(msg_joined(&m, FIELD_VARY, &arena).p, m.fields[0].value.p); /* no copy */
    add("X-One", "1");
    add("vary", "");
    add("Vary", "b, c");
    add("x-one", "2");
    assert_str(msg_joined(&m, FIELD_VARY, &arena), "a, , b, c");
    assert_str(msg_joined_name(&m, STR("X-ONE"), &arena), "1, 2");
    assert_str(msg_joined_name(&m, STR("VARY"), &arena), "a, , b, c");
    assert_null(msg_joined_name(&m, STR("X-Two"), &arena).p);
}

static void test_joined_empty_values(void **state)
{
    (void)state;
    msg_add(&m, &arena, STR("Vary"), STR_NULL);
    msg_add(&m, &arena, STR("Vary"), STR_NULL);
    assert_str(msg_get(&m, FIELD_VARY), ""); /* there, although empty */
    assert_str(msg_joined(&m, FIELD_VARY, &arena), ", ");
}

static void test_tokens(void **state)
{
    (void)state;
    add("Connection", " keep-alive ,\tUpgrade");
    add("X", "close");
    add("connection", "x-a,,X-B");
    assert_true(msg_has_token(&m, FIELD_CONNECTION, STR("keep-alive")));
    assert_true(msg_has_token(&m, FIELD_CONNECTION, STR("upgrade")));
    assert_true(msg_has_token(&m, FIELD_CONNECTION, STR("X-A")));
    assert_false(msg_has_token(&m, FIELD_CONNECTION, STR("close")));
    assert_false(msg_has_token(&m, FIELD_CONNECTION, STR("keep")));
    assert_false(msg_has_token(&m, FIELD_CONNECTION, STR("x")));
    assert_true(msg_connection_lists(&m, STR("x-b")));
    assert_false(msg_connection_lists(&m, STR("x-c")));
}

static void test_add_many_and_remove(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        add(i % 3 == 0 ? "Set-Cookie" : "X-Y", i % 2 == 0 ? "even" : "odd");
    }
    assert_int_equal(m.n_fields, 200);
    assert_int_equal(msg_count(&m, FIELD_SET_COOKIE), 67);
    msg_remove(&m, FIELD_SET_COOKIE);
    assert_int_equal(m.n_fields, 133);
    assert_null(msg_find(&m, FIELD_SET_COOKIE));
    assert_str(m.fields[0].value, "odd");
    assert_str(m.fields[1].value, "even");
    msg_remove(&m, FIELD_SET_COOKIE);
    assert_int_equal(m.n_fields, 133);
}

static void test_cookie(void **state)
{
    (void)state;
    bool ambiguous = true;
    assert_null(msg_cookie(&m, STR("sid"), &ambiguous).p);
    assert_false(ambiguous);
    add("Cookie", "a=1; sid=abc=def; empty=; quoted=\"q v\"; bare; =nameless");
    assert_str(msg_cookie(&m, STR("a"), NULL), "1");
    assert_str(msg_cookie(&m, STR("sid"), NULL), "abc=def");
    assert_str(msg_cookie(&m, STR("empty"), NULL), "");
    assert_str(msg_cookie(&m, STR("quoted"), NULL), "q v");
    assert_null(msg_cookie(&m, STR("bare"), NULL).p);
    assert_null(msg_cookie(&m, STR("SID"), NULL).p); /* names are case-sensitive */
    assert_null(msg_cookie(&m, STR("si"), NULL).p);
    assert_str(msg_cookie(&m, STR(""), NULL), "nameless");
}

/* Two cookies of one name: whose the request is cannot be told. */
static void test_cookie_sent_twice(void **state)
{
    (void)state;
    bool ambiguous;
    add("Cookie", "sid=a; sid=a");
    assert_str(msg_cookie(&m, STR("sid"), &ambiguous), "a");
    assert_false(ambiguous);
    add("cookie", "x=1; sid=b");
    assert_null(msg_cookie(&m, STR("sid"), &ambiguous).p);
    assert_true(ambiguous);
    assert_str(msg_cookie(&m, STR("x"), &ambiguous), "1");
    assert_false(ambiguous);
}

/* Backends trim around names, so a spaced name is the same cookie. */
static void test_cookie_with_spaced_name(void **state)
{
    (void)state;
    bool ambiguous;
    add("Cookie", "sid=a; sid =b");
    assert_null(msg_cookie(&m, STR("sid"), &ambiguous).p);
    assert_true(ambiguous);
    msg_remove(&m, FIELD_COOKIE);
    add("Cookie", "sid\t=\tb ");
    assert_str(msg_cookie(&m, STR("sid"), &ambiguous), "b");
}

static void test_status_phrases(void **state)
{
    (void)state;
    assert_str(status_phrase(200), "OK");
    assert_str(status_phrase(100), "Continue");
    assert_str(status_phrase(412), "Precondition Failed");
    assert_str(status_phrase(511), "Network Authentication Required");
    assert_str(status_phrase(299), "");
    assert_str(status_phrase(0), "");
    assert_str(status_phrase(-1), "");
    for (int status = 0; status < 1000; status++) {
        struct str phrase = status_phrase(status);
        for (size_t i = 0; i < phrase.n; i++) {
            assert_in_range(phrase.p[i], 0x20, 0x7e);
        }
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_methods_are_case_sensitive),
        T(test_method_properties),
        T(test_get),
        T(test_joined),
        T(test_joined_empty_values),
        T(test_tokens),
        T(test_add_many_and_remove),
        T(test_cookie),
        T(test_cookie_sent_twice),
        T(test_cookie_with_spaced_name),
        T(test_status_phrases),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
