/*
 * Statistics (tbl/counters.def): each worker counts in memory of its own, without locks; who
 * reads adds the workers up. Counters belong to route labels and outlive configurations, so
 * that they never go backwards.
 *
 *   struct stats         the node's: labels, and a list of the workers' parts. Made before and
 *                        freed after the workers; labels belong to the control thread
 *   struct stats_worker  one worker's: a cell for each route that it has served
 *   struct stats_cell    the counters of one route on one worker
 */
#ifndef FLOW_STATS_H
#define FLOW_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/histogram.h"
#include "base/str.h"
#include "cache/reason.h"
#include "settings.h"

enum stats_route_counter {
#define ROUTE(id, name, metric, label, value, help) STATS_##id,
#include "tbl/counters.def"
    STATS_ROUTE_COUNTERS
};

enum stats_time {
#define HISTOGRAM(id, name, metric, help) STATS_TIME_##id,
#include "tbl/counters.def"
    STATS_TIMES
};

enum stats_worker_counter {
#define WORKER(id, name, metric, label, value, help) STATS_WORKER_##id,
#include "tbl/counters.def"
    STATS_WORKER_COUNTERS
};

/* Words of the form no-NAME, for missing identities, that are counted apart. */
#define STATS_MISSING_MAX 32
#define STATS_REASONS     (REASON_COUNT + STATS_MISSING_MAX)

/* Labels that are told apart; what comes beyond is counted under one. */
#define STATS_LABELS_MAX 32768

struct stats;

/* The counters of one route on one worker; written by that worker only. */
struct stats_cell {
    struct counter plain; /* hits of the commonest kind: counted here, and here alone, for HIT,
                             HIT_L1, STATUS_2XX and SAVED together */
    struct counter counts[STATS_ROUTE_COUNTERS];
    struct counter reasons[STATS_REASONS];
    _Atomic(struct histogram *) times[STATS_TIMES]; /* NULL until there is a time */
} __attribute__((aligned(64)));

#define STATS_CHUNK 256

/* Cells by label, in steps. */
struct stats_chunk {
    _Atomic(struct stats_cell *) cells[STATS_CHUNK];
};

/* One worker's part. */
struct stats_worker {
    struct counter counts[STATS_WORKER_COUNTERS];
    unsigned tick; /* of the requests that are timed although nobody logs them */
    _Atomic(struct stats_chunk *) chunks[STATS_LABELS_MAX / STATS_CHUNK];
} __attribute__((aligned(64)));

/* What one configuration's routes and identities are called here. */
struct stats_map {
    uint32_t *labels;                         /* by route_settings.number */
    uint8_t missing[SETTINGS_MAX_IDENTITIES]; /* index of no-NAME in stats_cell.reasons, less
                                                  REASON_COUNT; STATS_MISSING_MAX: none */
};

/* What is known of a label. */
struct stats_label {
    struct str site;  /* first name of the route's `host`; empty at the file's top level */
    struct str label; /* as in the access log */
    struct str type;  /* empty: none. Of the last configuration that had the route */
};

struct stats *stats_new(void) __attribute__((warn_unused_result));
/* After every worker. */
void stats_free(struct stats *s);

/* A worker's part, which stays until stats_free(). Control thread. */
struct stats_worker *stats_worker_new(struct stats *s) __attribute__((warn_unused_result));

/* Finds or makes the labels of a configuration. Control thread. */
void stats_map_init(struct stats_map *m, struct stats *s, const struct settings *settings);
void stats_map_fini(struct stats_map *m);

/* The worker's cell for a label; made if need be. The worker's thread only. */
struct stats_cell *stats_cell(struct stats_worker *w, uint32_t label);

/* Records a time. The worker's thread only. */
void stats_time(struct stats_cell *c, enum stats_time which, int64_t us);

/* ---- reading: control thread ------------------------------------------------------------- */

/* Labels are 0 (no route), 1 (all beyond STATS_LABELS_MAX) and so on, below this. */
uint32_t stats_labels(const struct stats *s);
const struct stats_label *stats_label(const struct stats *s, uint32_t label);

/* Sums over the workers. */
uint64_t stats_route_sum(const struct stats *s, uint32_t label, enum stats_route_counter which);
uint64_t stats_reason_sum(const struct stats *s, uint32_t label, unsigned reason);
uint64_t stats_worker_sum(const struct stats *s, enum stats_worker_counter which);
/* Adds what all workers have of one route's times to *into; false when there is nothing. */
bool stats_times_sum(const struct stats *s, uint32_t label, enum stats_time which,
                     struct histogram *into);

/* Has anything been counted under this label? */
bool stats_label_used(const struct stats *s, uint32_t label);

/* The word of stats_cell.reasons[reason]; empty when that one is not in use. */
struct str stats_reason_word(const struct stats *s, unsigned reason);

#endif
