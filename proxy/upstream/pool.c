/*
 * The pool: one short list per server, newest first (the oldest die of idleness). A worker has
 * few servers, so the lists are found by a linear look.
 */
#include "upstream/pool.h"

#include <stdlib.h>

#include "base/counter.h"
#include "base/mem.h"

/* Idle connections to one server. */
struct pool_list {
    struct origin_server *server;
    struct origins *origins; /* compared only; the connections hold the references */
    struct upconn *head;     /* newest */
    struct upconn *tail;     /* oldest */
    size_t n;
};

struct pool {
    struct loop *loop;
    struct pool_list *lists;
    size_t n_lists;
    size_t idle;           /* over all lists */
    struct fetch *fetches; /* list, see pool_fetches() */
    struct counter open;   /* connections that are not closed */
};

static void on_idle_event(struct stream *s);
static void on_idle_failed(struct stream *s, enum stream_error e);
static void on_idle_timeout(struct deadline *d);

static const struct stream_ops idle_ops = {
    .readable = on_idle_event,
    .failed = on_idle_failed,
};

struct pool *pool_new(struct loop *loop)
{
    struct pool *p = xcalloc(1, sizeof(*p));
    p->loop = loop;
    return p;
}

static struct pool_list *list_find(struct pool *p, const struct origin_server *server)
{
    for (size_t i = 0; i < p->n_lists; i++) {
        if (p->lists[i].server == server) {
            return &p->lists[i];
        }
    }
    return NULL;
}

static struct pool_list *list_make(struct pool *p, struct upconn *uc)
{
    struct pool_list *l = list_find(p, uc->server);
    if (l != NULL) {
        return l;
    }
    p->lists = xrealloc(p->lists, (p->n_lists + 1) * sizeof(*p->lists));
    l = &p->lists[p->n_lists++];
    *l = (struct pool_list){.server = uc->server, .origins = uc->origins};
    return l;
}

static void list_remove(struct pool *p, struct upconn *uc)
{
    struct pool_list *l = list_find(p, uc->server);
    *(uc->prev != NULL ? &uc->prev->next : &l->head) = uc->next;
    *(uc->next != NULL ? &uc->next->prev : &l->tail) = uc->prev;
    uc->prev = uc->next = NULL;
    uc->listed = false;
    l->n--;
    p->idle--;
    deadline_cancel(&uc->idle);
    if (l->n == 0) {
        /* The server may be gone with its configuration: keep no pointer to it. */
        *l = p->lists[--p->n_lists];
    }
}

static void on_dead(struct deferred *d)
{
    struct upconn *uc = container_of(d, struct upconn, dead);
    origins_unref(uc->origins);
    free(uc);
}

void upconn_close(struct upconn *uc, bool reset)
{
    if (!uc->dead.queued) {
        counter_add(&uc->pool->open, (uint64_t)-1);
    }
    if (uc->listed) {
        list_remove(uc->pool, uc);
    }
    deadline_cancel(&uc->idle);
    stream_close(&uc->stream, reset);
    loop_defer(uc->pool->loop, &uc->dead);
}

static void on_idle_event(struct stream *s)
{
    /* The end, or bytes nobody asked for: either way of no use (response-queue poisoning). */
    upconn_close(container_of(s, struct upconn, stream), false);
}

static void on_idle_failed(struct stream *s, enum stream_error e)
{
    (void)e;
    upconn_close(container_of(s, struct upconn, stream), false);
}

static void on_idle_timeout(struct deadline *d)
{
    upconn_close(container_of(d, struct upconn, idle), false);
}

struct upconn *pool_get(struct pool *p, struct origin_server *server)
{
    struct pool_list *l;
    while ((l = list_find(p, server)) != NULL) {
        struct upconn *uc = l->head;
        list_remove(p, uc);
        if (!stream_peek_dirty(&uc->stream)) {
            return uc;
        }
        upconn_close(uc, false);
    }
    return NULL;
}

static void drop(struct pool *p, const struct origins *keep)
{
    for (size_t i = p->n_lists; i-- > 0;) {
        while (i < p->n_lists && p->lists[i].origins != keep && p->lists[i].head != NULL) {
            upconn_close(p->lists[i].head, false);
        }
    }
}

static SSL *make_ssl(void *ctx, int fd)
{
    struct origin_server *server = ctx;
    return tls_client_session(server->tls, fd, server->host);
}

static void start_connect(struct upconn *uc, const struct stream_ops *ops,
                          const struct addr *addr)
{
    stream_connect(&uc->stream, uc->pool->loop, ops, addr,
                   uc->server->tls != NULL ? make_ssl : NULL, uc->server);
}

struct upconn *pool_connect(struct pool *p, struct origins *origins,
                            struct origin_server *server, const struct stream_ops *ops,
                            void *user)
{
    struct addr addr;
    if (!origin_server_addr(server, &addr)) {
        return NULL;
    }
    struct upconn *uc = xcalloc(1, sizeof(*uc));
    counter_add(&p->open, 1);
    uc->pool = p;
    uc->origins = origins_ref(origins);
    uc->server = server;
    uc->user = user;
    uc->dead.fn = on_dead;
    deadline_init(&uc->idle, on_idle_timeout);
    start_connect(uc, ops, &addr);
    if (uc->stream.fd < 0 && p->idle > 0) {
        /* No descriptor is left, and we hold some that nobody uses. */
        loop_defer_cancel(p->loop, &uc->stream.deferred);
        drop(p, NULL);
        start_connect(uc, ops, &addr);
    }
    return uc;
}

void pool_put(struct upconn *uc)
{
    const struct upstream_settings *us = uc->server->origin->settings;
    struct pool *p = uc->pool;
    if (us->keepalive == 0 || !stream_is_open(&uc->stream)) {
        upconn_close(uc, false);
        return;
    }
    struct pool_list *l = list_make(p, uc);
    uc->user = NULL;
    uc->exchanges++;
    uc->stream.ops = &idle_ops;
    uc->prev = NULL;
    uc->next = l->head;
    *(l->head != NULL ? &l->head->prev : &l->tail) = uc;
    l->head = uc;
    l->n++;
    p->idle++;
    uc->listed = true;
    stream_want_read(&uc->stream, true);
    deadline_set(p->loop, &uc->idle, us->keepalive_timeout);
    if (l->n > us->keepalive) {
        upconn_close(l->tail, false);
    }
}

void pool_drop_others(struct pool *p, const struct origins *keep)
{
    drop(p, keep);
}

void pool_free(struct pool *p)
{
    drop(p, NULL);
    free(p->lists);
    free(p);
}

struct loop *pool_loop(const struct pool *p)
{
    return p->loop;
}

uint64_t pool_open(const struct pool *p)
{
    return counter_get(&p->open);
}

size_t pool_idle(const struct pool *p)
{
    return p->idle;
}

struct fetch **pool_fetches(struct pool *p)
{
    return &p->fetches;
}
