/*
 * The breaker's states by a clock of the test's own.
 */
#include "unit.h"

#include "cache/redis_breaker.h"

static const struct redis_breaker_settings settings = {
    .failures = 5, .percent = 50, .window = 20, .min = 250, .max = 5000};
static struct redis_breaker b;

static int setup(void **state)
{
    (void)state;
    redis_breaker_init(&b, &settings);
    return 0;
}

static void fail_times(unsigned n, msec_t now)
{
    for (unsigned i = 0; i < n; i++) {
        redis_breaker_failure(&b, now, 0);
    }
}

static void test_opens_after_consecutive_failures(void **state)
{
    (void)state;
    fail_times(4, 0);
    assert_true(redis_breaker_allows(&b));
    redis_breaker_success(&b);
    fail_times(4, 0);
    assert_true(redis_breaker_allows(&b));
    assert_true(redis_breaker_failure(&b, 1000, 0));
    assert_false(redis_breaker_allows(&b));
    assert_false(redis_breaker_failure(&b, 1000, 0));
}

static void test_opens_by_share(void **state)
{
    (void)state;
    /* Every other one fails: never five in a row, but half of twenty. */
    unsigned sent = 0;
    while (redis_breaker_allows(&b) && sent < 100) {
        sent++;
        if (sent % 2 == 0) {
            redis_breaker_failure(&b, 0, 0);
        } else {
            redis_breaker_success(&b);
        }
    }
    assert_int_equal(sent, 20);
}

static void test_stays_closed_below_share(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        if (i % 3 == 0) {
            assert_false(redis_breaker_failure(&b, 0, 0));
        } else {
            redis_breaker_success(&b);
        }
    }
    assert_true(redis_breaker_allows(&b));
}

static void test_back_off_doubles_and_is_bounded(void **state)
{
    (void)state;
    msec_t now = 0, expected = 250;
    fail_times(5, now);
    for (unsigned i = 0; i < 10; i++) {
        assert_in_range(b.retry_at - now, expected * 3 / 4, expected * 5 / 4);
        assert_false(redis_breaker_try(&b, b.retry_at - 1));
        now = b.retry_at;
        assert_true(redis_breaker_try(&b, now));
        assert_int_equal(b.state, REDIS_BREAKER_HALF_OPEN);
        assert_false(redis_breaker_try(&b, now)); /* one probe at a time */
        assert_false(redis_breaker_probed(&b, false, now, 0));
        expected = expected * 2 < 5000 ? expected * 2 : 5000;
    }
    now = b.retry_at;
    assert_true(redis_breaker_try(&b, now));
    assert_true(redis_breaker_probed(&b, true, now, 0));
    assert_true(redis_breaker_allows(&b));
    /* Opening again at once continues where it was, … */
    fail_times(5, now + 100);
    assert_true(b.retry_at - now > 3000);
    /* … much later it begins anew. */
    assert_true(redis_breaker_probed(&b, true, now, 0));
    now += 60000;
    fail_times(5, now);
    assert_in_range(b.retry_at - now, 250 * 3 / 4, 250 * 5 / 4);
}

static void test_jitter(void **state)
{
    (void)state;
    msec_t low = 10000, high = 0;
    for (uint32_t random = 0; random < 1000; random++) {
        redis_breaker_init(&b, &settings);
        for (unsigned i = 0; i < 5; i++) {
            redis_breaker_failure(&b, 0, random);
        }
        low = b.retry_at < low ? b.retry_at : low;
        high = b.retry_at > high ? b.retry_at : high;
    }
    assert_in_range(low, 187, 190);
    assert_in_range(high, 310, 313);
}

static void test_proof_closes(void **state)
{
    (void)state;
    fail_times(5, 0);
    assert_true(redis_breaker_probed(&b, true, 1, 0)); /* not even half open */
    assert_true(redis_breaker_allows(&b));
    assert_false(redis_breaker_probed(&b, true, 1, 0));
    assert_false(redis_breaker_probed(&b, false, 1, 0));
    assert_true(redis_breaker_allows(&b));
    /* A result from before the opening changes nothing while it is open. */
    fail_times(5, 2);
    redis_breaker_success(&b);
    assert_false(redis_breaker_allows(&b));
    assert_false(redis_breaker_probed(&b, false, 3, 0));
    assert_int_equal(b.state, REDIS_BREAKER_OPEN);
}

static void test_window_of_64(void **state)
{
    (void)state;
    static const struct redis_breaker_settings wide = {
        .failures = 1000, .percent = 100, .window = 64, .min = 1, .max = 1};
    redis_breaker_init(&b, &wide);
    fail_times(63, 0);
    assert_true(redis_breaker_allows(&b));
    assert_true(redis_breaker_failure(&b, 0, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_opens_after_consecutive_failures, setup),
        cmocka_unit_test_setup(test_opens_by_share, setup),
        cmocka_unit_test_setup(test_stays_closed_below_share, setup),
        cmocka_unit_test_setup(test_back_off_doubles_and_is_bounded, setup),
        cmocka_unit_test_setup(test_jitter, setup),
        cmocka_unit_test_setup(test_proof_closes, setup),
        cmocka_unit_test_setup(test_window_of_64, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
