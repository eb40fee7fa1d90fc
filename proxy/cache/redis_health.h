/*
 * How Redis does as the whole process sees it: one place for all instances (one per thread), so
 * that a change of state is one log line and not one per worker, and the admin plane can ask
 * without touching anybody's instance. Any thread.
 */
#ifndef CACHE_REDIS_HEALTH_H
#define CACHE_REDIS_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/redis.h"
#include "cache/redis_breaker.h"

/* One reference for the caller. Never NULL. */
struct redis_health *redis_health_new(void) __attribute__((warn_unused_result));
struct redis_health *redis_health_ref(struct redis_health *h);
void redis_health_unref(struct redis_health *h);

/* A connection for this role became usable (`server`: for the log). */
void redis_health_gain(struct redis_health *h, enum redis_role role, const char *server);

/* One that was usable is not any more. why == NULL: on purpose, at the end of an instance. */
void redis_health_lose(struct redis_health *h, enum redis_role role, const char *server,
                       const char *why);

/* One that was not usable still is not; the first time of all, this is logged. */
void redis_health_miss(struct redis_health *h, enum redis_role role, const char *server,
                       const char *why);

/* Is any connection of this role usable? False before the first one was. */
bool redis_health_up(const struct redis_health *h, enum redis_role role);

/* Why a connection was last lost or could not be made; empty: all went well so far. */
void redis_health_why(struct redis_health *h, char *out, size_t cap);

/* A breaker of this role changed its state; it begins CLOSED. */
void redis_health_breaker(struct redis_health *h, enum redis_role role,
                          enum redis_breaker_state from, enum redis_breaker_state to);

/* The worst of all breakers of this role: each thread has one for each server. */
enum redis_breaker_state redis_health_breakers(const struct redis_health *h,
                                               enum redis_role role);

/* A command was refused as a write (OOM, MISCONF, NOREPLICAS). */
void redis_health_write_refused(struct redis_health *h, enum redis_error e);

/* One that such a server would have refused went well. Cheap. */
void redis_health_write_taken(struct redis_health *h);

/* The class of the last refusal; REDIS_E_NONE: writes are taken, as far as is known. */
enum redis_error redis_health_writes(const struct redis_health *h);

#endif
