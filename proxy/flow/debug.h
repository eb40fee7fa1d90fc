/*
 * X-Larder-Debug: a client that sends the token of `debug_token` is told in the answer's fields
 * what explain would say. The field is the proxy's own: taken out of every request before
 * anything is looked at, whoever sent it, so that no backend, key or Vary ever sees it. A wrong
 * token is as good as none.
 */
#ifndef FLOW_DEBUG_H
#define FLOW_DEBUG_H

#include "base/str.h"
#include "cache/entry.h"
#include "flow/request.h"

#define DEBUG_KEY_MAX 512 /* bytes of a field's value */

/* Takes the field out of rq->msg; with the right token rq->debug is set and the steps note what
 * they leave out. Before the request is routed. */
void debug_begin(struct request *rq);

/* Field lines for an answer with rq->debug, each with CRLF; in the request's arena. e: the
 * entry that it comes from, or NULL. */
struct str debug_lines(struct request *rq, const struct entry *e);

/* The `key` of Cache-Status with what stands before it (`; key="…"`), at most DEBUG_KEY_MAX
 * bytes; empty without rq->debug. */
struct str debug_status_key(const struct request *rq, char out[DEBUG_KEY_MAX]);

#endif
