/*
 * Which server is the master, by Redis Sentinel: every sentinel of the URL is asked at once
 * (SENTINEL get-master-addr-by-name), and what most of them say counts, so that one that is cut
 * off with an old master does not lead us there. Asked before every attempt to connect, and now
 * and then in between; there is no lasting connection. Used by the facade; whether the server
 * really is a master is seen by ROLE in the handshake. Belongs to one loop.
 */
#ifndef CACHE_REDIS_SENTINEL_H
#define CACHE_REDIS_SENTINEL_H

#include <stdbool.h>

#include "cache/redis_link.h"
#include "cache/redis_place.h"

struct redis_sentinel;

enum redis_sentinel_event {
    REDIS_SENTINEL_SAME,    /* the master is where it was */
    REDIS_SENTINEL_MOVED,   /* it is another one, or the first */
    REDIS_SENTINEL_UNKNOWN, /* nobody knows; the next round follows by itself */
};

/* The end of a round of questions; `why` belongs to UNKNOWN. */
typedef void redis_sentinel_fn(void *ctx, enum redis_sentinel_event event, const char *why);

/* `settings`: as for the master's links; loop, TLS and times are taken from it. Asks at once.
 * poll: how often to ask while nobody wants to connect; 0: never. */
struct redis_sentinel *redis_sentinel_new(const struct redis_target *target,
                                          const struct redis_link_settings *settings,
                                          struct resolver *resolver, msec_t poll,
                                          redis_sentinel_fn *event, void *ctx)
    __attribute__((warn_unused_result));

/* NULL is allowed. Not from inside `event`. */
void redis_sentinel_free(struct redis_sentinel *s);

/* The master, if the answer is fresh; otherwise NULL, a round begins (or goes on), and the
 * event follows sooner or later. Valid until the loop's next turn. */
struct redis_place *redis_sentinel_master(struct redis_sentinel *s);

#endif
