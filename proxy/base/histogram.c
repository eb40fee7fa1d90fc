/*
 * Reading of histograms. A reader takes the buckets one by one while the writer goes on; the
 * count is always the sum of the buckets, so that quantiles never run past the end.
 */
#include "base/histogram.h"

uint64_t histogram_floor(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_PARTS) {
        return bucket;
    }
    unsigned exponent = bucket / HISTOGRAM_PARTS + 2u;
    return (uint64_t)(bucket % HISTOGRAM_PARTS + HISTOGRAM_PARTS) << (exponent - 3u);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    uint64_t max = counter_get(&from->max);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        counter_add(&into->buckets[i], counter_get(&from->buckets[i]));
    }
    counter_add(&into->sum, counter_get(&from->sum));
    if (max > counter_get(&into->max)) {
        atomic_store_explicit(&into->max.value, max, memory_order_relaxed);
    }
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        n += counter_get(&h->buckets[i]);
    }
    return n;
}

uint64_t histogram_below(const struct histogram *h, uint64_t us)
{
    uint64_t n = 0;
    unsigned end = histogram_bucket(us);
    for (unsigned i = 0; i < end; i++) {
        n += counter_get(&h->buckets[i]);
    }
    return n;
}

double histogram_quantile(const struct histogram *h, double part)
{
    double wanted = part * (double)histogram_count(h);
    double max = (double)counter_get(&h->max);
    double before = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double here = (double)counter_get(&h->buckets[i]);
        if (here > 0 && before + here >= wanted) {
            double low = (double)histogram_floor(i);
            double high = i + 1 < HISTOGRAM_BUCKETS ? (double)histogram_floor(i + 1) : max;
            double value =
                low + (high - low) * (wanted > before ? (wanted - before) / here : 0);
            return value < max ? value : max;
        }
        before += here;
    }
    return max;
}
