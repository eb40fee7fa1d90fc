/*
 * Commands of a cluster that can be sent nowhere at the moment: the map is not known yet, or a
 * slot is being moved and asked for a pause. Each has its own deadline. Used by redis_cluster;
 * belongs to one loop.
 */
#ifndef CACHE_REDIS_PARKING_H
#define CACHE_REDIS_PARKING_H

#include "base/loop.h"
#include "cache/redis_command.h"

/* The command may go now; it is the callee's. */
typedef void redis_resume_fn(struct redis_command *c);

struct redis_parking {
    struct loop *loop;
    redis_resume_fn *resume;
    struct redis_queue queue;
    struct deferred release; /* lets those go that wait for the map */
};

void redis_parking_init(struct redis_parking *p, struct loop *loop, redis_resume_fn *resume);

/* The commands end without a call. */
void redis_parking_fini(struct redis_parking *p);

/* Keeps c for `pause` ms, or with 0 until redis_parking_release(), then resumes it; when its
 * time (c->until) is over, its `end` is called with REDIS_NOT_SENT. */
void redis_parking_add(struct redis_parking *p, struct redis_command *c, msec_t pause);

/* At the end of the turn, those who do not pause may go. */
void redis_parking_release(struct redis_parking *p);

#endif
