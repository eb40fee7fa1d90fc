/*
 * The page of GET /metrics: Prometheus's text format 0.0.4, made of tbl/counters.def and
 * tbl/reasons.def. Rendered in pieces, because there may be thousands of routes and the
 * control thread has other things to do. Control thread.
 */
#ifndef ADMIN_METRICS_H
#define ADMIN_METRICS_H

#include <stdbool.h>

#include "base/str.h"
#include "flow/stats_values.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct alert;
struct metrics_page;

/* A page of this moment's values. Keeps a reference to the runtime; alert outlives it. */
struct metrics_page *metrics_page_new(const struct stats_source *from,
                                      const struct alert *alert)
    __attribute__((warn_unused_result));
void metrics_page_free(struct metrics_page *p);

/* Renders the next piece; true when there is more. */
bool metrics_page_more(struct metrics_page *p);

/* What has been rendered. */
struct str metrics_page_text(const struct metrics_page *p);

/* Appends a label's value as it stands between quotes. */
void metrics_put_value(struct strbuf *out, struct str value);

#endif
