/*
 * What is configured: GET /routes and GET /config, and POST /reload, which changes it.
 */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "admin/table.h"
#include "base/mem.h"
#include "flow/node.h"

/* ---- routes -------------------------------------------------------------------------------
 */

/* Of configured text: printable, or the parser had refused it. */
static void add_text(cJSON *tree, const char *name, struct str text)
{
    if (text.n == 0) {
        cJSON_AddNullToObject(tree, name);
        return;
    }
    char *copy = str_dup(text);
    cJSON_AddStringToObject(tree, name, copy);
    free(copy);
}

static void push_text(cJSON *list, const char *prefix, struct str text)
{
    struct strbuf b = {0};
    strbuf_addf(&b, "%s%.*s", prefix, STR_ARG(text));
    strbuf_add_char(&b, '\0');
    cJSON_AddItemToArray(list, cJSON_CreateString(b.p));
    strbuf_free(&b);
}

static void add_list(cJSON *tree, const char *name, const struct str_list *l)
{
    cJSON *list = cJSON_AddArrayToObject(tree, name);
    for (size_t i = 0; i < l->n; i++) {
        push_text(list, "", l->list[i]);
    }
}

static void add_scope(cJSON *tree, const struct settings *s, const struct route_settings *r)
{
    cJSON *list = cJSON_AddArrayToObject(tree, "scope");
    if (r->scope == SCOPE_PUBLIC) {
        push_text(list, "", STR("public"));
    } else if (r->scope == SCOPE_AUTHENTICATED) {
        push_text(list, "", STR("authenticated"));
    }
    for (size_t i = 0; i < s->n_identities && r->scope == SCOPE_IDENTITIES; i++) {
        if ((r->scope_mask & (UINT32_C(1) << i)) != 0) {
            push_text(list, "", s->identities[i].name);
        }
    }
}

static void add_ttl(cJSON *tree, const struct route_settings *r)
{
    static const char *const modes[] = {[TTL_NONE] = "none",
                                        [TTL_FALLBACK] = "fallback",
                                        [TTL_FORCE] = "force",
                                        [TTL_ORIGIN] = "origin"};
    cJSON_AddStringToObject(tree, "ttl_mode", modes[r->cached ? r->ttl_mode : TTL_NONE]);
    if (r->cached && r->ttl_mode != TTL_ORIGIN) {
        cJSON_AddNumberToObject(tree, "ttl_ms", (double)r->ttl);
    } else {
        cJSON_AddNullToObject(tree, "ttl_ms");
    }
    cJSON_AddNumberToObject(tree, "stale_ms", (double)r->stale);
    cJSON_AddNumberToObject(tree, "stale_if_error_ms", (double)r->stale_if_error);
}

static void add_templates(cJSON *tree, const struct route_settings *r)
{
    static const char *const prefixes[] = {[TARGET_GLOB] = "",
                                           [TARGET_TYPE] = "type:",
                                           [TARGET_TAG] = "tag:",
                                           [TARGET_ROUTE] = "route:",
                                           [TARGET_ALL] = "all"};
    cJSON *tags = cJSON_AddArrayToObject(tree, "tags");
    for (size_t i = 0; i < r->n_tags; i++) {
        push_text(tags, "", r->tags[i].text);
    }
    cJSON *targets = cJSON_AddArrayToObject(tree, "invalidate");
    for (size_t i = 0; i < r->n_invalidate; i++) {
        push_text(targets, prefixes[r->invalidate[i].kind], r->invalidate[i].value.text);
    }
}

static cJSON *route_tree(const struct settings *s, const struct site_settings *site,
                         const struct route_settings *r)
{
    cJSON *tree = cJSON_CreateObject();
    struct strbuf line = {0};
    strbuf_addf(&line, "%.*s:%u", STR_ARG(r->file), r->line);
    add_text(tree, "route", r->label);
    add_text(tree, "line", strbuf_str(&line));
    strbuf_free(&line);
    add_list(tree, "hosts", &site->hosts);
    add_list(tree, "methods", &r->methods);
    add_text(tree, "path", r->path);
    add_text(tree, "name", r->name);
    add_text(tree, "type", r->type);
    add_text(tree, "key", r->cached ? r->key.text : STR_NULL);
    add_scope(tree, s, r);
    add_ttl(tree, r);
    add_list(tree, "query", &r->query);
    add_templates(tree, r);
    add_text(tree, "upstream", r->upstream != NULL ? r->upstream->name : STR_NULL);
    cJSON_AddBoolToObject(tree, "cached", r->cached);
    return tree;
}

void endpoint_routes(struct admin_call *call)
{
    const struct settings *s = (*admin_context(call)->runtime)->settings;
    cJSON *tree = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(tree, "routes");
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].n_routes; k++) {
            cJSON_AddItemToArray(list, route_tree(s, &s->sites[i], &s->sites[i].routes[k]));
        }
    }
    admin_json(call, 200, tree);
}

/* ---- the text -----------------------------------------------------------------------------
 */

void endpoint_config(struct admin_call *call)
{
    const struct settings *s = (*admin_context(call)->runtime)->settings;
    cJSON *tree = cJSON_CreateObject();
    add_text(tree, "file", s->file);
    cJSON_AddStringToObject(tree, "text", s->text.n > 0 ? s->text.p : "");
    admin_json(call, 200, tree);
}

/* ---- reload -------------------------------------------------------------------------------
 */

/* A reload that a call waits for. */
struct reload_wait {
    struct admin_call *call; /* NULL: has left */
};

static void on_gone(void *ctx)
{
    struct reload_wait *w = ctx;
    w->call = NULL;
}

static void on_reloaded(void *ctx, const char *errors)
{
    struct reload_wait *w = ctx;
    struct admin_call *call = w->call;
    free(w);
    if (call == NULL) {
        return;
    }
    if (errors != NULL) {
        admin_audit(call, "refused");
        admin_problem(call, 422, "%s", errors);
        return;
    }
    cJSON *tree = cJSON_CreateObject();
    cJSON_AddStringToObject(tree, "status", "reloaded");
    admin_json(call, 200, tree);
}

void endpoint_reload(struct admin_call *call)
{
    const struct admin_context *x = admin_context(call);
    struct reload_wait *w = xcalloc(1, sizeof(*w));
    w->call = call;
    admin_keep(call, on_gone, w);
    x->reload(x->server, on_reloaded, w);
}
