/*
 * The Redis tier on the way of a request: looked at when memory has nothing to serve, within
 * the request's budget; whatever Redis does, the request goes on.
 */
#include <string.h>

#include "cache/l2.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/request.h"
#include "flow/request_stats.h"
#include "flow/steps.h"
#include "http/vary.h"

/* Is it of use to ask? */
static bool may_ask(const struct request *rq)
{
    const struct worker *w = rq->worker;
    return w->redis != NULL && rq->lookup.lookup && rq->joins != JOIN_ALONE &&
           l2_ready(redis_worker_l2(w->redis));
}

/* Asks for the request's current name with what is left of its budget; false when it cannot.
 * Not while invalidations of this node wait to be told: what is stored there may be what they
 * are about. That is looked at after the stamp was taken, so that what begins to wait in
 * between counts against the entry. */
static bool ask(struct request *rq, l2_done_fn *done)
{
    struct worker *w = rq->worker;
    struct redis_tier *redis = w->node->redis;
    msec_t left = redis_tier_settings(redis)->budget - rq->redis_spent;
    rq->asked = journal_stamp(w->node->journal);
    if (left <= 0 || journal_link_pending(redis_tier_link(redis))) {
        return false;
    }
    rq->asked_at = w->loop->now;
    rq->l2 = l2_get_start(redis_worker_l2(w->redis), rq->name, rq->site_key, left, done, rq);
    return rq->l2 != NULL;
}

bool redis_path_ask(struct request *rq, l2_done_fn *done)
{
    return may_ask(rq) && ask(rq, done);
}

void redis_path_note_refused(struct request *rq)
{
    const struct worker *w = rq->worker;
    bool wanted = w->redis != NULL && rq->lookup.lookup && rq->joins != JOIN_ALONE;
    if (wanted && rq->reason == REASON_MISS && !l2_ready(redis_worker_l2(w->redis))) {
        request_decide(rq, rq->result, REASON_BREAKER);
    }
}

bool redis_path_ask_variant(struct request *rq, const struct entry *marker, l2_done_fn *done)
{
    struct vary_spec spec;
    if (rq->name.n != rq->base_name.n) {
        return false;
    }
    rq->vary_names = arena_dup(&rq->arena, entry_vary(marker));
    if (!vary_parse_list(rq->vary_names, &rq->arena, &spec)) {
        return false;
    }
    lookup_select_variant(rq, &spec, &rq->msg);
    return ask(rq, done);
}

static void go_on(struct request *rq, enum step_result r)
{
    if (r == STEP_DONE) {
        step_finish(rq);
    } else if (r == STEP_MORE) {
        request_run(rq);
    }
}

bool redis_path_adopt(struct request *rq, struct entry *e)
{
    struct journal *journal = rq->worker->node->journal;
    msec_t wall = rq->worker->loop->wall;
    rq->l2 = NULL;
    rq->redis_spent += rq->worker->loop->now - rq->asked_at;
    if (e == NULL) {
        return false;
    }
    journal_adopt_stamp(journal, &e->stamp, &rq->asked);
    /* By a clock that is ahead of ours it would stay here for too long. */
    e->stored_at = e->stored_at < wall ? e->stored_at : wall;
    if (e->scope == lookup_scope(rq) && (e->flags & ENTRY_HIT_FOR_MISS) == 0 &&
        journal_check(journal, e) != JOURNAL_INVALID) {
        return true;
    }
    request_decide(rq, CACHE_MISS, REASON_INVALIDATED);
    return false;
}

/* What Redis has under the name, to be told apart from what it may have later. */
static void note_seen(struct request *rq, enum l2_outcome outcome)
{
    struct str mark = l2_mark(redis_worker_l2(rq->worker->redis));
    rq->seen_known = outcome != L2_FAILED;
    rq->seen_n = (uint8_t)mark.n;
    memcpy(rq->seen, mark.p, mark.n);
}

struct entry *redis_path_take_in(struct request *rq, struct entry *e, enum l2_outcome outcome)
{
    struct node *node = rq->worker->node;
    note_seen(rq, outcome);
    if (!redis_path_adopt(rq, e)) {
        if (e != NULL) {
            entry_unref(e);
        }
        return NULL;
    }
    struct entry *here = l1_get(node->l1, rq->hash, rq->name, rq->site_key);
    if (here != NULL && here->stored_at > e->stored_at && here->scope == e->scope &&
        (here->flags & ENTRY_HIT_FOR_MISS) == 0) {
        entry_unref(e);
        return here;
    }
    if (here != NULL) {
        entry_unref(here);
    }
    (void)l1_put(node->l1, e);
    return e;
}

static void on_entry(void *ctx, struct entry *e, enum l2_outcome outcome)
{
    struct request *rq = ctx;
    rq->step = STEP_FETCH;
    const struct entry *read = e;
    e = redis_path_take_in(rq, e, outcome);
    if (e == NULL) {
        go_on(rq, STEP_MORE);
        return;
    }
    rq->from_redis = e == read;
    if (e->flags & ENTRY_VARY_MARKER) {
        bool asked = redis_path_ask_variant(rq, e, on_entry);
        entry_unref(e);
        if (!asked) {
            go_on(rq, STEP_MORE);
        }
        return;
    }
    variant_note(rq, false);
    go_on(rq, lookup_judge(rq, e));
}

enum step_result step_redis(struct request *rq)
{
    request_stats_start(rq);
    rq->step = STEP_FETCH;
    rq->seen_known = false;
    if (redis_path_ask(rq, on_entry)) {
        return STEP_WAIT;
    }
    redis_path_note_refused(rq);
    return STEP_MORE;
}

void redis_path_store(struct request *rq, const struct entry *e)
{
    struct worker *w = rq->worker;
    if (rq->lease != NULL && e != NULL) {
        lease_store(rq->lease, redis_worker_l2(w->redis), e, w->loop->wall);
    } else if (w->redis != NULL && e != NULL) {
        l2_put(redis_worker_l2(w->redis), e, w->loop->wall);
    }
}

void redis_path_remove(struct request *rq, struct str name)
{
    struct worker *w = rq->worker;
    if (w->redis != NULL) {
        l2_unlink(redis_worker_l2(w->redis), name);
    }
}
