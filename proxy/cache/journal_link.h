/*
 * The invalidation journal in Redis (design section 6): follows the stream on a thread of its
 * own, applies its records to the index in stream order, appends this node's records, and knows
 * whether it is current.
 *
 *   {PREFIX}:journal   stream; each entry: s = sequence number, r = records (journal_wire),
 *                      m = mark of the node that appended it; of announced writes also i = the
 *                      intent, c = those that are over (journal_intent)
 *   {PREFIX}:epoch     hash, see journal_scripts.h
 *   {PREFIX}:nodes     sorted set of the nodes alive, by Redis's clock
 *   {PREFIX}:applied   hash: how far each of them has applied the stream
 *
 * All four are in one slot. Everything but the calls below belongs to the link's thread.
 */
#ifndef CACHE_JOURNAL_LINK_H
#define CACHE_JOURNAL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"
#include "cache/journal.h"
#include "cache/redis.h"
#include "cache/redis_info.h"

struct journal_link;
struct journal_append;

struct journal_link_options {
    struct redis_options redis; /* target, TLS, resolver, health; roles, callbacks and value
                                   sizes are ours */
    struct str prefix;
    msec_t budget;        /* how long a write's answer waits for its record */
    msec_t max_lag;       /* without proof of being current for longer: uncertain */
    msec_t horizon;       /* records older than this (Redis's clock) may be trimmed */
    uint64_t max_records; /* and over this many */
    msec_t lookback; /* longest deadline of an intent (journal_intent); 0: there are none */
    struct str site; /* what the deployment calls itself (flow/redis_site); empty: nothing */
    struct str state_dir; /* for the outbox; empty: in memory only */
};

/* Starts the thread; Redis may be absent. journal must outlive the link; strings are copied. */
struct journal_link *journal_link_new(struct journal *j,
                                      const struct journal_link_options *options)
    __attribute__((warn_unused_result));

/* Any thread: an intent may have this deadline from now on; what `lookback` begins with. */
void journal_link_look_back(struct journal_link *l, msec_t deadline);

/*
 * Ends the thread, after up to half a second for what is on its way. Nothing may be appended
 * any more, and appends under way end without a callback: who still waits for one cancels it
 * before. What the others have not been told goes into state_dir.
 */
void journal_link_free(struct journal_link *l);

enum append_outcome {
    APPEND_DONE,    /* in the stream and applied here: true for every node that is current */
    APPEND_PENDING, /* applied here; waits in the outbox to be told to the others */
};
typedef void journal_append_fn(void *ctx, enum append_outcome outcome);

/*
 * Any thread that runs a loop: invalidates. done is called on that loop, within the budget and
 * a bit. The records are copied; too many (journal_wire.h) become RECORD_ALL.
 */
struct journal_append *journal_link_append(struct journal_link *l, struct loop *loop,
                                           const struct record *records, size_t n,
                                           journal_append_fn *done, void *ctx);
/* The same; besides, every node that has applied the record says so at once, for
 * journal_link_wait(). */
struct journal_append *journal_link_append_watched(struct journal_link *l, struct loop *loop,
                                                   const struct record *records, size_t n,
                                                   journal_append_fn *done, void *ctx);

/* Where an append is in the stream. */
struct append_place {
    char epoch[17]; /* id of the epoch, hex; empty: not in the stream */
    uint64_t seq;   /* number of the record */
};
/* Within done: the place of an append that is APPEND_DONE. */
void journal_append_place(const struct journal_append *a, struct append_place *out);

/* On the thread that asked: done is not called any more, the records remain. At the latest
 * before the loop goes away. Not after done, nor after journal_link_free(). */
void journal_append_cancel(struct journal_append *a);

/* `nodes` are alive on the prefix; `waiting` of them have not said that they have applied it.
 */
typedef void journal_wait_fn(void *ctx, uint64_t nodes, uint64_t waiting);

struct journal_wait;

/*
 * Any thread that runs a loop: done is called on it when every node that is alive has applied
 * the record at `place`, or after `limit` ms with what is known then. A node that has not
 * registered for five seconds is not alive any more.
 */
struct journal_wait *journal_link_wait(struct journal_link *l, struct loop *loop,
                                       const struct append_place *place, msec_t limit,
                                       journal_wait_fn *done, void *ctx)
    __attribute__((warn_unused_result));
/* As journal_append_cancel(). */
void journal_wait_cancel(struct journal_wait *w);

/* Any thread, no lock. Has this node proved within max_lag that it knows every record, or is it
 * alone on the prefix? now is monotonic (loop->now). */
bool journal_link_certain(const struct journal_link *l, msec_t now);

/*
 * Any thread. Do records wait in the outbox? Then entries from Redis are not to be believed,
 * whatever their stamp. To be asked between taking the stamp that journal_adopt_stamp() wants
 * and reading such an entry: what the stamp covers either waits at that moment or is in the
 * stream, and what comes later counts against the entry anyway.
 */
bool journal_link_pending(const struct journal_link *l);

/* What the servers say of themselves. Any thread. */
void journal_link_facts(const struct journal_link *l, struct redis_facts *out);

struct journal_link_stats {
    bool connected;       /* following the stream */
    bool alone;           /* no other node on the prefix when last seen */
    uint64_t nodes;       /* nodes on the prefix when last seen */
    msec_t lag;           /* ms since the last proof; -1: never */
    uint64_t seq;         /* last record applied */
    uint64_t outbox;      /* appends waiting */
    uint64_t appended;    /* appends of this node that were read back */
    uint64_t epochs;      /* how often all that was known came to be unverified, the first epoch
                             included */
    uint64_t intents;     /* announced writes of all nodes that have not ended */
    uint64_t healed;      /* … that never did, so that this node has invalidated for them */
    uint64_t unannounced; /* writes of this node that could not be announced */
};
void journal_link_stats_get(const struct journal_link *l, struct journal_link_stats *out);

#endif
