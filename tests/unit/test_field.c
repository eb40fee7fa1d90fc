/*
 * The table of known fields: lookup in any case, near misses, and the classes that decide about
 * forwarding, repetition and Connection (hardening H1-H3).
 */
#include "unit.h"

#include "http/field.h"

static void test_every_name_finds_itself(void **state)
{
    (void)state;
    for (int id = 1; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field_id)id);
        char upper[64], lower[64];
        assert_in_range(name.n, 1, sizeof(upper));
        for (size_t i = 0; i < name.n; i++) {
            lower[i] = ascii_lower(name.p[i]);
            upper[i] = lower[i] >= 'a' && lower[i] <= 'z' ? (char)(lower[i] - 32) : lower[i];
        }
        assert_int_equal(field_lookup(name), id);
        assert_int_equal(field_lookup(str_make(lower, name.n)), id);
        assert_int_equal(field_lookup(str_make(upper, name.n)), id);
    }
    field_table_init(); /* again is harmless */
    assert_int_equal(field_lookup(STR("host")), FIELD_HOST);
}

/* One byte more, less or different is another field. */
static void test_near_misses(void **state)
{
    (void)state;
    char text[80];
    for (int id = 1; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field_id)id);
        memcpy(text, name.p, name.n);
        text[name.n] = 's';
        struct str longer = str_make(text, name.n + 1);
        enum field_id found = field_lookup(longer);
        assert_true(found == FIELD_OTHER || str_ieq(field_name(found), longer));
        struct str shorter = str_make(text, name.n - 1);
        found = field_lookup(shorter);
        assert_true(found == FIELD_OTHER || str_ieq(field_name(found), shorter));
        for (size_t i = 0; i < name.n; i++) {
            text[i] = (char)(name.p[i] ^ 0x80);
            assert_int_equal(field_lookup(str_make(text, name.n)), FIELD_OTHER);
            text[i] = '_';
            assert_int_equal(field_lookup(str_make(text, name.n)), FIELD_OTHER);
            text[i] = name.p[i];
        }
    }
    assert_int_equal(field_lookup(STR("")), FIELD_OTHER);
    assert_int_equal(field_lookup(STR_NULL), FIELD_OTHER);
    assert_int_equal(field_lookup(STR("X-Something")), FIELD_OTHER);
    assert_int_equal(field_lookup(STR("Host ")), FIELD_OTHER);
}

static void test_no_name_twice(void **state)
{
    (void)state;
    for (int a = 1; a < FIELD_COUNT; a++) {
        for (int b = a + 1; b < FIELD_COUNT; b++) {
            assert_false(str_ieq(field_name((enum field_id)a), field_name((enum field_id)b)));
        }
    }
    assert_int_equal(field_name(FIELD_OTHER).n, 0);
    assert_int_equal(field_flags(FIELD_OTHER), 0);
}

static void assert_class(unsigned flag, const enum field_id *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!(field_flags(ids[i]) & flag)) {
            fail_msg("%s lacks flag %u", field_name(ids[i]).p, flag);
        }
    }
}

/* Exactly these (RFC 9110 7.6.1, RFC 9112 C.2.2; hardening H1). */
static void test_hop_by_hop(void **state)
{
    (void)state;
    static const enum field_id hop[] = {
        FIELD_CONNECTION,
        FIELD_KEEP_ALIVE,
        FIELD_PROXY_CONNECTION,
        FIELD_TE,
        FIELD_TRAILER,
        FIELD_TRANSFER_ENCODING,
        FIELD_UPGRADE,
        FIELD_PROXY_AUTHENTICATE,
        FIELD_PROXY_AUTHENTICATION_INFO,
        FIELD_PROXY_AUTHORIZATION,
        FIELD_HTTP2_SETTINGS,
    };
    size_t n = 0;
    for (int id = 1; id < FIELD_COUNT; id++) {
        n += (field_flags((enum field_id)id) & FIELD_HOP) != 0;
    }
    assert_int_equal(n, sizeof(hop) / sizeof(hop[0]));
    assert_class(FIELD_HOP, hop, n);
}

static void test_protected(void **state)
{
    (void)state;
    static const enum field_id protected[] = {
        FIELD_HOST,
        FIELD_CONTENT_LENGTH,
        FIELD_CONTENT_TYPE,
        FIELD_CONTENT_ENCODING,
        FIELD_TRANSFER_ENCODING,
        FIELD_AUTHORIZATION,
        FIELD_COOKIE,
        FIELD_CACHE_CONTROL,
        FIELD_EXPECT,
        FIELD_FORWARDED,
        FIELD_X_FORWARDED_FOR,
        FIELD_X_FORWARDED_HOST,
        FIELD_X_FORWARDED_PORT,
        FIELD_X_FORWARDED_PROTO,
        FIELD_X_REAL_IP,
        FIELD_IF_NONE_MATCH,
        FIELD_IF_MODIFIED_SINCE,
        FIELD_RANGE,
    };
    assert_class(FIELD_PROTECTED, protected, sizeof(protected) / sizeof(protected[0]));
    static const enum field_id named[] = {FIELD_CONNECTION, FIELD_KEEP_ALIVE, FIELD_TE,
                                          FIELD_UPGRADE, FIELD_HTTP2_SETTINGS};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        assert_false(field_flags(named[i]) & FIELD_PROTECTED);
    }
}

static void test_singletons(void **state)
{
    (void)state;
    static const enum field_id once[] = {
        FIELD_HOST,          FIELD_CONTENT_LENGTH,    FIELD_CONTENT_TYPE,
        FIELD_AUTHORIZATION, FIELD_IF_RANGE,          FIELD_RANGE,
        FIELD_MAX_FORWARDS,  FIELD_IF_MODIFIED_SINCE, FIELD_CONTENT_RANGE};
    assert_class(FIELD_SINGLETON, once, sizeof(once) / sizeof(once[0]));
    static const enum field_id repeatable[] = {
        FIELD_AGE,    FIELD_EXPIRES,       FIELD_SET_COOKIE, FIELD_COOKIE, FIELD_VARY,
        FIELD_ACCEPT, FIELD_IF_NONE_MATCH, FIELD_CONNECTION, FIELD_VIA,    FIELD_CACHE_CONTROL,
    };
    for (size_t i = 0; i < sizeof(repeatable) / sizeof(repeatable[0]); i++) {
        assert_false(field_flags(repeatable[i]) & FIELD_SINGLETON);
    }
}

/* A list may be sent on several lines: the two classes exclude each other. */
static void test_lists_are_no_singletons(void **state)
{
    (void)state;
    for (int id = 1; id < FIELD_COUNT; id++) {
        unsigned both = FIELD_LIST | FIELD_SINGLETON;
        assert_int_not_equal(field_flags((enum field_id)id) & both, both);
    }
}

static int setup(void **state)
{
    (void)state;
    field_table_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_finds_itself),
        cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_no_name_twice),
        cmocka_unit_test(test_hop_by_hop),
        cmocka_unit_test(test_protected),
        cmocka_unit_test(test_singletons),
        cmocka_unit_test(test_lists_are_no_singletons),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
