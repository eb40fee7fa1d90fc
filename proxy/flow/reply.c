/*
 * Answers. A hit is three slices in one writev: the stored head, a few computed lines, the
 * body. Streamed answers hold their head back until the first body bytes, so that a small
 * answer leaves in one segment.
 */
#include "flow/reply.h"

#include <stdlib.h>
#include <string.h>

#include "cache/compress.h"
#include "flow/node.h"
#include "http/conditional.h"
#include "http/date.h"
#include "http/h1.h"
#include "http/vary.h"

#define NAME "larder"

/* ---- sending ---------------------------------------------------------------------------- */

static void release_all(const struct segment *segs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (segs[i].release != NULL) {
            segs[i].release(segs[i].owner);
        }
    }
}

/* Queues segments on the client, counting them; without a client they are dropped. */
static void send_segments(struct request *rq, const struct segment *segs, size_t n)
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
    if (c->stream.pending > 0 && !c->body_open) {
        deadline_set(rq->worker->loop, &c->deadline,
                     config_settings(rq->config)->limits.write_timeout);
    }
}

bool reply_full(const struct request *rq)
{
    return rq->client != NULL && rq->client->stream.pending > CLIENT_SEND_HIGH_WATER;
}

/* ---- computed fields -------------------------------------------------------------------- */

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

/* Bytes being put together in a buffer that is known to be large enough. */
struct cursor {
    char *p;
};

static void put(struct cursor *c, struct str s)
{
    memcpy(c->p, s.p, s.n);
    c->p += s.n;
}

#define PUT(c, literal) put((c), STR(literal))

static void put_number(struct cursor *c, int64_t v)
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

#define CACHE_FIELDS_MAX 320 /* X-Cache and Cache-Status with the longest reason */

/* X-Cache and Cache-Status; e: the entry an answer comes from, NULL for a forwarded one. */
static void put_cache_fields(struct cursor *c, const struct request *rq, const struct entry *e)
{
    PUT(c, "X-Cache: ");
    put(c, result_words[rq->result]);
    PUT(c, "\r\nCache-Status: " NAME);
    if (e != NULL && (rq->result == CACHE_HIT || rq->result == CACHE_STALE)) {
        PUT(c, "; hit");
    } else {
        PUT(c, "; fwd=");
        put(c, forward_cause(rq));
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
        put_number(c, left >= 0 ? (left + 500) / 1000 : -((-left + 999) / 1000));
    }
    if (rq->reason != REASON_NONE && rq->reason_text.n <= 128) {
        PUT(c, "; detail=");
        put(c, rq->reason_text);
    }
    PUT(c, "\r\n");
}

static void put_connection(struct cursor *c, struct request *rq)
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

/* ---- entries ---------------------------------------------------------------------------- */

static void release_entry(void *e)
{
    entry_unref(e);
}

/* Does this client get the gzipped bytes as they are? */
static bool sends_gzip(const struct request *rq, const struct entry *e)
{
    return e->coding == ENTRY_GZIP && request_accepts_gzip(&rq->msg);
}

/* A strong validator names one sequence of bytes; the gzipped ones are another. */
static void put_etag(struct cursor *c, const struct entry *e, bool gzip)
{
    struct str etag = entry_etag(e);
    if (etag.n == 0) {
        return;
    }
    PUT(c, "ETag: ");
    if (gzip && !str_starts(etag, STR("W/"))) {
        PUT(c, "W/");
    }
    put(c, etag);
    PUT(c, "\r\n");
}

/* The lines that depend on the moment and the client, with the empty line at the end. */
static struct str entry_lines(struct request *rq, const struct entry *e, int status, bool gzip,
                              uint64_t length)
{
    char *start = arena_alloc(&rq->arena, CACHE_FIELDS_MAX + 256 + entry_etag(e).n);
    struct cursor c = {start};
    if (status != 304 && status != 204) {
        PUT(&c, "Content-Length: ");
        put_number(&c, (int64_t)length);
        PUT(&c, "\r\n");
    }
    put_etag(&c, e, gzip);
    if (e->coding == ENTRY_GZIP) {
        PUT(&c, "Vary: Accept-Encoding\r\n");
        if (gzip && status != 304) {
            PUT(&c, "Content-Encoding: gzip\r\n");
        }
    }
    PUT(&c, "Age: ");
    put_number(&c, entry_age(e, rq->worker->loop->wall) / 1000);
    PUT(&c, "\r\n");
    put_cache_fields(&c, rq, e);
    put_connection(&c, rq);
    PUT(&c, "\r\n");
    return str_make(start, (size_t)(c.p - start));
}

/* Fields that describe a body which a 304 does not have (RFC 9110 15.4.5). */
static bool describes_body(struct str line)
{
    static const struct str names[] = {
        {"content-type:", 13},
        {"content-encoding:", 17},
        {"content-language:", 17},
        {"content-range:", 14},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (line.n >= names[i].n && str_ieq(str_make(line.p, names[i].n), names[i])) {
            return true;
        }
    }
    return false;
}

/* The stored head as that of a 304. */
static struct str not_modified_head(struct request *rq, const struct entry *e)
{
    struct str head = entry_head(e);
    char *out = arena_alloc(&rq->arena, head.n + 32);
    struct cursor c = {out};
    PUT(&c, "HTTP/1.1 304 Not Modified\r\n");
    head = str_skip(head, str_index(head, '\n') + 1);
    while (head.n > 0) {
        size_t n = str_index(head, '\n');
        struct str line = str_make(head.p, n < head.n ? n + 1 : n);
        if (!describes_body(line)) {
            put(&c, line);
        }
        head = str_skip(head, line.n);
    }
    return str_make(out, (size_t)(c.p - out));
}

/* The inflated body in memory that the send owns; false when the bytes do not check out. */
static bool inflate(const struct entry *e, struct str *body)
{
    struct strbuf out = {0};
    if (!compress_inflate(entry_body(e), e->body_length, &out)) {
        strbuf_free(&out);
        return false;
    }
    *body = strbuf_str(&out);
    return true;
}

static bool answer_not_modified(struct request *rq, const struct entry *e)
{
    return e->status == 200 && msg_is_conditional(&rq->msg) &&
           conditional_evaluate(&rq->msg, entry_etag(e), entry_last_modified(e),
                                entry_date(e)) == CONDITIONAL_NOT_MODIFIED;
}

void reply_entry(struct request *rq, struct entry *e)
{
    bool gzip = sends_gzip(rq, e);
    bool unchanged = answer_not_modified(rq, e);
    bool bodiless = unchanged || rq->msg.method == METHOD_HEAD;
    struct str body = entry_body(e);
    struct segment segs[3] = {0};
    segs[2].release = release_entry;
    segs[2].owner = e;
    if (e->coding == ENTRY_GZIP && !gzip && !bodiless && e->body_length > 0) {
        if (!inflate(e, &body)) {
            entry_unref(e);
            reply_problem(rq, 500, REASON_BAD_ANSWER, "a stored answer is damaged");
            return;
        }
        entry_ref(e); /* the head is sent from it below */
        segs[2].release = free;
        segs[2].owner = (void *)(uintptr_t)body.p;
    }
    uint64_t length = gzip ? e->body_n : e->body_length;
    struct str head = unchanged ? not_modified_head(rq, e) : entry_head(e);
    struct str lines = entry_lines(rq, e, unchanged ? 304 : e->status, gzip, length);
    rq->status = unchanged ? 304 : e->status;
    rq->head_sent = true;
    atomic_fetch_add_explicit(&e->hits, 1, memory_order_relaxed);
    segs[0].p = head.p;
    segs[0].n = head.n;
    segs[1].p = lines.p;
    segs[1].n = lines.n;
    segs[2].p = body.p;
    segs[2].n = bodiless ? 0 : body.n;
    send_segments(rq, segs, 3);
    if (segs[2].release == free) {
        entry_unref(e);
        entry_unref(e);
    }
}

/* ---- rendering -------------------------------------------------------------------------- */

/* Fields that are written elsewhere: computed on each delivery, or framing. */
static bool computed(enum field_id id)
{
    switch (id) {
    case FIELD_CONTENT_LENGTH:
    case FIELD_X_CACHE:
    case FIELD_LARDER_CACHE_CONTROL: return true;
    default: return false;
    }
}

static bool removed_by_route(const struct route_settings *route, struct str name)
{
    for (size_t i = 0; i < route->n_headers; i++) {
        const struct header_op *op = &route->headers[i];
        if (op->kind != HEADER_ADD && str_ieq(op->name, name)) {
            return true;
        }
    }
    return false;
}

static bool listed(struct str list, struct str name)
{
    struct str element;
    while (str_next(&list, ',', &element)) {
        if (str_ieq(element, name)) {
            return true;
        }
    }
    return false;
}

static void write_route_fields(const struct route_settings *route, struct strbuf *out)
{
    for (size_t i = 0; i < route->n_headers; i++) {
        const struct header_op *op = &route->headers[i];
        if (op->kind != HEADER_REMOVE) {
            h1_write_field(out, op->name, op->value);
        }
    }
}

/* A redirect to the upstream's own authority becomes one to the path, which the client resolves
 * against the address it knows. */
static struct str rewrite_location(const struct request *rq, struct str value)
{
    for (size_t i = 0; rq->up != NULL && i < rq->up->n_servers; i++) {
        const struct server_settings *s = &rq->up->servers[i];
        struct str scheme = s->tls ? STR("https://") : STR("http://");
        if (!str_starts(value, scheme)) {
            continue;
        }
        struct str rest = str_skip(value, scheme.n);
        if (rest.n >= s->authority.n &&
            str_ieq(str_make(rest.p, s->authority.n), s->authority)) {
            struct str path = str_skip(rest, s->authority.n);
            if (path.n == 0) {
                return STR("/");
            }
            if (path.p[0] == '/' && (path.n == 1 || path.p[1] != '/')) {
                return path;
            }
        }
    }
    return value;
}

void reply_render_fields(struct request *rq, const struct msg *m, struct str omit,
                         struct strbuf *out)
{
    bool plain = msg_find(m, FIELD_CONNECTION) == NULL;
    bool has_ops = rq->route != NULL && rq->route->n_headers > 0;
    bool has_date = false;
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct field *f = &m->fields[i];
        if (computed(f->id) || (field_flags(f->id) & FIELD_HOP) ||
            (!plain && !h1_forwardable(m, f)) || (omit.n > 0 && listed(omit, f->name)) ||
            (has_ops && removed_by_route(rq->route, f->name))) {
            continue;
        }
        if (f->id == FIELD_DATE) {
            msec_t ignored;
            if (has_date || !http_date_parse(f->value, &ignored)) {
                continue; /* replaced by ours (RFC 9110 6.6.1) */
            }
            has_date = true;
        }
        h1_write_field(out, f->name,
                       f->id == FIELD_LOCATION ? rewrite_location(rq, f->value) : f->value);
    }
    if (!has_date) {
        char date[HTTP_DATE_LEN];
        http_date_format(rq->worker->loop->wall, date);
        h1_write_field(out, STR("Date"), str_make(date, sizeof(date)));
    }
    if (has_ops) {
        write_route_fields(rq->route, out);
    }
}

/* ---- streamed answers ------------------------------------------------------------------- */

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
    strbuf_reserve(out, CACHE_FIELDS_MAX + 64);
    struct cursor c = {out->p + out->n};
    put_cache_fields(&c, rq, NULL);
    put_connection(&c, rq);
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
    bool keep = rq->msg.method == METHOD_HEAD || m->status == 304;
    finish_head(rq, m->framing == FRAMING_LENGTH ? (int64_t)m->content_length : -1,
                keep ? msg_get(m, FIELD_CONTENT_LENGTH) : STR_NULL);
}

void reply_stored_head(struct request *rq, const struct flight_head *h)
{
    rq->status = h->status;
    rq->head.n = 0;
    strbuf_add_str(&rq->head, h->head);
    if (h->etag.n > 0) {
        h1_write_field(&rq->head, STR("ETag"), h->etag);
    }
    finish_head(rq, h->length, STR_NULL);
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
        send_segments(rq, &seg, 1);
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
            send_segments(rq, segs, n);
        }
        return;
    }
    if (rq->chunked) {
        segs[n++] = (struct segment){.p = line, .n = chunk_line(line, piece.n)};
    }
    segs[n++] =
        (struct segment){.p = piece.p, .n = piece.n, .release = release, .owner = owner};
    if (rq->chunked) {
        segs[n++] = (struct segment){.p = "\r\n", .n = 2};
    }
    send_segments(rq, segs, n);
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
        segs[n++] = (struct segment){.p = "0\r\n\r\n", .n = 5};
    }
    if (n > 0) {
        send_segments(rq, segs, n);
    }
}

/* ---- answers of Larder itself ----------------------------------------------------------- */

static void send_own(struct request *rq, int status, struct str fields, struct str body)
{
    struct strbuf *out = &rq->head;
    rq->status = status;
    rq->head_sent = true;
    out->n = 0;
    h1_write_status_line(out, status, status_phrase(status));
    strbuf_add_str(out, fields);
    char date[HTTP_DATE_LEN];
    http_date_format(rq->worker->loop->wall, date);
    h1_write_field(out, STR("Date"), str_make(date, sizeof(date)));
    h1_write_field(out, STR("Cache-Control"), STR("no-store"));
    h1_write_u64_field(out, STR("Content-Length"), body.n);
    strbuf_reserve(out, CACHE_FIELDS_MAX + 64);
    struct cursor c = {out->p + out->n};
    PUT(&c, "Cache-Status: " NAME "; detail=");
    put(&c, rq->reason_text);
    PUT(&c, "\r\n");
    put_connection(&c, rq);
    PUT(&c, "\r\n");
    out->n = (size_t)(c.p - out->p);
    if (rq->msg.method != METHOD_HEAD) {
        strbuf_add_str(out, body);
    }
    const struct segment seg = {.p = out->p, .n = out->n};
    send_segments(rq, &seg, 1);
}

void reply_problem(struct request *rq, int status, enum reason reason, const char *detail)
{
    struct str phrase = status_phrase(status);
    struct str id = request_id(rq);
    request_decide(rq, CACHE_NONE, reason);
    struct str body = arena_printf(
        &rq->arena,
        "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%d,\"detail\":\"%s\","
        "\"instance\":\"urn:request:%.*s\"}\n",
        STR_ARG(phrase), status, detail, STR_ARG(id));
    struct str fields = STR("Content-Type: application/problem+json\r\n");
    if (status == 503 || status == 429) {
        fields = STR("Content-Type: application/problem+json\r\nRetry-After: 1\r\n");
    } else if (status == 405) {
        fields = STR("Content-Type: application/problem+json\r\n"
                     "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
    }
    send_own(rq, status, fields, body);
}

void reply_redirect_https(struct request *rq)
{
    request_decide(rq, CACHE_NONE, REASON_NONE);
    struct str fields =
        arena_printf(&rq->arena, "Location: https://%.*s%.*s%s%.*s\r\n", STR_ARG(rq->host.name),
                     STR_ARG(rq->target.path), rq->target.query.p != NULL ? "?" : "",
                     STR_ARG(rq->target.query));
    send_own(rq, 308, fields, STR(""));
}

void reply_continue(struct request *rq)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct segment seg = {.p = text, .n = sizeof(text) - 1};
    if (rq->status == 0) {
        send_segments(rq, &seg, 1);
    }
}

/* An interim head: the fields that may be forwarded, nothing computed. */
static void send_interim(struct request *rq, const struct msg *m, bool upgrade)
{
    struct strbuf *out = &rq->worker->build;
    out->n = 0;
    h1_write_status_line(out, m->status, m->reason);
    for (size_t i = 0; i < m->n_fields; i++) {
        if (h1_forwardable(m, &m->fields[i]) && !computed(m->fields[i].id)) {
            h1_write_field(out, m->fields[i].name, m->fields[i].value);
        }
    }
    if (upgrade) {
        h1_write_field(out, STR("Connection"), STR("Upgrade"));
        h1_write_field(out, STR("Upgrade"), STR("websocket"));
    }
    h1_write_end(out);
    const struct segment seg = {.p = out->p, .n = out->n};
    send_segments(rq, &seg, 1);
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
