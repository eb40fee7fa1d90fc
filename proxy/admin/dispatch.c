/*
 * From a request to its handler. Order of the checks: shape of the target, Host, token, path
 * and method, origin, parameters, body. Without the token nobody learns which paths there are.
 */
#include <string.h>

#include "admin/call.h"
#include "admin/plane_state.h"
#include "base/log.h"

#define TARGET_MAX 8192

static bool is_json(struct str type)
{
    struct str media = str_trim(str_make(type.p, str_index(type, ';')));
    return str_ieq(media, STR("application/json"));
}

static bool check_body(struct admin_call *call)
{
    struct str type, coding;
    if (call->body.n == 0) {
        return true;
    }
    if (call->row->body_max == 0) {
        admin_problem(call, 400, "%s takes no body", call->row->path);
        return false;
    }
    if (call->body.n > call->row->body_max) {
        admin_problem(call, 413, "a body of at most %zu bytes is accepted here",
                      call->row->body_max);
        return false;
    }
    if (!call_single(call, "Content-Type", &type) || !is_json(type) ||
        !call_single(call, "Content-Encoding", &coding) || coding.n > 0) {
        admin_problem(call, 415,
                      "the body must be Content-Type: application/json, not encoded");
        return false;
    }
    return admin_body_object(call, false) != NULL; /* also where nobody looks at it */
}

/* Where the path stands in the table. Behind a route also without the route's part, and below
 * /api/cache: what a backend had under /v1/cache is served under /v1/cache. */
static void find_row(struct admin_call *call, struct str path, unsigned *allowed)
{
    unsigned other;
    call->row = endpoint_find(path, call->method, allowed, &call->rest);
    call->path = path;
    if (call->row != NULL || !call->routed || !str_starts(path, call->prefix)) {
        return;
    }
    struct str tail = str_skip(path, call->prefix.n);
    while (str_starts(tail, STR("/"))) {
        tail = str_skip(tail, 1);
    }
    struct str tries[] = {
        arena_printf(&call->arena, "/%.*s", STR_ARG(tail)),
        arena_printf(&call->arena, "/api/cache%s%.*s", tail.n > 0 ? "/" : "", STR_ARG(tail)),
    };
    for (size_t i = 0; i < 2 && call->row == NULL; i++) {
        call->row = endpoint_find(tries[i], call->method, &other, &call->rest);
        call->path = tries[i];
        *allowed |= other;
    }
}

/* False when answered: no such path, or not with this method. */
static bool check_row(struct admin_call *call, unsigned allowed)
{
    char allow[64];
    if (call->row != NULL) {
        return true;
    }
    if (allowed == 0) {
        admin_problem(call, 404, "there is no such endpoint");
        return false;
    }
    endpoint_allow(allowed, allow, sizeof(allow));
    admin_add_field(call, "Allow", allow);
    admin_problem(call, 405, "this endpoint takes %s", allow);
    return false;
}

void call_dispatch(struct admin_call *call)
{
    struct str target = call->target;
    if (target.n == 0 || target.n > TARGET_MAX || target.p[0] != '/' ||
        str_index(target, '#') < target.n) {
        admin_problem(call, 400, "the request target is not a path");
        return;
    }
    size_t n = str_index(target, '?');
    struct str query = n < target.n ? str_skip(target, n + 1) : STR_NULL;
    unsigned allowed = 0;
    find_row(call, str_make(target.p, n), &allowed);
    unsigned mark = call->routed ? ENDPOINT_PAGE : ENDPOINT_NO_TOKEN;
    bool open = call->row != NULL && (call->row->flags & mark) != 0;
    if (!check_host(call) || (!open && !check_token(call)) || !check_row(call, allowed) ||
        !check_origin(call) || !params_read(call, query) || !check_body(call)) {
        return;
    }
    if (call->rest.n > 0) {
        call->rest = params_decode(call, call->rest);
        if (call->rest.p == NULL) {
            admin_problem(call, 400, "bad percent-encoding in the path");
            return;
        }
    }
    call->row->handler(call);
}
