/*
 * cli/admin_where and the targets of cli/admin_client: addresses as users write them.
 */
#include "unit.h"

#include "cli/admin_client.h"
#include "cli/admin_where.h"

static void check(const char *text, const char *base, const char *socket)
{
    struct admin_where w = {0};
    assert_true(admin_where_parse(text, &w));
    assert_string_equal(w.base, base);
    if (socket == NULL) {
        assert_null(w.socket);
    } else {
        assert_string_equal(w.socket, socket);
    }
    assert_non_null(w.shown);
    assert_null(w.token);
    admin_where_fini(&w);
}

static void test_addresses(void **state)
{
    (void)state;
    check("127.0.0.1:9090", "http://127.0.0.1:9090", NULL);
    check("[::1]:9090", "http://[::1]:9090", NULL);
    check("localhost:1", "http://localhost:1", NULL);
    check("9090", "http://127.0.0.1:9090", NULL);
    check("*:9090", "http://127.0.0.1:9090", NULL);
    check("0.0.0.0:9090", "http://127.0.0.1:9090", NULL);
    check("[::]:9090", "http://[::1]:9090", NULL);
    check("unix:/run/larder/admin.sock", "http://localhost", "/run/larder/admin.sock");
    check("unix:admin.sock", "http://localhost", "admin.sock");
    check("http://x:8080/ops/", "http://x:8080/ops", NULL);
    check("https://api.example.com", "https://api.example.com", NULL);
}

static void test_what_is_no_address(void **state)
{
    static const char *const wrong[] = {
        "",          "x",          "x:",          "x:0",          "x:65536",
        ":-1",       "a b:1",      "u@h:1",       "unix:",        "http://",
        "http:///x", "http://u@h", "https://a b", "http://h?a=b", "::1:80",
        "ftp://x:1", "h/p:80"};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct admin_where w = {0};
        if (admin_where_parse(wrong[i], &w)) {
            fail_msg("%s is taken for an address", wrong[i]);
        }
    }
}

static void test_targets_are_encoded(void **state)
{
    struct strbuf t = {0};
    (void)state;
    strbuf_add_str(&t, STR("/keys/"));
    admin_target_segment(&t, STR("a:b/c?d%"));
    admin_target_add(&t, "pattern", STR("x:*&y=\xc3\xa4"));
    admin_target_add(&t, "limit", STR("5"));
    strbuf_add_char(&t, '\0');
    assert_string_equal(t.p, "/keys/a%3Ab%2Fc%3Fd%25?pattern=x%3A%2A%26y%3D%C3%A4&limit=5");
    strbuf_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_what_is_no_address),
        cmocka_unit_test(test_targets_are_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
