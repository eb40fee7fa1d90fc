/*
 * Answers of Larder itself: problems (RFC 9457) and redirects.
 */
#include "flow/reply.h"

#include "flow/reply_parts.h"
#include "http/date.h"
#include "http/h1.h"

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
    strbuf_add_str(out, reply_extra_lines(rq, NULL));
    if (status != 204) {
        h1_write_field(out, STR("Cache-Control"), STR("no-store"));
        h1_write_u64_field(out, STR("Content-Length"), body.n);
    }
    strbuf_reserve(out, CACHE_FIELDS_MAX + 64);
    struct cursor c = {out->p + out->n};
    PUT(&c, "Cache-Status: " PSEUDONYM);
    if (rq->reason != REASON_NONE) {
        PUT(&c, "; detail=");
        cursor_put(&c, rq->reason_text);
    }
    PUT(&c, "\r\n");
    reply_put_connection(&c, rq);
    PUT(&c, "\r\n");
    out->n = (size_t)(c.p - out->p);
    if (rq->msg.method != METHOD_HEAD) {
        strbuf_add_str(out, body);
    }
    const struct segment seg = {.p = out->p, .n = out->n};
    reply_send(rq, &seg, 1);
}

/* `extra`: further field lines. */
static void send_problem(struct request *rq, int status, const char *detail, struct str extra)
{
    struct str phrase = status_phrase(status);
    struct str id = request_id(rq);
    struct str body = arena_printf(
        &rq->arena,
        "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%d,\"detail\":\"%s\","
        "\"instance\":\"urn:request:%.*s\"}\n",
        STR_ARG(phrase), status, detail, STR_ARG(id));
    struct str fields = arena_printf(
        &rq->arena, "Content-Type: application/problem+json\r\n%.*s", STR_ARG(extra));
    send_own(rq, status, fields, body);
}

void reply_problem(struct request *rq, int status, enum reason reason, const char *detail)
{
    struct str extra = STR("");
    if (status == 503 || status == 429) {
        extra = STR("Retry-After: 1\r\n");
    } else if (status == 405) {
        extra = STR("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
    }
    request_decide(rq, CACHE_NONE, reason);
    if (rq->notes != NULL) {
        rq->notes->problem = detail;
    }
    send_problem(rq, status, detail, extra);
}

void reply_unsatisfiable(struct request *rq, uint64_t length)
{
    request_decide(rq, CACHE_NONE, REASON_RANGE);
    send_problem(rq, 416, "the range lies outside of the body",
                 arena_printf(&rq->arena, "Content-Range: bytes */%llu\r\n",
                              (unsigned long long)length));
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

void reply_no_content(struct request *rq, enum reason reason, struct str fields)
{
    request_decide(rq, CACHE_NONE, reason);
    send_own(rq, 204, fields, STR(""));
}
