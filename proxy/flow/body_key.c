/*
 * Requests whose body is part of the key (`method_body on`): the body is read whole, within
 * `max_key_body`, before anything is looked up, and then goes upstream together with the head.
 * Such a POST is a read, unless its body is a GraphQL operation that writes, or could: that is
 * passed and invalidates like any write. What is too large to be looked at is treated so too.
 */
#include <string.h>

#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "http/graphql.h"
#include "http/media_type.h"

/* Around the cache. A read must not invalidate: `unsafe` says whether it may be a write. */
static enum step_result pass(struct request *rq, enum reason reason, bool unsafe)
{
    rq->unsafe = unsafe;
    request_decide(rq, CACHE_BYPASS, reason);
    rq->step = STEP_PASS;
    return STEP_MORE;
}

bool body_key_wanted(const struct request *rq)
{
    return rq->route->method_body && rq->msg.method != METHOD_GET &&
           rq->msg.method != METHOD_HEAD;
}

/* ---- reading ---------------------------------------------------------------------------- */

static bool too_large(const struct request *rq, uint64_t bytes)
{
    return bytes > (uint64_t)rq->route->max_key_body;
}

/* The steps go on from the end of the loop's turn: the caller is in the client's input. */
static void arrived(struct request *rq)
{
    client_want_body(rq->client, false);
    rq->run_due = true;
    loop_defer(rq->worker->loop, &rq->deferred);
}

void body_key_add(struct request *rq, struct str piece)
{
    strbuf_add_str(&rq->body_text, piece);
}

void body_key_paused(struct request *rq)
{
    if (too_large(rq, rq->body_text.n)) {
        arrived(rq);
    }
}

void body_key_ended(struct request *rq)
{
    arrived(rq);
}

static enum step_result start_reading(struct request *rq)
{
    if (rq->msg.expect_continue && rq->client->in.n == 0) {
        rq->continued = true;
        reply_continue(rq);
    }
    client_want_body(rq->client, true);
    return STEP_WAIT;
}

/* ---- judging ---------------------------------------------------------------------------- */

static bool names_method(struct str form)
{
    static const char name[] = "_method";
    return form.n > 0 && memmem(form.p, form.n, name, sizeof(name) - 1) != NULL;
}

/* A POST that asks to be taken for another method (hardening K9). */
static bool is_overridden(const struct request *rq)
{
    static const struct str names[] = {
        {"X-HTTP-Method-Override", 22}, {"X-HTTP-Method", 13}, {"X-Method-Override", 17}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (msg_get_name(&rq->msg, names[i]).p != NULL) {
            return true;
        }
    }
    struct str type = media_type_essence(msg_get(&rq->msg, FIELD_CONTENT_TYPE));
    bool form = str_ieq(type, STR("application/x-www-form-urlencoded")) ||
                str_ieq(type, STR("multipart/form-data"));
    return names_method(rq->target.query) || (form && names_method(strbuf_str(&rq->body_text)));
}

static enum graphql_kind classify(const struct request *rq)
{
    const struct msg *m = &rq->msg;
    struct str coding = msg_get(m, FIELD_CONTENT_ENCODING);
    if (coding.n > 0 && !str_ieq(coding, STR("identity"))) {
        return GRAPHQL_UNKNOWN; /* nobody knows what is in it */
    }
    return graphql_request(msg_get(m, FIELD_CONTENT_TYPE), strbuf_str(&rq->body_text));
}

/* The whole body is here: it goes upstream in one piece, whatever its framing was. */
static void take_whole(struct request *rq)
{
    if (rq->msg.framing == FRAMING_CHUNKED) {
        rq->msg.framing = FRAMING_LENGTH;
        rq->msg.content_length = rq->body_text.n;
    }
}

static enum step_result judge(struct request *rq)
{
    take_whole(rq);
    if (is_overridden(rq)) {
        return pass(rq, REASON_METHOD, true);
    }
    switch (classify(rq)) {
    case GRAPHQL_MUTATION: return pass(rq, REASON_MUTATION, true);
    case GRAPHQL_UNKNOWN: return pass(rq, REASON_GRAPHQL, true);
    case GRAPHQL_SUBSCRIPTION: return pass(rq, REASON_SUBSCRIPTION, false);
    case GRAPHQL_NONE:
    case GRAPHQL_QUERY: break;
    }
    rq->unsafe = false;
    rq->body_keyed = true;
    rq->body_hash = key_body(&rq->msg, strbuf_str(&rq->body_text), &rq->arena);
    rq->step = STEP_KEY;
    return STEP_MORE;
}

enum step_result step_body(struct request *rq)
{
    bool announced = rq->msg.framing == FRAMING_LENGTH && too_large(rq, rq->msg.content_length);
    if (announced || too_large(rq, rq->body_text.n)) {
        if (rq->body_done) {
            take_whole(rq);
        }
        return pass(rq, REASON_BODY, true);
    }
    return rq->body_done ? judge(rq) : start_reading(rq);
}
