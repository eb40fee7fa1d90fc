/*
 * Patience with slow peers: pauses, trickles, and time that is not the peer's.
 */
#include "unit.h"

#include "flow/pace.h"

#define TIMEOUT 1000
#define RATE    1024

static msec_t patience(struct pace *p, msec_t now, int64_t bytes)
{
    return pace_patience(p, now, bytes, TIMEOUT, RATE);
}

static void test_a_pause(void **state)
{
    (void)state;
    struct pace p;
    pace_start(&p, 5000, 70);
    assert_int_equal(patience(&p, 5000, 70), TIMEOUT);
    assert_int_equal(patience(&p, 5400, 70), TIMEOUT - 400);
    assert_true(pace_stalled(&p, 70));
    assert_false(pace_stalled(&p, 71));
    assert_int_equal(patience(&p, 6000, 70), 0);
    assert_int_equal(patience(&p, 60000, 70), 0);
}

static void test_a_steady_peer_may_take_for_ever(void **state)
{
    (void)state;
    struct pace p;
    pace_start(&p, 0, 0);
    for (msec_t t = 500; t < 10000000; t += 500) {
        assert_int_equal(patience(&p, t, t / 500 * RATE / 2), TIMEOUT);
    }
}

static void test_a_trickle_ends(void **state)
{
    (void)state;
    struct pace p;
    pace_start(&p, 0, 0);
    msec_t t = 0;
    int64_t bytes = 0;
    while (patience(&p, t, bytes) > 0) {
        t += 100;
        bytes++;
        assert_in_range(t, 0, 2 * TIMEOUT);
    }
    assert_in_range(t, TIMEOUT, TIMEOUT + 200);
}

static void test_bytes_buy_time(void **state)
{
    (void)state;
    struct pace p;
    pace_start(&p, 0, 0);
    assert_int_equal(patience(&p, 3000, 2 * RATE), 0);
    assert_int_equal(patience(&p, 3000, 2 * RATE + RATE / 2), 500);
    assert_int_equal(patience(&p, 3000, 100 * RATE), TIMEOUT);
    assert_int_equal(patience(&p, 3000, INT64_MAX), TIMEOUT);
}

static void test_time_of_others_does_not_count(void **state)
{
    (void)state;
    struct pace p;
    pace_start(&p, 0, 0);
    pace_pause(&p, 600);
    pace_pause(&p, 90000); /* idempotent */
    assert_int_equal(patience(&p, 100000, 0), TIMEOUT - 600);
    pace_resume(&p, 100000);
    pace_resume(&p, 100300); /* idempotent */
    assert_int_equal(patience(&p, 100300, 0), TIMEOUT - 900);
    assert_int_equal(patience(&p, 100400, 0), 0);
}

static void test_zero_begins_with_resume(void **state)
{
    (void)state;
    struct pace p = {0};
    pace_resume(&p, 7000);
    assert_int_equal(patience(&p, 7500, 0), TIMEOUT - 500);
}

static void test_any_rate(void **state)
{
    (void)state;
    struct pace p;
    pace_start(&p, 0, 0);
    assert_int_equal(pace_patience(&p, 1000000, 3, TIMEOUT, 0), TIMEOUT);
    assert_true(pace_stalled(&p, 3));
}

static void test_counts_that_go_back(void **state)
{
    (void)state; /* stream_delivered() is an estimate with TLS */
    struct pace p;
    pace_start(&p, 0, 100);
    assert_int_equal(patience(&p, 400, 90), TIMEOUT - 400);
    assert_true(pace_stalled(&p, 90));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pause),
        cmocka_unit_test(test_a_steady_peer_may_take_for_ever),
        cmocka_unit_test(test_a_trickle_ends),
        cmocka_unit_test(test_bytes_buy_time),
        cmocka_unit_test(test_time_of_others_does_not_count),
        cmocka_unit_test(test_zero_begins_with_resume),
        cmocka_unit_test(test_any_rate),
        cmocka_unit_test(test_counts_that_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
