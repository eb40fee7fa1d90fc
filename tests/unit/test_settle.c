/*
 * Repeated invalidations, on a clock that the test moves: when, what, and that there may be
 * very many of them.
 */
#include "unit.h"

#include <stdio.h>

#include "flow/node.h"
#include "flow/settle.h"
#include "flow/worker.h"

#define SECOND 1000

static struct node node;
static struct worker worker;
static msec_t fake_now;

static msec_t fake_clock(void)
{
    return fake_now;
}

static int setup(void **state)
{
    (void)state;
    memset(&node, 0, sizeof(node));
    memset(&worker, 0, sizeof(worker));
    node.journal = journal_new(100000);
    worker.node = &node;
    worker.loop = loop_new();
    if (worker.loop == NULL) {
        return -1;
    }
    fake_now = worker.loop->now;
    worker.loop->clock = fake_clock;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    settle_finish(&worker);
    loop_free(worker.loop);
    journal_free(node.journal);
    return 0;
}

static void advance(msec_t by)
{
    msec_t until = fake_now + by;
    while (worker.loop->timer_at <= until) {
        fake_now = worker.loop->timer_at > fake_now ? worker.loop->timer_at : fake_now;
        event_active(&worker.loop->timer, EV_TIMEOUT, 0);
        loop_turn(worker.loop, false);
    }
    fake_now = until;
    loop_touch(worker.loop);
}

static uint64_t applied(void)
{
    struct journal_stats stats;
    journal_stats(node.journal, &stats);
    return stats.position;
}

/* Is what was fetched at this stamp under this name gone? */
static bool gone(struct stamp at, const char *name)
{
    struct str none = STR("");
    return journal_check_stamp(node.journal, &at, str_from(name), none, none, none) ==
           JOURNAL_INVALID;
}

static void later(const char *name, msec_t after)
{
    const struct record r = {.kind = RECORD_NAME, .text = str_from(name)};
    settle_later(&worker, &r, 1, after);
}

static void test_repeats_when_it_is_due(void **state)
{
    (void)state;
    struct stamp before = journal_stamp(node.journal);
    later("a", 2 * SECOND);
    later("b", 5 * SECOND);
    advance(2 * SECOND - 100);
    assert_int_equal(applied(), 0);
    advance(200);
    assert_true(gone(before, "a"));
    assert_false(gone(before, "b"));
    advance(3 * SECOND);
    assert_true(gone(before, "b"));
    advance(60 * SECOND);
    assert_int_equal(applied(), 2);
    assert_int_equal(worker.n_settling, 0);
}

/* The texts belong to a request that is gone by then. */
static void test_keeps_copies(void **state)
{
    (void)state;
    char text[] = "shop:a";
    const struct record r[] = {
        {.kind = RECORD_GLOB, .text = str_make(text, 6)},
        {.kind = RECORD_ALL},
    };
    struct stamp before = journal_stamp(node.journal);
    settle_later(&worker, r, 1, SECOND);
    settle_later(&worker, r + 1, 1, 9 * SECOND);
    memset(text, 'x', sizeof(text));
    advance(2 * SECOND);
    assert_true(gone(before, "shop:a"));
    assert_false(gone(before, "shop:b"));
    advance(8 * SECOND);
    assert_true(gone(before, "shop:b"));
}

static void test_the_end_loses_nothing(void **state)
{
    (void)state;
    struct stamp before = journal_stamp(node.journal);
    later("a", 3600 * SECOND);
    settle_finish(&worker);
    assert_true(gone(before, "a"));
    assert_null(worker.settling);
}

/* More than a worker keeps: one "all" stands for those that do not fit, and it does not come
 * before the last of them is due. */
static void test_very_many(void **state)
{
    (void)state;
    char name[32];
    struct stamp before = journal_stamp(node.journal);
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        later(name, 10 * SECOND);
        advance(i % 2);
    }
    assert_in_range(worker.n_settling, 1000, 5000);
    advance(10 * SECOND - 6000);
    struct stamp between = journal_stamp(node.journal);
    advance(20 * SECOND);
    assert_true(gone(before, "n0"));
    assert_true(gone(before, "n9999"));
    assert_true(gone(between, "n9999"));
    assert_int_equal(worker.n_settling, 0);
    assert_null(worker.settling_all);
    /* And it starts anew. */
    struct stamp then = journal_stamp(node.journal);
    later("a", SECOND);
    advance(2 * SECOND);
    assert_true(gone(then, "a"));
    assert_false(gone(then, "b"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_repeats_when_it_is_due),
        T(test_keeps_copies),
        T(test_the_end_loses_nothing),
        T(test_very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
