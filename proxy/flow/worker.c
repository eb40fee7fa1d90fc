/*
 * Worker threads. Reload and drain arrive as mail, so that everything here runs between two
 * events of the loop and needs no lock.
 *
 * A reload swaps worker->config; the old one stays until its last request has finished
 * (config_use counts them) and is then given back on the control thread, because freeing a
 * configuration can take longer than clients should wait.
 */
#include "flow/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/log.h"
#include "base/mem.h"
#include "flow/accesslog.h"
#include "flow/client.h"
#include "flow/recent.h"
#include "flow/redis_tier.h"
#include "flow/request.h"
#include "flow/settle.h"
#include "flow/top.h"
#include "upstream/fetch.h"

#define SWEEP_MS     50   /* while draining */
#define NEW_GRACE_MS 1000 /* for connections whose first request may be on its way */
#define FREE_AT_ONCE 16   /* idle connections given up when descriptors run out */
#define CUT_GRACE_MS 50   /* from the drain's limit to the end of the thread */

static void on_drain_end(struct deadline *d);
static void on_drain_sweep(struct deadline *d);

/* ---- configurations --------------------------------------------------------------------- */

static void on_drop(struct mail *m)
{
    struct config_use *use = container_of(m, struct config_use, drop);
    runtime_unref(use->runtime);
    free(use->cells);
    free(use);
}

/* Takes over the caller's reference. */
static struct config_use *use_new(struct worker *w, struct runtime *runtime)
{
    struct config_use *use = xcalloc(1, sizeof(*use));
    use->runtime = runtime;
    use->worker = w;
    use->cells = xcalloc(runtime->settings->n_numbers, sizeof(struct stats_cell *));
    use->drop.fn = on_drop;
    return use;
}

static void use_free(struct config_use *use)
{
    if (use->worker->control != NULL) {
        loop_post(use->worker->control, &use->drop);
    } else {
        on_drop(&use->drop);
    }
}

static void use_retire(struct config_use *use)
{
    use->retired = true;
    if (use->requests == 0) {
        use_free(use);
    }
}

struct config_use *worker_config_take(struct worker *w)
{
    w->config->requests++;
    w->n_uses++;
    return w->config;
}

void worker_config_release(struct config_use *use)
{
    struct worker *w = use->worker;
    w->n_uses--;
    if (--use->requests == 0 && use->retired) {
        /* What its requests have left in the pool is of no use to newer ones. */
        pool_drop_others(w->pool, w->config->runtime->origins);
        use_free(use);
    }
    worker_check_drained(w);
}

void worker_draw_id(struct worker *w, char out[WORKER_ID_LENGTH])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t id = (w->id_salt ^ ++w->next_id) * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < WORKER_ID_LENGTH; i++) {
        out[i] = hex[id >> (60 - 4 * i) & 15];
    }
}

/* ---- reload ----------------------------------------------------------------------------- */

struct reload_mail {
    struct mail mail;
    struct worker *worker;
    struct runtime *runtime; /* a reference */
    int *fds;                /* one for each of its listens */
    void (*done)(void *ctx);
    void *ctx;
};

static void on_reloaded(struct mail *m)
{
    struct reload_mail *r = container_of(m, struct reload_mail, mail);
    r->done(r->ctx);
    free(r);
}

/* The position of this address in the settings' listens, or n_listens. */
static size_t find_listen(const struct settings *s, const struct addr *addr)
{
    size_t i = 0;
    while (i < s->n_listens && !addr_eq(&s->listens[i].addr, addr)) {
        i++;
    }
    return i;
}

/* Closes listeners whose address is gone; the others learn their new position. */
static void sort_out_listeners(struct worker *w, const struct settings *next)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n_listeners; i++) {
        if (find_listen(next, &w->listeners[i]->addr) == next->n_listens) {
            listener_free(w->listeners[i]);
        } else {
            w->listeners[kept++] = w->listeners[i];
        }
    }
    w->n_listeners = kept;
    for (size_t i = 0; i < kept; i++) {
        w->listeners[i]->index = (unsigned)find_listen(next, &w->listeners[i]->addr);
    }
}

/* Opens listeners for the given fds; the current settings are theirs. */
static void add_listeners(struct worker *w, const int *fds)
{
    size_t n = config_settings(w->config)->n_listens;
    w->listeners = xrealloc(w->listeners, (w->n_listeners + n) * sizeof(struct listener *));
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0) {
            w->listeners[w->n_listeners++] = listener_new(w, fds[i], (unsigned)i);
        }
    }
}

/* Requests of an older configuration are logged where those of the current one are. */
static void set_access_log(struct worker *w)
{
    struct accesslog *log = w->config->runtime->access;
    accesslog_writer_free(w->access);
    w->access = log != NULL ? accesslog_writer_new(log, w->loop) : NULL;
}

static void close_fds(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static void on_reload(struct mail *m)
{
    struct reload_mail *r = container_of(m, struct reload_mail, mail);
    struct worker *w = r->worker;
    const struct settings *next = r->runtime->settings;
    if (w->draining) {
        close_fds(r->fds, next->n_listens);
        runtime_unref(r->runtime);
    } else {
        struct config_use *old = w->config;
        /* Before the change, because a closing listener still accepts by the old settings. */
        sort_out_listeners(w, next);
        w->config = use_new(w, r->runtime);
        if (r->runtime->access != old->runtime->access) {
            set_access_log(w);
        }
        add_listeners(w, r->fds);
        use_retire(old);
        pool_drop_others(w->pool, w->config->runtime->origins);
    }
    free(r->fds);
    m->fn = on_reloaded;
    loop_post(w->control, m);
}

void worker_reload(struct worker *w, struct runtime *runtime, const int *fds,
                   void (*done)(void *ctx), void *ctx)
{
    size_t n = runtime->settings->n_listens;
    struct reload_mail *r = xcalloc(1, sizeof(*r));
    r->mail.fn = on_reload;
    r->worker = w;
    r->runtime = runtime_ref(runtime);
    r->fds = xcalloc(n, sizeof(*fds));
    memcpy(r->fds, fds, n * sizeof(*fds));
    r->done = done;
    r->ctx = ctx;
    loop_post(w->loop, &r->mail);
}

/* ---- drain ------------------------------------------------------------------------------ */

/* Does the socket hold bytes that the client's stream has not read yet? */
static bool input_waits(const struct client *c)
{
    char byte;
    return recv(c->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Between two requests, with everything sent and nothing read. */
static bool looks_idle(const struct client *c)
{
    return (c->state == CLIENT_IDLE || c->state == CLIENT_PROXY) && c->in.n == 0 &&
           c->stream.pending == 0;
}

/* Nothing has come either: may be closed without loss. */
static bool is_idle(const struct client *c)
{
    return looks_idle(c) && !input_waits(c);
}

/* Closes connections that carry nothing. One without any request so far gets a moment: its
 * client has just connected, and would find the door shut. */
static void sweep_idle(struct worker *w)
{
    bool grace = w->loop->now - w->drain_start < NEW_GRACE_MS;
    struct client *next;
    for (struct client *c = w->clients; c != NULL; c = next) {
        next = c->next;
        if (is_idle(c) && (c->requests > 0 || !grace)) {
            client_close(c, false);
        }
    }
}

/* Is all that goes on here the filling of a cache that ends with the process, for nobody? A
 * client of another worker may follow a fill, so there must be none at all. */
static bool only_fills_run(const struct worker *w)
{
    return w->n_uses > 0 && w->n_uses == w->fills && w->clients == NULL &&
           atomic_load_explicit(&w->node->connections, memory_order_relaxed) == 0;
}

/* Ends every exchange, and every wait for another node's. */
static void abort_all(struct worker *w)
{
    struct leases *leases = w->redis != NULL ? redis_worker_leases(w->redis) : NULL;
    if (leases != NULL) {
        leases_give_up(leases);
    }
    fetch_abort_all(w->pool);
}

static void on_drain_sweep(struct deadline *d)
{
    struct worker *w = container_of(d, struct worker, drain_sweep);
    sweep_idle(w);
    if (only_fills_run(w)) {
        abort_all(w);
    }
    if (!w->stopped) {
        deadline_set(w->loop, d, SWEEP_MS);
    }
}

static void stop(struct worker *w)
{
    w->stopped = true;
    deadline_cancel(&w->drain_end);
    deadline_cancel(&w->drain_sweep);
    loop_stop(w->loop);
}

void worker_check_drained(struct worker *w)
{
    if (w->draining && !w->stopped && w->clients == NULL && w->n_uses == 0) {
        stop(w);
    }
}

/* The limit is over: answers under way are cut, in a way that shows, and exchanges without a
 * client fail, so that a write whose outcome is not known invalidates. What hangs on mail of
 * other workers gets a moment. */
static void on_drain_end(struct deadline *d)
{
    struct worker *w = container_of(d, struct worker, drain_end);
    if (w->cut) {
        stop(w);
        return;
    }
    w->cut = true;
    if (w->n_uses > 0) {
        log_warn("worker %u: %zu request%s cut at the end of the drain", w->index, w->n_uses,
                 w->n_uses == 1 ? "" : "s");
    }
    deadline_set(w->loop, &w->drain_end, CUT_GRACE_MS);
    while (w->clients != NULL) {
        client_close(w->clients, !is_idle(w->clients));
    }
    abort_all(w);
    worker_check_drained(w);
}

struct drain_mail {
    struct mail mail;
    struct worker *worker;
    msec_t limit;
};

static void on_drain(struct mail *m)
{
    struct drain_mail *dm = container_of(m, struct drain_mail, mail);
    struct worker *w = dm->worker;
    msec_t limit = dm->limit;
    free(dm);
    if (w->stopped || w->cut) {
        return;
    }
    if (!w->draining) {
        w->draining = true;
        w->drain_start = w->loop->now;
        while (w->n_listeners > 0) {
            listener_free(w->listeners[--w->n_listeners]);
        }
        pool_drop_others(w->pool, NULL);
        on_drain_sweep(&w->drain_sweep);
    }
    deadline_set(w->loop, &w->drain_end, limit);
    worker_check_drained(w);
}

void worker_drain(struct worker *w, msec_t limit)
{
    struct drain_mail *dm = xcalloc(1, sizeof(*dm));
    dm->mail.fn = on_drain;
    dm->worker = w;
    dm->limit = limit;
    loop_post(w->loop, &dm->mail);
}

/* ---- descriptors ------------------------------------------------------------------------ */

/* Puts c in its place among the n (at most FREE_AT_ONCE) that have been idle longest. All idle
 * connections have the same timeout, so the first to end is the oldest; of equal ones the one
 * that connected first, which comes later in the list. Returns the new n. */
static size_t insert_oldest(struct client *oldest[FREE_AT_ONCE], size_t n, struct client *c)
{
    size_t at = n;
    while (at > 0 && c->deadline.when <= oldest[at - 1]->deadline.when) {
        at--;
    }
    if (at == FREE_AT_ONCE) {
        return n;
    }
    n = n < FREE_AT_ONCE ? n + 1 : n;
    memmove(oldest + at + 1, oldest + at, (n - at - 1) * sizeof(struct client *));
    oldest[at] = c;
    return n;
}

void worker_free_fds(struct worker *w)
{
    struct client *oldest[FREE_AT_ONCE];
    size_t n = 0;
    pool_drop_others(w->pool, NULL);
    for (struct client *c = w->clients; c != NULL; c = c->next) {
        if (c->requests > 0 && looks_idle(c)) {
            n = insert_oldest(oldest, n, c);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!input_waits(oldest[i])) {
            client_close(oldest[i], false);
        }
    }
}

/* ---- thread ----------------------------------------------------------------------------- */

static void on_ended_mail(struct mail *m)
{
    struct worker *w = container_of(m, struct worker, ended);
    w->on_ended(w);
}

static void *worker_thread(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof(name), "larder/%u", w->index % 10000);
    pthread_setname_np(pthread_self(), name);
    loop_run(w->loop);
    loop_post(w->control, &w->ended);
    return NULL;
}

struct worker *worker_new(unsigned index, struct node *node, struct runtime *runtime,
                          const int *fds, void *owner)
{
    struct loop *loop = loop_new();
    if (loop == NULL) {
        close_fds(fds, runtime->settings->n_listens);
        return NULL;
    }
    struct worker *w = xcalloc(1, sizeof(*w));
    w->loop = loop;
    w->node = node;
    w->index = index;
    w->owner = owner;
    w->stats = stats_worker_new(node->stats);
    w->recent = recent_new();
    w->top = top_new();
    w->config = use_new(w, runtime_ref(runtime));
    w->pool = pool_new(loop);
    if (node->redis != NULL) {
        w->redis = redis_worker_new(node->redis, loop);
    }
    set_access_log(w);
    w->ended.fn = on_ended_mail;
    deadline_init(&w->drain_end, on_drain_end);
    deadline_init(&w->drain_sweep, on_drain_sweep);
    if (RAND_bytes((unsigned char *)&w->id_salt, sizeof(w->id_salt)) != 1 ||
        RAND_bytes((unsigned char *)&w->next_id, sizeof(w->next_id)) != 1) {
        log_warn("no random numbers for request ids: %s", strerror(errno));
    }
    add_listeners(w, fds);
    return w;
}

bool worker_start(struct worker *w, struct loop *control, void (*ended)(struct worker *w))
{
    w->control = control;
    w->on_ended = ended;
    errno = pthread_create(&w->thread, NULL, worker_thread, w);
    w->started = errno == 0;
    return w->started;
}

void worker_join(struct worker *w)
{
    if (w->started) {
        pthread_join(w->thread, NULL);
        w->started = false;
    }
}

void worker_end(struct worker *w)
{
    /* Mail of other workers that came after the end finds the worker still whole. */
    w->draining = true;
    w->stopped = true;
    loop_turn(w->loop, false);
    while (w->n_listeners > 0) {
        listener_free(w->listeners[--w->n_listeners]);
    }
    while (w->clients != NULL) {
        client_close(w->clients, true);
    }
    loop_turn(w->loop, false);
    settle_finish(w);
}

void worker_free(struct worker *w)
{
    worker_end(w);
    while (w->free_requests != NULL) {
        struct request *rq = w->free_requests;
        w->free_requests = rq->next_free;
        strbuf_free(&rq->head);
        free(rq);
    }
    use_retire(w->config);
    pool_free(w->pool);
    if (w->redis != NULL) {
        redis_worker_free(w->redis);
    }
    accesslog_writer_free(w->access);
    recent_free(w->recent);
    top_free(w->top);
    loop_free(w->loop);
    strbuf_free(&w->build);
    free(w->listeners);
    free(w);
}
