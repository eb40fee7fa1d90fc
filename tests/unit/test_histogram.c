/*
 * base/histogram and base/counter: bucket borders, sums, quantiles within an eighth of a plain
 * sort, and a reader beside a writer.
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/histogram.h"

static void buckets_are_gapless(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(histogram_bucket(histogram_floor(i)), i);
        if (i > 0) {
            assert_true(histogram_floor(i) > histogram_floor(i - 1));
            assert_int_equal(histogram_bucket(histogram_floor(i) - 1), i - 1);
        }
    }
    assert_int_equal(histogram_floor(HISTOGRAM_BUCKETS - 1), UINT64_C(1) << HISTOGRAM_TOP);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void a_bucket_is_an_eighth_wide_at_most(void **state)
{
    (void)state;
    for (unsigned i = HISTOGRAM_PARTS; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t low = histogram_floor(i), width = histogram_floor(i + 1) - low;
        assert_true(width * HISTOGRAM_PARTS <= low);
    }
}

static void an_empty_one_gives_zeroes(void **state)
{
    (void)state;
    static const struct histogram h;
    assert_int_equal(histogram_count(&h), 0);
    assert_int_equal(histogram_below(&h, 1024), 0);
    assert_true(histogram_quantile(&h, 0.99) == 0);
}

static void records_sum_and_largest(void **state)
{
    (void)state;
    struct histogram h = {0};
    histogram_record(&h, 3);
    histogram_record(&h, 1000);
    histogram_record(&h, -5);
    assert_int_equal(histogram_count(&h), 3);
    assert_int_equal(counter_get(&h.sum), 1003);
    assert_int_equal(counter_get(&h.max), 1000);
    assert_int_equal(histogram_below(&h, 4), 2);
    assert_int_equal(histogram_below(&h, 512), 2);
    assert_int_equal(histogram_below(&h, 1024), 3);
    assert_true(histogram_quantile(&h, 1) == 1000);
}

static void what_is_too_long_counts_in_the_last_bucket(void **state)
{
    (void)state;
    struct histogram h = {0};
    histogram_record(&h, INT64_MAX);
    assert_int_equal(counter_get(&h.buckets[HISTOGRAM_BUCKETS - 1]), 1);
    assert_int_equal(histogram_below(&h, UINT64_C(1) << HISTOGRAM_TOP), 0);
    assert_int_equal(histogram_count(&h), 1);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles_are_within_an_eighth(void **state)
{
    (void)state;
    enum { N = 20000 };
    static int64_t values[N];
    static const double parts[] = {0.01, 0.25, 0.5, 0.9, 0.99, 0.999};
    struct histogram h = {0};
    unsigned seed = 7;
    for (int i = 0; i < N; i++) {
        values[i] = (int64_t)1 << (rand_r(&seed) % 20);
        values[i] += rand_r(&seed) % values[i];
        histogram_record(&h, values[i]);
    }
    qsort(values, N, sizeof(values[0]), by_value);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        double exact = (double)values[(int)(parts[i] * N)];
        double got = histogram_quantile(&h, parts[i]);
        assert_true(got >= exact * 0.87 - 1 && got <= exact * 1.14 + 1);
    }
}

static void merging_adds_up(void **state)
{
    (void)state;
    struct histogram a = {0}, b = {0}, sum = {0};
    for (int i = 1; i <= 100; i++) {
        histogram_record(&a, i);
        histogram_record(&b, 100 * i);
    }
    histogram_merge(&sum, &a);
    histogram_merge(&sum, &b);
    assert_int_equal(histogram_count(&sum), 200);
    assert_int_equal(counter_get(&sum.sum), 5050 + 505000);
    assert_int_equal(counter_get(&sum.max), 10000);
    double half = histogram_quantile(&sum, 0.5);
    assert_true(half > 87 && half < 115);
}

#define ROUNDS 200000

static void *write_all(void *arg)
{
    struct histogram *h = arg;
    for (int i = 0; i < ROUNDS; i++) {
        histogram_record(h, i % 5000);
    }
    return NULL;
}

static void a_reader_sees_counts_that_only_rise(void **state)
{
    (void)state;
    static struct histogram h;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_all, &h), 0);
    uint64_t before = 0, now;
    do {
        now = histogram_count(&h);
        assert_true(now >= before && now <= ROUNDS);
        before = now;
    } while (now < ROUNDS);
    pthread_join(thread, NULL);
    assert_int_equal(histogram_count(&h), ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_gapless),
        cmocka_unit_test(a_bucket_is_an_eighth_wide_at_most),
        cmocka_unit_test(an_empty_one_gives_zeroes),
        cmocka_unit_test(records_sum_and_largest),
        cmocka_unit_test(what_is_too_long_counts_in_the_last_bucket),
        cmocka_unit_test(quantiles_are_within_an_eighth),
        cmocka_unit_test(merging_adds_up),
        cmocka_unit_test(a_reader_sees_counts_that_only_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
