/*
 * The last requests of one worker, for GET /log: a ring that the worker writes without waiting
 * for anybody and that any thread reads. A record that is overwritten while it is read is left
 * out. Fields are cut to bounds; whoever renders them hides secrets (flow/accesslog_line).
 */
#ifndef FLOW_RECENT_H
#define FLOW_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/accesslog.h"

#define RECENT_SLOTS 256u
#define RECENT_BYTES 896u /* of one record, a multiple of eight */
#define RECENT_ROUTE 96u  /* of a route's name; the rest is cut off */

struct recent;

struct recent *recent_new(void) __attribute__((warn_unused_result));
void recent_free(struct recent *r);

/* The worker's thread: is a record wanted now? Of plain hits only so many in a moment: at
 * thousands a second nobody reads them, and making them would cost. now: the loop's. */
bool recent_wants(struct recent *r, bool plain_hit, msec_t now);

/* Any thread: hits that were not wanted. */
uint64_t recent_skipped(const struct recent *r);

/* The worker's thread: keeps a record. */
void recent_add(struct recent *r, const struct access_record *record);

/* Any thread: records kept so far; they are numbered from 0 on. */
uint64_t recent_count(const struct recent *r);

/* One record, copied out. */
struct recent_copy {
    uint64_t number;
    struct access_record record; /* its texts are in `bytes` */
    char bytes[RECENT_BYTES];
};

/* Any thread: the record of this number. False when it is gone, or not there yet. */
bool recent_get(const struct recent *r, uint64_t number, struct recent_copy *out);

#endif
