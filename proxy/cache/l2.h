/*
 * The Redis tier of one worker: entries under readable names, `PREFIX:NAME`, in the stored form
 * of cache/entry, always with an expiry. It never decides whether a request succeeds: whatever
 * goes wrong is a miss with a reason.
 *
 * A name over 512 bytes keeps a readable head and ends in a SHA-256; the full name is in the
 * entry and compared on every read, so no two names are ever mixed up. The host of a site
 * without `hosts` is not part of the Redis name (globs do not see it): two hosts that share a
 * name replace each other there, and each finds a miss where the other one's entry lies.
 *
 * Belongs to its worker's thread, like the redis instance it is given.
 */
#ifndef CACHE_L2_H
#define CACHE_L2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "cache/entry.h"
#include "cache/redis.h"

struct l2;
struct l2_get;

enum l2_outcome {
    L2_HIT,
    L2_MISS,    /* nothing under this name */
    L2_OTHER,   /* an entry of another full name, host or schema version */
    L2_DAMAGED, /* bytes that do not check out */
    L2_FAILED,  /* Redis did not answer in time, or answered with an error */
    L2_OUTCOMES
};

/* The end of a read: a reference to the entry (L2_HIT) or NULL. From the loop, never from
 * inside l2_get_start(). */
typedef void l2_done_fn(void *ctx, struct entry *e, enum l2_outcome outcome);

/* prefix without the colon; max_object: larger stored forms are neither written nor read. The
 * redis instance must outlive the tier. */
struct l2 *l2_new(struct redis *redis, struct str prefix, uint64_t max_object)
    __attribute__((warn_unused_result));
/* Reads under way end without a callback. */
void l2_free(struct l2 *t);

/* Would a read be sent now? */
bool l2_ready(const struct l2 *t);

/* Reads one name within `budget` ms. NULL when it is refused at once (then no callback). The
 * name and host must stay until the end. */
struct l2_get *l2_get_start(struct l2 *t, struct str name, struct str host, msec_t budget,
                            l2_done_fn *done, void *ctx);
/* No callback any more. */
void l2_get_cancel(struct l2_get *g);

/* For l2_done_fn, before it returns: what tells the value that was read from any other, empty
 * when there was none. Of no meaning with L2_FAILED. */
#define L2_MARK 8
struct str l2_mark(const struct l2 *t);

/* Writes an entry, without waiting, to expire when it is of no more use; too large or already
 * useless ones are not written. `now` is wall time. */
void l2_put(struct l2 *t, const struct entry *e, msec_t now);

enum l2_written {
    L2_WRITTEN,
    L2_FENCED,    /* what is there was fetched under a later lease: it stays */
    L2_UNWRITTEN, /* Redis did not take it */
};
typedef void l2_written_fn(void *ctx, enum l2_written how);

/* The same under a lease's fence; done is called unless this returns false (not written at
 * all) or the tier is freed before. */
bool l2_put_fenced(struct l2 *t, const struct entry *e, msec_t now, uint64_t fence,
                   l2_written_fn *done, void *ctx);

/* Would an entry of this size be written? */
bool l2_takes(const struct l2 *t, uint64_t bytes);
/* … one that is fresh for so long from now, with these windows and entry_flag? What is almost
 * over is not worth it. */
bool l2_keeps(msec_t fresh, msec_t stale, msec_t on_error, unsigned flags);

/* Removes a name, without waiting. */
void l2_unlink(struct l2 *t, struct str name);

struct l2_stats {
    uint64_t outcomes[L2_OUTCOMES];
    uint64_t writes;       /* SET sent */
    uint64_t write_errors; /* of these, not stored */
    uint64_t too_large;    /* not sent */
};
/* Any thread. */
void l2_stats_get(const struct l2 *t, struct l2_stats *out);

/* The name in Redis of an entry's name; in the arena. */
struct str l2_redis_name(struct str prefix, struct str name, struct arena *a);

#endif
