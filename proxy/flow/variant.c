/*
 * Vary of what a fill brings (RFC 9111 section 4.1): which of the names count, and under which
 * name the answer goes. The base name then holds a marker that leads to its variants.
 */
#include "cache/variants.h"
#include "flow/forward.h"
#include "flow/node.h"
#include "flow/request.h"
#include "flow/steps.h"
#include "http/vary.h"

/* Can an answer of this route not have varied on the field, whatever it says? Accept-Encoding
 * was sent as `identity` on routes with a ttl of their own, Origin not at all on those that do
 * CORS themselves. */
static bool cannot_vary(const struct route_settings *route, struct str name)
{
    return (route->ttl_mode != TTL_ORIGIN && str_eq(name, STR("accept-encoding"))) ||
           (route->cors != NULL && str_eq(name, STR("origin")));
}

void variant_trim(const struct request *rq, struct vary_spec *vary)
{
    size_t kept = 0;
    for (size_t i = 0; i < vary->n; i++) {
        if (!cannot_vary(rq->route, vary->names[i])) {
            vary->names[kept++] = vary->names[i];
        }
    }
    vary->n = kept;
}

void variant_select(struct request *rq, const struct vary_spec *vary)
{
    if (vary->n == 0) {
        rq->name = rq->base_name;
        rq->hash = entry_hash(rq->name, rq->site_key);
        return;
    }
    const struct entry_spec marker = {
        .name = rq->base_name,
        .host = rq->site_key,
        .scope = lookup_scope(rq),
        .stamp = rq->lead->stamp,
        .flags = ENTRY_VARY_MARKER,
        .stored_at = rq->worker->loop->wall,
        .lifetime = rq->storing->lifetime + rq->storing->stale + rq->storing->stale_if_error,
        .type = rq->route->type,
        .route = rq->route->name,
        .vary = vary_list(vary, &rq->arena),
    };
    variants_mark(rq->worker->node->variants, &marker);
    lookup_select_variant(rq, vary, forward_view(rq));
}

void variant_note(struct request *rq, bool filled)
{
    struct str gone;
    if (rq->name.n == rq->base_name.n) {
        return;
    }
    struct entry *marker = variants_add(rq->worker->node->variants, rq->base_name, rq->site_key,
                                        rq->name, &rq->arena, &gone);
    if (marker == NULL) {
        return;
    }
    if (filled) {
        redis_path_store(rq, marker);
    }
    if (filled && gone.n > 0) {
        redis_path_remove(rq, gone);
    }
    entry_unref(marker);
}
