/*
 * Ranges of answers that are still under way (RFC 9110 section 14). A fill asks for the whole,
 * so whoever wanted a part gets it from there: one part as it passes by when the length is
 * known, anything else once the answer is complete and stored. What cannot be stored is asked
 * for again, with the client's own Range and past the cache: else each part of a large object
 * would cost all of it.
 */
#include "flow/flight.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "http/range.h"

bool range_asks_again(const struct request *rq, const struct msg *answer)
{
    return rq->msg.has_range && rq->msg.method == METHOD_GET && answer->status == 200 &&
           !str_ieq(msg_get(answer, FIELD_ACCEPT_RANGES), STR("none"));
}

void range_pass(struct request *rq)
{
    request_decide(rq, CACHE_PASS, REASON_RANGE);
    rq->collapsed = false;
    rq->step = STEP_PASS;
    request_run(rq);
}

/* The body has outgrown max_object. A leader goes on fetching while others read what it
 * fetches; then it cannot ask for anything else and sends the whole, which is always right
 * (14.2). */
static enum range_way outgrown(struct request *rq)
{
    if (rq->lead == NULL) {
        return RANGE_WAY_PASS;
    }
    if (flight_readers(rq->lead) > 1) {
        return RANGE_WAY_WHOLE;
    }
    flight_leave(&rq->reader);
    flight_end(rq->lead, FLIGHT_FAILED, NULL, FETCH_OK);
    fill_stop_leading(rq);
    fill_drop_fetch(rq);
    return RANGE_WAY_PASS;
}

/* Must the request be judged by the stored answer: by a validator that is not known yet, or
 * with preconditions, which come before the Range (13.2.2)? */
static bool needs_entry(const struct request *rq)
{
    return msg_is_conditional(&rq->msg) ||
           (rq->route->etag && msg_find(&rq->msg, FIELD_IF_RANGE) != NULL);
}

enum range_way deliver_range(struct request *rq, const struct flight_view *view)
{
    const struct flight_head *h = &rq->reader.flight->head;
    bool complete = view->state == FLIGHT_DONE;
    struct range_plan plan;
    if (!rq->msg.has_range || rq->msg.method != METHOD_GET || h->status != 200) {
        return RANGE_WAY_WHOLE;
    }
    if (view->outgrown) {
        return outgrown(rq);
    }
    if (!complete && (h->length < 0 || needs_entry(rq))) {
        return RANGE_WAY_WAIT;
    }
    uint64_t length = complete ? view->length : (uint64_t)h->length;
    reply_plan_range(rq, length, h->etag, h->last_modified, h->date, &plan);
    if (plan.verdict == RANGE_IGNORE) {
        return RANGE_WAY_WHOLE;
    }
    if (plan.verdict == RANGE_UNSATISFIABLE) {
        reply_unsatisfiable(rq, length);
        return RANGE_WAY_ANSWERED;
    }
    if (plan.n > 1) {
        return complete ? RANGE_WAY_PASS : RANGE_WAY_WAIT;
    }
    struct byte_range *part = arena_alloc(&rq->arena, sizeof(*part));
    *part = plan.list[0];
    rq->part = part;
    reply_part_head(rq, h, part, length);
    return RANGE_WAY_PART;
}

struct str range_clip(const struct request *rq, struct str piece)
{
    uint64_t at = rq->reader.offset;
    uint64_t end = at + piece.n;
    uint64_t from = rq->part->first > at ? rq->part->first : at;
    uint64_t to = rq->part->last + 1 < end ? rq->part->last + 1 : end;
    return from < to ? str_make(piece.p + (from - at), (size_t)(to - from)) : STR_NULL;
}

bool range_sent(const struct request *rq)
{
    return rq->part != NULL && rq->reader.offset > rq->part->last;
}
