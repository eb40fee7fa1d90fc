/*
 * Active health checks (health=/path): one GET for each server every health_interval, on the
 * control thread's loop. A server is taken out of use after two failures in a row and comes
 * back with the first success; 2xx and 3xx within min(interval, 2 s) are a success.
 *
 * The verdict is origin_server.unhealthy; origin_pick() reads it. Passive marks (max_fails) are
 * independent of it. One log line for each change.
 */
#ifndef UPSTREAM_HEALTH_H
#define UPSTREAM_HEALTH_H

#include "base/loop.h"
#include "upstream/origin.h"

struct health;

/* Starts the checks of every upstream that has a health path; takes a reference on origins. */
struct health *health_new(struct loop *loop, struct origins *origins)
    __attribute__((warn_unused_result));

/* Ends them. The memory goes at the end of the loop's turn. NULL is allowed. */
void health_free(struct health *h);

#endif
