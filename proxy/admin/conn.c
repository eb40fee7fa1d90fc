/*
 * Connections. Each one's bufferevent is made here and kept in a list by a reference of our
 * own: libevent takes its callbacks off when it is done with it. What takes too long has its
 * socket shut down, which libevent then sees as the client's leaving.
 *
 * Input is taken out of the bufferevent as it is read from the socket, by a callback on its
 * buffer, before evhttp is told of it.
 */
#include "admin/conn.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <event2/buffer.h>

#include "admin/call.h"
#include "base/log.h"
#include "base/mem.h"

#define CONNECTIONS_MAX 64
#define READ_MS         30000 /* from the end of an answer, or the connection, to a request */
#define ANSWER_MS       (ADMIN_KEEP_MS + 60000) /* from the request to the answer's last byte */
#define AHEAD_MAX       (64u * 1024) /* of requests that wait for an answer before theirs */
#define SWEEP_MS        1000

/* ---- life ---------------------------------------------------------------------------------
 */

/* libevent has taken its callbacks off. */
static bool conn_over(const struct conn *c)
{
    bufferevent_event_cb on_event;
    bufferevent_getcb(c->bev, NULL, NULL, &on_event, NULL);
    return on_event == NULL;
}

static void conn_free(struct conn *c)
{
    struct conns *all = c->all;
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        all->list = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    evbuffer_remove_cb_entry(bufferevent_get_input(c->bev), c->tap);
    bufferevent_decref(c->bev);
    inlet_fini(&c->inlet);
    free(c);
    all->n--;
}

/* Not when libevent is done with it: its descriptor may be somebody else's by now. */
static void conn_cut(struct conn *c)
{
    int fd = bufferevent_getfd(c->bev);
    if (fd >= 0 && !c->cut && !conn_over(c)) {
        shutdown(fd, SHUT_RDWR);
    }
    c->cut = true;
}

/* ---- input --------------------------------------------------------------------------------
 */

/* What evhttp reads instead of the request. */
static void put_head(struct conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    bool head = c->inlet.msg.method == METHOD_HEAD;
    struct str shown = head ? STR("HEAD / HTTP/1.1\r\n\r\n") : STR("GET / HTTP/1.1\r\n\r\n");
    c->showing = true;
    evbuffer_unfreeze(input, 0); /* a socket's input is its bufferevent's to add to */
    evbuffer_add(input, shown.p, shown.n);
    evbuffer_freeze(input, 0);
    c->showing = false;
}

/* Lets evhttp call for the request that the inlet holds. Its own fields do not concern evhttp:
 * when the connection ends is said with the answer. */
static void show_request(struct conn *c)
{
    c->busy = true;
    c->since = c->all->loop->now;
    put_head(c);
}

/* Without evhttp, which would take it for an answer. Nothing else is being sent. */
static void send_continue(const struct conn *c)
{
    struct str interim = STR("HTTP/1.1 100 Continue\r\n\r\n");
    (void)!send(bufferevent_getfd(c->bev), interim.p, interim.n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void look(struct conn *c)
{
    switch (inlet_look(&c->inlet)) {
    case INLET_MORE: break;
    case INLET_CONTINUE: send_continue(c); break;
    case INLET_REQUEST:
    case INLET_REFUSED: show_request(c); break;
    }
}

/* Bytes were added to the input: from the socket, unless they are ours. */
static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct conn *c = arg;
    struct strbuf *in = &c->inlet.in;
    size_t n = info->n_added;
    bool unread = info->orig_size > 0; /* a head of ours that evhttp has not got to */
    if (c->showing || n == 0) {
        return;
    }
    loop_touch(c->all->loop);
    evbuffer_drain(input, info->orig_size);
    if (c->inlet.status == 0 && !c->last) {
        strbuf_reserve(in, n);
        ev_ssize_t got = evbuffer_remove(input, in->p + in->n, n);
        in->n += got > 0 ? (size_t)got : 0;
    }
    evbuffer_drain(input, n);
    if (unread) {
        put_head(c);
    }
    if (!c->busy && !c->last) {
        look(c);
    } else if (in->n > AHEAD_MAX) {
        bufferevent_disable(c->bev, EV_READ); /* evhttp enables it after the answer */
    }
}

void conn_answered(struct conn *c)
{
    c->busy = false;
    c->since = c->all->loop->now;
    if (c->last) {
        /* evhttp closes the descriptor now, but the bufferevent lives as long as our reference,
         * and a lingering copy would keep its number in epoll: it must not read any more. */
        bufferevent_disable(c->bev, EV_READ | EV_WRITE);
        lingers_add(&c->all->lingers, bufferevent_getfd(c->bev));
        return;
    }
    inlet_next_request(&c->inlet);
    look(c);
}

/* ---- bounds -------------------------------------------------------------------------------
 */

/* Forgets connections that are over. */
static void collect(struct conns *all)
{
    struct conn *next;
    for (struct conn *c = all->list; c != NULL; c = next) {
        next = c->next;
        if (conn_over(c)) {
            conn_free(c);
        }
    }
}

/* No request for too long: one that has begun to arrive is answered. */
static void too_slow(struct conn *c)
{
    if (c->cut || !inlet_begun(&c->inlet)) {
        conn_cut(c);
        return;
    }
    inlet_refuse(&c->inlet, 408, "the request did not arrive in time");
    show_request(c);
    bufferevent_trigger(c->bev, EV_READ, 0);
}

static void on_sweep(struct deadline *d)
{
    struct conns *all = container_of(d, struct conns, sweep);
    msec_t now = all->loop->now;
    struct conn *next;
    collect(all);
    for (struct conn *c = all->list; c != NULL; c = next) {
        next = c->next;
        if (c->busy && now - c->since > ANSWER_MS) {
            conn_cut(c);
        } else if (!c->busy && now - c->since > READ_MS) {
            too_slow(c);
        } else if (!c->busy && all->draining && !inlet_begun(&c->inlet)) {
            conn_cut(c);
        }
    }
    if (all->draining && all->n == 0 && all->lingers.n == 0) {
        all->drained(all->ctx);
    } else if (all->n > 0 || all->draining) {
        deadline_set(all->loop, d, SWEEP_MS);
    }
}

/* Too many: the one that has been idle longest goes, or else the newest. */
static void on_excess(struct deferred *d)
{
    struct conns *all = container_of(d, struct conns, excess);
    struct conn *worst = NULL;
    size_t alive = 0;
    collect(all);
    for (struct conn *c = all->list; c != NULL; c = c->next) {
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
            loop_defer(all->loop, d);
        }
    }
}

/* ---- all ----------------------------------------------------------------------------------
 */

void conns_init(struct conns *all, struct loop *loop)
{
    *all = (struct conns){.loop = loop, .lingers = {.loop = loop}};
    all->excess.fn = on_excess;
    deadline_init(&all->sweep, on_sweep);
}

void conns_fini(struct conns *all)
{
    deadline_cancel(&all->sweep);
    loop_defer_cancel(all->loop, &all->excess);
    while (all->list != NULL) {
        conn_free(all->list);
    }
    lingers_end(&all->lingers);
}

struct bufferevent *conns_add(struct conns *all)
{
    struct conn *c = xcalloc(1, sizeof(*c));
    loop_touch(all->loop);
    c->bev = bufferevent_socket_new(all->loop->base, -1, 0);
    c->tap =
        c->bev != NULL ? evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c) : NULL;
    if (c->tap == NULL) {
        if (c->bev != NULL) {
            bufferevent_free(c->bev);
        }
        free(c);
        return NULL;
    }
    bufferevent_incref(c->bev);
    inlet_init(&c->inlet);
    c->all = all;
    c->since = all->loop->now;
    c->next = all->list;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    all->list = c;
    if (++all->n > CONNECTIONS_MAX) {
        loop_defer(all->loop, &all->excess);
    }
    if (!deadline_armed(&all->sweep)) {
        deadline_set(all->loop, &all->sweep, SWEEP_MS);
    }
    return c->bev;
}

struct conn *conns_find(const struct conns *all, const struct bufferevent *bev)
{
    struct conn *c = all->list;
    while (c != NULL && c->bev != bev) {
        c = c->next;
    }
    return c;
}

void conns_drain(struct conns *all, void (*drained)(void *ctx), void *ctx)
{
    all->draining = true;
    all->drained = drained;
    all->ctx = ctx;
    for (struct conn *c = all->list; c != NULL; c = c->next) {
        if (!c->busy && !inlet_begun(&c->inlet)) {
            conn_cut(c);
        }
    }
    deadline_set(all->loop, &all->sweep, SWEEP_MS);
}
