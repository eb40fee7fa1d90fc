/*
 * Input of clients: heads are found, bodies fed to the active request. Input is read into the
 * loop's scratch buffer and consumed from there; only what cannot be used yet is kept, so an
 * ordinary request needs no buffer of its own and an idle connection holds none.
 */
#include "flow/client_parts.h"

#include "flow/request.h"

#define INPUT_MAX         (64u * 1024u) /* input kept while it cannot be looked at */
#define REQUESTS_PER_TURN 64            /* pipelined requests before others get their turn */

/* Keeps the unused rest of `in` in c->in. `in` is either the end of c->in or foreign bytes. */
static void keep_input(struct client *c, struct str in)
{
    bool own = c->in.p != NULL && in.p >= c->in.p && in.p <= c->in.p + c->in.n;
    if (own) {
        strbuf_consume(&c->in, (size_t)(in.p - c->in.p));
    } else {
        strbuf_add_str(&c->in, in);
    }
    if (c->in.n == 0 && c->in.cap > 0) {
        strbuf_free(&c->in);
    }
}

/* A head, or part of one, at the start of `in`; returns the bytes used. */
static size_t take_head(struct client *c, struct str in)
{
    const struct limit_settings *l = client_limits(c);
    const struct guard_limits limits = {l->header_bytes, l->target_length + 32, l->header_line,
                                        l->header_count};
    size_t head_len = 0;
    int status = 0;
    const char *why = NULL;
    bool first = c->state == CLIENT_IDLE;
    if (first) {
        c->state = CLIENT_HEAD;
        c->guard = (struct guard){0};
    }
    switch (guard_scan(&c->guard, in, &limits, false, &head_len, &status, &why)) {
    case GUARD_MORE:
        if (first) {
            client_arm(c, l->head_timeout);
        }
        return 0;
    case GUARD_REFUSE: request_refuse(c, status, why); return 0;
    case GUARD_DONE: break;
    }
    c->state = CLIENT_REQUEST;
    c->body_open = false;
    /* Nothing is expected of the peer while the answer is made: upstream deadlines count. */
    deadline_disarm(&c->deadline);
    request_start(c, str_make(in.p + c->guard.start, head_len - c->guard.start));
    return head_len;
}

/* The next piece of the body is due within the peer's pace. */
static void await_body(struct client *c)
{
    const struct limit_settings *l = client_limits(c);
    client_arm(c, pace_patience(&c->request->pace, c->worker->loop->now,
                                (int64_t)c->request->body_bytes, l->body_timeout, l->min_rate));
}

/* Bytes for the active request's body; returns what was used. */
static size_t feed_body(struct client *c, struct str in)
{
    bool done = false;
    size_t used = request_body_input(c->request, in, &done);
    if (c->request == NULL) {
        return used;
    }
    if (done) {
        c->body_open = false;
        deadline_disarm(&c->deadline);
    } else if (c->body_open && used > 0) {
        await_body(c);
    }
    return used;
}

/* May heads be looked at, or is the peer behind with reading its answers? */
static bool may_take_head(const struct client *c)
{
    return c->stream.pending <= CLIENT_SEND_HIGH_WATER;
}

/* Uses input until it has to wait, returns what is left. *starved: it waits for more of it. */
static struct str use_input(struct client *c, struct str in, bool *starved)
{
    unsigned heads = 0;
    *starved = false;
    while (c->state < CLIENT_TUNNEL) {
        size_t used = 0;
        if (c->state == CLIENT_REQUEST) {
            if (!c->body_open || c->request == NULL) {
                return in;
            }
            used = feed_body(c, in);
        } else if (in.n > 0) {
            if (!may_take_head(c)) {
                return in;
            }
            if (heads++ == REQUESTS_PER_TURN) {
                client_look_again(c);
                return in;
            }
            used = take_head(c, in);
        }
        if (used == 0) {
            *starved = c->state != CLIENT_REQUEST;
            return in;
        }
        in = str_skip(in, used);
    }
    return in;
}

/* Input is read where it can be used, and for a while where it cannot. A request that is being
 * answered reads on as long as nothing follows, to see its peer leave. */
static bool wants_input(const struct client *c)
{
    if (c->input_ended) {
        return false;
    }
    switch ((enum client_state)c->state) {
    case CLIENT_REQUEST: return c->body_open || c->in.n == 0;
    case CLIENT_HEAD: return may_take_head(c) || c->in.n < INPUT_MAX; /* the guard bounds it */
    default: return c->in.n < INPUT_MAX;
    }
}

void client_process_input(struct client *c, struct str in)
{
    bool starved;
    if (c->in.n > 0) {
        strbuf_add_str(&c->in, in);
        in = strbuf_str(&c->in);
    }
    in = use_input(c, in, &starved);
    if (c->state < CLIENT_TUNNEL) {
        keep_input(c, in);
        stream_want_read(&c->stream, wants_input(c));
        if (starved && c->input_ended) {
            client_linger(c); /* nothing more will come */
        }
    }
    if (c->state == CLIENT_LINGER) {
        strbuf_free(&c->in);
    }
}

void client_want_body(struct client *c, bool want)
{
    if (c->state != CLIENT_REQUEST || c->body_open == want) {
        return;
    }
    c->body_open = want;
    if (!want) {
        pace_pause(&c->request->pace, c->worker->loop->now);
        deadline_disarm(&c->deadline);
        return;
    }
    pace_resume(&c->request->pace, c->worker->loop->now);
    await_body(c);
    stream_want_read(&c->stream, !c->input_ended);
    client_look_again(c); /* with nothing kept, too: the last piece may have been the end */
}
