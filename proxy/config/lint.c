/*
 * Warnings about names: two routes that can produce one, a glob that reaches further than it
 * says, belongs to the writer alone, or matches nothing.
 */
#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/build.h"
#include "config/overlap.h"

/* What the warnings may cost a reload, in looks at a literal start; comparing two whole
 * templates counts for many. In larger files the rest goes unwarned. */
#define MAX_COST     1000000
#define OVERLAP_COST 50

/* A cached route and its name. */
struct keyed {
    struct str head; /* literal start of the key */
    const struct route_settings *r;
    const struct conf_route *x;
    size_t site;
};

struct keyed_list {
    struct keyed *list;
    size_t n;
    size_t left; /* of MAX_COST */
};

static int compare_keyed(const void *pa, const void *pb)
{
    const struct keyed *a = pa;
    const struct keyed *b = pb;
    int order = str_cmp(a->head, b->head);

    if (order != 0) {
        return order;
    }
    return a->x->at.offset < b->x->at.offset ? -1 : a->x->at.offset > b->x->at.offset;
}

static void collect(struct conf_build *b, struct keyed_list *out)
{
    size_t total = 0;

    for (size_t i = 0; i < b->s->n_sites; i++) {
        total += b->s->sites[i].n_routes;
    }
    *out = (struct keyed_list){xcalloc(total + 1, sizeof(*out->list)), 0, MAX_COST};
    for (size_t i = 0; i < b->s->n_sites; i++) {
        for (size_t k = 0; k < b->s->sites[i].n_routes; k++) {
            const struct route_settings *r = &b->s->sites[i].routes[k];

            if (r->cached && r->key.n > 0) {
                out->list[out->n++] = (struct keyed){
                    .head = conf_literal_head(&r->key, false),
                    .r = r,
                    .x = &b->sites[i].routes[k],
                    .site = i,
                };
            }
        }
    }
    if (out->n > 1) {
        qsort(out->list, out->n, sizeof(*out->list), compare_keyed);
    }
}

static void spend(struct keyed_list *keys, size_t cost)
{
    keys->left -= cost < keys->left ? cost : keys->left;
}

/* Different sites keep their entries apart, and {path} tells the paths of one site apart. */
static bool may_collide(struct keyed_list *keys, const struct keyed *a, const struct keyed *b)
{
    spend(keys, 1);
    if (a->site != b->site ||
        (conf_template_has(&a->r->key, KEY_PATH) && conf_template_has(&b->r->key, KEY_PATH))) {
        return false;
    }
    spend(keys, OVERLAP_COST);
    return conf_overlap(&a->r->key, false, &b->r->key);
}

static void warn_collisions(struct conf_build *b, struct keyed_list *keys)
{
    for (size_t i = 0; i < keys->n; i++) {
        /* Names that begin alike stand together. */
        for (size_t k = i + 1; k < keys->n && keys->left > 0; k++) {
            const struct keyed *first = &keys->list[i];
            const struct keyed *second = &keys->list[k];

            if (!str_starts(second->head, first->head)) {
                break;
            }
            if (!may_collide(keys, first, second)) {
                continue;
            }
            bool later = second->x->at.offset > first->x->at.offset;
            const struct keyed *at = later ? second : first;
            const struct keyed *other = later ? first : second;
            conf_warn(b->d, at->x->key_at, "this key and that of %.*s can produce one name",
                      STR_ARG(conf_clip(other->r->label)));
            conf_hint(b->d, "%.*s:%u says `%.*s`; begin them differently",
                      STR_ARG(other->r->file), other->r->line,
                      STR_ARG(conf_clip(other->r->key.text)));
        }
    }
}

/* ---- globs ------------------------------------------------------------------------------ */

/* The glob with every identity replaced by *. */
static struct str without_identities(struct conf_build *b, const struct key_template *t)
{
    struct strbuf out = {0};
    struct str rest = t->text;

    for (size_t i = 0; i < t->n; i++) {
        const struct key_part *part = &t->parts[i];
        size_t n = part->kind == KEY_LITERAL ? part->text.n : str_index(rest, '}') + 1;

        if (part->kind != KEY_IDENTITY) {
            strbuf_add(&out, rest.p, n);
        } else if (out.n == 0 || out.p[out.n - 1] != '*') {
            strbuf_add_char(&out, '*');
        }
        rest = str_skip(rest, n);
        /* {org}* becomes one *, not two. */
        if (part->kind == KEY_IDENTITY && str_starts(rest, STR("*"))) {
            out.n -= out.n > 0;
        }
    }
    struct str text = arena_dup(b->scratch, strbuf_str(&out));
    strbuf_free(&out);
    return text;
}

static void warn_identity(struct conf_build *b, const struct conf_arg *arg,
                          const struct key_template *t)
{
    uint32_t mask = conf_template_identities(t);
    unsigned index = 0;

    if (mask == 0) {
        return;
    }
    while ((mask & (UINT32_C(1) << index)) == 0) {
        index++;
    }
    struct str name = b->s->identities[index].name;
    struct str wider = without_identities(b, t);
    conf_warn(b->d, arg->at, "{%.*s} is the writer's own: what others cached stays",
              STR_ARG(name));
    conf_hint(b->d, "write `%.*s`, unless only that tenant can change what it holds",
              STR_ARG(conf_clip(wider)));
}

/* org1* also matches org10: a wildcard that continues a word or a value. */
static void warn_open_end(struct conf_build *b, const struct conf_arg *arg,
                          const struct key_template *t)
{
    struct str text = t->text;
    bool inside = false;

    for (size_t i = 1; i < text.n; i++) {
        char before = text.p[i - 1];

        if (before == '\\') {
            continue;
        }
        inside = inside ? before != ']' : before == '[';
        if (text.p[i] != '*' || inside || (!isalnum((unsigned char)before) && before != '}')) {
            continue;
        }
        conf_warn(b->d, conf_part(arg, i, 1),
                  "this * continues what stands before it: it also matches longer %s",
                  before == '}' ? "values, as org10 for org1" : "words");
        conf_hint(b->d, "end it with a separator: `%.*s:*`", (int)(i < 60 ? i : 60), text.p);
        return;
    }
}

static bool matches_any(const struct key_template *glob, struct keyed_list *keys)
{
    struct str head = conf_literal_head(glob, true);

    for (size_t i = 0; i < keys->n; i++) {
        struct str key = keys->list[i].head;
        size_t common = head.n < key.n ? head.n : key.n;

        if (keys->left == 0) {
            return true; /* unknown: say nothing */
        }
        spend(keys, 1);
        if (common > 0 && memcmp(head.p, key.p, common) != 0) {
            continue;
        }
        spend(keys, OVERLAP_COST);
        if (conf_overlap(glob, true, &keys->list[i].r->key)) {
            return true;
        }
    }
    return false;
}

static void warn_globs(struct conf_build *b, const struct route_settings *r,
                       const struct conf_route *x, struct keyed_list *keys)
{
    for (size_t i = 0; i < r->n_invalidate; i++) {
        const struct key_template *t = &r->invalidate[i].value;

        if (r->invalidate[i].kind != TARGET_GLOB) {
            continue;
        }
        warn_identity(b, x->targets[i], t);
        warn_open_end(b, x->targets[i], t);
        /* With errors about, the key that it means may be one of those left out. */
        if (!b->d->failed && !matches_any(t, keys)) {
            conf_warn(b->d, x->targets[i]->at, "`%.*s` matches the key of no cached route",
                      STR_ARG(conf_clip(x->targets[i]->raw)));
        }
    }
}

void conf_check_names(struct conf_build *b)
{
    struct keyed_list keys;

    collect(b, &keys);
    warn_collisions(b, &keys);
    keys.left = MAX_COST;
    for (size_t i = 0; i < b->s->n_sites; i++) {
        for (size_t k = 0; k < b->s->sites[i].n_routes; k++) {
            warn_globs(b, &b->s->sites[i].routes[k], &b->sites[i].routes[k], &keys);
        }
    }
    free(keys.list);
}
