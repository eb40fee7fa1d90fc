/*
 * Calls: what handlers ask of them, and their answers. A call lives until it is answered or
 * lost; the transport gets status, type and body, and keeps nothing of it afterwards.
 */
#include "admin/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "admin/plane_state.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

#define DETAIL_MAX 8192
#define BODY_DEPTH 16 /* of JSON that clients send */

/* ---- life ---------------------------------------------------------------------------------
 */

static void on_limit(struct deadline *d)
{
    struct admin_call *call = container_of(d, struct admin_call, limit);
    admin_gone_fn *gone = call->gone;
    call->gone = NULL;
    if (gone != NULL) {
        gone(call->gone_ctx);
    }
    admin_problem(call, 504, "not done within %d seconds", ADMIN_KEEP_MS / 1000);
}

struct admin_call *call_new(struct plane *plane)
{
    struct admin_call *call = xcalloc(1, sizeof(*call));
    arena_init(&call->arena, NULL, 0);
    call->plane = plane;
    call->next = plane->calls;
    if (call->next != NULL) {
        call->next->prev = call;
    }
    plane->calls = call;
    deadline_init(&call->limit, on_limit);
    return call;
}

static void call_free(struct admin_call *call)
{
    if (call->prev != NULL) {
        call->prev->next = call->next;
    } else {
        call->plane->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    deadline_cancel(&call->limit);
    json_free(call->tree);
    arena_reset(&call->arena);
    free(call);
}

void call_lost(struct admin_call *call)
{
    if (call->kept && call->gone != NULL) {
        call->gone(call->gone_ctx);
    }
    call->forget(call);
    call_free(call);
}

/* ---- the request --------------------------------------------------------------------------
 */

const struct admin_context *admin_context(const struct admin_call *call)
{
    return &call->plane->context;
}

enum admin_method admin_method(const struct admin_call *call)
{
    return (enum admin_method)call->method;
}

struct str admin_path(const struct admin_call *call)
{
    return call->path;
}

struct str admin_rest(const struct admin_call *call)
{
    return call->rest;
}

const char *admin_query(const struct admin_call *call, const char *name)
{
    for (size_t i = 0; i < call->n_params; i++) {
        if (str_eq(call->params[i].name, str_from(name))) {
            return call->params[i].value.p;
        }
    }
    return NULL;
}

bool admin_query_number(struct admin_call *call, const char *name, uint64_t max,
                        uint64_t *value)
{
    const char *text = admin_query(call, name);
    if (text != NULL && !str_to_u64(str_from(text), max, value)) {
        admin_problem(call, 400, "`%s` is a number up to %llu", name, (unsigned long long)max);
        return false;
    }
    return true;
}

bool admin_query_flag(struct admin_call *call, const char *name, bool *value)
{
    const char *text = admin_query(call, name);
    if (text == NULL) {
        return true;
    }
    *value = strcmp(text, "on") == 0;
    if (!*value && strcmp(text, "off") != 0) {
        admin_problem(call, 400, "`%s` is on or off", name);
        return false;
    }
    return true;
}

bool call_single(const struct admin_call *call, const char *name, struct str *value)
{
    *value = STR_NULL;
    for (size_t i = 0; i < call->n_fields; i++) {
        if (!str_ieq(call->fields[i].name, str_from(name))) {
            continue;
        }
        if (value->p != NULL) {
            return false;
        }
        *value = str_trim(call->fields[i].value);
    }
    return true;
}

struct str admin_field(const struct admin_call *call, const char *name)
{
    struct str value;
    (void)call_single(call, name, &value);
    return value;
}

const struct cJSON *admin_body_object(struct admin_call *call, bool optional)
{
    const char *why = "";
    if (call->body.n == 0 && optional) {
        return NULL;
    }
    if (call->tree == NULL) {
        call->tree = json_parse(call->body, call->row->body_max, BODY_DEPTH, &why);
    }
    if (call->tree == NULL) {
        admin_problem(call, 400, "the body is not JSON: %s", call->body.n == 0 ? "empty" : why);
        return NULL;
    }
    if (!cJSON_IsObject(call->tree)) {
        admin_problem(call, 400, "the body is not a JSON object");
        return NULL;
    }
    return call->tree;
}

/* ---- the answer ---------------------------------------------------------------------------
 */

static void answer(struct admin_call *call, int status, const char *type, struct str body)
{
    if (call->row != NULL && (call->row->flags & ENDPOINT_MUTATES) != 0) {
        audit_write(call, status);
    }
    call->answered = true;
    call->send(call, status, type, body);
    call_free(call);
}

void admin_json(struct admin_call *call, int status, struct cJSON *tree)
{
    char *text = cJSON_PrintUnformatted(tree);
    cJSON_Delete(tree);
    if (text == NULL) {
        admin_problem(call, 500, "out of memory");
        return;
    }
    answer(call, status, "application/json", str_from(text));
    cJSON_free(text);
}

void admin_text(struct admin_call *call, int status, const char *type, struct str body)
{
    answer(call, status, type, body);
}

const char *call_title(int status)
{
    switch (status) {
    case 200: return "OK";
    case 202: return "Accepted";
    case 304: return "Not Modified";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
    }
}

/* Replaces what is not UTF-8: what clients sent, and what was cut off. */
static void make_utf8(char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n;) {
        uint32_t code;
        unsigned char *at = (unsigned char *)text + i;
        size_t length = *at < 0x80 ? 1 : utf8_sequence(at, n - i, &code);
        if (length == 0) {
            *at = '?';
            length = 1;
        }
        i += length;
    }
}

void admin_problem(struct admin_call *call, int status, const char *fmt, ...)
{
    char detail[DETAIL_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    make_utf8(detail);
    cJSON *tree = cJSON_CreateObject();
    cJSON_AddStringToObject(tree, "type", "about:blank");
    cJSON_AddStringToObject(tree, "title", call_title(status));
    cJSON_AddNumberToObject(tree, "status", status);
    cJSON_AddStringToObject(tree, "detail", detail);
    char *text = cJSON_PrintUnformatted(tree);
    cJSON_Delete(tree);
    answer(call, status, "application/problem+json", str_from(text != NULL ? text : "{}"));
    cJSON_free(text);
}

void admin_put_time(struct cJSON *to, const char *name, msec_t wall)
{
    char text[32];
    struct tm tm;
    time_t seconds = (time_t)(wall / 1000);
    if (wall == 0 || gmtime_r(&seconds, &tm) == NULL) {
        cJSON_AddNullToObject(to, name);
        return;
    }
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    cJSON_AddStringToObject(to, name, text);
}

void admin_add_field(struct admin_call *call, const char *name, const char *value)
{
    if (call->n_out < CALL_FIELDS_MAX) {
        call->out[call->n_out++] =
            (struct call_field){str_from(name), arena_dup(&call->arena, str_from(value))};
    }
}

void admin_keep(struct admin_call *call, admin_gone_fn *gone, void *ctx)
{
    call->kept = true;
    call->gone = gone;
    call->gone_ctx = ctx;
    deadline_set(call->plane->context.loop, &call->limit, ADMIN_KEEP_MS);
    call->watch(call);
}

void admin_audit(struct admin_call *call, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    call->note = arena_dup(&call->arena, str_from(text));
}
