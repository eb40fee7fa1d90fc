/*
 * Fills that start from a stored answer: what a 304 means for it (RFC 9111 4.3.3, 4.3.4) and
 * serving it when the origin fails (RFC 5861 section 4); and fills that start anew.
 */
#include "flow/flight.h"
#include "flow/forward.h"
#include "flow/node.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/request_stats.h"
#include "flow/steps.h"
#include "http/conditional.h"

/* May the stale copy be served for an error? It was looked up a while ago: what a write has
 * invalidated since then may not. */
static bool may_stand_in(struct request *rq)
{
    if (rq->stale == NULL || !rq->stale_ok) {
        return false;
    }
    enum journal_verdict valid = journal_check(rq->worker->node->journal, rq->stale);
    if (valid == JOURNAL_INVALID) {
        return false;
    }
    if (valid != JOURNAL_UNVERIFIED && trust_in(rq, rq->stale) == TRUST) {
        return true;
    }
    rq->uncertain = rq->uncertain || rq->route->stale_unverified;
    return rq->route->stale_unverified;
}

bool fill_prefers_stale(struct request *rq, int status)
{
    bool failed = status == 500 || status == 502 || status == 503 || status == 504;
    return failed && may_stand_in(rq);
}

bool fill_serve_stale_error(struct request *rq)
{
    struct node *node = rq->worker->node;
    if (!may_stand_in(rq)) {
        return false;
    }
    struct entry *e = rq->stale;
    rq->stale = NULL;
    backoff_mark(&node->backoff, rq->hash, rq->worker->loop->now);
    rq->collapsed = false;
    request_decide(rq, CACHE_STALE, trust_mark(rq, REASON_STALE_ERROR));
    reply_entry(rq, e);
    request_finish(rq, false);
    return true;
}

/* Does the 304 speak of the stored answer? Without a validator of its own it does (there was
 * only one to speak of). */
static bool confirms(const struct entry *e, const struct msg *m)
{
    struct str etag = msg_get(m, FIELD_ETAG);
    struct str modified = msg_get(m, FIELD_LAST_MODIFIED);
    if (etag.p != NULL) {
        return etag_weak_match(etag, entry_etag(e));
    }
    return modified.p == NULL || entry_last_modified(e).n == 0 ||
           str_eq(modified, entry_last_modified(e));
}

/* The 304 was for something else: what is stored is of no use, the whole answer is fetched. */
static void fetch_whole(struct request *rq)
{
    l1_remove(rq->worker->node->l1, rq->stale);
    entry_unref(rq->stale);
    rq->stale = NULL;
    fill_drop_fetch(rq);
    rq->worker->fills--;
    fill_start(rq);
}

void fill_ask_again(struct request *rq, struct str vary)
{
    rq->vary_names = vary;
    rq->asked_again++;
    rq->view = NULL;
    rq->storing = NULL;
    fill_drop_fetch(rq);
    rq->worker->fills--;
    fill_start(rq);
}

/* The origin confirmed the stored response, but by what it says now nobody else may be given
 * it: the leader is, the others go to the origin themselves. */
static void serve_alone(struct request *rq, struct entry *e, enum reason reason)
{
    flight_leave(&rq->reader);
    lease_path_release(rq, LEASE_NOT_SHARED);
    flight_end(rq->lead, FLIGHT_UNSHARED, NULL, 0);
    fill_stop_leading(rq);
    fill_drop_fetch(rq);
    if (rq->client == NULL || rq->background) {
        entry_unref(e);
        request_release(rq);
        return;
    }
    request_decide(rq, CACHE_REVALIDATED, reason);
    reply_entry(rq, e);
    request_finish(rq, false);
}

void fill_validated(struct request *rq, const struct msg *m)
{
    struct l1 *l1 = rq->worker->node->l1;
    struct store_verdict sv;
    struct entry *e = NULL;
    if (!fetch_surplus(rq->fetch) && confirms(rq->stale, m)) {
        e = freshen_entry(rq, rq->stale, m, &rq->lead->stamp, &sv);
    }
    if (e == NULL) {
        fetch_whole(rq);
        return;
    }
    if (!sv.store) {
        l1_remove(l1, rq->stale);
        serve_alone(rq, e, sv.reason);
        return;
    }
    rq->stored = l1_put(l1, e);
    request_stats_add(rq, STATS_STORED, rq->stored);
    if (rq->stored) {
        redis_path_store(rq, e);
    }
    lease_path_release(rq, rq->stored ? LEASE_STORED : LEASE_NOT_IN_REDIS);
    flight_end(rq->lead, FLIGHT_DONE, e, FLIGHT_REVALIDATED);
    entry_unref(e);
    fill_conclude(rq);
}
