/*
 * Explains a request in this process, from the configuration alone: a worker without listeners,
 * an empty cache and no Redis. No origin is contacted; a JWK set that has to come from a URL is
 * waited for.
 */
#ifndef CLI_EXPLAIN_OFFLINE_H
#define CLI_EXPLAIN_OFFLINE_H

#include "flow/explain.h"
#include "settings.h"

/* The answer, as POST /explain gives it; freed with cJSON_Delete(). NULL after an error was
 * printed. settings are changed: nobody else may hold a reference. */
struct cJSON *explain_offline(struct settings *settings, const struct explain_query *q);

#endif
