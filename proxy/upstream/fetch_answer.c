/*
 * What the upstream answers: heads behind the guard, strict framing, interim answers, 101.
 */
#include "upstream/fetch.h"

#include <string.h>

#include "base/log.h"
#include "http/h1.h"
#include "upstream/fetch_state.h"

#define INTERIM_MAX 10 /* 1xx answers before the origin counts as broken */

/* The message is complete; `surplus`: bytes follow that nobody asked for. */
static void answer_done(struct fetch *f, bool surplus)
{
    bool written = f->body_ended && f->uc->stream.pending == 0;
    bool clean = !surplus && written && f->msg.keep_alive;
    f->surplus = surplus;
    fetch_release_conn(f, clean);
    fetch_finish(f, FETCH_OK);
}

static void bad_answer(struct fetch *f, const char *why)
{
    static struct log_limit limit;
    if (log_allowed(&limit)) {
        log_warn("upstream %.*s: bad answer: %s", STR_ARG(f->server->settings->url), why);
    }
    fetch_attempt_failed(f, FETCH_BAD);
}

static void body_input(struct fetch *f, struct str in)
{
    for (;;) {
        size_t used;
        struct str piece;
        enum body_result r = body_next_run(&f->body, in, &used, &piece);
        in = str_skip(in, used);
        if (r == BODY_DATA) {
            f->ops->data(f, piece);
            if (f->state != STATE_BODY) {
                return;
            }
            continue;
        }
        if (r == BODY_DONE) {
            answer_done(f, in.n > 0);
        } else if (r == BODY_ERROR) {
            bad_answer(f, "malformed chunks");
        } else if (!f->paused) {
            deadline_set(f->loop, &f->phase, f->request.timeout.idle);
        }
        return;
    }
}

/* 101 (RFC 9110 7.8): only if it was asked for; the connection changes hands. */
static void switch_protocols(struct fetch *f, struct str rest)
{
    if (!f->request.upgrade || !f->msg.upgrade) {
        bad_answer(f, "101 to a request that did not ask for it");
        return;
    }
    f->early = arena_dup(&f->arena, rest);
    f->state = STATE_ENDED;
    deadline_cancel(&f->phase);
    deadline_cancel(&f->total);
    fetch_note_success(f);
    f->ops->upgraded(f, &f->msg);
}

/* A complete head at the start of `in`. Returns what follows it; ends the exchange if it is
 * bad. */
static struct str head_input(struct fetch *f, struct str in, size_t head_len)
{
    struct str rest = str_skip(in, head_len);
    struct str head = arena_dup(&f->arena, str_make(in.p, head_len));
    struct h1_verdict v = h1_parse_response(head, f->request.method, &f->arena, &f->msg);
    f->guard = (struct guard){0};
    if (v.status != 0) {
        bad_answer(f, v.why);
        return STR_NULL;
    }
    if (f->msg.status == 101) {
        switch_protocols(f, rest);
        return STR_NULL;
    }
    if (f->msg.status < 200) {
        if (++f->interims > INTERIM_MAX) {
            bad_answer(f, "too many interim answers");
        } else if (f->msg.status != 100 && f->ops->interim != NULL) {
            f->ops->interim(f, &f->msg);
        }
        return rest;
    }
    f->state = STATE_BODY;
    body_start(&f->body, &f->msg);
    fetch_note_success(f);
    f->ops->head(f, &f->msg);
    return rest;
}

/* Keeps an incomplete head for the next read. */
static void keep_input(struct fetch *f, struct str in)
{
    if (in.p == f->in.p) {
        return;
    }
    if (f->in.n > 0 && in.p > f->in.p && in.p < f->in.p + f->in.n) {
        strbuf_consume(&f->in, (size_t)(in.p - f->in.p));
        return;
    }
    f->in.n = 0;
    strbuf_add_str(&f->in, in);
}

static void answer_input(struct fetch *f, struct str in)
{
    const struct guard_limits limits = {f->request.head_limit, f->request.line_limit,
                                        f->request.line_limit, f->request.count_limit};
    if (f->in.n > 0) {
        strbuf_add_str(&f->in, in);
        in = strbuf_str(&f->in);
    }
    while (f->state == STATE_AWAITING && in.n > 0) {
        size_t head_len = 0;
        int status;
        const char *why = NULL;
        switch (guard_scan(&f->guard, in, &limits, true, &head_len, &status, &why)) {
        case GUARD_MORE: keep_input(f, in); return;
        case GUARD_REFUSE: bad_answer(f, why); return;
        case GUARD_DONE: in = head_input(f, in, head_len); break;
        }
    }
    if (f->state == STATE_BODY) {
        body_input(f, in);
    }
    f->in.n = 0;
}

void fetch_on_readable(struct stream *s)
{
    struct fetch *f = fetch_of(s);
    size_t n = 0;
    switch (stream_read(s, f->loop->scratch, LOOP_SCRATCH_SIZE, &n)) {
    case IO_AGAIN:
    case IO_ERROR: return; /* `failed` follows an error */
    case IO_EOF:
        stream_want_read(s, false);
        if (f->state == STATE_BODY && body_complete_at_eof(&f->body)) {
            f->msg.keep_alive = false;
            answer_done(f, false);
        } else {
            fetch_attempt_failed(f, FETCH_RESET);
        }
        return;
    case IO_OK: break;
    }
    f->got_byte = true;
    answer_input(f, str_make(f->loop->scratch, n));
}

void fetch_pause(struct fetch *f)
{
    if (f->state == STATE_BODY && !f->paused) {
        f->paused = true;
        deadline_cancel(&f->phase);
        stream_want_read(&f->uc->stream, false);
    }
}

void fetch_resume(struct fetch *f)
{
    if (f->paused && f->state == STATE_BODY) {
        f->paused = false;
        deadline_set(f->loop, &f->phase, f->request.timeout.idle);
        stream_want_read(&f->uc->stream, true);
    }
}
