/*
 * Streamed answers and interim ones. The head of a streamed answer is held back until the first
 * body bytes, so that a small answer leaves in one segment.
 */
#include "flow/reply.h"

#include <stdio.h>
#include <string.h>

#include "flow/reply_parts.h"
#include "http/h1.h"

/* The framing towards this client, then what is computed, then the empty line. */
static void finish_head(struct request *rq, int64_t length, struct str keep_length)
{
    struct strbuf *out = &rq->head;
    rq->no_body = rq->msg.method == METHOD_HEAD || rq->status == 204 || rq->status == 304;
    if (keep_length.p != NULL) {
        h1_write_field(out, STR("Content-Length"), keep_length);
    } else if (length >= 0 && !rq->no_body) {
        h1_write_u64_field(out, STR("Content-Length"), (uint64_t)length);
    } else if (!rq->no_body && rq->msg.minor == 1) {
        rq->chunked = true;
        h1_write_field(out, STR("Transfer-Encoding"), STR("chunked"));
    } else if (!rq->no_body) {
        rq->close = true; /* HTTP/1.0: the end of the connection is the end of the body */
    }
    strbuf_add_str(out, reply_extra_lines(rq, NULL));
    strbuf_reserve(out, reply_cache_fields_room(rq) + 64);
    struct cursor c = {out->p + out->n};
    reply_put_cache_fields(&c, rq, NULL);
    reply_put_connection(&c, rq);
    PUT(&c, "\r\n");
    out->n = (size_t)(c.p - out->p);
    loop_defer(rq->worker->loop, &rq->deferred);
}

void reply_head(struct request *rq, const struct msg *m)
{
    rq->status = m->status;
    rq->head.n = 0;
    h1_write_status_line(&rq->head, m->status, m->reason);
    reply_render_fields(rq, m, STR_NULL, &rq->head);
    if (rq->invalidation_pending) {
        h1_write_field(&rq->head, STR("Cache-Invalidation"), STR("pending"));
    }
    if (rq->position.n > 0) {
        h1_write_field(&rq->head, STR("X-Cache-Pos"), rq->position);
    }
    bool keep = rq->msg.method == METHOD_HEAD || m->status == 304;
    finish_head(rq, m->framing == FRAMING_LENGTH ? (int64_t)m->content_length : -1,
                keep ? msg_get(m, FIELD_CONTENT_LENGTH) : STR_NULL);
}

/* What is kept apart from a head in stored form. */
static void write_kept_apart(struct request *rq, const struct flight_head *h)
{
    msec_t age = rq->worker->loop->wall - h->born;
    if (h->etag.n > 0) {
        h1_write_field(&rq->head, STR("ETag"), h->etag);
    }
    h1_write_u64_field(&rq->head, STR("Age"), entry_age_field(age));
}

void reply_stored_head(struct request *rq, const struct flight_head *h)
{
    rq->status = h->status;
    rq->head.n = 0;
    strbuf_add_str(&rq->head, h->head);
    write_kept_apart(rq, h);
    finish_head(rq, h->length, STR_NULL);
}

void reply_part_head(struct request *rq, const struct flight_head *h,
                     const struct byte_range *part, uint64_t length)
{
    static const struct str omit[] = {{"content-range:", 14}};
    char range[80];
    int n =
        snprintf(range, sizeof(range), "bytes %llu-%llu/%llu", (unsigned long long)part->first,
                 (unsigned long long)part->last, (unsigned long long)length);
    rq->status = 206;
    rq->head.n = 0;
    strbuf_add_str(&rq->head, reply_rewrite_head(rq, h->head, REPLY_PARTIAL, omit, 1));
    write_kept_apart(rq, h);
    h1_write_field(&rq->head, STR("Content-Range"), str_make(range, (size_t)n));
    finish_head(rq, (int64_t)(part->last - part->first + 1), STR_NULL);
}

/* The held-back head as a first segment; returns how many there are now. */
static size_t take_head(struct request *rq, struct segment *segs)
{
    if (rq->head_sent || rq->status == 0) {
        return 0;
    }
    rq->head_sent = true;
    segs[0] = (struct segment){.p = rq->head.p, .n = rq->head.n};
    return 1;
}

void reply_flush(struct request *rq)
{
    struct segment seg;
    if (take_head(rq, &seg) > 0) {
        reply_send(rq, &seg, 1);
    }
}

static size_t chunk_line(char line[20], size_t n)
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    int shift = 60;
    while (shift > 0 && (n >> shift) == 0) {
        shift -= 4;
    }
    for (; shift >= 0; shift -= 4) {
        line[at++] = hex[n >> shift & 15];
    }
    line[at++] = '\r';
    line[at++] = '\n';
    return at;
}

void reply_piece_ref(struct request *rq, struct str piece, void (*release)(void *), void *owner)
{
    struct segment segs[4];
    char line[20];
    size_t n = take_head(rq, segs);
    if (rq->no_body || piece.n == 0) {
        if (release != NULL) {
            release(owner);
        }
        if (n > 0) {
            reply_send(rq, segs, n);
        }
        return;
    }
    if (rq->chunked) {
        segs[n] = (struct segment){.p = line, .n = chunk_line(line, piece.n)};
        n++;
    }
    segs[n] = (struct segment){.p = piece.p, .n = piece.n, .release = release, .owner = owner};
    n++;
    if (rq->chunked) {
        segs[n] = (struct segment){.p = "\r\n", .n = 2};
        n++;
    }
    reply_send(rq, segs, n);
}

void reply_piece(struct request *rq, struct str piece)
{
    reply_piece_ref(rq, piece, NULL, NULL);
}

void reply_end(struct request *rq)
{
    struct segment segs[2];
    size_t n = take_head(rq, segs);
    if (rq->chunked && !rq->no_body) {
        segs[n] = (struct segment){.p = "0\r\n\r\n", .n = 5};
        n++;
    }
    if (n > 0) {
        reply_send(rq, segs, n);
    }
}

/* ---- interim answers and upgrades -------------------------------------------------------- */

void reply_continue(struct request *rq)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct segment seg = {.p = text, .n = sizeof(text) - 1};
    if (rq->status == 0) {
        reply_send(rq, &seg, 1);
    }
}

/* An interim head: the fields that may be forwarded, nothing computed. */
static void send_interim(struct request *rq, const struct msg *m, bool upgrade)
{
    struct strbuf *out = &rq->worker->build;
    out->n = 0;
    h1_write_status_line(out, m->status, m->reason);
    for (size_t i = 0; i < m->n_fields; i++) {
        if (h1_forwardable(m, &m->fields[i]) && !reply_computes(m->fields[i].id)) {
            h1_write_field(out, m->fields[i].name, m->fields[i].value);
        }
    }
    if (upgrade) {
        h1_write_field(out, STR("Connection"), STR("Upgrade"));
        h1_write_field(out, STR("Upgrade"), STR("websocket"));
    }
    h1_write_end(out);
    const struct segment seg = {.p = out->p, .n = out->n};
    reply_send(rq, &seg, 1);
    out->n = 0;
}

void reply_interim(struct request *rq, const struct msg *m)
{
    if (rq->client != NULL && rq->status == 0 && rq->msg.minor == 1) {
        send_interim(rq, m, false);
    }
}

void reply_switching(struct request *rq, const struct msg *m)
{
    rq->status = 101;
    rq->head_sent = true;
    send_interim(rq, m, true);
}
