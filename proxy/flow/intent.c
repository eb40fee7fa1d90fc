/*
 * What is announced is what the request would invalidate if it were answered with 200 and
 * nothing else of the answer were known: Location, Content-Location and the answer's tags are
 * not in it. The answer's own record has all.
 */
#include "flow/intent.h"

#include "cache/journal_intent.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"

/* Nobody could be told: it is not forwarded. */
static void refuse(struct request *rq)
{
    intent_end(rq);
    rq->close = rq->close || !rq->body_done;
    reply_problem(rq, 503, REASON_UNANNOUNCED,
                  "the write could not be announced to the other nodes");
    request_finish(rq, false);
}

static void on_announced(void *ctx, enum append_outcome outcome)
{
    struct request *rq = ctx;
    rq->announcing = NULL;
    rq->redis_spent = rq->worker->loop->now - rq->asked_at;
    if (outcome == APPEND_PENDING &&
        config_settings(rq->config)->redis.intent == INTENT_STRICT) {
        refuse(rq);
        return;
    }
    request_run(rq);
}

bool intent_begin(struct request *rq)
{
    if (rq->route->intent_deadline == 0 || rq->announced || rq->upgrade) {
        return false;
    }
    const struct record *records;
    struct journal_link *link = redis_tier_link(rq->worker->node->redis);
    size_t n = link != NULL ? invalidate_preview(rq, &records) : 0;
    rq->announced = true;
    if (n == 0) {
        return false;
    }
    const struct intent_call call = {.records = records,
                                     .n = n,
                                     .deadline = rq->route->intent_deadline,
                                     .renew = rq->route->intent_renew};
    rq->asked_at = rq->worker->loop->now;
    rq->intent =
        journal_intent_open(link, rq->worker->loop, &call, on_announced, rq, &rq->announcing);
    return true;
}

void intent_end(struct request *rq)
{
    struct journal_link *link = redis_tier_link(rq->worker->node->redis);
    if (rq->announcing != NULL) {
        journal_append_cancel(rq->announcing);
        rq->announcing = NULL;
    }
    if (rq->intent != 0 && link != NULL) {
        journal_intent_close(link, rq->intent);
    }
    rq->intent = 0;
}
