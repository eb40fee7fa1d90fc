/*
 * What would become of a request, and why: runs the steps of the data path itself (RECV, ROUTE,
 * BODY, KEY) for a request that nobody sent, decides by what the tiers hold as the look-up
 * does, and stops before anything is sent, stored, counted or asked of an origin. Used by POST
 * /explain and `larder explain`.
 *
 * What it cannot know is said so: whether the origin's answer may be stored shows when it is
 * there. A JWK set may be fetched, as for any token with a new key.
 */
#ifndef FLOW_EXPLAIN_H
#define FLOW_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/str.h"

struct cJSON;
struct worker;

#define EXPLAIN_FIELDS_MAX 128 /* fields of the request that is asked about */

/* A field of it. */
struct explain_field {
    struct str name;
    struct str value;
};

/* The request that is asked about. */
struct explain_query {
    struct str method; /* "GET" */
    struct str target; /* "/path?query", or an absolute URL */
    struct explain_field fields[EXPLAIN_FIELDS_MAX];
    size_t n_fields;
    struct str body;  /* may be empty */
    struct addr peer; /* of the client */
    bool tls;         /* it came over TLS */
    bool offline;     /* this process holds no cache: say what is known without one */
};

/* The answer (JSON of POST /explain); the callee frees it with cJSON_Delete(). */
typedef void explain_done_fn(void *ctx, struct cJSON *answer);

/* Explains a request on the worker's own thread; q is only read during the call. done is called
 * once, perhaps before this returns, at the latest after the time that a request may spend on
 * Redis. */
void explain_start(struct worker *w, const struct explain_query *q, explain_done_fn *done,
                   void *ctx);

#endif
