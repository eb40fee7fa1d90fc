/*
 * Answers from entries: the stored head, the lines that depend on the moment and the client,
 * the body; 304 where a precondition says so (RFC 9110 13, RFC 9111 4.3.2).
 */
#include "flow/reply.h"

#include <stdlib.h>
#include <string.h>

#include "cache/compress.h"
#include "flow/reply_parts.h"
#include "http/conditional.h"
#include "http/vary.h"

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
    cursor_put(c, etag);
    PUT(c, "\r\n");
}

struct str reply_entry_lines(struct request *rq, const struct entry *e, int status, bool gzip,
                             uint64_t length)
{
    struct str extra = reply_extra_lines(rq, e);
    char *start =
        arena_alloc(&rq->arena, reply_cache_fields_room(rq) + 256 + entry_etag(e).n + extra.n);
    struct cursor c = {start};
    if (status != 304 && status != 204) {
        PUT(&c, "Content-Length: ");
        cursor_number(&c, (int64_t)length);
        PUT(&c, "\r\n");
    }
    put_etag(&c, e, gzip);
    if (e->coding == ENTRY_GZIP) {
        PUT(&c, "Vary: Accept-Encoding\r\n");
        if (gzip && status != 304) {
            PUT(&c, "Content-Encoding: gzip\r\n");
        }
    }
    if (extra.n > 0) {
        cursor_put(&c, extra);
    }
    PUT(&c, "Age: ");
    cursor_number(&c, (int64_t)entry_age_field(entry_age(e, rq->worker->loop->wall)));
    PUT(&c, "\r\n");
    reply_put_cache_fields(&c, rq, e);
    reply_put_connection(&c, rq);
    PUT(&c, "\r\n");
    return str_make(start, (size_t)(c.p - start));
}

static bool begins_with_any(struct str line, const struct str *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (line.n >= names[i].n && str_ieq(str_make(line.p, names[i].n), names[i])) {
            return true;
        }
    }
    return false;
}

struct str reply_rewrite_head(struct request *rq, struct str head, struct str status_line,
                              const struct str *omit, size_t n_omit)
{
    char *out = arena_alloc(&rq->arena, status_line.n + head.n);
    struct cursor c = {out};
    cursor_put(&c, status_line);
    head = str_skip(head, str_index(head, '\n') + 1);
    while (head.n > 0) {
        size_t n = str_index(head, '\n');
        struct str line = str_make(head.p, n < head.n ? n + 1 : n);
        if (!begins_with_any(line, omit, n_omit)) {
            cursor_put(&c, line);
        }
        head = str_skip(head, line.n);
    }
    return str_make(out, (size_t)(c.p - out));
}

/* The stored head as that of a 304, without the fields that describe a body, which it does not
 * have (RFC 9110 15.4.5). */
static struct str not_modified_head(struct request *rq, const struct entry *e)
{
    static const struct str omit[] = {
        {"content-type:", 13},
        {"content-encoding:", 17},
        {"content-language:", 17},
        {"content-range:", 14},
    };
    return reply_rewrite_head(rq, entry_head(e), STR("HTTP/1.1 304 Not Modified\r\n"), omit,
                              sizeof(omit) / sizeof(omit[0]));
}

bool reply_inflate(const struct entry *e, struct str *body)
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

int reply_entry_status(struct request *rq, const struct entry *e)
{
    struct range_plan plan = {.verdict = RANGE_IGNORE};
    if (answer_not_modified(rq, e)) {
        return 304;
    }
    if (rq->msg.has_range && e->status == 200) {
        reply_plan_range(rq, e->body_length, entry_etag(e), entry_last_modified(e),
                         entry_date(e), &plan);
    }
    switch (plan.verdict) {
    case RANGE_IGNORE: break;
    case RANGE_SATISFIABLE: return 206;
    case RANGE_UNSATISFIABLE: return 416;
    }
    return e->status;
}

void reply_entry(struct request *rq, struct entry *e)
{
    bool gzip = sends_gzip(rq, e);
    bool unchanged = answer_not_modified(rq, e);
    if (rq->msg.has_range && !unchanged && reply_entry_range(rq, e)) {
        return;
    }
    bool bodiless = unchanged || rq->msg.method == METHOD_HEAD;
    struct str body = entry_body(e);
    struct segment segs[3] = {0};
    segs[2].release = release_entry;
    segs[2].owner = e;
    if (e->coding == ENTRY_GZIP && !gzip && !bodiless && e->body_length > 0) {
        if (!reply_inflate(e, &body)) {
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
    struct str lines = reply_entry_lines(rq, e, unchanged ? 304 : e->status, gzip, length);
    rq->status = unchanged ? 304 : e->status;
    rq->head_sent = true;
    atomic_fetch_add_explicit(&e->hits, 1, memory_order_relaxed);
    segs[0].p = head.p;
    segs[0].n = head.n;
    segs[1].p = lines.p;
    segs[1].n = lines.n;
    segs[2].p = body.p;
    segs[2].n = bodiless ? 0 : body.n;
    reply_send(rq, segs, 3);
    if (segs[2].release == free) {
        entry_unref(e);
        entry_unref(e);
    }
}
