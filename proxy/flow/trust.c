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

/* Is the node within the time for which it may go on serving? */
static bool may_serve_on(struct redis_tier *redis)
{
    const struct redis_settings *rs = redis_tier_settings(redis);
    struct journal_link_stats ls;
    journal_link_stats_get(redis_tier_link(redis), &ls);
    return ls.lag >= 0 && ls.lag <= rs->max_lag + rs->uncertain_serve;
}

enum trust trust_in(struct request *rq, const struct entry *e)
{
    if (trust_certain(rq)) {
        return TRUST;
    }
    struct redis_tier *redis = rq->worker->node->redis;
    const struct redis_settings *rs = redis_tier_settings(redis);
    bool usable = false;
    switch (rs->uncertain) {
    case UNCERTAIN_BYPASS: return TRUST_BYPASS;
    case UNCERTAIN_SERVE: usable = may_serve_on(redis); break;
    case UNCERTAIN_REVALIDATE:
        /* One success counts for max_lag. */
        usable = rq->worker->loop->wall - e->stored_at <= rs->max_lag;
        break;
    }
    rq->uncertain = rq->uncertain || usable;
    return usable ? TRUST : TRUST_VALIDATE;
}

enum reason trust_mark(const struct request *rq, enum reason reason)
{
    return rq->uncertain ? REASON_UNCERTAIN : reason;
}
