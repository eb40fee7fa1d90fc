/*
 * `bypass if …` and `store if …`: a route's conditions judged for one request or answer. Pure
 * functions; nothing is looked at on routes without conditions. Bounds on the size are not
 * here: a body's size is the fill's to know.
 */
#ifndef CACHE_CONDITION_H
#define CACHE_CONDITION_H

#include <stdbool.h>

#include "base/arena.h"
#include "http/msg.h"
#include "http/target.h"
#include "settings.h"

/* Does one of the route's bypass conditions hold for this request? */
bool condition_bypasses(const struct route_settings *route, const struct msg *request,
                        const struct target *target, struct arena *a);

/* Do all of the route's store conditions hold for this answer (its head) to this request? */
bool condition_stores(const struct route_settings *route, const struct msg *request,
                      const struct target *target, const struct msg *response, struct arena *a);

#endif
