/*
 * cache/journal_link with Debian's redis-server: appending and following on two nodes, order,
 * volume, starting late, trimming, ending. What goes wrong is in test_journal_link_faults and
 * test_journal_link_masters. Skipped when redis-server is not installed.
 */
#include "unit.h"

#include "cache/journal_link_state.h"
#include "journal_pair.h"

static void test_append_and_follow(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    assert_int_equal(node_stats(&a).epochs, 1);
    struct stamp on_a = journal_stamp(a.j), on_b = journal_stamp(b.j);
    assert_int_equal(on_a.epoch, on_b.epoch);
    assert_int_equal(append_wait(&k, &a, "agents:*"), APPEND_DONE);
    /* Here at once, there soon. */
    assert_int_equal(node_verdict(&a, &on_a, "agents:1"), JOURNAL_INVALID);
    assert_int_equal(node_verdict(&a, &on_a, "users:1"), JOURNAL_VALID);
    RUN_UNTIL(&k, node_verdict(&b, &on_b, "agents:1") == JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &on_b, "users:1"), JOURNAL_VALID);
    assert_int_equal(journal_seq(a.j), journal_seq(b.j));
    assert_int_equal(append_wait(&k, &b, "users:*"), APPEND_DONE);
    RUN_UNTIL(&k, node_verdict(&a, &on_a, "users:1") == JOURNAL_INVALID);
    assert_int_equal(node_stats(&a).appended, 1);
    assert_int_equal(node_stats(&a).outbox, 0);
    assert_false(journal_link_pending(a.l));
}

/* What the other node stamps after it has applied a record is valid here. */
static void test_stamps_travel(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    struct stamp before = journal_stamp(a.j);
    assert_int_equal(append_wait(&k, &a, "agents:*"), APPEND_DONE);
    struct stamp after = journal_stamp(a.j);
    RUN_UNTIL(&k, node_level(&a, &b));
    struct stamp asked = journal_stamp(b.j);
    journal_adopt_stamp(b.j, &before, &asked);
    journal_adopt_stamp(b.j, &after, &asked);
    assert_int_equal(node_verdict(&b, &before, "agents:1"), JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &after, "agents:1"), JOURNAL_VALID);
}

static void test_several_records_at_once(void **state)
{
    (void)state;
    struct ends e = {0};
    const struct record list[] = {{RECORD_NAME, STR("agents:1"), false},
                                  {RECORD_TYPE, STR("users"), true},
                                  {RECORD_TAG, STR("t"), false}};
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    journal_link_append(a.l, k.loop, list, 3, ends_count, &e);
    RUN_UNTIL(&k, e.done == 1);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(node_verdict(&b, &s, "agents:1"), JOURNAL_INVALID);
    assert_int_equal(journal_check_stamp(b.j, &s, STR("x"), STR("users"), STR(""), STR("")),
                     JOURNAL_SOFT);
    assert_int_equal(journal_check_stamp(b.j, &s, STR("x"), STR(""), STR(""), STR("u\0t")),
                     JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &s, "agents:2"), JOURNAL_VALID);
}

static void test_too_many_records_are_all(void **state)
{
    (void)state;
    struct ends e = {0};
    static struct record many[JOURNAL_RECORDS_MAX + 1];
    for (size_t i = 0; i <= JOURNAL_RECORDS_MAX; i++) {
        many[i] = (struct record){RECORD_NAME, STR("x"), false};
    }
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    journal_link_append(a.l, k.loop, many, JOURNAL_RECORDS_MAX + 1, ends_count, &e);
    RUN_UNTIL(&k, e.done == 1);
    RUN_UNTIL(&k, node_verdict(&b, &s, "agents:1") == JOURNAL_INVALID);
}

/* Ends come in the order in which was asked. */
struct ordered {
    unsigned next;
    bool wrong;
};
struct order_end {
    struct ordered *o;
    unsigned number;
};

static void on_ordered(void *ctx, enum append_outcome outcome)
{
    struct order_end *e = ctx;
    e->o->wrong = e->o->wrong || outcome != APPEND_DONE || e->number != e->o->next;
    e->o->next++;
}

static void test_order_and_volume(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    struct ordered o = {0};
    struct order_end *ends = xcalloc(MANY, sizeof(*ends));
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    uint64_t from = journal_seq(a.j);
    for (unsigned i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n:%u", i);
        const struct record r = {.kind = RECORD_NAME, .text = str_from(name)};
        ends[i] = (struct order_end){&o, i};
        journal_link_append(a.l, k.loop, &r, 1, on_ordered, &ends[i]);
    }
    RUN_UNTIL(&k, o.next == MANY);
    assert_false(o.wrong);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(journal_seq(b.j), from + MANY);
    assert_int_equal(node_verdict(&b, &s, "n:0"), JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &s, "n:9999"), JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &s, "n:10000"), JOURNAL_VALID);
    free(ends);
}

/* Both at once, to the same names; both know all in the end. */
static void test_two_write(void **state)
{
    (void)state;
    struct ends e = {0};
    node_start_two(&k, &a, &b);
    uint64_t from = journal_seq(a.j);
    for (unsigned i = 0; i < 1000; i++) {
        append_glob(&k, &a, "x:*", &e);
        append_glob(&k, &b, "x:*", &e);
    }
    RUN_UNTIL(&k, e.done == 2000);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(journal_seq(a.j), from + 2000);
}

/* ---- starting late ----------------------------------------------------------------------- */

static void test_cold_start_reads_the_history(void **state)
{
    (void)state;
    struct ends e = {0};
    node_start(&k, &a);
    RUN_UNTIL(&k, node_follows(&a));
    struct stamp before = journal_stamp(a.j);
    for (unsigned i = 0; i < 2000; i++) {
        append_glob(&k, &a, i == 7 ? "seven:*" : "x:*", &e);
    }
    RUN_UNTIL(&k, e.done == 2000);
    struct stamp after = journal_stamp(a.j);
    node_start(&k, &b);
    assert_false(node_certain(&b));
    assert_int_equal(node_stats(&b).lag, -1);
    RUN_UNTIL(&k, node_certain(&b));
    assert_true(node_level(&a, &b));
    struct stamp asked = journal_stamp(b.j);
    journal_adopt_stamp(b.j, &before, &asked);
    journal_adopt_stamp(b.j, &after, &asked);
    assert_int_equal(node_verdict(&b, &before, "seven:1"), JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &before, "eight:1"), JOURNAL_VALID);
    assert_int_equal(node_verdict(&b, &after, "seven:1"), JOURNAL_VALID);
    assert_int_equal(node_stats(&a).epochs, 1);
    assert_int_equal(node_stats(&b).epochs, 1);
}

/* Records beyond the horizon are not there: what is older than they are is not trusted. */
static void test_cold_start_on_a_trimmed_stream(void **state)
{
    (void)state;
    k.options.max_records = 20;
    real_order(server.port, "CONFIG SET stream-node-max-entries 10", "OK");
    node_start(&k, &a);
    RUN_UNTIL(&k, node_follows(&a));
    struct stamp before = journal_stamp(a.j);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_DONE);
    }
    struct stamp late = journal_stamp(a.j);
    append_wait(&k, &a, "y:*");
    node_start(&k, &b);
    RUN_UNTIL(&k, node_certain(&b));
    assert_int_equal(journal_seq(a.j), journal_seq(b.j));
    assert_int_equal(journal_stamp(b.j).epoch, before.epoch);
    struct stamp asked = journal_stamp(b.j);
    journal_adopt_stamp(b.j, &before, &asked);
    journal_adopt_stamp(b.j, &late, &asked);
    assert_int_equal(node_verdict(&b, &before, "z:1"), JOURNAL_UNVERIFIED);
    assert_int_equal(node_verdict(&b, &late, "z:1"), JOURNAL_VALID);
    assert_int_equal(node_verdict(&b, &late, "y:1"), JOURNAL_INVALID);
    assert_int_equal(node_stats(&a).epochs, 1);
}

/* ---- falling behind ---------------------------------------------------------------------- */

/* A node that reads too slowly for the trimming trusts nothing from before. The others need not
 * care. */
static void test_trimmed_before_it_was_read(void **state)
{
    (void)state;
    struct brake br;
    k.options.max_records = 20;
    real_order(server.port, "CONFIG SET stream-node-max-entries 10", "OK");
    node_start_two(&k, &a, &b);
    struct stamp on_a = journal_stamp(a.j), on_b = journal_stamp(b.j);
    brake(&b, &br);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_DONE);
    }
    release(&br);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(node_verdict(&b, &on_b, "z:1"), JOURNAL_UNVERIFIED);
    assert_int_equal(node_verdict(&a, &on_a, "z:1"), JOURNAL_VALID);
    assert_int_equal(node_stats(&b).epochs, 2);
    assert_int_equal(node_stats(&a).epochs, 1);
    struct stamp s = journal_stamp(b.j);
    assert_int_equal(append_wait(&k, &a, "z:*"), APPEND_DONE);
    RUN_UNTIL(&k, node_verdict(&b, &s, "z:1") == JOURNAL_INVALID);
}

/* The same with records of its own: they are trimmed before they come back. */
static void test_own_records_are_trimmed(void **state)
{
    (void)state;
    struct ends e = {0};
    k.options.max_records = 5;
    real_order(server.port, "CONFIG SET stream-node-max-entries 5", "OK");
    node_start_two(&k, &a, &b);
    for (unsigned i = 0; i < 2000; i++) {
        append_glob(&k, &a, "x:*", &e);
    }
    /* What is asked for while the link finds out about a gap waits; slow machines have more. */
    RUN_UNTIL(&k, e.done + e.pending == 2000);
    RUN_UNTIL(&k, node_level(&a, &b) && node_stats(&a).outbox == 0);
    assert_true(e.done > 0);
}

/* A node that lags knows it. */
static void test_lag_is_uncertain(void **state)
{
    (void)state;
    struct brake br;
    node_start_two(&k, &a, &b);
    node_meet(&k, &a, &b);
    brake(&b, &br);
    RUN_UNTIL(&k, !node_certain(&b) && node_certain(&a));
    assert_true(node_stats(&b).lag > MAX_LAG_MS);
    release(&br);
    RUN_UNTIL(&k, node_certain(&b));
}

/* ---- nodes ------------------------------------------------------------------------------- */

static void test_nodes_are_counted(void **state)
{
    (void)state;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_stats(&a).alone);
    node_start(&k, &b);
    RUN_UNTIL(&k, node_stats(&a).nodes == 2 && node_stats(&b).nodes == 2);
    assert_false(node_stats(&a).alone);
    msec_t from = clock_monotonic();
    node_end(&b);
    RUN_UNTIL(&k, node_stats(&a).alone);
    assert_true(clock_monotonic() - from < 4000); /* it has said goodbye */
}

/* Another node's record is news of that node. */
/* Who has read all that a newcomer knows is not alone any more, without having counted. */
static void test_a_newcomer_says_hello(void **state)
{
    (void)state;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_stats(&a).alone);
    node_start(&k, &b);
    RUN_UNTIL(&k, node_certain(&b));
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_false(node_stats(&a).alone);
    assert_false(node_stats(&b).alone);
}

static void test_a_record_of_another_node(void **state)
{
    (void)state;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_stats(&a).alone);
    node_start(&k, &b);
    RUN_UNTIL(&k, node_follows(&b));
    assert_int_equal(append_wait(&k, &b, "x:*"), APPEND_DONE);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_false(node_stats(&a).alone);
}

/* ---- asking and ending ------------------------------------------------------------------- */

static void test_cancelled(void **state)
{
    (void)state;
    struct ends e = {0}, other = {0};
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    struct journal_append *h = append_glob(&k, &a, "x:*", &e);
    journal_append_cancel(h);
    append_glob(&k, &a, "y:*", &other);
    RUN_UNTIL(&k, other.done == 1);
    assert_int_equal(e.done + e.pending, 0);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(node_verdict(&b, &s, "x:1"), JOURNAL_INVALID);
}

/* An answer that is in the mailbox when it is cancelled, and a loop that goes away before its
 * answer comes. */
static void test_cancelled_late(void **state)
{
    (void)state;
    struct ends e = {0};
    node_start_two(&k, &a, &b);
    uint64_t from = journal_seq(b.j);
    struct loop *loop = loop_new();
    struct journal_append *h[50];
    const struct record r = {.kind = RECORD_ALL};
    for (unsigned i = 0; i < 50; i++) {
        h[i] = journal_link_append(a.l, loop, &r, 1, ends_count, &e);
        if (i == 25) {
            RUN_UNTIL(&k, journal_seq(b.j) > from);
        }
    }
    for (unsigned i = 0; i < 50; i++) {
        journal_append_cancel(h[i]);
    }
    loop_free(loop);
    RUN_UNTIL(&k, journal_seq(b.j) == from + 50);
    assert_int_equal(e.done + e.pending, 0);
}

/* Ends A with so many appends under way; false when its half second for them ran out. */
static bool end_with_appends(unsigned n)
{
    struct ends e = {0};
    struct journal_append *h[200];
    for (unsigned i = 0; i < n; i++) {
        h[i] = append_glob(&k, &a, "x:*", &e);
    }
    for (unsigned i = 0; i < n; i++) {
        journal_append_cancel(h[i]);
    }
    msec_t from = clock_monotonic();
    node_end(&a);
    return clock_monotonic() - from < 500;
}

/* What is on its way when a node ends gets there; on a slow machine it is given less to do. */
static void test_ending_with_appends_under_way(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    for (unsigned n = 200; n > 0; n /= 2) {
        uint64_t from = journal_seq(b.j);
        if (end_with_appends(n)) {
            RUN_UNTIL(&k, journal_seq(b.j) == from + n);
            return;
        }
        node_start(&k, &a);
        RUN_UNTIL(&k, node_level(&a, &b) && node_certain(&a));
    }
    fail_msg("a single record takes half a second");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_and_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stamps_travel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_records_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_records_are_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_and_volume, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cold_start_reads_the_history, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cold_start_on_a_trimmed_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trimmed_before_it_was_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_records_are_trimmed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lag_is_uncertain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nodes_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_newcomer_says_hello, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_record_of_another_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ending_with_appends_under_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
