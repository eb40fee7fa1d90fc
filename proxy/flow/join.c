/*
 * Who fetches: a request that found nothing usable joins the flight for its name, or leads a
 * new one (design section 7). Where the last answer could not be stored it waits for nobody.
 */
#include "flow/flight.h"
#include "flow/node.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"

#define WAIT_SLACK_MS 2000 /* between two attempts of a fetch, and for mail */

/* The leader's own deadlines come first: if all who wait gave up when it does, they would fall
 * upon an origin that hangs. */
msec_t join_patience(const struct route_settings *route)
{
    const struct timeout_settings *t = &route->timeout;
    if (t->connect < 0 || t->first_byte < 0) {
        return t->total < 0 ? -1 : t->total + WAIT_SLACK_MS;
    }
    return (t->connect + t->first_byte + WAIT_SLACK_MS) * (1 + (msec_t)route->retry);
}

static void on_wait_end(struct deadline *d)
{
    struct request *rq = container_of(d, struct request, wait);
    if (rq->status != 0 || rq->lead != NULL) {
        return;
    }
    msec_t left =
        flight_time_left(rq->reader.flight, join_patience(rq->route), rq->worker->loop->now);
    if (left > 0) { /* the fetch began later than this wait */
        deadline_set(rq->worker->loop, &rq->wait, left);
        return;
    }
    flight_leave(&rq->reader);
    request_decide(rq, CACHE_MISS, REASON_LOCK_TIMEOUT);
    rq->collapsed = false;
    rq->step = STEP_PASS;
    request_run(rq);
}

struct flight_key join_key(const struct request *rq)
{
    return (struct flight_key){.hash = rq->hash,
                               .name = rq->name,
                               .host = rq->site_key,
                               .scope = lookup_scope(rq),
                               .type = rq->route->type,
                               .route = rq->route->name};
}

/* Between the look-up and the join a flight may have ended and left its answer. Then the new
 * one ends with it at once, for all who have joined meanwhile; the leader's reference to the
 * entry, or NULL. */
static struct entry *stored_meanwhile(struct request *rq)
{
    struct entry *e = lookup_fresh(rq);
    if (e != NULL) {
        flight_leave(&rq->reader);
        flight_end(rq->lead, FLIGHT_DONE, e, FLIGHT_FILLED);
        flight_unref(rq->lead);
        rq->lead = NULL;
    }
    return e;
}

enum step_result step_join(struct request *rq)
{
    struct node *node = rq->worker->node;
    struct loop *loop = rq->worker->loop;
    const struct flight_key key = join_key(rq);
    bool leader = true;
    if (rq->joins == JOIN_ALONE) {
        struct flight *f = flight_new_alone(node->journal, &key, loop);
        flight_read(f, &rq->reader, loop, deliver_wake);
        rq->lead = f;
    } else {
        rq->joins++;
        struct flight *f = flight_join(node->flights, node->journal, &key, &rq->reader, loop,
                                       deliver_wake, &leader);
        rq->lead = leader ? f : NULL;
        struct entry *e = leader ? stored_meanwhile(rq) : NULL;
        if (e != NULL) {
            request_decide(rq, CACHE_HIT, trust_mark(rq, REASON_NONE));
            reply_entry(rq, e);
            return STEP_DONE;
        }
    }
    if (leader) {
        lease_path_start(rq);
    } else {
        rq->collapsed = true;
        if (!trust_certain(rq)) { /* the fetch may have begun long ago */
            request_decide(rq, CACHE_MISS, REASON_UNCERTAIN);
        }
        deadline_init(&rq->wait, on_wait_end);
        deadline_set(loop, &rq->wait, join_patience(rq->route));
        deliver_pump(rq);
    }
    return STEP_WAIT;
}

bool join_refresh(struct request *rq, bool though_fresh)
{
    struct node *node = rq->worker->node;
    const struct flight_key key = join_key(rq);
    bool leader = false;
    struct flight *f = flight_join(node->flights, node->journal, &key, &rq->reader,
                                   rq->worker->loop, deliver_wake, &leader);
    flight_leave(&rq->reader);
    if (!leader) {
        return false;
    }
    rq->lead = f;
    struct entry *e = though_fresh ? NULL : stored_meanwhile(rq);
    if (e != NULL) {
        entry_unref(e);
        return false;
    }
    rq->background = true;
    rq->seen_known = false;
    lease_path_start(rq);
    return true;
}
