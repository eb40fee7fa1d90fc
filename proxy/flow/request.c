/*
 * The request's life and its first steps: what was asked, of whom, by which route.
 */
#include "flow/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/l2.h"
#include "flow/cors.h"
#include "flow/debug.h"
#include "flow/intent.h"
#include "flow/refresh.h"
#include "flow/reply.h"
#include "flow/request_log.h"
#include "flow/request_stats.h"
#include "flow/steps.h"
#include "flow/websocket.h"
#include "http/forwarded.h"
#include "http/h1.h"

#define FREE_REQUESTS_MAX 256 /* finished requests kept for the next ones, per worker */

static void on_deferred(struct deferred *d);

int64_t request_clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- lifetime --------------------------------------------------------------------------- */

static struct request *request_take(struct worker *w)
{
    struct request *rq = w->free_requests;
    struct strbuf head = {0};
    if (rq != NULL) {
        w->free_requests = rq->next_free;
        w->n_free_requests--;
        head = rq->head;
    } else {
        rq = xmalloc(sizeof(*rq));
    }
    memset(rq, 0, REQUEST_CLEARED);
    rq->head = head;
    rq->head.n = 0;
    rq->worker = w;
    rq->config = worker_config_take(w);
    rq->deferred.fn = on_deferred;
    rq->wall_start = w->loop->wall;
    if (request_stats_timed(w)) {
        rq->start_us = request_clock_us();
    }
    rq->reason_text = STR("-");
    arena_init(&rq->arena, rq->first, sizeof(rq->first));
    return rq;
}

static struct request *request_new(struct worker *w, struct client *c)
{
    struct request *rq = request_take(w);
    rq->client = c;
    addr_restore(&c->peer, &rq->peer);
    rq->tls = c->tls;
    c->request = rq;
    return rq;
}

struct request *request_new_own(struct worker *w, const struct addr *peer, bool tls)
{
    struct request *rq = request_take(w);
    rq->peer = *peer;
    rq->tls = tls;
    return rq;
}

struct request *request_new_explained(struct worker *w, struct explanation *x,
                                      const struct addr *peer, bool tls)
{
    struct request *rq = request_new_own(w, peer, tls);
    rq->explained = x;
    rq->notes = arena_zalloc(&rq->arena, sizeof(*rq->notes));
    return rq;
}

static void request_free(struct request *rq)
{
    struct worker *w = rq->worker;
    if (rq->refreshing != NULL) {
        refresh_run_end(rq);
    }
    learn_end(rq);
    if (rq->intent != 0) {
        intent_end(rq);
    }
    if (rq->stale != NULL) {
        entry_unref(rq->stale);
    }
    strbuf_free(&rq->body_text);
    arena_reset(&rq->arena);
    worker_config_release(rq->config);
    if (w->n_free_requests < FREE_REQUESTS_MAX) {
        rq->next_free = w->free_requests;
        w->free_requests = rq;
        w->n_free_requests++;
    } else {
        strbuf_free(&rq->head);
        free(rq);
    }
    worker_check_drained(w);
}

/* At the end of the turn: steps go on, a held-back head goes out, a flight is looked at, or the
 * end. */
static void on_deferred(struct deferred *d)
{
    struct request *rq = container_of(d, struct request, deferred);
    if (rq->free_due) {
        request_free(rq);
    } else if (rq->run_due) {
        rq->run_due = false;
        request_run(rq);
    } else if (rq->reader.flight != NULL) {
        deliver_pump(rq);
    } else {
        reply_flush(rq);
    }
}

void request_release(struct request *rq)
{
    if (rq->free_due || rq->client != NULL || rq->fetch != NULL || rq->lead != NULL) {
        return;
    }
    flight_leave(&rq->reader);
    rq->free_due = true;
    if (!rq->deferred.queued && rq->worker->loop != NULL) {
        loop_defer(rq->worker->loop, &rq->deferred);
    }
}

/* The request is over for its client: it is counted and logged. */
static void conclude(struct request *rq)
{
    int64_t end_us = rq->start_us != 0 ? request_clock_us() : 0;
    request_stats_end(rq, end_us);
    request_log_end(rq, end_us);
}

void request_finish(struct request *rq, bool abort)
{
    struct client *c = rq->client;
    rq->answered = true;
    deadline_cancel(&rq->wait);
    if (c != NULL) {
        rq->client = NULL;
        conclude(rq);
        flight_leave(&rq->reader);
        if (abort) {
            c->request = NULL;
            client_close(c, true);
        } else {
            client_request_done(c, !rq->close && rq->body_done);
        }
    }
    request_release(rq);
}

void request_detach(struct request *rq)
{
    rq->client = NULL;
    conclude(rq);
    request_release(rq);
}

void request_decide(struct request *rq, enum cache_result result, enum reason reason)
{
    rq->result = result;
    rq->reason = reason;
    rq->reason_text = reason_word(reason);
}

/* ---- the driver ------------------------------------------------------------------------- */

enum step_result request_step(struct request *rq)
{
    static enum step_result (*const steps[STEP_COUNT])(struct request *) = {
#define STEP(id, function) [STEP_##id] = function,
#include "tbl/steps.def"
#undef STEP
    };
    return steps[rq->step](rq);
}

void request_run(struct request *rq)
{
    enum step_result r;
    do {
        r = request_step(rq);
    } while (r == STEP_MORE);
    if (r == STEP_DONE) {
        step_finish(rq);
    }
}

enum step_result step_finish(struct request *rq)
{
    request_finish(rq, false);
    return STEP_WAIT;
}

/* ---- RECV ------------------------------------------------------------------------------- */

/* An answer that ends the request before it is routed; the rest of its bytes is not trusted. */
static enum step_result refuse(struct request *rq, int status, enum reason reason,
                               const char *detail)
{
    rq->close = true;
    reply_problem(rq, status, reason, detail);
    return STEP_DONE;
}

static bool acceptable_id(struct str id)
{
    if (id.n == 0 || id.n > 64) {
        return false;
    }
    for (size_t i = 0; i < id.n; i++) {
        char c = ascii_lower(id.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.')) {
            return false;
        }
    }
    return true;
}

struct str request_id(struct request *rq)
{
    const struct settings *s = config_settings(rq->config);
    if (rq->id.n > 0) {
        return rq->id;
    }
    if (cidr_match(&s->trusted_proxies, &rq->peer)) {
        rq->id = msg_get(&rq->msg, FIELD_X_REQUEST_ID);
    }
    if (!acceptable_id(rq->id)) {
        char *made = arena_alloc(&rq->arena, WORKER_ID_LENGTH);
        worker_draw_id(rq->worker, made);
        rq->id = str_make(made, WORKER_ID_LENGTH);
    }
    return rq->id;
}

/* Most requests of a worker name the same host: its validated form is kept beside the bytes. */
static bool parse_host(struct request *rq, struct str value, struct host *out)
{
    struct host_memo *memo = &rq->worker->host_memo;
    if (memo->n == value.n && memo->tls == rq->tls &&
        memcmp(memo->raw, value.p, value.n) == 0) {
        out->name = str_make(value.p, memo->name_n);
        out->port = memo->port_n > 0 ? str_skip(value, value.n - memo->port_n) : STR_NULL;
        return true;
    }
    if (!host_parse(value, rq->tls, &rq->arena, out)) {
        return false;
    }
    /* Remembered if it was sent in its canonical form, so that slices of it will do. */
    bool same_name =
        str_starts(value, out->name) && (out->name.n == value.n || value.p[out->name.n] == ':');
    bool same_port =
        out->port.n <= value.n && str_eq(str_skip(value, value.n - out->port.n), out->port);
    if (value.n <= sizeof(memo->raw) && same_name && same_port) {
        memcpy(memo->raw, value.p, value.n);
        memo->n = (uint8_t)value.n;
        memo->name_n = (uint8_t)out->name.n;
        memo->port_n = (uint8_t)out->port.n;
        memo->tls = rq->tls;
    }
    return true;
}

/* Host, or the authority of an absolute-form target, which must agree (K1, K2). */
static const char *resolve_host(struct request *rq)
{
    struct str value = msg_get(&rq->msg, FIELD_HOST);
    if (value.p == NULL) {
        value = rq->target.form == TARGET_ABSOLUTE ? rq->target.authority : STR("");
    }
    if (value.n == 0) {
        return rq->msg.minor == 0 ? NULL : "an empty Host";
    }
    if (!parse_host(rq, value, &rq->host)) {
        return "a malformed Host";
    }
    if (rq->target.form == TARGET_ABSOLUTE) {
        struct host target_host;
        if (!host_parse(rq->target.authority, rq->tls, &rq->arena, &target_host) ||
            !str_eq(target_host.name, rq->host.name) ||
            !str_eq(target_host.port, rq->host.port)) {
            return "Host and the target's authority differ";
        }
    }
    return NULL;
}

enum step_result step_recv(struct request *rq)
{
    const struct settings *s = config_settings(rq->config);
    debug_begin(rq);
    if (rq->msg.method == METHOD_TRACE || rq->msg.method == METHOD_CONNECT) {
        return refuse(rq, 405, REASON_METHOD, "this method is not served");
    }
    if (rq->msg.target.n > s->limits.target_length) {
        return refuse(rq, 414, REASON_LIMIT, "the request target is too long");
    }
    const char *bad = target_parse(rq->msg.target, &rq->arena, &rq->target);
    if (bad == NULL && rq->target.form == TARGET_ASTERISK && rq->msg.method != METHOD_OPTIONS) {
        bad = "* is for OPTIONS only";
    }
    if (bad == NULL && rq->target.form == TARGET_AUTHORITY) {
        bad = "an authority is for CONNECT only";
    }
    if (bad == NULL) {
        bad = resolve_host(rq);
    }
    if (bad != NULL) {
        return refuse(rq, 400, REASON_BAD_REQUEST, bad);
    }
    if (forwarded_loops(&rq->msg)) {
        return refuse(rq, 508, REASON_BAD_REQUEST, "the request has been here before");
    }
    identity_strip(s, &rq->msg, &rq->peer);
    rq->step = STEP_ROUTE;
    return STEP_MORE;
}

/* ---- ROUTE ------------------------------------------------------------------------------ */

/* A path without a route for this method goes where the path's GET route goes, so that a write
 * reaches the backend that serves what it changes; else to the site's default upstream. */
static const struct upstream_settings *choose_upstream(const struct request *rq)
{
    if (rq->match.route == NULL && rq->match.path_known_other_method) {
        struct route_match get;
        route_find(rq->config->runtime->routes, rq->site, STR("GET"), rq->target.path, &get);
        if (get.route != NULL && get.route->upstream != NULL) {
            return get.route->upstream;
        }
    }
    return rq->route->upstream != NULL ? rq->route->upstream : rq->site->fallback.upstream;
}

static void find_route(struct request *rq)
{
    route_find(rq->config->runtime->routes, rq->site, rq->msg.method_name, rq->target.path,
               &rq->match);
    bool found = rq->match.route != NULL;
    rq->route = found ? rq->match.route : &rq->site->fallback;
    rq->unsafe = !method_is_safe(rq->msg.method);
    rq->up = choose_upstream(rq);
    /* Anything else that asks for an upgrade is answered as an ordinary request. */
    rq->upgrade = rq->route->upgrade_websocket && websocket_asked(&rq->msg);
    request_decide(rq, CACHE_PASS, found ? REASON_NOT_CACHED : REASON_NO_ROUTE);
    if (rq->upgrade) {
        request_decide(rq, CACHE_PASS, REASON_UPGRADE);
    } else if (rq->route->cached && rq->target.semicolon) {
        request_decide(rq, CACHE_BYPASS, REASON_SEMICOLON);
    } else if (rq->route->cached) {
        rq->step = body_key_wanted(rq) ? STEP_BODY : STEP_KEY;
        return;
    }
    rq->step = STEP_PASS;
}

enum step_result step_route(struct request *rq)
{
    rq->site = route_site(rq->config->runtime->routes, rq->host.name);
    if (rq->site == NULL) {
        return refuse(rq, 421, REASON_NO_ROUTE, "this host is not served here");
    }
    if (rq->site->redirect_https && !rq->tls) {
        reply_redirect_https(rq);
        rq->close = rq->close || !rq->body_done;
        return STEP_DONE;
    }
    find_route(rq);
    if ((rq->route->cors != NULL || rq->msg.method == METHOD_OPTIONS) && cors_begin(rq)) {
        rq->close = rq->close || !rq->body_done;
        return STEP_DONE;
    }
    if (rq->up == NULL) {
        return refuse(rq, 404, REASON_NO_ROUTE, "nothing is served here");
    }
    if (rq->msg.framing == FRAMING_LENGTH && rq->route->max_body >= 0 &&
        rq->msg.content_length > (uint64_t)rq->route->max_body) {
        return refuse(rq, 413, REASON_LIMIT, "the request body is too large");
    }
    return STEP_MORE;
}

/* ---- from the client -------------------------------------------------------------------- */

bool request_read_head(struct request *rq, struct str head)
{
    const struct settings *s = config_settings(rq->config);
    struct str copy = arena_dup(&rq->arena, head);
    struct h1_verdict v = h1_parse_request(copy, &rq->arena, s->underscore_headers, &rq->msg);
    rq->close = !rq->msg.keep_alive || rq->worker->draining;
    rq->body_done =
        v.status == 0 && (rq->msg.framing == FRAMING_NONE ||
                          (rq->msg.framing == FRAMING_LENGTH && rq->msg.content_length == 0));
    if (v.status != 0) {
        rq->close = true;
        reply_problem(rq, v.status, REASON_BAD_REQUEST, v.why);
        return false;
    }
    body_start(&rq->body, &rq->msg);
    rq->step = STEP_RECV;
    return true;
}

void request_start(struct client *c, struct str head)
{
    struct request *rq = request_new(c->worker, c);
    if (request_read_head(rq, head)) {
        request_run(rq);
    } else {
        request_finish(rq, false);
    }
}

void request_refuse(struct client *c, int status, const char *why)
{
    assert(c->request == NULL);
    struct request *rq = request_new(c->worker, c);
    c->state = CLIENT_REQUEST;
    rq->close = true;
    reply_problem(rq, status, status == 400 ? REASON_BAD_REQUEST : REASON_LIMIT, why);
    request_finish(rq, false);
}

/* A body that cannot go on: the exchange is given up, the client told if it has no answer yet.
 */
static void refuse_body(struct request *rq, int status, const char *why)
{
    bool answered = rq->head_sent || rq->head.n > 0;
    exchange_client_gone(rq);
    if (rq->client == NULL) {
        return;
    }
    if (answered) {
        request_finish(rq, true);
        return;
    }
    rq->close = true;
    reply_problem(rq, status, status == 400 ? REASON_BAD_REQUEST : REASON_LIMIT, why);
    request_finish(rq, false);
}

size_t request_body_input(struct request *rq, struct str in, bool *done)
{
    size_t total = 0;
    *done = false;
    for (;;) {
        size_t used;
        struct str piece;
        enum body_result r = body_next_run(&rq->body, in, &used, &piece);
        total += used;
        in = str_skip(in, used);
        if (r == BODY_MORE) {
            if (rq->step == STEP_BODY) {
                body_key_paused(rq);
            }
            return total;
        }
        if (r == BODY_DONE) {
            rq->body_done = true;
            *done = true;
            if (rq->step == STEP_BODY) {
                body_key_ended(rq);
            } else if (rq->fetch != NULL) {
                fetch_send_end(rq->fetch);
            }
            return total;
        }
        if (r == BODY_ERROR) {
            refuse_body(rq, 400, "a malformed chunked body");
            return total;
        }
        rq->body_bytes += piece.n;
        if (rq->route->max_body >= 0 && rq->body_bytes > (uint64_t)rq->route->max_body) {
            refuse_body(rq, 413, "the request body is too large");
            return total;
        }
        if (rq->step == STEP_BODY) {
            body_key_add(rq, piece);
        } else if (rq->fetch != NULL) {
            fetch_send(rq->fetch, piece);
            if (fetch_body_full(rq->fetch)) {
                client_want_body(rq->client, false);
                return total;
            }
        }
    }
}

void request_body_timeout(struct request *rq)
{
    refuse_body(rq, 408, "the request body took too long");
}

void request_writable(struct request *rq)
{
    if (rq->reader.flight != NULL) {
        deliver_pump(rq);
    } else {
        exchange_writable(rq);
    }
}

/* An event stream whose reader has ended its side has nobody left to read it; any other answer
 * is finished, because some clients shut their writing half and wait. */
void request_input_ended(struct request *rq)
{
    if (rq->reason == REASON_STREAM && rq->head_sent) {
        client_close(rq->client, false);
    }
}

void request_client_gone(struct request *rq)
{
    rq->client = NULL;
    if (rq->status == 0) {
        rq->status = 499; /* nginx's number for a client that did not wait */
        request_decide(rq, rq->result, REASON_CLIENT_GONE);
    }
    conclude(rq);
    deadline_cancel(&rq->wait);
    if (rq->l2 != NULL && rq->lead == NULL) {
        l2_get_cancel(rq->l2);
        rq->l2 = NULL;
    }
    flight_leave(&rq->reader);
    if (rq->announcing != NULL) {
        intent_end(rq); /* it has not been forwarded */
    }
    if (rq->lead == NULL) {
        exchange_client_gone(rq);
    }
    request_release(rq);
}
