/*
 * The first steps of a request: what was asked, of which host, and by which route it goes. What
 * is refused here has not been routed, and the rest of its bytes is not trusted.
 */
#include <string.h>

#include "flow/cors.h"
#include "flow/debug.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "flow/websocket.h"
#include "http/forwarded.h"

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
