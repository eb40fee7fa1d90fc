/*
 * Scheduled refreshes in the admin plane: GET /metadata tells of the schedule, POST /refresh
 * runs jobs, or fetches one path, now, and answers when they have ended.
 */
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "admin/table.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "flow/refresh.h"

#define WAIT_MS 25000 /* what runs longer is answered with 202 */

static const char *result_word(enum refresh_result result)
{
    switch (result) {
    case REFRESH_STORED: return "stored";
    case REFRESH_SHARED: return "shared";
    case REFRESH_FAILED: return "failed";
    case REFRESH_NONE:
    case REFRESH_BUSY: break;
    }
    return "none";
}

static void add_text(struct cJSON *to, const char *name, struct str value)
{
    char *text = str_dup(value);
    cJSON_AddStringToObject(to, name, text);
    free(text);
}

/* What a run came to. */
static struct cJSON *outcome(const struct refresh_report *j)
{
    struct cJSON *o = cJSON_CreateObject();
    add_text(o, "route", j->route);
    add_text(o, "path", j->target);
    cJSON_AddStringToObject(o, "result", result_word(j->result));
    if (j->reason.n > 0) {
        add_text(o, "reason", j->reason);
    }
    cJSON_AddNumberToObject(o, "duration_ms", (double)j->duration);
    cJSON_AddNumberToObject(o, "bytes", (double)j->bytes);
    return o;
}

/* ---- GET /metadata ---------------------------------------------------------------------- */

static void add_job(const struct refresh_report *j, void *ctx)
{
    struct cJSON *o = cJSON_CreateObject();
    add_text(o, "route", j->route);
    add_text(o, "path", j->target);
    cJSON_AddNumberToObject(o, "every_seconds", (double)j->every / 1000);
    cJSON_AddBoolToObject(o, "running", j->running);
    admin_put_time(o, "last_run", j->last_run);
    cJSON_AddStringToObject(o, "last_result", result_word(j->result));
    if (j->reason.n > 0) {
        add_text(o, "reason", j->reason);
    }
    cJSON_AddNumberToObject(o, "duration_ms", (double)j->duration);
    cJSON_AddNumberToObject(o, "bytes", (double)j->bytes);
    admin_put_time(o, "next_run", j->next_run);
    cJSON_AddNumberToObject(o, "runs", (double)j->runs);
    cJSON_AddNumberToObject(o, "failures", (double)j->failures);
    cJSON_AddItemToArray(ctx, o);
}

void endpoint_metadata(struct admin_call *call)
{
    struct cJSON *tree = cJSON_CreateObject();
    refresh_each(admin_context(call)->refresh, add_job, cJSON_AddArrayToObject(tree, "routes"));
    admin_json(call, 200, tree);
}

/* ---- POST /refresh ---------------------------------------------------------------------- */

/* A call that waits for its runs. */
struct waiting {
    struct admin_call *call;
    struct refresh *refresh;
    struct deadline limit;
    struct cJSON *list; /* outcomes so far */
    size_t left;        /* runs that have not ended */
    size_t failed;
};

static void answer(struct waiting *w)
{
    struct cJSON *tree = cJSON_CreateObject();
    cJSON_AddItemToObject(tree, "refreshed", w->list);
    cJSON_AddNumberToObject(tree, "failed", (double)w->failed);
    cJSON_AddNumberToObject(tree, "running", (double)w->left);
    admin_audit(w->call, "%d refreshed, %zu failed, %zu running",
                cJSON_GetArraySize(w->list) - (int)w->failed, w->failed, w->left);
    refresh_forget(w->refresh, w);
    deadline_cancel(&w->limit);
    admin_json(w->call, w->left > 0 ? 202 : 200, tree);
    free(w);
}

static void on_done(void *ctx, const struct refresh_report *j)
{
    struct waiting *w = ctx;
    cJSON_AddItemToArray(w->list, outcome(j));
    w->failed += j->result == REFRESH_FAILED;
    if (--w->left == 0) {
        answer(w);
    }
}

static void on_limit(struct deadline *d)
{
    answer(container_of(d, struct waiting, limit));
}

static void on_gone(void *ctx)
{
    struct waiting *w = ctx;
    refresh_forget(w->refresh, w);
    deadline_cancel(&w->limit);
    cJSON_Delete(w->list);
    free(w);
}

static const char *begin(struct waiting *w, const struct admin_context *context,
                         const struct cJSON *body)
{
    const char *why = NULL;
    struct str route = json_string(json_get(body, STR("route")));
    struct str path = json_string(json_get(body, STR("path")));
    struct str host = json_string(json_get(body, STR("host")));
    size_t known = (route.p != NULL) + (path.p != NULL) + (host.p != NULL);
    if (body != NULL && (size_t)cJSON_GetArraySize(body) != known) {
        return "only \"route\", \"path\" and \"host\" are known, each a text";
    }
    if (body != NULL && (route.p == NULL) == (path.p == NULL)) {
        return "say which: \"route\" or \"path\"";
    }
    if (path.p != NULL) {
        w->left = refresh_path(w->refresh, *context->runtime, host, path, on_done, w, &why);
    } else if (route.p != NULL) {
        w->left = refresh_route(w->refresh, route, on_done, w);
        why = w->left == 0 ? "no route of this name is refreshed on a schedule" : NULL;
    } else {
        w->left = refresh_route(w->refresh, STR_NULL, on_done, w);
        why = w->left == 0 ? "nothing is refreshed on a schedule: say which path" : NULL;
    }
    return why;
}

void endpoint_refresh(struct admin_call *call)
{
    const struct admin_context *context = admin_context(call);
    const struct cJSON *body = admin_body_object(call, true);
    struct waiting *w = xcalloc(1, sizeof(*w));
    w->call = call;
    w->refresh = context->refresh;
    const char *why = begin(w, context, body);
    if (why != NULL) {
        free(w);
        admin_problem(call, 422, "%s", why);
        return;
    }
    w->list = cJSON_CreateArray();
    deadline_init(&w->limit, on_limit);
    deadline_set(context->loop, &w->limit, WAIT_MS);
    admin_keep(call, on_gone, w);
}
