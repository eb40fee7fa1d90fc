/*
 * Fills that start from a stored answer: freshening it after a 304 (RFC 9111 4.3.4) and serving
 * it when the origin fails (RFC 5861 section 4); and fills that start anew.
 */
#include <string.h>

#include "flow/flight.h"
#include "flow/forward.h"
#include "flow/node.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "http/conditional.h"
#include "http/date.h"
#include "http/h1.h"

/* May the stale copy be served for an error? It was looked up a while ago: what a write has
 * invalidated since then may not. */
static bool may_stand_in(const struct request *rq)
{
    if (rq->stale == NULL || !rq->stale_ok) {
        return false;
    }
    enum journal_verdict valid = journal_check(rq->worker->node->journal, rq->stale);
    return valid == JOURNAL_VALID || valid == JOURNAL_SOFT;
}

bool fill_prefers_stale(const struct request *rq, int status)
{
    bool failed = status == 500 || status == 502 || status == 503 || status == 504;
    return failed && may_stand_in(rq);
}

bool fill_serve_stale_error(struct request *rq)
{
    struct node *node = rq->worker->node;
    if (!may_stand_in(rq)) {
        return false;
    }
    struct entry *e = rq->stale;
    rq->stale = NULL;
    backoff_mark(&node->backoff, rq->hash, rq->worker->loop->now);
    rq->collapsed = false;
    request_decide(rq, CACHE_STALE, REASON_STALE_ERROR);
    reply_entry(rq, e);
    request_finish(rq, false);
    return true;
}

/* Does the 304 speak of the stored answer? Without a validator of its own it does (there was
 * only one to speak of). */
static bool confirms(const struct entry *e, const struct msg *m)
{
    struct str etag = msg_get(m, FIELD_ETAG);
    struct str modified = msg_get(m, FIELD_LAST_MODIFIED);
    if (etag.p != NULL) {
        return etag_weak_match(etag, entry_etag(e));
    }
    return modified.p == NULL || entry_last_modified(e).n == 0 ||
           str_eq(modified, entry_last_modified(e));
}

/* May a 304 replace this stored field (RFC 9111 3.2)? What the route sets or removes stays so.
 */
static bool updates(const struct request *rq, const struct msg *m, const struct field *f)
{
    if (reply_removes(rq->route, f->name)) {
        return false;
    }
    switch (f->id) {
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_TYPE:
    case FIELD_CONTENT_RANGE:
    case FIELD_ETAG:
    case FIELD_ACCEPT_RANGES: /* Larder's own */
    case FIELD_SET_COOKIE:
    case FIELD_X_CACHE:
    case FIELD_LARDER_CACHE_CONTROL: return false;
    default: return h1_forwardable(m, f);
    }
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

/* The age of what was confirmed counts from the confirmation (RFC 9111 4.2.3): a 304 that says
 * nothing of it is of this moment. The ETag, which the stored head does not hold, is told too.
 */
static void complete(struct request *rq, const struct entry *e, const struct msg *m,
                     struct msg *out)
{
    if (msg_find(m, FIELD_AGE) == NULL) {
        msg_remove(out, FIELD_AGE);
    }
    if (msg_find(m, FIELD_DATE) == NULL) {
        msg_remove(out, FIELD_DATE);
    }
    msg_remove(out, FIELD_ETAG);
    if (entry_etag(e).n > 0) {
        msg_add(out, &rq->arena, STR("ETag"), entry_etag(e));
    }
}

static void add_date(struct request *rq, struct msg *m)
{
    if (msg_find(m, FIELD_DATE) == NULL) {
        char *now = arena_alloc(&rq->arena, HTTP_DATE_LEN);
        http_date_format(rq->worker->loop->wall, now);
        msg_add(m, &rq->arena, STR("Date"), str_make(now, HTTP_DATE_LEN));
    }
}

/* The stored head with the 304's fields in place of its own. False when it cannot be read,
 * which no head that was stored can be. */
static bool merge(struct request *rq, const struct entry *e, const struct msg *m,
                  struct msg *out)
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
    for (size_t i = 0; i < m->n_fields; i++) {
        if (updates(rq, m, &m->fields[i])) {
            remove_named(out, m->fields[i].name);
        }
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        if (updates(rq, m, &m->fields[i])) {
            msg_add(out, &rq->arena, m->fields[i].name, m->fields[i].value);
        }
    }
    complete(rq, e, m, out);
    out->framing = FRAMING_LENGTH;
    out->content_length = e->body_length;
    return true;
}

/* omit: fields that the 304 forbids to store (no-cache="…", private="…"). */
static struct str render(struct request *rq, struct msg *m, struct str omit)
{
    struct str name;
    while (str_next(&omit, ',', &name)) {
        remove_named(m, name);
    }
    msg_remove(m, FIELD_ETAG); /* these two are computed on each delivery */
    msg_remove(m, FIELD_AGE);
    struct strbuf *out = &rq->worker->build;
    out->n = 0;
    h1_write_status_line(out, m->status, m->reason);
    for (size_t i = 0; i < m->n_fields; i++) {
        h1_write_field(out, m->fields[i].name, m->fields[i].value);
    }
    struct str head = arena_dup(&rq->arena, strbuf_str(out));
    out->n = 0;
    return head;
}

/* The stored body under the merged head, with new times and this flight's stamp. */
static struct entry *freshened(struct request *rq, const struct entry *e, struct msg *m,
                               const struct store_verdict *sv)
{
    struct str head = render(rq, m, sv->omit_fields);
    const struct entry_spec spec = {
        .name = entry_name(e),
        .host = entry_host(e),
        .scope = e->scope,
        .stamp = rq->lead->stamp,
        .flags = sv->flags | ENTRY_HAS_DATE | (e->flags & ENTRY_OWN_ETAG),
        .status = e->status,
        .stored_at = rq->worker->loop->wall,
        .age_at_store = sv->age,
        .lifetime = sv->lifetime,
        .stale = sv->stale,
        .stale_if_error = sv->stale_if_error,
        .etag = entry_etag(e),
        .last_modified = msg_get(m, FIELD_LAST_MODIFIED),
        .date = msg_get(m, FIELD_DATE),
        .type = entry_type(e),
        .route = entry_route(e),
        .tags = entry_tags(e),
        .vary = entry_vary(e),
        .head = head,
        .coding = (enum entry_coding)e->coding,
        .body_length = e->body_length,
        .body = entry_body(e),
    };
    return entry_new(&spec);
}

/* The 304 was for something else: what is stored is of no use, the whole answer is fetched. */
static void fetch_whole(struct request *rq)
{
    l1_remove(rq->worker->node->l1, rq->stale);
    entry_unref(rq->stale);
    rq->stale = NULL;
    fill_drop_fetch(rq);
    rq->worker->fills--;
    fill_start(rq);
}

void fill_ask_again(struct request *rq, struct str vary)
{
    rq->vary_names = vary;
    rq->asked_again++;
    rq->view = NULL;
    rq->storing = NULL;
    fill_drop_fetch(rq);
    rq->worker->fills--;
    fill_start(rq);
}

void fill_validated(struct request *rq, const struct msg *m)
{
    struct node *node = rq->worker->node;
    struct entry *old = rq->stale;
    struct msg *merged = arena_alloc(&rq->arena, sizeof(*merged));
    if (!confirms(old, m) || !merge(rq, old, m, merged)) {
        fetch_whole(rq);
        return;
    }
    struct store_verdict sv;
    struct entry *e = NULL;
    fill_judge(rq, merged, &sv);
    if (sv.store) {
        add_date(rq, merged);
        e = freshened(rq, old, merged, &sv);
    }
    if (e != NULL) {
        (void)l1_put(node->l1, e);
        rq->stored = true;
    } else {
        l1_remove(node->l1, old);
        e = entry_ref(old);
    }
    flight_end(rq->lead, FLIGHT_DONE, e, FLIGHT_REVALIDATED);
    entry_unref(e);
    fill_conclude(rq);
}
