/*
 * The tree of GET /stats: the figures of tbl/counters.def for people and programs, as totals,
 * by route and by type. Control thread.
 */
#ifndef ADMIN_STATS_JSON_H
#define ADMIN_STATS_JSON_H

#include "flow/stats_values.h"

struct cJSON;

/* Routes shown one by one; of more, those with most requests are. */
#define STATS_JSON_ROUTES 500

struct cJSON *stats_json(const struct stats_source *from) __attribute__((warn_unused_result));

#endif
