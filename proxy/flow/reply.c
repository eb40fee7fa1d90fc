/*
 * What all answers have in common: sending, and the fields that are computed for each. A hit is
 * three slices in one writev: the stored head, a few computed lines, the body (reply_entry.c).
 */
#include "flow/reply.h"

#include <string.h>

#include "flow/debug.h"
#include "flow/node.h"
#include "flow/reply_parts.h"

/* ---- sending ----------------------------------------------------------------------------- */

static void release_all(const struct segment *segs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (segs[i].release != NULL) {
            segs[i].release(segs[i].owner);
        }
    }
}

void reply_send(struct request *rq, const struct segment *segs, size_t n)
{
    struct client *c = rq->client;
    if (c == NULL) {
        release_all(segs, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        rq->bytes_sent += segs[i].n;
    }
    stream_send(&c->stream, segs, n);
    client_sent(c);
}

bool reply_full(const struct request *rq)
{
    return rq->client != NULL && rq->client->stream.pending > CLIENT_SEND_HIGH_WATER;
}

/* ---- computed fields --------------------------------------------------------------------- */

static const struct str result_words[] = {
    [CACHE_NONE] = {"", 0},
    [CACHE_HIT] = {"HIT", 3},
    [CACHE_MISS] = {"MISS", 4},
    [CACHE_STALE] = {"STALE", 5},
    [CACHE_REVALIDATED] = {"REVALIDATED", 11},
    [CACHE_BYPASS] = {"BYPASS", 6},
    [CACHE_PASS] = {"PASS", 4},
};

struct str reply_result_word(enum cache_result result)
{
    return result_words[result];
}

void cursor_number(struct cursor *c, int64_t v)
{
    if (v < 0) {
        *c->p++ = '-';
        v = -v;
    }
    c->p += u64_to_dec((uint64_t)v, c->p);
}

/* RFC 9211: why the request went forward, by its first cause. */
static struct str forward_cause(const struct request *rq)
{
    if (rq->result == CACHE_BYPASS || rq->result == CACHE_PASS) {
        return rq->unsafe ? STR("method") : STR("bypass");
    }
    if (rq->reason == REASON_EXPIRED || rq->result == CACHE_REVALIDATED) {
        return STR("stale");
    }
    return rq->reason == REASON_VARY ? STR("vary-miss") : STR("uri-miss");
}

void reply_put_cache_fields(struct cursor *c, const struct request *rq, const struct entry *e)
{
    PUT(c, "X-Cache: ");
    cursor_put(c, result_words[rq->result]);
    PUT(c, "\r\nCache-Status: " PSEUDONYM);
    if (e != NULL && (rq->result == CACHE_HIT || rq->result == CACHE_STALE)) {
        PUT(c, "; hit");
    } else {
        PUT(c, "; fwd=");
        cursor_put(c, forward_cause(rq));
    }
    if (rq->stored) {
        PUT(c, "; stored");
    }
    if (rq->collapsed) {
        PUT(c, "; collapsed");
    }
    if (e != NULL) {
        msec_t left = entry_lifetime(e) - entry_age(e, rq->worker->loop->wall);
        PUT(c, "; ttl=");
        cursor_number(c, left >= 0 ? (left + 500) / 1000 : -((-left + 999) / 1000));
    }
    if (rq->reason != REASON_NONE && rq->reason_text.n <= 128) {
        PUT(c, "; detail=");
        cursor_put(c, rq->reason_text);
    }
    if (rq->debug) {
        char key[DEBUG_KEY_MAX];
        cursor_put(c, debug_status_key(rq, key));
    }
    PUT(c, "\r\n");
}

size_t reply_cache_fields_room(const struct request *rq)
{
    return CACHE_FIELDS_MAX + (rq->debug ? DEBUG_KEY_MAX : 0);
}

struct str reply_extra_lines(struct request *rq, const struct entry *e)
{
    if (!rq->debug) {
        return rq->cors;
    }
    struct str lines = debug_lines(rq, e);
    return arena_printf(&rq->arena, "%.*s%.*s", STR_ARG(rq->cors), STR_ARG(lines));
}

void reply_put_connection(struct cursor *c, struct request *rq)
{
    if (rq->worker->draining ||
        atomic_load_explicit(&rq->worker->node->draining, memory_order_relaxed)) {
        rq->close = true;
    }
    if (rq->close) {
        PUT(c, "Connection: close\r\n");
    } else if (rq->msg.minor == 0) {
        PUT(c, "Connection: keep-alive\r\n");
    }
}
