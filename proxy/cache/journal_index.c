/* The index's two ways in: verdicts for entries, and records. */
#include "cache/journal_index.h"

#include "cache/hash.h"
#include "cache/journal_item.h"

#define MAX_MIN 16 /* items */

void index_init(struct index *ix, size_t max, uint64_t seed)
{
    *ix = (struct index){.max = max > MAX_MIN ? max : MAX_MIN, .seed = seed};
    jtable_init(&ix->exact);
    jtable_init(&ix->globs);
    shapes_init(&ix->shapes, hash_str(STR("shapes"), seed));
}

void index_fini(struct index *ix)
{
    while (ix->fine.oldest != NULL) {
        index_drop(ix, ix->fine.oldest);
    }
    while (ix->coarse.oldest != NULL) {
        index_drop(ix, ix->coarse.oldest);
    }
    jtable_fini(&ix->exact);
    jtable_fini(&ix->globs);
}

/* ---- verdicts ---------------------------------------------------------------------------- */

static bool glob_item_matches(const struct index_item *it, struct str name)
{
    if (!it->simple) {
        return glob_match(index_text(it), name);
    }
    return name.n >= (size_t)it->head_n + it->tail_n &&
           memcmp(name.p, it->text, it->head_n) == 0 &&
           memcmp(name.p + name.n - it->tail_n, it->text + it->text_n - it->tail_n,
                  it->tail_n) == 0;
}

static enum journal_verdict worse(enum journal_verdict a, enum journal_verdict b)
{
    return a > b ? a : b;
}

/* One lookup among the globs. */
struct glob_query {
    const struct index *ix;
    struct str name;
    uint64_t after;
    bool prefixes; /* only globs that match whatever begins with `name` */
    enum journal_verdict verdict;
};

/* True when there is no need to look further. */
static bool on_glob_key(uint64_t key, void *ctx)
{
    struct glob_query *q = ctx;
    if (!jtable_maybe(&q->ix->globs, key)) {
        return false;
    }
    for (struct jnode *n = jtable_first(&q->ix->globs, key); n != NULL; n = jtable_next(n)) {
        const struct index_item *it = (const struct index_item *)n;
        enum journal_verdict v = index_verdict(it->at, q->after);
        if (v > q->verdict && (!q->prefixes || (it->simple && it->tail_n == 0)) &&
            glob_item_matches(it, q->name)) {
            q->verdict = v;
        }
    }
    return q->verdict == JOURNAL_INVALID;
}

enum journal_verdict index_judge_globs(const struct index *ix, uint64_t after, struct str name,
                                       bool prefixes)
{
    if (ix->newest[RECORD_GLOB] <= after) {
        return JOURNAL_VALID;
    }
    struct glob_query q = {ix, name, after, prefixes, JOURNAL_VALID};
    struct shape_lookup lookup;
    uint64_t keys[SHAPES_MAX];
    shapes_lookup(&ix->shapes, name, after, &lookup);
    unsigned n = shapes_keys(&ix->shapes, &lookup, keys);
    bool done = false;
    for (unsigned i = 0; i < n && !done; i++) {
        done = on_glob_key(keys[i], &q);
    }
    if (!done) {
        shapes_each_middle(&ix->shapes, &lookup, on_glob_key, &q);
    }
    return q.verdict;
}

static enum journal_verdict judge_exact(const struct index *ix, uint64_t after,
                                        enum record_kind kind, struct str text)
{
    if (ix->newest[kind] <= after || text.n == 0) {
        return JOURNAL_VALID;
    }
    const struct index_item *it = index_find_exact(ix, kind, text);
    return it != NULL ? index_verdict(it->at, after) : JOURNAL_VALID;
}

static enum journal_verdict judge_tags(const struct index *ix, uint64_t after, struct str tags)
{
    if (ix->newest[RECORD_TAG] <= after || tags.n == 0) {
        return JOURNAL_VALID;
    }
    enum journal_verdict v = index_verdict(ix->any_tag, after);
    while (tags.n > 0 && v != JOURNAL_INVALID) {
        size_t end = str_index(tags, '\0');
        v = worse(v, judge_exact(ix, after, RECORD_TAG, str_make(tags.p, end)));
        tags = str_skip(tags, end + 1);
    }
    return v;
}

enum journal_verdict index_judge(const struct index *ix, uint64_t after,
                                 const struct index_query *q)
{
    if (after < ix->floor) {
        return JOURNAL_INVALID;
    }
    enum journal_verdict v = ix->all_soft > after ? JOURNAL_SOFT : JOURNAL_VALID;
    v = worse(v, judge_exact(ix, after, RECORD_NAME, q->name));
    v = worse(v, judge_exact(ix, after, RECORD_TYPE, q->type));
    v = worse(v, judge_exact(ix, after, RECORD_ROUTE, q->route));
    if (v != JOURNAL_INVALID) {
        v = worse(v, judge_tags(ix, after, q->tags));
    }
    return v != JOURNAL_INVALID ? worse(v, index_judge_globs(ix, after, q->name, false)) : v;
}

/* ---- records ----------------------------------------------------------------------------- */

/* head and `*` instead of a glob that cannot be kept as it is. */
static void put_prefix(struct index *ix, struct str head, struct index_marks at)
{
    struct strbuf glob = {0};
    ix->coarsened++;
    strbuf_add(&glob, head.p, head.n < GLOB_MAX ? head.n : GLOB_MAX - 1);
    strbuf_add_char(&glob, '*');
    index_mark_glob(ix, strbuf_str(&glob), at, LIST_FINE);
    strbuf_free(&glob);
}

static void put_glob(struct index *ix, struct str text, struct index_marks at)
{
    struct glob_parts parts;
    glob_parse(text, &parts);
    /* Names are matched without their variant suffix: so is the glob, if it can be cut there.
     */
    size_t mark = str_index(text, '#');
    if (mark < text.n) {
        bool plain =
            memchr(text.p, '[', mark) == NULL && (mark == 0 || text.p[mark - 1] != '\\');
        if (!plain) {
            put_prefix(ix, parts.head, at);
            return;
        }
        text.n = mark;
        glob_parse(text, &parts);
    }
    if (parts.exact) {
        struct strbuf name = {0};
        glob_unescape(text, &name);
        index_mark_exact(ix, RECORD_NAME, strbuf_str(&name), at);
        strbuf_free(&name);
    } else if (text.n > GLOB_MAX) {
        put_prefix(ix, parts.head, at);
    } else {
        index_mark_glob(ix, text, at, LIST_FINE);
    }
}

void index_put(struct index *ix, const struct record *r, uint64_t position)
{
    struct index_marks at = {.hard = r->soft ? 0 : position, .soft = r->soft ? position : 0};
    if (r->text.n == 0 && r->kind < RECORD_ALL) {
        return; /* nothing has an empty name, type, tag or route */
    }
    switch (r->kind) {
    case RECORD_NAME: index_mark_exact(ix, RECORD_NAME, entry_base_name(r->text), at); break;
    case RECORD_GLOB: put_glob(ix, r->text, at); break;
    case RECORD_TYPE:
    case RECORD_TAG:
    case RECORD_ROUTE: index_mark_exact(ix, r->kind, r->text, at); break;
    case RECORD_ALL:
    default: index_mark_all(ix, at); break; /* an unknown kind means "all" */
    }
    index_sweep(ix);
    index_make_room(ix);
    index_reap(ix);
}
