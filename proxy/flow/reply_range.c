/*
 * Parts of a stored answer (RFC 9110 section 14): 206 with one range or several as
 * multipart/byteranges, 416. The bytes are slices of the entry's body, which stays where it is;
 * an entry stored gzipped is inflated first, because ranges are of the identity body. What a
 * client asks for is bounded by http/range: few ranges, which together are no more than the
 * whole.
 */
#include "flow/reply.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "flow/reply_parts.h"
#include "http/conditional.h"

#define BOUNDARY_LEN 32
#define PART_HEAD    128 /* of a part, beside its media type */
#define SEGMENTS     8   /* sent in one go */

void reply_plan_range(const struct request *rq, uint64_t length, struct str etag,
                      struct str last_modified, struct str date, struct range_plan *out)
{
    out->n = 0;
    out->verdict = RANGE_IGNORE;
    if (rq->msg.method == METHOD_GET &&
        if_range_match(msg_get(&rq->msg, FIELD_IF_RANGE), etag, last_modified, date)) {
        out->verdict = range_parse(msg_get(&rq->msg, FIELD_RANGE), length, out->list, &out->n);
    }
}

/* ---- sending ----------------------------------------------------------------------------- */

/* Segments on their way, sent whenever there are enough of them. */
struct batch {
    struct request *rq;
    struct segment segs[SEGMENTS];
    size_t n;
};

static void batch_flush(struct batch *b)
{
    if (b->n > 0) {
        reply_send(b->rq, b->segs, b->n);
    }
    b->n = 0;
}

static void batch_add(struct batch *b, struct str s, void (*release)(void *), void *owner)
{
    if (b->n == SEGMENTS) {
        batch_flush(b);
    }
    b->segs[b->n++] = (struct segment){.p = s.p, .n = s.n, .release = release, .owner = owner};
}

static void release_entry(void *e)
{
    entry_unref(e);
}

/* The body that ranges count in. */
struct source {
    struct entry *e;
    struct str body;
    bool inflated; /* body is memory of our own */
};

static void batch_slice(struct batch *b, const struct source *s, const struct byte_range *r)
{
    struct str slice = str_make(s->body.p + r->first, (size_t)(r->last - r->first + 1));
    if (s->inflated) {
        batch_add(b, slice, NULL, NULL); /* what the client does not take at once is copied */
    } else {
        batch_add(b, slice, release_entry, entry_ref(s->e));
    }
}

/* ---- one part ---------------------------------------------------------------------------- */

static struct str content_range(struct request *rq, const struct byte_range *r, uint64_t length)
{
    return arena_printf(&rq->arena, "Content-Range: bytes %llu-%llu/%llu\r\n",
                        (unsigned long long)r->first, (unsigned long long)r->last,
                        (unsigned long long)length);
}

static void send_single(struct request *rq, const struct source *s, const struct byte_range *r)
{
    static const struct str omit[] = {{"content-range:", 14}};
    const struct entry *e = s->e;
    struct batch b = {.rq = rq};
    struct str head = reply_rewrite_head(rq, entry_head(e), REPLY_PARTIAL, omit, 1);
    batch_add(&b, head, NULL, NULL);
    batch_add(&b, content_range(rq, r, s->body.n), NULL, NULL);
    batch_add(&b, reply_entry_lines(rq, e, 206, false, r->last - r->first + 1), NULL, NULL);
    batch_slice(&b, s, r);
    batch_flush(&b);
}

/* ---- several ----------------------------------------------------------------------------- */

/* A delimiter that no body can have foreseen; STR_NULL when there is no randomness. */
static struct str make_boundary(struct request *rq)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[BOUNDARY_LEN / 2];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return STR_NULL;
    }
    char *out = arena_alloc(&rq->arena, BOUNDARY_LEN);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        out[2 * i] = hex[bytes[i] >> 4];
        out[2 * i + 1] = hex[bytes[i] & 15];
    }
    return str_make(out, BOUNDARY_LEN);
}

/* The "Content-Type: …" line of a stored head with its CRLF; empty when it has none. */
static struct str type_line(struct str head)
{
    struct str line;
    while (str_next(&head, '\n', &line)) {
        if (line.n >= 13 && str_ieq(str_make(line.p, 13), STR("content-type:"))) {
            return str_make(line.p, (size_t)(head.p - line.p));
        }
    }
    return STR("");
}

static void send_multipart(struct request *rq, const struct source *s,
                           const struct range_plan *plan, struct str boundary)
{
    static const struct str omit[] = {{"content-range:", 14}, {"content-type:", 13}};
    struct str head = entry_head(s->e);
    struct str type = type_line(head);
    struct str parts[RANGE_MAX];
    struct str end = arena_printf(&rq->arena, "\r\n--%.*s--\r\n", STR_ARG(boundary));
    uint64_t length = end.n;
    for (size_t i = 0; i < plan->n; i++) {
        const struct byte_range *r = &plan->list[i];
        struct str range = content_range(rq, r, s->body.n);
        parts[i] = arena_printf(&rq->arena, "\r\n--%.*s\r\n%.*s%.*s\r\n", STR_ARG(boundary),
                                STR_ARG(type), STR_ARG(range));
        length += parts[i].n + (r->last - r->first + 1);
    }
    struct batch b = {.rq = rq};
    batch_add(&b, reply_rewrite_head(rq, head, REPLY_PARTIAL, omit, 2), NULL, NULL);
    batch_add(&b,
              arena_printf(&rq->arena, "Content-Type: multipart/byteranges; boundary=%.*s\r\n",
                           STR_ARG(boundary)),
              NULL, NULL);
    batch_add(&b, reply_entry_lines(rq, s->e, 206, false, length), NULL, NULL);
    for (size_t i = 0; i < plan->n; i++) {
        batch_add(&b, parts[i], NULL, NULL);
        batch_slice(&b, s, &plan->list[i]);
    }
    batch_add(&b, end, NULL, NULL);
    batch_flush(&b);
}

bool reply_entry_range(struct request *rq, struct entry *e)
{
    struct range_plan plan;
    if (e->status != 200) {
        return false;
    }
    reply_plan_range(rq, e->body_length, entry_etag(e), entry_last_modified(e), entry_date(e),
                     &plan);
    struct str boundary = plan.n > 1 ? make_boundary(rq) : STR_NULL;
    if (plan.verdict == RANGE_IGNORE || (plan.n > 1 && boundary.n == 0)) {
        return false;
    }
    atomic_fetch_add_explicit(&e->hits, 1, memory_order_relaxed);
    struct source s = {.e = e, .body = entry_body(e)};
    if (plan.verdict == RANGE_UNSATISFIABLE) {
        reply_unsatisfiable(rq, e->body_length);
    } else if (e->coding == ENTRY_GZIP && !reply_inflate(e, &s.body)) {
        reply_problem(rq, 500, REASON_BAD_ANSWER, "a stored answer is damaged");
    } else {
        s.inflated = e->coding == ENTRY_GZIP;
        rq->status = 206;
        rq->head_sent = true;
        if (plan.n == 1) {
            send_single(rq, &s, &plan.list[0]);
        } else {
            send_multipart(rq, &s, &plan, boundary);
        }
    }
    if (s.inflated) {
        free((void *)(uintptr_t)s.body.p);
    }
    entry_unref(e);
    return true;
}
