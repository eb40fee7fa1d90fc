/*
 * POST /explain: the question goes to a worker by mail, because what it needs (clock, Redis
 * connection, remembered tokens) is the worker's, and the answer comes back the same way. The
 * job owns a copy of the question: the call may be gone before the worker looks at it.
 */
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "admin/table.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "flow/explain.h"
#include "flow/worker.h"

/* One question on its way. */
struct job {
    struct mail mail;
    struct worker *worker;
    struct loop *control;
    struct admin_call *call; /* NULL: gone; control thread only */
    struct cJSON *answer;    /* NULL: the worker is about to end */
    struct arena arena;      /* owns the question's texts */
    struct explain_query query;
};

static void job_free(struct job *job)
{
    arena_reset(&job->arena);
    free(job);
}

static void on_gone(void *ctx)
{
    struct job *job = ctx;
    job->call = NULL;
}

/* ---- reading the question --------------------------------------------------------------- */

/* All of these: false after the call was answered. */
static bool wrong(struct job *job, const char *what)
{
    admin_problem(job->call, 400, "%s", what);
    return false;
}

static bool take_text(struct job *job, const cJSON *item, const char *what, struct str *out)
{
    if (item == NULL) {
        return true;
    }
    if (!cJSON_IsString(item)) {
        return wrong(job, what);
    }
    *out = arena_dup(&job->arena, json_string(item));
    return true;
}

static bool add_field(struct job *job, struct str name, const cJSON *value)
{
    struct explain_query *q = &job->query;
    if (!cJSON_IsString(value)) {
        return wrong(job, "a header's value is a string");
    }
    if (q->n_fields == EXPLAIN_FIELDS_MAX) {
        return wrong(job, "too many headers");
    }
    q->fields[q->n_fields++] = (struct explain_field){
        arena_dup(&job->arena, name), arena_dup(&job->arena, json_string(value))};
    return true;
}

/* [["Name", "value"], …] or {"Name": "value", …} */
static bool take_headers(struct job *job, const cJSON *headers)
{
    if (headers != NULL && !cJSON_IsArray(headers) && !cJSON_IsObject(headers)) {
        return wrong(job, "`headers` is an object, or an array of pairs");
    }
    const cJSON *item = headers != NULL ? headers->child : NULL;
    for (; item != NULL; item = item->next) {
        bool pair = cJSON_IsArray(headers);
        if (pair && (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2 ||
                     !cJSON_IsString(item->child))) {
            return wrong(job, "an element of `headers` is a pair of strings");
        }
        struct str name = pair ? json_string(item->child) : str_from(item->string);
        if (!add_field(job, name, pair ? item->child->next : item)) {
            return false;
        }
    }
    return true;
}

static bool take_peer(struct job *job, const cJSON *peer)
{
    struct str text = peer != NULL ? json_string(peer) : STR("127.0.0.1");
    if (str_eq(text, STR("unix"))) {
        job->query.peer.u.sa.sa_family = AF_UNIX;
        job->query.peer.len = sizeof(sa_family_t);
        return true;
    }
    return (text.n > 0 && addr_from_ip(text, &job->query.peer)) ||
           wrong(job, "`peer` is an IP address, or \"unix\"");
}

/* A misspelt member would silently explain another request. */
static bool all_known(struct job *job, const cJSON *body)
{
    static const struct str names[] = {{"method", 6}, {"target", 6}, {"headers", 7},
                                       {"body", 4},   {"tls", 3},    {"peer", 4}};
    for (const cJSON *item = body->child; item != NULL; item = item->next) {
        bool known = false;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            known = known || str_eq(str_from(item->string), names[i]);
        }
        if (!known) {
            return wrong(job, "members are method, target, headers, body, tls, peer");
        }
    }
    return true;
}

static bool take_question(struct job *job, const cJSON *body)
{
    struct explain_query *q = &job->query;
    const cJSON *tls = json_get(body, STR("tls"));
    q->method = STR("GET");
    q->target = STR("");
    q->body = STR("");
    if (!all_known(job, body)) {
        return false;
    }
    if (tls != NULL && !cJSON_IsBool(tls)) {
        return wrong(job, "`tls` is true or false");
    }
    q->tls = cJSON_IsTrue(tls);
    if (!take_text(job, json_get(body, STR("method")), "`method` is a string", &q->method) ||
        !take_text(job, json_get(body, STR("target")), "`target` is a string", &q->target) ||
        !take_text(job, json_get(body, STR("body")), "`body` is a string", &q->body)) {
        return false;
    }
    if (q->target.n == 0) {
        return wrong(job, "`target` is missing: the path with its query, or a URL");
    }
    return take_headers(job, json_get(body, STR("headers"))) &&
           take_peer(job, json_get(body, STR("peer")));
}

/* ---- there and back --------------------------------------------------------------------- */

/* On the control thread. */
static void on_returned(struct mail *m)
{
    struct job *job = container_of(m, struct job, mail);
    if (job->call == NULL) {
        cJSON_Delete(job->answer);
    } else if (job->answer == NULL) {
        admin_problem(job->call, 503, "this larder is shutting down");
    } else {
        admin_json(job->call, 200, job->answer);
    }
    job_free(job);
}

/* On the worker's thread, as what follows. */
static void on_explained(void *ctx, struct cJSON *answer)
{
    struct job *job = ctx;
    job->answer = answer;
    job->mail.fn = on_returned;
    loop_post(job->control, &job->mail);
}

static void on_arrived(struct mail *m)
{
    struct job *job = container_of(m, struct job, mail);
    if (job->worker->draining) {
        on_explained(job, NULL);
        return;
    }
    explain_start(job->worker, &job->query, on_explained, job);
}

void endpoint_explain(struct admin_call *call)
{
    const struct admin_context *context = admin_context(call);
    const cJSON *body = admin_body_object(call, false);
    if (body == NULL) {
        return;
    }
    struct job *job = xcalloc(1, sizeof(*job));
    arena_init(&job->arena, NULL, 0);
    job->call = call;
    job->control = context->loop;
    job->worker = context->workers[0];
    if (!take_question(job, body)) {
        job_free(job);
        return;
    }
    admin_keep(call, on_gone, job);
    job->mail.fn = on_arrived;
    loop_post(job->worker->loop, &job->mail);
}
