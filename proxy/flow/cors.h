/*
 * Cross-origin requests (Fetch standard, "CORS protocol") on routes that say `cors`: which
 * fields an answer gets is decided for each request, so that an entry serves every origin; the
 * backend's own Access-Control-* fields are neither stored nor sent there.
 */
#ifndef FLOW_CORS_H
#define FLOW_CORS_H

#include <stdbool.h>

#include "base/str.h"
#include "settings.h"

struct request;

/* Is this the value of Origin of somebody who is allowed? */
bool cors_allows(const struct cors_settings *c, struct str origin);

/* Decides what the answer to a routed request says: sets rq->cors. A preflight is answered at
 * once, with the rules of the route of the method that it asks for; true then. */
bool cors_begin(struct request *rq);

/* Is it one of the answer fields that `cors` replaces? */
bool cors_field(struct str name);

#endif
