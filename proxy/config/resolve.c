/*
 * Inheritance: for each directive a route takes the statements of the nearest level that has
 * any: its own block, its type, the defaults of its host, the defaults of the file; where a
 * rule may stand there too, the host's block comes after its defaults and the file's last. The
 * chosen statements go through the same setters wherever they stood, so a value is read in one
 * way only; the same message for several routes is printed once.
 */
#include "config/build.h"

/* Blocks from the nearest to the farthest. */
struct levels {
    const struct conf_index *list[6];
    size_t n;
    size_t first_defaults; /* index of the first level that is a `defaults` */
};

static void add_level(struct levels *l, const struct conf_index *index)
{
    if (index != NULL) {
        l->list[l->n++] = index;
    }
}

static const struct conf_index *find_type(struct conf_build *b, const struct conf_stmt *use,
                                          struct route_settings *r)
{
    struct suggest nearest;

    if (use == NULL || use->bad) {
        return NULL;
    }
    suggest_init(&nearest, use->args[0].text);
    for (size_t i = 0; i < b->n_types; i++) {
        if (str_eq(b->types[i].name, use->args[0].text)) {
            r->type = b->types[i].name;
            return &b->types[i].index;
        }
        suggest_offer(&nearest, b->types[i].name);
    }
    if (!conf_is_broken(b, DIR_type, use->args[0].text)) {
        conf_error(b->d, use->args[0].at, "no type `%.*s` is defined",
                   STR_ARG(conf_clip(use->args[0].raw)));
        conf_hint_nearest(b->d, &nearest);
    }
    return NULL;
}

/* What a statement that cannot be applied leaves unknown; nothing is to follow from it. */
static void note_bad(struct conf_build *b, const struct conf_stmt *s, struct route_settings *r)
{
    switch (conf_directive_id(s->is)) {
    case DIR_ttl: r->ttl_mode = TTL_FALLBACK; break;
    case DIR_key:
    case DIR_scope:
    case DIR_query: b->route->unsure = true; break;
    default: break;
    }
}

static void apply_list(struct conf_build *b, const struct conf_stmt *s,
                       struct route_settings *r)
{
    for (; s != NULL; s = s->same) {
        if (s->bad) {
            note_bad(b, s, r);
        }
        conf_apply(b, s, r);
    }
}

static void apply_directive(struct conf_build *b, const struct levels *l, size_t id,
                            struct route_settings *r)
{
    bool merge = (conf_directives[id].flags & CONF_MERGE) != 0;

    for (size_t i = l->n; merge && i > 0; i--) {
        apply_list(b, l->list[i - 1]->first[id], r);
    }
    for (size_t i = 0; !merge && i < l->n; i++) {
        if (l->list[i]->first[id] != NULL) {
            apply_list(b, l->list[i]->first[id], r);
            b->route->upstream_given = b->route->upstream_given || id == DIR_use_upstream;
            if (id == DIR_query) {
                b->route->query = l->list[i]->first[id];
                b->route->query_from_defaults = i >= l->first_defaults;
            }
            return;
        }
    }
}

/* Do its arguments mean something only together with the path of a route? */
static bool needs_path(size_t id)
{
    return id == DIR_key || id == DIR_tag || id == DIR_invalidate;
}

/* Plain values first: templates ask whether method_body is on. Without a path the directives
 * that need one are left out. */
static void apply_levels(struct conf_build *b, const struct levels *l, struct route_settings *r,
                         bool with_path)
{
    for (unsigned custom = 0; custom < 2; custom++) {
        for (size_t id = 0; id < DIRECTIVE_COUNT; id++) {
            const struct conf_directive *d = &conf_directives[id];

            if ((d->contexts & IN_POLICY) != 0 && (d->kind == KIND_CUSTOM) == (custom == 1) &&
                (with_path || !needs_path(id))) {
                apply_directive(b, l, id, r);
            }
        }
    }
}

/* Without `upstream` anywhere the only one there is answers. */
static void choose_upstream(struct conf_build *b, struct route_settings *r, bool required,
                            struct conf_span at)
{
    if (r->upstream != NULL || b->s->n_upstreams == 0 || b->route->upstream_given) {
        return;
    }
    if (b->s->n_upstreams == 1) {
        r->upstream = &b->s->upstreams[0];
    } else if (required) {
        conf_error(b->d, at, "several upstreams are defined and none is chosen for this route");
        conf_hint(b->d, "say `upstream NAME` in the route, its type or `defaults`");
    }
}

static void set_route_name(struct conf_build *b, const struct conf_stmt *s,
                           struct route_settings *r)
{
    const struct conf_arg *name = conf_opt(s, "name");

    if (name != NULL && conf_check_name(b, name, "a route")) {
        r->name = name->value;
        r->label = name->value;
    }
}

/* The levels outside of routes and types, nearest first. */
static void add_defaults(const struct conf_build *b, struct levels *l)
{
    const struct conf_site *site = &b->sites[b->at_site];

    l->first_defaults = l->n;
    add_level(l, site->inner);
    add_level(l, b->at_site > 0 ? &site->index : NULL);
    add_level(l, site->outer);
    add_level(l, &b->sites[0].index);
}

static void resolve_route(struct conf_build *b, const struct conf_stmt *s,
                          struct route_settings *r, struct conf_route *x)
{
    struct conf_index *own = arena_alloc(b->scratch, sizeof(*own));
    struct levels l = {.n = 0};

    *r = b->base;
    *x = (struct conf_route){.at = s->n_args > 1 ? s->args[1].at : s->at, .index = own};
    x->key_at = x->at;
    b->route = x;
    conf_block_check(b, s->block, IN_ROUTE, own);
    x->valid = !s->bad && conf_route_line(b, s, r);
    const struct conf_index *type = find_type(b, own->first[DIR_use_type], r);
    x->unsure = own->first[DIR_use_type] != NULL && type == NULL;
    add_level(&l, own);
    add_level(&l, type);
    add_defaults(b, &l);
    apply_levels(b, &l, r, x->valid);
    if (r->admin) {
        r->ttl_mode = TTL_NONE; /* whatever `defaults` say */
        x->upstream_given = true;
    }
    if (x->valid) {
        conf_check_cors(b, r, x);
        set_route_name(b, s, r);
        x->own_ttl = own->first[DIR_ttl];
        choose_upstream(b, r, true, x->at);
        conf_scope_route(b, r, x);
        conf_check_refresh(b, r, x);
    }
    b->route = NULL;
}

/* A path without a route: the defaults that concern passing, never the cache. */
static void resolve_fallback(struct conf_build *b, struct site_settings *site)
{
    struct conf_route nobody = {0};
    struct levels l = {.n = 0};
    struct route_settings *r = &site->fallback;

    *r = b->base;
    r->label = STR("(no route)");
    r->file = b->s->file;
    *conf_list_extend(b->keep, &r->methods, 1) = STR("*");
    r->path = STR("/*");
    r->segments = arena_zalloc(b->keep, sizeof(*r->segments));
    r->segments[0].kind = SEGMENT_REST;
    r->n_segments = 1;
    add_defaults(b, &l);
    b->route = &nobody;
    apply_levels(b, &l, r, false);
    choose_upstream(b, r, false, nobody.at);
    b->route = NULL;
    r->ttl_mode = TTL_NONE;
    r->query = (struct str_list){0};
    r->query_all = true;
    r->query_drop = false;
}

/* A type that no route uses is read all the same: its errors are errors. */
static void check_type(struct conf_build *b, const struct conf_type *type)
{
    struct route_settings scratch = b->base;
    struct conf_route nobody = {0};
    struct levels l = {.n = 0};

    add_level(&l, &type->index);
    l.first_defaults = l.n;
    b->route = &nobody;
    apply_levels(b, &l, &scratch, false);
    b->route = NULL;
}

/* 0 stands for requests that never came to a route. */
static void number_routes(struct settings *s)
{
    s->n_numbers = 1;
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].n_routes; k++) {
            s->sites[i].routes[k].number = s->n_numbers++;
        }
        s->sites[i].fallback.number = s->n_numbers++;
    }
}

void conf_resolve_sites(struct conf_build *b)
{
    for (size_t i = 0; i < b->n_types; i++) {
        check_type(b, &b->types[i]);
    }
    for (size_t i = 0; i < b->s->n_sites; i++) {
        struct site_settings *site = &b->s->sites[i];
        struct conf_site *about = &b->sites[i];
        size_t n = conf_count(&about->index, DIR_route);

        b->at_site = i;
        site->routes = arena_zalloc(b->keep, (n + 1) * sizeof(*site->routes));
        about->routes = arena_zalloc(b->scratch, (n + 1) * sizeof(*about->routes));
        for (const struct conf_stmt *s = about->index.first[DIR_route]; s != NULL;
             s = s->same) {
            resolve_route(b, s, &site->routes[site->n_routes], &about->routes[site->n_routes]);
            site->n_routes += about->routes[site->n_routes].valid;
        }
        resolve_fallback(b, site);
    }
    number_routes(b->s);
}
