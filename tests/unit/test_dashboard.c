/*
 * The dashboard's page as the program holds it: whole, with its parts filled in, and without
 * anything that its own policy forbids.
 */
#include "unit.h"

#include <stdio.h>

#include "base/str.h"

extern const unsigned char dashboard_page[];
extern const size_t dashboard_page_size;

static const char *find(const char *needle)
{
    return memmem(dashboard_page, dashboard_page_size, needle, strlen(needle));
}

static void test_whole(void **state)
{
    static const char end[] = "</html>\n";

    (void)state;
    assert_true(dashboard_page_size > 20000);
    assert_memory_equal(dashboard_page, "<!doctype html>\n", 16);
    assert_memory_equal(dashboard_page + dashboard_page_size - (sizeof(end) - 1), end,
                        sizeof(end) - 1);
    assert_non_null(find("'use strict';"));
    assert_non_null(find("color-scheme: light dark;"));
    assert_null(find("@STYLE@"));
    assert_null(find("@SCRIPT@"));
    assert_non_null(find("<!-- @PLANE@ -->\n"));
}

/* One style and one script, by whose hashes the policy knows them; no third way to run or load
 * anything; no way from a text of the server to markup. */
static void test_policy(void **state)
{
    static const char *const forbidden[] = {
        "innerHTML", "outerHTML",    "insertAdjacentHTML", "document.write",
        "eval(",     " onclick=",    " onload=",           " onerror=",
        " style=",   "javascript:",  "src=\"http",         "url(http",
        "@import",   "new Function",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        if (find(forbidden[i]) != NULL) {
            fail_msg("the page holds %s", forbidden[i]);
        }
    }
    static const char *const once[] = {"<script>", "</script>", "<style>", "</style>"};
    for (size_t i = 0; i < 4; i++) {
        const char *first = find(once[i]);
        assert_non_null(first);
        size_t left = dashboard_page_size - (size_t)(first + 1 - (const char *)dashboard_page);
        assert_null(memmem(first + 1, left, once[i], strlen(once[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
