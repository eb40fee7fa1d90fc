/*
 * Connections of the admin address. libevent's HTTP server has no limit for connections and
 * none for the whole of a request, and a descriptor shortage makes its listener spin. So each
 * connection's bufferevent is made here and kept in a list by a reference of our own: libevent
 * takes its callbacks off when it is done with it. What takes too long has its socket shut
 * down, which libevent then sees as the client's leaving.
 */
#include "admin/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include "admin/call.h"
#include "admin/plane_state.h"
#include "base/log.h"
#include "base/mem.h"
#include "flow/route.h"

#define CONNECTIONS_MAX 64
#define BACKLOG         64
#define HEAD_MAX        (32 * 1024)
#define BODY_MAX        (256 * 1024) /* of any endpoint; rows say less */
#define FIELDS_MAX      100
#define STALL_S         30    /* without a byte, either way */
#define READ_MS         30000 /* from the end of an answer, or the connection, to a request */
#define ANSWER_MS       (ADMIN_KEEP_MS + 60000) /* from the request to the answer's last byte */
#define SWEEP_MS        1000
#define FULL_MS         250 /* no accepting after a failed accept */

struct conn {
    struct conn *prev, *next;
    struct bufferevent *bev; /* a reference of ours */
    msec_t since;            /* loop time of the last change of busy */
    bool busy;               /* a request was read and its answer is not out */
    bool cut;                /* shut down: only libevent's part of the end is missing */
};

struct http {
    struct plane *plane;
    struct evhttp *server;
    struct evconnlistener *listener;
    struct conn *conns; /* list, newest first */
    size_t n;
    struct deadline sweep;
    struct deadline reopen; /* after a failed accept */
    struct deferred excess; /* a connection too many came */
};

/* What a call that came by evhttp needs for its answer. */
struct exchange {
    struct http *http;
    struct evhttp_request *req;
    struct event *closed; /* kept: the client closes its side; NULL */
};

static struct loop *loop_of(const struct http *h)
{
    return h->plane->context.loop;
}

/* ---- connections --------------------------------------------------------------------------
 */

/* libevent has taken its callbacks off. */
static bool conn_over(const struct conn *c)
{
    bufferevent_event_cb on_event;
    bufferevent_getcb(c->bev, NULL, NULL, &on_event, NULL);
    return on_event == NULL;
}

static void conn_free(struct http *h, struct conn *c)
{
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        h->conns = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    bufferevent_decref(c->bev);
    free(c);
    h->n--;
}

static void conn_cut(struct conn *c)
{
    int fd = bufferevent_getfd(c->bev);
    if (fd >= 0 && !c->cut) {
        shutdown(fd, SHUT_RDWR);
    }
    c->cut = true;
}

/* Forgets connections that are over. */
static void collect(struct http *h)
{
    struct conn *next;
    for (struct conn *c = h->conns; c != NULL; c = next) {
        next = c->next;
        if (conn_over(c)) {
            conn_free(h, c);
        }
    }
}

static void on_sweep(struct deadline *d)
{
    struct http *h = container_of(d, struct http, sweep);
    msec_t now = loop_of(h)->now;
    collect(h);
    for (struct conn *c = h->conns; c != NULL; c = c->next) {
        if (now - c->since > (c->busy ? ANSWER_MS : READ_MS)) {
            conn_cut(c);
        }
    }
    if (h->n > 0) {
        deadline_set(loop_of(h), d, SWEEP_MS);
    }
}

/* Too many: the one that has been idle longest goes, or else the newest. */
static void on_excess(struct deferred *d)
{
    struct http *h = container_of(d, struct http, excess);
    struct conn *worst = NULL;
    size_t alive = 0;
    collect(h);
    for (struct conn *c = h->conns; c != NULL; c = c->next) {
        alive += !c->cut;
        if (!c->cut && !c->busy && (worst == NULL || c->since <= worst->since)) {
            worst = c;
        }
    }
    if (alive > CONNECTIONS_MAX && worst != NULL) {
        static struct log_limit limit;
        if (log_allowed(&limit)) {
            log_warn("admin: more than %d connections", CONNECTIONS_MAX);
        }
        conn_cut(worst);
        if (alive - 1 > CONNECTIONS_MAX) {
            loop_defer(loop_of(h), d);
        }
    }
}

/* libevent asks for the bufferevent of a connection that it has accepted. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct http *h = arg;
    struct conn *c = xcalloc(1, sizeof(*c));
    loop_touch(loop_of(h));
    c->bev = bufferevent_socket_new(base, -1, 0);
    if (c->bev == NULL) {
        free(c);
        return NULL;
    }
    bufferevent_incref(c->bev);
    c->since = loop_of(h)->now;
    c->next = h->conns;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    h->conns = c;
    if (++h->n > CONNECTIONS_MAX) {
        loop_defer(loop_of(h), &h->excess);
    }
    if (!deadline_armed(&h->sweep)) {
        deadline_set(loop_of(h), &h->sweep, SWEEP_MS);
    }
    return c->bev;
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    static struct log_limit limit;
    struct http *h = arg;
    int number = errno;
    loop_touch(loop_of(h));
    if (log_allowed(&limit)) {
        log_warn("admin: cannot accept: %s", strerror(number));
    }
    evconnlistener_disable(listener);
    deadline_set(loop_of(h), &h->reopen, FULL_MS);
}

static void on_reopen(struct deadline *d)
{
    struct http *h = container_of(d, struct http, reopen);
    evconnlistener_enable(h->listener);
}

static struct conn *conn_of(const struct http *h, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    struct bufferevent *bev = evcon != NULL ? evhttp_connection_get_bufferevent(evcon) : NULL;
    struct conn *c = h->conns;
    while (c != NULL && c->bev != bev) {
        c = c->next;
    }
    return c;
}

/* ---- requests -----------------------------------------------------------------------------
 */

static const struct {
    enum evhttp_cmd_type type;
    const char *name;
    unsigned method;
} methods[] = {
    {EVHTTP_REQ_GET, "GET", ADMIN_GET},
    {EVHTTP_REQ_HEAD, "HEAD", ADMIN_GET},
    {EVHTTP_REQ_POST, "POST", ADMIN_POST},
    {EVHTTP_REQ_DELETE, "DELETE", ADMIN_DELETE},
    {EVHTTP_REQ_PUT, "PUT", 0},
    {EVHTTP_REQ_OPTIONS, "OPTIONS", 0},
    {EVHTTP_REQ_TRACE, "TRACE", 0},
    {EVHTTP_REQ_CONNECT, "CONNECT", 0},
    {EVHTTP_REQ_PATCH, "PATCH", 0},
};

#define ALL_METHODS                                                                            \
    (EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE | EVHTTP_REQ_PUT | \
     EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

static void read_method(struct admin_call *call, const struct evhttp_request *req)
{
    enum evhttp_cmd_type type = evhttp_request_get_command(req);
    call->head = type == EVHTTP_REQ_HEAD;
    call->method_name = STR("?");
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (methods[i].type == type) {
            call->method_name = str_from(methods[i].name);
            call->method = methods[i].method;
        }
    }
}

static void read_fields(struct admin_call *call, struct evhttp_request *req)
{
    const struct evkeyvalq *list = evhttp_request_get_input_headers(req);
    const struct evkeyval *kv;
    size_t n = 0;
    for (kv = list->tqh_first; kv != NULL && n < FIELDS_MAX; kv = kv->next.tqe_next) {
        n++;
    }
    call->fields = arena_alloc(&call->arena, (n + 1) * sizeof(*call->fields));
    for (kv = list->tqh_first; kv != NULL && call->n_fields < n; kv = kv->next.tqe_next) {
        call->fields[call->n_fields++] =
            (struct call_field){str_from(kv->key), str_from(kv->value)};
    }
}

/* Who: the address, or the user on the other side of a Unix socket. */
/* Through a route of the data port? Whoever else sends this field only makes it harder for
 * himself: the token is needed then. */
static void read_route(struct admin_call *call)
{
    struct str value, proto, from;
    struct addr ip;
    bool once = call_single(call, ROUTE_ADMIN_FIELD, &value);
    if (once && value.p == NULL) {
        return;
    }
    call->routed = true;
    call->prefix = once ? value : STR("/");
    call->secure =
        call_single(call, "X-Forwarded-Proto", &proto) && str_eq(proto, STR("https"));
    if (call_single(call, "X-Forwarded-For", &from)) {
        from = str_trim(str_make(from.p, str_index(from, ',')));
        if (addr_from_ip(from, &ip)) {
            call->peer = arena_printf(&call->arena, "%.*s by a route", STR_ARG(from));
        }
    }
}

static void read_peer(struct admin_call *call, int fd)
{
    struct addr peer = {.len = sizeof(peer.u.ss)};
    struct ucred who;
    socklen_t n = sizeof(who);
    char text[ADDR_TEXT_MAX];
    call->peer = STR("unknown");
    if (call->plane->addr.u.sa.sa_family == AF_UNIX) {
        call->unix_peer = true;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0) {
            call->peer = arena_printf(&call->arena, "uid %u", (unsigned)who.uid);
        }
    } else if (getpeername(fd, &peer.u.sa, &peer.len) == 0) {
        addr_ip_text(&peer, text);
        call->peer = arena_dup(&call->arena, str_from(text));
    }
}

/* ---- answers ------------------------------------------------------------------------------
 */

static void forget_closed(struct exchange *x)
{
    if (x->closed != NULL) {
        event_free(x->closed);
        x->closed = NULL;
    }
}

/* The last byte of an answer is out. */
static void on_complete(struct evhttp_request *req, void *arg)
{
    struct http *h = arg;
    struct conn *c = conn_of(h, req);
    loop_touch(loop_of(h));
    if (c != NULL) {
        c->busy = false;
        c->since = loop_of(h)->now;
    }
}

static void http_send(struct admin_call *call, int status, const char *type, struct str body)
{
    struct exchange *x = call->transport;
    struct evkeyvalq *out = evhttp_request_get_output_headers(x->req);
    struct evbuffer *buffer = evhttp_request_get_output_buffer(x->req);
    char length[24];
    forget_closed(x);
    evhttp_add_header(out, "Content-Type", type);
    evhttp_add_header(out, "Cache-Control", "no-store");
    evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < call->n_out; i++) {
        evhttp_add_header(out, call->out[i].name.p, call->out[i].value.p);
    }
    snprintf(length, sizeof(length), "%zu", body.n);
    evhttp_add_header(out, "Content-Length", length);
    if (call->body.n > 0 && call->row == NULL) {
        evhttp_add_header(out, "Connection", "close");
    }
    if (!call->head) {
        evbuffer_add(buffer, body.p, body.n);
    }
    evhttp_request_set_on_complete_cb(x->req, on_complete, x->http);
    evhttp_send_reply(x->req, status, call_title(status), NULL);
}

/* The client of a kept call has left: its handler is told, and libevent gets an answer that
 * nobody reads. */
static void on_closed(evutil_socket_t fd, short what, void *arg)
{
    struct admin_call *call = arg;
    struct exchange *x = call->transport;
    admin_gone_fn *gone = call->gone;
    (void)fd;
    (void)what;
    loop_touch(loop_of(x->http));
    call->gone = NULL;
    if (gone != NULL) {
        gone(call->gone_ctx);
    }
    admin_problem(call, 503, "the client has left");
}

static void http_watch(struct admin_call *call)
{
    struct exchange *x = call->transport;
    struct evhttp_connection *evcon = evhttp_request_get_connection(x->req);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    x->closed = event_new(loop_of(x->http)->base, fd, EV_CLOSED, on_closed, call);
    if (x->closed != NULL) {
        event_add(x->closed, NULL);
    }
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct http *h = arg;
    struct conn *c = conn_of(h, req);
    loop_touch(loop_of(h));
    if (c == NULL) {
        evhttp_send_error(req, 500, NULL);
        return;
    }
    c->busy = true;
    c->since = loop_of(h)->now;
    struct admin_call *call = call_new(h->plane);
    struct exchange *x = arena_zalloc(&call->arena, sizeof(*x));
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    x->http = h;
    x->req = req;
    call->transport = x;
    call->send = http_send;
    call->watch = http_watch;
    read_method(call, req);
    read_fields(call, req);
    read_peer(call, bufferevent_getfd(c->bev));
    read_route(call);
    call->target = str_from(evhttp_request_get_uri(req));
    call->body.n = evbuffer_get_length(in);
    call->body.p = (const char *)evbuffer_pullup(in, -1);
    call_dispatch(call);
}

/* ---- life ---------------------------------------------------------------------------------
 */

struct http *http_new(struct plane *plane, int fd)
{
    struct http *h = xcalloc(1, sizeof(*h));
    struct event_base *base = plane->context.loop->base;
    h->plane = plane;
    h->excess.fn = on_excess;
    deadline_init(&h->sweep, on_sweep);
    deadline_init(&h->reopen, on_reopen);
    h->server = evhttp_new(base);
    h->listener = evconnlistener_new(
        base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    if (h->server == NULL || h->listener == NULL) {
        if (h->server != NULL) {
            evhttp_free(h->server);
        }
        free(h);
        return NULL;
    }
    evhttp_bind_listener(h->server, h->listener);
    evconnlistener_set_error_cb(h->listener, on_accept_error);
    evhttp_set_bevcb(h->server, on_accept, h);
    evhttp_set_gencb(h->server, on_request, h);
    evhttp_set_allowed_methods(h->server, ALL_METHODS);
    evhttp_set_max_headers_size(h->server, HEAD_MAX);
    evhttp_set_max_body_size(h->server, BODY_MAX);
    evhttp_set_timeout(h->server, STALL_S);
    return h;
}

void http_free(struct http *h)
{
    deadline_cancel(&h->sweep);
    deadline_cancel(&h->reopen);
    loop_defer_cancel(loop_of(h), &h->excess);
    evhttp_free(h->server); /* and its listener */
    while (h->conns != NULL) {
        conn_free(h, h->conns);
    }
    free(h);
}
