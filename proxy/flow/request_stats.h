/*
 * Where requests are counted (flow/stats, tbl/counters.def): once at the end of each, and where
 * its exchanges end. On the request's worker only.
 */
#ifndef FLOW_REQUEST_STATS_H
#define FLOW_REQUEST_STATS_H

#include <stdint.h>

#include "flow/request.h"
#include "flow/stats.h"

/* Is a request timed from its first byte on? All are while somebody logs them, else every 16th;
 * what goes beyond the memory tier is timed from there on (request_stats_start). */
bool request_stats_timed(struct worker *w);

/* From here on the request is not a plain hit: its time is taken if it has not been. */
void request_stats_start(struct request *rq);

/* The request's answer is complete, or it was given up. end_us: now, where it is timed. */
void request_stats_end(struct request *rq, int64_t end_us);

/* Its exchange with the upstream has begun; has been given up, complete or not (time in
 * rq->upstream_us); has failed. */
void request_stats_asked(struct request *rq);
void request_stats_exchanged(struct request *rq);
void request_stats_failed(struct request *rq, enum fetch_error e);

/* Raises one counter of the request's route. */
void request_stats_add(struct request *rq, enum stats_route_counter which, uint64_t n);

#endif
