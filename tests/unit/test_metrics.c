/*
 * admin/metrics: values of labels that could break the page.
 */
#include "unit.h"

#include "admin/metrics.h"

static void values_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"GET /a/{id}", "GET /a/{id}"},
        {"a\"b\\c\nd", "a\\\"b\\\\c\\nd"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xff|\xc3", "\xef\xbf\xbd|\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct strbuf out = {0};
        metrics_put_value(&out, str_from(cases[i].in));
        assert_true(str_eq(strbuf_str(&out), str_from(cases[i].out)));
        strbuf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
