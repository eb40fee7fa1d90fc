/*
 * The request's body on its way to the upstream: framing, back-pressure, and the copy that a
 * retry sends again.
 */
#include "upstream/fetch.h"

#include "upstream/fetch_state.h"

#define SEND_HIGH_WATER (64u * 1024u) /* queued request bytes that stop the owner */
#define REPLAY_MAX      (64u * 1024u) /* request body kept for a retry */

/* Does a connection stand that takes body bytes? Between two attempts there is none. */
static bool takes_body(const struct fetch *f)
{
    return f->uc != NULL && (f->state == STATE_AWAITING || f->state == STATE_BODY);
}

/* Keeps bytes for another attempt; those that come between two attempts are kept whatever their
 * number, which fetch_body_full() bounds, and go out with the next one. */
static void body_bytes(struct fetch *f, const void *p, size_t n)
{
    if (f->state == STATE_BODY) {
        return; /* answered: there will be no other attempt */
    }
    if (!f->replay_lost && (f->replay.n + n <= REPLAY_MAX || !takes_body(f))) {
        strbuf_add(&f->replay, p, n);
    } else if (!f->replay_lost) {
        f->replay_lost = true;
        strbuf_free(&f->replay);
    }
}

/* It is the upstream's turn: to take what is queued, or, while it answers, to do either. */
static void upstream_is_due(struct fetch *f)
{
    if (!f->paused) {
        deadline_set(f->loop, &f->phase, f->request.timeout.idle);
    }
}

void fetch_send(struct fetch *f, struct str piece)
{
    if (piece.n == 0 || f->state == STATE_ENDED) {
        return;
    }
    char line[20];
    size_t n = 0;
    if (f->request.body == FRAMING_CHUNKED) {
        static const char hex[] = "0123456789abcdef";
        int shift = 60;
        while (shift > 0 && (piece.n >> shift) == 0) {
            shift -= 4;
        }
        for (; shift >= 0; shift -= 4) {
            line[n++] = hex[piece.n >> shift & 15];
        }
        line[n++] = '\r';
        line[n++] = '\n';
    }
    size_t crlf = n > 0 ? 2 : 0;
    struct segment segs[3] = {
        {.p = line, .n = n}, {.p = piece.p, .n = piece.n}, {.p = "\r\n", .n = crlf}};
    if (takes_body(f)) {
        bool blocked = f->uc->stream.pending > 0;
        stream_send(&f->uc->stream, segs, 3);
        if (!blocked && f->uc->stream.pending > 0) {
            upstream_is_due(f);
        }
    }
    body_bytes(f, line, n);
    body_bytes(f, piece.p, piece.n);
    body_bytes(f, "\r\n", crlf);
}

void fetch_send_end(struct fetch *f)
{
    if (f->body_ended) {
        return;
    }
    f->body_ended = true;
    if (f->request.body == FRAMING_CHUNKED) {
        if (takes_body(f)) {
            fetch_send_segment(f, "0\r\n\r\n", 5);
        }
        body_bytes(f, "0\r\n\r\n", 5);
    }
    if (f->state == STATE_AWAITING) {
        deadline_set(f->loop, &f->phase, f->request.timeout.first_byte);
    }
}

bool fetch_body_full(const struct fetch *f)
{
    return !takes_body(f) || f->uc->stream.pending > SEND_HIGH_WATER;
}

void fetch_on_written(struct stream *s)
{
    struct fetch *f = fetch_of(s);
    if (!takes_body(f)) {
        return;
    }
    if (f->state == STATE_BODY || (!f->body_ended && s->pending > 0)) {
        upstream_is_due(f);
    } else if (f->body_ended) {
        deadline_set(f->loop, &f->phase, f->request.timeout.first_byte);
    } else {
        deadline_cancel(&f->phase); /* now the client's own deadline counts */
    }
    if (!f->body_ended && s->pending <= SEND_HIGH_WATER / 2) {
        f->ops->writable(f);
    }
}
