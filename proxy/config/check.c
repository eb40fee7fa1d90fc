/*
 * Checks that need the whole file: names that others refer to, routes that say the same, names
 * of sites, certificates and listeners.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "config/build.h"

/* One thing that must be unique. */
struct claim {
    struct str name;
    struct conf_span at;
};

static int compare_claims(const void *pa, const void *pb)
{
    const struct claim *a = pa;
    const struct claim *b = pb;
    int order = str_cmp(a->name, b->name);

    if (order != 0) {
        return order;
    }
    if (a->at.source != b->at.source) {
        return a->at.source < b->at.source ? -1 : 1;
    }
    return a->at.offset < b->at.offset ? -1 : a->at.offset > b->at.offset;
}

/* Sorts the claims and calls out every one that repeats the one before it. */
static void check_unique(struct conf_build *b, struct claim *list, size_t n, const char *what)
{
    if (n > 1) {
        qsort(list, n, sizeof(*list), compare_claims);
    }
    for (size_t i = 1; i < n; i++) {
        if (str_eq(list[i].name, list[i - 1].name)) {
            struct str file = b->d->sources[list[i - 1].at.source].name;

            conf_error(b->d, list[i].at, "%s", what);
            conf_hint(b->d, "the other is at %.*s:%u", STR_ARG(file), list[i - 1].at.line);
        }
    }
}

/* ---- routes ----------------------------------------------------------------------------- */

/* "GET /api/agents/{}": what two equal routes have in common. */
static struct str route_shape(struct conf_build *b, const struct route_settings *r,
                              struct str method)
{
    struct strbuf text = {0};

    strbuf_addf(&text, "%.*s ", STR_ARG(method));
    for (size_t i = 0; i < r->n_segments; i++) {
        const struct path_segment *s = &r->segments[i];

        strbuf_add_char(&text, '/');
        if (s->kind == SEGMENT_LITERAL) {
            strbuf_add_str(&text, s->text);
        } else {
            strbuf_add_str(&text, s->kind == SEGMENT_PARAM ? STR("{}") : STR("*"));
        }
    }
    struct str out = arena_dup(b->scratch, strbuf_str(&text));
    strbuf_free(&text);
    return out;
}

static void check_equal_routes(struct conf_build *b, size_t site)
{
    const struct site_settings *s = &b->s->sites[site];
    size_t n = 0;
    size_t total = 0;

    for (size_t i = 0; i < s->n_routes; i++) {
        total += s->routes[i].methods.n;
    }
    struct claim *list = xcalloc(total + 1, sizeof(*list));
    for (size_t i = 0; i < s->n_routes; i++) {
        for (size_t k = 0; k < s->routes[i].methods.n; k++) {
            list[n++] = (struct claim){
                .name = route_shape(b, &s->routes[i], s->routes[i].methods.list[k]),
                .at = b->sites[site].routes[i].at,
            };
        }
    }
    check_unique(b, list, n, "two routes for one method and path");
    free(list);
}

static void check_route_names(struct conf_build *b)
{
    size_t n = 0;
    size_t total = 0;

    for (size_t i = 0; i < b->s->n_sites; i++) {
        total += b->s->sites[i].n_routes;
    }
    struct claim *list = xcalloc(total + 1, sizeof(*list));
    for (size_t i = 0; i < b->s->n_sites; i++) {
        for (size_t k = 0; k < b->s->sites[i].n_routes; k++) {
            if (b->s->sites[i].routes[k].name.n > 0) {
                list[n++] =
                    (struct claim){b->s->sites[i].routes[k].name, b->sites[i].routes[k].at};
            }
        }
    }
    check_unique(b, list, n, "two routes have this name");
    free(list);
}

/* ---- invalidate ------------------------------------------------------------------------- */

static void check_type_target(struct conf_build *b, const struct conf_arg *arg, struct str name)
{
    struct suggest nearest;

    suggest_init(&nearest, name);
    for (size_t i = 0; i < b->n_types; i++) {
        if (str_eq(b->types[i].name, name)) {
            return;
        }
        suggest_offer(&nearest, b->types[i].name);
    }
    name = conf_quotable(arg, name);
    conf_error(b->d, arg->at, "no type `%.*s` is defined", STR_ARG(name));
    conf_hint_nearest(b->d, &nearest);
}

static void check_route_target(struct conf_build *b, const struct conf_arg *arg,
                               struct str name)
{
    struct suggest nearest;

    suggest_init(&nearest, name);
    for (size_t i = 0; i < b->s->n_sites; i++) {
        for (size_t k = 0; k < b->s->sites[i].n_routes; k++) {
            struct str other = b->s->sites[i].routes[k].name;

            if (str_eq(other, name)) {
                return;
            }
            if (other.n > 0) {
                suggest_offer(&nearest, other);
            }
        }
    }
    name = conf_quotable(arg, name);
    conf_error(b->d, arg->at, "no route is called `%.*s`", STR_ARG(name));
    conf_hint(b->d, "a route gets a name by name=%.*s after its path", STR_ARG(name));
    conf_hint_nearest(b->d, &nearest);
}

static void check_targets(struct conf_build *b, const struct route_settings *r,
                          const struct conf_route *x)
{
    for (size_t i = 0; i < r->n_invalidate; i++) {
        struct str name = r->invalidate[i].value.text;

        if (r->invalidate[i].kind == TARGET_TYPE) {
            check_type_target(b, x->targets[i], name);
        } else if (r->invalidate[i].kind == TARGET_ROUTE) {
            check_route_target(b, x->targets[i], name);
        }
    }
}

/* ---- sites ------------------------------------------------------------------------------ */

static void check_hosts(struct conf_build *b)
{
    size_t n = 0;
    size_t total = 0;

    for (size_t i = 0; i < b->s->n_sites; i++) {
        total += b->s->sites[i].hosts.n;
    }
    struct claim *list = xcalloc(total + 1, sizeof(*list));
    for (size_t i = 0; i < b->s->n_sites; i++) {
        for (size_t k = 0; k < b->s->sites[i].hosts.n; k++) {
            list[n++] = (struct claim){b->s->sites[i].hosts.list[k], b->sites[i].at};
        }
    }
    check_unique(b, list, n, "a host name is given twice");
    free(list);
}

static void check_tls(struct conf_build *b)
{
    const struct conf_stmt *tls_listen = NULL;
    size_t certs = 0;

    for (const struct conf_stmt *s = b->sites[0].index.first[DIR_listen]; s != NULL;
         s = s->same) {
        for (size_t i = 1; i < s->n_args; i++) {
            tls_listen = str_eq(s->args[i].text, STR("tls")) ? s : tls_listen;
        }
    }
    for (size_t i = 0; i < b->s->n_sites; i++) {
        const struct conf_stmt *tls = b->sites[i].index.first[DIR_tls];
        const struct conf_stmt *redirect = b->sites[i].index.first[DIR_redirect];

        certs += conf_count(&b->sites[i].index, DIR_tls);
        if (tls != NULL && tls_listen == NULL) {
            conf_warn(b->d, tls->at, "this certificate is not used: no `listen … tls`");
        }
        if (redirect != NULL && tls_listen == NULL) {
            conf_warn(b->d, redirect->at, "`redirect https` without a `listen … tls`");
        }
    }
    if (tls_listen != NULL && certs == 0) {
        conf_error(b->d, tls_listen->at, "`listen … tls` needs a certificate: tls CERT KEY");
    }
}

void conf_check_all(struct conf_build *b)
{
    bool upstreams = false;

    check_hosts(b);
    check_tls(b);
    check_route_names(b);
    for (size_t i = 0; i < b->s->n_sites; i++) {
        upstreams = upstreams || b->sites[i].index.first[DIR_upstream] != NULL;
        check_equal_routes(b, i);
        for (size_t k = 0; k < b->s->sites[i].n_routes; k++) {
            check_targets(b, &b->s->sites[i].routes[k], &b->sites[i].routes[k]);
            conf_check_route_admin(b, &b->s->sites[i].routes[k], &b->sites[i].routes[k]);
        }
    }
    conf_check_intents(b);
    if (!upstreams && !b->garbled) {
        conf_error(b->d, (struct conf_span){0}, "no `upstream` is defined");
        conf_hint(b->d, "add a line like: upstream app http://127.0.0.1:8000");
    }
}
