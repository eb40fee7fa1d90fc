/*
 * The admin address on libevent's HTTP server. admin/conn bounds what that does not, and reads
 * the requests; here they become calls, and calls answers. A descriptor shortage would make
 * evhttp's listener spin: it pauses.
 */
#include "admin/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "admin/call.h"
#include "admin/conn.h"
#include "admin/plane_state.h"
#include "base/log.h"
#include "base/mem.h"
#include "flow/route.h"

#define BACKLOG 64
#define STALL_S 40  /* without a byte, either way: longer than conn.c and a kept call take */
#define FULL_MS 250 /* no accepting after a failed accept */

struct http {
    struct plane *plane;
    struct addr addr; /* listened on */
    struct evhttp *server;
    struct evhttp_bound_socket *bound; /* NULL: draining */
    struct evconnlistener *listener;   /* its */
    struct conns conns;
    struct deadline reopen; /* after a failed accept */
    bool guarded;           /* draining: its calls needed the token */
    struct http *next;      /* plane->draining */
};

/* What a call that came by evhttp needs for its answer. */
struct exchange {
    struct http *http;
    struct evhttp_request *req;
    struct event *closed; /* kept: the client closes its side; NULL */
};

/* The one that listens: evhttp takes the listener's argument for itself, so that an error of it
 * comes without ours. */
static struct http *accepting;

static struct loop *loop_of(const struct http *h)
{
    return h->plane->context.loop;
}

/* ---- accepting ----------------------------------------------------------------------------
 */

/* libevent asks for the bufferevent of a connection that it has accepted. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct http *h = arg;
    (void)base;
    return conns_add(&h->conns);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    static struct log_limit limit;
    struct http *h = accepting;
    int number = errno;
    (void)arg; /* evhttp's */
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
    return evcon != NULL ? conns_find(&h->conns, evhttp_connection_get_bufferevent(evcon))
                         : NULL;
}

/* ---- requests -----------------------------------------------------------------------------
 */

static void read_method(struct admin_call *call, const struct msg *m)
{
    call->head = m->method == METHOD_HEAD;
    call->method_name = m->method_name;
    switch (m->method) {
    case METHOD_GET:
    case METHOD_HEAD: call->method = ADMIN_GET; break;
    case METHOD_POST: call->method = ADMIN_POST; break;
    case METHOD_DELETE: call->method = ADMIN_DELETE; break;
    default: call->method = 0;
    }
}

static void read_fields(struct admin_call *call, const struct msg *m)
{
    call->fields = arena_alloc(&call->arena, (m->n_fields + 1) * sizeof(*call->fields));
    for (size_t i = 0; i < m->n_fields; i++) {
        call->fields[call->n_fields++] =
            (struct call_field){m->fields[i].name, m->fields[i].value};
    }
}

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

/* Who: the address, or the user on the other side of a Unix socket. */
static void read_peer(struct admin_call *call, int fd)
{
    struct addr peer = {.len = sizeof(peer.u.ss)};
    struct ucred who;
    socklen_t n = sizeof(who);
    char text[ADDR_TEXT_MAX];
    call->peer = STR("unknown");
    if (call->local->u.sa.sa_family == AF_UNIX) {
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
        conn_answered(c);
    }
}

static void http_send(struct admin_call *call, int status, const char *type, struct str body)
{
    struct exchange *x = call->transport;
    struct evkeyvalq *out = evhttp_request_get_output_headers(x->req);
    struct evbuffer *buffer = evhttp_request_get_output_buffer(x->req);
    struct conn *c = conn_of(x->http, x->req);
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
    if (c != NULL && (c->last || call->close || x->http->conns.draining)) {
        c->last = true;
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

static void http_forget(struct admin_call *call)
{
    forget_closed(call->transport);
}

/* evhttp is about to close the descriptor, perhaps because writing failed: the bufferevent,
 * which lives as long as admin/conn's reference, must not read from the next one with its
 * number. */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
    (void)arg;
    bufferevent_disable(evhttp_connection_get_bufferevent(evcon), EV_READ | EV_WRITE);
}

/* The inlet's request for the call, or its refusal. */
static void read_request(struct admin_call *call, struct conn *c)
{
    struct msg m;
    if (c->inlet.status != 0) {
        call->head = c->inlet.msg.method == METHOD_HEAD;
        c->last = true;
        return;
    }
    inlet_take(&c->inlet, &call->arena, &m, &call->body);
    c->last = !m.keep_alive || m.minor == 0;
    call->target = m.target;
    read_method(call, &m);
    read_fields(call, &m);
    read_peer(call, bufferevent_getfd(c->bev));
    read_route(call);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct http *h = arg;
    struct conn *c = conn_of(h, req);
    loop_touch(loop_of(h));
    if (c == NULL || !c->busy) {
        evhttp_send_error(req, 500, NULL); /* not one that admin/conn has shown */
        return;
    }
    evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_close, NULL);
    struct admin_call *call = call_new(h->plane);
    call->local = &h->addr;
    call->guarded = h->guarded;
    read_request(call, c);
    struct exchange *x = arena_zalloc(&call->arena, sizeof(*x));
    x->http = h;
    x->req = req;
    call->transport = x;
    call->send = http_send;
    call->watch = http_watch;
    call->forget = http_forget;
    if (c->inlet.status != 0) {
        admin_problem(call, c->inlet.status, "%s", c->inlet.why);
    } else {
        call_dispatch(call);
    }
}

/* ---- life ---------------------------------------------------------------------------------
 */

struct http *http_new(struct plane *plane, const struct addr *addr, int fd)
{
    struct http *h = xcalloc(1, sizeof(*h));
    struct event_base *base = plane->context.loop->base;
    h->plane = plane;
    h->addr = *addr;
    conns_init(&h->conns, plane->context.loop);
    deadline_init(&h->reopen, on_reopen);
    h->server = evhttp_new(base);
    h->listener = evconnlistener_new(
        base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    if (h->server != NULL && h->listener != NULL) {
        h->bound = evhttp_bind_listener(h->server, h->listener);
    }
    if (h->bound == NULL) {
        abort(); /* out of memory, as base/mem does */
    }
    evconnlistener_set_error_cb(h->listener, on_accept_error);
    evhttp_set_bevcb(h->server, on_accept, h);
    evhttp_set_gencb(h->server, on_request, h);
    evhttp_set_timeout(h->server, STALL_S);
    accepting = h;
    return h;
}

static void on_drained(void *ctx)
{
    http_free(ctx);
}

void http_drain(struct http *h, bool guarded)
{
    h->guarded = guarded;
    deadline_cancel(&h->reopen);
    evhttp_del_accept_socket(h->server, h->bound); /* and its listener */
    h->bound = NULL;
    accepting = NULL;
    h->next = h->plane->draining;
    h->plane->draining = h;
    conns_drain(&h->conns, on_drained, h);
}

void http_free(struct http *h)
{
    struct http **at = &h->plane->draining;
    while (*at != NULL && *at != h) {
        at = &(*at)->next;
    }
    if (*at == h) {
        *at = h->next;
    }
    deadline_cancel(&h->reopen);
    evhttp_free(h->server); /* and its listener */
    conns_fini(&h->conns);
    free(h);
}
