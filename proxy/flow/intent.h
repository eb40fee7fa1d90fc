/*
 * A write that is announced before it is forwarded (`redis … intent=`, cache/journal_intent):
 * the request's side of it. Called by exchange, invalidate and the request's end.
 */
#ifndef FLOW_INTENT_H
#define FLOW_INTENT_H

#include <stdbool.h>

struct request;

/* Before a request that may write is forwarded, after invalidate_prepare(). True: it waits, and
 * runs its step again. Once for each request. */
bool intent_begin(struct request *rq);

/* The write has ended, or was not even begun, and nothing is invalidated for it; idempotent. No
 * answer is waited for any more. */
void intent_end(struct request *rq);

#endif
