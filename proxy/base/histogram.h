/*
 * Distribution of times in microseconds, in buckets as HdrHistogram has them: each power of two
 * is divided into eight equal parts, so that a value is known to an eighth whatever its size.
 * Fixed memory (1.7 KB), from one microsecond to 134 s; what is longer counts there.
 *
 * One thread records, any thread reads (base/counter.h).
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counter.h"

#define HISTOGRAM_PARTS   8u  /* of a power of two */
#define HISTOGRAM_TOP     27u /* values from 2^27 us on are in the last bucket */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_TOP - 3u + 1u) * HISTOGRAM_PARTS + 1u)

/* Zero-initialised is empty. */
struct histogram {
    struct counter buckets[HISTOGRAM_BUCKETS];
    struct counter sum; /* of all values, in microseconds */
    struct counter max; /* largest value */
};

/* The bucket of a value. */
static inline unsigned histogram_bucket(uint64_t us)
{
    if (us < HISTOGRAM_PARTS) {
        return (unsigned)us;
    }
    unsigned exponent = 63u - (unsigned)__builtin_clzll(us);
    if (exponent >= HISTOGRAM_TOP) {
        return HISTOGRAM_BUCKETS - 1;
    }
    return (exponent - 3u) * HISTOGRAM_PARTS + (unsigned)(us >> (exponent - 3u));
}

/* The smallest value of a bucket. */
uint64_t histogram_floor(unsigned bucket);

/* The writer's thread only. Negative counts as 0. */
static inline void histogram_record(struct histogram *h, int64_t us)
{
    uint64_t v = us > 0 ? (uint64_t)us : 0;
    counter_add(&h->buckets[histogram_bucket(v)], 1);
    counter_add(&h->sum, v);
    if (v > counter_get(&h->max)) {
        atomic_store_explicit(&h->max.value, v, memory_order_relaxed);
    }
}

/* Adds what `from` holds to `into`, which is the caller's own. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* Number of values. */
uint64_t histogram_count(const struct histogram *h);

/* Number of values below `us`, which is a power of two. */
uint64_t histogram_below(const struct histogram *h, uint64_t us);

/* The value below which `part` (0 to 1) of all values lie, interpolated within its bucket and
 * never above the largest; 0 when there is none. */
double histogram_quantile(const struct histogram *h, double part);

#endif
