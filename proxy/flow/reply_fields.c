/*
 * Field lines of an answer for a client or an entry: what may be forwarded, with the route's
 * `header` directives and redirects to the upstream's own authority rewritten.
 */
#include "flow/reply.h"

#include <string.h>

#include "flow/cors.h"
#include "flow/reply_parts.h"
#include "http/date.h"
#include "http/h1.h"

bool reply_computes(enum field_id id)
{
    switch (id) {
    case FIELD_CONTENT_LENGTH:
    case FIELD_X_CACHE:
    case FIELD_X_CACHE_POS:
    case FIELD_LARDER_CACHE_CONTROL: return true;
    default: return false;
    }
}

bool reply_removes(const struct route_settings *route, struct str name)
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

/* What the backend says about CORS, where Larder does. */
static bool replaced_by_cors(const struct field *f)
{
    return cors_field(f->name) || (f->id == FIELD_VARY && str_ieq(f->value, STR("Origin")));
}

void reply_render_fields(struct request *rq, const struct msg *m, struct str omit,
                         struct strbuf *out)
{
    bool plain = msg_find(m, FIELD_CONNECTION) == NULL;
    bool has_ops = rq->route != NULL && rq->route->n_headers > 0;
    bool own_cors = rq->route != NULL && rq->route->cors != NULL;
    bool has_date = false;
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct field *f = &m->fields[i];
        if (reply_computes(f->id) || (field_flags(f->id) & FIELD_HOP) ||
            (!plain && !h1_forwardable(m, f)) || (omit.n > 0 && listed(omit, f->name)) ||
            (has_ops && reply_removes(rq->route, f->name)) ||
            (own_cors && replaced_by_cors(f))) {
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

void reply_render_stored_fields(struct request *rq, const struct msg *m, struct str omit,
                                struct strbuf *out)
{
    bool ranges = m->status == 200 && !reply_removes(rq->route, STR("Accept-Ranges"));
    struct str all = arena_printf(&rq->arena, "Age,ETag,%s%.*s", ranges ? "Accept-Ranges," : "",
                                  STR_ARG(omit));
    reply_render_fields(rq, m, all, out);
    if (ranges) {
        h1_write_field(out, STR("Accept-Ranges"), STR("bytes"));
    }
}
