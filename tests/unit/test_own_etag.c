/*
 * Larder's own entity-tags: their form, and that every node finds the same for the same bytes.
 */
#include "unit.h"

#include "cache/own_etag.h"
#include "http/conditional.h"

static void assert_tag(const char *body, const char *expected)
{
    char out[OWN_ETAG_LEN];
    struct str tag = own_etag(str_from(body), out);
    assert_int_equal(tag.n, OWN_ETAG_LEN);
    assert_memory_equal(tag.p, expected, OWN_ETAG_LEN);
    assert_true(etag_valid(tag));
    assert_true(etag_strong_match(tag, str_from(expected)));
}

/* XXH3-128 with seed 0 of the empty text and of "abc", as xxhsum -H2 prints them. */
static void test_known_values(void **state)
{
    (void)state;
    assert_tag("", "\"99aa06d3014798d86001c324468d497f\"");
    assert_tag("abc", "\"06b05ab6733a618578af5f94892f3950\"");
}

static void test_other_bytes_another_tag(void **state)
{
    (void)state;
    char a[OWN_ETAG_LEN], b[OWN_ETAG_LEN];
    char body[1000];
    memset(body, 'x', sizeof(body));
    for (size_t i = 0; i < sizeof(body); i++) {
        struct str before = own_etag(str_make(body, sizeof(body)), a);
        body[i] ^= 1;
        assert_false(str_eq(before, own_etag(str_make(body, sizeof(body)), b)));
        assert_false(str_eq(before, own_etag(str_make(body, i), b)));
    }
    assert_false(str_eq(own_etag(STR_NULL, a), own_etag(str_make("", 1), b)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_other_bytes_another_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
