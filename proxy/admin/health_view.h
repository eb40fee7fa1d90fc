/*
 * How this node does, as people and probes see it (design section 9): HEALTHY, WARMING,
 * DEGRADED or DOWN, with what is wrong and since when. Looked at every second, so that "since"
 * is true although nobody asks. Control thread.
 */
#ifndef ADMIN_HEALTH_VIEW_H
#define ADMIN_HEALTH_VIEW_H

#include "base/clock.h"

struct admin_context;
struct health_view;

enum health_status {
    HEALTH_HEALTHY,
    HEALTH_WARMING,  /* just started: the journal has not been read yet */
    HEALTH_DEGRADED, /* serves, but something is wrong */
    HEALTH_DOWN,     /* stopping */
};

/* context must outlive it. */
struct health_view *health_view_new(const struct admin_context *context)
    __attribute__((warn_unused_result));
void health_view_free(struct health_view *h);

/* Looks now. */
enum health_status health_view_status(struct health_view *h);

/* "HEALTHY", … */
const char *health_status_name(enum health_status status);

/* RFC 3339 in UTC with milliseconds, NUL-terminated. */
#define HEALTH_TIME_MAX 32
void health_time(msec_t wall, char out[HEALTH_TIME_MAX]);

#endif
