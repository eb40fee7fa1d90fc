/*
 * One probe for each server. Every check opens a connection of its own, because what is to be
 * known is whether the server still accepts connections.
 */
#include "upstream/health.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "upstream/fetch.h"

#define FAILURES_MAX 2
#define TIMEOUT_MAX  2000
#define FIRST_WITHIN 100           /* ms until a probe's first check, so that they spread */
#define BODY_MAX     (64u * 1024u) /* of an answer; what follows is not waited for */

/* One server under watch. */
struct probe {
    struct health *health;
    struct origin_server *server;
    struct strbuf head;   /* the request */
    struct deadline next; /* the next check begins */
    struct fetch *fetch;  /* the check under way, or NULL */
    unsigned failures;    /* in a row */
    int status;           /* of its answer, 0: none yet */
    size_t body;          /* bytes of it */
};

struct health {
    struct loop *loop;
    struct pool *pool;
    struct origins *origins;
    struct probe *probes;
    size_t n;
    struct deferred end;
};

static void on_head(struct fetch *f, const struct msg *m);
static void on_data(struct fetch *f, struct str piece);
static void on_done(struct fetch *f);
static void on_failed(struct fetch *f, enum fetch_error e);

static const struct fetch_ops probe_ops = {
    .head = on_head,
    .data = on_data,
    .done = on_done,
    .failed = on_failed,
};

static const struct upstream_settings *upstream_of(const struct probe *p)
{
    return p->server->origin->settings;
}

/* ---- verdicts --------------------------------------------------------------------------- */

static const char *describe(enum fetch_error e)
{
    switch (e) {
    case FETCH_CONNECT: return "no connection";
    case FETCH_TIMEOUT: return "no answer in time";
    case FETCH_BAD: return "a malformed answer";
    case FETCH_OK:
    case FETCH_NO_SERVER:
    case FETCH_RESET: break;
    }
    return "the connection ended without an answer";
}

static void judge(struct probe *p, enum fetch_error e)
{
    const struct upstream_settings *us = upstream_of(p);
    bool ok = p->status >= 200 && p->status < 400;
    p->failures = ok ? 0 : p->failures + 1;
    if (ok && atomic_exchange(&p->server->unhealthy, false)) {
        log_info("upstream %.*s: server %.*s is healthy again", STR_ARG(us->name),
                 STR_ARG(p->server->settings->url));
    }
    if (p->failures < FAILURES_MAX || atomic_exchange(&p->server->unhealthy, true)) {
        return;
    }
    if (p->status != 0) {
        log_warn("upstream %.*s: server %.*s is unhealthy: status %d for %.*s",
                 STR_ARG(us->name), STR_ARG(p->server->settings->url), p->status,
                 STR_ARG(us->health_path));
    } else {
        log_warn("upstream %.*s: server %.*s is unhealthy: %s for %.*s", STR_ARG(us->name),
                 STR_ARG(p->server->settings->url), describe(e), STR_ARG(us->health_path));
    }
}

/* ---- one check -------------------------------------------------------------------------- */

static msec_t timeout_of(const struct probe *p)
{
    msec_t interval = upstream_of(p)->health_interval;
    return interval < TIMEOUT_MAX ? interval : TIMEOUT_MAX;
}

/* The interval, give or take a tenth, so that nodes do not ask in step. */
static msec_t next_wait(const struct probe *p)
{
    msec_t interval = upstream_of(p)->health_interval;
    return interval - interval / 10 + random() % (interval / 5 + 1);
}

static void check_end(struct probe *p, enum fetch_error e)
{
    fetch_free(p->fetch);
    p->fetch = NULL;
    judge(p, e);
    deadline_set(p->health->loop, &p->next, next_wait(p));
}

static void on_head(struct fetch *f, const struct msg *m)
{
    struct probe *p = fetch_owner(f);
    p->status = m->status;
}

static void on_data(struct fetch *f, struct str piece)
{
    struct probe *p = fetch_owner(f);
    p->body += piece.n;
    if (p->body > BODY_MAX) {
        check_end(p, FETCH_OK);
    }
}

static void on_done(struct fetch *f)
{
    check_end(fetch_owner(f), FETCH_OK);
}

/* A failure after the head leaves the head's verdict: the server has answered. */
static void on_failed(struct fetch *f, enum fetch_error e)
{
    check_end(fetch_owner(f), e);
}

static void on_next(struct deadline *d)
{
    struct probe *p = container_of(d, struct probe, next);
    struct health *h = p->health;
    msec_t timeout = timeout_of(p);
    const struct fetch_request request = {
        .method = METHOD_GET,
        .head = strbuf_str(&p->head),
        .body = FRAMING_NONE,
        .pinned = p->server,
        .timeout = {.connect = timeout,
                    .first_byte = timeout,
                    .idle = timeout,
                    .total = timeout},
        .head_limit = 32u * 1024u,
        .count_limit = 100,
        .line_limit = 8u * 1024u,
    };
    p->status = 0;
    p->body = 0;
    p->fetch = fetch_new(h->pool, h->origins, p->server->origin, &request, &probe_ops, p);
    fetch_start(p->fetch);
}

/* ---- lifetime --------------------------------------------------------------------------- */

static void probe_start(struct health *h, struct probe *p, struct origin_server *server)
{
    struct str authority = server->settings->authority;
    p->health = h;
    p->server = server;
    strbuf_addf(&p->head,
                "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: larder-health\r\n"
                "Accept: */*\r\nConnection: close\r\n\r\n",
                STR_ARG(upstream_of(p)->health_path),
                STR_ARG(authority.n > 0 ? authority : STR("localhost")));
    deadline_init(&p->next, on_next);
    deadline_set(h->loop, &p->next, random() % FIRST_WITHIN);
}

static size_t count_servers(struct origins *origins)
{
    size_t n = 0;
    for (unsigned i = 0; i < origins_count(origins); i++) {
        n += origins_get(origins, i)->n_servers;
    }
    return n;
}

static void on_end(struct deferred *d)
{
    struct health *h = container_of(d, struct health, end);
    pool_free(h->pool);
    origins_unref(h->origins);
    free(h->probes);
    free(h);
}

struct health *health_new(struct loop *loop, struct origins *origins)
{
    struct health *h = xcalloc(1, sizeof(*h));
    h->loop = loop;
    h->pool = pool_new(loop);
    h->origins = origins_ref(origins);
    h->probes = xcalloc(count_servers(origins), sizeof(*h->probes));
    h->end.fn = on_end;
    for (unsigned i = 0; i < origins_count(origins); i++) {
        struct origin *o = origins_get(origins, i);
        for (size_t k = 0; k < o->n_servers && o->settings->health_path.n > 0; k++) {
            probe_start(h, &h->probes[h->n++], &o->servers[k]);
        }
    }
    return h;
}

void health_free(struct health *h)
{
    if (h == NULL) {
        return;
    }
    for (size_t i = 0; i < h->n; i++) {
        struct probe *p = &h->probes[i];
        deadline_cancel(&p->next);
        if (p->fetch != NULL) {
            fetch_free(p->fetch);
        }
        strbuf_free(&p->head);
    }
    /* Connections and fetches end first: they are queued before us. */
    loop_defer(h->loop, &h->end);
}
