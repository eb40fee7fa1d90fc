/*
 * Request heads for backends. A fill sends only what the entry's name accounts for, so that no
 * request can colour an answer that others will get (hardening K8); everything else goes out as
 * it came, less what belongs to the connection.
 */
#include "flow/forward.h"

#include <string.h>

#include "flow/node.h"
#include "http/forwarded.h"
#include "http/h1.h"
#include "http/vary.h"

/* ---- what a fill may show --------------------------------------------------------------- */

static bool holds_name(const struct str_list *names, struct str name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (str_ieq(names->list[i], name)) {
            return true;
        }
    }
    return false;
}

static bool csv_holds(struct str list, struct str name)
{
    struct str element;
    while (list.n > 0 && str_next(&list, ',', &element)) {
        if (str_ieq(element, name)) {
            return true;
        }
    }
    return false;
}

static bool in_key(const struct key_template *t, enum key_part_kind kind, struct str name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->parts[i].kind == kind && str_ieq(t->parts[i].text, name)) {
            return true;
        }
    }
    return false;
}

/* Is this identity one that the route's entries are kept by, or any for `authenticated`? */
static bool identity_counts(const struct route_settings *route,
                            const struct identity_settings *id)
{
    return route->scope == SCOPE_AUTHENTICATED ||
           (route->scope == SCOPE_IDENTITIES && (route->scope_mask >> id->index & 1) != 0);
}

static bool is_identity_field(const struct request *rq, struct str name)
{
    const struct settings *s = config_settings(rq->config);
    for (size_t i = 0; i < s->n_identities; i++) {
        const struct identity_settings *id = &s->identities[i];
        if (id->source == IDENTITY_HEADER && identity_counts(rq->route, id) &&
            str_ieq(id->header, name)) {
            return true;
        }
    }
    return false;
}

static bool came_from(const struct request *rq, enum identity_used used)
{
    return rq->identity != NULL && (rq->identity->used_fields & used) != 0;
}

/* A validator or a range of the client's: a fill wants the whole, current answer. */
static bool narrows(enum field_id id)
{
    switch (id) {
    case FIELD_IF_MATCH:
    case FIELD_IF_NONE_MATCH:
    case FIELD_IF_MODIFIED_SINCE:
    case FIELD_IF_UNMODIFIED_SINCE:
    case FIELD_IF_RANGE:
    case FIELD_RANGE:
    case FIELD_ACCEPT_ENCODING: return true; /* replaced by ours */
    default: return false;
    }
}

/* Never shown by a fill, whatever the answer varies on. Of the cookies single ones may be: see
 * keyed_cookies(). */
static bool fill_hides(const struct request *rq, const struct field *f)
{
    if (narrows(f->id) || f->id == FIELD_X_HTTP_METHOD_OVERRIDE) {
        return true;
    }
    if (f->id == FIELD_ORIGIN && rq->route->cors != NULL) {
        return !in_key(&rq->route->key, KEY_HEADER, f->name); /* entries serve every origin */
    }
    return f->id == FIELD_COOKIE && rq->route->ttl_mode != TTL_ORIGIN;
}

/* Shown by every fill of the route. */
static bool fill_always_shows(const struct request *rq, const struct field *f)
{
    const struct route_settings *route = rq->route;
    if (route->ttl_mode == TTL_ORIGIN) {
        return true;
    }
    if (f->id == FIELD_CONTENT_TYPE || f->id == FIELD_CONTENT_ENCODING ||
        f->id == FIELD_CONTENT_LANGUAGE) {
        return rq->body_keyed; /* the three that key_body() holds */
    }
    if (f->id == FIELD_AUTHORIZATION) {
        return came_from(rq, IDENTITY_USED_AUTHORIZATION) ||
               in_key(&route->key, KEY_HEADER, f->name);
    }
    return (field_flags(f->id) & FIELD_SHARED) != 0 ||
           holds_name(&route->forward_headers, f->name) ||
           in_key(&route->key, KEY_HEADER, f->name) || is_identity_field(rq, f->name);
}

static bool fill_shows(const struct request *rq, const struct field *f)
{
    return !fill_hides(rq, f) &&
           (fill_always_shows(rq, f) ||
            (f->id != FIELD_AUTHORIZATION && csv_holds(rq->vary_names, f->name)));
}

/* ---- cookies ---------------------------------------------------------------------------- */

static void add_cookie(struct request *rq, struct strbuf *out, struct str name)
{
    struct str value = name.n > 0 ? msg_cookie(&rq->msg, name, NULL) : STR_NULL;
    if (value.p == NULL) {
        return;
    }
    if (out->n > 0) {
        strbuf_add(out, "; ", 2);
    }
    strbuf_add_str(out, name);
    strbuf_add_char(out, '=');
    strbuf_add_str(out, value);
}

/* Of the cookies only those that the name accounts for. */
static struct str keyed_cookies(struct request *rq)
{
    const struct settings *s = config_settings(rq->config);
    const struct key_template *t = &rq->route->key;
    struct strbuf *out = &rq->worker->build;
    if (msg_find(&rq->msg, FIELD_COOKIE) == NULL) {
        return STR_NULL;
    }
    out->n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->parts[i].kind == KEY_COOKIE) {
            add_cookie(rq, out, t->parts[i].text);
        }
    }
    for (size_t i = 0; came_from(rq, IDENTITY_USED_COOKIE) && i < s->n_identities; i++) {
        const struct identity_settings *id = &s->identities[i];
        if (identity_counts(rq->route, id)) {
            add_cookie(rq, out, id->source == IDENTITY_JWT ? id->jwt->from_cookie : id->cookie);
        }
    }
    struct str all = out->n > 0 ? arena_dup(&rq->arena, strbuf_str(out)) : STR_NULL;
    out->n = 0;
    return all;
}

/* ---- views ------------------------------------------------------------------------------ */

/* Belongs to the connection, or is written anew below. */
static bool is_ours(const struct msg *m, const struct field *f)
{
    return f->id == FIELD_HOST || f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_EXPECT ||
           f->id == FIELD_X_REQUEST_ID || (field_flags(f->id) & FIELD_OURS) != 0 ||
           !h1_forwardable(m, f);
}

const struct msg *forward_view(struct request *rq)
{
    if (rq->view != NULL) {
        return rq->view;
    }
    struct msg *view = arena_alloc(&rq->arena, sizeof(*view));
    *view = rq->msg;
    view->fields = arena_alloc(&rq->arena, (rq->msg.n_fields + 2) * sizeof(*view->fields));
    view->cap_fields = rq->msg.n_fields + 2;
    view->n_fields = 0;
    for (size_t i = 0; i < rq->msg.n_fields; i++) {
        const struct field *f = &rq->msg.fields[i];
        if (!is_ours(&rq->msg, f) && fill_shows(rq, f)) {
            view->fields[view->n_fields++] = *f;
        }
    }
    struct str coding = STR("identity");
    if (rq->route->ttl_mode == TTL_ORIGIN && request_accepts_gzip(&rq->msg)) {
        coding = STR("gzip");
    }
    msg_add(view, &rq->arena, STR("Accept-Encoding"), coding);
    struct str cookies = rq->route->ttl_mode != TTL_ORIGIN ? keyed_cookies(rq) : STR_NULL;
    if (cookies.p != NULL) {
        msg_add(view, &rq->arena, STR("Cookie"), cookies);
    }
    rq->view = view;
    return view;
}

bool forward_fits(const struct request *rq, struct str vary)
{
    for (size_t i = 0; i < rq->msg.n_fields; i++) {
        const struct field *f = &rq->msg.fields[i];
        if (is_ours(&rq->msg, f) || fill_hides(rq, f) || fill_always_shows(rq, f) ||
            f->id == FIELD_AUTHORIZATION) {
            continue;
        }
        if (csv_holds(rq->vary_names, f->name) != csv_holds(vary, f->name)) {
            return false;
        }
    }
    return true;
}

/* ---- writing ---------------------------------------------------------------------------- */

static void write_target(const struct request *rq, enum forward_mode mode, struct strbuf *out)
{
    struct str path = rq->target.form == TARGET_ASTERISK ? STR("*") : rq->target.path;
    struct str query = mode == FORWARD_FILL ? rq->query.forward : rq->target.query;
    strbuf_add_str(out, rq->msg.method_name);
    strbuf_add_char(out, ' ');
    strbuf_add_str(out, path);
    if (query.p != NULL) {
        strbuf_add_char(out, '?');
        strbuf_add_str(out, query);
    }
    strbuf_add(out, " HTTP/1.1\r\n", 11);
}

/* The site's first name on cached routes with `hosts`, else what the client asked for, else (an
 * HTTP/1.0 request that named none) the upstream's own. */
static struct str host_to_send(struct request *rq, enum forward_mode mode)
{
    if (mode == FORWARD_FILL && rq->site->hosts.n > 0) {
        return rq->site->hosts.list[0];
    }
    if (rq->host.name.n > 0) {
        return host_authority(&rq->host, &rq->arena);
    }
    return rq->up->servers[0].authority;
}

static void write_if(struct strbuf *out, struct str name, struct str value)
{
    if (value.p != NULL) {
        h1_write_field(out, name, value);
    }
}

/* The host that these fields name is the one that is sent: on cached routes neither an alias
 * nor a port may colour the entry that all of them share. */
static void write_forwarding(struct request *rq, enum forward_mode mode, struct strbuf *out)
{
    const struct settings *s = config_settings(rq->config);
    struct forwarded_fields ff;
    struct str host = rq->host.name.n > 0 ? host_to_send(rq, mode) : STR("");
    forwarded_build(&s->trusted_proxies, &rq->peer, rq->tls, host, &rq->msg, &rq->arena, &ff);
    write_if(out, STR("X-Forwarded-For"), ff.x_forwarded_for);
    write_if(out, STR("X-Forwarded-Proto"), ff.x_forwarded_proto);
    write_if(out, STR("X-Forwarded-Host"), ff.x_forwarded_host);
    write_if(out, STR("X-Forwarded-Port"), ff.x_forwarded_port);
    write_if(out, STR("X-Real-IP"), ff.x_real_ip);
    write_if(out, STR("Forwarded"), ff.forwarded);
    write_if(out, STR("Via"), ff.via);
    h1_write_field(out, STR("X-Request-Id"), request_id(rq));
}

static void write_framing(const struct request *rq, struct strbuf *out)
{
    if (rq->msg.framing == FRAMING_LENGTH) {
        h1_write_u64_field(out, STR("Content-Length"), rq->msg.content_length);
    } else if (rq->msg.framing == FRAMING_CHUNKED) {
        h1_write_field(out, STR("Transfer-Encoding"), STR("chunked"));
    }
    if (rq->upgrade) {
        h1_write_field(out, STR("Connection"), STR("Upgrade"));
        h1_write_field(out, STR("Upgrade"), STR("websocket"));
    }
}

static void write_fields(const struct request *rq, const struct msg *m, struct strbuf *out)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct field *f = &m->fields[i];
        if (!is_ours(m, f) && !(rq->route->admin && str_ieq(f->name, STR(ROUTE_ADMIN_FIELD)))) {
            h1_write_field(out, f->name, f->value);
        }
    }
}

/* Tells the admin plane through which route a request comes: its path without what varies. */
static void write_admin_prefix(const struct request *rq, struct strbuf *out)
{
    struct str path = rq->route->path;
    size_t n = 0;
    while (n < path.n && path.p[n] != '{' && path.p[n] != '*') {
        n++;
    }
    while (n < path.n && n > 0 && path.p[n - 1] == '/') {
        n--;
    }
    h1_write_field(out, STR(ROUTE_ADMIN_FIELD), n > 0 ? str_make(path.p, n) : STR("/"));
}

/* The stored validators (RFC 9111 4.3.1): the origin may confirm what is here, but not what a
 * write has invalidated since it was looked up, because Last-Modified is no proof within a
 * second. What is invalidated from here on is newer than the flight's stamp. A HEAD asks for no
 * confirmation: its client wants the head. */
static void write_validators(struct request *rq, struct strbuf *out)
{
    struct entry *e = rq->stale;
    rq->validating = false;
    if (rq->msg.method != METHOD_GET) {
        return; /* to another method the answer would be 412 (RFC 9110 13.1.2) */
    }
    if (e == NULL || e->status != 200 || rq->msg.method == METHOD_HEAD ||
        journal_check(rq->worker->node->journal, e) == JOURNAL_INVALID) {
        return;
    }
    if (entry_etag(e).n > 0 && (e->flags & ENTRY_OWN_ETAG) == 0) {
        h1_write_field(out, STR("If-None-Match"), entry_etag(e));
        rq->validating = true;
    }
    if (entry_last_modified(e).n > 0) {
        h1_write_field(out, STR("If-Modified-Since"), entry_last_modified(e));
        rq->validating = true;
    }
}

struct str forward_head(struct request *rq, enum forward_mode mode)
{
    const struct msg *m = mode == FORWARD_FILL ? forward_view(rq) : &rq->msg;
    struct strbuf *out = &rq->worker->build;
    struct str host = host_to_send(rq, mode);
    out->n = 0;
    write_target(rq, mode, out);
    h1_write_field(out, STR("Host"), host);
    write_fields(rq, m, out);
    if (rq->route->admin) {
        write_admin_prefix(rq, out);
    }
    if (mode == FORWARD_FILL) {
        write_validators(rq, out);
    }
    write_forwarding(rq, mode, out);
    write_framing(rq, out);
    h1_write_end(out);
    if (rq->body_done) {
        strbuf_add_str(out, strbuf_str(&rq->body_text));
    }
    struct str head = arena_dup(&rq->arena, strbuf_str(out));
    out->n = 0;
    return head;
}
