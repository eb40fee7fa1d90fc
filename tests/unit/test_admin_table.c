/*
 * admin/table, admin/params and admin/check without a server: which row a request finds, which
 * parameters it may have, who may call.
 */
#include "unit.h"

#include <stdlib.h>

#include <openssl/sha.h>

#include "admin/call.h"
#include "admin/plane_state.h"
#include "base/mem.h"

#define TOKEN "0123456789abcdef0123456789abcdef"

static struct loop *loop;
static struct plane plane;
static int answered; /* status of the last answer; 0: none */

static void on_send(struct admin_call *call, int status, const char *type, struct str body)
{
    (void)call;
    (void)type;
    (void)body;
    answered = status;
}

static void on_forget(struct admin_call *call)
{
    (void)call;
}

static struct admin_call *make_call(struct call_field *fields, size_t n)
{
    struct admin_call *call = call_new(&plane);
    call->send = on_send;
    call->forget = on_forget;
    call->fields = fields;
    call->n_fields = n;
    call->method = ADMIN_GET;
    call->method_name = STR("GET");
    call->peer = STR("127.0.0.1");
    call->row = NULL;
    answered = 0;
    return call;
}

/* Ends a call that was not answered. */
static void end_call(struct admin_call *call)
{
    if (answered == 0) {
        call_lost(call);
    }
}

static void test_rows(void **state)
{
    (void)state;
    unsigned allowed;
    struct str rest;
    const struct endpoint *e = endpoint_find(STR("/livez"), ADMIN_GET, &allowed, &rest);
    assert_non_null(e);
    assert_true((e->flags & ENDPOINT_NO_TOKEN) != 0);
    assert_null(endpoint_find(STR("/livez"), ADMIN_POST, &allowed, &rest));
    assert_int_equal(allowed, ADMIN_GET);
    assert_null(endpoint_find(STR("/livez"), 0, &allowed, &rest));
    assert_int_equal(allowed, ADMIN_GET);
    e = endpoint_find(STR("/invalidate/a%2Fb/c"), ADMIN_POST, &allowed, &rest);
    assert_non_null(e);
    assert_true(str_eq(rest, STR("a%2Fb/c")));
    static const char *const none[] = {"",         "/livez/", "/LIVEZ",       "//livez",
                                       "/liveź",   "/live",   "/invalidate/", "/invalidate",
                                       "/livez\n", "livez",   "/%6civez"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_null(endpoint_find(str_from(none[i]), ADMIN_GET | ADMIN_POST, &allowed, &rest));
        assert_int_equal(allowed, 0);
    }
}

/* Only probes and the page that asks for the token are open; whatever changes something is
 * neither open nor a GET. */
static void test_the_table_is_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_endpoints; i++) {
        const struct endpoint *e = &endpoints[i];
        assert_true(e->path[0] == '/' && e->handler != NULL && e->help[0] != '\0');
        assert_true(e->body_max <= 256 * 1024);
        if ((e->flags & ENDPOINT_NO_TOKEN) != 0) {
            assert_int_equal(e->methods, ADMIN_GET);
            assert_int_equal(e->flags & ENDPOINT_MUTATES, 0);
        }
        if ((e->flags & ENDPOINT_PAGE) != 0) { /* open on the data port */
            assert_string_equal(e->path, "/");
            assert_int_equal(e->methods, ADMIN_GET);
        }
        if ((e->methods & ADMIN_DELETE) != 0) {
            assert_true((e->flags & ENDPOINT_MUTATES) != 0);
        }
    }
}

static void test_allow(void **state)
{
    (void)state;
    char out[64];
    endpoint_allow(ADMIN_GET, out, sizeof(out));
    assert_string_equal(out, "GET, HEAD");
    endpoint_allow(ADMIN_DELETE, out, sizeof(out));
    assert_string_equal(out, "DELETE");
    endpoint_allow(ADMIN_GET | ADMIN_POST | ADMIN_DELETE, out, sizeof(out));
    assert_string_equal(out, "GET, HEAD, POST, DELETE");
    endpoint_allow(ADMIN_POST | ADMIN_DELETE, out, sizeof(out));
    assert_string_equal(out, "POST, DELETE");
}

static void test_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        bool good;
    } cases[] = {
        {"", true},       {"a=1", true},     {"a=1&b=%20x", true}, {"&&a=1&", true},
        {"%61=1", true},  {"a", false},      {"a=", false},        {"=1", false},
        {"c=1", false},   {"A=1", false},    {"a=1&a=1", false},   {"a=1&%61=2", false},
        {"a=%00", false}, {"a=%", false},    {"a=%4", false},      {"a=%zz", false},
        {"a b=1", false}, {"a=1;b=2", true}, {"a=1&c", false},
    };
    static const struct endpoint row = {
        .methods = ADMIN_GET, .path = "/x", .query = "a b", .help = ""};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct admin_call *call = make_call(NULL, 0);
        call->row = &row;
        bool good = params_read(call, str_from(cases[i].query));
        assert_int_equal(good, cases[i].good);
        assert_int_equal(answered, good ? 0 : 400);
        if (good && str_eq(str_from(cases[i].query), STR("a=1&b=%20x"))) {
            assert_string_equal(admin_query(call, "a"), "1");
            assert_string_equal(admin_query(call, "b"), " x");
            assert_null(admin_query(call, "c"));
        }
        end_call(call);
    }
}

static bool token_ok(struct call_field *fields, size_t n, bool routed)
{
    struct admin_call *call = make_call(fields, n);
    call->routed = routed;
    bool good = check_token(call);
    assert_int_equal(answered, good ? 0 : 401);
    end_call(call);
    return good;
}

static void test_token(void **state)
{
    (void)state;
    struct call_field good = {STR("authorization"), STR("Bearer " TOKEN)};
    struct call_field bad[] = {
        {STR("Authorization"), STR("Bearer " TOKEN "0")},
        {STR("Authorization"), STR(TOKEN)},
        {STR("Authorization"), STR("Bearer")},
        {STR("Authorization"), STR("Bearer ")},
        {STR("Authorization"), STR("")},
        {STR("Cookie"), STR("Bearer " TOKEN)},
    };
    struct call_field twice[] = {good, good};
    plane.token_needed = true;
    SHA256((const unsigned char *)TOKEN, sizeof(TOKEN) - 1, plane.token);
    assert_true(token_ok(&good, 1, false));
    assert_true(token_ok(&good, 1, true));
    assert_false(token_ok(NULL, 0, false));
    assert_false(token_ok(twice, 2, false));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(token_ok(&bad[i], 1, false));
    }
    /* No token configured: open on the admin address, closed everywhere else. */
    plane.token_needed = false;
    SHA256((const unsigned char *)"", 0, plane.token);
    assert_true(token_ok(NULL, 0, false));
    assert_false(token_ok(NULL, 0, true));
    assert_false(token_ok(&bad[3], 1, true));
}

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    plane.context.loop = loop;
    return loop != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    assert_null(plane.calls);
    loop_free(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),  cmocka_unit_test(test_the_table_is_safe),
        cmocka_unit_test(test_allow), cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests_name("admin_table", tests, setup, teardown);
}
