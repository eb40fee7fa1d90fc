/*
 * cache/journal_intent_table: the order in which open intents are due, their ends, and what is
 * kept above the bounds.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/journal_intent_table.h"

static struct intents t;

static int setup(void **state)
{
    (void)state;
    intents_init(&t, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    intents_fini(&t);
    return 0;
}

static void put(const char *mid, msec_t due, msec_t deadline)
{
    const struct journal_intent intent = {str_from(mid), deadline, STR("nh1:a")};
    intents_put(&t, &intent, due);
}

static void put_number(unsigned n, msec_t due)
{
    char mid[16];
    snprintf(mid, sizeof(mid), "m:%u", n);
    put(mid, due, 100);
}

/* The mids in order, each followed by a space. */
static void assert_order(const char *expected)
{
    struct strbuf text = {0};
    const struct open_intent *before = NULL;
    for (const struct open_intent *it = t.first; it != NULL; it = it->next) {
        strbuf_addf(&text, "%.*s ", STR_ARG(open_intent_mid(it)));
        assert_ptr_equal(it->prev, before);
        before = it;
    }
    assert_ptr_equal(t.last, before);
    assert_true(str_eq(strbuf_str(&text), str_from(expected)));
    strbuf_free(&text);
}

static void test_none(void **state)
{
    (void)state;
    assert_int_equal(intents_due(&t), MSEC_MAX);
    assert_false(intents_close(&t, STR("a")));
    assert_false(intents_take_all(&t, MSEC_MAX));
    intents_rebase(&t, 5);
}

static void test_in_order_of_due(void **state)
{
    (void)state;
    put("b", 200, 100);
    put("d", 400, 100);
    put("a", 100, 100);
    put("c", 300, 100);
    put("c2", 300, 100);
    assert_order("a b c c2 d ");
    assert_int_equal(intents_due(&t), 100);
    assert_true(intents_close(&t, STR("a")));
    assert_true(intents_close(&t, STR("c")));
    assert_true(intents_close(&t, STR("d")));
    assert_false(intents_close(&t, STR("d")));
    assert_order("b c2 ");
    assert_int_equal(intents_due(&t), 200);
    intents_postpone(&t, t.first, 500);
    assert_order("c2 b ");
    intents_drop(&t, t.first);
    intents_drop(&t, t.first);
    assert_int_equal(t.n, 0);
    assert_int_equal(t.bytes, 0);
}

static void test_announced_again(void **state)
{
    (void)state;
    put("a", 100, 100);
    put("b", 150, 100);
    put("a", 200, 100);
    assert_order("b a ");
    assert_int_equal(t.n, 2);
    assert_int_equal(t.bytes, 10);
    assert_true(str_eq(open_intent_records(t.last), STR("nh1:a")));
}

static void test_another_clock(void **state)
{
    (void)state;
    put("long", 1000, 900);
    put("short", 1010, 50);
    intents_rebase(&t, 5);
    assert_order("short long ");
    assert_int_equal(t.first->due, 55);
    assert_int_equal(t.last->due, 905);
}

/* Beyond the bound one of everything is due: not before the first of them, and again for those
 * that are due later. */
static void test_too_many(void **state)
{
    (void)state;
    for (unsigned i = 0; i < INTENTS_MAX; i++) {
        put_number(i, 1000);
    }
    put("x", 2000, 700);
    put("y", 2500, 100);
    put("z", 2200, 100);
    assert_int_equal(t.n, INTENTS_MAX);
    assert_int_equal(intents_due(&t), 1000);
    assert_false(intents_take_all(&t, 1999));
    assert_true(intents_take_all(&t, 2000));
    assert_false(intents_take_all(&t, 2499));
    assert_true(intents_take_all(&t, 2500));
    assert_false(intents_take_all(&t, MSEC_MAX));
    /* There is room again. */
    assert_true(intents_close(&t, STR("m:7")));
    put("x", 900, 100);
    assert_int_equal(intents_due(&t), 900);
    put("over", 500, 700);
    assert_int_equal(intents_due(&t), 500);
    intents_rebase(&t, 10);
    assert_int_equal(intents_due(&t), 110);
    assert_false(intents_take_all(&t, 709));
    assert_true(intents_take_all(&t, 710));
    /* One that is there can always be announced again. */
    put_number(8, 5000);
    assert_int_equal(t.last->due, 5000);
    assert_int_equal(t.n, INTENTS_MAX);
}

static void test_too_long(void **state)
{
    (void)state;
    enum { EACH = 200 * 1024 };
    char *text = xcalloc(1, EACH);
    for (unsigned i = 0; i <= INTENTS_BYTES / EACH; i++) {
        char mid[16];
        snprintf(mid, sizeof(mid), "m:%u", i);
        const struct journal_intent intent = {str_from(mid), 100, str_make(text, EACH)};
        intents_put(&t, &intent, i);
    }
    assert_true(t.bytes <= INTENTS_BYTES + 4);
    assert_int_equal(t.first->records_n, EACH);
    assert_true(str_eq(open_intent_records(t.last), STR("ah0:")));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_order_of_due, setup, teardown),
        cmocka_unit_test_setup_teardown(test_announced_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
