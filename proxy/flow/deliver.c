/*
 * The reader's side of a flight: sends what has come as fast as the client takes it. Leader and
 * followers are readers alike; they differ only in what they do when the flight comes to
 * nothing.
 */
#include "flow/flight.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"

#define HOPS_MAX  4 /* flights left for another one before the request goes alone */
#define JOINS_MAX 2 /* flights that may fail before their follower answers with the error */

void deliver_wake(struct flight_reader *r)
{
    deliver_pump(container_of(r, struct request, reader));
}

static void stop_reading(struct request *rq)
{
    deadline_cancel(&rq->wait);
    flight_leave(&rq->reader);
}

/* Goes to the origin alone, without waiting for anybody again. */
static void go_alone(struct request *rq, enum reason reason)
{
    stop_reading(rq);
    rq->collapsed = false;
    request_decide(rq, CACHE_MISS, reason);
    rq->step = STEP_PASS;
    request_run(rq);
}

/* The fetch failed. Before the first byte a follower may succeed the leader once; the leader,
 * and a follower for the second time, answers with the error. */
static void fetch_failed(struct request *rq, enum fetch_error e)
{
    enum reason reason;
    int status = exchange_error_status(e, &reason);
    bool again = rq->collapsed && rq->joins < JOINS_MAX && rq->status == 0;
    stop_reading(rq);
    if (rq->status == 0 && fill_serve_stale_error(rq)) {
        return;
    }
    if (again) {
        rq->step = STEP_JOIN;
        rq->collapsed = false;
        request_run(rq);
        return;
    }
    if (rq->status != 0) {
        request_decide(rq, rq->result, reason);
        request_finish(rq, true);
        return;
    }
    reply_problem(rq, status, reason, "the upstream did not answer properly");
    request_finish(rq, false);
}

/* Others would wait for this client for ever: its answer is cut short, and when it asks again
 * the mark of what outgrew lets it have a fetch of its own. */
static void left_behind(struct request *rq)
{
    if (rq->status == 0 && rq->lead == NULL) {
        go_alone(rq, REASON_TOO_SLOW);
        return;
    }
    stop_reading(rq);
    request_decide(rq, rq->result, REASON_TOO_SLOW);
    request_finish(rq, true);
}

/* Was the answer chosen for a request like this one? A follower joined before that was known.
 * Leaves the request under the name of its own variant. */
static bool variant_fits(struct request *rq)
{
    const struct flight_head *h = &rq->reader.flight->head;
    struct vary_spec spec;
    if (!rq->collapsed || h->vary.n == 0) {
        return true;
    }
    rq->vary_names = arena_dup(&rq->arena, h->vary);
    if (!vary_parse_list(rq->vary_names, &rq->arena, &spec)) {
        return false;
    }
    lookup_select_variant(rq, &spec, &rq->msg);
    return str_eq(rq->name, h->variant);
}

/* What is wanted may be stored or under way by now: its own variant, by the name that
 * variant_fits() gave, or a successor. Never by the base name again, because the marker there
 * may be gone while the flight is not; and not for ever, because an origin may change its Vary
 * with each answer. */
static void look_elsewhere(struct request *rq, enum reason reason)
{
    if (++rq->hops > HOPS_MAX) {
        go_alone(rq, reason);
        return;
    }
    stop_reading(rq);
    if (rq->stale != NULL) {
        entry_unref(rq->stale);
        rq->stale = NULL;
        rq->stale_ok = false;
    }
    rq->collapsed = false;
    rq->joins = 0;
    rq->step = STEP_LOOKUP;
    request_run(rq);
}

/* Sends pieces until the client is full or there are no more; true when the body, or the part
 * of it that is wanted, is at its end. */
static bool send_pieces(struct request *rq, struct flight_view *view)
{
    for (;;) {
        if (view->chunk == NULL) {
            return view->state == FLIGHT_DONE || range_sent(rq);
        }
        if (rq->client == NULL || reply_full(rq) || range_sent(rq)) {
            chunk_unref(view->chunk);
            return range_sent(rq);
        }
        size_t n = view->piece.n;
        struct str piece = rq->part != NULL ? range_clip(rq, view->piece) : view->piece;
        reply_piece_ref(rq, piece, chunk_unref, view->chunk);
        flight_advance(&rq->reader, n);
        flight_look(&rq->reader, view);
    }
}

static void send_whole(struct request *rq, struct entry *e, enum flight_outcome outcome)
{
    entry_ref(e);
    stop_reading(rq);
    if (outcome == FLIGHT_REVALIDATED) {
        request_decide(rq, CACHE_REVALIDATED, REASON_REVALIDATED);
    }
    reply_entry(rq, e);
    request_finish(rq, false);
}

/* Goes on with a reader that cannot be sent the pieces. */
static void go_other_way(struct request *rq, enum range_way way)
{
    if (way == RANGE_WAY_ANSWERED) {
        stop_reading(rq);
        request_finish(rq, false);
    } else if (way == RANGE_WAY_PASS) {
        stop_reading(rq);
        range_pass(rq);
    }
}

/* Begins the answer that the flight has for the request; true when its pieces are to be sent.
 */
static bool begin_answer(struct request *rq, const struct flight_view *view)
{
    deadline_cancel(&rq->wait);
    bool fits = variant_fits(rq);
    enum range_way way = RANGE_WAY_WHOLE;
    if (fits && view->entry == NULL) {
        way = deliver_range(rq, view);
        if (way == RANGE_WAY_WHOLE) {
            reply_stored_head(rq, &rq->reader.flight->head);
        }
        if (way == RANGE_WAY_WHOLE || way == RANGE_WAY_PART) {
            return true;
        }
    }
    if (view->chunk != NULL) {
        chunk_unref(view->chunk);
    }
    if (!fits) {
        look_elsewhere(rq, REASON_VARY);
    } else if (view->entry != NULL) {
        send_whole(rq, view->entry, (enum flight_outcome)view->error);
    } else {
        go_other_way(rq, way);
    }
    return false;
}

void deliver_pump(struct request *rq)
{
    struct flight_view view;
    if (rq->client == NULL) {
        return;
    }
    flight_look(&rq->reader, &view);
    if (view.state == FLIGHT_WAITING) {
        return;
    }
    if (view.state == FLIGHT_OVERTAKEN) {
        look_elsewhere(rq, REASON_INVALIDATED);
        return;
    }
    if (view.state == FLIGHT_MOVED) {
        look_elsewhere(rq, REASON_MISS);
        return;
    }
    if (view.state == FLIGHT_LEFT_BEHIND) {
        left_behind(rq);
        return;
    }
    if (view.state == FLIGHT_FAILED || view.state == FLIGHT_UNSHARED) {
        if (view.chunk != NULL) {
            chunk_unref(view.chunk);
        }
        if (view.state == FLIGHT_FAILED) {
            fetch_failed(rq, (enum fetch_error)view.error);
        } else {
            go_alone(rq, REASON_HIT_FOR_MISS);
        }
        return;
    }
    if (rq->status == 0 && !begin_answer(rq, &view)) {
        return;
    }
    if (send_pieces(rq, &view)) {
        stop_reading(rq);
        reply_end(rq);
        request_finish(rq, false);
        return;
    }
    reply_flush(rq);
}
