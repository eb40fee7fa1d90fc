/*
 * The journal's rule, all orders of events: nothing is violated; and each mistake that the
 * model knows is found, so that it can find one. MODEL=full explores larger worlds (some
 * minutes).
 */
#include "unit.h"

#include <stdlib.h>

#include "journal_rule.h"

static const char *const redis_name[] = {"crashes", "fails over"};
static const char *const view_name[] = {"where the write was", "elsewhere"};

static void print_trace(const struct rule_result *r)
{
    print_message("%s, after %zu steps:\n", r->violation, r->steps);
    for (size_t i = 0; i < r->steps; i++) {
        print_message("  %2zu. %s\n", i + 1, r->trace[i]);
    }
}

static void holds(const struct rule_setup *setup)
{
    struct rule_result r;
    rule_explore(setup, &r);
    print_message("Redis %s, reads %s: %zu states\n", redis_name[setup->redis],
                  view_name[setup->view], r.states);
    if (r.violation != NULL) {
        print_trace(&r);
    }
    assert_null(r.violation);
    assert_true(r.states > 10000);
}

/* In each of these worlds, whatever Redis is and wherever one reads. */
static void hold(const struct rule_setup *worlds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct rule_setup w = worlds[i];
        for (w.redis = REDIS_CRASHES; w.redis <= REDIS_FAILS_OVER; w.redis++) {
            for (w.view = READS_ON_WRITER; w.view <= READS_ELSEWHERE; w.view++) {
                holds(&w);
            }
        }
    }
}

static void test_the_rule(void **state)
{
    (void)state;
    static const struct rule_setup worlds[] = {
        {.readers = 1, .failover = true, .filler = true},
        {.readers = 1, .failover = true, .other = true},
        {.readers = 2, .other = true},
        {.readers = 2, .filler = true},
    };
    hold(worlds, sizeof(worlds) / sizeof(worlds[0]));
    static const struct rule_setup two[] = {
        {.readers = 2, .failover = true, .view = READS_ON_WRITER},
        {.readers = 2, .failover = true, .view = READS_ELSEWHERE},
        {.readers = 2, .filler = true, .other = true, .view = READS_ON_WRITER},
        {.readers = 2, .filler = true, .other = true, .view = READS_ELSEWHERE},
    };
    for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++) {
        holds(&two[i]);
    }
}

static const struct rule_setup dies_and_fails_over = {
    .readers = 2,
    .dies = true,
    .intent = true,
    .failover = true,
    .no_l2 = true,
    .view = READS_ELSEWHERE,
};

/* A may die with its write at any moment, and what is read elsewhere is as new as that write
 * once its deadline is over. */
static void test_announced_writes(void **state)
{
    (void)state;
    static const struct rule_setup worlds[] = {
        {.readers = 2, .dies = true, .intent = true},
        {.readers = 1, .dies = true, .intent = true, .filler = true},
    };
    for (size_t i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
        struct rule_setup w = worlds[i];
        w.view = READS_ELSEWHERE;
        for (w.redis = REDIS_CRASHES; w.redis <= REDIS_FAILS_OVER; w.redis++) {
            holds(&w);
        }
    }
    holds(&dies_and_fails_over);
    const struct rule_setup here = {
        .readers = 1, .intent = true, .filler = true, .view = READS_ON_WRITER};
    holds(&here);
}

static void test_the_rule_in_larger_worlds(void **state)
{
    (void)state;
    static const struct rule_setup worlds[] = {
        {.readers = 2, .failover = true},
        {.readers = 2, .filler = true, .other = true},
        {.readers = 1, .failover = true, .filler = true, .other = true},
        {.readers = 2, .failover = true, .filler = true},
    };
    const char *want = getenv("MODEL");
    if (want == NULL || strcmp(want, "full") != 0) {
        print_message("MODEL=full runs this\n");
        return;
    }
    hold(worlds, sizeof(worlds) / sizeof(worlds[0]));
    struct rule_setup dies = dies_and_fails_over;
    dies.redis = REDIS_FAILS_OVER;
    holds(&dies);
}

/* … and without an intent it is not: what the documentation says of `intent=off`. */
static void test_unannounced_writes_die_with_their_node(void **state)
{
    (void)state;
    const struct rule_setup w = {.readers = 2, .dies = true, .view = READS_ELSEWHERE};
    struct rule_result r;
    rule_explore(&w, &r);
    assert_non_null(r.violation);
}

#define CRASHES    REDIS_CRASHES
#define FAILS_OVER REDIS_FAILS_OVER
#define HERE       READS_ON_WRITER
#define THERE      READS_ELSEWHERE

static void test_mistakes_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct rule_setup setup;
    } mistakes[] = {
        /*                         redis view readers filler failover other bug dies intent
           no_l2 */
        {"stamp after the fetch", {CRASHES, HERE, 2, 0, 0, 0, BUG_STAMP_AFTER_FETCH, 0, 0, 0}},
        {"stamp after the fetch", {CRASHES, THERE, 2, 0, 0, 0, BUG_STAMP_AFTER_FETCH, 0, 0, 0}},
        {"ack before apply", {CRASHES, HERE, 2, 0, 0, 0, BUG_ACK_BEFORE_APPLY, 0, 0, 0}},
        {"no epoch move", {CRASHES, THERE, 2, 0, 1, 0, BUG_NO_EPOCH_MOVE, 0, 0, 0}},
        {"epoch keeps entries", {CRASHES, THERE, 2, 0, 1, 0, BUG_EPOCH_KEEPS_ENTRIES, 0, 0, 0}},
        {"pending not applied", {CRASHES, HERE, 2, 0, 0, 0, BUG_PENDING_NOT_APPLIED, 0, 0, 0}},
        {"pending believes L2", {CRASHES, HERE, 1, 1, 0, 0, BUG_PENDING_BELIEVES_L2, 0, 0, 0}},
        {"pending before stamp",
         {CRASHES, HERE, 2, 1, 0, 0, BUG_PENDING_BEFORE_STAMP, 0, 0, 0}},
        {"pending ends early", {CRASHES, HERE, 1, 1, 0, 0, BUG_PENDING_ENDS_EARLY, 0, 0, 0}},
        {"adopt at face value", {CRASHES, HERE, 2, 1, 0, 1, BUG_ADOPT_AT_FACE_VALUE, 0, 0, 0}},
        {"done without replicas",
         {FAILS_OVER, THERE, 2, 0, 1, 0, BUG_DONE_WITHOUT_REPLICAS, 0, 0, 0}},
        {"heal early", {CRASHES, THERE, 2, 0, 0, 0, BUG_HEAL_EARLY, 1, 1, 1}},
        {"announce late", {CRASHES, THERE, 2, 0, 0, 0, BUG_ANNOUNCE_LATE, 1, 1, 1}},
        {"epoch ends intents", {CRASHES, THERE, 2, 0, 1, 0, BUG_EPOCH_ENDS_INTENTS, 1, 1, 1}},
        {"older not read", {CRASHES, THERE, 2, 0, 1, 0, BUG_OLDER_NOT_READ, 1, 1, 1}},
        {"not announced again", {CRASHES, THERE, 2, 0, 1, 0, BUG_NOT_ANNOUNCED_AGAIN, 1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct rule_result r;
        rule_explore(&mistakes[i].setup, &r);
        print_message("%s: found after %zu states, %zu steps\n", mistakes[i].what, r.states,
                      r.steps);
        assert_non_null(r.violation);
        struct rule_setup right = mistakes[i].setup;
        right.bug = BUG_NONE;
        rule_explore(&right, &r);
        assert_null(r.violation);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes_are_found),
        cmocka_unit_test(test_the_rule),
        cmocka_unit_test(test_announced_writes),
        cmocka_unit_test(test_unannounced_writes_die_with_their_node),
        cmocka_unit_test(test_the_rule_in_larger_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
