/*
 * What is not counted but looked up when somebody asks (the VALUE rows of tbl/counters.def),
 * and the sums that the admin plane shows of what is counted. Control thread.
 */
#ifndef FLOW_STATS_VALUES_H
#define FLOW_STATS_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "flow/stats.h"

struct node;
struct runtime;
struct worker;

enum stats_value {
#define VALUE(id, name, metric, label, value, help) STATS_VALUE_##id,
#include "tbl/counters.def"
    STATS_VALUES
};

/* Where to look. */
struct stats_source {
    const struct node *node;
    const struct runtime *runtime; /* the current one */
    struct worker *const *workers;
    size_t n_workers;
    msec_t now;     /* monotonic (loop->now) */
    msec_t started; /* the same clock */
};

/* Looks all values up; NAN for what is not known. */
void stats_values(const struct stats_source *from, double out[STATS_VALUES]);

/* Sums over labels. */
struct stats_sum {
    uint64_t counts[STATS_ROUTE_COUNTERS];
    struct histogram times[STATS_TIMES];
    double saved_seconds; /* see the metric of this name */
};

/* Adds what one label has, over all workers. */
void stats_sum_add(struct stats_sum *sum, const struct stats *s, uint32_t label);

/* Upstream time that a label's saved requests would have taken, in seconds: their number times
 * the mean of its complete exchanges. */
double stats_saved_seconds(const struct stats *s, uint32_t label,
                           const struct histogram *upstream);

/* All requests finished, whatever came of them. */
uint64_t stats_sum_requests(const struct stats_sum *sum);
uint64_t stats_requests(const struct stats *s, uint32_t label);

/* Percent of hits among hits and misses; 0 when there was neither. */
double stats_hit_rate(uint64_t hits, uint64_t misses);

#endif
