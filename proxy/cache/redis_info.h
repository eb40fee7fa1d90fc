/*
 * What the Redis servers say of themselves: memory, its limit, what they evict, how many keys
 * there are; and whether another site uses the same prefix. Asked in the background (INFO
 * memory, DBSIZE and a set of a few members) with an instance that somebody else owns; read by
 * the admin plane and by what warns of a dangerous configuration (redis_advice).
 *
 *   {PREFIX}:sites   sorted set: what each deployment calls itself (redis_site), by the time at
 *                    which a node of it last said so
 *
 * In a cluster every master is asked and the figures are added up; what is evicted is asked of
 * the master that has the journal, which is the only key without an expiry.
 */
#ifndef CACHE_REDIS_INFO_H
#define CACHE_REDIS_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

struct loop;
struct redis;
struct redis_info;

/* maxmemory-policy, by what it means to keys without an expiry. */
enum redis_eviction {
    REDIS_EVICTS_UNKNOWN,
    REDIS_EVICTS_NOTHING,  /* noeviction: writes are refused when memory is full */
    REDIS_EVICTS_VOLATILE, /* volatile-*: keys with an expiry only */
    REDIS_EVICTS_ANYTHING, /* allkeys-*: the journal too */
};

/* A moment's figures; -1: not known now (no connection, or the ACL does not allow it). */
struct redis_facts {
    msec_t at;           /* monotonic, when they were asked for; 0: never answered */
    int64_t used_memory; /* bytes */
    int64_t max_memory;  /* bytes; 0: without a limit, at least on one server */
    int64_t keys;        /* in our database, whoever wrote them: those of this prefix alone can
                            only be counted by walking through all */
    enum redis_eviction eviction;
    char policy[24]; /* maxmemory-policy as the server writes it; empty: not known */
    char other[128]; /* another site under our prefix, printable; empty: none is known */
};

/* Called on the loop after each round that was answered. */
typedef void redis_info_fn(void *ctx, const struct redis_facts *facts);

/* Strings are copied. */
struct redis_info_options {
    struct str prefix;
    struct str site;     /* what this deployment calls itself; empty: sites are not asked for */
    bool member;         /* says so; otherwise it only looks who is there */
    redis_info_fn *done; /* may be NULL */
    void *ctx;
};

/* Starts asking on `loop`, which is r's; both must outlive it. */
struct redis_info *redis_info_new(struct loop *loop, struct redis *r,
                                  const struct redis_info_options *options)
    __attribute__((warn_unused_result));

/* A member says that it goes; nothing is asked any more. */
void redis_info_leave(struct redis_info *i);

/* On the loop's thread, or when that has ended; commands under way end without a call. Before
 * the instance goes. NULL is allowed. */
void redis_info_free(struct redis_info *i);

/* Any thread. */
void redis_info_get(struct redis_info *i, struct redis_facts *out);

#endif
