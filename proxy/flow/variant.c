/*
 * Vary of what a fill brings (RFC 9111 section 4.1): which of the names count, and under which
 * name the answer goes. The base name then holds a marker that leads to its variants. And the
 * one case in which a request takes another variant than that of its own name.
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

/* ---- by language ------------------------------------------------------------------------- */

struct wanted {
    struct request *rq;
    struct str language; /* lower case */
};

/* Is the one language of this entry the one that is wanted, and may it be sent? */
static bool is_wanted(struct entry *e, void *ctx)
{
    const struct wanted *w = ctx;
    const struct str name = STR("Content-Language:");
    struct str rest = entry_head(e);
    struct str line;
    size_t lines = 0;
    bool same = false;
    while (str_next(&rest, '\r', &line)) {
        line = str_skip(line, line.n > 0 && line.p[0] == '\n');
        if (line.n > name.n && str_ieq(str_make(line.p, name.n), name)) {
            same = str_ieq(str_trim(str_skip(line, name.n)), w->language);
            lines++;
        }
    }
    return same && lines == 1 && lookup_is_fresh(w->rq, e);
}

struct entry *variant_by_language(struct request *rq, const struct vary_spec *spec)
{
    /* What an origin sends to somebody who prefers a language to all others is, where it has
     * it, the representation in that language (RFC 9110 12.5.4), whatever else is listed. */
    if (spec->n != 1 || !str_eq(spec->names[0], STR("accept-language"))) {
        return NULL;
    }
    struct wanted w = {.rq = rq, .language = request_language(&rq->msg, &rq->arena)};
    if (w.language.n == 0) {
        return NULL;
    }
    return variants_find(rq->worker->node->variants, rq->base_name, rq->site_key, &rq->arena,
                         is_wanted, &w);
}
