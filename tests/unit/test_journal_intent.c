/*
 * cache/journal_intent with Debian's redis-server: announcing, ending and healing on two nodes,
 * after a restart and over epochs; the deadline on Redis's clock. Skipped when redis-server is
 * not installed.
 */
#include "unit.h"

#include "cache/journal_intent.h"
#include "journal_pair.h"

#define NEVER_MS 600000

/* ---- helpers ----------------------------------------------------------------------------- */

static uint64_t announce(struct node *n, const char *glob, msec_t deadline, msec_t renew,
                         struct ends *e, struct journal_append **handle)
{
    const struct record r = {.kind = RECORD_GLOB, .text = str_from(glob)};
    const struct intent_call call = {
        .records = &r, .n = 1, .deadline = deadline, .renew = renew};
    return journal_intent_open(n->l, k.loop, &call, ends_count, e, handle);
}

/* To its end, which must be this one. */
static uint64_t announced(struct node *n, const char *glob, msec_t deadline, msec_t renew,
                          enum append_outcome outcome)
{
    struct ends e = {0};
    struct journal_append *handle;
    uint64_t number = announce(n, glob, deadline, renew, &e, &handle);
    assert_int_not_equal(number, 0);
    RUN_UNTIL(&k, e.done + e.pending == 1);
    assert_int_equal(e.done, outcome == APPEND_DONE);
    return number;
}

static void commit(struct node *n, uint64_t intent, const char *glob)
{
    const struct record r = {.kind = RECORD_GLOB, .text = str_from(glob)};
    struct ends e = {0};
    (void)journal_intent_commit(n->l, k.loop, intent, 0, &r, 1, ends_count, &e);
    RUN_UNTIL(&k, e.done + e.pending == 1);
    assert_int_equal(e.done, 1);
}

static struct brake dead; /* not on a stack: a thread hangs in it */

/* The node dies as with kill -9: nothing is said any more. It comes to itself for its end. */
static void die(struct node *n)
{
    brake(n, &dead);
}

/* What an order that answers with a number says. */
static uint64_t number_of(const char *line)
{
    char out[64];
    assert_true(real_say(server.port, line, out, sizeof(out)));
    return strtoull(out + 1, NULL, 10);
}

static uint64_t records(void)
{
    return number_of("XLEN {shop}:journal");
}

/* ---- announcing and ending --------------------------------------------------------------- */

static void test_announced_and_committed(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    struct stamp on_a = journal_stamp(a.j), on_b = journal_stamp(b.j);
    uint64_t before = records();
    uint64_t n = announced(&a, "x:*", NEVER_MS, NEVER_MS, APPEND_DONE);
    RUN_UNTIL(&k, node_stats(&a).intents == 1 && node_stats(&b).intents == 1);
    /* It invalidates nothing. */
    assert_int_equal(node_verdict(&a, &on_a, "x:1"), JOURNAL_VALID);
    assert_int_equal(node_verdict(&b, &on_b, "x:1"), JOURNAL_VALID);
    commit(&a, n, "x:*");
    assert_int_equal(node_verdict(&a, &on_a, "x:1"), JOURNAL_INVALID);
    RUN_UNTIL(&k, node_verdict(&b, &on_b, "x:1") == JOURNAL_INVALID);
    assert_int_equal(node_stats(&a).intents, 0);
    assert_int_equal(node_stats(&b).intents, 0);
    assert_int_equal(records(), before + 2);
    assert_int_equal(node_stats(&a).healed + node_stats(&b).healed, 0);
}

/* Many that invalidate nothing end in few entries. */
static void test_closed(void **state)
{
    (void)state;
    enum { MANY = 300 };
    uint64_t numbers[MANY];
    struct ends e = {0};
    struct journal_append *handle;
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    for (unsigned i = 0; i < MANY; i++) {
        numbers[i] = announce(&a, "x:*", NEVER_MS, NEVER_MS, &e, &handle);
    }
    RUN_UNTIL(&k, e.done == MANY);
    RUN_UNTIL(&k, node_stats(&b).intents == MANY);
    uint64_t before = records();
    brake(&a, &dead);
    for (unsigned i = 0; i < MANY; i++) {
        journal_intent_close(a.l, numbers[i]);
    }
    journal_intent_close(a.l, numbers[0]);
    release(&dead);
    RUN_UNTIL(&k, node_stats(&a).intents == 0 && node_stats(&b).intents == 0);
    assert_true(records() <= before + 2);
    assert_int_equal(node_verdict(&b, &s, "x:1"), JOURNAL_VALID);
    assert_int_equal(node_stats(&a).healed + node_stats(&b).healed, 0);
}

/* The client leaves while the intent is on its way. */
static void test_cancelled(void **state)
{
    (void)state;
    struct ends e = {0};
    struct journal_append *handle;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    for (unsigned i = 0; i < 100; i++) {
        uint64_t n = announce(&a, "x:*", NEVER_MS, NEVER_MS, &e, &handle);
        journal_append_cancel(handle);
        journal_intent_close(a.l, n);
    }
    (void)announced(&a, "y:*", NEVER_MS, NEVER_MS, APPEND_DONE);
    RUN_UNTIL(&k, node_stats(&a).intents == 1);
    assert_int_equal(e.done + e.pending, 0);
    assert_int_equal(node_stats(&a).outbox, 0);
}

static void test_not_without_redis(void **state)
{
    (void)state;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    real_kill(&server);
    RUN_UNTIL(&k, !node_follows(&a));
    uint64_t n = announced(&a, "x:*", NEVER_MS, NEVER_MS, APPEND_PENDING);
    assert_int_equal(node_stats(&a).unannounced, 1);
    journal_intent_close(a.l, n);
    /* Nothing waits for Redis because of it. */
    assert_int_equal(node_stats(&a).outbox, 0);
    assert_false(journal_link_pending(a.l));
    struct stamp s = journal_stamp(a.j);
    const struct record r = {.kind = RECORD_GLOB, .text = STR("y:*")};
    struct ends e = {0};
    n = announced(&a, "y:*", NEVER_MS, NEVER_MS, APPEND_PENDING);
    (void)journal_intent_commit(a.l, k.loop, n, 0, &r, 1, ends_count, &e);
    RUN_UNTIL(&k, e.pending == 1);
    assert_int_equal(node_verdict(&a, &s, "y:1"), JOURNAL_INVALID);
}

/* The bound on a node's own: more are not announced, and still end like any other. */
static void test_too_many_of_its_own(void **state)
{
    (void)state;
    struct ends e = {0};
    struct journal_append *handle;
    uint64_t last = 0;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    brake(&a, &dead);
    for (unsigned i = 0; i <= INTENTS_OWN_MAX; i++) {
        last = announce(&a, "x:*", NEVER_MS, NEVER_MS, &e, &handle);
    }
    release(&dead);
    RUN_UNTIL(&k, e.done + e.pending == INTENTS_OWN_MAX + 1);
    assert_true(e.pending >= 1);
    struct stamp s = journal_stamp(a.j);
    commit(&a, last, "x:*");
    assert_int_equal(node_verdict(&a, &s, "x:1"), JOURNAL_INVALID);
}

/* What is too long to be kept in thousands of copies is announced as all. */
static void test_a_long_one_is_all(void **state)
{
    (void)state;
    char name[300];
    struct record many[64];
    struct ends e = {0};
    struct journal_append *handle;
    memset(name, 'x', sizeof(name));
    for (size_t i = 0; i < 64; i++) {
        many[i] = (struct record){.kind = RECORD_NAME, .text = str_make(name, sizeof(name))};
    }
    const struct intent_call call = {many, 64, NEVER_MS, NEVER_MS};
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    uint64_t n = journal_intent_open(a.l, k.loop, &call, ends_count, &e, &handle);
    RUN_UNTIL(&k, e.done == 1 && node_stats(&a).intents == 1);
    assert_true(str_eq(open_intent_records(a.l->intents.open.first), STR("ah0:")));
    journal_intent_close(a.l, n);
}

/* A node that was stopped for longer than the deadline reads what happened before it judges. */
static void test_what_was_ended_meanwhile_is_not_healed(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    uint64_t n = announced(&a, "x:*", 300, NEVER_MS, APPEND_DONE);
    RUN_UNTIL(&k, node_stats(&b).intents == 1);
    brake(&b, &dead);
    commit(&a, n, "x:*");
    case_run_for(&k, 500);
    release(&dead);
    RUN_UNTIL(&k, node_stats(&b).intents == 0);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(node_stats(&b).healed, 0);
}

/* ---- healing ----------------------------------------------------------------------------- */

static void test_healed_by_another_node(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    (void)announced(&a, "x:*", 700, NEVER_MS, APPEND_DONE);
    msec_t from = clock_monotonic();
    die(&a);
    RUN_UNTIL(&k, node_stats(&b).intents == 1);
    assert_int_equal(node_verdict(&b, &s, "x:1"), JOURNAL_VALID);
    RUN_UNTIL(&k, node_verdict(&b, &s, "x:1") == JOURNAL_INVALID);
    assert_true(clock_monotonic() - from >= 600); /* not before its time */
    assert_int_equal(node_verdict(&b, &s, "y:1"), JOURNAL_VALID);
    RUN_UNTIL(&k, node_stats(&b).intents == 0);
    assert_int_equal(node_stats(&b).healed, 1);
    release(&dead);
}

/* A node that starts reads it from the stream, and heals it at once if it is time for that. */
static void test_healed_after_a_restart(void **state)
{
    (void)state;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    struct stamp before = journal_stamp(a.j);
    (void)announced(&a, "x:*", 300, NEVER_MS, APPEND_DONE);
    uint64_t ended = announced(&a, "y:*", 300, NEVER_MS, APPEND_DONE);
    commit(&a, ended, "z:*");
    die(&a);
    case_run_for(&k, 400);
    node_start(&k, &b);
    RUN_UNTIL(&k, node_stats(&b).healed == 1);
    RUN_UNTIL(&k, node_stats(&b).intents == 0 && node_certain(&b));
    struct stamp asked = journal_stamp(b.j);
    journal_adopt_stamp(b.j, &before, &asked);
    RUN_UNTIL(&k, node_verdict(&b, &before, "x:1") == JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &before, "y:1"), JOURNAL_VALID);
    assert_int_equal(node_verdict(&b, &before, "z:1"), JOURNAL_INVALID);
    release(&dead);
}

/* As long as its node lives, and however long it takes. */
static void test_renewed(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    uint64_t n = announced(&a, "x:*", 5000, 20, APPEND_DONE);
    uint64_t before = records();
    RUN_UNTIL(&k, records() >= before + 3);
    assert_int_equal(node_stats(&b).intents, 1);
    assert_int_equal(node_verdict(&b, &s, "x:1"), JOURNAL_VALID);
    journal_intent_close(a.l, n);
    RUN_UNTIL(&k, node_stats(&b).intents == 0);
    assert_int_equal(node_stats(&b).healed, 0);
}

/* A write that is slower than its deadline, on the only node: its own node does not heal it. */
static void test_not_healed_by_its_own_node(void **state)
{
    (void)state;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    struct stamp s = journal_stamp(a.j);
    uint64_t n = announced(&a, "x:*", 50, NEVER_MS, APPEND_DONE);
    RUN_UNTIL(&k, node_stats(&a).intents == 1);
    case_run_for(&k, 400);
    assert_int_equal(node_stats(&a).healed, 0);
    assert_int_equal(node_verdict(&a, &s, "x:1"), JOURNAL_VALID);
    commit(&a, n, "x:*");
    assert_int_equal(node_verdict(&a, &s, "x:1"), JOURNAL_INVALID);
    assert_int_equal(node_stats(&a).intents, 0);
}

/* Answered after others have healed it: it counts once more, and that is all. */
static void test_committed_after_its_deadline(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    uint64_t n = announced(&a, "x:*", 50, NEVER_MS, APPEND_DONE);
    RUN_UNTIL(&k, node_stats(&b).healed == 1 && node_stats(&a).intents == 0);
    struct stamp s = journal_stamp(b.j);
    commit(&a, n, "x:*");
    RUN_UNTIL(&k, node_verdict(&b, &s, "x:1") == JOURNAL_INVALID);
    assert_int_equal(node_stats(&a).intents + node_stats(&b).intents, 0);
}

/* What counts is Redis's clock: for a node that has just read both, one is due. */
static void test_on_the_clock_of_redis(void **state)
{
    (void)state;
    char line[256];
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    struct stamp s = journal_stamp(a.j);
    node_end(&a);
    /* What another node has written; the second one still has its time. */
    real_order(server.port, "DEL {shop}:journal", ":1");
    real_order(server.port, "HSET {shop}:epoch from 0-0", ":");
    long long wall = (long long)clock_wall();
    struct {
        const char *mid, *glob;
        long long ago;
    } list[] = {{"0123456789abcdef:1", "x:*", 31000}, {"0123456789abcdef:2", "y:*", 9000}};
    for (size_t i = 0; i < 2; i++) {
        snprintf(line, sizeof(line),
                 "XADD {shop}:journal %lld-1 s %llu r \"\" m 0123456789abcdef:0 i "
                 "\"%s 30000 gh3:%s\"",
                 wall - list[i].ago,
                 (unsigned long long)number_of("HINCRBY {shop}:epoch seq 1"), list[i].mid,
                 list[i].glob);
        real_order(server.port, line, "-1");
    }
    node_start(&k, &a);
    RUN_UNTIL(&k, node_stats(&a).healed == 1);
    RUN_UNTIL(&k, node_certain(&a) && node_stats(&a).intents == 1);
    struct stamp asked = journal_stamp(a.j);
    journal_adopt_stamp(a.j, &s, &asked);
    RUN_UNTIL(&k, node_verdict(&a, &s, "x:1") == JOURNAL_INVALID);
    assert_int_not_equal(node_verdict(&a, &s, "y:1"), JOURNAL_INVALID);
}

/* A newer version's: then all, when it is time. A node that ends it is not known. */
static void test_not_understood(void **state)
{
    (void)state;
    char line[256];
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    snprintf(line, sizeof(line), "XADD {shop}:journal * s %llu r \"\" m x:0 i \"?\"",
             (unsigned long long)number_of("HINCRBY {shop}:epoch seq 1"));
    real_order(server.port, line, "-");
    RUN_UNTIL(&k, node_stats(&a).intents == 1);
    assert_int_equal(a.l->intents.open.first->deadline, 60000);
    assert_true(str_eq(open_intent_records(a.l->intents.open.first), STR("ah0:")));
}

/* ---- epochs ------------------------------------------------------------------------------ */

static uint64_t epoch_of(const struct node *n)
{
    return journal_stamp(n->j).epoch;
}

/* The writing node tells the new epoch too; what it does not tell any more the others still
 * know. */
static void test_outlives_an_epoch(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    (void)announced(&a, "x:*", 1500, NEVER_MS, APPEND_DONE);
    RUN_UNTIL(&k, node_stats(&b).intents == 1);
    uint64_t epoch = epoch_of(&b);
    real_order(server.port, "FLUSHALL", "OK");
    RUN_UNTIL(&k, epoch_of(&b) != epoch && node_level(&a, &b) && records() >= 2);
    assert_int_equal(node_stats(&b).intents, 1);
    die(&a);
    epoch = epoch_of(&b);
    real_order(server.port, "FLUSHALL", "OK");
    RUN_UNTIL(&k, epoch_of(&b) != epoch && node_certain(&b));
    struct stamp s = journal_stamp(b.j); /* validated in the new epoch, before the write */
    assert_int_equal(node_stats(&b).intents, 1);
    RUN_UNTIL(&k, node_verdict(&b, &s, "x:1") == JOURNAL_INVALID);
    assert_int_equal(node_stats(&b).healed, 1);
    release(&dead);
}

/* Announced in the new epoch: a node that starts there heals it. */
static void test_announced_again_in_a_new_epoch(void **state)
{
    (void)state;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    (void)announced(&a, "x:*", 1500, NEVER_MS, APPEND_DONE);
    uint64_t epoch = epoch_of(&a);
    real_order(server.port, "FLUSHALL", "OK");
    RUN_UNTIL(&k, epoch_of(&a) != epoch && node_certain(&a) && records() >= 3);
    die(&a);
    node_start(&k, &b);
    RUN_UNTIL(&k, node_certain(&b) && node_stats(&b).intents == 1);
    struct stamp s = journal_stamp(b.j);
    RUN_UNTIL(&k, node_verdict(&b, &s, "x:1") == JOURNAL_INVALID);
    release(&dead);
}

/* Announced in an epoch that ended before this node knew of it: it looks back, page by page. */
static void test_announced_before_the_epoch(void **state)
{
    (void)state;
    struct ends e = {0};
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    (void)announced(&a, "x:*", 3000, NEVER_MS, APPEND_DONE);
    uint64_t ended = announced(&a, "y:*", 3000, NEVER_MS, APPEND_DONE);
    for (unsigned i = 0; i < 1200; i++) {
        append_glob(&k, &a, "z:*", &e);
    }
    commit(&a, ended, "z:*");
    RUN_UNTIL(&k, e.done == 1200);
    die(&a);
    real_order(server.port, "DEL {shop}:epoch", ":1");
    node_start(&k, &b);
    RUN_UNTIL(&k, node_certain(&b));
    assert_int_not_equal(epoch_of(&b), epoch_of(&a));
    assert_int_equal(node_stats(&b).intents, 1);
    struct stamp s = journal_stamp(b.j);
    RUN_UNTIL(&k, node_verdict(&b, &s, "x:1") == JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &s, "y:1"), JOURNAL_VALID);
    release(&dead);
}

/* A reload lets writes be announced: from then on what is older than an epoch counts. */
static void test_looks_back_after_a_reload(void **state)
{
    (void)state;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a));
    (void)announced(&a, "x:*", 1500, NEVER_MS, APPEND_DONE);
    die(&a);
    real_order(server.port, "HSET {shop}:epoch replid 00", ":0");
    k.options.lookback = 0;
    node_start(&k, &b);
    RUN_UNTIL(&k, node_certain(&b));
    assert_int_equal(node_stats(&b).intents, 0);
    struct stamp s = journal_stamp(b.j);
    journal_link_look_back(b.l, 60000);
    real_order(server.port, "HSET {shop}:epoch replid 00", ":0");
    real_order(server.port, "CLIENT KILL TYPE normal", ":");
    RUN_UNTIL(&k, node_stats(&b).healed == 1);
    RUN_UNTIL(&k, node_verdict(&b, &s, "x:1") != JOURNAL_VALID);
    release(&dead);
}

/* The end of a node that still has ends to tell. */
static void test_ends_are_told_at_the_end(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    uint64_t n = announced(&a, "x:*", NEVER_MS, NEVER_MS, APPEND_DONE);
    uint64_t left = announced(&a, "y:*", NEVER_MS, NEVER_MS, APPEND_DONE);
    RUN_UNTIL(&k, node_stats(&b).intents == 2);
    journal_intent_close(a.l, n);
    node_end(&a);
    RUN_UNTIL(&k, node_stats(&b).intents == 1); /* its write has not ended */
    assert_int_not_equal(left, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_announced_and_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_without_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_long_one_is_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_ended_meanwhile_is_not_healed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_healed_by_another_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_healed_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renewed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_healed_by_its_own_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_committed_after_its_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_on_the_clock_of_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outlives_an_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_announced_again_in_a_new_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_announced_before_the_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_looks_back_after_a_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends_are_told_at_the_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
