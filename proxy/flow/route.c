/*
 * Compiled routing. Each site has two tries over path segments, both in one arena:
 *
 *   exact    every route, literals as written          route_find()
 *   folded   cached GET routes, literals in lower      route_each_cached_for_path()
 *            case, without the trailing slash
 *
 * A node holds its {param} child, the leaves of the paths that end there and those of a
 * trailing
 * `*`; literal children of all nodes stand in one open-addressing table keyed by (node, text),
 * so a segment costs one hash and one compare however many siblings it has. A walk visits a
 * node at most once (a node has one depth and one way to it), so backtracking is bounded by the
 * number of nodes, which the configuration decides and no request can.
 */
#include "flow/route.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/arena.h"
#include "base/mem.h"

/* Index 0 of nodes and leaves is never used: 0 means none. */
#define NONE 0u

/* One method of one route at the end of its path. */
struct leaf {
    struct str method;
    const struct route_settings *route;
    uint32_t next; /* leaf of the same path, NONE at the end */
};

struct node {
    struct str text; /* literal that leads here; unused for {param} children */
    uint32_t parent; /* with text, the identity of a literal child */
    uint32_t param;  /* child for any one non-empty segment */
    uint32_t end;    /* leaves of the path that ends here */
    uint32_t rest;   /* leaves of `*` below here */
    bool literals;   /* there are literal children: else the hash is not worth computing */
};

/* A slot of the table of literal children; node NONE: empty. */
struct slot {
    uint32_t hash;
    uint32_t node;
};

struct trie {
    struct node *nodes;
    uint32_t n_nodes;
    struct leaf *leaves;
    uint32_t n_leaves;
    struct slot *slots;
    uint32_t mask; /* slots - 1; a power of two, at most half of them used */
    bool folded;
};

/* One name of a site. */
struct host_slot {
    struct str name;
    const struct site_settings *site; /* NULL: empty */
};

struct route_table {
    atomic_uint refs;
    struct settings *settings; /* one reference */
    struct arena arena;        /* owns the tries and folded texts */
    struct trie exact;
    struct trie folded;
    struct host_slot *hosts;
    uint32_t hosts_mask;
    const struct site_settings *any_host; /* takes names that nobody lists, may be NULL */
};

/* Roots stand at the front of a trie, in order of the sites. */
static uint32_t site_root(const struct site_settings *site)
{
    return site->index + 1;
}

static uint32_t text_hash(uint32_t parent, struct str text)
{
    return (uint32_t)XXH3_64bits_withSeed(text.p, text.n, parent);
}

/* ---- building ---------------------------------------------------------------------------- */

static uint32_t pow2_at_least(size_t n)
{
    uint32_t p = 8;
    while (p < n) {
        p *= 2;
    }
    return p;
}

static struct str fold(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        out[i] = ascii_lower(s.p[i]);
    }
    return str_make(out, s.n);
}

/* Slot of the literal child, or the empty slot where it belongs. */
static struct slot *literal_slot(const struct trie *t, uint32_t parent, struct str text)
{
    uint32_t hash = text_hash(parent, text);
    uint32_t i = hash & t->mask;
    for (;;) {
        struct slot *slot = &t->slots[i];
        if (slot->node == NONE) {
            return slot;
        }
        const struct node *child = &t->nodes[slot->node];
        if (slot->hash == hash && child->parent == parent && str_eq(child->text, text)) {
            return slot;
        }
        i = (i + 1) & t->mask;
    }
}

static uint32_t add_node(struct trie *t, uint32_t parent, struct str text)
{
    uint32_t id = t->n_nodes++;
    t->nodes[id].parent = parent;
    t->nodes[id].text = text;
    return id;
}

static uint32_t child_literal(struct trie *t, struct arena *a, uint32_t parent, struct str text)
{
    struct str wanted = t->folded ? fold(a, text) : text;
    struct slot *slot = literal_slot(t, parent, wanted);
    if (slot->node == NONE) {
        slot->hash = text_hash(parent, wanted);
        slot->node = add_node(t, parent, wanted);
        t->nodes[parent].literals = true;
    }
    return slot->node;
}

static uint32_t child_param(struct trie *t, uint32_t parent)
{
    if (t->nodes[parent].param == NONE) {
        t->nodes[parent].param = add_node(t, parent, STR_NULL);
    }
    return t->nodes[parent].param;
}

static void add_leaf(struct trie *t, uint32_t *list, struct str method,
                     const struct route_settings *route)
{
    uint32_t *last = list;
    while (*last != NONE) {
        last = &t->leaves[*last].next; /* appended: of equal ones the first is found */
    }
    uint32_t id = t->n_leaves++;
    t->leaves[id] = (struct leaf){.method = method, .route = route};
    *last = id;
}

/* Number of segments that the trie sees: the folded one ignores trailing slashes, which are
 * empty literals at the end. */
static size_t visible_segments(const struct trie *t, const struct route_settings *route)
{
    size_t n = route->n_segments;
    while (t->folded && n > 0 && route->segments[n - 1].kind == SEGMENT_LITERAL &&
           route->segments[n - 1].text.n == 0) {
        n--;
    }
    return n;
}

static bool serves_method(const struct route_settings *route, struct str method)
{
    for (size_t i = 0; i < route->methods.n; i++) {
        if (str_eq(route->methods.list[i], method)) {
            return true;
        }
    }
    return false;
}

static void add_route(struct trie *t, struct arena *a, uint32_t root,
                      const struct route_settings *route)
{
    uint32_t at = root;
    uint32_t *list = NULL;
    size_t n = visible_segments(t, route);
    for (size_t i = 0; i < n && list == NULL; i++) {
        const struct path_segment *segment = &route->segments[i];
        if (segment->kind == SEGMENT_REST) {
            list = &t->nodes[at].rest;
        } else if (segment->kind == SEGMENT_PARAM) {
            at = child_param(t, at);
        } else {
            at = child_literal(t, a, at, segment->text);
        }
    }
    if (n == 0 && !t->folded) {
        at = child_literal(t, a, at, STR("")); /* "/" is one empty segment */
    }
    if (list == NULL) {
        list = &t->nodes[at].end;
    }
    if (t->folded) {
        add_leaf(t, list, STR("GET"), route);
        return;
    }
    for (size_t i = 0; i < route->methods.n; i++) {
        add_leaf(t, list, route->methods.list[i], route);
    }
}

/* A route without a method list would match nothing; one with more parameters than a match can
 * hold is refused by config and ignored here. */
static bool wanted_in(const struct trie *t, const struct route_settings *route)
{
    if (route->n_params > SETTINGS_MAX_PARAMS) {
        return false;
    }
    return !t->folded || (route->cached && serves_method(route, STR("GET")));
}

static void trie_build(struct trie *t, const struct settings *s, struct arena *a, bool folded)
{
    t->folded = folded;
    size_t nodes = s->n_sites + 1;
    size_t leaves = 1;
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].n_routes; k++) {
            const struct route_settings *route = &s->sites[i].routes[k];
            if (wanted_in(t, route)) {
                nodes += route->n_segments + 1;
                leaves += route->methods.n;
            }
        }
    }
    size_t slots = pow2_at_least(nodes * 2);
    t->nodes = arena_zalloc(a, nodes * sizeof(*t->nodes));
    t->leaves = arena_zalloc(a, leaves * sizeof(*t->leaves));
    t->slots = arena_zalloc(a, slots * sizeof(*t->slots));
    t->mask = (uint32_t)slots - 1;
    t->n_nodes = (uint32_t)s->n_sites + 1;
    t->n_leaves = 1;
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct site_settings *site = &s->sites[i];
        for (size_t k = 0; k < site->n_routes; k++) {
            if (wanted_in(t, &site->routes[k])) {
                add_route(t, a, site_root(site), &site->routes[k]);
            }
        }
    }
}

static struct host_slot *host_slot(const struct route_table *t, struct str name)
{
    uint32_t i = text_hash(0, name) & t->hosts_mask;
    while (t->hosts[i].site != NULL && !str_eq(t->hosts[i].name, name)) {
        i = (i + 1) & t->hosts_mask;
    }
    return &t->hosts[i];
}

static void hosts_build(struct route_table *t, const struct settings *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_sites; i++) {
        n += s->sites[i].hosts.n;
    }
    size_t slots = pow2_at_least(n * 2 + 1);
    t->hosts = arena_zalloc(&t->arena, slots * sizeof(*t->hosts));
    t->hosts_mask = (uint32_t)slots - 1;
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct site_settings *site = &s->sites[i];
        for (size_t k = 0; k < site->hosts.n; k++) {
            struct host_slot *slot = host_slot(t, site->hosts.list[k]);
            if (slot->site == NULL) {
                *slot = (struct host_slot){site->hosts.list[k], site};
            }
        }
    }
    if (s->n_sites == 0 || s->sites[0].hosts.n > 0) {
        return;
    }
    /* A file that consists of host blocks has a top level that serves nothing: there an unknown
     * name is misdirected, not sent to an origin by guess (hardening K1). */
    const struct site_settings *top = &s->sites[0];
    if (top->n_routes > 0 || top->fallback.upstream != NULL) {
        t->any_host = top;
    }
}

struct route_table *route_table_new(struct settings *settings)
{
    struct route_table *t = xcalloc(1, sizeof(*t));
    atomic_init(&t->refs, 1);
    t->settings = settings_ref(settings);
    arena_init(&t->arena, NULL, 0);
    trie_build(&t->exact, settings, &t->arena, false);
    trie_build(&t->folded, settings, &t->arena, true);
    hosts_build(t, settings);
    return t;
}

struct route_table *route_table_ref(struct route_table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void route_table_unref(struct route_table *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    arena_reset(&t->arena);
    settings_unref(t->settings);
    free(t);
}

const struct settings *route_table_settings(const struct route_table *t)
{
    return t->settings;
}

/* ---- finding ----------------------------------------------------------------------------- */

const struct site_settings *route_site(const struct route_table *t, struct str host)
{
    const struct site_settings *site = host_slot(t, host)->site;
    return site != NULL ? site : t->any_host;
}

/* What a search carries down the trie. */
struct walk {
    const struct trie *trie;
    struct str method;
    bool head; /* a GET leaf will do */
    struct route_match *out;
};

/* Takes the segment before the next "/" off *rest; the last one leaves *rest at STR_NULL. */
static struct str next_segment(struct str *rest)
{
    struct str segment = str_make(rest->p, str_index(*rest, '/'));
    *rest = segment.n < rest->n ? str_skip(*rest, segment.n + 1) : STR_NULL;
    return segment;
}

/* How well a leaf serves a method: by name, HEAD by GET's, any method by "*"; 0 not at all. */
static int leaf_rank(const struct leaf *leaf, const struct walk *w)
{
    if (str_eq(leaf->method, w->method)) {
        return 3;
    }
    if (w->head && str_eq(leaf->method, STR("GET"))) {
        return 2;
    }
    return str_eq(leaf->method, STR("*")) ? 1 : 0;
}

/* The leaf that serves the method best becomes the answer. */
static bool take_leaf(struct walk *w, uint32_t list, size_t n_params)
{
    int best = 0;
    for (uint32_t i = list; i != NONE && best < 3; i = w->trie->leaves[i].next) {
        const struct leaf *leaf = &w->trie->leaves[i];
        int rank = leaf_rank(leaf, w);
        if (rank > best) {
            best = rank;
            w->out->route = leaf->route;
        }
    }
    if (best == 0) {
        w->out->path_known_other_method |= list != NONE;
        return false;
    }
    w->out->n_params = n_params;
    w->out->path_known_other_method = false;
    return true;
}

static uint32_t literal_child(const struct trie *t, uint32_t parent, struct str segment)
{
    return t->nodes[parent].literals ? literal_slot(t, parent, segment)->node : NONE;
}

/* Depth-first, the more specific branch first. The depth is that of the deepest pattern. */
static bool find_below(struct walk *w, uint32_t at, struct str rest, size_t n_params)
{
    const struct node *node = &w->trie->nodes[at];
    if (rest.p == NULL) {
        return take_leaf(w, node->end, n_params);
    }
    struct str below = rest;
    struct str segment = next_segment(&below);
    uint32_t literal = literal_child(w->trie, at, segment);
    if (literal != NONE && find_below(w, literal, below, n_params)) {
        return true;
    }
    if (node->param != NONE && segment.n > 0 && n_params < SETTINGS_MAX_PARAMS) {
        w->out->params[n_params] = segment;
        if (find_below(w, node->param, below, n_params + 1)) {
            return true;
        }
    }
    return node->rest != NONE && take_leaf(w, node->rest, n_params);
}

void route_find(const struct route_table *t, const struct site_settings *site,
                struct str method, struct str path, struct route_match *out)
{
    out->route = NULL;
    out->n_params = 0;
    out->path_known_other_method = false;
    if (path.n == 0 || path.p[0] != '/') {
        return; /* "*" of OPTIONS, or nothing that a route could name */
    }
    struct walk w = {
        .trie = &t->exact,
        .method = method,
        .head = str_eq(method, STR("HEAD")),
        .out = out,
    };
    find_below(&w, site_root(site), str_skip(path, 1), 0);
}

/* ---- all cached routes of a path ------------------------------------------------------------
 */

struct sweep {
    const struct trie *trie;
    struct str path;    /* as received, without trailing slashes */
    const char *folded; /* the same length in lower case */
    struct str params[SETTINGS_MAX_PARAMS];
    route_each_fn fn;
    void *ctx;
};

static void report_leaves(const struct sweep *s, uint32_t list, size_t n_params,
                          struct str rest)
{
    for (uint32_t i = list; i != NONE; i = s->trie->leaves[i].next) {
        s->fn(s->trie->leaves[i].route, s->params, n_params, rest, s->ctx);
    }
}

/* The part of the path as received that a part of the folded one stands for. */
static struct str as_received(const struct sweep *s, struct str folded)
{
    return str_make(s->path.p + (folded.p - s->folded), folded.n);
}

/* rest is a slice of the folded path; the same offsets in the path give the parameters. */
static void sweep_below(struct sweep *s, uint32_t at, struct str rest, size_t n_params)
{
    const struct node *node = &s->trie->nodes[at];
    /* also for `/files`: its slash is ignored */
    report_leaves(s, node->rest, n_params, rest.p != NULL ? as_received(s, rest) : STR(""));
    if (rest.p == NULL) {
        report_leaves(s, node->end, n_params, STR_NULL);
        return;
    }
    struct str below = rest;
    struct str segment = next_segment(&below);
    uint32_t literal = literal_child(s->trie, at, segment);
    if (literal != NONE) {
        sweep_below(s, literal, below, n_params);
    }
    if (node->param != NONE && segment.n > 0 && n_params < SETTINGS_MAX_PARAMS) {
        s->params[n_params] = as_received(s, segment);
        sweep_below(s, node->param, below, n_params + 1);
    }
}

void route_each_cached_for_path(const struct route_table *t, const struct site_settings *site,
                                struct str path, route_each_fn fn, void *ctx)
{
    if (path.n == 0 || path.p[0] != '/') {
        return;
    }
    while (path.n > 0 && path.p[path.n - 1] == '/') {
        path.n--;
    }
    char *folded = xmalloc(path.n + 1);
    for (size_t i = 0; i < path.n; i++) {
        folded[i] = ascii_lower(path.p[i]);
    }
    struct sweep s = {.trie = &t->folded, .path = path, .folded = folded, .fn = fn, .ctx = ctx};
    struct str rest = path.n > 0 ? str_make(folded + 1, path.n - 1) : STR_NULL;
    sweep_below(&s, site_root(site), rest, 0);
    free(folded);
}
