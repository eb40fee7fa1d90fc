/*
 * The request's life: from the client's bytes through its steps to the end of its answer. The
 * first steps are in flow/recv.c.
 */
#include "flow/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/l2.h"
#include "flow/intent.h"
#include "flow/refresh.h"
#include "flow/reply.h"
#include "flow/request_log.h"
#include "flow/request_stats.h"
#include "flow/steps.h"
#include "http/h1.h"

#define FREE_REQUESTS_MAX 256 /* finished requests kept for the next ones, per worker */

static void on_deferred(struct deferred *d);

int64_t request_clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- lifetime --------------------------------------------------------------------------- */

static struct request *request_take(struct worker *w)
{
    struct request *rq = w->free_requests;
    struct strbuf head = {0};
    if (rq != NULL) {
        w->free_requests = rq->next_free;
        w->n_free_requests--;
        head = rq->head;
    } else {
        rq = xmalloc(sizeof(*rq));
    }
    memset(rq, 0, REQUEST_CLEARED);
    rq->head = head;
    rq->head.n = 0;
    rq->worker = w;
    rq->config = worker_config_take(w);
    rq->deferred.fn = on_deferred;
    rq->wall_start = w->loop->wall;
    if (request_stats_timed(w)) {
        rq->start_us = request_clock_us();
    }
    rq->reason_text = STR("-");
    arena_init(&rq->arena, rq->first, sizeof(rq->first));
    return rq;
}

static struct request *request_new(struct worker *w, struct client *c)
{
    struct request *rq = request_take(w);
    rq->client = c;
    addr_restore(&c->peer, &rq->peer);
    rq->tls = c->tls;
    c->request = rq;
    return rq;
}

struct request *request_new_own(struct worker *w, const struct addr *peer, bool tls)
{
    struct request *rq = request_take(w);
    rq->peer = *peer;
    rq->tls = tls;
    return rq;
}

struct request *request_new_explained(struct worker *w, struct explanation *x,
                                      const struct addr *peer, bool tls)
{
    struct request *rq = request_new_own(w, peer, tls);
    rq->explained = x;
    rq->notes = arena_zalloc(&rq->arena, sizeof(*rq->notes));
    return rq;
}

static void request_free(struct request *rq)
{
    struct worker *w = rq->worker;
    if (rq->refreshing != NULL) {
        refresh_run_end(rq);
    }
    learn_end(rq);
    if (rq->intent != 0) {
        intent_end(rq);
    }
    if (rq->stale != NULL) {
        entry_unref(rq->stale);
    }
    strbuf_free(&rq->body_text);
    arena_reset(&rq->arena);
    worker_config_release(rq->config);
    if (w->n_free_requests < FREE_REQUESTS_MAX) {
        rq->next_free = w->free_requests;
        w->free_requests = rq;
        w->n_free_requests++;
    } else {
        strbuf_free(&rq->head);
        free(rq);
    }
    worker_check_drained(w);
}

/* At the end of the turn: steps go on, a held-back head goes out, a flight is looked at, or the
 * end. */
static void on_deferred(struct deferred *d)
{
    struct request *rq = container_of(d, struct request, deferred);
    if (rq->free_due) {
        request_free(rq);
    } else if (rq->run_due) {
        rq->run_due = false;
        request_run(rq);
    } else if (rq->reader.flight != NULL) {
        deliver_pump(rq);
    } else {
        reply_flush(rq);
    }
}

void request_release(struct request *rq)
{
    if (rq->free_due || rq->client != NULL || rq->fetch != NULL || rq->lead != NULL) {
        return;
    }
    flight_leave(&rq->reader);
    rq->free_due = true;
    if (!rq->deferred.queued && rq->worker->loop != NULL) {
        loop_defer(rq->worker->loop, &rq->deferred);
    }
}

/* The request is over for its client: it is counted and logged. */
static void conclude(struct request *rq)
{
    int64_t end_us = rq->start_us != 0 ? request_clock_us() : 0;
    request_stats_end(rq, end_us);
    request_log_end(rq, end_us);
}

void request_finish(struct request *rq, bool abort)
{
    struct client *c = rq->client;
    rq->answered = true;
    deadline_cancel(&rq->wait);
    if (c != NULL) {
        rq->client = NULL;
        conclude(rq);
        flight_leave(&rq->reader);
        if (abort) {
            c->request = NULL;
            client_close(c, true);
        } else {
            client_request_done(c, !rq->close && rq->body_done);
        }
    }
    request_release(rq);
}

void request_detach(struct request *rq)
{
    rq->client = NULL;
    conclude(rq);
    request_release(rq);
}

void request_decide(struct request *rq, enum cache_result result, enum reason reason)
{
    rq->result = result;
    rq->reason = reason;
    rq->reason_text = reason_word(reason);
}

/* ---- the driver ------------------------------------------------------------------------- */

enum step_result request_step(struct request *rq)
{
    static enum step_result (*const steps[STEP_COUNT])(struct request *) = {
#define STEP(id, function) [STEP_##id] = function,
#include "tbl/steps.def"
#undef STEP
    };
    return steps[rq->step](rq);
}

void request_run(struct request *rq)
{
    enum step_result r;
    do {
        r = request_step(rq);
    } while (r == STEP_MORE);
    if (r == STEP_DONE) {
        step_finish(rq);
    }
}

enum step_result step_finish(struct request *rq)
{
    request_finish(rq, false);
    return STEP_WAIT;
}

/* ---- from the client -------------------------------------------------------------------- */

bool request_read_head(struct request *rq, struct str head)
{
    const struct settings *s = config_settings(rq->config);
    struct str copy = arena_dup(&rq->arena, head);
    struct h1_verdict v = h1_parse_request(copy, &rq->arena, s->underscore_headers, &rq->msg);
    rq->close = !rq->msg.keep_alive || rq->worker->draining;
    rq->body_done =
        v.status == 0 && (rq->msg.framing == FRAMING_NONE ||
                          (rq->msg.framing == FRAMING_LENGTH && rq->msg.content_length == 0));
    if (v.status != 0) {
        rq->close = true;
        reply_problem(rq, v.status, REASON_BAD_REQUEST, v.why);
        return false;
    }
    body_start(&rq->body, &rq->msg);
    rq->step = STEP_RECV;
    return true;
}

void request_start(struct client *c, struct str head)
{
    struct request *rq = request_new(c->worker, c);
    if (request_read_head(rq, head)) {
        request_run(rq);
    } else {
        request_finish(rq, false);
    }
}

void request_refuse(struct client *c, int status, const char *why)
{
    assert(c->request == NULL);
    struct request *rq = request_new(c->worker, c);
    c->state = CLIENT_REQUEST;
    rq->close = true;
    reply_problem(rq, status, status == 400 ? REASON_BAD_REQUEST : REASON_LIMIT, why);
    request_finish(rq, false);
}

/* A body that cannot go on: the exchange is given up, the client told if it has no answer yet.
 */
static void refuse_body(struct request *rq, int status, const char *why)
{
    bool answered = rq->head_sent || rq->head.n > 0;
    exchange_client_gone(rq);
    if (rq->client == NULL) {
        return;
    }
    if (answered) {
        request_finish(rq, true);
        return;
    }
    rq->close = true;
    reply_problem(rq, status, status == 400 ? REASON_BAD_REQUEST : REASON_LIMIT, why);
    request_finish(rq, false);
}

size_t request_body_input(struct request *rq, struct str in, bool *done)
{
    size_t total = 0;
    *done = false;
    for (;;) {
        size_t used;
        struct str piece;
        enum body_result r = body_next_run(&rq->body, in, &used, &piece);
        total += used;
        in = str_skip(in, used);
        if (r == BODY_MORE) {
            if (rq->step == STEP_BODY) {
                body_key_paused(rq);
            }
            return total;
        }
        if (r == BODY_DONE) {
            rq->body_done = true;
            *done = true;
            if (rq->step == STEP_BODY) {
                body_key_ended(rq);
            } else if (rq->fetch != NULL) {
                fetch_send_end(rq->fetch);
            }
            return total;
        }
        if (r == BODY_ERROR) {
            refuse_body(rq, 400, "a malformed chunked body");
            return total;
        }
        rq->body_bytes += piece.n;
        if (rq->route->max_body >= 0 && rq->body_bytes > (uint64_t)rq->route->max_body) {
            refuse_body(rq, 413, "the request body is too large");
            return total;
        }
        if (rq->step == STEP_BODY) {
            body_key_add(rq, piece);
        } else if (rq->fetch != NULL) {
            fetch_send(rq->fetch, piece);
            if (fetch_body_full(rq->fetch)) {
                client_want_body(rq->client, false);
                return total;
            }
        }
    }
}

void request_body_timeout(struct request *rq)
{
    refuse_body(rq, 408, "the request body took too long");
}

void request_writable(struct request *rq)
{
    if (rq->reader.flight != NULL) {
        deliver_pump(rq);
    } else {
        exchange_writable(rq);
    }
}

/* An event stream whose reader has ended its side has nobody left to read it; any other answer
 * is finished, because some clients shut their writing half and wait. */
void request_input_ended(struct request *rq)
{
    if (rq->reason == REASON_STREAM && rq->head_sent) {
        client_close(rq->client, false);
    }
}

void request_client_gone(struct request *rq)
{
    rq->client = NULL;
    if (rq->status == 0) {
        rq->status = 499; /* nginx's number for a client that did not wait */
        request_decide(rq, rq->result, REASON_CLIENT_GONE);
    }
    conclude(rq);
    deadline_cancel(&rq->wait);
    if (rq->l2 != NULL && rq->lead == NULL) {
        l2_get_cancel(rq->l2);
        rq->l2 = NULL;
    }
    flight_leave(&rq->reader);
    if (rq->announcing != NULL) {
        intent_end(rq); /* it has not been forwarded */
    }
    if (rq->lead == NULL) {
        exchange_client_gone(rq);
    }
    request_release(rq);
}
