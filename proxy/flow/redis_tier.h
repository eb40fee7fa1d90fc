/*
 * Redis as the process and its workers use it: the journal's link, what all connections share,
 * and each worker's own connection with its tier of entries. Made once at the start (a change
 * of `redis` needs a restart); absent when there is no Redis in the configuration.
 */
#ifndef FLOW_REDIS_TIER_H
#define FLOW_REDIS_TIER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/loop.h"
#include "cache/journal_link.h"
#include "cache/l2.h"
#include "cache/lease.h"
#include "cache/redis.h"
#include "cache/redis_breaker.h"
#include "cache/redis_info.h"
#include "settings.h"

struct redis_tier;
struct redis;
struct redis_worker;
struct resolver;

/* The process's part; starts following the journal. Redis may be absent. NULL with a message
 * when TLS material cannot be loaded. settings: a reference is kept. */
struct redis_tier *redis_tier_new(struct settings *settings, struct journal *journal,
                                  struct resolver *resolver, char *error, size_t cap)
    __attribute__((warn_unused_result));
/* These settings are in force; of the tier's own ones only `intent` has changed. */
void redis_tier_reloaded(struct redis_tier *t, const struct settings *settings);
/* Ends the journal's thread. When the workers' threads have ended and their loops still exist.
 */
void redis_tier_stop(struct redis_tier *t);
/* After every worker's part is gone. NULL is allowed. */
void redis_tier_free(struct redis_tier *t);

/* The journal's link; NULL for no Redis (t == NULL) and after redis_tier_stop(). */
struct journal_link *redis_tier_link(struct redis_tier *t);
/* Connections of the control thread, for what people look at (REDIS_LOOK): apart from those of
 * requests, which a listing therefore never delays. Made at the first use, on the control
 * thread's loop; its commands have ended before redis_tier_stop(). */
struct redis *redis_tier_look(struct redis_tier *t, struct loop *loop);
const struct redis_settings *redis_tier_settings(const struct redis_tier *t);
/* What leases have come to, of all workers. */
const struct lease_counters *redis_tier_leases(const struct redis_tier *t);

/* How Redis does, for people and monitoring. */
struct redis_tier_info {
    bool connected;           /* a worker can use it for entries */
    bool following;           /* the journal is followed */
    const char *state;        /* "connected"; "partial": only one of the two; "read-only": it
                                 takes no writes; "disconnected" */
    struct redis_facts facts; /* asked every few seconds in the background */
    struct {
        const char *name; /* "redis-data", … */
        enum redis_breaker_state state;
    } breakers[REDIS_ROLES]; /* the worst over all threads and servers */
};

/* Any thread; nothing is asked for it. Not while or after redis_tier_stop(). */
void redis_tier_info_get(const struct redis_tier *t, struct redis_tier_info *out);

/* A worker's part, on its loop. */
struct redis_worker *redis_worker_new(struct redis_tier *t, struct loop *loop)
    __attribute__((warn_unused_result));
void redis_worker_free(struct redis_worker *w);
struct l2 *redis_worker_l2(struct redis_worker *w);
struct redis *redis_worker_redis(struct redis_worker *w);
/* NULL when they are off. */
struct leases *redis_worker_leases(struct redis_worker *w);

#endif
