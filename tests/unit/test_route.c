/*
 * flow/route: which route a path finds (specificity, backtracking, methods, trailing slash,
 * letter case), which site a host name finds, and every cached route of a path for
 * invalidations. The table is compared with a slow, obvious matcher over many random tables.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "flow/route.h"

#define MAX_ROUTES 64

/* A configuration on the stack: one site (or two) whose routes are written as in proxy.conf. */
struct fixture {
    struct arena arena;
    struct settings settings;
    struct site_settings sites[2];
    struct route_settings routes[2][MAX_ROUTES];
    struct upstream_settings upstream;
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    arena_init(&f->arena, NULL, 0);
    atomic_init(&f->settings.refs, 1);
    f->settings.sites = f->sites;
    f->settings.n_sites = 2;
    for (unsigned i = 0; i < 2; i++) {
        f->sites[i].routes = f->routes[i];
        f->sites[i].index = i;
        f->sites[i].fallback.upstream = &f->upstream;
    }
}

static void fixture_fini(struct fixture *f)
{
    assert_int_equal(atomic_load(&f->settings.refs), 1); /* tables gave their reference back */
    arena_reset(&f->arena);
}

/* Splits "GET,PUT" and "/a/{id}/x" or "/a/" + "*" into a route. */
static void route_fill(struct fixture *f, struct route_settings *r, struct str methods,
                       struct str path)
{
    memset(r, 0, sizeof(*r));
    r->path = arena_dup(&f->arena, path);
    r->methods.list = arena_alloc(&f->arena, 8 * sizeof(struct str));
    struct str rest = arena_dup(&f->arena, methods);
    struct str item;
    while (str_next(&rest, ',', &item)) {
        r->methods.list[r->methods.n++] = item;
    }
    r->segments = arena_alloc(&f->arena, (path.n + 1) * sizeof(*r->segments));
    rest = str_skip(r->path, 1);
    while (str_next(&rest, '/', &item)) {
        struct path_segment *s = &r->segments[r->n_segments++];
        if (item.n > 2 && item.p[0] == '{') {
            *s = (struct path_segment){SEGMENT_PARAM, str_make(item.p + 1, item.n - 2)};
            r->params[r->n_params++] = s->text;
        } else if (str_eq(item, STR("*"))) {
            *s = (struct path_segment){SEGMENT_REST, STR_NULL};
        } else {
            *s = (struct path_segment){SEGMENT_LITERAL, item};
        }
    }
}

static struct route_settings *add(struct fixture *f, unsigned site, const char *methods,
                                  const char *path)
{
    struct route_settings *r = &f->routes[site][f->sites[site].n_routes++];
    route_fill(f, r, str_from(methods), str_from(path));
    return r;
}

/* The pattern found, or "-". */
static const char *found(const struct route_table *t, const struct fixture *f,
                         const char *method, const char *path, struct route_match *m)
{
    static char text[128];
    struct route_match local;
    m = m != NULL ? m : &local;
    route_find(t, &f->sites[0], str_from(method), str_from(path), m);
    if (m->route == NULL) {
        return "-";
    }
    snprintf(text, sizeof(text), "%.*s", STR_ARG(m->route->path));
    return text;
}

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.n, strlen(expected));
    assert_memory_equal(s.p, expected, s.n);
}

static void most_specific_path_wins(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    /* The least specific first: order must not matter. */
    add(&f, 0, "GET", "/*");
    add(&f, 0, "GET", "/api/*");
    add(&f, 0, "GET", "/api/{kind}");
    add(&f, 0, "GET", "/api/{kind}/{id}");
    add(&f, 0, "GET", "/api/users/{id}");
    add(&f, 0, "GET", "/api/users/me");
    add(&f, 0, "GET", "/api/users/{id}/posts/new");
    add(&f, 0, "GET", "/api/users/");
    add(&f, 0, "GET", "/api/users");
    add(&f, 0, "GET", "/");
    struct route_table *t = route_table_new(&f.settings);

    static const char *const expect[][2] = {
        {"/", "/"},
        {"/api", "/*"},
        {"/api/", "/api/*"},
        {"/api/x", "/api/{kind}"},
        {"/api/users", "/api/users"},
        {"/api/users/", "/api/users/"},
        {"/api/users/me", "/api/users/me"},
        {"/api/users/me/", "/api/*"},
        {"/api/users/7", "/api/users/{id}"},
        {"/api/Users/7", "/api/{kind}/{id}"},
        {"/API/users/7", "/*"},
        {"/api/users/7/posts/new", "/api/users/{id}/posts/new"},
        /* the literal branch "me" and the parameter branch fail deeper: back to the rest */
        {"/api/users/me/posts/new", "/api/users/{id}/posts/new"},
        {"/api/users/me/posts/old", "/api/*"},
        {"/api//7", "/api/*"}, /* a parameter is never empty */
        {"//api/users", "/*"},
        {"/api/users/me.css", "/api/users/{id}"},
        {"/api/users/me%2F..", "/api/users/{id}"},
    };
    for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++) {
        assert_string_equal(found(t, &f, "GET", expect[i][0], NULL), expect[i][1]);
    }
    assert_string_equal(found(t, &f, "OPTIONS", "*", NULL), "-");
    assert_string_equal(found(t, &f, "GET", "", NULL), "-");
    route_table_unref(t);
    fixture_fini(&f);
}

static void parameters_are_slices_in_route_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add(&f, 0, "GET", "/o/{org}/u/{user}/*");
    add(&f, 0, "PUT", "/o/{other}/u/{name}");
    struct route_table *t = route_table_new(&f.settings);
    struct route_match m;
    assert_string_equal(found(t, &f, "GET", "/o/a%20b/u/c/d/e", &m), "/o/{org}/u/{user}/*");
    assert_int_equal(m.n_params, 2);
    assert_str(m.params[0], "a%20b");
    assert_str(m.params[1], "c");
    assert_string_equal(found(t, &f, "PUT", "/o/1/u/2", &m), "/o/{other}/u/{name}");
    assert_int_equal(m.n_params, 2);
    assert_str(m.params[1], "2");
    assert_string_equal(found(t, &f, "GET", "/o/1/u/2", &m), "-");
    assert_int_equal(m.n_params, 0);
    assert_true(m.path_known_other_method);
    route_table_unref(t);
    fixture_fini(&f);
}

static void methods_choose_among_the_routes_of_a_path(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct route_settings *get = add(&f, 0, "GET", "/a/{id}");
    struct route_settings *write = add(&f, 0, "PUT,PATCH,DELETE", "/a/{key}");
    struct route_settings *put_new = add(&f, 0, "PUT", "/a/new");
    struct route_settings *head = add(&f, 0, "HEAD", "/h");
    struct route_settings *get_h = add(&f, 0, "GET", "/h");
    add(&f, 0, "POST", "/p");
    struct route_settings *any = add(&f, 0, "*", "/w/{x}");
    struct route_settings *get_w = add(&f, 0, "GET", "/w/{y}");
    struct route_settings *any_w = add(&f, 0, "*", "/w/x");
    struct route_table *t = route_table_new(&f.settings);
    struct route_match m;
    const struct site_settings *site = &f.sites[0];

    route_find(t, site, STR("GET"), STR("/a/1"), &m);
    assert_ptr_equal(m.route, get);
    route_find(t, site, STR("HEAD"), STR("/a/1"), &m);
    assert_ptr_equal(m.route, get);
    route_find(t, site, STR("DELETE"), STR("/a/1"), &m);
    assert_ptr_equal(m.route, write);
    route_find(t, site, STR("PUT"), STR("/a/new"), &m);
    assert_ptr_equal(m.route, put_new);
    /* the literal path lacks GET and DELETE: the parameter's route has them */
    route_find(t, site, STR("GET"), STR("/a/new"), &m);
    assert_ptr_equal(m.route, get);
    assert_false(m.path_known_other_method);
    route_find(t, site, STR("DELETE"), STR("/a/new"), &m);
    assert_ptr_equal(m.route, write);
    /* an explicit HEAD goes before GET's, and is no GET */
    route_find(t, site, STR("HEAD"), STR("/h"), &m);
    assert_ptr_equal(m.route, head);
    route_find(t, site, STR("GET"), STR("/h"), &m);
    assert_ptr_equal(m.route, get_h);
    /* names are case-sensitive (RFC 9110 9.1) */
    route_find(t, site, STR("get"), STR("/a/1"), &m);
    assert_null(m.route);
    assert_true(m.path_known_other_method);
    route_find(t, site, STR("GET"), STR("/p"), &m);
    assert_null(m.route);
    assert_true(m.path_known_other_method);
    route_find(t, site, STR("HEAD"), STR("/p"), &m);
    assert_null(m.route);
    /* "*" takes the rest of the path it stands on */
    route_find(t, site, STR("PURGE"), STR("/w/1"), &m);
    assert_ptr_equal(m.route, any);
    route_find(t, site, STR("GET"), STR("/w/1"), &m);
    assert_ptr_equal(m.route, get_w);
    route_find(t, site, STR("HEAD"), STR("/w/1"), &m);
    assert_ptr_equal(m.route, get_w);
    route_find(t, site, STR("GET"), STR("/w/x"), &m);
    assert_ptr_equal(m.route, any_w);
    route_find(t, site, STR("GET"), STR("/q"), &m);
    assert_null(m.route);
    assert_false(m.path_known_other_method);
    route_table_unref(t);
    fixture_fini(&f);
}

static void host_names_find_their_site(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct str top[] = {STR("a.example"), STR("b.example")};
    struct str second[] = {STR("c.example"), STR("[::1]")};
    f.sites[0].hosts = (struct str_list){top, 2};
    f.sites[1].hosts = (struct str_list){second, 2};
    struct route_settings *in_second = add(&f, 1, "GET", "/only-here");
    struct route_table *t = route_table_new(&f.settings);
    assert_ptr_equal(route_site(t, STR("a.example")), &f.sites[0]);
    assert_ptr_equal(route_site(t, STR("b.example")), &f.sites[0]);
    assert_ptr_equal(route_site(t, STR("c.example")), &f.sites[1]);
    assert_ptr_equal(route_site(t, STR("[::1]")), &f.sites[1]);
    assert_null(route_site(t, STR("d.example")));
    assert_null(route_site(t, STR("")));
    struct route_match m;
    route_find(t, &f.sites[1], STR("GET"), STR("/only-here"), &m);
    assert_ptr_equal(m.route, in_second);
    route_find(t, &f.sites[0], STR("GET"), STR("/only-here"), &m);
    assert_null(m.route); /* sites do not share routes */
    route_table_unref(t);

    /* A top level without names takes the rest, if it serves anything. */
    f.sites[0].hosts.n = 0;
    t = route_table_new(&f.settings);
    assert_ptr_equal(route_site(t, STR("d.example")), &f.sites[0]);
    assert_ptr_equal(route_site(t, STR("c.example")), &f.sites[1]);
    route_table_unref(t);
    f.sites[0].fallback.upstream = NULL;
    t = route_table_new(&f.settings);
    assert_null(route_site(t, STR("d.example")));
    route_table_unref(t);
    fixture_fini(&f);
}

/* Collects "pattern(param,param)" of each call, with "+rest" for a trailing `*`. */
struct collected {
    char text[512];
};

static void collect(const struct route_settings *route, const struct str *params,
                    size_t n_params, struct str rest, void *ctx)
{
    struct collected *c = ctx;
    size_t n = strlen(c->text);
    n += (size_t)snprintf(c->text + n, sizeof(c->text) - n, "%.*s(", STR_ARG(route->path));
    for (size_t i = 0; i < n_params; i++) {
        n += (size_t)snprintf(c->text + n, sizeof(c->text) - n, "%s%.*s", i > 0 ? "," : "",
                              STR_ARG(params[i]));
    }
    snprintf(c->text + n, sizeof(c->text) - n, ")%s%.*s ", rest.p != NULL ? "+" : "",
             STR_ARG(rest));
}

static void assert_each(const struct route_table *t, const struct fixture *f, const char *path,
                        const char *expected)
{
    struct collected c = {""};
    route_each_cached_for_path(t, &f->sites[0], str_from(path), collect, &c);
    assert_string_equal(c.text, expected);
}

static void every_cached_route_of_a_path_is_reported(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add(&f, 0, "GET", "/Users/{id}")->cached = true;
    add(&f, 0, "GET,HEAD", "/users/me/")->cached = true;
    add(&f, 0, "GET", "/users/*")->cached = true;
    add(&f, 0, "GET", "/")->cached = true;
    add(&f, 0, "GET", "/users/you"); /* not cached */
    add(&f, 0, "POST", "/users/{id}")->cached = true;
    struct route_table *t = route_table_new(&f.settings);
    assert_each(t, &f, "/users/AbC", "/users/*()+AbC /Users/{id}(AbC) ");
    assert_each(t, &f, "/USERS/Me", "/users/*()+Me /users/me/() /Users/{id}(Me) ");
    assert_each(t, &f, "/users/me///", "/users/*()+me /users/me/() /Users/{id}(me) ");
    assert_each(t, &f, "/users", "/users/*()+ ");
    assert_each(t, &f, "/users/", "/users/*()+ ");
    assert_each(t, &f, "/users/you", "/users/*()+you /Users/{id}(you) ");
    assert_each(t, &f, "/users/A/b", "/users/*()+A/b ");
    assert_each(t, &f, "/", "/() ");
    assert_each(t, &f, "/other", "");
    assert_each(t, &f, "*", "");
    assert_each(t, &f, "", "");
    route_table_unref(t);
    fixture_fini(&f);
}

/* ---- against an obvious matcher ---------------------------------------------------------- */

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

/* Ranks of a route for a path: one digit per segment (2 literal, 1 parameter, 0 rest), so that
 * string order is specificity; false when it does not match. */
static bool rank(const struct route_settings *r, struct str path, char out[16])
{
    struct str rest = str_skip(path, 1);
    struct str segment;
    size_t i = 0;
    memset(out, 0, 16);
    while (str_next(&rest, '/', &segment)) {
        if (i == r->n_segments) {
            return false;
        }
        const struct path_segment *s = &r->segments[i];
        if (s->kind == SEGMENT_REST) {
            out[i] = '0';
            return true;
        }
        if (s->kind == SEGMENT_PARAM ? segment.n == 0 : !str_eq(segment, s->text)) {
            return false;
        }
        out[i++] = s->kind == SEGMENT_PARAM ? '1' : '2';
    }
    return i == r->n_segments;
}

static struct str random_path(struct fixture *f, uint64_t *seed, bool pattern)
{
    static const char *const words[] = {"a", "b", "", "c", "{x}", "{y}", "a", "b"};
    char text[64] = "";
    size_t n = 1 + next_random(seed) % 5;
    for (size_t i = 0; i < n; i++) {
        const char *word = words[next_random(seed) % (pattern ? 8 : 4)];
        if (pattern && i + 1 == n && next_random(seed) % 4 == 0) {
            word = "*";
        }
        size_t at = strlen(text);
        snprintf(text + at, sizeof(text) - at, "/%s", word);
    }
    return arena_dup(&f->arena, str_from(text));
}

static bool same_shape(const struct route_settings *a, const struct route_settings *b)
{
    if (a->n_segments != b->n_segments) {
        return false;
    }
    for (size_t i = 0; i < a->n_segments; i++) {
        if (a->segments[i].kind != b->segments[i].kind ||
            (a->segments[i].kind == SEGMENT_LITERAL &&
             !str_eq(a->segments[i].text, b->segments[i].text))) {
            return false;
        }
    }
    return true;
}

static void fill_random(struct fixture *f, uint64_t *seed)
{
    static const char *const methods[] = {"GET", "PUT", "GET,PUT"};
    size_t *n = &f->sites[0].n_routes;
    while (*n < 24) {
        struct route_settings *r = &f->routes[0][*n];
        route_fill(f, r, str_from(methods[next_random(seed) % 3]), random_path(f, seed, true));
        bool twice = false;
        for (size_t i = 0; i < *n; i++) {
            twice = twice || same_shape(r, &f->routes[0][i]);
        }
        *n += twice ? 0 : 1;
    }
}

static void agrees_with_an_obvious_matcher(void **state)
{
    (void)state;
    uint64_t seed = 20240607;
    for (int round = 0; round < 200; round++) {
        struct fixture f;
        fixture_init(&f);
        fill_random(&f, &seed);
        struct route_table *t = route_table_new(&f.settings);
        for (int k = 0; k < 200; k++) {
            struct str path = random_path(&f, &seed, false);
            struct str method = k % 2 == 0 ? STR("GET") : STR("PUT");
            const struct route_settings *best = NULL;
            char best_rank[16] = "";
            bool other = false;
            for (size_t i = 0; i < f.sites[0].n_routes; i++) {
                const struct route_settings *r = &f.routes[0][i];
                char this_rank[16];
                if (!rank(r, path, this_rank)) {
                    continue;
                }
                bool has = str_eq(r->methods.list[0], method) ||
                           (r->methods.n > 1 && str_eq(r->methods.list[1], method));
                other = other || !has;
                if (has && (best == NULL || strcmp(this_rank, best_rank) > 0)) {
                    best = r;
                    memcpy(best_rank, this_rank, sizeof(best_rank));
                }
            }
            struct route_match m;
            route_find(t, &f.sites[0], method, path, &m);
            assert_ptr_equal(m.route, best);
            assert_int_equal(m.path_known_other_method, best == NULL && other);
            assert_int_equal(m.n_params, best != NULL ? best->n_params : 0);
        }
        route_table_unref(t);
        fixture_fini(&f);
    }
}

/* Ten thousand routes and a path made to try every branch: the work stays within the table. */
static void large_tables_and_hostile_paths(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    size_t n = 10000;
    struct route_settings *routes = calloc(n, sizeof(*routes));
    assert_non_null(routes);
    f.sites[0].routes = routes;
    f.sites[0].n_routes = n;
    for (size_t i = 0; i < n; i++) {
        /* 1,024 patterns of ten segments "a" or {x}, which backtrack most; then ordinary ones
         */
        char path[96] = "";
        for (unsigned bit = 0; i < 1024 && bit < 10; bit++) {
            size_t at = strlen(path);
            snprintf(path + at, sizeof(path) - at, "/%s", (i >> bit & 1) != 0 ? "{x}" : "a");
        }
        if (i >= 1024) {
            snprintf(path, sizeof(path), "/api/v%zu/r%zu/{id}", i % 7, i);
        }
        route_fill(&f, &routes[i], STR("GET"), str_from(path));
        routes[i].cached = true;
    }
    struct route_table *t = route_table_new(&f.settings);
    struct route_match m;
    for (size_t i = 1024; i < n; i++) {
        struct str path = arena_printf(&f.arena, "/api/v%zu/r%zu/%zu", i % 7, i, i * 31);
        route_find(t, &f.sites[0], STR("HEAD"), path, &m);
        assert_ptr_equal(m.route, &routes[i]);
    }
    struct timespec from;
    struct timespec to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (int i = 0; i < 100; i++) {
        route_find(t, &f.sites[0], STR("GET"), STR("/a/a/a/a/a/a/a/a/a/b/b"), &m);
        assert_null(m.route);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    double ms =
        (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
    assert_true(ms < 500); /* 2,048 nodes for each; a minute and more if it were exponential */
    struct collected c = {""};
    route_each_cached_for_path(t, &f.sites[0], STR("/API/V0/R7000/Z"), collect, &c);
    assert_string_equal(c.text, "/api/v0/r7000/{id}(Z) ");
    route_table_unref(t);
    free(routes);
    fixture_fini(&f);
}

static void references_keep_the_table(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add(&f, 0, "GET", "/a");
    struct route_table *t = route_table_new(&f.settings);
    assert_int_equal(atomic_load(&f.settings.refs), 2);
    assert_ptr_equal(route_table_ref(t), t);
    route_table_unref(t);
    assert_string_equal(found(t, &f, "GET", "/a", NULL), "/a");
    assert_ptr_equal(route_table_settings(t), &f.settings);
    route_table_unref(t);
    route_table_unref(NULL);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(most_specific_path_wins),
        cmocka_unit_test(parameters_are_slices_in_route_order),
        cmocka_unit_test(methods_choose_among_the_routes_of_a_path),
        cmocka_unit_test(host_names_find_their_site),
        cmocka_unit_test(every_cached_route_of_a_path_is_reported),
        cmocka_unit_test(agrees_with_an_obvious_matcher),
        cmocka_unit_test(large_tables_and_hostile_paths),
        cmocka_unit_test(references_keep_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
