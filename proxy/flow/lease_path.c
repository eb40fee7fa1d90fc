/*
 * What a leader does before it fetches when other nodes share the Redis: one of all nodes
 * fetches (cache/lease), the others wait here, with their followers, and end their flight with
 * what they then find in Redis. Only misses and refreshes come this way, and only while another
 * node is there; whatever goes wrong, the fetch begins.
 *
 *   start -> look (unless that was done) -> seek -+- got, none ----------> fill_start()
 *             ^                                   +- not for sharing ----> everybody goes alone
 *             +--- something new is in Redis -----+
 */
#include "cache/l2.h"
#include "cache/lease.h"
#include "flow/flight.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/request.h"
#include "flow/steps.h"

#define LOOKS_MAX 4 /* looks at Redis that find nothing to use, until the fetch begins */

static void on_looked(void *ctx, struct entry *e, enum l2_outcome outcome);
static void on_sought(void *ctx, struct lease *l, enum lease_outcome outcome);

static struct leases *leases_of(const struct request *rq)
{
    struct redis_worker *redis = rq->worker->redis;
    return redis != NULL ? redis_worker_leases(redis) : NULL;
}

/* Is there somebody to share with, and may what he fetched be used? */
bool lease_path_of_use(const struct request *rq)
{
    struct journal_link *link = redis_tier_link(rq->worker->node->redis);
    struct journal_link_stats ls;
    if (leases_of(rq) == NULL || link == NULL || !rq->lookup.lookup ||
        rq->joins == JOIN_ALONE) {
        return false;
    }
    journal_link_stats_get(link, &ls);
    return ls.connected && !ls.alone && trust_certain(rq) && !journal_link_pending(link);
}

/* The flight is over: the leader goes on as one of its readers. */
static void conclude(struct request *rq)
{
    fill_stop_leading(rq);
    if (rq->reader.flight != NULL) {
        deliver_pump(rq);
    } else {
        request_release(rq);
    }
}

static void begin_fill(struct request *rq, const struct stamp *stamp)
{
    struct worker *w = rq->worker;
    if (w->draining && rq->client == NULL) {
        flight_end(rq->lead, FLIGHT_FAILED, NULL, FETCH_RESET);
        conclude(rq);
        return;
    }
    flight_begin(rq->lead, stamp, w->loop->now);
    w->fills--; /* fill_start() counts it again */
    fill_start(rq);
}

static void begin_alone(struct request *rq)
{
    struct stamp now = journal_stamp(rq->worker->node->journal);
    begin_fill(rq, &now);
}

static void look(struct request *rq)
{
    if (rq->looks++ >= LOOKS_MAX || !redis_path_ask(rq, on_looked)) {
        begin_alone(rq);
    }
}

static void seek(struct request *rq)
{
    const struct redis_settings *rs = redis_tier_settings(rq->worker->node->redis);
    const struct flight *f = rq->lead;
    msec_t left = rq->lease_until - rq->worker->loop->now;
    const struct lease_quest quest = {
        .name = f->name,
        .host = f->host,
        .scope = f->scope,
        .type = f->type,
        .route = f->route,
        .seen = str_make(rq->seen, rq->seen_n),
        .budget = rs->budget - rq->redis_spent,
        .patience = rq->lease_until == MSEC_MAX ? -1
                    : left > 0                  ? left
                                                : 0,
    };
    if (lease_seek(leases_of(rq), &quest, on_sought, rq) == NULL) {
        begin_alone(rq);
    }
}

void lease_path_start(struct request *rq)
{
    msec_t patience = join_patience(rq->route);
    rq->worker->fills++;
    if (!lease_path_of_use(rq)) {
        rq->worker->fills--;
        fill_start(rq);
        return;
    }
    flight_hold(rq->lead);
    rq->looks = 0;
    rq->lease_until = patience < 0 ? MSEC_MAX : rq->worker->loop->now + patience;
    if (rq->seen_known) {
        seek(rq);
    } else {
        look(rq);
    }
}

void lease_path_release(struct request *rq, enum lease_end end)
{
    if (rq->lease != NULL) {
        lease_release(rq->lease, end);
        rq->lease = NULL;
    }
}

/* Ends the flight with what another node has stored; true when that will do. Takes over the
 * reference. */
static bool end_with(struct request *rq, struct entry *e)
{
    bool marker = (e->flags & ENTRY_VARY_MARKER) != 0;
    if (!marker && !lookup_is_fresh(rq, e)) {
        entry_unref(e);
        return false;
    }
    if (!marker) {
        variant_note(rq, false);
        rq->collapsed = true;
    }
    flight_end(rq->lead, marker ? FLIGHT_MOVED : FLIGHT_DONE, marker ? NULL : e, FLIGHT_FILLED);
    entry_unref(e);
    conclude(rq);
    return true;
}

static void on_looked(void *ctx, struct entry *e, enum l2_outcome outcome)
{
    struct request *rq = ctx;
    e = redis_path_take_in(rq, e, outcome);
    if (e != NULL && end_with(rq, e)) {
        return;
    }
    if (rq->seen_known) {
        seek(rq);
    } else {
        begin_alone(rq);
    }
}

static void on_sought(void *ctx, struct lease *l, enum lease_outcome outcome)
{
    struct request *rq = ctx;
    rq->redis_spent += lease_spent(l);
    if (outcome == LEASE_GOT) {
        struct stamp stamp = lease_stamp(l);
        rq->lease = l;
        begin_fill(rq, &stamp);
    } else if (outcome == LEASE_LOOK) {
        look(rq);
    } else if (outcome == LEASE_UNSHARED) {
        fill_mark_hit_for_miss(rq);
        flight_end(rq->lead, FLIGHT_UNSHARED, NULL, 0);
        conclude(rq);
    } else {
        begin_alone(rq);
    }
}
