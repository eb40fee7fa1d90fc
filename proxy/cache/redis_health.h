/*
 * How Redis does as the whole process sees it: one place for all instances (one per thread), so
 * that a change of state is one log line and not one per worker, and the admin plane can ask
 * without touching anybody's instance. Any thread.
 */
#ifndef CACHE_REDIS_HEALTH_H
#define CACHE_REDIS_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/redis.h"

/* One reference for the caller. Never NULL. */
struct redis_health *redis_health_new(void) __attribute__((warn_unused_result));
struct redis_health *redis_health_ref(struct redis_health *h);
void redis_health_unref(struct redis_health *h);

/* An instance's connection for this role became usable, or of no use (`why`: a short text, may
 * be NULL when up). Logs the first of each change. */
void redis_health_note(struct redis_health *h, enum redis_role role, bool up, const char *why);

/* Is any instance's connection of this role usable? False before the first one was. */
bool redis_health_up(const struct redis_health *h, enum redis_role role);

/* Notes that writes are refused (OOM, MISCONF, …; NONE: they are taken again). */
void redis_health_note_writes(struct redis_health *h, enum redis_error e);

/* The last such class; REDIS_E_NONE: writes are taken, as far as is known. */
enum redis_error redis_health_writes(const struct redis_health *h);

#endif
