/*
 * A stored response with newer fields: those of a 304 (RFC 9111 4.3.4) or of an answer to HEAD
 * (4.3.5). Used by flow/validate and flow/learn. The stored body stays; everything that the
 * cache says about the response (lifetime, tags, flags) is decided anew from the merged head,
 * by the same rules as for a fill.
 */
#include <string.h>

#include "cache/tags.h"
#include "flow/node.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "http/date.h"
#include "http/h1.h"
#include "http/vary.h"

/* May a newer field replace the stored ones of its name (RFC 9111 3.2)? Not what says how the
 * stored body is to be read, nor what Larder keeps apart or makes itself. */
static bool updates(const struct request *rq, const struct msg *m, const struct field *f)
{
    switch (f->id) {
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_RANGE:
    case FIELD_ETAG:
    case FIELD_ACCEPT_RANGES:
    case FIELD_X_CACHE: return false;
    case FIELD_SET_COOKIE: return rq->route->store_set_cookie; /* else it is one client's */
    default: return h1_forwardable(m, f);
    }
}

/* The stored head as a message, without what the route's `header add` put there and rendering
 * will put there again. */
static bool read_stored(struct request *rq, const struct entry *e, struct msg *out)
{
    struct strbuf *text = &rq->worker->build;
    text->n = 0;
    strbuf_add_str(text, entry_head(e));
    strbuf_add(text, "\r\n", 2);
    struct str head = arena_dup(&rq->arena, strbuf_str(text));
    text->n = 0;
    if (h1_parse_response(head, METHOD_GET, &rq->arena, out).status != 0) {
        return false;
    }
    for (size_t i = 0; i < rq->route->n_headers; i++) {
        const struct header_op *op = &rq->route->headers[i];
        size_t at = 0;
        while (op->kind == HEADER_ADD && at < out->n_fields) {
            const struct field *f = &out->fields[at++];
            if (str_ieq(f->name, op->name) && str_eq(f->value, op->value)) {
                out->n_fields--;
                memmove(out->fields + at - 1, out->fields + at,
                        (out->n_fields - at + 1) * sizeof(*f));
                break;
            }
        }
    }
    return true;
}

/* A response whose variant would have another name is not the stored one any more. */
static bool varies_alike(struct request *rq, const struct msg *stored, const struct msg *m)
{
    struct vary_spec was, is;
    if (msg_find(m, FIELD_VARY) == NULL) {
        return true;
    }
    if (!vary_parse(stored, &rq->arena, &was) || !vary_parse(m, &rq->arena, &is)) {
        return false;
    }
    variant_trim(rq, &was);
    variant_trim(rq, &is);
    return str_eq(vary_list(&was, &rq->arena), vary_list(&is, &rq->arena));
}

static void remove_named(struct msg *m, struct str name)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        if (!str_ieq(m->fields[i].name, name)) {
            m->fields[kept++] = m->fields[i];
        }
    }
    m->n_fields = kept;
}

/* Puts the fields of m in the place of the stored ones. An answer without a Date is as new as
 * its receipt (RFC 9110 6.6.1), not as old as the stored one. */
static void merge(struct request *rq, const struct entry *e, const struct msg *m,
                  struct msg *stored)
{
    msg_remove(stored, FIELD_DATE);
    for (size_t i = 0; i < m->n_fields; i++) {
        if (updates(rq, m, &m->fields[i])) {
            remove_named(stored, m->fields[i].name);
        }
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        if (updates(rq, m, &m->fields[i])) {
            msg_add(stored, &rq->arena, m->fields[i].name, m->fields[i].value);
        }
    }
    if (entry_etag(e).n > 0) {
        msg_add(stored, &rq->arena, STR("ETag"), entry_etag(e)); /* for the verdict */
    }
    stored->framing = FRAMING_LENGTH;
    stored->content_length = e->body_length;
}

static struct str render(struct request *rq, const struct msg *m, struct str omit)
{
    struct strbuf *out = &rq->worker->build;
    out->n = 0;
    h1_write_status_line(out, m->status, m->reason);
    reply_render_stored_fields(rq, m, omit, out);
    struct str head = arena_dup(&rq->arena, strbuf_str(out));
    out->n = 0;
    return head;
}

/* The stored body under the merged head. */
static struct entry *make(struct request *rq, const struct entry *e, const struct msg *m,
                          const struct stamp *stamp, const struct store_verdict *sv,
                          const struct tag_set *tags)
{
    const struct entry_spec spec = {
        .name = entry_name(e),
        .host = entry_host(e),
        .scope = e->scope,
        .stamp = *stamp,
        .flags = sv->flags | ENTRY_HAS_DATE | (e->flags & ENTRY_OWN_ETAG),
        .status = e->status,
        .stored_at = rq->worker->loop->wall,
        .age_at_store = sv->age,
        .lifetime = fill_jittered(rq, sv->lifetime),
        .stale = sv->stale,
        .stale_if_error = sv->stale_if_error,
        .etag = entry_etag(e),
        .last_modified = msg_get(m, FIELD_LAST_MODIFIED),
        .date = msg_get(m, FIELD_DATE),
        .type = entry_type(e),
        .route = entry_route(e),
        .tags = tags_join(tags, &rq->arena),
        .vary = entry_vary(e),
        .head = render(rq, m, sv->omit_fields),
        .coding = (enum entry_coding)e->coding,
        .body_length = e->body_length,
        .body = entry_body(e),
    };
    return entry_new(&spec);
}

/* What the head says about the time is the newer answer's, so an added Date is now. */
static void add_date(struct request *rq, struct msg *m)
{
    msec_t ignored;
    struct str date = msg_get(m, FIELD_DATE);
    if (date.p != NULL && http_date_parse(date, &ignored)) {
        return;
    }
    char *now = arena_alloc(&rq->arena, HTTP_DATE_LEN);
    http_date_format(rq->worker->loop->wall, now);
    msg_remove(m, FIELD_DATE);
    msg_add(m, &rq->arena, STR("Date"), str_make(now, HTTP_DATE_LEN));
}

struct entry *freshen_entry(struct request *rq, const struct entry *e, const struct msg *m,
                            const struct stamp *stamp, struct store_verdict *sv)
{
    struct msg merged;
    struct tag_set *tags = arena_alloc(&rq->arena, sizeof(*tags));
    if (!read_stored(rq, e, &merged) || !varies_alike(rq, &merged, m)) {
        return NULL;
    }
    merge(rq, e, m, &merged);
    add_date(rq, &merged);
    fill_judge(rq, &merged, sv);
    tags_collect(&rq->kc, &rq->query, &merged, &rq->arena, tags);
    if (tags->incomplete && sv->store) {
        sv->store = false;
        sv->reason = REASON_TAGS;
    }
    return make(rq, e, &merged, stamp, sv, tags);
}
