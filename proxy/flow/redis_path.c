/*
 * The Redis tier on the way of a request: looked at when memory has nothing to serve, within
 * the request's budget; whatever Redis does, the request goes on.
 */
#include "cache/l2.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "http/vary.h"

/* Is it of use to ask? Not while invalidations of this node wait to be told: what is stored
 * there may be what they are about. */
static bool may_ask(const struct request *rq)
{
    const struct worker *w = rq->worker;
    return w->redis != NULL && rq->lookup.lookup && rq->joins != JOIN_ALONE &&
           !journal_link_pending(redis_tier_link(w->node->redis)) &&
           l2_ready(redis_worker_l2(w->redis));
}

static void on_entry(void *ctx, struct entry *e, enum l2_outcome outcome);

/* Asks for the request's current name with what is left of its budget; false when it cannot. */
static bool ask(struct request *rq)
{
    struct worker *w = rq->worker;
    msec_t left = rq->redis_deadline - w->loop->now;
    if (left <= 0) {
        return false;
    }
    rq->asked = journal_stamp(w->node->journal);
    rq->l2 =
        l2_get_start(redis_worker_l2(w->redis), rq->name, rq->site_key, left, on_entry, rq);
    return rq->l2 != NULL;
}

/* A Vary marker: the variant that this request selects, from memory or by one more question.
 * True when an answer will come. */
static bool ask_variant(struct request *rq, struct entry *marker)
{
    struct vary_spec spec;
    rq->vary_names = arena_dup(&rq->arena, entry_vary(marker));
    if (!vary_parse_list(rq->vary_names, &rq->arena, &spec)) {
        return false;
    }
    lookup_select_variant(rq, &spec, &rq->msg);
    return ask(rq);
}

static void go_on(struct request *rq, enum step_result r)
{
    if (r == STEP_DONE) {
        step_finish(rq);
    } else if (r == STEP_MORE) {
        request_run(rq);
    }
}

static void on_entry(void *ctx, struct entry *e, enum l2_outcome outcome)
{
    struct request *rq = ctx;
    struct node *node = rq->worker->node;
    (void)outcome;
    rq->l2 = NULL;
    rq->step = STEP_FETCH;
    if (e == NULL) {
        go_on(rq, STEP_MORE);
        return;
    }
    journal_adopt_stamp(node->journal, &e->stamp, &rq->asked);
    (void)l1_put(node->l1, e);
    if (e->flags & ENTRY_VARY_MARKER) {
        bool asked = rq->name.n == rq->base_name.n && ask_variant(rq, e);
        entry_unref(e);
        if (!asked) {
            go_on(rq, STEP_MORE);
        }
        return;
    }
    variant_note(rq, false);
    rq->from_redis = true;
    go_on(rq, lookup_judge(rq, e));
}

enum step_result step_redis(struct request *rq)
{
    rq->step = STEP_FETCH;
    if (!may_ask(rq)) {
        return STEP_MORE;
    }
    rq->redis_deadline =
        rq->worker->loop->now + redis_tier_settings(rq->worker->node->redis)->budget;
    return ask(rq) ? STEP_WAIT : STEP_MORE;
}

void redis_path_store(struct request *rq, const struct entry *e)
{
    struct worker *w = rq->worker;
    if (w->redis != NULL && e != NULL) {
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
