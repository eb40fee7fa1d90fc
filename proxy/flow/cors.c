/*
 * The fields of RFC-less CORS, as browsers read them. An origin that is not allowed gets no
 * field and thereby no access; it is not refused, because requests from elsewhere than scripts
 * may carry Origin too.
 */
#include "flow/cors.h"

#include <string.h>

#include "flow/reply.h"
#include "flow/request.h"

#define ASKED_MAX 2048 /* bytes of a list that a preflight gets back */

/* ---- origins ----------------------------------------------------------------------------- */

/* Letters, digits, '-' and '.' of host names: what * may stand for. */
static bool are_labels(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.')) {
            return false;
        }
    }
    return s.n > 0 && s.p[0] != '.' && s.p[s.n - 1] != '.';
}

static bool fits_pattern(const struct cors_pattern *p, struct str origin)
{
    if (origin.n <= p->before.n + p->after.n || !str_starts(origin, p->before)) {
        return false;
    }
    struct str rest = str_skip(origin, p->before.n);
    struct str labels = str_make(rest.p, rest.n - p->after.n);
    return str_eq(str_skip(rest, labels.n), p->after) && are_labels(labels);
}

bool cors_allows(const struct cors_settings *c, struct str origin)
{
    if (c->any) {
        return true;
    }
    for (size_t i = 0; i < c->origins.n; i++) {
        if (str_eq(c->origins.list[i], origin)) {
            return true;
        }
    }
    for (size_t i = 0; i < c->n_patterns; i++) {
        if (fits_pattern(&c->patterns[i], origin)) {
            return true;
        }
    }
    return false;
}

bool cors_field(struct str name)
{
    static const struct str prefix = {"access-control-", 15};
    return name.n > prefix.n && str_ieq(str_make(name.p, prefix.n), prefix);
}

/* ---- answers ----------------------------------------------------------------------------- */

/* The fields of any answer to this request. */
static struct str answer_lines(struct request *rq, const struct cors_settings *c)
{
    if (c->any) {
        return c->lines;
    }
    struct str origin = msg_get(&rq->msg, FIELD_ORIGIN);
    if (origin.p == NULL || msg_count(&rq->msg, FIELD_ORIGIN) != 1 || !cors_allows(c, origin)) {
        return STR("Vary: Origin\r\n"); /* for caches behind us: others get more */
    }
    return arena_printf(&rq->arena, "Vary: Origin\r\nAccess-Control-Allow-Origin: %.*s\r\n%.*s",
                        STR_ARG(origin), STR_ARG(c->lines));
}

/* A list of tokens that may be sent back as it came. */
static bool is_plain_list(struct str s)
{
    static const char also[] = "!#$%&'*+-.^_`|~, ";
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              memchr(also, c, sizeof(also) - 1) != NULL)) {
            return false;
        }
    }
    return s.n > 0 && s.n <= ASKED_MAX;
}

/* "NAME: what is allowed" with CRLF; what is asked for where nothing was configured. */
static struct str allow_line(struct request *rq, const char *name, struct str configured,
                             struct str asked)
{
    struct str value = configured.n > 0 ? configured : asked;
    if (value.n == 0 || (configured.n == 0 && !is_plain_list(asked))) {
        return STR("");
    }
    return arena_printf(&rq->arena, "Access-Control-Allow-%s: %.*s\r\n", name, STR_ARG(value));
}

static void answer_preflight(struct request *rq, const struct cors_settings *c)
{
    struct str origin = msg_get(&rq->msg, FIELD_ORIGIN);
    struct str method = msg_get(&rq->msg, FIELD_ACCESS_CONTROL_REQUEST_METHOD);
    struct str headers = msg_joined(&rq->msg, FIELD_ACCESS_CONTROL_REQUEST_HEADERS, &rq->arena);
    struct str lines = STR("");
    if (cors_allows(c, origin)) {
        struct str methods_line = allow_line(rq, "Methods", c->methods, method);
        struct str headers_line = allow_line(rq, "Headers", c->headers, headers);
        lines = arena_printf(
            &rq->arena,
            "%.*s%.*sAccess-Control-Max-Age: %lld\r\n"
            "Vary: Access-Control-Request-Method, Access-Control-Request-Headers\r\n",
            STR_ARG(methods_line), STR_ARG(headers_line), (long long)(c->max_age / 1000));
    }
    reply_no_content(rq, REASON_PREFLIGHT, lines);
}

/* ---- requests ---------------------------------------------------------------------------- */

static bool is_preflight(const struct request *rq)
{
    return rq->msg.method == METHOD_OPTIONS && rq->target.form != TARGET_ASTERISK &&
           msg_count(&rq->msg, FIELD_ORIGIN) == 1 &&
           msg_count(&rq->msg, FIELD_ACCESS_CONTROL_REQUEST_METHOD) == 1;
}

/* The route that would serve what a preflight asks for. */
static const struct route_settings *asked_route(const struct request *rq)
{
    struct route_match match;
    route_find(rq->config->runtime->routes, rq->site,
               msg_get(&rq->msg, FIELD_ACCESS_CONTROL_REQUEST_METHOD), rq->target.path, &match);
    return match.route != NULL ? match.route : &rq->site->fallback;
}

bool cors_begin(struct request *rq)
{
    if (is_preflight(rq)) {
        const struct route_settings *route = asked_route(rq);
        if (route->cors != NULL) {
            rq->route = route;
            rq->cors = answer_lines(rq, route->cors);
            answer_preflight(rq, route->cors);
            return true;
        }
    }
    if (rq->route->cors != NULL) {
        rq->cors = answer_lines(rq, rq->route->cors);
    }
    return false;
}
