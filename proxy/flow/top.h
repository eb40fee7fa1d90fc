/*
 * Which names one worker is asked for most, and which misses were slowest lately, for GET /top.
 * Bounded: 64 names by the SpaceSaving algorithm (Metwally et al. 2005), 32 misses of the last
 * ten minutes. The worker's lock is taken for a sample of the requests and by whoever reads.
 */
#ifndef FLOW_TOP_H
#define FLOW_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

#define TOP_KEYS     64
#define TOP_SLOW     32
#define TOP_NAME_MAX 160

/* One name. */
struct top_key {
    uint64_t hash;  /* of the whole name */
    uint64_t count; /* requests, at least `error` of them another name's; 0: a free place */
    uint64_t error;
    uint32_t label; /* of flow/stats */
    uint16_t name_n;
    char name[TOP_NAME_MAX]; /* its beginning */
};

/* One slow miss. */
struct top_slow {
    int64_t us; /* 0: a free place */
    msec_t at;  /* wall time of its end */
    uint32_t label;
    uint16_t name_n;
    char name[TOP_NAME_MAX];
};

struct top;

struct top *top_new(void) __attribute__((warn_unused_result));
void top_free(struct top *t);

/* The worker's thread: a request for this name. All count while there are few, else one in 16
 * stands for 16. now: the loop's. */
void top_count(struct top *t, struct str name, uint32_t label, msec_t now);

/* The worker's thread: a miss took so long. */
void top_miss(struct top *t, struct str name, uint32_t label, int64_t us, msec_t wall);

/* Any thread: copies of both lists; free places have a count, or a time, of 0. Counts are
 * halved every five minutes, so that they tell of the recent past. Misses that are older than
 * ten minutes at `wall` are left out. */
void top_get(struct top *t, msec_t wall, struct top_key keys[TOP_KEYS],
             struct top_slow slow[TOP_SLOW]);

#endif
