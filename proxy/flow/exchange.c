/*
 * A request's own exchange with its upstream: what is not cached, writes, upgrades, and fills
 * whose answer turned out not storable. Bytes stream both ways with back-pressure; nothing is
 * kept.
 */
#include "base/addr.h"
#include "cache/journal_link.h"
#include "flow/forward.h"
#include "flow/intent.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/request_stats.h"
#include "flow/steps.h"
#include "flow/tunnel.h"
#include "flow/websocket.h"
#include "upstream/fetch.h"

static void on_writable(struct fetch *f);
static void on_interim(struct fetch *f, const struct msg *m);
static void on_head(struct fetch *f, const struct msg *m);
static void on_data(struct fetch *f, struct str piece);
static void on_done(struct fetch *f);
static void on_failed(struct fetch *f, enum fetch_error e);
static void on_upgraded(struct fetch *f, const struct msg *m);

static const struct fetch_ops pass_ops = {
    .writable = on_writable,
    .interim = on_interim,
    .head = on_head,
    .data = on_data,
    .done = on_done,
    .failed = on_failed,
    .upgraded = on_upgraded,
};

void exchange_fetch(struct request *rq, struct str head, enum framing body,
                    const struct fetch_ops *ops)
{
    const struct limit_settings *l = &config_settings(rq->config)->limits;
    struct origins *origins = rq->config->runtime->origins;
    const struct fetch_request request = {
        .method = rq->msg.method,
        .head = head,
        .body = body,
        .repeatable = rq->body_keyed,
        .upgrade = rq->upgrade,
        .timeout = rq->route->timeout,
        .retries = rq->route->retry,
        .head_limit = l->header_bytes,
        .count_limit = l->header_count,
        .line_limit = l->header_line,
    };
    request_stats_start(rq);
    rq->fetch_start_us = request_clock_us();
    request_stats_asked(rq);
    rq->fetch = fetch_new(rq->worker->pool, origins, origins_get(origins, rq->up->index),
                          &request, ops, rq);
    fetch_start(rq->fetch);
}

/* Time and server of the exchange, while the fetch is still there. */
void exchange_note_end(struct request *rq)
{
    const struct origin_server *server = fetch_server(rq->fetch);
    rq->upstream_us = request_clock_us() - rq->fetch_start_us;
    if (server != NULL) {
        rq->upstream = server->settings->url;
    }
    request_stats_exchanged(rq);
}

static void drop_fetch(struct request *rq)
{
    exchange_note_end(rq);
    fetch_free(rq->fetch);
    rq->fetch = NULL;
}

enum step_result step_pass(struct request *rq)
{
    enum framing body = rq->body_done ? FRAMING_NONE : rq->msg.framing;
    if (rq->unsafe && !rq->announced) {
        invalidate_prepare(rq);
        if (intent_begin(rq)) {
            return STEP_WAIT;
        }
    }
    /* After an upgrade that was not granted the peer may have sent anything (RFC 9931). */
    rq->close = rq->close || rq->upgrade;
    enum forward_mode mode = learn_begin(rq) ? FORWARD_FILL : FORWARD_PASS;
    exchange_fetch(rq, forward_head(rq, mode), body, &pass_ops);
    return STEP_WAIT;
}

void exchange_adopt(struct request *rq, struct fetch *f, const struct msg *m)
{
    rq->fetch = f;
    fetch_set_owner(f, &pass_ops, rq);
    on_head(f, m);
}

/* ---- the request's body ----------------------------------------------------------------- */

/* What was read of the body before the exchange began. */
static void send_start(struct request *rq, struct fetch *f)
{
    fetch_send(f, strbuf_str(&rq->body_text));
    strbuf_free(&rq->body_text);
}

static void on_writable(struct fetch *f)
{
    struct request *rq = fetch_owner(f);
    if (rq->body_text.n > 0) {
        send_start(rq, f);
        if (fetch_body_full(f)) {
            return;
        }
    }
    if (rq->body_done) {
        fetch_send_end(f);
        return;
    }
    if (rq->client == NULL) {
        return;
    }
    bool asked = rq->msg.expect_continue && !rq->continued && rq->body_bytes == 0;
    if (asked && rq->status != 0) {
        return; /* answered already: a body may not come at all (RFC 9110 10.1.1) */
    }
    if (asked && rq->client->in.n == 0) {
        rq->continued = true;
        reply_continue(rq);
    }
    client_want_body(rq->client, true);
}

/* ---- the answer ------------------------------------------------------------------------- */

static void on_interim(struct fetch *f, const struct msg *m)
{
    reply_interim(fetch_owner(f), m);
}

static bool is_event_stream(const struct msg *m)
{
    struct str type = msg_get(m, FIELD_CONTENT_TYPE);
    return str_ieq(str_trim(str_make(type.p, str_index(type, ';'))), STR("text/event-stream"));
}

/* The answer's head goes to the client, who is there. */
static void send_head(struct request *rq, const struct msg *m)
{
    if (is_event_stream(m)) {
        rq->reason = REASON_STREAM;
        rq->reason_text = reason_word(REASON_STREAM);
    }
    /* An early answer: the body goes on as long as the backend takes it, which may be for the
     * whole of the answer, but what it leaves is not read. */
    rq->close = rq->close || !rq->body_done;
    reply_head(rq, m);
    if (rq->client != NULL && rq->client->input_ended && rq->reason == REASON_STREAM) {
        client_close(rq->client, false);
    }
}

static void on_head(struct fetch *f, const struct msg *m)
{
    struct request *rq = fetch_owner(f);
    learn_head(rq, m);
    if (rq->client == NULL) {
        /* A write whose client left: its outcome was all that was waited for. */
        drop_fetch(rq);
        request_release(rq);
        return;
    }
    if (rq->append != NULL) {
        rq->held = true;
        fetch_pause(f);
        return;
    }
    send_head(rq, m);
}

static void on_data(struct fetch *f, struct str piece)
{
    struct request *rq = fetch_owner(f);
    learn_data(rq, piece);
    if (rq->held) {
        strbuf_add_str(&rq->held_body, piece); /* what one read held; it is paused now */
        return;
    }
    reply_piece(rq, piece);
    if (reply_full(rq)) {
        fetch_pause(f);
    }
}

static void on_done(struct fetch *f)
{
    struct request *rq = fetch_owner(f);
    (void)f;
    learn_done(rq);
    if (rq->held) {
        rq->held_done = true;
        return;
    }
    drop_fetch(rq);
    reply_end(rq);
    request_finish(rq, false);
}

static void send_error(struct request *rq, enum fetch_error e)
{
    enum reason reason;
    int status = exchange_error_status(e, &reason);
    rq->close = rq->close || !rq->body_done;
    reply_problem(rq, status, reason, "the upstream did not answer properly");
    request_finish(rq, false);
}

void exchange_release_held(struct request *rq)
{
    if (!rq->held) {
        return;
    }
    rq->held = false;
    if (rq->held_error != FETCH_OK) {
        send_error(rq, rq->held_error);
        return;
    }
    struct fetch *f = rq->fetch;
    send_head(rq, fetch_msg(f));
    if (rq->client == NULL || rq->fetch != f) {
        return; /* it left while the head was sent */
    }
    if (rq->held_body.n > 0) {
        reply_piece(rq, strbuf_str(&rq->held_body));
        strbuf_free(&rq->held_body);
    }
    if (rq->held_done) {
        on_done(f);
    } else {
        fetch_resume(f);
    }
}

int exchange_error_status(enum fetch_error e, enum reason *reason)
{
    switch (e) {
    case FETCH_NO_SERVER: *reason = REASON_NO_UPSTREAM; return 503;
    case FETCH_CONNECT: *reason = REASON_CONNECT; return 502;
    case FETCH_TIMEOUT: *reason = REASON_TIMEOUT; return 504;
    case FETCH_BAD: *reason = REASON_BAD_ANSWER; return 502;
    case FETCH_OK:
    case FETCH_RESET: break;
    }
    *reason = REASON_RESET;
    return 502;
}

/* No answer is waited for any more. */
static void forget_append(struct request *rq)
{
    if (rq->append != NULL) {
        journal_append_cancel(rq->append);
        rq->append = NULL;
    }
    rq->held = false;
    strbuf_free(&rq->held_body);
}

static void on_failed(struct fetch *f, enum fetch_error e)
{
    struct request *rq = fetch_owner(f);
    enum reason reason;
    bool cut = rq->status != 0 || rq->held; /* the client has, or would have had, a part */
    request_stats_failed(rq, e);
    if (fetch_sent_any(f)) {
        (void)invalidate_after_write(rq, NULL);
    }
    drop_fetch(rq);
    if (rq->client == NULL) {
        forget_append(rq);
        request_release(rq);
        return;
    }
    if (cut) {
        (void)exchange_error_status(e, &reason);
        forget_append(rq);
        request_decide(rq, rq->result, reason);
        request_finish(rq, true);
        return;
    }
    if (rq->append != NULL) {
        rq->held = true;
        rq->held_error = e;
        return;
    }
    send_error(rq, e);
}

void exchange_writable(struct request *rq)
{
    if (rq->fetch != NULL) {
        fetch_resume(rq->fetch);
    }
}

void exchange_client_gone(struct request *rq)
{
    forget_append(rq);
    if (rq->fetch == NULL) {
        return;
    }
    bool pending = rq->unsafe && !rq->invalidated && fetch_sent_any(rq->fetch);
    if (pending && rq->body_done) {
        fetch_resume(rq->fetch);
        return; /* the write has been handed over: its outcome still counts */
    }
    if (pending) {
        (void)invalidate_after_write(rq, NULL);
    }
    drop_fetch(rq);
}

/* ---- upgrades --------------------------------------------------------------------------- */

static void on_upgraded(struct fetch *f, const struct msg *m)
{
    struct request *rq = fetch_owner(f);
    struct str early;
    struct client *c = rq->client;
    struct upconn *uc = fetch_take(f, &early);
    if (c == NULL || !websocket_agreed(&rq->msg, m)) {
        upconn_close(uc, false);
        drop_fetch(rq);
        if (c == NULL) {
            request_release(rq);
            return;
        }
        reply_problem(rq, 502, REASON_BAD_ANSWER, "the upstream did not answer properly");
        request_finish(rq, false);
        return;
    }
    reply_switching(rq, m);
    msec_t idle = config_settings(rq->config)->limits.tunnel_timeout;
    tunnel_start(c, uc, early, idle);
    drop_fetch(rq);
    request_detach(rq);
}
