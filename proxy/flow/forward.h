/*
 * What is sent to a backend: the request head, re-serialised from the parsed form (design D8
 * and "What reaches the backend on a cached route").
 */
#ifndef FLOW_FORWARD_H
#define FLOW_FORWARD_H

#include <stdbool.h>

#include "base/str.h"
#include "flow/request.h"

enum forward_mode {
    FORWARD_PASS, /* everything but hop-by-hop fields and those that Larder sets itself */
    FORWARD_FILL, /* a cached route: the allow-list, no validators, no Range; with `ttl origin`
                     all fields but those */
};

/* The complete head for this request, in its arena, with the request's body behind it where
 * that has been read whole beforehand. A fill validates rq->stale if it is set. */
struct str forward_head(struct request *rq, enum forward_mode mode);

/* The request as the origin sees it in a fill, for policy_store (Authorization) and Vary:
 * fields that were not forwarded are absent. In the arena. */
const struct msg *forward_view(struct request *rq);

/* Did the fill show the origin, of what rq->vary_names adds, just what its answer says it
 * varies on (names as vary_list() writes them)? If not, the answer is another request's. */
bool forward_fits(const struct request *rq, struct str vary);

#endif
