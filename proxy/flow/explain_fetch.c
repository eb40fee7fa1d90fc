/*
 * What a fetch would meet, for explain: one for the same name that is under way on this node,
 * or the lease of another. Only looked at: nothing is joined, taken or waited for.
 */
#include "cache/lease.h"
#include "cache/redis.h"
#include "flow/explain_parts.h"
#include "flow/node.h"
#include "flow/redis_tier.h"

static void on_lease(void *ctx, const struct redis_result *result)
{
    struct explanation *x = ctx;
    x->fetch.lease = SEEN_UNAVAILABLE;
    if (result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_INTEGER) {
        x->fetch.lease = result->reply->integer > 0 ? SEEN_HELD : SEEN_NONE;
        x->fetch.lease_left = result->reply->integer;
    }
    explain_finish(x);
}

/* True: the answer comes later. */
static bool ask_lease(struct explanation *x)
{
    struct request *rq = x->rq;
    struct redis_worker *redis = rq->worker->redis;
    const struct redis_settings *rs = redis_tier_settings(rq->worker->node->redis);
    struct strbuf key = {0};
    lease_key(rs->prefix, rq->name, rq->site_key, lookup_scope(rq), &key);
    const struct segment argv[] = {REDIS_ARG("PTTL"), redis_arg(strbuf_str(&key))};
    const struct redis_call call = {.role = REDIS_LEASE,
                                    .argv = argv,
                                    .argc = 2,
                                    .key = 1,
                                    .timeout = rs->budget,
                                    .done = on_lease,
                                    .ctx = x};
    bool asked = redis_command(redis_worker_redis(redis), &call) != NULL;
    strbuf_free(&key);
    x->fetch.lease = SEEN_UNAVAILABLE;
    return asked;
}

bool explain_fetch_look(struct explanation *x)
{
    struct request *rq = x->rq;
    struct node *node = rq->worker->node;
    const struct flight_key key = join_key(rq);
    if (rq->joins == JOIN_ALONE) {
        return true;
    }
    x->fetch.under_way =
        flight_peek(node->flights, &key, rq->worker->loop->now, &x->fetch.flight);
    if (x->fetch.under_way && x->end == EXPLAIN_FETCH && !trust_certain(rq)) {
        request_decide(rq, CACHE_MISS, REASON_UNCERTAIN); /* it may have begun long ago */
    }
    return x->fetch.under_way || !lease_path_of_use(rq) || !ask_lease(x);
}
