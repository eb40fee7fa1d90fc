/*
 * May entries be used as they are? A node that cannot prove that it knows every invalidation
 * does with them what the configuration says (`redis … uncertain=`, design section 6). Asked
 * wherever an entry is about to be served, because the answer changes with time.
 */
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/request.h"
#include "flow/steps.h"

bool trust_certain(const struct request *rq)
{
    struct redis_tier *redis = rq->worker->node->redis;
    return redis == NULL || journal_link_certain(redis_tier_link(redis), rq->worker->loop->now);
}

/* May the entry be used, marked? */
static bool usable(const struct request *rq, const struct entry *e)
{
    struct redis_tier *redis = rq->worker->node->redis;
    const struct redis_settings *rs = redis_tier_settings(redis);
    struct journal_link_stats ls;
    journal_link_stats_get(redis_tier_link(redis), &ls);
    if (rs->uncertain == UNCERTAIN_SERVE) {
        return ls.lag >= 0 && ls.lag <= rs->max_lag + rs->uncertain_serve;
    }
    if (ls.lag < 0 && ls.epochs > 0) {
        return false; /* still reading the journal: does not even know its own last writes */
    }
    /* One success counts for max_lag. */
    return rq->worker->loop->wall - e->stored_at <= rs->max_lag;
}

enum trust trust_in(struct request *rq, const struct entry *e)
{
    if (trust_certain(rq)) {
        return TRUST;
    }
    const struct redis_settings *rs = redis_tier_settings(rq->worker->node->redis);
    if (rs->uncertain == UNCERTAIN_BYPASS) {
        return TRUST_BYPASS;
    }
    if (!usable(rq, e)) {
        return TRUST_VALIDATE;
    }
    rq->uncertain = true;
    return TRUST;
}

enum reason trust_mark(const struct request *rq, enum reason reason)
{
    return rq->uncertain ? REASON_UNCERTAIN : reason;
}
