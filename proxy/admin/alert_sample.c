/*
 * Sums over routes and workers, the state of Redis, and what counts as a breaker: those of the
 * roles of Redis, and upstream servers that are marked down, which is the breaker that each
 * backend has.
 */
#include "admin/alert_sample.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/loop.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/stats.h"
#include "upstream/origin.h"

static void take_counts(const struct stats *stats, struct alert_sample *out)
{
    for (uint32_t i = 0; i < stats_labels(stats); i++) {
        out->hits += stats_route_sum(stats, i, STATS_HIT);
        out->misses += stats_route_sum(stats, i, STATS_MISS);
        out->errors += stats_route_sum(stats, i, STATS_ERRORS);
    }
}

/* Counts one breaker and appends its name while there is room. */
static void add_open(struct alert_sample *out, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void add_open(struct alert_sample *out, const char *fmt, ...)
{
    size_t used = strlen(out->detail);
    va_list args;
    if (out->breakers++ > 0 && used + 2 < sizeof(out->detail)) {
        memcpy(out->detail + used, ", ", 3);
        used += 2;
    }
    va_start(args, fmt);
    vsnprintf(out->detail + used, sizeof(out->detail) - used, fmt, args);
    va_end(args);
}

static void take_redis(struct redis_tier *tier, struct alert_sample *out)
{
    const struct journal_link *link = tier != NULL ? redis_tier_link(tier) : NULL;
    struct redis_tier_info info;
    struct journal_link_stats journal;
    if (link == NULL) {
        return;
    }
    redis_tier_info_get(tier, &info);
    journal_link_stats_get(link, &journal);
    out->redis_down = !info.connected;
    out->journal_lag = journal.lag;
    for (int i = 0; i < REDIS_ROLES; i++) {
        if (info.breakers[i].state != REDIS_BREAKER_CLOSED) {
            add_open(out, "%s", info.breakers[i].name);
        }
    }
}

static void take_upstreams(struct origins *all, msec_t now, struct alert_sample *out)
{
    for (size_t i = 0; i < origins_count(all); i++) {
        const struct origin *o = origins_get(all, (unsigned)i);
        for (size_t k = 0; k < o->n_servers; k++) {
            if (!origin_server_up(&o->servers[k], now)) {
                add_open(out, "%.*s %.*s", STR_ARG(o->settings->name),
                         STR_ARG(o->servers[k].settings->url));
            }
        }
    }
}

void alert_sample_take(const struct admin_context *context, struct alert_sample *out)
{
    *out = (struct alert_sample){.journal_lag = -1};
    take_counts(context->node->stats, out);
    take_redis(context->node->redis, out);
    take_upstreams((*context->runtime)->origins, context->loop->now, out);
}
